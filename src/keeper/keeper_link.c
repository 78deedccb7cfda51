/* SPDX-License-Identifier: MIT */
/*
 * keeper_link.c - the guest's channel
 *
 * Hostile: every byte. A frame that breaks a rule ends the machine. What is buffered is bounded by
 * credit: per stream at most AGENT_WINDOW bytes from the guest are on their way to clients, and as
 * many to it.
 */
#include <string.h>

#include "bytes.h"
#include "fdio.h"
#include "keeper.h"
#include "log.h"

#define READ_CHUNK (64U << 10)
#define IN_MAX     (AGENT_HEAD_LEN + AGENT_PAYLOAD_MAX + READ_CHUNK)
#define OUT_MAX    (64U << 20) /* orders, and AGENT_WINDOW of stdin per stream */

static void garbage(struct keeper *k, const char *why)
{
	char text[ERR_MSG_MAX + 64];

	snprintf(text, sizeof(text), "the guest breaks the protocol: %s", why);
	keeper_machine_lost(k, text);
}

void link_credit(struct keeper *k, uint32_t stream, uint16_t type, uint32_t bytes)
{
	if (bytes == 0 || k->agent_fd < 0)
		return;
	if (agent_put_credit(&k->agent_out, stream, bytes, type) < 0)
		keeper_machine_lost(k, "out of memory");
	else
		link_flush(k);
}

static void error_handle(struct keeper *k, const struct agent_frame *f)
{
	struct err e = { 0 };
	char text[300];
	uint16_t about;
	uint32_t code;

	if (agent_get_error(f->payload, &about, &code, text, sizeof(text), &e) < 0) {
		garbage(k, e.msg);
		return;
	}
	if (k->phase == KEEPER_BOOTING)
		keeper_start_failed(k, 125, text);
	else
		log_warn("the guest says: %s", text);
}

static void lease_handle(struct keeper *k, const struct agent_frame *f)
{
	struct agent_lease l;
	struct err e = { 0 };

	if (!*k->config.tap || *k->config.ip || !k->has_orders)
		garbage(k, "a lease that nobody asked for");
	else if (agent_get_lease(f->payload, &l, &e) < 0)
		garbage(k, e.msg);
	else if (keeper_lease(k, &l, &e) < 0)
		keeper_start_failed(k, 125, e.msg);
}

static void control_handle(struct keeper *k, const struct agent_frame *f)
{
	struct err e = { 0 };
	uint32_t version = 0;

	switch (f->type) {
	case AGENT_READY:
		log_trace("keeper: guest is ready");
		if (k->has_orders || k->phase != KEEPER_BOOTING)
			garbage(k, "ready twice");
		else if (agent_get_u32(f->payload, &version, &e) < 0 || version != AGENT_VERSION)
			garbage(k, "another version of caisson-init");
		else if (keeper_order(k, &e) < 0)
			keeper_start_failed(k, 125, e.msg);
		break;
	case AGENT_ERROR:
		error_handle(k, f);
		break;
	case AGENT_OK: /* of the orders the first is who it is */
		if (k->phase == KEEPER_BOOTING && k->has_orders && keeper_network(k, &e) < 0)
			keeper_start_failed(k, 125, e.msg);
		break;
	case AGENT_LEASE:
		lease_handle(k, f);
		break;
	case AGENT_PONG:
		break;
	default:
		garbage(k, "unknown control frame");
	}
}

static void exited_handle(struct keeper *k, const struct agent_frame *f)
{
	struct err e = { 0 };
	uint32_t status;
	bool was_oom;

	if (agent_get_exited(f->payload, &status, &was_oom, &e) < 0)
		garbage(k, e.msg);
	else if (k->phase == KEEPER_BOOTING)
		garbage(k, "an end before the start");
	else
		keeper_main_exited(k, status & 0xff, was_oom);
}

static void failed_handle(struct keeper *k, const struct agent_frame *f)
{
	struct err e = { 0 };
	char text[300];
	uint32_t code;

	if (agent_get_failed(f->payload, &code, text, sizeof(text), &e) < 0)
		garbage(k, e.msg);
	else if (k->phase != KEEPER_BOOTING)
		garbage(k, "failed after the start");
	else
		keeper_start_failed(k, code == 126 || code == 127 ? code : 125, text);
}

