/* SPDX-License-Identifier: MIT */
/*
 * keeper_session.c - connections of clients, and what goes to them
 *
 * A session is one connection; what its client asks for is keeper_request.c's. Output that a client
 * does not take fast enough stays in its buffer; while an attached client has more than
 * KEEPER_OUT_HIGH waiting, the guest gets no new credit for that process, so the app waits, as it
 * would on a slow terminal. The log never waits. Input is read from a client only while the guest
 * has given credit for it.
 */
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "bytes.h"
#include "fdio.h"
#include "keeper_session_internal.h"
#include "log.h"

#define SESSIONS_MAX AGENT_STREAMS_MAX
#define IN_MAX       (AGENT_HEAD_LEN + AGENT_PAYLOAD_MAX + AGENT_DATA_MAX)
#define OUT_MAX      (16U << 20)
#define DRAIN_S      5
#define SOCKET_NAME  "ctl.sock"

static void session_drop(struct session *s)
{
	struct session **p = &s->k->sessions;

	while (*p != s)
		p = &(*p)->next;
	*p = s->next;
	s->k->n_sessions--;
	loop_watch_drop(s->watch);
	fd_drop(&s->fd);
	buf_done(&s->in);
	buf_done(&s->out);
	free(s);
}

bool session_lives(const struct keeper *k, const struct session *which)
{
	for (const struct session *s = k->sessions; s; s = s->next)
		if (s == which)
			return true;
	return false;
}

/* ---- credit for output ---- */

static bool main_is_held(const struct keeper *k)
{
	for (const struct session *s = k->sessions; s; s = s->next)
		if (s->kind == SESSION_ATTACH && s->wants_output && s->out.len > KEEPER_OUT_HIGH)
			return true;
	return false;
}

static void credit_give(struct keeper *k, uint32_t stream, uint32_t unread[2])
{
	for (int i = 0; i < 2; i++) {
		uint32_t n = unread[i];

		unread[i] = 0;
		link_credit(k, stream, i ? AGENT_STDERR : AGENT_STDOUT, n);
	}
}

static void credit_look(struct session *s)
{
	struct keeper *k = s->k;

	if (s->kind == SESSION_EXEC && s->out.len <= KEEPER_OUT_HIGH)
		credit_give(k, s->stream, s->unread);
	if (s->kind == SESSION_ATTACH && !main_is_held(k))
		credit_give(k, AGENT_STREAM_MAIN, k->main_unread);
}

/* ---- to the client ---- */

uint64_t *session_in_credit(struct session *s)
{
	return s->kind == SESSION_ATTACH ? &s->k->main_in_credit : &s->in_credit;
}

static void watch_update(struct session *s)
{
	bool may_read = !s->wants_stdin || *session_in_credit(s) >= AGENT_DATA_MAX ||
			s->k->phase != KEEPER_RUNNING;
	struct err e = { 0 };

	if (s->watch && loop_watch_set(s->watch,
				       (may_read ? (uint32_t)EPOLLIN : 0U) |
					       (s->out.len ? (uint32_t)EPOLLOUT : 0U),
				       &e) < 0)
		log_error("%s", e.msg);
}

static void main_in_end(struct keeper *k)
{
	if (agent_put(&k->agent_out, AGENT_STDIN, AGENT_STREAM_MAIN, NULL, 0) == 0)
		link_flush(k);
}

/* The connection ends, its process does not. May free the session. */
static void client_gone(struct session *s)
{
	struct keeper *k = s->k;

	if (s->kind == SESSION_ATTACH && s->wants_stdin && !k->config.has_tty &&
	    !k->main_in_ended) {
		k->main_in_ended = true; /* as Docker's StdinOnce */
		if (k->phase == KEEPER_RUNNING)
			main_in_end(k);
	}
	loop_watch_drop(s->watch);
	s->watch = NULL;
	fd_drop(&s->fd);
	buf_clear(&s->out);
	credit_look(s);
	if (s->kind != SESSION_EXEC || s->is_closing)
		session_drop(s);
}

/* False when the session is gone. */
static bool session_flush(struct session *s)
{
	size_t done = 0;

	while (s->fd >= 0 && done < s->out.len) {
		ssize_t n = send(s->fd, s->out.data + done, s->out.len - done,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			client_gone(s);
			return false;
		}
		if (n < 0)
			break;
		done += (size_t)n;
	}
	buf_consume(&s->out, done);
	if (s->is_closing && s->out.len == 0) {
		session_drop(s);
		return false;
	}
	credit_look(s);
	watch_update(s);
	return true;
}

/* False when the session is gone. */
bool session_reply(struct session *s, int rc)
{
	if (s->fd < 0)
		return true;
	if (rc < 0) {
		client_gone(s);
		return false;
	}
	return session_flush(s);
}

