/* SPDX-License-Identifier: MIT */
/*
 * worker_msg.c - [U] packets of caisson-fetch, replies of caisson-unpack, lines of caisson-import
 *
 * Hostile: all of it. Invariants of what gets through: I1 a digest is "sha256:" and 64 lower-case
 * hex digits, so that it may become a file name. I2 numbers are 0 .. 2^63-1. I3 text is valid UTF-8
 * without control characters, cut to its field.
 */
#include "worker_msg.h"

#include <jansson.h>
#include <string.h>

#include "digest.h"
#include "json_text.h"

#define JSON_DEPTH_FLAGS JSON_REJECT_DUPLICATES /* jansson itself stops at 2048 levels */

static const char *const kind_names[] = { "document", "layers", "exists",   "open", "progress",
					  "mounted",  "done",   "complete", "error" };
_Static_assert(ARRAY_SIZE(kind_names) == FETCH_KIND_COUNT_, "a name for each kind");

static bool digest_get(const json_t *o, const char *key, char ret[80])
{
	const char *d = json_string_value(json_object_get(o, key));

	if (!d || !digest_is_valid(d))
		return false;
	snprintf(ret, 80, "%s", d);
	return true;
}

static bool number_get(const json_t *o, const char *key, uint64_t *ret)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return false;
	*ret = (uint64_t)json_integer_value(v);
	return true;
}

/* Control characters become '?': of ASCII, and of Latin 1 as UTF-8 writes them (c2 80 .. c2 9f). */
static void text_get(const json_t *o, const char *key, char *ret, size_t size)
{
	const char *t = json_string_value(json_object_get(o, key));
	size_t n = 0;

	for (; t && *t && n + 1 < size; t++) {
		unsigned char c = (unsigned char)t[0], next = (unsigned char)t[1];

		if (c == 0xc2 && next >= 0x80 && next < 0xa0) {
			ret[n++] = '?';
			t++;
		} else {
			ret[n++] = c < 0x20 || c == 0x7f ? '?' : (char)c;
		}
	}
	if (t && ((unsigned char)*t & 0xc0) == 0x80) { /* cut in the middle of a character */
		while (n > 0 && ((unsigned char)ret[n - 1] & 0xc0) == 0x80)
			n--;
		n -= n > 0;
	}
	ret[n] = '\0';
}

static int code_get(const json_t *o)
{
	static const struct {
		const char *name;
		int code;
	} codes[] = {
		{ "unauthorized", EACCES }, { "denied", EPERM },
		{ "not_found", ENOENT },    { "unavailable", EHOSTUNREACH },
		{ "timeout", ETIMEDOUT },   { "invalid", EBADMSG },
		{ "too_big", EFBIG },       { "no_platform", ENOENT },
		{ "tls", EPROTO },          { "disk_full", ENOSPC },
	};
	const char *name = json_string_value(json_object_get(o, "code"));

	for (size_t i = 0; name && i < ARRAY_SIZE(codes); i++)
		if (strcmp(name, codes[i].name) == 0)
			return codes[i].code;
	return EIO;
}

static bool event_fill(const json_t *o, struct fetch_event *ev)
{
	switch (ev->kind) {
	case FETCH_DOCUMENT:
		text_get(o, "media_type", ev->media_type, sizeof(ev->media_type));
		return digest_get(o, "digest", ev->digest) && number_get(o, "size", &ev->size);
	case FETCH_LAYERS:
		return digest_get(json_object_get(o, "manifest"), "digest", ev->digest);
	case FETCH_OPEN:
		return digest_get(o, "digest", ev->digest) && number_get(o, "size", &ev->size) &&
		       number_get(o, "have", &ev->have) && ev->have <= ev->size;
	case FETCH_PROGRESS:
		return digest_get(o, "digest", ev->digest) && number_get(o, "done", &ev->done);
	case FETCH_EXISTS:
	case FETCH_MOUNTED:
	case FETCH_DONE:
		return digest_get(o, "digest", ev->digest);
	case FETCH_COMPLETE: /* of a push and a login there may be no digests */
		(void)digest_get(o, "digest", ev->digest);
		(void)digest_get(o, "manifest", ev->manifest);
		return true;
	case FETCH_ERROR:
		ev->code = code_get(o);
		text_get(o, "message", ev->text, sizeof(ev->text));
		return true;
	default:
		return true;
	}
}

static bool event_get(const json_t *o, struct fetch_event *ev)
{
	const char *name = json_string_value(json_object_get(o, "event"));

	if (!name)
		return false;
	for (ev->kind = 0; ev->kind < FETCH_KIND_COUNT_; ev->kind++)
		if (strcmp(name, kind_names[ev->kind]) == 0)
			break;
	return event_fill(o, ev);
}

int fetch_event_parse(const char *packet, size_t len, struct fetch_event *ret, struct err *e)
{
	struct fetch_event ev = { 0 };
	json_t *j =
		len <= FETCH_PACKET_MAX ? json_parse(packet, len, JSON_DEPTH_FLAGS, NULL) : NULL;
	bool ok = json_is_object(j) && event_get(j, &ev);

	json_decref(j);
	if (!ok)
		return err_plain(e, EBADMSG, "the download process sent something unreadable");
	*ret = ev;
	return 0;
}

