/* SPDX-License-Identifier: MIT */
/*
 * machine_pump.c - the streams of a session, between the user and a keeper
 *
 * Two directions, pumped by poll: what the user types (detach keys taken out) and what comes back.
 * stdin is read only while the keeper takes what was sent, so that neither side ever holds more
 * than a few frames.
 */
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include "machine_conn_internal.h"

#define DEFAULT_KEYS "ctrl-p,ctrl-q"

int machine_keys_parse(struct machine_conn *c, const char *keys, struct err *e)
{
	const char *p = keys ? keys : DEFAULT_KEYS;

	while (*p) {
		size_t n = strcspn(p, ",");
		uint8_t key;

		if (n == 6 && strncasecmp(p, "ctrl-", 5) == 0) {
			char ch = p[5];

			if (ch >= 'a' && ch <= 'z')
				key = (uint8_t)(ch - 'a' + 1);
			else if (ch >= '@' && ch <= '_')
				key = (uint8_t)(ch - '@');
			else
				n = 0;
		} else if (n == 1) {
			key = (uint8_t)*p;
		} else {
			n = 0;
		}
		if (n == 0 || c->n_keys == KEYS_MAX)
			return err_plain(e, EINVAL, "invalid detach keys (%s)", keys ? keys : "");
		c->keys[c->n_keys++] = key;
		p += n;
		p += *p == ',';
	}
	return 0;
}

/* ---- the pump ---- */

struct pump {
	struct machine_conn *c;
	const struct machine_conn_ops *ops;
	int in_fd, signal_fd;
	bool in_is_open, has_detached, has_ended;
	int code;
};

static int frame_handle(struct pump *p, const struct agent_frame *f, struct err *e)
{
	char notice[CTL_NOTICE_MAX + 1];
	uint32_t status;
	bool was_oom;

	switch (f->type) {
	case CTL_NOTICE:
		machine_notice_get(f, notice);
		if (p->ops && p->ops->notice)
			p->ops->notice(p->ops->arg, notice);
		return 0;
	case AGENT_STDOUT:
	case AGENT_STDERR:
		if (f->payload.len == 0 || !p->ops)
			return 0;
		return p->ops->output(p->ops->arg, f->type == AGENT_STDERR ? 2 : 1, f->payload.data,
				      f->payload.len) < 0
			       ? err_set(e, EPIPE, "output")
			       : 0;
	case AGENT_EXITED:
		if (agent_get_exited(f->payload, &status, &was_oom, e) < 0)
			return -e->code;
		p->has_ended = true;
		p->code = (int)status;
		return 0;
	case AGENT_ERROR:
	case AGENT_FAILED:
		return machine_failure_get(f, e);
	default:
		return 0;
	}
}

/* 0 at the end of the connection, 1 to go on. */
static int conn_readable(struct pump *p, struct err *e)
{
	struct machine_conn *c = p->c;
	ssize_t n;

	if (buf_reserve(&c->in, READ_CHUNK) < 0)
		return err_set(e, ENOMEM, "connection");
	n = read(c->fd, c->in.data + c->in.len, READ_CHUNK);
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 1 : 0;
	c->in.len += (size_t)n;
	return n > 0;
}

static int frames_handle(struct pump *p, struct err *e)
{
	struct machine_conn *c = p->c;
	struct agent_frame f;
	size_t len, used = 0;
	int rc;

	while (!p->has_ended &&
	       (rc = agent_frame_parse(c->in.data + used, c->in.len - used, &f, &len, e)) != 0) {
		if (rc < 0 || frame_handle(p, &f, e) < 0)
			return -e->code;
		used += len;
	}
	buf_consume(&c->in, used);
	return 0;
}

/* Take the detach keys out of `data`; bytes of an unfinished sequence wait. */
static int typed_add(struct pump *p, const uint8_t *data, size_t n)
{
	struct machine_conn *c = p->c;
	uint8_t out[READ_CHUNK + KEYS_MAX];
	size_t len = 0;

	for (size_t i = 0; i < n && !p->has_detached; i++) {
		if (c->has_tty && c->n_keys && data[i] == c->keys[c->n_matched]) {
			c->n_matched++;
			p->has_detached = c->n_matched == c->n_keys;
			continue;
		}
		memcpy(out + len, c->keys, c->n_matched);
		len += c->n_matched;
		c->n_matched = 0;
		if (c->has_tty && c->n_keys && data[i] == c->keys[0])
			c->n_matched = 1;
		else
			out[len++] = data[i];
		if (len + KEYS_MAX >= AGENT_DATA_MAX) {
			if (agent_put(&c->out, AGENT_STDIN, 0, out, len) < 0)
				return -ENOMEM;
			len = 0;
		}
	}
	return len ? agent_put(&c->out, AGENT_STDIN, 0, out, len) : 0;
}

