/* SPDX-License-Identifier: MIT */
/*
 * fuzz_keeper_vsock.c - what a VMM asks of its keeper: one message of each length that the input
 * says
 *
 * One port is listened at: only there is anything to be had.
 */
#include "fuzz_input.h"

#include <fcntl.h>
#include <sys/socket.h>

#include "fdio.h"
#include "keeper_vsock.h"
#include "loop.h"
#include "vsock_broker.h"

#define PORT 7U

static char path[] = "/tmp/caisson-fuzz-vsock-XXXXXX";

static void gone(void)
{
	struct err e = { 0 };

	(void)!tree_remove_at(AT_FDCWD, path, &e);
}

/* For all inputs. */
static int server_make(void)
{
	struct err e = { 0 };
	int fd;

	MUST(mkdtemp(path) && atexit(gone) == 0);
	auto_fd dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	MUST(unix_listen_at(dir, "7", &fd, &e) == 0);
	return fd;
}

static void quit(void *arg)
{
	loop_quit(arg, 0);
}

static void ask(struct loop *loop, struct loop_timer *t, int sock, const uint8_t *data, size_t len)
{
	uint8_t raw[VSOCK_BROKER_SIZE];
	struct err e = { 0 };
	size_t n = 1;
	int fd = -1;

	if (send(sock, data, len, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)len)
		return;
	loop_timer_arm(t, 0);
	MUST(loop_run(loop, &e) == 0);
	if (fd_recv(sock, raw, sizeof(raw), &fd, &n) != (ssize_t)sizeof(raw))
		return;
	MUST(len == VSOCK_BROKER_SIZE);
	MUST(memcmp(raw, data + 4, 4) == 0);
	MUST((n == 1) == (vsock_broker_answer(raw).error == 0));
	MUST(n == 0 || get_le32(data) == PORT);
	fd_drop(&fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static int server = -1;
	struct vsock_dir d = VSOCK_DIR_NONE;
	struct loop_timer *t;
	struct loop *loop;
	struct err e = { 0 };
	int listen_fd, sock;

	if (server < 0)
		server = server_make();
	MUST(loop_new(&loop, &e) == 0 && loop_timer_new(loop, quit, loop, &t, &e) == 0);
	MUST(vsock_dir_open(&d, path, loop, &listen_fd, &sock, &e) == 0);
	MUST(fd_set_nonblock(sock, true) == 0);
	for (int i = 0; i < 32 && len > 0; i++) {
		size_t n = MIN_OF(len - 1, (size_t)(data[0] & 15));

		if (n > 0)
			ask(loop, t, sock, data + 1, n);
		data += 1 + n;
		len -= 1 + n;
	}
	for (int fd; (fd = accept4(server, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;)
		close(fd);
	vsock_dir_close(&d);
	close(listen_fd);
	close(sock);
	loop_timer_drop(t);
	loop_free(loop);
	return 0;
}
