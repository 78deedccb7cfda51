/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "bytes.h"

static void round_trip_at_odd_addresses(void **state)
{
	uint8_t raw[16] = { 0 };

	(void)state;
	put_le64(raw + 1, 0x8123456789abcdefULL);
	assert_int_equal(raw[1], 0xef);
	assert_true(get_le64(raw + 1) == 0x8123456789abcdefULL);
	put_le32(raw + 3, 0xfedcba98U);
	assert_true(get_le32(raw + 3) == 0xfedcba98U);
	put_le16(raw + 5, 0xff01);
	assert_int_equal(get_le16(raw + 5), 0xff01);
}

static void range_fits_never_overflows(void **state)
{
	static const struct {
		uint64_t off, len, size;
		bool fits;
	} t[] = {
		{ 0, 0, 0, true },
		{ 0, 1, 0, false },
		{ 4, 4, 8, true },
		{ 5, 4, 8, false },
		{ 8, 0, 8, true },
		{ 9, 0, 8, false },
		{ UINT64_MAX, 2, 8, false },
		{ 2, UINT64_MAX, 8, false },
		{ 1, UINT64_MAX, UINT64_MAX, false },
		{ 0, UINT64_MAX, UINT64_MAX, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		assert_int_equal(range_fits(t[i].off, t[i].len, t[i].size), t[i].fits);
}

static void align_up_rounds(void **state)
{
	(void)state;
	assert_true(align_up(0, 4096) == 0);
	assert_true(align_up(1, 4096) == 4096);
	assert_true(align_up(4096, 4096) == 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip_at_odd_addresses),
		cmocka_unit_test(range_fits_never_overflows),
		cmocka_unit_test(align_up_rounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
