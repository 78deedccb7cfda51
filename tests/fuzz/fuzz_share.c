/* SPDX-License-Identifier: MIT */
/*
 * fuzz_share.c - a series of FUSE requests against a directory of /tmp
 *
 * Of each request the input has opcode, node, length of its arguments (16 bits), arguments. Then
 * the same bytes come from a socket, up to the first reply, which nobody is there to take. What is
 * beside the directory must stay as it is.
 */
#include "fuzz_input.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "bytes.h"
#include "fdio.h"
#include "share.h"
#include "share_serve.h"

#define REQUESTS_MAX  64
#define REQUEST_HEAD  4U
#define FILE_SIZE_MAX (64U << 20) /* a guest may fill its share; not this machine's disk */

int LLVMFuzzerInitialize(int *argc, char ***argv);

static char dir[] = "/tmp/caisson-fuzz-share-XXXXXX";
static int dir_fd = -1;
static unsigned int n_runs;

static void file_make(int at, const char *name, const char *text)
{
	auto_fd fd = openat(at, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	MUST(fd >= 0 && fd_write_full(fd, text, strlen(text)) == 0);
}

static void dir_remove(void)
{
	struct err e = { 0 };

	(void)tree_remove_at(AT_FDCWD, dir, &e); /* the next one has another name */
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const struct rlimit size = { FILE_SIZE_MAX, FILE_SIZE_MAX };

	(void)argc;
	(void)argv;
	MUST(mkdtemp(dir));
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	MUST(dir_fd >= 0);
	file_make(dir_fd, "outside", "as it was");
	umask(0);
	MUST(setrlimit(RLIMIT_FSIZE, &size) == 0);
	atexit(dir_remove);
	return 0;
}

/* A directory with one of each; its name is another one if the last could not be removed. */
static int root_make(char name[16])
{
	struct err e = { 0 };
	int fd;

	for (;; n_runs++) {
		snprintf(name, 16, "in%u", n_runs);
		if (mkdirat(dir_fd, name, 0755) == 0)
			break;
		(void)fchmodat(dir_fd, name, 0755, 0);
		if (tree_remove_at(dir_fd, name, &e) == 0 && mkdirat(dir_fd, name, 0755) == 0)
			break;
	}
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	MUST(fd >= 0);
	file_make(fd, "f", "text");
	MUST(mkdirat(fd, "d", 0755) == 0);
	MUST(symlinkat("../outside", fd, "l") == 0);
	MUST(mkfifoat(fd, "p", 0644) == 0);
	return fd;
}

static void outside_check(const char *name)
{
	auto_buf b = { 0 };
	struct err e = { 0 };
	auto_dir d = dir_open_at(dir_fd, ".", 0);
	struct dirent *entry;

	MUST(file_read_at(dir_fd, "outside", 4096, &b, &e) == 0);
	MUST(b.len == 9 && memcmp(b.data, "as it was", 9) == 0);
	MUST(d);
	while ((entry = readdir(d)))
		MUST(entry->d_name[0] == '.' || strcmp(entry->d_name, "outside") == 0 ||
		     strncmp(entry->d_name, "in", 2) == 0);
	MUST(faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0);
}

static void request_run(struct share *s, const uint8_t *p, size_t arg_len, uint8_t *reply)
{
	struct fuse_in_header h = {
		.len = (uint32_t)(sizeof(h) + arg_len),
		.opcode = p[0],
		.nodeid = (p[1] & 15U) | (uint64_t)(p[1] >> 7) << 32,
		.uid = p[1] >> 4 & 3U,
		.unique = 42,
	};
	auto_free uint8_t *req = malloc(h.len);
	struct fuse_out_header out;
	size_t n;

	MUST(req);
	memcpy(req, &h, sizeof(h));
	memcpy(req + sizeof(h), p + REQUEST_HEAD, arg_len);
	n = share_handle(s, req, h.len, reply);
	if (n == 0)
		return;
	memcpy(&out, reply, sizeof(out));
	MUST(n <= SHARE_REPLY_MAX && out.len == n && n >= sizeof(out) && out.unique == 42);
	MUST(out.error == 0 || (out.error < 0 && out.error > -512 && n == sizeof(out)));
}

static void serve(struct share *s, const uint8_t *data, size_t len)
{
	struct err e = { 0 };
	int fds[2];

	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	if (send(fds[1], data, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		MUST(errno == EAGAIN || errno == EMSGSIZE);
	close(fds[1]);
	if (share_serve(s, fds[0], &e) < 0)
		MUST(e.msg[0]);
	close(fds[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t *all = data;
	size_t all_len = len;
	const struct fuse_init_in init = { .major = 7, .minor = 38, .flags = UINT32_MAX };
	uint8_t first[REQUEST_HEAD + sizeof(init)] = { FUSE_INIT };
	auto_free uint8_t *reply = malloc(SHARE_REPLY_MAX);
	struct share_options o = { .max_inodes = 8, .max_handles = 4 };
	struct share *s = NULL;
	struct err e = { 0 };
	char name[16];
	auto_fd root = root_make(name);

	signal(SIGXFSZ, SIG_IGN); /* libFuzzer has set its own since the beginning */
	signal(SIGPIPE, SIG_IGN);
	MUST(reply);
	o.root_fd = root;
	o.is_readonly = len > 0 && data[0] == 255;
	MUST(share_new(&o, &s, &e) == 0);
	memcpy(first + REQUEST_HEAD, &init, sizeof(init));
	request_run(s, first, sizeof(init), reply);
	for (int i = 0; i < REQUESTS_MAX && len >= REQUEST_HEAD; i++) {
		size_t n = MIN_OF(get_le16(data + 2), len - REQUEST_HEAD);

		request_run(s, data, n, reply);
		data += REQUEST_HEAD + n;
		len -= REQUEST_HEAD + n;
	}
	serve(s, all, all_len);
	share_free(s);
	outside_check(name);
	return 0;
}
