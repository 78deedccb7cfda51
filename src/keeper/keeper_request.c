/* SPDX-License-Identifier: MIT */
/*
 * keeper_request.c - what clients ask for: attach, exec, stop, wait, signals, input, memory
 *
 * The first frame says what a session is. Input waits in the connection until the guest has given
 * credit for it.
 */
#include <signal.h>

#include "bytes.h"
#include "keeper_session_internal.h"
#include "log.h"

#define DRIVER_MS 2000U

/* ---- from the client ---- */

int session_attach(struct session *s, const struct ctl_attach *a)
{
	struct keeper *k = s->k;

	s->kind = SESSION_ATTACH;
	s->stream = AGENT_STREAM_MAIN;
	s->wants_output = a->flags & CTL_ATTACH_OUTPUT;
	s->wants_stdin = (a->flags & CTL_ATTACH_STDIN) && k->config.has_stdin;
	if (a->rows && a->cols && k->config.has_tty &&
	    agent_put_resize(&k->agent_out, AGENT_STREAM_MAIN, a->rows, a->cols) < 0)
		return -ENOMEM;
	return 0;
}

static void attach_handle(struct session *s, const struct agent_frame *f)
{
	struct ctl_attach a;
	struct err e = { 0 };
	uint8_t pid[4] = { 1 };

	if (ctl_get_attach(f->payload, &a, &e) < 0) {
		session_reply_error(s, EPROTO, e.msg);
		return;
	}
	if (session_attach(s, &a) < 0) {
		session_reply_error(s, ENOMEM, "out of memory");
		return;
	}
	link_flush(s->k);
	if (s->k->phase == KEEPER_RUNNING)
		(void)session_reply(s, agent_put(&s->out, AGENT_STARTED, 0, pid, sizeof(pid)));
}

static void exec_start(struct session *s, const struct agent_frame *f)
{
	struct keeper *k = s->k;
	struct agent_run r;
	struct err e = { 0 };

	if (agent_get_run(f->payload, &r, &e) < 0) {
		session_reply_error(s, EPROTO, e.msg);
		return;
	}
	s->wants_stdin = r.flags & AGENT_RUN_STDIN;
	s->wants_output = true;
	agent_run_done(&r);
	if (k->phase != KEEPER_RUNNING) {
		session_reply_error(s, ESRCH, "the machine is not running");
		return;
	}
	do {
		s->stream = k->next_stream++;
		if (k->next_stream < AGENT_STREAM_MAIN + 1)
			k->next_stream = AGENT_STREAM_MAIN + 1;
	} while (s->stream <= AGENT_STREAM_MAIN || session_exec_find(k, s->stream));
	s->kind = SESSION_EXEC;
	s->in_credit = AGENT_WINDOW;
	if (agent_put(&k->agent_out, AGENT_RUN, s->stream, f->payload.data, f->payload.len) < 0)
		session_reply_error(s, ENOMEM, "out of memory");
	else
		link_flush(k);
}

static void signal_handle(struct session *s, const struct agent_frame *f)
{
	struct keeper *k = s->k;
	struct err e = { 0 };
	uint32_t signo;

	if (agent_get_u32(f->payload, &signo, &e) < 0 || signo == 0 || signo > 64) {
		session_reply_error(s, EINVAL, "no such signal");
		return;
	}
	if (s->kind == SESSION_EXEC) {
		if (agent_put_u32(&k->agent_out, AGENT_SIGNAL, s->stream, signo) == 0)
			link_flush(k);
		return;
	}
	if (k->phase == KEEPER_BOOTING && signo != SIGKILL) {
		session_reply_error(s, ESRCH, "the machine is not running");
		return;
	}
	/* first: all other sessions hear that the start failed, where it ends one */
	if (s->kind == SESSION_NEW)
		session_reply_last(s, agent_put(&s->out, AGENT_OK, 0, "\0", 2));
	keeper_signal(k, signo); /* `s` may be gone */
}

/* What it shall have is set aside when the VMM has been told, and not kept for the next start. */
static int memory_change(struct keeper *k, uint64_t bytes, struct err *e)
{
	const uint64_t least = k->want.mem_bytes, most = k->want.mem_max_bytes;

	if (!most)
		return err_plain(e, ENOTSUP,
				 "its memory does not grow: it was created without --memory-max");
	if (bytes < least || bytes > most)
		return err_plain(
			e, EINVAL,
			"its memory is from %lluMB, with which it began, to %lluMB, its --memory-max",
			(unsigned long long)(least >> 20), (unsigned long long)(most >> 20));
	bytes = align_up(bytes, VM_MEM_UNIT);
	if (k->driver->resize(k->vm, bytes - least, DRIVER_MS, e) < 0)
		return -e->code;
	k->mem_bytes = bytes;
	return 0;
}