static void credit_handle(struct keeper *k, const struct agent_frame *f)
{
	struct err e = { 0 };
	uint32_t bytes;
	uint16_t which;

	if (agent_get_credit(f->payload, &bytes, &which, &e) < 0 || which != AGENT_STDIN)
		garbage(k, "bad credit");
	else
		sessions_credit(k, f->stream, bytes);
}

static void main_handle(struct keeper *k, const struct agent_frame *f)
{
	switch (f->type) {
	case AGENT_STARTED:
		if (k->phase == KEEPER_BOOTING)
			sessions_started(k, f);
		else
			garbage(k, "started twice");
		break;
	case AGENT_FAILED:
		failed_handle(k, f);
		break;
	case AGENT_STDOUT:
	case AGENT_STDERR:
		if (k->main_has_ended)
			break;
		log_file_add(&k->log, f->type == AGENT_STDERR, f->payload.data, f->payload.len);
		sessions_output(k, f);
		break;
	case AGENT_EXITED:
		exited_handle(k, f);
		break;
	case AGENT_CREDIT:
		credit_handle(k, f);
		break;
	default:
		garbage(k, "unknown frame");
	}
}

static void exec_handle(struct keeper *k, const struct agent_frame *f)
{
	switch (f->type) {
	case AGENT_STARTED:
	case AGENT_STDOUT:
	case AGENT_STDERR:
		sessions_output(k, f);
		break;
	case AGENT_FAILED:
	case AGENT_EXITED:
		sessions_exec_end(k, f);
		break;
	case AGENT_CREDIT:
		credit_handle(k, f);
		break;
	default:
		garbage(k, "unknown frame");
	}
}

static void frames_handle(struct keeper *k)
{
	struct agent_frame f;
	struct err e = { 0 };
	size_t used = 0;

	while (k->agent_fd >= 0) {
		size_t len;
		int rc = agent_frame_parse(k->agent_in.data + used, k->agent_in.len - used, &f,
					   &len, &e);

		if (rc < 0)
			garbage(k, e.msg);
		if (rc <= 0)
			break;
		used += len;
		k->has_heard = true;
		if ((f.type == AGENT_STDOUT || f.type == AGENT_STDERR) &&
		    f.payload.len > AGENT_DATA_MAX)
			garbage(k, "a data frame is too long");
		else if (f.stream == 0)
			control_handle(k, &f);
		else if (f.stream == AGENT_STREAM_MAIN)
			main_handle(k, &f);
		else
			exec_handle(k, &f);
	}
	if (used && k->agent_in.len >= used)
		buf_consume(&k->agent_in, used);
}

static void link_event(void *arg, uint32_t events)
{
	struct keeper *k = arg;
	ssize_t n;

	if (events & EPOLLOUT)
		link_flush(k);
	if (k->agent_fd < 0 || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	if (buf_reserve(&k->agent_in, READ_CHUNK) < 0) {
		keeper_machine_lost(k, "out of memory");
		return;
	}
	n = read(k->agent_fd, k->agent_in.data + k->agent_in.len, READ_CHUNK);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) { /* the VMM's end follows, and knows why */
		link_close(k);
		return;
	}
	k->agent_in.len += (size_t)n;
	frames_handle(k);
}

int link_open(struct keeper *k, struct err *e)
{
	k->agent_in.max = IN_MAX;
	k->agent_out.max = OUT_MAX;
	if (fd_set_nonblock(k->agent_fd, true) < 0)
		return err_set(e, errno, "socket");
	return loop_watch_fd(k->loop, k->agent_fd, EPOLLIN, link_event, k, &k->agent_watch, e);
}

void link_flush(struct keeper *k)
{
	struct err e = { 0 };
	size_t done = 0;

	if (k->agent_fd < 0 || !k->agent_watch)
		return;
	while (done < k->agent_out.len) {
		ssize_t n = write(k->agent_fd, k->agent_out.data + done, k->agent_out.len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		done += (size_t)n;
	}
	buf_consume(&k->agent_out, done);
	if (loop_watch_set(k->agent_watch, EPOLLIN | (k->agent_out.len ? (uint32_t)EPOLLOUT : 0U),
			   &e) < 0)
		log_error("%s", e.msg);
}

void link_close(struct keeper *k)
{
	loop_watch_drop(k->agent_watch);
	k->agent_watch = NULL;
	fd_drop(&k->agent_fd);
}
