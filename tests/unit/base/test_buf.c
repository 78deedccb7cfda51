/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "buf.h"

static void grows_and_terminates(void **state)
{
	auto_buf b = { 0 };

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(buf_addf(&b, "%04d", i), 0);
	assert_int_equal(b.len, 4000);
	assert_int_equal(strlen(b.data), 4000);
	assert_memory_equal(b.data + 3996, "0999", 4);
}

static void limit_holds_and_changes_nothing(void **state)
{
	auto_buf b = BUF_LIMIT(8);

	(void)state;
	assert_int_equal(buf_add(&b, "12345678", 8), 0);
	assert_int_equal(buf_add(&b, "9", 1), -EFBIG);
	assert_int_equal(buf_addf(&b, "%s", "9"), -EFBIG);
	assert_int_equal(buf_reserve(&b, SIZE_MAX), -EFBIG); /* no overflow of the sum */
	assert_string_equal(b.data, "12345678");
}

static void consume_bounds(void **state)
{
	auto_buf b = { 0 };

	(void)state;
	buf_consume(&b, 10); /* of an empty buffer: nothing */
	assert_int_equal(buf_add_str(&b, "hello"), 0);
	buf_consume(&b, 2);
	assert_string_equal(b.data, "llo");
	buf_consume(&b, 100);
	assert_int_equal(b.len, 0);
	assert_string_equal(b.data, "");
}

static void take_gives_a_string_always(void **state)
{
	auto_buf b = { 0 };
	auto_free char *empty = buf_take_str(&b);
	auto_free char *full = NULL;

	(void)state;
	assert_string_equal(empty, "");
	assert_int_equal(buf_add(&b, "x", 1), 0);
	full = buf_take_str(&b);
	assert_string_equal(full, "x");
	assert_null(b.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grows_and_terminates),
		cmocka_unit_test(limit_holds_and_changes_nothing),
		cmocka_unit_test(consume_bounds),
		cmocka_unit_test(take_gives_a_string_always),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
