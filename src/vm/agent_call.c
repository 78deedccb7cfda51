/* SPDX-License-Identifier: MIT */
#include "agent_call.h"

#include <poll.h>
#include <string.h>

#include "bytes.h"
#include "loop.h"

#define READ_CHUNK 4096U

static int ready_wait(int fd, short events, int64_t until, struct err *e)
{
	int64_t left = until - loop_now_ms();
	struct pollfd p = { .fd = fd, .events = events };

	if (left <= 0 || poll(&p, 1, (int)left) == 0)
		return err_plain(e, ETIMEDOUT, "the guest does not answer");
	return 0;
}

int agent_call_send(struct agent_call *c, struct buf *out, uint32_t timeout_ms, struct err *e)
{
	int64_t until = loop_now_ms() + timeout_ms;

	while (out->len) {
		ssize_t n = write(c->fd, out->data, out->len);

		if (n < 0 && errno == EAGAIN && ready_wait(c->fd, POLLOUT, until, e) < 0)
			return -e->code;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return err_set(e, errno, "send to the guest");
		if (n > 0)
			buf_consume(out, (size_t)n);
	}
	return 0;
}

static int frame_matches(const struct agent_frame *f, uint16_t type, uint16_t request,
			 struct err *e)
{
	uint16_t about;
	uint32_t code;
	char text[300];

	if (f->stream != (type == AGENT_FAILED ? AGENT_STREAM_MAIN : 0))
		return 0;
	if (f->type == AGENT_ERROR && type == AGENT_OK) {
		if (agent_get_error(f->payload, &about, &code, text, sizeof(text), e) < 0)
			return -e->code;
		return err_plain(e, EIO, "the guest says: %s", text);
	}
	if (f->type != type)
		return 0;
	return type != AGENT_OK || (f->payload.len == 2 && get_le16(f->payload.data) == request);
}

int agent_call_wait(struct agent_call *c, uint16_t type, uint16_t request, uint32_t timeout_ms,
		    struct err *e)
{
	int64_t until = loop_now_ms() + timeout_ms;

	for (;;) {
		struct agent_frame f;
		size_t len;
		ssize_t n;
		int rc = agent_frame_parse(c->in.data, c->in.len, &f, &len, e);

		if (rc < 0)
			return rc;
		if (rc == 1) {
			rc = frame_matches(&f, type, request, e);
			buf_consume(&c->in, len);
			if (rc)
				return rc < 0 ? rc : 0;
			continue;
		}
		if (ready_wait(c->fd, POLLIN, until, e) < 0)
			return -e->code;
		if (buf_reserve(&c->in, READ_CHUNK) < 0)
			return err_set(e, ENOMEM, "frames of the guest");
		n = read(c->fd, c->in.data + c->in.len, READ_CHUNK);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			return err_plain(e, ECONNRESET, "the guest's machine has ended");
		c->in.len += (size_t)n;
	}
}

void agent_call_done(struct agent_call *c)
{
	buf_done(&c->in);
}
