/* SPDX-License-Identifier: MIT */
/* test_compact.c - what takes no space afterwards, and what must stay */
#include "image_dir.h"

#define SIZE (8U * MIB)

static uint8_t model[SIZE];

static struct vhd_compact_result compact(const char *name, uint32_t flags)
{
	struct vhd_compact_result r;
	uint64_t before = file_size(name);

	OK(vhd_compact(at(name), NULL, flags, &r, NULL, &e));
	assert_int_equal(r.before, before);
	assert_int_equal(file_size(name), flags & VHD_DRY_RUN ? before : r.after);
	return r;
}

/* Blocks in the order 0 to 9; then every second one becomes zeros. */
static void dynamic_make(const char *name, enum vhd_profile profile)
{
	struct vhd_create_options o = {
		.type = VHD_TYPE_DYNAMIC, .size = SIZE, .profile = profile, .is_replacing = true
	};

	o.block_size = profile == VHD_FOR_XENSERVER ? 0 : BLOCK;
	OK(vhd_create(at(name), &o, &e));
	memset(model, 0, sizeof(model));
	for (uint32_t i = 0; i < SIZE; i += BLOCK)
		image_write(name, model, i, BLOCK, i + 1);
	for (uint32_t i = 0; i < SIZE; i += 2 * BLOCK)
		image_write(name, model, i, BLOCK, 0);
}

static void blocks_of_zeros_go(void **state)
{
	struct vhd_compact_result r;

	(void)state;
	dynamic_make("a", VHD_FOR_ANY);
	r = compact("a", VHD_DRY_RUN);
	assert_int_equal(r.blocks_freed, 8);
	assert_int_equal(r.blocks_moved, 4);
	assert_true(r.after < r.before);
	image_is("a", model, SIZE);
	assert_int_equal(compact("a", 0).after, r.after);
	image_is("a", model, SIZE);
	r = compact("a", 0); /* nothing is left to do */
	assert_int_equal(r.blocks_freed, 0);
	assert_int_equal(r.blocks_moved, 0);
	assert_int_equal(r.after, r.before);
	image_write("a", model, 0, SIZE, 99); /* and it can be written again */
	image_is("a", model, SIZE);
}

/* The batmap says of all four blocks that they are full, as tapdisk would have it. */
static void batmap_fill(const char *name)
{
	struct vhd *v = image_open(name, 0);
	uint8_t map[VHD_SECTOR] = { 0xf0 }, raw[VHD_BATMAP_SIZE];

	assert_int_equal(v->n_blocks, 4);
	v->batmap.checksum = vhd_checksum(map, sizeof(map), SIZE_MAX);
	vhd_batmap_encode(&v->batmap, raw);
	file_patch(name, map, sizeof(map), v->batmap.offset);
	file_patch(name, raw, sizeof(raw), v->batmap.offset - VHD_BATMAP_SIZE);
	OK(vhd_close(v, &e));
}

static void batmap_is_kept_true(void **state)
{
	uint8_t map = 0;
	struct vhd *v;

	(void)state;
	dynamic_make("a", VHD_FOR_XENSERVER); /* blocks of 2 MiB: zeros in all of one */
	image_write("a", model, 2 * MIB, 2 * MIB, 0);
	batmap_fill("a");
	assert_int_equal(compact("a", 0).blocks_freed, 1);
	image_is("a", model, SIZE);
	v = image_open("a", 0);
	OK(vhd_pread(v->io, &map, 1, v->batmap.offset));
	OK(vhd_close(v, &e));
	assert_int_equal(map, 0xb0);
	image_write("a", model, 2 * MIB + 5000, 100, 77); /* the block again, and hardly full */
	image_is("a", model, SIZE);
}

/* A batmap that says it is anywhere else takes no part in where the file ends. */
static void bad_batmap_changes_nothing(void **state)
{
	static const uint64_t offsets[] = { UINT64_MAX - 511, UINT64_MAX - 8191, 0, 512, 1536,
					    1ULL << 50 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		uint8_t raw[VHD_BATMAP_SIZE];
		struct vhd *v;

		dynamic_make("a", VHD_FOR_XENSERVER);
		image_write("a", model, 2 * MIB, 2 * MIB, 0);
		v = image_open("a", 0);
		OK(vhd_pread(v->io, raw, sizeof(raw), v->batmap.offset - VHD_BATMAP_SIZE));
		put_be64(raw + 8, offsets[i]);
		file_patch("a", raw, sizeof(raw), v->batmap.offset - VHD_BATMAP_SIZE);
		OK(vhd_close(v, &e));
		assert_int_equal(compact("a", 0).blocks_freed, 1);
		v = image_open("a", 0);
		disk_is(v, model, SIZE);
		OK(vhd_close(v, &e));
		OK(vhd_resize(at("a"), 40ULL << 30, NULL, &e)); /* makes a new one */
		OK(vhd_resize(at("a"), SIZE, NULL, &e));
		image_is("a", model, SIZE);
	}
}

