/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "format.h"

static const struct format_column columns[] = { { "CONTAINER ID", "ID" },
						{ "NAMES", "Names" },
						{ "STATUS", "Status" } };

static json_t *rows_two(void)
{
	return json_pack("[{s:s,s:s,s:s,s:s},{s:s,s:s,s:s,s:s}]", "ID", "abc", "Names", "one",
			 "Status", "Up 2 hours", "Labels", "a=1", "ID", "0123456789ab", "Names",
			 "another", "Status", "Created", "Labels", "");
}

static void formats(void **state)
{
	static const struct {
		const char *format, *out;
	} t[] = {
		{ NULL, "CONTAINER ID   NAMES     STATUS\n"
			"abc            one       Up 2 hours\n"
			"0123456789ab   another   Created\n" },
		{ "table {{.Names}}\\t{{.ID}}", "NAMES     CONTAINER ID\n"
						"one       abc\n"
						"another   0123456789ab\n" },
		{ "table {{.Names}}\t{{.Labels}}|{{upper .Status}}", "NAMES     LABELS|STATUS\n"
								     "one       a=1|UP 2 HOURS\n"
								     "another   |CREATED\n" },
		{ "{{.ID}}: {{.Names}}", "abc: one\n0123456789ab: another\n" },
		{ "{{.ID}}\\n{{.Names}}", "abc\none\n0123456789ab\nanother\n" },
		{ "tables", "tables\ntables\n" },
		{ "json",
		  "{\"ID\":\"abc\",\"Labels\":\"a=1\",\"Names\":\"one\",\"Status\":\"Up 2 hours\"}\n"
		  "{\"ID\":\"0123456789ab\",\"Labels\":\"\",\"Names\":\"another\",\"Status\":"
		  "\"Created\"}\n" },
	};
	static const char *const tables[] = { "", "table", "table ", "table\\t" };

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]) + 4; i++) {
		size_t at = i < 4 ? 0 : i - 4;
		json_t *rows = rows_two();
		struct err e = { 0 };
		auto_buf b = { 0 };

		assert_int_equal(format_list_make(&b, i < 4 ? tables[i] : t[at].format, rows,
						  columns, 3, &e),
				 0);
		assert_string_equal(b.data, t[at].out);
		json_decref(rows);
	}
}

static void no_rows(void **state)
{
	json_t *rows = json_array();
	struct err e = { 0 };
	auto_buf b = { 0 };

	(void)state;
	assert_int_equal(format_list_make(&b, NULL, rows, columns, 3, &e), 0);
	assert_int_equal(
		format_list_make(&b, "table {{.ID}}\t{{.CreatedAt}}", rows, columns, 3, &e), 0);
	assert_int_equal(format_list_make(&b, "json", rows, columns, 3, &e), 0);
	assert_int_equal(format_list_make(&b, "{{.ID}}", rows, columns, 3, &e), 0);
	assert_string_equal(b.data, "CONTAINER ID   NAMES     STATUS\nCONTAINER ID   CREATED AT\n");
	json_decref(rows);
}

static void bad_templates(void **state)
{
	static const char *const bad[] = { "{{.Nope}}", "table {{.Nope}}", "{{", "table {{.ID",
					   "{{foo}}" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_t *rows = rows_two();
		struct err e = { 0 };
		auto_buf b = { 0 };

		assert_int_equal(format_list_make(&b, bad[i], rows, columns, 3, &e), -EINVAL);
		assert_non_null(strstr(e.msg, "template parsing error"));
		json_decref(rows);
	}
}

/* Names in a registry are chosen by strangers. */
static void terminals_are_not_driven(void **state)
{
	static const char *const formats_[] = { NULL, "table {{.ID}}", "{{.ID}}", "json",
						"{{json .}}" };
	json_t *rows = json_pack("[{s:s}]", "ID",
				 "a\x1b]0;x\x07\tb\nc\x7f\xc2\x9b"
				 "31m");

	(void)state;
	for (size_t i = 0; i < sizeof(formats_) / sizeof(formats_[0]); i++) {
		struct err e = { 0 };
		auto_buf b = { 0 };

		assert_int_equal(format_list_make(&b, formats_[i], rows, columns, 1, &e), 0);
		assert_null(strchr(b.data, 0x1b));
		assert_null(strchr(b.data, 0x07));
		assert_null(strchr(b.data, '\t'));
	}
	json_decref(rows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formats),
		cmocka_unit_test(no_rows),
		cmocka_unit_test(bad_templates),
		cmocka_unit_test(terminals_are_not_driven),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
