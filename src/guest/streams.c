/* SPDX-License-Identifier: MIT */
/*
 * streams.c - the processes of this machine and the data to and from them
 *
 * A stream is one process with up to three channels. Data to the host is read from the process only
 * while the host has given credit and the channel's buffer has room, so nothing here grows with
 * what an app prints. Data from the host is kept in `input` (at most AGENT_WINDOW, by credit) until
 * the process takes it.
 *
 * Life: RUN makes a stream and a process (stream_start.c); FAILED ends it at once; otherwise
 * STARTED, data, and after the end of the process: what it has left in the pipes, however slow the
 * host takes it, and what others write to them for at most LINGER_MS; ends of stdout and stderr,
 * EXITED.
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "bytes.h"
#include "fdio.h"
#include "log.h"
#include "streams_internal.h"

#define LINGER_MS 100
#define OUT_HIGH  (128U << 10) /* bytes waiting for the host above which no process is read */

static void channel_readable(void *arg, uint32_t events);
static void input_writable(void *arg, uint32_t events);
static void linger_over(void *arg);

/* ---- messages to the host ---- */

void streams_sent(struct streams *s, int rc)
{
	if (rc < 0)
		log_error("out of memory for the host's messages");
	s->kick(s->kick_arg);
}

void streams_send_failed(struct streams *s, uint32_t id, uint32_t code, const char *text)
{
	streams_sent(s, agent_put_text(s->out, AGENT_FAILED, id, 0, code, text));
}

static void send_exited(struct stream *st)
{
	uint8_t raw[8];

	put_le32(raw, st->status);
	put_le32(raw + 4, st->was_oom);
	streams_sent(st->all, agent_put(st->all->out, AGENT_EXITED, st->id, raw, sizeof(raw)));
}

/* ---- streams ---- */

struct stream *stream_find(struct streams *s, uint32_t id)
{
	struct stream *st = s->list;

	while (st && st->id != id)
		st = st->next;
	return st;
}

static void channel_close(struct channel *c)
{
	if (c->fd < 0)
		return;
	loop_watch_drop(c->watch);
	c->watch = NULL;
	fd_drop(&c->fd);
	streams_sent(c->stream->all,
		     agent_put(c->stream->all->out, c->type, c->stream->id, NULL, 0));
}

static void input_close(struct stream *st)
{
	loop_watch_drop(st->in_watch);
	st->in_watch = NULL;
	fd_drop(&st->in_fd);
	buf_done(&st->input);
}

void stream_free(struct stream *st)
{
	struct stream **p = &st->all->list;

	while (*p != st)
		p = &(*p)->next;
	*p = st->next;
	st->all->n--;
	input_close(st);
	for (int i = 0; i < CHANNELS; i++) {
		loop_watch_drop(st->out[i].watch);
		fd_drop(&st->out[i].fd);
	}
	loop_timer_drop(st->linger);
	free(st);
}

struct stream *stream_new(struct streams *s, uint32_t id)
{
	struct stream *st = calloc(1, sizeof(*st));
	struct err e;

	if (!st)
		return NULL;
	st->all = s;
	st->id = id;
	st->in_fd = -1;
	for (int i = 0; i < CHANNELS; i++)
		st->out[i] = (struct channel){ .stream = st,
					       .fd = -1,
					       .type = i ? AGENT_STDERR : AGENT_STDOUT,
					       .credit = AGENT_WINDOW };
	if (loop_timer_new(s->loop, linger_over, st, &st->linger, &e) < 0) {
		free(st);
		return NULL;
	}
	st->next = s->list;
	s->list = st;
	s->n++;
	return st;
}

int stream_watch(struct stream *st, struct err *e)
{
	for (int i = 0; i < CHANNELS; i++) {
		struct channel *c = &st->out[i];

		if (c->fd >= 0 && loop_watch_fd(st->all->loop, c->fd, EPOLLIN, channel_readable, c,
						&c->watch, e) < 0)
			return -e->code;
	}
	if (st->in_fd >= 0 &&
	    loop_watch_fd(st->all->loop, st->in_fd, 0, input_writable, st, &st->in_watch, e) < 0)
		return -e->code;
	return 0;
}

