/* SPDX-License-Identifier: MIT */
/* test_vmm_pages.c - lists of pages: those that can be, and all others are refused */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "bytes.h"
#include "vmm_pages.h"

static struct vmm_pages pages, again;

static void is_again(uint64_t mem_pages)
{
	auto_buf b = { 0 };
	struct err e = { 0 };

	assert_int_equal(vmm_pages_put(&b, &pages), 0);
	memset(&again, 0xa5, sizeof(again));
	assert_int_equal(vmm_pages_parse(b.data, b.len, mem_pages, &again, &e), 0);
	assert_int_equal(again.n, pages.n);
	assert_int_equal(again.n_pages, pages.n_pages);
	assert_memory_equal(again.v, pages.v, pages.n * sizeof(pages.v[0]));
}

static void round_trips(void **state)
{
	(void)state;
	memset(&pages, 0, sizeof(pages));
	is_again(0);
	assert_true(vmm_pages_add(&pages, 7));
	assert_true(vmm_pages_add(&pages, 8));
	assert_true(vmm_pages_add(&pages, 10));
	assert_int_equal(pages.n, 2);
	assert_int_equal(pages.n_pages, 3);
	is_again(11);
}

static void limits(void **state)
{
	(void)state;
	memset(&pages, 0, sizeof(pages));
	for (uint32_t i = 0; i < VMM_RANGES_MAX; i++)
		assert_true(vmm_pages_add(&pages, 2 * i));
	assert_false(vmm_pages_add(&pages, 2 * VMM_RANGES_MAX));
	assert_true(vmm_pages_add(&pages, 2 * VMM_RANGES_MAX - 1)); /* the last one grows */
	is_again(1U << 20);
	memset(&pages, 0, sizeof(pages));
	for (uint32_t i = 0; i < VMM_PAGES_MAX; i++)
		assert_true(vmm_pages_add(&pages, UINT32_MAX - VMM_PAGES_MAX + i));
	assert_false(vmm_pages_add(&pages, UINT32_MAX));
	is_again(UINT32_MAX);
}

static void refused(void **state)
{
	static const struct {
		const char *what;
		uint32_t n;
		struct vmm_range v[3];
		size_t more; /* bytes, or fewer when it is "cut" */
	} t[] = {
		{ "empty range", 1, { { 5, 0 } }, 0 },
		{ "behind the end", 1, { { 100, 1 } }, 0 },
		{ "over the end", 1, { { 99, 2 } }, 0 },
		{ "far behind", 1, { { UINT32_MAX, UINT32_MAX } }, 0 },
		{ "touch", 2, { { 5, 2 }, { 7, 1 } }, 0 },
		{ "overlap", 2, { { 5, 2 }, { 6, 1 } }, 0 },
		{ "descend", 2, { { 5, 2 }, { 1, 1 } }, 0 },
		{ "the same", 2, { { 5, 2 }, { 5, 2 } }, 0 },
		{ "a byte more", 1, { { 5, 2 } }, 1 },
		{ "a range more", 1, { { 5, 2 }, { 9, 1 } }, 8 },
		{ "a range missing", 2, { { 5, 2 } }, (size_t)-8 },
		{ "a byte missing", 1, { { 5, 2 } }, (size_t)-1 },
		{ "no range", UINT32_MAX, { { 5, 2 } }, 8 },
	};
	uint8_t raw[64];
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		const size_t len = 16 + (t[i].n < 4 ? 8 * t[i].n : 0) + t[i].more;

		memset(raw, 0, sizeof(raw));
		memcpy(raw, "CSNPAGES\1", 9);
		put_le32(raw + 12, t[i].n);
		for (size_t k = 0; k < 3; k++) {
			put_le32(raw + 16 + 8 * k, t[i].v[k].first);
			put_le32(raw + 20 + 8 * k, t[i].v[k].n);
		}
		if (vmm_pages_parse(raw, len, 100, &again, &e) != -EBADMSG)
			fail_msg("%s", t[i].what);
	}
}

static void heads(void **state)
{
	uint8_t raw[16] = "CSNPAGES\1";
	struct err e = { 0 };

	(void)state;
	assert_int_equal(vmm_pages_parse(raw, 16, 100, &again, &e), 0);
	for (size_t len = 0; len < 16; len++)
		assert_int_equal(vmm_pages_parse(raw, len, 100, &again, &e), -EBADMSG);
	for (size_t i = 0; i < 16; i++) {
		raw[i] ^= 0x80;
		assert_int_equal(vmm_pages_parse(raw, 16, 100, &again, &e), -EBADMSG);
		raw[i] ^= 0x80;
	}
}

/* More pages than there may be, though the ranges are few. */
static void too_many(void **state)
{
	uint8_t raw[32] = "CSNPAGES\1";
	struct err e = { 0 };

	(void)state;
	put_le32(raw + 12, 2);
	put_le32(raw + 16, 0);
	put_le32(raw + 20, VMM_PAGES_MAX - 1);
	put_le32(raw + 24, VMM_PAGES_MAX);
	put_le32(raw + 28, 1);
	assert_int_equal(vmm_pages_parse(raw, 32, 1U << 20, &again, &e), 0);
	put_le32(raw + 28, 2);
	assert_int_equal(vmm_pages_parse(raw, 32, 1U << 20, &again, &e), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trips), cmocka_unit_test(limits),
		cmocka_unit_test(refused),     cmocka_unit_test(heads),
		cmocka_unit_test(too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
