/* SPDX-License-Identifier: MIT */
/* test_machine_name.c - random names and ids */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "machine_name.h"

static void names(void **state)
{
	(void)state;
	for (unsigned attempt = 0; attempt < 200; attempt++) {
		char name[64];
		struct err e = { 0 };
		size_t letters, more;

		assert_int_equal(machine_name_random(attempt, name, sizeof(name), &e), 0);
		letters = strspn(name, "abcdefghijklmnopqrstuvwxyz");
		assert_true(letters > 2 && name[letters] == '_');
		more = strspn(name + letters + 1, "abcdefghijklmnopqrstuvwxyz");
		assert_true(more > 2);
		more += letters + 1;
		assert_true(attempt ? name[more] >= '0' && name[more] <= '9' : !name[more]);
		assert_int_equal(more + strspn(name + more, "0123456789"), strlen(name));
	}
}

static void short_room(void **state)
{
	char name[8];
	struct err e = { 0 };

	(void)state;
	memset(name, 'x', sizeof(name));
	assert_int_equal(machine_name_random(1, name, 5, &e), 0);
	assert_int_equal(strlen(name), 4);
	assert_int_equal(name[5], 'x');
}

static void ids(void **state)
{
	char a[65], b[65];
	struct err e = { 0 };

	(void)state;
	assert_int_equal(machine_id_random(a, &e), 0);
	assert_int_equal(machine_id_random(b, &e), 0);
	assert_int_equal(strspn(a, "0123456789abcdef"), 64);
	assert_int_equal(strlen(b), 64);
	assert_string_not_equal(a, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(short_room),
		cmocka_unit_test(ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
