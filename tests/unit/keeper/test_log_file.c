/* SPDX-License-Identifier: MIT */
/* test_log_file.c - an app's output as Docker's json-file has it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>

#include "fdio.h"
#include "log_file.h"
#include "temp_dir.h"

/* "log|stream;" of each line; the time is only looked at. */
static void log_print(struct buf *out)
{
	auto_buf b = { 0 };
	struct err e = { 0 };

	buf_clear(out);
	assert_int_equal(buf_add(out, "", 0), 0);
	assert_int_equal(file_read_at(temp_dir.fd, LOG_FILE_NAME, 1 << 20, &b, &e), 0);
	for (char *line = b.data, *end; line && (end = strchr(line, '\n')); line = end + 1) {
		static const char head[] = "{\"log\":\"", middle[] = "\",\"stream\":\"std";
		char *stream;

		*end = '\0';
		assert_memory_equal(line, head, sizeof(head) - 1);
		stream = strstr(line, middle);
		assert_non_null(stream);
		assert_non_null(strstr(stream, "\"time\":\"2"));
		assert_memory_equal(end - 3, "Z\"}", 3);
		assert_int_equal(buf_addf(out, "%.*s|%.3s;", (int)(stream - line) - 8, line + 8,
					  stream + sizeof(middle) - 1),
				 0);
	}
}

static void expect(const char *const *pieces, size_t n, const char *want)
{
	auto_buf got = { 0 };
	struct log_file l;
	struct err e = { 0 };

	(void)unlinkat(temp_dir.fd, LOG_FILE_NAME, 0); /* of the row before, if any */
	assert_int_equal(log_file_open(temp_dir.fd, &l, &e), 0);
	for (size_t i = 0; i < n; i++) /* "2" before the text: stderr */
		log_file_add(&l, pieces[i][0] == '2', pieces[i] + 1, strlen(pieces[i] + 1));
	log_file_done(&l);
	log_print(&got);
	assert_string_equal(got.data, want);
}

static void lines(void **state)
{
	static const struct {
		const char *pieces[4];
		size_t n;
		const char *want;
	} t[] = {
		{ { "1" }, 1, "" },
		{ { "1a\n" }, 1, "a\\n|out;" },
		{ { "2a\nb\n" }, 1, "a\\n|err;b\\n|err;" },
		{ { "1a", "1b", "1\n" }, 3, "ab\\n|out;" },
		{ { "1a", "2b\n", "1c\n" }, 3, "b\\n|err;ac\\n|out;" },
		{ { "1no end" }, 1, "no end|out;" },
		{ { "1x", "2y" }, 2, "x|out;y|err;" },
		{ { "1\n\n" }, 1, "\\n|out;\\n|out;" },
		{ { "1\"\\\r\t\x01\x1b<&>\n" },
		  1,
		  "\\\"\\\\\\r\\t\\u0001\\u001b\\u003c\\u0026\\u003e\\n|out;" },
		{ { "1\xc3\xa4\xe6\x97\xa5\xf0\x9f\x9a\xa2" },
		  1,
		  "\xc3\xa4\xe6\x97\xa5\xf0\x9f\x9a\xa2|out;" },
		{ { "1\xff"
		    "a\xc3\n" },
		  1,
		  "\\ufffda\\ufffd\\n|out;" },
		{ { "1\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80" },
		  1,
		  "\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd|out;" },
		{ { "1\xe6\x97", "1\xa5\n" }, 2, "\xe6\x97\xa5\\n|out;" }, /* in two pieces */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		expect(t[i].pieces, t[i].n, t[i].want);
}

static void long_lines_are_split(void **state)
{
	static char big[3 * LOG_LINE_MAX];
	auto_buf got = { 0 };
	struct log_file l;
	struct err e = { 0 };
	size_t lines = 0, letters = 0;

	(void)state;
	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 10] = '\n';
	assert_int_equal(log_file_open(temp_dir.fd, &l, &e), 0);
	log_file_add(&l, false, "xx", 2);
	log_file_add(&l, false, big, sizeof(big));
	log_file_done(&l);
	log_print(&got);
	for (const char *p = got.data; *p; p++) {
		lines += *p == ';';
		letters += *p == 'x';
	}
	assert_int_equal(lines, 4);
	assert_int_equal(letters, sizeof(big) + 1);
}

static void appended(void **state)
{
	auto_buf got = { 0 };
	struct err e = { 0 };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct log_file l;

		assert_int_equal(log_file_open(temp_dir.fd, &l, &e), 0);
		log_file_add(&l, false, "a\n", 2);
		log_file_done(&l);
	}
	log_print(&got);
	assert_string_equal(got.data, "a\\n|out;a\\n|out;");
}

static void refused(void **state)
{
	struct log_file l;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(symlinkat("/dev/null", temp_dir.fd, LOG_FILE_NAME), 0);
	assert_int_equal(log_file_open(temp_dir.fd, &l, &e), -ELOOP);
	assert_int_equal(log_file_open(-1, &l, &e), -EBADF);
	log_file_done(&l);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, temp_dir_setup, temp_dir_teardown)
	const struct CMUnitTest tests[] = {
		TEST(lines),
		TEST(long_lines_are_split),
		TEST(appended),
		TEST(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