/* Its last word. */
void session_reply_last(struct session *s, int rc)
{
	s->is_closing = true;
	if (s->fd < 0)
		session_drop(s);
	else
		(void)session_reply(s, rc);
}

void session_reply_error(struct session *s, uint32_t code, const char *text)
{
	session_reply_last(s, agent_put_text(&s->out, AGENT_ERROR, 0, 0, code, text));
}

static int frame_copy(struct session *s, const struct agent_frame *f)
{
	return agent_put(&s->out, f->type, 0, f->payload.data, f->payload.len);
}

static int exited_put(struct session *s, uint32_t code, bool was_oom)
{
	uint8_t raw[8];

	put_le32(raw, code);
	put_le32(raw + 4, was_oom);
	return agent_put(&s->out, AGENT_EXITED, 0, raw, sizeof(raw));
}

/* ---- from the guest ---- */

struct session *session_exec_find(struct keeper *k, uint32_t stream)
{
	for (struct session *s = k->sessions; s; s = s->next)
		if (s->kind == SESSION_EXEC && s->stream == stream)
			return s;
	return NULL;
}

static void exec_output(struct keeper *k, const struct agent_frame *f)
{
	struct session *s = session_exec_find(k, f->stream);

	if (!s)
		return;
	if (f->type != AGENT_STARTED)
		s->unread[f->type == AGENT_STDERR] += f->payload.len;
	if (s->fd >= 0 && (s->wants_output || f->type == AGENT_STARTED))
		(void)session_reply(s, frame_copy(s, f));
	else
		credit_look(s);
}

void sessions_output(struct keeper *k, const struct agent_frame *f)
{
	struct session *next;

	if (f->stream != AGENT_STREAM_MAIN) {
		exec_output(k, f);
		return;
	}
	k->main_unread[f->type == AGENT_STDERR] += f->payload.len;
	for (struct session *s = k->sessions; s; s = next) {
		next = s->next;
		if (s->kind == SESSION_ATTACH && s->wants_output && !s->is_closing)
			(void)session_reply(s, frame_copy(s, f));
	}
	if (!main_is_held(k))
		credit_give(k, AGENT_STREAM_MAIN, k->main_unread);
}

/* Of the record: shorter than CTL_NOTICE_MAX. */
static void sessions_notice(struct keeper *k, const char *text)
{
	struct session *next;

	for (struct session *s = k->sessions; s; s = next) {
		next = s->next;
		if (s->kind == SESSION_ATTACH && !s->is_closing)
			(void)session_reply(s,
					    agent_put(&s->out, CTL_NOTICE, 0, text, strlen(text)));
	}
}

void sessions_started(struct keeper *k, const struct agent_frame *f)
{
	struct timespec now;
	struct session *next;
	struct err e = { 0 };

	log_trace("keeper: main process runs");
	if (k->avoids_template)
		sessions_notice(k, k->state.boot_reason);
	loop_timer_disarm(k->start_timer);
	k->phase = KEEPER_RUNNING;
	k->main_in_credit = AGENT_WINDOW;
	clock_gettime(CLOCK_REALTIME, &now);
	k->state.status = MACHINE_RUNNING;
	k->state.started_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	k->state.keeper_pid = (int32_t)getpid();
	record_state_write(k);
	for (struct session *s = k->sessions; s; s = next) {
		next = s->next;
		if (s->kind != SESSION_ATTACH)
			continue;
		if (s->wants_output || s->wants_stdin)
			(void)session_reply(s, frame_copy(s, f));
		else /* only wanted to know */
			session_reply_last(s, frame_copy(s, f));
	}
	log_trace("keeper: told");
	if (k->main_in_ended) /* its client went before it ran */
		main_in_end(k);
	if (k->wants_image_template) {
		struct template_want w = k->want;

		w.image_id = k->config.image_id;
		if (template_make_in_background(k->g, &w, &e) < 0)
			log_warn("%s", e.msg);
	}
}

void sessions_credit(struct keeper *k, uint32_t stream, uint32_t bytes)
{
	struct session *x = session_exec_find(k, stream), *next;

	if (stream == AGENT_STREAM_MAIN)
		k->main_in_credit = MIN_OF(k->main_in_credit + bytes, (uint64_t)AGENT_WINDOW);
	else if (x)
		x->in_credit = MIN_OF(x->in_credit + bytes, (uint64_t)AGENT_WINDOW);
	for (struct session *s = k->sessions; s && k->phase == KEEPER_RUNNING; s = next) {
		next = s->next;
		if (!s->wants_stdin || s->fd < 0)
			continue;
		session_frames_handle(s); /* what has waited for it */
		if (session_lives(k, s))
			watch_update(s);
	}
}

