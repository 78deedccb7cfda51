/* SPDX-License-Identifier: MIT */
/*
 * keeper_vsock.c - [U] the directory of a machine's socket device
 *
 * The lock on the directory (flock) is the machine's: DIR/connect of one that died is replaced by
 * the next that has the lock.
 *
 * Hostile: requests, as a guest may own its VMM. A port is a number, so its name is digits; the
 * name is opened without following a link, must be a socket, and what was opened is what is
 * connected to. Nothing waits: a server whose queue is full is one that refuses.
 */
#include "keeper_vsock.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "fdio.h"
#include "loop.h"
#include "vsock_broker.h"

#define CONNECT_NAME "connect"
#define TURN_MAX     16 /* requests; then others have their turn */

/* To the socket `name`, and to nothing else. */
static int socket_connect(int dir_fd, const char *name, int *ret_fd)
{
	auto_fd at = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	auto_fd fd = -1;
	struct stat st;

	if (at < 0 || fstat(at, &st) < 0)
		return -errno;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d", at);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* ---- what the guest calls ---- */

static void request_answer(const struct vsock_dir *d, const uint8_t *raw)
{
	const struct vsock_broker_request r = vsock_broker_request(raw);
	uint8_t answer[VSOCK_BROKER_SIZE];
	auto_fd fd = -1;
	char name[16];
	int rc;

	snprintf(name, sizeof(name), "%u", r.port);
	rc = socket_connect(d->dir_fd, name, &fd);
	vsock_broker_put(answer, r.cookie, (uint32_t)-rc);
	/* a VMM that takes no answers waits for this one in vain, for as long as it likes to */
	(void)!fd_send(d->broker_fd, answer, sizeof(answer), &fd, rc == 0);
}

static void requests_read(void *arg, uint32_t events)
{
	struct vsock_dir *d = arg;
	uint8_t raw[VSOCK_BROKER_SIZE + 1];

	(void)events;
	for (int i = 0; i < TURN_MAX; i++) {
		ssize_t n = recv(d->broker_fd, raw, sizeof(raw), MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n != VSOCK_BROKER_SIZE) { /* it is gone, or says what no VMM of ours does */
			loop_watch_drop(d->watch);
			d->watch = NULL;
			return;
		}
		request_answer(d, raw);
	}
}

/* ---- the directory ---- */

static int place_check(int dir_fd, const char *path, struct err *e)
{
	auto_fd fd = -1;
	int rc = socket_connect(dir_fd, CONNECT_NAME, &fd);

	switch (rc) {
	case -ENOENT:
	case -ECONNREFUSED: /* of a machine that is no more */
		return 0;
	case 0:
	case -EAGAIN:
		return err_plain(e, EADDRINUSE, "somebody listens at %s/" CONNECT_NAME, path);
	case -ENOTSOCK:
		return err_plain(e, EEXIST, "%s/" CONNECT_NAME " is there, and is no socket", path);
	default:
		return err_set(e, -rc, "%s/" CONNECT_NAME, path);
	}
}

static int directory_take(struct vsock_dir *d, const char *path, struct err *e)
{
	auto_fd fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_set(e, errno, "--vsock %s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK
			       ? err_plain(e, EBUSY, "--vsock %s: another machine has it", path)
			       : err_set(e, errno, "--vsock %s: lock", path);
	if (place_check(fd, path, e) < 0)
		return -e->code;
	d->dir_fd = TAKE_FD(fd);
	return 0;
}

int vsock_dir_open(struct vsock_dir *d, const char *path, struct loop *loop, int *ret_listen_fd,
		   int *ret_broker_fd, struct err *e)
{
	auto_fd listen_fd = -1, theirs = -1;
	int pair[2];

	if (directory_take(d, path, e) < 0)
		return -e->code;
	if (unix_listen_at(d->dir_fd, CONNECT_NAME, &listen_fd, e) < 0) {
		fd_drop(&d->dir_fd); /* nothing there is ours */
		return err_wrap(e, "--vsock %s", path);
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return err_set(e, errno, "broker's socket");
	d->broker_fd = pair[0];
	theirs = pair[1];
	if (loop_watch_fd(loop, d->broker_fd, EPOLLIN, requests_read, d, &d->watch, e) < 0)
		return -e->code;
	*ret_listen_fd = TAKE_FD(listen_fd);
	*ret_broker_fd = TAKE_FD(theirs);
	return 0;
}

void vsock_dir_close(struct vsock_dir *d)
{
	loop_watch_drop(d->watch);
	d->watch = NULL;
	fd_drop(&d->broker_fd);
	if (d->dir_fd >= 0) /* before the lock goes; what cannot be removed is replaced later */
		(void)unlinkat(d->dir_fd, CONNECT_NAME, 0);
	fd_drop(&d->dir_fd);
}
