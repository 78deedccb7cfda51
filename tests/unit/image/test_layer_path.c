/* SPDX-License-Identifier: MIT */
/* test_layer_path.c - names made plain, whiteouts told apart */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "layer_path.h"
#include "ltree.h"

static void normalises(void **state)
{
	static const struct {
		const char *raw, *want; /* NULL: refused */
	} t[] = {
		{ "", "" },
		{ "/", "" },
		{ "./", "" },
		{ "a", "a" },
		{ "/a", "a" },
		{ "a/", "a" },
		{ "./a//b/./c/", "a/b/c" },
		{ "a/..", "" },
		{ "a/../b", "b" },
		{ "a/b/../../c", "c" },
		{ "..a/...", "..a/..." },
		{ "a\\b\n\xff", "a\\b\n\xff" },
		{ "..", NULL },
		{ "/..", NULL },
		{ "../etc", NULL },
		{ "a/../..", NULL },
		{ "a/../../b", NULL },
		{ "./..", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_buf b = { 0 };
		struct err e = { 0 };
		int rc = layer_path_normalise(t[i].raw, &b, &e);

		if (!t[i].want) {
			assert_int_equal(rc, -EBADMSG);
			assert_non_null(strstr(e.msg, "leaves the image"));
			continue;
		}
		if (rc < 0)
			fail_msg("%s: %s", t[i].raw, e.msg);
		assert_string_equal(b.data, t[i].want);
		assert_int_equal(b.len, strlen(b.data));
	}
}

static void limits(void **state)
{
	static char raw[LTREE_PATH_MAX + 1000];
	auto_buf b = { 0 };
	struct err e = { 0 };

	(void)state;
	memset(raw, 'n', LTREE_NAME_MAX);
	assert_int_equal(layer_path_normalise(raw, &b, &e), 0);
	raw[LTREE_NAME_MAX] = 'n';
	assert_int_equal(layer_path_normalise(raw, &b, &e), -EBADMSG);
	assert_non_null(strstr(e.msg, "name of more"));
	for (size_t i = 0; i < LTREE_DEPTH_MAX; i++)
		memcpy(raw + 2 * i, "d/", 3);
	assert_int_equal(layer_path_normalise(raw, &b, &e), 0);
	memcpy(raw + 2 * LTREE_DEPTH_MAX, "d", 2);
	assert_int_equal(layer_path_normalise(raw, &b, &e), -EBADMSG);
	assert_non_null(strstr(e.msg, "deep"));
	/* as deep on the way, but not at the end */
	memcpy(raw + 2 * LTREE_DEPTH_MAX, "../d", 5);
	assert_int_equal(layer_path_normalise(raw, &b, &e), 0);
	memset(raw, 'n', sizeof(raw) - 1);
	for (size_t i = LTREE_NAME_MAX; i < sizeof(raw) - 1; i += LTREE_NAME_MAX + 1)
		raw[i] = '/';
	assert_int_equal(layer_path_normalise(raw, &b, &e), -EBADMSG);
	assert_non_null(strstr(e.msg, "path of more"));
}

static void classifies(void **state)
{
	static const struct {
		const char *path, *want; /* NULL: refused */
		enum layer_path_kind kind;
	} t[] = {
		{ "", "", LAYER_PATH_PLAIN },
		{ "a/b", "a/b", LAYER_PATH_PLAIN },
		{ ".wh", ".wh", LAYER_PATH_PLAIN },
		{ "a.wh.b", "a.wh.b", LAYER_PATH_PLAIN },
		{ ".wh.a", "a", LAYER_PATH_WHITEOUT },
		{ "d/.wh.a", "d/a", LAYER_PATH_WHITEOUT },
		{ "d/.wh...a", "d/..a", LAYER_PATH_WHITEOUT },
		{ ".wh..wh..opq", "", LAYER_PATH_OPAQUE },
		{ "d/e/.wh..wh..opq", "d/e", LAYER_PATH_OPAQUE },
		{ ".wh..wh.plnk", NULL, LAYER_PATH_DROP },
		{ "d/.wh..wh..opqx", NULL, LAYER_PATH_DROP },
		{ ".wh..wh.plnk/1.2", NULL, LAYER_PATH_DROP },
		{ "d/.wh..wh.orph/.wh.x", NULL, LAYER_PATH_DROP },
		{ ".wh.", NULL, LAYER_PATH_PLAIN },
		{ ".wh..", NULL, LAYER_PATH_PLAIN },
		{ "d/.wh...", NULL, LAYER_PATH_PLAIN },
		{ ".wh.d/a", NULL, LAYER_PATH_PLAIN },
		{ "d/.wh.e/.wh.a", NULL, LAYER_PATH_PLAIN },
		{ ".wh.d/.wh..wh..opq", NULL, LAYER_PATH_PLAIN },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_buf b = { 0 };
		struct err e = { 0 };
		enum layer_path_kind kind = LAYER_PATH_PLAIN;
		int rc;

		assert_int_equal(buf_add_str(&b, t[i].path), 0);
		rc = layer_path_classify(&b, &kind, &e);
		if (!t[i].want && t[i].kind == LAYER_PATH_PLAIN) {
			if (rc != -EBADMSG)
				fail_msg("%s is taken", t[i].path);
			continue;
		}
		assert_int_equal(rc, 0);
		assert_int_equal(kind, t[i].kind);
		if (t[i].want) {
			assert_string_equal(b.data, t[i].want);
			assert_int_equal(b.len, strlen(b.data));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(normalises),
		cmocka_unit_test(limits),
		cmocka_unit_test(classifies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
