/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "err.h"

static void set_appends_errno_text(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_int_equal(err_set(&e, ENOENT, "open %s", "x"), -ENOENT);
	assert_string_equal(e.msg, "open x: No such file or directory");
	assert_int_equal(e.code, ENOENT);
}

static void plain_appends_nothing(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_int_equal(err_plain(&e, EINVAL, "bad %d", 3), -EINVAL);
	assert_string_equal(e.msg, "bad 3");
}

static void code_zero_is_still_an_error(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_int_equal(err_set(&e, 0, "odd"), -EIO);
	assert_int_equal(e.code, EIO);
}

static void wrap_keeps_code_and_text(void **state)
{
	struct err e = { 0 };

	(void)state;
	(void)err_plain(&e, EBUSY, "inner");
	assert_int_equal(err_wrap(&e, "outer %d", 1), -EBUSY);
	assert_string_equal(e.msg, "outer 1: inner");
}

static void long_text_is_cut_and_marked(void **state)
{
	struct err e = { 0 };
	char text[2 * ERR_MSG_MAX];

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	(void)err_plain(&e, EINVAL, "%s", text);
	assert_int_equal(strlen(e.msg), ERR_MSG_MAX - 1);
	assert_string_equal(e.msg + ERR_MSG_MAX - 4, "...");
	(void)err_wrap(&e, "%s", text); /* a wrap of a full message stays inside, too */
	assert_int_equal(strlen(e.msg), ERR_MSG_MAX - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_appends_errno_text),
		cmocka_unit_test(plain_appends_nothing),
		cmocka_unit_test(code_zero_is_still_an_error),
		cmocka_unit_test(wrap_keeps_code_and_text),
		cmocka_unit_test(long_text_is_cut_and_marked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
