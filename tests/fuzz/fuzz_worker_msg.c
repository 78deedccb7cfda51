/* SPDX-License-Identifier: MIT */
/*
 * fuzz_worker_msg.c - what the workers say, and the parts list that is made of it
 *
 * First byte: which parser. Texts that got through have no control characters and no half of a
 * character; numbers and digests are as worker_msg.h says; a parts list that got through is written
 * and read again.
 */
#include "fuzz_input.h"

#include "buf.h"
#include "bytes.h"
#include "ltree.h"
#include "worker_msg.h"

static void digest_check(const char *d)
{
	MUST(!*d || (strlen(d) == 71 && strncmp(d, "sha256:", 7) == 0 &&
		     strspn(d + 7, "0123456789abcdef") == 64));
}

/* The parsers have JSON text, so what comes out is UTF-8 if it was not cut wrongly. */
static void text_check(const char *t)
{
	while (*t) {
		unsigned char c = (unsigned char)*t++;
		int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;

		MUST(c >= 0x20 && c != 0x7f && (c < 0x80 || c >= 0xc0));
		MUST(c != 0xc2 || (unsigned char)*t >= 0xa0);
		for (; more > 0; more--)
			MUST(((unsigned char)*t++ & 0xc0) == 0x80);
	}
}

static void event_try(const char *text, size_t len)
{
	struct fetch_event ev;
	struct err e = { 0 };

	if (fetch_event_parse(text, len, &ev, &e) < 0) {
		MUST(e.code == EBADMSG);
		return;
	}
	MUST(ev.kind <= FETCH_KIND_COUNT_ && ev.have <= ev.size && ev.size <= INT64_MAX);
	MUST(ev.done <= INT64_MAX && strlen(ev.media_type) < sizeof(ev.media_type));
	digest_check(ev.digest);
	digest_check(ev.manifest);
	text_check(ev.media_type);
	text_check(ev.text);
	MUST(ev.kind == FETCH_ERROR ? ev.code > 0 : !ev.code);
	MUST(*ev.digest || ev.kind >= FETCH_COMPLETE);
}

static void reply_try(const char *text, size_t len)
{
	struct unpack_reply r;
	struct err e = { 0 };

	if (unpack_reply_parse(text, len, &r, &e) < 0) {
		MUST(e.code > 0 && e.code <= 4095);
		return;
	}
	MUST(*r.diff_id && *r.blob_digest);
	digest_check(r.diff_id);
	digest_check(r.blob_digest);
	MUST(r.blob_size <= INT64_MAX && r.data_len <= INT64_MAX);
}

static void parts_check(const struct store_parts *p)
{
	uint64_t at = 0;

	MUST(p->n_parts > 0 && p->n_parts <= MERGE_LAYERS_MAX + 2);
	MUST(p->disk_len <= STORE_PARTS_DISK_MAX && p->disk_len % LTREE_BLOCK == 0);
	for (uint32_t i = 0; i < p->n_parts; i++) {
		const struct merge_part *m = &p->parts[i];

		MUST(m->len > 0 && (m->disk_off | m->file_off | m->len) % LTREE_BLOCK == 0);
		MUST(m->disk_off >= at && range_fits(m->disk_off, m->len, p->disk_len));
		MUST(m->kind != MERGE_PART_LAYER || m->layer < p->n_layers);
		at = m->disk_off + m->len;
	}
}

static void parts_again(const struct store_parts *p)
{
	struct store_parts again = { 0 };
	auto_buf one = { 0 }, two = { 0 };
	struct err e = { 0 };

	MUST(store_parts_format(p, &one, &e) == 0);
	MUST(store_parts_parse(one.data, one.len, &again, &e) == 0);
	MUST(store_parts_format(&again, &two, &e) == 0);
	MUST(one.len == two.len && memcmp(one.data, two.data, one.len) == 0);
	store_parts_done(&again);
}

static void parts_try(const char *text, size_t len)
{
	struct store_parts p = { 0 };
	struct err e = { 0 };

	if (store_parts_parse(text, len, &p, &e) < 0) {
		MUST(e.code == EBADMSG && !p.parts && !p.diff_ids);
		return;
	}
	parts_check(&p);
	parts_again(&p);
	store_parts_done(&p);
}

static void merge_try(const char *text, size_t len)
{
	struct store_parts p = { .n_layers = 2 };
	struct err e = { 0 };

	p.diff_ids = calloc(p.n_layers, sizeof(*p.diff_ids));
	MUST(p.diff_ids);
	for (uint32_t i = 0; i < p.n_layers; i++)
		snprintf(p.diff_ids[i], sizeof(p.diff_ids[i]), "sha256:%064u", i);
	if (merge_reply_parse(text, len, &p, &e) == 0) {
		parts_check(&p);
		MUST(store_parts_set_key(&p, "meta", 4, &e) == 0);
		parts_again(&p);
	} else {
		MUST(e.code > 0 && e.code <= 4095);
	}
	store_parts_done(&p);
}

static void import_try(const char *text, size_t len)
{
	struct import_line l = { 0 };
	struct err e = { 0 };

	if (import_line_parse(text, len, &l, &e) < 0) {
		MUST(e.code > 0 && e.code <= 4095);
		return;
	}
	MUST(l.n_layers <= IMPORT_LAYERS_MAX && (l.n_layers > 0) == (l.kind == IMPORT_RESULT));
	for (uint32_t i = 0; i < l.n_layers; i++)
		MUST(strlen(l.layers[i].diff_id) == 71 && strlen(l.layers[i].blob) == 71);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static void (*const tries[])(const char *, size_t) = { event_try, reply_try, merge_try,
							       parts_try, import_try };
	auto_free char *text = NULL;

	if (len == 0)
		return 0;
	text = copy_of(data + 1, len - 1);
	tries[data[0] % ARRAY_SIZE(tries)](text, len - 1);
	return 0;
}