static int stdin_readable(struct pump *p, struct err *e)
{
	uint8_t data[READ_CHUNK / 2];
	ssize_t n = read(p->in_fd, data, sizeof(data));
	int rc;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0) {
		p->in_is_open = false;
		rc = agent_put(&p->c->out, AGENT_STDIN, 0, NULL, 0);
	} else {
		rc = typed_add(p, data, (size_t)n);
	}
	return rc < 0 ? err_set(e, -rc, "input") : 0;
}

static int winsize_put(struct pump *p)
{
	struct winsize ws;

	if (!p->c->has_tty || ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) < 0)
		return 0;
	return agent_put_resize(&p->c->out, 0, ws.ws_row, ws.ws_col);
}

static int signal_readable(struct pump *p, struct err *e)
{
	struct signalfd_siginfo si;
	int rc;

	if (read(p->signal_fd, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return 0;
	if (si.ssi_signo == SIGWINCH)
		rc = winsize_put(p);
	else if (si.ssi_signo == SIGCHLD || si.ssi_signo == SIGPIPE)
		rc = 0;
	else
		rc = agent_put_u32(&p->c->out, AGENT_SIGNAL, 0, si.ssi_signo);
	return rc < 0 ? err_set(e, -rc, "signal") : 0;
}

static int signals_open(bool proxy, sigset_t *old)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	if (proxy) {
		static const int passed[] = { SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,
					      SIGUSR1, SIGUSR2, SIGALRM };

		for (size_t i = 0; i < ARRAY_SIZE(passed); i++)
			sigaddset(&set, passed[i]);
	}
	sigprocmask(SIG_BLOCK, &set, old);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Write what fits without blocking. */
static int out_some(struct machine_conn *c, struct err *e)
{
	ssize_t n;

	if (c->out.len == 0)
		return 0;
	n = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n > 0)
		buf_consume(&c->out, (size_t)n);
	if (n < 0 && errno != EAGAIN && errno != EINTR && errno != EPIPE && errno != ECONNRESET)
		return err_set(e, errno, "the machine's keeper");
	if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
		buf_clear(&c->out); /* its last words may still be there to be read */
	return 0;
}

/* 1 to go on, 0 when it is over. */
static int pump_turn(struct pump *p, struct err *e)
{
	struct machine_conn *c = p->c;
	struct pollfd fds[3] = {
		{ .fd = c->fd, .events = (short)(POLLIN | (c->out.len ? POLLOUT : 0)) },
		{ .fd = p->in_is_open && c->out.len == 0 ? p->in_fd : -1, .events = POLLIN },
		{ .fd = p->signal_fd, .events = POLLIN },
	};
	int rc = 1;

	if (poll(fds, 3, -1) < 0)
		return errno == EINTR ? 1 : err_set(e, errno, "poll");
	if (fds[2].revents && signal_readable(p, e) < 0)
		return -e->code;
	if (fds[1].revents && stdin_readable(p, e) < 0)
		return -e->code;
	if (fds[0].revents & (POLLIN | POLLHUP | POLLERR)) {
		rc = conn_readable(p, e);
		if (rc >= 0 && frames_handle(p, e) < 0)
			return -e->code;
	}
	if (rc > 0 && out_some(c, e) < 0)
		return -e->code;
	return p->has_ended || (p->has_detached && c->out.len == 0) ? 0 : rc;
}

int machine_conn_run(struct machine_conn *c, int in_fd, bool proxy_signals,
		     const struct machine_conn_ops *ops, enum conn_end *ret_end, int *ret_code,
		     struct err *e)
{
	struct pump p = {
		.c = c, .ops = ops, .in_fd = in_fd, .in_is_open = in_fd >= 0 && c->wants_stdin
	};
	sigset_t old;
	int rc;

	p.signal_fd = signals_open(proxy_signals && !c->has_tty, &old);
	rc = winsize_put(&p) < 0 ? err_set(e, ENOMEM, "terminal") : frames_handle(&p, e);
	while (rc == 0 && !p.has_ended && !p.has_detached) {
		rc = pump_turn(&p, e);
		if (rc == 0)
			break;
		rc = rc > 0 ? 0 : rc;
	}
	fd_drop(&p.signal_fd);
	sigprocmask(SIG_SETMASK, &old, NULL);
	*ret_end = p.has_ended ? CONN_EXITED : p.has_detached ? CONN_DETACHED : CONN_LOST;
	*ret_code = p.code;
	return rc;
}
