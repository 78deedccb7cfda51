/* SPDX-License-Identifier: MIT */
/*
 * unpack_job.c - starting caisson-unpack, hearing of its end
 *
 * The reply is at most one line; what is beyond the limit is not read, and the worker, whose pipe
 * is then closed, ends. The end itself is the pidfd's: a worker may close its output and live on.
 */
#include "unpack_job.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "child.h"
#include "engine_internal.h"
#include "fdio.h"
#include "worker_msg.h"

#define MERGE_LIMIT_MS 300000 /* 16 million inodes take some tens of seconds */
#define WORKER         "caisson-unpack"

struct unpack_job {
	pid_t pid; /* 0: not running */
	int pidfd, out_fd;
	struct loop_watch *out_watch, *end_watch;
	struct buf reply;
	unpack_job_fn *fn;
	void *arg;
};

/* fds[1] is the pipe's other end; the caller closes it, so that the worker's is the only one. */
static int worker_spawn(struct engine *g, const char *const *args, const int *fds, size_t n_fds,
			struct unpack_job *j, struct err *e)
{
	char path[PATH_MAX];
	struct child_spec s = { .path = path,
				.argv = args,
				.fds = fds,
				.n_fds = n_fds,
				.flags = CHILD_DIE_WITH_PARENT | CHILD_NO_NEW_PRIVS };

	if ((size_t)snprintf(path, sizeof(path), "%s/" WORKER, engine_libexec(g)) >= sizeof(path))
		return err_set(e, ENAMETOOLONG, "%s", engine_libexec(g));
	return child_spawn(&s, &j->pid, &j->pidfd, e);
}

/* What is there now; true at the end of the stream. */
static bool reply_read(struct unpack_job *j)
{
	for (;;) {
		char chunk[4096];
		ssize_t n = read(j->out_fd, chunk, sizeof(chunk));

		if (n < 0)
			return errno != EAGAIN && errno != EINTR;
		if (n == 0 || buf_add(&j->reply, chunk, (size_t)n) < 0)
			return true;
	}
}

static void out_readable(void *arg, uint32_t events)
{
	struct unpack_job *j = arg;

	(void)events;
	if (!reply_read(j))
		return;
	loop_watch_drop(j->out_watch);
	j->out_watch = NULL;
	fd_drop(&j->out_fd);
}

static void worker_ended(void *arg, uint32_t events)
{
	struct unpack_job *j = arg;
	struct err ignored = { 0 };
	int status = 255;

	(void)events;
	loop_watch_drop(j->end_watch);
	j->end_watch = NULL;
	if (j->out_fd >= 0)
		(void)reply_read(j);                  /* what it wrote last */
	(void)!child_wait(j->pid, &status, &ignored); /* it has ended; else status says so */
	j->pid = 0;
	j->fn(j->arg, j->reply.data ? j->reply.data : "", j->reply.len, status);
}

static int job_watch(struct unpack_job *j, struct loop *l, struct err *e)
{
	if (fd_set_nonblock(j->out_fd, true) < 0)
		return err_set(e, errno, "pipe");
	if (loop_watch_fd(l, j->out_fd, EPOLLIN, out_readable, j, &j->out_watch, e) < 0 ||
	    loop_watch_fd(l, j->pidfd, EPOLLIN, worker_ended, j, &j->end_watch, e) < 0)
		return -e->code;
	return 0;
}

static int job_new(struct unpack_job **ret, int *ret_in, struct err *e)
{
	struct unpack_job *j = calloc(1, sizeof(*j));
	int p[2];

	if (!j)
		return err_set(e, ENOMEM, "unpack");
	j->pidfd = j->out_fd = -1;
	j->reply.max = UNPACK_REPLY_MAX;
	if (pipe2(p, O_CLOEXEC) < 0) {
		free(j);
		return err_set(e, errno, "pipe");
	}
	j->out_fd = p[0];
	*ret_in = p[1];
	*ret = j;
	return 0;
}