static void all_blocks_go(void **state)
{
	struct vhd *v;

	(void)state;
	dynamic_make("a", VHD_FOR_ANY);
	v = image_open("a", VHD_OPEN_WRITE);
	OK(vhd_zero(v, SIZE, 0, &e));
	OK(vhd_close(v, &e));
	memset(model, 0, sizeof(model));
	assert_int_equal(compact("a", 0).blocks_freed, 16);
	assert_int_equal(file_size("a"), 4096);
	image_is("a", model, SIZE);
}

/* In a child zeros may hide data of the parent; sectors that are not here hide nothing. */
static void child_hides_what_it_hid(void **state)
{
	struct vhd_compact_result r;
	struct vhd *v;

	(void)state;
	memset(model, 0, sizeof(model));
	image_make("0", VHD_TYPE_DYNAMIC, SIZE, NULL);
	image_write("0", model, 0, 3 * BLOCK, 1);
	image_make("1", VHD_TYPE_DIFFERENCING, 0, "0");
	image_write("1", model, 0, BLOCK, 0);               /* hides: stays */
	image_write("1", model, BLOCK + 512, 512, 2);       /* data: stays */
	image_write("1", model, 2 * BLOCK + 4096, 4096, 0); /* hides: stays */
	image_write("1", model, 5 * BLOCK, 512, 3);         /* data, then zeros, over nothing */
	image_write("1", model, 5 * BLOCK, 512, 0);
	image_write("1", model, 6 * BLOCK, 512, 4);
	image_is("1", model, SIZE);
	r = compact("1", 0);
	assert_int_equal(r.blocks_freed, 1);
	assert_int_equal(r.blocks_moved, 1);
	image_is("1", model, SIZE);
	v = image_open("1", 0);
	assert_int_equal(v->bat[5], VHD_BAT_NONE);
	OK(vhd_close(v, &e));
}

/* A block of which nothing is here may go, whatever the parent has. */
static void block_without_sectors_goes(void **state)
{
	static const uint8_t zeros[VHD_SECTOR];
	struct vhd *v;

	(void)state;
	memset(model, 0, sizeof(model));
	image_make("0", VHD_TYPE_DYNAMIC, SIZE, NULL);
	image_write("0", model, 0, BLOCK, 1);
	image_make("1", VHD_TYPE_DIFFERENCING, 0, "0");
	image_write("1", NULL, 512, 512, 2);
	v = image_open("1", 0);
	file_patch("1", zeros, sizeof(zeros), (uint64_t)v->bat[0] * VHD_SECTOR);
	OK(vhd_close(v, &e));
	assert_int_equal(compact("1", 0).blocks_freed, 1);
	image_is("1", model, SIZE);
}

static int stop_in_moves(void *ctx, uint64_t done, uint64_t total)
{
	(void)done;
	(void)ctx;
	return total != SIZE; /* which is what finding blocks counts to */
}

static void what_is_refused(void **state)
{
	const struct vhd_progress stop = { stop_in_moves, NULL };
	struct vhd_compact_result r;
	struct vhd *reader;

	(void)state;
	image_make("fixed", VHD_TYPE_FIXED, SIZE, NULL);
	FAILS(EINVAL, vhd_compact(at("fixed"), NULL, 0, &r, NULL, &e));
	dynamic_make("a", VHD_FOR_ANY);
	reader = image_open("a", 0);
	FAILS(EBUSY, vhd_compact(at("a"), NULL, 0, &r, NULL, &e));
	OK(vhd_close(reader, &e));
	FAILS(ECANCELED, vhd_compact(at("a"), NULL, 0, &r, &stop, &e));
	image_is("a", model, SIZE);
	image_set_saved("a");
	FAILS(EBUSY, vhd_compact(at("a"), NULL, 0, &r, NULL, &e));
	image_is("a", model, SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(blocks_of_zeros_go, image_dir_setup,
						image_dir_teardown),
		cmocka_unit_test_setup_teardown(batmap_is_kept_true, image_dir_setup,
						image_dir_teardown),
		cmocka_unit_test_setup_teardown(bad_batmap_changes_nothing, image_dir_setup,
						image_dir_teardown),
		cmocka_unit_test_setup_teardown(all_blocks_go, image_dir_setup, image_dir_teardown),
		cmocka_unit_test_setup_teardown(child_hides_what_it_hid, image_dir_setup,
						image_dir_teardown),
		cmocka_unit_test_setup_teardown(block_without_sectors_goes, image_dir_setup,
						image_dir_teardown),
		cmocka_unit_test_setup_teardown(what_is_refused, image_dir_setup,
						image_dir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
