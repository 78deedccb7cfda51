/* SPDX-License-Identifier: MIT */
/*
 * template_hold.c - the holder of a template: a process that gives out descriptors
 *
 * To whoever connects it sends one packet {magic, pid, memory size, flags} with the descriptors
 * of memory, state and writable layer, and closes. Its socket lies in RUN, which only the owner may
 * enter. It ends when nobody came for HOLD_IDLE_S seconds, or on SIGTERM; a socket without a
 * listener is told by ECONNREFUSED.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "child.h"
#include "engine_internal.h"
#include "fdio.h"
#include "template_internal.h"

#define HOLD_IDLE_S  900
#define HOLD_MAGIC   0x31505443U /* "CTP1" */
#define HELD_FDS_MAX 3U
#define ANSWER_MS    5000
#define WORKER       "caisson-template"

struct held {
	uint32_t magic;
	int32_t pid;
	uint64_t mem_bytes;
	uint32_t has_writable, zero;
};

static int answer_read(int sock, struct held *h, int fds[HELD_FDS_MAX], struct err *e)
{
	struct timeval limit = { .tv_sec = ANSWER_MS / 1000 };
	size_t n_fds = HELD_FDS_MAX;
	ssize_t n;

	(void)setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	n = fd_recv(sock, h, sizeof(*h), fds, &n_fds);
	if (n == (ssize_t)sizeof(*h) && h->magic == HOLD_MAGIC &&
	    n_fds == 2 + (h->has_writable ? 1U : 0U))
		return 0;
	for (size_t i = 0; n >= 0 && i < n_fds; i++)
		fd_drop(&fds[i]);
	return err_plain(e, ENOENT, "the holder of the template does not answer");
}

int template_hold_get(struct store *s, const char *key, struct template *ret, int32_t *ret_pid,
		      struct err *e)
{
	int fds[HELD_FDS_MAX] = { -1, -1, -1 };
	auto_fd sock = -1;
	struct held h;
	char name[96];

	snprintf(name, sizeof(name), "templates/%s.sock", key);
	if (unix_connect_at(store_run_fd(s), name, &sock, e) < 0)
		return err_plain(e, ENOENT, "no template");
	if (answer_read(sock, &h, fds, e) < 0)
		return -e->code;
	*ret = (struct template){ .depth = h.has_writable ? TEMPLATE_IMAGE : TEMPLATE_MACHINE,
				  .mem_fd = fds[0],
				  .state_fd = fds[1],
				  .writable_fd = h.has_writable ? fds[2] : -1,
				  .mem_bytes = h.mem_bytes };
	snprintf(ret->key, sizeof(ret->key), "%s", key);
	if (ret_pid)
		*ret_pid = h.pid;
	return 0;
}

int template_hold_start(struct engine *g, const struct template *t, struct err *e)
{
	struct store *s = engine_store(g);
	char name[96], path[4096], mem[32];
	const char *const argv[] = { WORKER, "hold", mem, t->writable_fd >= 0 ? "1" : "0", NULL };
	struct child_spec spec = { .path = path,
				   .argv = argv,
				   .n_fds = 7,
				   .flags = CHILD_NEW_SESSION | CHILD_NO_NEW_PRIVS };
	auto_fd listener = -1;
	pid_t pid;
	int status = 0;

	snprintf(name, sizeof(name), "templates/%s.sock", t->key);
	snprintf(mem, sizeof(mem), "%" PRIu64, t->mem_bytes);
	snprintf(path, sizeof(path), "%s/" WORKER, engine_libexec(g));
	(void)unlinkat(store_run_fd(s), name, 0); /* of a dead holder: the caller has the lock */
	if (unix_listen_at(store_run_fd(s), name, &listener, e) < 0)
		return -e->code;
	spec.fds = (const int[]){ -1, -1, -1, listener, t->mem_fd, t->state_fd, t->writable_fd };
	if (child_spawn(&spec, &pid, NULL, e) < 0 || child_wait(pid, &status, e) < 0)
		return -e->code;
	return status ? err_plain(e, EIO, WORKER " ended with status %d", status) : 0;
}

void template_hold_serve(int listen_fd, const struct template *t)
{
	const int fds[] = { t->mem_fd, t->state_fd, t->writable_fd };
	const struct held h = { .magic = HOLD_MAGIC,
				.pid = (int32_t)getpid(),
				.mem_bytes = t->mem_bytes,
				.has_writable = t->writable_fd >= 0 };
	const char *idle = getenv("CAISSON_TEMPLATE_IDLE_S");
	long idle_s = idle ? strtol(idle, NULL, 10) : HOLD_IDLE_S;
	struct pollfd p = { .fd = listen_fd, .events = POLLIN };

	if (idle_s < 1 || idle_s > INT32_MAX / 1000)
		idle_s = HOLD_IDLE_S;
	for (;;) {
		int n = poll(&p, 1, (int)idle_s * 1000);
		auto_fd sock = -1;

		if (n == 0)
			return;
		sock = n > 0 ? accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC) : -1;
		if (sock >= 0) /* who does not take it has only harmed itself */
			(void)!fd_send(sock, &h, sizeof(h), fds, h.has_writable ? 3 : 2);
	}
}
