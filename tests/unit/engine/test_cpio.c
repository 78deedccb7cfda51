/* SPDX-License-Identifier: MIT */
/* test_cpio.c - archives for the initrd */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/stat.h>

#include "cpio.h"
#include "cpio_fixture.h"

static void entries(void **state)
{
	static const struct {
		const char *path, *data;
		uint32_t mode;
	} t[] = { { "a", "", S_IFREG | 0644 },        { "dir", "", S_IFDIR | 0755 },
		  { "dir/b", "1", S_IFREG | 0444 },   { "dir/bc", "12", S_IFREG | 0444 },
		  { "dir/bcd", "123", S_IFREG },      { "dir/bcde", "1234", S_IFREG | 07777 },
		  { "longer/name", "12345", S_IFREG } };
	auto_buf b = { 0 };
	struct cpio_entry x;
	size_t at = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		assert_int_equal(cpio_add(&b, t[i].path, t[i].mode, t[i].data, strlen(t[i].data)),
				 0);
	assert_int_equal(cpio_end(&b), 0);
	assert_int_equal(b.len % 4, 0);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		assert_true(cpio_next(&b, &at, &x));
		assert_string_equal(x.path, t[i].path);
		assert_int_equal(x.mode, t[i].mode);
		assert_int_equal(x.len, strlen(t[i].data));
		assert_memory_equal(x.data, t[i].data, x.len);
	}
	assert_false(cpio_next(&b, &at, &x));
	assert_int_equal(at, b.len); /* the next archive begins here */
}

static void no_room(void **state)
{
	struct buf b = BUF_LIMIT(150);

	(void)state;
	assert_int_equal(cpio_add(&b, "a", S_IFREG, "x", 1), 0);
	assert_int_equal(cpio_add(&b, "b", S_IFREG, "x", 1), -EFBIG);
	assert_int_equal(cpio_end(&b), -EFBIG);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(entries), cmocka_unit_test(no_room) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