static int memory_handle(struct session *s, const struct agent_frame *f, struct err *e)
{
	struct keeper *k = s->k;
	struct ctl_memory m = { .least = k->want.mem_bytes,
				.most = MAX_OF(k->want.mem_bytes, k->want.mem_max_bytes) };
	uint64_t bytes, grown = 0;

	if (ctl_get_memory(f->payload, &bytes, e) < 0)
		return -e->code;
	if (k->phase != KEEPER_RUNNING)
		return err_plain(e, ESRCH, "the machine is not running");
	if ((bytes && memory_change(k, bytes, e) < 0) ||
	    (k->want.mem_max_bytes && k->driver->grown(k->vm, &grown, DRIVER_MS, e) < 0))
		return -e->code;
	m.wanted = k->mem_bytes;
	m.now = m.least + grown;
	session_reply_last(s, ctl_put_memory_is(&s->out, &m));
	return 0;
}

static void first_frame(struct session *s, const struct agent_frame *f)
{
	struct err e = { 0 };
	uint32_t timeout;

	switch (f->type) {
	case CTL_ATTACH:
		attach_handle(s, f);
		break;
	case AGENT_RUN:
		exec_start(s, f);
		break;
	case AGENT_SIGNAL:
		signal_handle(s, f);
		break;
	case CTL_STOP:
		s->kind = SESSION_WAIT;
		if (agent_get_u32(f->payload, &timeout, &e) < 0)
			session_reply_error(s, EPROTO, e.msg);
		else
			keeper_stop(s->k, timeout);
		break;
	case CTL_WAIT:
		s->kind = SESSION_WAIT;
		break;
	case CTL_MEMORY:
		if (memory_handle(s, f, &e) < 0)
			session_reply_error(s, (uint32_t)e.code, e.msg);
		break;
	default:
		session_reply_error(s, EPROTO, "unknown request");
	}
}

static void stdin_handle(struct session *s, const struct agent_frame *f)
{
	struct keeper *k = s->k;
	bool is_main = s->kind == SESSION_ATTACH;

	if (!s->wants_stdin || f->payload.len > *session_in_credit(s) ||
	    (is_main && k->main_in_ended)) {
		if (s->wants_stdin && !(is_main && k->main_in_ended))
			session_reply_error(s, EPROTO, "more input than was asked for");
		return;
	}
	*session_in_credit(s) -= f->payload.len;
	if (is_main && f->payload.len == 0)
		k->main_in_ended = true;
	if (agent_put(&k->agent_out, AGENT_STDIN, s->stream, f->payload.data, f->payload.len) < 0)
		log_error("input is lost: out of memory");
	link_flush(k);
}

static void next_frame(struct session *s, const struct agent_frame *f)
{
	struct keeper *k = s->k;

	if (k->phase != KEEPER_RUNNING)
		return;
	switch (f->type) {
	case AGENT_STDIN:
		stdin_handle(s, f);
		break;
	case AGENT_RESIZE:
		if (agent_put(&k->agent_out, AGENT_RESIZE, s->stream, f->payload.data,
			      f->payload.len) == 0)
			link_flush(k);
		break;
	case AGENT_SIGNAL:
		signal_handle(s, f);
		break;
	default:
		session_reply_error(s, EPROTO, "unknown request");
	}
}

void session_frames_handle(struct session *s)
{
	struct keeper *k = s->k;
	struct agent_frame f;
	struct err e = { 0 };
	size_t len;

	while (s->fd >= 0 && !s->is_closing) {
		int rc = agent_frame_parse(s->in.data, s->in.len, &f, &len, &e);

		if (rc < 0)
			session_reply_error(s, EPROTO, e.msg);
		if (rc <= 0)
			return;
		if (f.type == AGENT_STDIN &&
		    (k->phase == KEEPER_BOOTING ||
		     (s->wants_stdin && f.payload.len > *session_in_credit(s) &&
		      k->phase == KEEPER_RUNNING)))
			return; /* later */
		if (s->kind == SESSION_NEW)
			first_frame(s, &f);
		else
			next_frame(s, &f);
		if (!session_lives(k, s))
			return;
		buf_consume(&s->in, len);
	}
}