void sessions_exec_end(struct keeper *k, const struct agent_frame *f)
{
	struct session *s = session_exec_find(k, f->stream);
	struct err e = { 0 };
	char text[300];
	uint32_t code;
	bool was_oom;

	if (!s)
		return;
	if (f->type == AGENT_EXITED && agent_get_exited(f->payload, &code, &was_oom, &e) == 0)
		session_reply_last(s, exited_put(s, code & 0xff, was_oom));
	else if (agent_get_failed(f->payload, &code, text, sizeof(text), &e) == 0)
		session_reply_last(s, agent_put_text(&s->out, AGENT_FAILED, 0, 0, code, text));
	else
		session_reply_error(s, EPROTO, e.msg);
}

void sessions_main_end(struct keeper *k, uint32_t code)
{
	struct session *next;

	if (*k->state.error)
		sessions_notice(k, k->state.error);
	for (struct session *s = k->sessions; s; s = next) {
		next = s->next;
		if (s->is_closing)
			continue;
		if (s->kind == SESSION_ATTACH || s->kind == SESSION_WAIT)
			session_reply_last(s, exited_put(s, code, k->state.was_oom));
		else if (s->kind == SESSION_EXEC)
			session_reply_last(
				s, exited_put(s, 137, false)); /* it ended with the machine */
	}
}

void sessions_error(struct keeper *k, uint32_t code, const char *text)
{
	struct session *next;

	for (struct session *s = k->sessions; s; s = next) {
		next = s->next;
		if (!s->is_closing)
			session_reply_last(s,
					   agent_put_text(&s->out, AGENT_FAILED, 0, 0, code, text));
	}
}

/* ---- from the client ---- */

static void session_event(void *arg, uint32_t events)
{
	struct session *s = arg;
	struct keeper *k = s->k;
	ssize_t n;

	if ((events & EPOLLOUT) && !session_flush(s))
		return;
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	if (s->in.len >= IN_MAX - AGENT_DATA_MAX) { /* waits for credit */
		if (events & (EPOLLHUP | EPOLLERR))
			client_gone(s);
		return;
	}
	if (buf_reserve(&s->in, AGENT_DATA_MAX) < 0) {
		client_gone(s);
		return;
	}
	n = read(s->fd, s->in.data + s->in.len, AGENT_DATA_MAX);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_gone(s);
		return;
	}
	s->in.len += (size_t)n;
	session_frames_handle(s);
	if (session_lives(k, s))
		watch_update(s);
}

/* ---- connections ---- */

int session_new(struct keeper *k, int fd, struct session **ret, struct err *e)
{
	struct session *s = k->n_sessions < SESSIONS_MAX ? calloc(1, sizeof(*s)) : NULL;
	int rc;

	if (!s) {
		close(fd);
		return err_plain(e, EMFILE, "too many sessions");
	}
	*s = (struct session){ .k = k, .fd = fd };
	s->in.max = IN_MAX;
	s->out.max = OUT_MAX;
	s->next = k->sessions;
	k->sessions = s;
	k->n_sessions++;
	rc = fd_set_nonblock(fd, true);
	if (rc < 0)
		rc = err_set(e, -rc, "socket");
	else
		rc = loop_watch_fd(k->loop, fd, EPOLLIN, session_event, s, &s->watch, e);
	if (rc < 0) {
		session_drop(s);
		return rc;
	}
	if (ret)
		*ret = s;
	return 0;
}

static void listen_event(void *arg, uint32_t events)
{
	struct keeper *k = arg;
	int fd = accept4(k->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct err e = { 0 };

	(void)events;
	if (fd >= 0 && session_new(k, fd, NULL, &e) < 0)
		log_warn("%s", e.msg);
}

int sessions_listen(struct keeper *k, struct err *e)
{
	(void)unlinkat(k->run_fd, SOCKET_NAME, 0); /* of an earlier keeper; we have the lock */
	if (unix_listen_at(k->run_fd, SOCKET_NAME, &k->listen_fd, e) < 0)
		return -e->code;
	return loop_watch_fd(k->loop, k->listen_fd, EPOLLIN, listen_event, k, &k->listen_watch, e);
}

/* What is theirs, and DRAIN_S for a client that does not take it. */
static void session_drain(struct session *s)
{
	struct timeval limit = { .tv_sec = DRAIN_S };
	size_t done = 0;

	if (s->fd < 0 || s->out.len == 0 || fd_set_nonblock(s->fd, false) < 0)
		return;
	(void)setsockopt(s->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	while (done < s->out.len) {
		ssize_t n = send(s->fd, s->out.data + done, s->out.len - done, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return;
		done += n > 0 ? (size_t)n : 0;
	}
}

void sessions_free(struct keeper *k)
{
	loop_watch_drop(k->listen_watch);
	k->listen_watch = NULL;
	fd_drop(&k->listen_fd);
	while (k->sessions) {
		session_drain(k->sessions);
		session_drop(k->sessions);
	}
}
