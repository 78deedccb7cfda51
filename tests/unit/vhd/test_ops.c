/* SPDX-License-Identifier: MIT */
/* test_ops.c - random operations on images of all kinds, each beside a plain array */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cleanup.h"
#include "disk_model.h"

#define KIB 1024U
#define MIB (1U << 20)

struct kind {
	const char *name;
	enum vhd_type type;
	uint32_t block_size;
	unsigned int depth, ops; /* ops on each image of the chain */
	uint64_t seed;
	uint64_t sizes[3]; /* of the images, in turn; 0: as the one below */
	size_t cache_max;
};

static const struct kind kinds[] = {
	{ "fixed", VHD_TYPE_FIXED, 0, 1, 300, 1, { 5 * MIB + 3 * 512 } },
	{ "fixed, one sector", VHD_TYPE_FIXED, 0, 1, 50, 2, { 512 } },
	{ "dynamic", VHD_TYPE_DYNAMIC, 0, 1, 400, 3, { 9 * MIB + 5 * 512 } },
	{ "dynamic, small blocks", VHD_TYPE_DYNAMIC, 512 * KIB, 1, 400, 4, { 6 * MIB + 512 } },
	{ "dynamic, large blocks", VHD_TYPE_DYNAMIC, 8 * MIB, 1, 200, 5, { 20 * MIB } },
	{ "dynamic, less than a block", VHD_TYPE_DYNAMIC, 0, 1, 200, 6, { 7 * 512 } },
	{ "child", VHD_TYPE_DYNAMIC, 0, 2, 300, 7, { 9 * MIB } },
	{ "child, small blocks", VHD_TYPE_DYNAMIC, 512 * KIB, 2, 400, 8, { 5 * MIB + 7 * 512 } },
	{ "child of a fixed one", VHD_TYPE_FIXED, 0, 2, 300, 9, { 7 * MIB + 512 } },
	{ "larger children",
	  VHD_TYPE_DYNAMIC,
	  512 * KIB,
	  3,
	  200,
	  10,
	  { 3 * MIB + 512, 4 * MIB + 9 * 512, 4 * MIB + 10 * 512 } },
	{ "larger children of a fixed one",
	  VHD_TYPE_FIXED,
	  0,
	  3,
	  150,
	  11,
	  { 3 * MIB + 512, 6 * MIB, 6 * MIB + 512 } },
	{ "smaller children",
	  VHD_TYPE_DYNAMIC,
	  512 * KIB,
	  3,
	  150,
	  12,
	  { 5 * MIB, 4 * MIB + 512, 2 * MIB + 3 * 512 } },
	/* eight bitmaps fit, of 24 blocks */
	{ "child, small cache", VHD_TYPE_DYNAMIC, 512 * KIB, 3, 300, 16, { 12 * MIB }, 1 },
	{ "twelve", VHD_TYPE_DYNAMIC, 512 * KIB, 12, 40, 13, { 4 * MIB + 512 } },
	{ "twelve, large blocks", VHD_TYPE_DYNAMIC, 0, 12, 30, 14, { 9 * MIB } },
	{ "twelve, few operations each", VHD_TYPE_DYNAMIC, 512 * KIB, 12, 3, 15, { 8 * MIB } },
};

static void kind_run(const struct kind *k)
{
	struct vhd_create_options o = { .type = k->type,
					.size = k->sizes[0],
					.block_size = k->block_size };
	struct disk_model m;

	print_message("%s\n", k->name);
	disk_model_init(&m, k->seed, &o);
	m.cache_max = k->cache_max;
	for (unsigned int i = 0;; i++) {
		disk_model_run(&m, &disk_weights_usual, k->ops);
		disk_model_compare(&m);
		if (i == k->depth - 1)
			break;
		disk_model_snapshot(&m, i + 1 < ARRAY_SIZE(k->sizes) ? k->sizes[i + 1] : 0);
	}
	disk_model_close(&m);
	disk_model_open(&m);
	disk_model_compare(&m);
	disk_model_close(&m);
	disk_model_done(&m);
}

static void all_kinds(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		kind_run(&kinds[i]);
}

/* Past the end and the like: refused, nothing changed. */
static void bad_ranges(void **state)
{
	struct vhd_create_options o = { .type = VHD_TYPE_DYNAMIC, .size = 3 * MIB + 512 };
	static const uint64_t bad[][2] = { { 3 * MIB + 512, 1 },      { 3 * MIB + 511, 2 },
					   { 0, 3 * MIB + 513 },      { UINT64_MAX, 1 },
					   { UINT64_MAX - 511, 512 }, { 1ULL << 63, 512 } };
	struct disk_model m;
	struct vhd_err e;
	auto_free uint8_t *buf = calloc(1, 4 * MIB);

	(void)state;
	assert_non_null(buf);
	disk_model_init(&m, 1, &o);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		uint64_t off = bad[i][0], len = bad[i][1];

		e = (struct vhd_err){ 0 };
		assert_int_equal(vhd_read(m.v, buf, len, off, &e), -EINVAL);
		assert_true(e.code == EINVAL && e.msg[0]);
		assert_int_equal(vhd_write(m.v, buf, len, off, &e), -ENOSPC);
		assert_int_equal(vhd_zero(m.v, len, off, &e), -ENOSPC);
		assert_int_equal(vhd_discard(m.v, len, off, &e), -ENOSPC);
	}
	assert_int_equal(vhd_write(m.v, buf, 0, m.size, &e), 0); /* nothing, at the end */
	assert_int_equal(vhd_read(m.v, buf, 0, m.size, &e), 0);
	disk_model_compare(&m);
	disk_model_done(&m);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_kinds),
		cmocka_unit_test(bad_ranges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
