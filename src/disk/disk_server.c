/* SPDX-License-Identifier: MIT */
/*
 * disk_server.c - nbdkit on a socket pair
 *
 * Its standard input and output are the socket (nbdkit -s): no address, nobody else can connect.
 * Files are descriptors from 3 on. It changes its user after it has loaded the plugin, which may
 * lie where that user may not look; its network is empty from the start. Then, before it looks at a
 * disk or listens to the VMM, the plugin puts it into a sandbox.
 */
#include "disk_server.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "child.h"

#define FIRST_FILE 3U
#define ARGS_MAX   (18 + DISK_SERVER_FILES_MAX)
#define ARG_MAX_   48
#define THREADS    "4"

static int confine(void *arg)
{
	const struct rlimit no_core = { 0, 0 };
	const uid_t *uid = arg;

	/* an ordinary user's needs a user namespace, which some hosts refuse */
	if (unshare(*uid ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET) < 0 && *uid)
		return -errno;
	return setrlimit(RLIMIT_CORE, &no_core) < 0 ? -errno : 0;
}

struct command {
	char text[4 + DISK_SERVER_FILES_MAX][ARG_MAX_];
	const char *argv[ARGS_MAX];
};

static void command_make(struct command *c, const char *plugin, const struct disk_server_files *f,
			 uid_t uid, gid_t gid)
{
	static const char *const fixed[] = { "nbdkit", "-s", "-t", THREADS };
	size_t n = 0, text = 0;

	for (; n < ARRAY_SIZE(fixed); n++)
		c->argv[n] = fixed[n];
	if (f->is_readonly)
		c->argv[n++] = "-r";
	if (uid) {
		snprintf(c->text[0], ARG_MAX_, "%u", uid);
		snprintf(c->text[1], ARG_MAX_, "%u", gid);
		c->argv[n++] = "-u";
		c->argv[n++] = c->text[text++];
		c->argv[n++] = "-g";
		c->argv[n++] = c->text[text++];
	}
	c->argv[n++] = plugin;
	for (size_t i = 0; i < f->n; i++, text++) {
		snprintf(c->text[text], ARG_MAX_, "%s=/proc/self/fd/%zu", i ? "parent" : "file",
			 FIRST_FILE + i);
		c->argv[n++] = c->text[text];
	}
	c->argv[n++] = "sandbox=1";
	c->argv[n] = NULL;
}

static int spawn(const char *plugin, const struct disk_server_files *f, uid_t uid, gid_t gid,
		 int sock, struct disk_server *ret, struct err *e)
{
	int fds[FIRST_FILE + DISK_SERVER_FILES_MAX], errs[2];
	struct command c;
	struct child_spec s = {
		.path = "nbdkit",
		.argv = c.argv,
		.env = (const char *const[]){ "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C",
					      NULL },
		.fds = fds,
		.n_fds = FIRST_FILE + f->n,
		.flags = CHILD_NEW_SESSION | CHILD_NO_NEW_PRIVS,
		.setup = confine,
		.setup_arg = &uid,
	};
	int rc;

	if (pipe2(errs, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_set(e, errno, "pipe of nbdkit");
	command_make(&c, plugin, f, uid, gid);
	fds[0] = fds[1] = sock;
	fds[2] = errs[1];
	memcpy(fds + FIRST_FILE, f->fds, f->n * sizeof(*f->fds));
	rc = child_spawn(&s, &ret->pid, &ret->pidfd, e);
	close(errs[1]);
	if (rc < 0) {
		close(errs[0]);
		return err_wrap(e, "disk server; is the package nbdkit installed?");
	}
	ret->errs = errs[0];
	return 0;
}

int disk_server_start(const char *plugin, const struct disk_server_files *f, uid_t uid, gid_t gid,
		      struct disk_server *ret, int *ret_sock, struct err *e)
{
	struct disk_server server = DISK_SERVER_NONE;
	auto_fd ours = -1;
	auto_fd theirs = -1;
	int pair[2];

	if (f->n == 0 || f->n > DISK_SERVER_FILES_MAX)
		return err_plain(e, EINVAL, "disk server: %zu files", f->n);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(e, errno, "socket of the disk server");
	ours = pair[0];
	theirs = pair[1];
	if (spawn(plugin, f, uid, gid, theirs, &server, e) < 0)
		return -e->code;
	*ret = server;
	*ret_sock = TAKE_FD(ours);
	return 0;
}

static int reap(struct disk_server *s)
{
	int status = 0;

	while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
		;
	s->pid = 0;
	fd_drop(&s->pidfd);
	return status;
}

/* The first line of what it said. */
static void words_read(struct disk_server *s, char *buf, size_t len)
{
	ssize_t n = s->errs < 0 ? -1 : read(s->errs, buf, len - 1);

	buf[n > 0 ? n : 0] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	for (char *p = buf; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	fd_drop(&s->errs);
}

int disk_server_wait(struct disk_server *s, int timeout_ms, struct err *e)
{
	struct pollfd p = { .fd = s->pidfd, .events = POLLIN };
	char words[256];
	int n, status;

	if (s->pid == 0)
		return 0;
	do
		n = poll(&p, 1, timeout_ms);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		kill(s->pid, SIGKILL);
	status = reap(s);
	words_read(s, words, sizeof(words));
	if (n <= 0)
		return err_plain(e, ETIMEDOUT, "the disk server did not end: %s", words);
	if (status != 0)
		return err_plain(e, EIO, "the disk server failed: %s", words);
	return 0;
}

void disk_server_kill(struct disk_server *s)
{
	if (s->pid > 0) {
		kill(s->pid, SIGKILL);
		(void)reap(s); /* killed by us */
	}
	fd_drop(&s->errs);
}