/* After the process's end: once both channels have ended, or lingered long enough, say so and
 * forget. */
static void stream_settle(struct stream *st)
{
	if (!st->has_exited || st->out[0].fd >= 0 || st->out[1].fd >= 0)
		return;
	send_exited(st);
	stream_free(st);
}

/* What its process has written and nobody has read yet. */
static size_t channel_left(const struct channel *c)
{
	int n = 0;

	return c->fd >= 0 && ioctl(c->fd, FIONREAD, &n) == 0 && n > 0 ? (size_t)n : 0;
}

static void linger_over(void *arg)
{
	struct stream *st = arg;

	for (int i = 0; i < CHANNELS; i++) {
		/* what is flushed, as a terminal can be, nobody gets */
		if (MIN_OF(st->out[i].owed, channel_left(&st->out[i])) > 0) {
			loop_timer_arm(st->linger, LINGER_MS);
			return;
		}
	}
	for (int i = 0; i < CHANNELS; i++)
		channel_close(&st->out[i]);
	stream_settle(st);
}

/* Read once. False when there is nothing more to do on this channel for now. */
static bool channel_read(struct channel *c)
{
	struct streams *s = c->stream->all;
	uint8_t data[AGENT_DATA_MAX];
	ssize_t n;

	if (c->fd < 0)
		return false;
	if (!c->credit || s->out->len > OUT_HIGH) {
		struct err e;

		c->is_hungry = true; /* resumed by credit or room */
		if (loop_watch_set(c->watch, 0, &e) < 0)
			log_error("%s", e.msg);
		return false;
	}
	n = read(c->fd, data, MIN_OF(sizeof(data), (size_t)c->credit));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) { /* the end; a terminal says EIO */
		channel_close(c);
		return false;
	}
	c->credit -= (uint32_t)n;
	c->owed -= MIN_OF(c->owed, (size_t)n);
	streams_sent(s, agent_put(s->out, c->type, c->stream->id, data, (size_t)n));
	return true;
}

static void channel_readable(void *arg, uint32_t events)
{
	struct channel *c = arg;
	struct stream *st = c->stream;

	(void)events;
	(void)channel_read(c);
	stream_settle(st);
}

static void channel_resume(struct channel *c)
{
	struct err e;

	if (c->fd < 0 || !c->is_hungry || !c->credit)
		return;
	c->is_hungry = false;
	if (loop_watch_set(c->watch, EPOLLIN, &e) < 0)
		log_error("%s", e.msg);
}

void streams_resume(struct streams *s)
{
	for (struct stream *st = s->list; st; st = st->next)
		for (int i = 0; i < CHANNELS; i++)
			channel_resume(&st->out[i]);
}

/* ---- stdin ---- */

static void input_flush(struct stream *st)
{
	struct err e;
	size_t done = 0;

	while (st->in_fd >= 0 && done < st->input.len) {
		ssize_t n = write(st->in_fd, st->input.data + done, st->input.len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) { /* the process has closed it: what comes is thrown away */
			done = st->input.len;
			input_close(st);
			break;
		}
		done += (size_t)n;
	}
	if (done)
		streams_sent(st->all,
			     agent_put_credit(st->all->out, st->id, (uint32_t)done, AGENT_STDIN));
	buf_consume(&st->input, done);
	if (st->in_fd < 0)
		return;
	if (!st->input.len && st->input_ended)
		input_close(st);
	else if (st->in_watch && loop_watch_set(st->in_watch, st->input.len ? EPOLLOUT : 0, &e) < 0)
		log_error("%s", e.msg);
}

static void input_writable(void *arg, uint32_t events)
{
	struct stream *st = arg;

	if ((events & (EPOLLERR | EPOLLHUP)) && !(events & EPOLLOUT))
		input_close(st);
	else
		input_flush(st);
}

static void input_frame(struct stream *st, struct agent_bytes data)
{
	static const uint8_t eot = 4; /* what ends the input of a terminal */

	if (st->in_fd < 0) {
		if (data.len)
			streams_sent(st->all,
				     agent_put_credit(st->all->out, st->id, data.len, AGENT_STDIN));
		return;
	}
	if (!data.len) {
		st->input_ended = !st->is_tty;
		if (st->is_tty && buf_add(&st->input, &eot, 1) < 0)
			log_error("input is full");
	} else if (st->input.len + data.len > AGENT_WINDOW ||
		   buf_add(&st->input, data.data, data.len) < 0) {
		log_error("the host sent more input than it had credit for");
	}
	input_flush(st);
}