int unpack_job_start(struct engine *g, struct loop *l, const struct unpack_job_files *f,
		     unpack_job_fn *fn, void *arg, struct unpack_job **ret, struct err *e)
{
	static const char *const args[] = { WORKER, "layer", NULL };
	struct unpack_job *j = NULL;
	auto_fd in = -1;

	if (job_new(&j, &in, e) < 0)
		return -e->code;
	j->fn = fn;
	j->arg = arg;
	if (worker_spawn(g, args,
			 (int[]){ -1, in, STDERR_FILENO, f->blob_fd, f->count_fd, f->data_fd,
				  f->tree_fd },
			 7, j, e) < 0 ||
	    job_watch(j, l, e) < 0) {
		unpack_job_free(j);
		return -e->code;
	}
	*ret = j;
	return 0;
}

void unpack_job_free(struct unpack_job *j)
{
	if (!j)
		return;
	loop_watch_drop(j->out_watch);
	loop_watch_drop(j->end_watch);
	if (j->pid > 0) {
		kill(j->pid, SIGKILL);
		while (waitpid(j->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	fd_drop(&j->pidfd);
	fd_drop(&j->out_fd);
	buf_done(&j->reply);
	free(j);
}

/* Read to the end, or to the time limit. */
static int merge_wait(struct unpack_job *j, int *ret_status, struct err *e)
{
	struct pollfd p = { .fd = j->out_fd, .events = POLLIN };
	int n;

	do {
		n = poll(&p, 1, MERGE_LIMIT_MS);
	} while ((n < 0 && errno == EINTR) || (n > 0 && !reply_read(j)));
	if (n == 0)
		return err_plain(e, ETIMEDOUT, "the image's metadata was not made in %d s",
				 MERGE_LIMIT_MS / 1000);
	fd_drop(&j->out_fd);
	p = (struct pollfd){ .fd = j->pidfd, .events = POLLIN };
	while ((n = poll(&p, 1, MERGE_LIMIT_MS)) < 0 && errno == EINTR)
		;
	if (n <= 0)
		return err_plain(e, ETIMEDOUT, "the unpacking process does not end");
	if (child_wait(j->pid, ret_status, e) < 0)
		return -e->code;
	j->pid = 0;
	return 0;
}

static int merge_end(struct unpack_job *j, struct err *e)
{
	int status;

	if (fd_set_nonblock(j->out_fd, true) < 0)
		return err_set(e, errno, "pipe");
	if (merge_wait(j, &status, e) < 0)
		return -e->code;
	if (status != 0 && j->reply.len == 0)
		return err_plain(e, EIO, "the unpacking process ended with status %d", status);
	return 0;
}

int unpack_merge_run(struct engine *g, const int *tree_fds, uint32_t n, const char *uuid_hex,
		     int meta_fd, struct buf *reply, struct err *e)
{
	int fds[MERGE_LAYERS_MAX + 4];
	char count[16];
	const char *const args[] = { WORKER, "merge", count, uuid_hex, NULL };
	struct unpack_job *j = NULL;
	auto_fd in = -1;
	int rc;

	if (n > MERGE_LAYERS_MAX)
		return err_plain(e, EINVAL, "%u layers are too many", n);
	if (job_new(&j, &in, e) < 0)
		return -e->code;
	snprintf(count, sizeof(count), "%u", n);
	fds[0] = -1;
	fds[1] = in;
	fds[2] = STDERR_FILENO;
	memcpy(fds + 3, tree_fds, n * sizeof(*fds));
	fds[3 + n] = meta_fd;
	rc = worker_spawn(g, args, fds, n + 4, j, e);
	fd_drop(&in);
	if (rc == 0)
		rc = merge_end(j, e);
	if (rc == 0 && buf_add(reply, j->reply.data ? j->reply.data : "", j->reply.len) < 0)
		rc = err_set(e, ENOMEM, "merge");
	unpack_job_free(j);
	return rc;
}
