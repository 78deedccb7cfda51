/* SPDX-License-Identifier: MIT */
/*
 * stream_start.c - a process for a stream: pipes or a terminal, and the main process or one more
 *
 * The main process has been waiting in its namespaces (stage.c) and is told what to be; one more is
 * forked, and enters them. Either says why it cannot, or ends the socket by exec.
 */
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "fdio.h"
#include "log.h"
#include "stage_order.h"
#include "streams_internal.h"

/* ---- starting ---- */

static void pipes_drop(int p[2])
{
	fd_drop(&p[0]);
	fd_drop(&p[1]);
}

static int pipe_make(int p[2], int ours)
{
	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	return fd_set_nonblock(p[ours], true);
}

/* Descriptors of the child into `io`, ours into the stream. */
static int io_pipes(struct stream *st, bool wants_in, struct process_io *io)
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, err[2] = { -1, -1 };

	if (wants_in ? pipe_make(in, 1) < 0 : (in[0] = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0)
		goto fail;
	if (pipe_make(out, 0) < 0 || pipe_make(err, 0) < 0)
		goto fail;
	*io = (struct process_io){ in[0], out[1], err[1], false };
	st->in_fd = in[1];
	st->out[0].fd = out[0];
	st->out[1].fd = err[0];
	return 0;
fail:
	pipes_drop(in);
	pipes_drop(out);
	pipes_drop(err);
	return -errno;
}

static int io_terminal(struct stream *st, bool wants_in, struct process_io *io)
{
	int unlock = 0,
	    master = openat(st->all->stage.devpts, "ptmx",
			    O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK),
	    slave;

	if (master < 0)
		return -errno;
	slave = ioctl(master, TIOCSPTLCK, &unlock) < 0
			? -1
			: ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0) {
		close(master);
		return -errno;
	}
	*io = (struct process_io){ slave, fcntl(slave, F_DUPFD_CLOEXEC, 3),
				   fcntl(slave, F_DUPFD_CLOEXEC, 3), true };
	st->out[0].fd = master;
	st->in_fd = wants_in ? fcntl(master, F_DUPFD_CLOEXEC, 3) : -1;
	st->is_tty = true;
	return 0;
}

static void io_done(struct process_io *io)
{
	fd_drop(&io->in);
	fd_drop(&io->out);
	fd_drop(&io->err);
}

static _Noreturn void exec_child(const struct stage *stage, const struct agent_run *r,
				 const struct process_io *io, int sock)
{
	struct stage_answer a = { 0 };

	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0,
		    0); /* until exec, nothing of the app may look in here */
	if (setns(stage->mnt_ns, CLONE_NEWNS) < 0 || setns(stage->ipc_ns, CLONE_NEWIPC) < 0) {
		a.code = 125;
		snprintf(a.text, sizeof(a.text), "enter the machine's namespaces: %s",
			 strerror(errno));
	} else {
		a.code = (uint32_t)process_become(r, io, a.text, sizeof(a.text));
	}
	if (send(sock, &a, sizeof(a), MSG_NOSIGNAL) < 0)
		_exit(125);
	_exit((int)a.code);
}

static int exec_start(struct streams *s, struct stream *st, const struct agent_run *r,
		      const struct process_io *io, char *text, size_t len)
{
	auto_fd own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	int pair[2], code = 125;

	snprintf(text, len, "the machine's main process is not running");
	if (own < 0 || s->stage.pid <= 0 || !s->stage.is_used ||
	    setns(s->stage.pid_ns, CLONE_NEWPID) < 0)
		return 125;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0) {
		st->pid = fork();
		if (st->pid == 0)
			exec_child(&s->stage, r, io, pair[1]);
		close(pair[1]);
		code = st->pid < 0 ? 125 : stage_answer_wait(pair[0], text, len);
		close(pair[0]);
	}
	if (setns(own, CLONE_NEWPID) < 0)
		log_error("return to the own namespace: %s", strerror(errno));
	return code;
}

void streams_run_frame(struct streams *s, const struct agent_frame *f)
{
	struct process_io io = { -1, -1, -1, false };
	struct agent_run r;
	struct stream *st;
	struct err e = { 0 };
	char text[400] = "";
	int code = 125;

	if (agent_get_run(f->payload, &r, &e) < 0) {
		streams_send_failed(s, f->stream, 125, e.msg);
		return;
	}
	st = s->n < AGENT_STREAMS_MAX && !stream_find(s, f->stream) ? stream_new(s, f->stream)
								    : NULL;
	if (!st) {
		streams_send_failed(s, f->stream, 125,
				    "too many processes, or the stream is in use");
	} else if ((r.flags & AGENT_RUN_TTY ? io_terminal : io_pipes)(st, r.flags & AGENT_RUN_STDIN,
								      &io) < 0) {
		snprintf(text, sizeof(text), "pipes or terminal: %s", strerror(errno));
	} else if ((r.flags & AGENT_RUN_MAIN) && (!s->stage.pid || s->stage.is_used)) {
		snprintf(text, sizeof(text),
			 "no root is mounted, or the main process runs already");
	} else if ((r.flags & AGENT_RUN_MAIN) && disks_refresh(&r, &e) < 0) {
		snprintf(text, sizeof(text), "%s", e.msg);
	} else {
		if (r.flags & AGENT_RUN_MAIN)
			st->pid = s->stage.pid;
		code = r.flags & AGENT_RUN_MAIN
			       ? stage_order(&s->stage, f->payload, &io, text, sizeof(text))
			       : exec_start(s, st, &r, &io, text, sizeof(text));
	}
	io_done(&io);
	agent_run_done(&r);
	if (!st)
		return;
	if (code == 0 && stream_watch(st, &e) == 0) {
		streams_sent(s, agent_put_u32(s->out, AGENT_STARTED, st->id, (uint32_t)st->pid));
		return;
	}
	streams_send_failed(s, st->id, (uint32_t)(code ? code : 125), code ? text : e.msg);
	stream_free(st);
}