static json_t *reply_load(const char *text, size_t len, size_t max, struct err *e)
{
	json_t *j = len <= max ? json_parse(text, len, JSON_DEPTH_FLAGS, NULL) : NULL;
	char msg[400];
	uint64_t code;

	if (!json_is_object(j)) {
		json_decref(j);
		(void)err_plain(e, EBADMSG, "a worker process sent something unreadable");
		return NULL;
	}
	if (!json_object_get(j, "error"))
		return j;
	text_get(j, "error", msg, sizeof(msg));
	if (!number_get(j, "code", &code) || code == 0 || code > 4095)
		code = EBADMSG;
	json_decref(j);
	(void)err_plain(e, (int)code, "%s", msg);
	return NULL;
}

int unpack_reply_parse(const char *text, size_t len, struct unpack_reply *ret, struct err *e)
{
	struct unpack_reply r = { 0 };
	json_t *j = reply_load(text, len, UNPACK_REPLY_MAX, e);
	bool ok;

	if (!j)
		return -e->code;
	ok = digest_get(j, "diff_id", r.diff_id) && digest_get(j, "blob_digest", r.blob_digest) &&
	     number_get(j, "blob_size", &r.blob_size) && number_get(j, "data_len", &r.data_len);
	json_decref(j);
	if (!ok)
		return err_plain(e, EBADMSG, "the unpacking process sent an incomplete reply");
	*ret = r;
	return 0;
}

static bool part_get(const json_t *o, struct merge_part *p)
{
	const char *kind = json_string_value(json_object_get(o, "kind"));
	uint64_t layer = 0;

	if (!kind || !number_get(o, "disk_off", &p->disk_off) ||
	    !number_get(o, "file_off", &p->file_off) || !number_get(o, "len", &p->len))
		return false;
	if (strcmp(kind, "layer") == 0) {
		p->kind = MERGE_PART_LAYER;
		if (!number_get(o, "layer", &layer) || layer >= MERGE_LAYERS_MAX)
			return false;
	} else if (strcmp(kind, "head") == 0) {
		p->kind = MERGE_PART_META_HEAD;
	} else if (strcmp(kind, "meta") == 0) {
		p->kind = MERGE_PART_META;
	} else {
		return false;
	}
	p->layer = (uint32_t)layer;
	return true;
}

static bool merge_get(const json_t *j, struct store_parts *p)
{
	const json_t *list = json_object_get(j, "parts");
	size_t n = json_array_size(list);

	if (!json_is_array(list) || n == 0 || n > MERGE_LAYERS_MAX + 2 ||
	    !number_get(j, "disk_len", &p->disk_len) || !number_get(j, "meta_len", &p->meta_len))
		return false;
	p->parts = calloc(n, sizeof(*p->parts));
	if (!p->parts)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!part_get(json_array_get(list, i), &p->parts[i]))
			return false;
		p->n_parts++;
	}
	return true;
}

int merge_reply_parse(const char *text, size_t len, struct store_parts *p, struct err *e)
{
	json_t *j = reply_load(text, len, UNPACK_REPLY_MAX, e);
	bool ok;

	if (!j)
		return -e->code;
	ok = merge_get(j, p);
	json_decref(j);
	if (!ok)
		return err_plain(e, EBADMSG, "the unpacking process sent an incomplete reply");
	return store_parts_check(p, e);
}

static bool layer_get(const json_t *o, struct import_line *l)
{
	const uint32_t i = l->n_layers++;

	return digest_get(o, "diff_id", l->layers[i].diff_id) &&
	       digest_get(o, "blob", l->layers[i].blob) &&
	       number_get(o, "size", &l->layers[i].size) &&
	       number_get(o, "files", &l->layers[i].files) &&
	       number_get(o, "left_out", &l->layers[i].left_out);
}

static bool import_get(const json_t *j, struct import_line *l)
{
	const json_t *layers = json_object_get(j, "layers");
	const size_t n = json_array_size(layers);
	uint64_t partition;

	if (!layers)
		return number_get(j, "done", &l->done) && number_get(j, "of", &l->of);
	l->kind = IMPORT_RESULT;
	if (n == 0 || n > IMPORT_LAYERS_MAX || !number_get(j, "partition", &partition) ||
	    partition > UINT32_MAX || !json_is_boolean(json_object_get(j, "has_config")))
		return false;
	l->partition = (uint32_t)partition;
	l->has_config = json_is_true(json_object_get(j, "has_config"));
	for (size_t i = 0; i < n; i++)
		if (!layer_get(json_array_get(layers, i), l))
			return false;
	return true;
}

int import_line_parse(const char *text, size_t len, struct import_line *ret, struct err *e)
{
	struct import_line l = { 0 };
	json_t *j = reply_load(text, len, IMPORT_LINE_MAX, e);
	bool ok;

	if (!j)
		return -e->code;
	ok = import_get(j, &l);
	json_decref(j);
	if (!ok)
		return err_plain(e, EBADMSG, "a worker process sent an incomplete line");
	*ret = l;
	return 0;
}
