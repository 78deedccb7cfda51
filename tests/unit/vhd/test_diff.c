/* SPDX-License-Identifier: MIT */
/* test_diff.c - ranges that differ, and the digest of a disk */
#include "image_dir.h"

#include <openssl/sha.h>

#define SIZE (3U * MIB + 512)

static uint8_t model[SIZE + MIB];

struct ranges {
	struct {
		uint64_t off, len;
	} at[16];
	size_t n, max;
};

static int range_note(void *ctx, uint64_t off, uint64_t len)
{
	struct ranges *r = ctx;

	assert_true(r->n < ARRAY_SIZE(r->at));
	r->at[r->n].off = off;
	r->at[r->n++].len = len;
	return r->max && r->n == r->max;
}

static struct ranges diff_of(const char *a, const char *b)
{
	struct vhd *va = image_open(a, 0), *vb = image_open(b, 0);
	struct ranges r = { 0 };

	OK(vhd_diff(va, vb, range_note, &r, NULL, &e));
	OK(vhd_close(va, &e));
	OK(vhd_close(vb, &e));
	return r;
}

static void ranges_of_sectors(void **state)
{
	static const struct {
		uint64_t off;
		size_t len;
	} writes[] = { /* each a range of its own, in sectors */
		       { 5, 1 },
		       { 1000, 3000 },
		       { BLOCK - 700, 1400 }, /* over the end of a block */
		       { 2 * MIB, 512 },
		       { SIZE - 1, 1 }
	};
	struct ranges r;

	(void)state;
	image_make("a", VHD_TYPE_DYNAMIC, SIZE, NULL);
	image_write("a", NULL, 0, MIB, 1);
	image_make("b", VHD_TYPE_DIFFERENCING, 0, "a");
	assert_int_equal(diff_of("a", "b").n, 0);
	image_write("b", NULL, 600 * KIB, 50000, 0);  /* data become zeros ... */
	image_write("b", NULL, 1500 * KIB, 50000, 0); /* and zeros stay zeros */
	for (size_t i = 0; i < ARRAY_SIZE(writes); i++)
		image_write("b", NULL, writes[i].off, writes[i].len, 100 + (uint32_t)i);
	r = diff_of("b", "a");
	assert_int_equal(r.n, 5);
	assert_int_equal(r.at[0].off, 0); /* sectors 0 and 1 to 7: one range */
	assert_int_equal(r.at[0].len, 4096);
	assert_int_equal(r.at[1].off, BLOCK - 1024);
	assert_int_equal(r.at[1].len, 2048);
	assert_int_equal(r.at[2].off, 600 * KIB);
	assert_int_equal(r.at[2].len, 50176); /* 50000 bytes touch 98 sectors */
	assert_int_equal(r.at[3].off, 2 * MIB);
	assert_int_equal(r.at[3].len, 512);
	assert_int_equal(r.at[4].off, SIZE - 512);
	assert_int_equal(r.at[4].len, 512);
}

static void past_the_end_are_zeros(void **state)
{
	struct ranges r;

	(void)state;
	image_make("a", VHD_TYPE_DYNAMIC, SIZE, NULL);
	image_make("b", VHD_TYPE_FIXED, SIZE + MIB, NULL);
	assert_int_equal(diff_of("a", "b").n, 0);
	image_write("b", NULL, SIZE + 1024, 512, 1);
	r = diff_of("a", "b");
	assert_int_equal(r.n, 1);
	assert_int_equal(r.at[0].off, SIZE + 1024);
	assert_int_equal(r.at[0].len, 512);
	assert_int_equal(diff_of("b", "a").n, 1);
}

static void ends_when_told(void **state)
{
	struct ranges r = { .max = 1 };
	struct vhd *a, *b;

	(void)state;
	image_make("a", VHD_TYPE_DYNAMIC, SIZE, NULL);
	image_make("b", VHD_TYPE_DYNAMIC, SIZE, NULL);
	image_write("b", NULL, 0, 512, 1);
	image_write("b", NULL, MIB, 512, 1);
	a = image_open("a", 0);
	b = image_open("b", 0);
	FAILS(ECANCELED, vhd_diff(a, b, range_note, &r, NULL, &e));
	assert_int_equal(r.n, 1);
	OK(vhd_close(a, &e));
	OK(vhd_close(b, &e));
}

/* What is shared is not read: it cannot be, and that does not matter. */
static void shared_parent_is_not_read(void **state)
{
	struct ranges r = { 0 };
	struct vhd *a, *b;

	(void)state;
	image_make("base", VHD_TYPE_FIXED, SIZE, NULL);
	image_write("base", NULL, 0, SIZE, 1);
	image_make("a", VHD_TYPE_DIFFERENCING, 0, "base");
	image_make("b", VHD_TYPE_DIFFERENCING, 0, "base");
	image_write("b", NULL, 0, BLOCK, 2);
	image_write("a", NULL, 0, BLOCK, 3);
	a = image_open("a", 0);
	b = image_open("b", 0);
	assert_int_equal(truncate(at("base"), 0), 0);
	FAILS(ENODATA, vhd_digest(a, (uint8_t[32]){ 0 }, NULL, &e));
	OK(vhd_diff(a, b, range_note, &r, NULL, &e));
	assert_int_equal(r.n, 1);
	assert_int_equal(r.at[0].len, BLOCK);
	OK(vhd_close(a, &e));
	OK(vhd_close(b, &e));
}

static void digest_is_of_all_bytes(void **state)
{
	uint8_t want[32], got[32];
	struct vhd *v;

	(void)state;
	memset(model, 0, sizeof(model));
	image_make("a", VHD_TYPE_DYNAMIC, SIZE, NULL);
	image_write("a", model, 5000, 700 * KIB, 1);
	image_make("b", VHD_TYPE_DIFFERENCING, 0, "a");
	image_write("b", model, 2 * MIB, 1000, 2);
	image_write("b", model, 6000, 1000, 0);
	SHA256(model, SIZE, want);
	v = image_open("b", 0);
	OK(vhd_digest(v, got, NULL, &e));
	assert_memory_equal(got, want, 32);
	OK(vhd_close(v, &e));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ranges_of_sectors, image_dir_setup,
						image_dir_teardown),
		cmocka_unit_test_setup_teardown(past_the_end_are_zeros, image_dir_setup,
						image_dir_teardown),
		cmocka_unit_test_setup_teardown(ends_when_told, image_dir_setup,
						image_dir_teardown),
		cmocka_unit_test_setup_teardown(shared_parent_is_not_read, image_dir_setup,
						image_dir_teardown),
		cmocka_unit_test_setup_teardown(digest_is_of_all_bytes, image_dir_setup,
						image_dir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
