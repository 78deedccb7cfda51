/* SPDX-License-Identifier: MIT */
/*
 * qmp.c - [U] a client of QEMU's machine protocol
 */
#include "qmp.h"

#include <poll.h>
#include <string.h>

#include "fdio.h"
#include "json_text.h"
#include "loop.h"

#define READ_CHUNK 4096

void qmp_init(struct qmp *q, int fd)
{
	*q = (struct qmp){ .fd = fd, .in = BUF_LIMIT(QMP_LINE_MAX) };
}

void qmp_done(struct qmp *q)
{
	fd_drop(&q->fd);
	buf_done(&q->in);
}

int qmp_line_parse(const char *line, size_t len, json_t **ret, struct err *e)
{
	json_t *j = json_parse(line, len, JSON_REJECT_DUPLICATES, NULL);
	json_t *value, *error;
	int rc = 0;

	if (!json_is_object(j)) {
		json_decref(j);
		return err_plain(e, EPROTO, "QEMU answered something that is no JSON object");
	}
	value = json_object_get(j, "return");
	error = json_object_get(j, "error");
	if (error) {
		const char *desc = json_string_value(json_object_get(error, "desc"));

		rc = err_plain(e, EIO, "QEMU: %.300s",
			       desc ? desc : "an error without description");
	} else if (value) {
		*ret = json_incref(value);
		rc = 1;
	} else if (!json_object_get(j, "event") && !json_object_get(j, "QMP")) {
		rc = err_plain(e, EPROTO, "QEMU answered neither result, error nor event");
	}
	json_decref(j);
	return rc;
}

static int more_read(struct qmp *q, int64_t until, struct err *e)
{
	struct pollfd p = { .fd = q->fd, .events = POLLIN };
	int64_t left = until - loop_now_ms();
	ssize_t n;
	int ready = left > 0 ? poll(&p, 1, (int)left) : 0;

	if (ready == 0)
		return err_plain(e, ETIMEDOUT, "QEMU does not answer");
	if (ready < 0) /* a read now might wait for ever */
		return errno == EINTR ? 0 : err_set(e, errno, "wait for QEMU");
	if (buf_reserve(&q->in, READ_CHUNK) < 0)
		return err_plain(e, EPROTO, "QEMU's answer is longer than %u bytes", QMP_LINE_MAX);
	n = read(q->fd, q->in.data + q->in.len, READ_CHUNK);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0)
		return err_plain(e, ECONNRESET, "QEMU has ended");
	q->in.len += (size_t)n;
	return 0;
}

/* Lines until an answer, or (wants_greeting) until the first. */
static int answer_wait(struct qmp *q, bool wants_greeting, int64_t until, json_t **ret,
		       struct err *e)
{
	for (;;) {
		char *end = q->in.len ? memchr(q->in.data, '\n', q->in.len) : NULL;
		size_t len;
		int rc;

		if (!end) {
			if (more_read(q, until, e) < 0)
				return -e->code;
			continue;
		}
		len = (size_t)(end - q->in.data);
		rc = qmp_line_parse(q->in.data, len, ret, e);
		buf_consume(&q->in, len + 1);
		if (rc != 0 || wants_greeting)
			return rc < 0 ? rc : 0;
	}
}

static int command_send(struct qmp *q, const char *command, json_t *args, int pass_fd,
			struct err *e)
{
	json_t *j = args ? json_pack("{s:s, s:o}", "execute", command, "arguments", args)
			 : json_pack("{s:s}", "execute", command);
	char *text = json_text(j, JSON_COMPACT);
	size_t len = text ? strlen(text) : 0;
	ssize_t n;

	json_decref(j);
	if (!text)
		return err_set(e, ENOMEM, "command %s", command);
	n = fd_send(q->fd, text, len, &pass_fd, pass_fd >= 0);
	free(text);
	return n == (ssize_t)len ? 0
				 : err_set(e, n < 0 ? (int)-n : EIO, "send %s to QEMU", command);
}

/* What is answered here says nothing; a QEMU that sends a result as its greeting is no QEMU. */
static int greet(struct qmp *q, int64_t until, struct err *e)
{
	json_t *first = NULL, *answer = NULL;
	int rc = answer_wait(q, true, until, &first, e);

	if (rc == 0)
		rc = first ? err_plain(e, EPROTO, "QEMU does not greet")
			   : command_send(q, "qmp_capabilities", NULL, -1, e);
	if (rc == 0)
		rc = answer_wait(q, false, until, &answer, e);
	json_decref(first);
	json_decref(answer);
	q->has_greeted = rc == 0;
	return rc;
}

int qmp_call(struct qmp *q, const char *command, json_t *args, int pass_fd, uint32_t timeout_ms,
	     json_t **ret, struct err *e)
{
	int64_t until = loop_now_ms() + timeout_ms;
	json_t *value = NULL;

	if (!q->has_greeted && greet(q, until, e) < 0) {
		json_decref(args);
		return -e->code;
	}
	if (command_send(q, command, args, pass_fd, e) < 0 ||
	    answer_wait(q, false, until, &value, e) < 0)
		return err_wrap(e, "%s", command);
	if (ret)
		*ret = value;
	else
		json_decref(value);
	return 0;
}