/* ---- the rest ---- */

static void credit_frame(struct stream *st, struct agent_bytes p)
{
	struct err e;
	uint32_t bytes;
	uint16_t which;

	if (agent_get_credit(p, &bytes, &which, &e) < 0)
		return;
	for (int i = 0; i < CHANNELS; i++) {
		struct channel *c = &st->out[i];

		if (c->type != which)
			continue;
		c->credit = bytes > AGENT_WINDOW - MIN_OF(c->credit, AGENT_WINDOW)
				    ? AGENT_WINDOW
				    : c->credit + bytes;
		channel_resume(c);
	}
}

static void resize_frame(struct stream *st, struct agent_bytes p)
{
	struct winsize ws = { 0 };
	struct err e;

	if (st->is_tty && st->out[0].fd >= 0 &&
	    agent_get_resize(p, &ws.ws_row, &ws.ws_col, &e) == 0)
		(void)ioctl(st->out[0].fd, TIOCSWINSZ, &ws); /* a hint */
}

static void signal_frame(struct stream *st, struct agent_bytes p)
{
	struct err e;
	uint32_t signo;

	if (agent_get_u32(p, &signo, &e) == 0 && signo > 0 && signo < 65 && !st->has_exited)
		(void)kill(st->pid, (int)signo); /* it may have ended this instant */
}

void streams_frame(struct streams *s, const struct agent_frame *f)
{
	struct stream *st = stream_find(s, f->stream);

	if (f->type == AGENT_RUN)
		streams_run_frame(s, f);
	else if (!st)
		return; /* ended while the host's frame was on its way */
	else if (f->type == AGENT_STDIN)
		input_frame(st, f->payload);
	else if (f->type == AGENT_RESIZE)
		resize_frame(st, f->payload);
	else if (f->type == AGENT_SIGNAL)
		signal_frame(st, f->payload);
	else if (f->type == AGENT_CREDIT)
		credit_frame(st, f->payload);
}

/* How often the kernel has killed for memory, so far. */
static uint64_t oom_count(void)
{
	auto_buf b = { 0 };
	struct err e;
	const char *p;

	if (file_read_at(AT_FDCWD, "/proc/vmstat", 65536, &b, &e) < 0 || !b.data)
		return 0;
	p = strstr(b.data, "oom_kill ");
	return p ? strtoull(p + strlen("oom_kill "), NULL, 10) : 0;
}

static void stream_exited(struct stream *st, int status)
{
	st->has_exited = true;
	st->status = (uint32_t)(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
		uint64_t now = oom_count();

		st->was_oom = now > st->all->oom_kills;
		st->all->oom_kills = now;
	}
	if (st->id == AGENT_STREAM_MAIN)
		st->all->stage.pid = 0;
	input_close(st);
	loop_timer_arm(st->linger, LINGER_MS);
	for (int i = 0; i < CHANNELS; i++)
		st->out[i].owed = channel_left(&st->out[i]);
	for (int i = 0; i < CHANNELS; i++)
		while (channel_read(&st->out[i]))
			;
	stream_settle(st);
}

void streams_reap(struct streams *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct stream *st = s->list;

		while (st && st->pid != pid)
			st = st->next;
		if (st)
			stream_exited(st, status);
	}
}

int streams_new(struct loop *l, struct streams **ret, struct err *e)
{
	struct streams *s = calloc(1, sizeof(*s));

	if (!s)
		return err_set(e, ENOMEM, "streams");
	s->loop = l;
	s->stage = (struct stage){
		.sock = -1, .pid_ns = -1, .mnt_ns = -1, .ipc_ns = -1, .devpts = -1
	};
	*ret = s;
	return 0;
}

void streams_attach(struct streams *s, struct buf *out, void (*kick)(void *arg), void *arg)
{
	s->out = out;
	s->kick = kick;
	s->kick_arg = arg;
}

struct stage *streams_stage(struct streams *s)
{
	return &s->stage;
}
