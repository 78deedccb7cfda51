/* SPDX-License-Identifier: MIT */
/* registry_event.c - what the engine is told, one packet each (doc/format/fetch.md) */
#include <string.h>

#include "fdio.h"
#include "json_text.h"
#include "registry_internal.h"

static int packet_send(struct registry *r, json_t *event, const int *fds, size_t n_fds,
		       struct err *e)
{
	char *text = json_text(event, JSON_COMPACT);
	ssize_t n = -ENOMEM;

	json_decref(event);
	if (text && strlen(text) <= REGISTRY_PACKET_MAX)
		n = fd_send(r->io.sock, text, strlen(text), fds, n_fds);
	free(text);
	if (n == -EPIPE || n == -ECONNRESET)
		return err_plain(e, ECANCELED, "nobody waits for this any more");
	return n < 0 ? err_set(e, (int)-n, "report to the engine") : 0;
}

int event_send(struct registry *r, json_t *event, struct err *e)
{
	return packet_send(r, event, NULL, 0, e);
}

int event_send_fds(struct registry *r, json_t *event, const int fds[2], struct err *e)
{
	return packet_send(r, event, fds, 2, e);
}

int event_digest(struct registry *r, const char *event, const char *digest, struct err *e)
{
	return event_send(r, json_pack("{s:s, s:s}", "event", event, "digest", digest), e);
}

int event_progress(struct registry *r, const char *digest, uint64_t done, struct err *e)
{
	return event_send(r,
			  json_pack("{s:s, s:s, s:I}", "event", "progress", "digest", digest,
				    "done", (json_int_t)done),
			  e);
}

/* Text of servers may be cut in the middle of a character; JSON takes whole ones only. */
static json_t *text_json(const char *msg)
{
	json_t *t = json_string(msg);
	char ascii[ERR_MSG_MAX];
	size_t n = 0;

	if (t)
		return t;
	for (; *msg && n + 1 < sizeof(ascii); msg++)
		ascii[n++] = *msg < 0x20 ? '?' : *msg; /* char is signed */
	return json_stringn(ascii, n);
}

void event_retrying(struct registry *r, const char *digest, unsigned attempt, const struct err *why)
{
	struct err ignored = { 0 }; /* for people only; a lost engine shows itself otherwise */

	(void)!event_send(r,
			  json_pack("{s:s, s:s, s:i, s:o}", "event", "retrying", "digest", digest,
				    "attempt", (int)attempt, "message", text_json(why->msg)),
			  &ignored);
}

static const char *code_name(int code)
{
	static const struct {
		int code;
		const char *name;
	} names[] = {
		{ EACCES, "unauthorized" }, { EPERM, "denied" },
		{ ENOENT, "not_found" },    { EHOSTUNREACH, "unavailable" },
		{ ETIMEDOUT, "timeout" },   { EBADMSG, "invalid" },
		{ EFBIG, "too_big" },       { ENODEV, "no_platform" },
		{ EPROTO, "tls" },          { ENOSPC, "disk_full" },
		{ EDQUOT, "disk_full" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].code == code)
			return names[i].name;
	return "failed";
}

void event_error(struct registry *r, const struct err *e)
{
	struct err ignored = { 0 }; /* it was the last thing to say */

	(void)!event_send(r,
			  json_pack("{s:s, s:s, s:o}", "event", "error", "code", code_name(e->code),
				    "message", text_json(e->msg)),
			  &ignored);
}
