/* SPDX-License-Identifier: MIT */
/*
 * fetch_run.c - starting caisson-fetch, hearing its events
 *
 * Packets of a SOCK_SEQPACKET socket, parsed by worker_msg.c. A packet that is too long,
 * unreadable, or comes with other descriptors than its kind has, ends the run.
 */
#include "fetch_run.h"

#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "child.h"
#include "engine_internal.h"
#include "fdio.h"
#include "json_text.h"

#define WORKER      "caisson-fetch"
#define END_WAIT_MS 200
#define PACKETS_MAX 64 /* in one turn of the loop */

struct fetch_run {
	pid_t pid; /* 0: has been waited for */
	int sock;
	struct loop_watch *watch;
	struct fetch_run_ops ops;
	char packet[FETCH_PACKET_MAX + 1];
};

static void run_end(struct fetch_run *f)
{
	loop_watch_drop(f->watch);
	f->watch = NULL;
}

static void run_lost(struct fetch_run *f, const struct err *e)
{
	run_end(f);
	f->ops.lost(f->ops.arg, e);
}

static void worker_gone(struct fetch_run *f)
{
	struct err e = { 0 }, ignored = { 0 };
	siginfo_t ended = { 0 };
	int status = 255;

	for (int i = 0; i < END_WAIT_MS &&
			waitid(P_PID, (id_t)f->pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
			ended.si_pid == 0;
	     i++)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	kill(f->pid, SIGKILL); /* it may have closed the socket and live on */
	(void)!child_wait(f->pid, &status, &ignored); /* the status is for the message only */
	f->pid = 0;
	(void)err_plain(&e, EIO, "the download process ended unexpectedly (status %d)", status);
	run_lost(f, &e);
}

static void packet_handle(struct fetch_run *f, size_t len, int *fds, size_t n_fds)
{
	struct fetch_event ev;
	struct err e = { 0 };

	if (fetch_event_parse(f->packet, len, &ev, &e) < 0) {
		run_lost(f, &e);
		return;
	}
	if (n_fds != (ev.kind == FETCH_OPEN ? 2 : 0)) {
		(void)err_plain(&e, EBADMSG, "the download process passed %zu descriptors", n_fds);
		run_lost(f, &e);
		return;
	}
	if (ev.kind == FETCH_COMPLETE || ev.kind == FETCH_ERROR)
		run_end(f);
	if (ev.kind != FETCH_KIND_COUNT_) /* a newer worker may say more */
		f->ops.event(f->ops.arg, &ev, fds);
}

static void sock_readable(void *arg, uint32_t events)
{
	struct fetch_run *f = arg;

	(void)events;
	for (unsigned i = 0; i < PACKETS_MAX && f->watch; i++) {
		int fds[FD_PASS_MAX];
		size_t n_fds = ARRAY_SIZE(fds);
		ssize_t n;

		memset(fds, -1, sizeof(fds));
		n = fd_recv(f->sock, f->packet, sizeof(f->packet), fds, &n_fds);
		if (n == -EAGAIN)
			return;
		if (n > 0)
			packet_handle(f, (size_t)n, fds, n_fds);
		else
			worker_gone(f);
		for (size_t k = 0; k < ARRAY_SIZE(fds); k++)
			fd_drop(&fds[k]);
	}
}

static int request_send(struct fetch_run *f, const json_t *request, struct err *e)
{
	auto_free char *text = json_text(request, JSON_COMPACT);
	ssize_t n;

	if (!text)
		return err_set(e, ENOMEM, "request");
	if (strlen(text) > FETCH_PACKET_MAX)
		return err_plain(e, E2BIG, "the request to the download process is too long");
	do {
		n = send(f->sock, text, strlen(text), MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? err_set(e, errno, "the download process") : 0;
}

static int worker_spawn(struct engine *g, struct fetch_run *f, int sock, int partial_fd,
			int blobs_fd, struct err *e)
{
	static const char *const args[] = { WORKER, NULL };
	const int fds[] = { -1, STDERR_FILENO, STDERR_FILENO, sock, partial_fd, blobs_fd };
	char path[PATH_MAX];
	struct child_spec s = { .path = path,
				.argv = args,
				.fds = fds,
				.n_fds = ARRAY_SIZE(fds),
				.flags = CHILD_DIE_WITH_PARENT | CHILD_NO_NEW_PRIVS };

	if ((size_t)snprintf(path, sizeof(path), "%s/" WORKER, engine_libexec(g)) >= sizeof(path))
		return err_set(e, ENAMETOOLONG, "%s", engine_libexec(g));
	return child_spawn(&s, &f->pid, NULL, e);
}

static int run_open(struct engine *g, struct loop *l, struct fetch_run *f, const json_t *request,
		    const int dirs[2], struct err *e)
{
	const int size = 2 * (int)FETCH_PACKET_MAX; /* the kernel counts its own overhead as well */
	int pair[2];
	auto_fd theirs = -1;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(e, errno, "socket");
	f->sock = pair[0];
	theirs = pair[1];
	(void)setsockopt(f->sock, SOL_SOCKET, SO_SNDBUF, &size,
			 sizeof(size)); /* the usual one does */
	if (worker_spawn(g, f, theirs, dirs[0], dirs[1], e) < 0 || request_send(f, request, e) < 0)
		return -e->code;
	if (fd_set_nonblock(f->sock, true) < 0)
		return err_set(e, errno, "socket");
	return loop_watch_fd(l, f->sock, EPOLLIN, sock_readable, f, &f->watch, e);
}

int fetch_run_start(struct engine *g, struct loop *l, const json_t *request, int partial_fd,
		    int blobs_fd, const struct fetch_run_ops *ops, struct fetch_run **ret,
		    struct err *e)
{
	struct fetch_run *f = calloc(1, sizeof(*f));

	if (!f)
		return err_set(e, ENOMEM, "download");
	f->sock = -1;
	f->ops = *ops;
	if (run_open(g, l, f, request, (int[]){ partial_fd, blobs_fd }, e) < 0) {
		fetch_run_free(f);
		return -e->code;
	}
	*ret = f;
	return 0;
}

void fetch_run_free(struct fetch_run *f)
{
	if (!f)
		return;
	loop_watch_drop(f->watch);
	fd_drop(&f->sock);
	if (f->pid > 0) {
		kill(f->pid, SIGKILL);
		while (waitpid(f->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	free(f);
}
