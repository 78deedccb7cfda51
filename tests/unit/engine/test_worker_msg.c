/* SPDX-License-Identifier: MIT */
/* test_worker_msg.c - what the workers say */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "worker_msg.h"

#define ID     "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "\"digest\":\"" ID "\""

static int event(const char *text, struct fetch_event *ev, struct err *e)
{
	return fetch_event_parse(text, strlen(text), ev, e);
}

static void events(void **state)
{
	static const struct {
		const char *text;
		enum fetch_kind kind;
		uint64_t size, have, done;
	} t[] = {
		{ "{\"event\":\"document\"," DIGEST ",\"size\":5}", FETCH_DOCUMENT, 5, 0, 0 },
		{ "{\"event\":\"layers\",\"manifest\":{" DIGEST "}}", FETCH_LAYERS, 0, 0, 0 },
		{ "{\"event\":\"exists\"," DIGEST "}", FETCH_EXISTS, 0, 0, 0 },
		{ "{\"event\":\"open\"," DIGEST ",\"size\":9,\"have\":9}", FETCH_OPEN, 9, 9, 0 },
		{ "{\"event\":\"progress\"," DIGEST ",\"done\":9223372036854775807}",
		  FETCH_PROGRESS, 0, 0, INT64_MAX },
		{ "{\"event\":\"mounted\"," DIGEST "}", FETCH_MOUNTED, 0, 0, 0 },
		{ "{\"event\":\"done\"," DIGEST "}", FETCH_DONE, 0, 0, 0 },
		{ "{\"event\":\"complete\"," DIGEST ",\"manifest\":\"" ID "\"}", FETCH_COMPLETE, 0,
		  0, 0 },
		{ "{\"event\":\"complete\"}", FETCH_COMPLETE, 0, 0, 0 },
		{ "{\"event\":\"of a newer worker\"}", FETCH_KIND_COUNT_, 0, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct fetch_event ev;
		struct err e = { 0 };

		if (event(t[i].text, &ev, &e) < 0)
			fail_msg("%s", t[i].text);
		assert_int_equal(ev.kind, t[i].kind);
		assert_true(ev.size == t[i].size && ev.have == t[i].have && ev.done == t[i].done);
		if (strstr(t[i].text, ID))
			assert_string_equal(ev.digest, ID);
	}
}

static void bad_events(void **state)
{
	static const char *const t[] = {
		"",
		"{",
		"[]",
		"{}",
		"{\"event\":5}",
		"{\"event\":\"exists\"}",
		"{\"event\":\"exists\",\"digest\":5}",
		"{\"event\":\"exists\",\"digest\":\"sha256:../../x\"}",
		"{\"event\":\"exists\",\"digest\":\"" ID "0\"}",
		"{\"event\":\"exists\",\"digest\":\"SHA256:0123456789abcdef\"}",
		"{\"event\":\"exists\"," DIGEST "," DIGEST "}",
		"{\"event\":\"exists\"," DIGEST "}{}",
		"{\"event\":\"layers\"," DIGEST "}",
		"{\"event\":\"document\"," DIGEST "}",
		"{\"event\":\"document\"," DIGEST ",\"size\":-1}",
		"{\"event\":\"document\"," DIGEST ",\"size\":1.5}",
		"{\"event\":\"document\"," DIGEST ",\"size\":\"5\"}",
		"{\"event\":\"document\"," DIGEST ",\"size\":9223372036854775808}",
		"{\"event\":\"open\"," DIGEST ",\"size\":9}",
		"{\"event\":\"open\"," DIGEST ",\"size\":9,\"have\":10}",
		"{\"event\":\"progress\"," DIGEST "}",
		"{\"event\":\"error\",\"message\":\"a\\u0000b\"}",
		"{\"event\":\"error\",\"message\":\"\xff\"}",
	};
	static char big[FETCH_PACKET_MAX + 2] = "{\"event\":\"complete\"}";
	struct fetch_event ev = { .code = 77 };
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		if (event(t[i], &ev, &e) != -EBADMSG)
			fail_msg("%s is taken", t[i]);
	memset(big + strlen(big), ' ', sizeof(big) - 1 - strlen(big));
	assert_int_equal(event(big, &ev, &e), -EBADMSG);
	assert_int_equal(ev.code, 77); /* written on success only */
	big[FETCH_PACKET_MAX] = '\0';
	assert_int_equal(event(big, &ev, &e), 0);
}

static void error_texts(void **state)
{
	static const struct {
		const char *code, *message;
		int want;
		const char *text;
	} t[] = {
		{ "not_found", "no such image", ENOENT, "no such image" },
		{ "unauthorized", "x", EACCES, "x" },
		{ "disk_full", "x", ENOSPC, "x" },
		{ "whatever", "x", EIO, "x" },
		{ "tls", "a\\u001b[2J\\n\\u007f", EPROTO, "a?[2J??" },
		{ "tls", "\\u009b2J\\u0085", EPROTO, "?2J?" }, /* control characters of Latin 1 */
		{ "tls", "\\u00a0\\u00e4\\u65e5", EPROTO, "\xc2\xa0\xc3\xa4\xe6\x97\xa5" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		char text[300];
		struct fetch_event ev;
		struct err e = { 0 };

		snprintf(text, sizeof(text),
			 "{\"event\":\"error\",\"code\":\"%s\",\"message\":\"%s\"}", t[i].code,
			 t[i].message);
		assert_int_equal(event(text, &ev, &e), 0);
		assert_int_equal(ev.kind, FETCH_ERROR);
		assert_int_equal(ev.code, t[i].want);
		assert_string_equal(ev.text, t[i].text);
	}
}

/* A text that is cut keeps all of its whole characters, and no half of one. */
static void long_texts_are_cut(void **state)
{
	static const char *const chars[] = { "a", "\xc3\xa4", "\xe6\x97\xa5", "\xf0\x9f\x9a\xa2" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(chars); i++) {
		size_t n = strlen(chars[i]);
		auto_buf b = { 0 };
		struct fetch_event ev;
		struct err e = { 0 };

		assert_int_equal(buf_add_str(&b, "{\"event\":\"error\",\"message\":\""), 0);
		for (int k = 0; k < 500; k++)
			assert_int_equal(buf_add_str(&b, chars[i]), 0);
		assert_int_equal(buf_add_str(&b, "\"}"), 0);
		assert_int_equal(fetch_event_parse(b.data, b.len, &ev, &e), 0);
		assert_int_equal(strlen(ev.text), (sizeof(ev.text) - 1) / n * n);
	}
}

static void replies(void **state)
{
	static const struct {
		const char *text;
		int rc;
		const char *why;
	} t[] = {
		{ "{\"diff_id\":\"" ID "\",\"blob_digest\":\"" ID
		  "\",\"blob_size\":5,\"data_len\":6}",
		  0, "" },
		{ "{\"error\":\"no \\u001bgood\",\"code\":2}", -ENOENT, "no ?good" },
		{ "{\"error\":\"x\",\"code\":0}", -EBADMSG, "x" },
		{ "{\"error\":\"x\",\"code\":-5}", -EBADMSG, "x" },
		{ "{\"error\":\"x\",\"code\":99999}", -EBADMSG, "x" },
		{ "{\"error\":\"x\"}", -EBADMSG, "x" },
		{ "{\"error\":5}", -EBADMSG, "" },
		{ "{\"diff_id\":\"" ID "\",\"blob_digest\":\"" ID "\",\"blob_size\":5}", -EBADMSG,
		  "incomplete" },
		{ "{\"diff_id\":\"x\",\"blob_digest\":\"" ID "\",\"blob_size\":5,\"data_len\":6}",
		  -EBADMSG, "incomplete" },
		{ "{}", -EBADMSG, "incomplete" },
		{ "[]", -EBADMSG, "unreadable" },
		{ "", -EBADMSG, "unreadable" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct unpack_reply r = { 0 };
		struct err e = { 0 };

		if (unpack_reply_parse(t[i].text, strlen(t[i].text), &r, &e) != t[i].rc ||
		    !strstr(e.msg, t[i].why))
			fail_msg("%s: %s", t[i].text, e.msg);
		assert_true(t[i].rc < 0 || (r.blob_size == 5 && r.data_len == 6));
	}
}

#define HEAD "{\"kind\":\"head\",\"disk_off\":0,\"file_off\":0,\"len\":4096}"
#define LAYER(n)                                                                                   \
	"{\"kind\":\"layer\",\"layer\":" n ",\"disk_off\":2097152,\"file_off\":0,\"len\":4096}"
#define MERGE(parts) "{\"disk_len\":4194304,\"meta_len\":8192,\"parts\":" parts "}"

static void merges(void **state)
{
	static const struct {
		const char *text;
		int rc;
	} t[] = {
		{ MERGE("[" HEAD "," LAYER("0") "]"), 0 },
		{ MERGE("[" LAYER("0") "," HEAD "]"), -EBADMSG }, /* order */
		{ MERGE("[" LAYER("1") "]"), -EBADMSG },          /* there is one layer */
		{ MERGE("[" LAYER("512") "]"), -EBADMSG },
		{ MERGE("[" LAYER("-1") "]"), -EBADMSG },
		{ MERGE("[" LAYER("\"0\"") "]"), -EBADMSG },
		{ MERGE("[" HEAD "," HEAD "]"), -EBADMSG },
		{ MERGE("[]"), -EBADMSG },
		{ MERGE("{}"), -EBADMSG },
		{ MERGE("[{\"kind\":\"x\",\"disk_off\":0,\"file_off\":0,\"len\":4096}]"),
		  -EBADMSG },
		{ MERGE("[{\"kind\":\"head\",\"disk_off\":0,\"file_off\":0}]"), -EBADMSG },
		{ "{\"meta_len\":8192,\"parts\":[" HEAD "]}", -EBADMSG },
		{ "{\"error\":\"two names\",\"code\":17}", -EEXIST },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		char(*ids)[80] = calloc(1, sizeof(*ids));
		struct store_parts p = { .diff_ids = ids, .n_layers = 1 };
		struct err e = { 0 };

		snprintf(ids[0], sizeof(ids[0]), "%s", ID);
		if (merge_reply_parse(t[i].text, strlen(t[i].text), &p, &e) != t[i].rc)
			fail_msg("%s: %s", t[i].text, e.msg);
		store_parts_done(&p);
	}
}

#define WRITTEN "{\"diff_id\":\"" ID "\",\"blob\":\"" ID "\",\"size\":5,\"files\":2,\"left_out\":1}"

static void import_lines(void **state)
{
	static const char *const bad[] = {
		"",
		"{}",
		"{\"done\":1}",
		"{\"done\":-1,\"of\":2}",
		"{\"partition\":1,\"layers\":[],\"has_config\":true}",
		"{\"partition\":1,\"layers\":[" WRITTEN "," WRITTEN "," WRITTEN
		"],\"has_config\":true}",
		"{\"partition\":4294967296,\"layers\":[" WRITTEN "],\"has_config\":true}",
		"{\"partition\":1,\"layers\":[" WRITTEN "],\"has_config\":1}",
		"{\"partition\":1,\"layers\":[{\"diff_id\":\"x\"}],\"has_config\":true}",
		"{\"partition\":1,\"layers\":{},\"has_config\":true}",
	};
	static const char good[] = "{\"partition\":3,\"layers\":[" WRITTEN "],\"has_config\":true}";
	struct import_line l;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(import_line_parse("{\"done\":1,\"of\":2}", 17, &l, &e), 0);
	assert_true(l.kind == IMPORT_PROGRESS && l.done == 1 && l.of == 2 && l.n_layers == 0);
	assert_int_equal(import_line_parse(good, strlen(good), &l, &e), 0);
	assert_true(l.kind == IMPORT_RESULT && l.partition == 3 && l.n_layers == 1 && l.has_config);
	assert_true(l.layers[0].size == 5 && l.layers[0].files == 2 && l.layers[0].left_out == 1);
	assert_string_equal(l.layers[0].blob, ID);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (import_line_parse(bad[i], strlen(bad[i]), &l, &e) != -EBADMSG)
			fail_msg("%s is taken", bad[i]);
	assert_int_equal(import_line_parse("{\"error\":\"a\\u0007\",\"code\":2}", 28, &l, &e), -2);
	assert_string_equal(e.msg, "a?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(import_lines),
		cmocka_unit_test(events),
		cmocka_unit_test(bad_events),
		cmocka_unit_test(error_texts),
		cmocka_unit_test(long_texts_are_cut),
		cmocka_unit_test(replies),
		cmocka_unit_test(merges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
