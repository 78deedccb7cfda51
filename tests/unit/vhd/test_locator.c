/* SPDX-License-Identifier: MIT */
/* test_locator.c - paths in parent locators */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "vhd_format.h"
#include "vhd_shim.h"

static int path_of(const char *code, const void *raw, size_t len, char path[VHD_PATH_MAX])
{
	struct vhd_locator l = { .space = VHD_LOCATOR_MAX,
				 .length = (uint32_t)len,
				 .offset = 4096 };

	auto_free uint8_t *exact = malloc(len ? len : 1); /* nothing behind it may be read */

	assert_non_null(exact);
	memcpy(exact, raw, len);
	memcpy(l.code, code, sizeof(l.code));
	memset(path, 'x', VHD_PATH_MAX);
	return vhd_locator_path(&l, exact, len, path);
}

/* Windows paths: given as bytes, each of which becomes a unit. */
static void windows(void **state)
{
	static const struct {
		const char *code, *text;
		size_t len;
		int rc;
		const char *path;
	} t[] = {
		{ "W2ru", ".\\b.vhd", 7, 0, "./b.vhd" },
		{ "W2ru", "..\\..\\etc\\passwd", 16, 0, "../../etc/passwd" }, /* text only here */
		{ "W2ku", "C:\\d\\b.vhd", 10, 0, "C:/d/b.vhd" },
		{ "W2ku", "\\\\server\\share\\b.vhd", 20, 0, "//server/share/b.vhd" },
		{ "W2ru", "b.vhd\0", 6, 0, "b.vhd" }, /* the NUL was counted */
		{ "W2ru", "b.vhd\0\0\0", 8, 0, "b.vhd" },
		{ "W2ru", "b\0.vhd", 6, -EINVAL, "" },
		{ "W2ru", "\0b", 2, -EINVAL, "" },
		{ "W2ru", "\0\0", 2, -EINVAL, "" },
		{ "W2ru", "", 0, -EINVAL, "" },
		{ "Wi2r", ".\\b.vhd", 7, -ENOTSUP, "" },
		{ "Wi2k", "C:\\b.vhd", 8, -ENOTSUP, "" },
		{ "Mac ", "b", 1, -ENOTSUP, "" },
		{ "w2ru", "b", 1, -ENOTSUP, "" },
		{ "W2ra", "b", 1, -ENOTSUP, "" },
		{ "\0\0\0\0", "b", 1, -ENOTSUP, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		uint8_t raw[128] = { 0 };
		char path[VHD_PATH_MAX];

		for (size_t k = 0; k < t[i].len; k++)
			raw[2 * k] = (uint8_t)t[i].text[k];
		if (path_of(t[i].code, raw, 2 * t[i].len, path) != t[i].rc)
			fail_msg("row %zu", i);
		assert_string_equal(path, t[i].path);
	}
}

static void windows_odd(void **state)
{
	char path[VHD_PATH_MAX];

	(void)state;
	assert_int_equal(path_of("W2ru", "b\0c", 3, path), -EINVAL);
	assert_string_equal(path, "");
	assert_int_equal(path_of("W2ru", "b\0\x3d\xd8\\\0c\0", 8, path), 0); /* half a pair */
	assert_string_equal(path, "b\xef\xbf\xbd/c");
}

static void url(void **state)
{
	static const struct {
		const char *raw;
		int rc;
		const char *path;
	} t[] = {
		{ "file:///d/b.vhd", 0, "/d/b.vhd" },
		{ "file://localhost/d/b.vhd", 0, "/d/b.vhd" },
		{ "file://./b.vhd", 0, "./b.vhd" },
		{ "file://../b.vhd", 0, "../b.vhd" },
		{ "file:///etc/passwd", 0, "/etc/passwd" }, /* text only here */
		{ "file:///a%20b%2F%c3%A4", 0, "/a b/\xc3\xa4" },
		{ "file:///a%25", 0, "/a%" },
		{ "file:///a\\b", 0, "/a\\b" },
		{ "file://", -EINVAL, "" },
		{ "file://server/share/b.vhd", -EINVAL, "" },
		{ "file://b.vhd", -EINVAL, "" },
		{ "file://.b/c", -EINVAL, "" },
		{ "file:/b.vhd", -EINVAL, "" },
		{ "FILE:///b", -EINVAL, "" },
		{ "http:///b", -EINVAL, "" },
		{ "/b.vhd", -EINVAL, "" },
		{ "", -EINVAL, "" },
		{ "file:///a%", -EINVAL, "" },
		{ "file:///a%2", -EINVAL, "" },
		{ "file:///a%2g", -EINVAL, "" },
		{ "file:///a%g2", -EINVAL, "" },
		{ "file:///a%00b", -EINVAL, "" },
		{ "file:///a%00", -EINVAL, "" },
		{ "file:///a%ff", -EINVAL, "" }, /* no UTF-8 */
		{ "file:///a\xc3", -EINVAL, "" },
		{ "file:///a%c0%af", -EINVAL, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		char path[VHD_PATH_MAX];

		if (path_of("MacX", t[i].raw, strlen(t[i].raw), path) != t[i].rc)
			fail_msg("row %zu", i);
		assert_string_equal(path, t[i].path);
	}
}

static void url_nul(void **state)
{
	char path[VHD_PATH_MAX];

	(void)state;
	assert_int_equal(path_of("MacX", "file:///b\0", 10, path), 0);
	assert_string_equal(path, "/b");
	assert_int_equal(path_of("MacX", "file:///b\0c", 11, path), -EINVAL);
}

/* As long as a locator may be: what does not fit a path is refused, and nothing is cut. */
static void longest(void **state)
{
	uint8_t raw[VHD_LOCATOR_MAX + 7];
	char path[VHD_PATH_MAX];

	(void)state;
	for (size_t i = 0; i + 2 <= sizeof(raw); i += 2)
		put_le16(raw + i, 0x20ac); /* 3 bytes each */
	assert_int_equal(path_of("W2ru", raw, VHD_LOCATOR_MAX, path), -ENAMETOOLONG);
	assert_string_equal(path, "");
	assert_int_equal(path_of("W2ru", raw, 2 * ((VHD_PATH_MAX - 1) / 3), path), 0);
	assert_int_equal(strlen(path), VHD_PATH_MAX - 1);
	assert_int_equal(path_of("W2ru", raw, 2 * ((VHD_PATH_MAX - 1) / 3) + 2, path),
			 -ENAMETOOLONG);
	memset(raw, 'a', sizeof(raw));
	memcpy(raw, "file:///", 8);
	assert_int_equal(path_of("MacX", raw, sizeof(raw) - 1, path), 0);
	assert_int_equal(strlen(path), VHD_PATH_MAX - 1);
	assert_int_equal(path_of("MacX", raw, sizeof(raw), path), -ENAMETOOLONG);
	assert_string_equal(path, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(windows), cmocka_unit_test(windows_odd), cmocka_unit_test(url),
		cmocka_unit_test(url_nul), cmocka_unit_test(longest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
