/* SPDX-License-Identifier: MIT */
/* test_text.c - text of strangers, sizes, times, columns */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "text.h"

static void escapes(void **state)
{
	static const struct {
		const char *in;
		size_t len;
		const char *out;
	} t[] = {
		{ "", 0, "" },
		{ "plain", 5, "plain" },
		{ "\x1b[2J", 4, "\\x1b[2J" },
		{ "a\nb\tc\r", 6, "a\\x0ab\\x09c\\x0d" },
		{ "\0x", 2, "\\x00x" },
		{ "\x7f", 1, "\\x7f" },
		{ "\xc2\x9b"
		  "31m",
		  5, "\\x9b31m" }, /* CSI as one character */
		{ "\xc2\xa0\xc3\xa9", 4, "\xc2\xa0\xc3\xa9" },
		{ "\xc2", 1, "\xc2" }, /* cut off */
		{ "\xe2\x80\xa6", 3, "\xe2\x80\xa6" },
		{ "\xff\xfe", 2, "\xff\xfe" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_buf b = { 0 };

		assert_int_equal(text_escape(&b, t[i].in, t[i].len), 0);
		assert_string_equal(b.data ? b.data : "", t[i].out);
	}
}

static void shortens(void **state)
{
	static const struct {
		const char *in;
		size_t max;
		const char *out;
	} t[] = {
		{ "", 5, "" },
		{ "12345", 5, "12345" },
		{ "123456", 5, "1234\xe2\x80\xa6" },
		{ "\xc3\xa9\xc3\xa9\xc3\xa9", 3, "\xc3\xa9\xc3\xa9\xc3\xa9" },
		{ "\xc3\xa9\xc3\xa9\xc3\xa9", 2, "\xc3\xa9\xe2\x80\xa6" },
		{ "ab", 1, "\xe2\x80\xa6" },
		{ "\x80\x80\x80", 5, "\x80\x80\x80" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_buf b = { 0 };

		assert_int_equal(text_shorten(&b, t[i].in, t[i].max), 0);
		assert_string_equal(b.data ? b.data : "", t[i].out);
	}
}

static void sizes(void **state)
{
	static const struct {
		uint64_t bytes;
		int digits;
		const char *out;
	} t[] = {
		{ 0, 3, "0B" },
		{ 999, 3, "999B" },
		{ 1000, 3, "1kB" },
		{ 1234, 4, "1.234kB" },
		{ 12345678, 3, "12.3MB" },
		{ 999400, 3, "999kB" },
		{ 999600, 3, "1MB" },
		{ 999960, 4, "1MB" },
		{ 187000000, 3, "187MB" },
		{ 1500000000, 3, "1.5GB" },
		{ UINT64_MAX, 4, "18.45EB" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		char text[24];

		size_text(t[i].bytes, t[i].digits, text, sizeof(text));
		assert_string_equal(text, t[i].out);
	}
}

static void durations(void **state)
{
	static const struct {
		int64_t s;
		const char *out;
	} t[] = {
		{ -100, "Less than a second" },
		{ INT64_MIN / 2, "Less than a second" },
		{ 0, "Less than a second" },
		{ 1, "1 second" },
		{ 59, "59 seconds" },
		{ 60, "About a minute" },
		{ 119, "About a minute" },
		{ 120, "2 minutes" },
		{ 3599, "59 minutes" },
		{ 3600, "About an hour" },
		{ 5400, "2 hours" },
		{ 47 * 3600, "47 hours" },
		{ 48 * 3600, "2 days" },
		{ 13 * 86400, "13 days" },
		{ 14 * 86400, "2 weeks" },
		{ 59 * 86400, "8 weeks" },
		{ 60 * 86400, "2 months" },
		{ 400 * 86400, "13 months" },
		{ 800 * 86400, "2 years" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		char text[40];

		duration_text(t[i].s, text, sizeof(text));
		assert_string_equal(text, t[i].out);
	}
}

static void columns(void **state)
{
	static const struct {
		const char *in, *out;
	} t[] = {
		{ "", "" },
		{ "no end", "no end" },
		{ "one\n", "one\n" },
		{ "ID\tNAME\n123\tx\n", "ID        NAME\n123       x\n" },
		{ "ID\tNAME\n1234567890\tx\n", "ID           NAME\n1234567890   x\n" },
		{ "\xc3\xa9\xc3\xa9\tx\n", "\xc3\xa9\xc3\xa9        x\n" },
		{ "\t\t\n", "                    \n" },
		{ "a\tb\nc\n", "a         b\nc\n" },
	};
	auto_buf wide = { 0 }, out = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_buf b = { 0 };

		assert_int_equal(columns_align(&b, t[i].in, strlen(t[i].in)), 0);
		assert_string_equal(b.data ? b.data : "", t[i].out);
	}
	for (int i = 0; i < 200; i++) /* more than it aligns */
		assert_int_equal(buf_add_str(&wide, "x\t"), 0);
	assert_int_equal(buf_add_str(&wide, "\n"), 0);
	assert_int_equal(columns_align(&out, wide.data, wide.len), 0);
	assert_true(out.len > wide.len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(escapes),   cmocka_unit_test(shortens), cmocka_unit_test(sizes),
		cmocka_unit_test(durations), cmocka_unit_test(columns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
