/* SPDX-License-Identifier: MIT */
/* test_resize.c - larger and smaller disks: same bytes, zeros behind them, valid structures */
#include "image_dir.h"

#define OLD (5U * MIB + 512)

static uint8_t model[64U * MIB];

/* Footers, header and table say `size`, and exactly that. */
static void structures_are(const char *name, uint64_t size)
{
	struct vhd *v = image_open(name, VHD_OPEN_NO_PARENT);
	struct vhd_geometry g = vhd_geometry_of(size);

	assert_int_equal(v->problems, 0);
	assert_int_equal(v->footer.size, size);
	assert_int_equal(v->footer.original_size, size);
	assert_memory_equal(&v->footer.geometry, &g, sizeof(g));
	if (vhd_has_blocks(v))
		assert_int_equal(v->header.table_entries, vhd_blocks_of(size, vhd_block_size(v)));
	OK(vhd_close(v, &e));
}

static void resized_is(const char *name, uint64_t size)
{
	OK(vhd_resize(at(name), size, NULL, &e));
	structures_are(name, size);
	image_is(name, model, size);
}

static void fill(const char *name)
{
	image_write(name, model, 0, MIB, 1);
	image_write(name, model, 3 * MIB, 2 * MIB + 512, 2);
}

static void each_type_grows_and_shrinks(void **state)
{
	static const enum vhd_type types[] = { VHD_TYPE_FIXED, VHD_TYPE_DYNAMIC,
					       VHD_TYPE_DIFFERENCING };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		bool has_parent = types[i] == VHD_TYPE_DIFFERENCING;

		memset(model, 0, sizeof(model));
		image_make("p", VHD_TYPE_DYNAMIC, OLD, NULL);
		image_write("p", has_parent ? model : NULL, 2 * MIB, 2 * MIB, 3);
		image_make("a", types[i], OLD, has_parent ? "p" : NULL);
		fill("a");
		resized_is("a", OLD + 512);
		resized_is("a", 7 * MIB);
		image_write("a", model, 7 * MIB - 512, 512, 4);
		resized_is("a", 64 * MIB);
		image_write("a", model, 63 * MIB, MIB, 5);
		image_write("a", model, 63 * MIB, MIB, 0);
		FAILS(EBUSY, vhd_resize(at("a"), 7 * MIB - 512, NULL, &e));
		if (types[i] == VHD_TYPE_FIXED)
			resized_is("a", 7 * MIB);
		else
			FAILS(EBUSY, vhd_resize(at("a"), 7 * MIB, NULL, &e)); /* in the table */
		resized_is("a", 64 * MIB);
	}
}

static void raw_too(void **state)
{
	const struct vhd_open_options raw = { .flags = VHD_OPEN_RAW };
	int fd = open((image_make("a", VHD_TYPE_FIXED, MIB, NULL), at("raw")),
		      O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	(void)state;
	assert_int_equal(pwrite(fd, "x", 1, 1000), 1);
	close(fd);
	OK(vhd_resize(at("raw"), 5000, &raw, &e));
	assert_int_equal(file_size("raw"), 5000);
	FAILS(EBUSY, vhd_resize(at("raw"), 1000, &raw, &e));
	OK(vhd_resize(at("raw"), 1001, &raw, &e));
	assert_int_equal(file_size("raw"), 1001);
}

/* 128 entries fill a sector of the table: from there on it needs the place of blocks. */
static void blocks_make_room_for_the_table(void **state)
{
	(void)state;
	memset(model, 0, sizeof(model));
	image_make("a", VHD_TYPE_DYNAMIC, OLD, NULL);
	fill("a");
	/* 2 GiB: 4096 entries, 16 KiB; all of the first block and what is before it */
	OK(vhd_resize(at("a"), 2ULL << 30, NULL, &e));
	structures_are("a", 2ULL << 30);
	OK(vhd_resize(at("a"), 64 * MIB, NULL, &e));
	image_is("a", model, 64 * MIB);
	OK(vhd_resize(at("a"), 2000ULL << 30, NULL, &e)); /* 16 MiB of table: all blocks */
	structures_are("a", 2000ULL << 30);
	OK(vhd_resize(at("a"), 64 * MIB, NULL, &e));
	image_write("a", model, 40 * MIB, MIB, 9);
	image_is("a", model, 64 * MIB);
}

/* A locator behind the table: the table goes elsewhere. */
static void table_leaves_a_locator(void **state)
{
	uint8_t raw[VHD_HEADER_SIZE], page[2 * KIB];
	struct vhd *v;

	(void)state;
	memset(model, 0, sizeof(model));
	image_make("p", VHD_TYPE_DYNAMIC, OLD, NULL);
	image_make("a", VHD_TYPE_DIFFERENCING, OLD, "p");
	v = image_open("a", VHD_OPEN_NO_PARENT);
	OK(vhd_pread(v->io, page, sizeof(page), v->header.locators[0].offset));
	v->header.table_offset = 1536; /* one sector, then the locator */
	v->header.locators[0].offset = 2048;
	v->header.locators[0].space = 2 * KIB;
	vhd_header_encode(&v->header, raw);
	OK(vhd_close(v, &e));
	file_patch("a", page, sizeof(page), 2048);
	memset(page, 0xff, 512);
	file_patch("a", page, 512, 1536);
	file_patch("a", raw, sizeof(raw), 512);
	fill("a");
	resized_is("a", 7 * MIB);
	OK(vhd_resize(at("a"), 2ULL << 30, NULL, &e));
	structures_are("a", 2ULL << 30);
	OK(vhd_resize(at("a"), 64 * MIB, NULL, &e));
	image_write("a", model, 40 * MIB, MIB, 9);
	image_is("a", model, 64 * MIB);
}

static void batmap_goes(uint32_t version)
{
	struct vhd_create_options o = { .type = VHD_TYPE_DYNAMIC,
					.size = 8 * MIB,
					.profile = VHD_FOR_XENSERVER };
	uint8_t map[VHD_SECTOR] = { 0x80 }, raw[VHD_BATMAP_SIZE];
	struct vhd *v;

	memset(model, 0, sizeof(model));
	OK(vhd_create(at("a"), &o, &e));
	image_write("a", model, 0, 2 * MIB, 1);
	v = image_open("a", 0);
	v->batmap.version = version;
	v->batmap.checksum = vhd_batmap_checksum(&v->batmap, map, 8 * MIB);
	vhd_batmap_encode(&v->batmap, raw);
	file_patch("a", map, sizeof(map), v->batmap.offset);
	file_patch("a", raw, sizeof(raw), v->batmap.offset - VHD_BATMAP_SIZE);
	OK(vhd_close(v, &e));
	for (int i = 0; i < 2; i++) {
		resized_is("a", i ? 8 * MIB : 64 * MIB);
		OK(vhd_resize(at("a"), 40ULL << 30, NULL, &e)); /* 2 KiB of map, 80 of table */
		structures_are("a", 40ULL << 30);
		v = image_open("a", 0);
		assert_true(v->has_batmap);
		assert_false(v->problems);
		assert_int_equal(v->batmap.version, version);
		OK(vhd_pread(v->io, map, 1, v->batmap.offset));
		assert_int_equal(map[0], 0x80);
		OK(vhd_close(v, &e));
	}
	OK(vhd_resize(at("a"), 64 * MIB, NULL, &e));
	structures_are("a", 64 * MIB);
	assert_true(file_size("a") < 3 * MIB); /* nothing is left of larger tables */
	image_write("a", model, 33 * MIB, MIB, 3);
	image_is("a", model, 64 * MIB);
}

static void batmap_goes_with_the_table(void **state)
{
	(void)state;
	batmap_goes(0x00010002);
	OK(unlink(at("a")));
	batmap_goes(0x00010001);
}

/* What old software left behind the disk's end in its last block is not seen by a larger one. */
static void slack_is_cleared(void **state)
{
	struct vhd *v;

	(void)state;
	memset(model, 0, sizeof(model));
	image_make("a", VHD_TYPE_DYNAMIC, OLD, NULL);
	fill("a");
	v = image_open("a", 0);
	file_patch("a", "junk", 4,
		   (uint64_t)v->bat[v->n_blocks - 1] * VHD_SECTOR + v->bitmap_size + 512);
	OK(vhd_close(v, &e));
	resized_is("a", 6 * MIB);
}

/* A child that was cut to less than its parent must not show the parent's end when it grows. */
static void parent_does_not_show_through(void **state)
{
	(void)state;
	memset(model, 0, sizeof(model));
	image_make("p", VHD_TYPE_DYNAMIC, 6 * MIB, NULL);
	image_write("p", NULL, 5 * MIB, MIB, 1);
	image_make("a", VHD_TYPE_DIFFERENCING, 0, "p");
	resized_is("a", 4 * MIB);
	resized_is("a", 5 * MIB);
	FAILS(EBUSY, vhd_resize(at("a"), 6 * MIB, NULL, &e));
	image_is("a", model, 5 * MIB);
}

/* Between the two footers of a change: opens with the new size; the next change ends it. */
static void footers_that_differ_are_mended(void **state)
{
	uint8_t head[VHD_FOOTER_SIZE];
	struct vhd_open_options write = { .flags = VHD_OPEN_WRITE };
	struct vhd *v;

	(void)state;
	memset(model, 0, sizeof(model));
	image_make("a", VHD_TYPE_DYNAMIC, OLD, NULL);
	fill("a");
	v = image_open("a", 0);
	OK(vhd_pread(v->io, head, sizeof(head), 0));
	OK(vhd_close(v, &e));
	OK(vhd_resize(at("a"), 7 * MIB, NULL, &e));
	file_patch("a", head, sizeof(head), 0);
	v = image_open("a", 0);
	assert_int_equal(vhd_size(v), 7 * MIB);
	OK(vhd_close(v, &e));
	FAILS(EUCLEAN, vhd_open(at("a"), &write, &v, &e));
	resized_is("a", 7 * MIB);
	head[68] ^= 1; /* of another image, with a good checksum: not ours to mend */
	put_be32(head + 64, 0);
	put_be32(head + 64, vhd_checksum(head, sizeof(head), 64));
	file_patch("a", head, sizeof(head), 0);
	FAILS(EUCLEAN, vhd_resize(at("a"), 8 * MIB, NULL, &e));
}

static void what_is_refused(void **state)
{
	static const uint64_t sizes[] = { 0, OLD + 1, VHD_SIZE_MAX + 512, UINT64_MAX - 511 };
	struct vhd *reader;

	(void)state;
	memset(model, 0, sizeof(model));
	image_make("a", VHD_TYPE_DYNAMIC, OLD, NULL);
	fill("a");
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		FAILS(EINVAL, vhd_resize(at("a"), sizes[i], NULL, &e));
	reader = image_open("a", 0);
	FAILS(EBUSY, vhd_resize(at("a"), 6 * MIB, NULL, &e));
	OK(vhd_close(reader, &e));
	FAILS(EFBIG, vhd_resize(at("a"), VHD_SIZE_MAX, NULL, &e)); /* blocks of 512 KiB */
	image_set_saved("a");
	FAILS(EBUSY, vhd_resize(at("a"), 6 * MIB, NULL, &e));
	image_is("a", model, OLD);
}

/* The largest disk of a block size can be written to its last block; one more is refused. */
static void largest_of_a_block_size(void **state)
{
	static const struct {
		uint32_t block;
		uint64_t size;
	} t[] = {
		{ 512 * KIB, 4161759ULL * 512 * KIB },
		{ MIB, VHD_SIZE_MAX },
		{ 2 * MIB, VHD_SIZE_MAX },
	};
	const struct vhd_open_options write = { .flags = VHD_OPEN_WRITE };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct vhd_create_options o = { .type = VHD_TYPE_DYNAMIC,
						.size = 8 * MIB,
						.block_size = t[i].block,
						.is_replacing = true };
		struct vhd *v;

		OK(vhd_create(at("a"), &o, &e));
		OK(vhd_resize(at("a"), t[i].size, NULL, &e));
		if (t[i].size < VHD_SIZE_MAX)
			FAILS(EFBIG, vhd_resize(at("a"), t[i].size + 512, NULL, &e));
		o.size = t[i].size;
		OK(vhd_create(at("a"), &o, &e));
		o.size += 512;
		FAILS(t[i].size < VHD_SIZE_MAX ? EFBIG : EINVAL, vhd_create(at("a"), &o, &e));
		OK(vhd_open(at("a"), &write, &v, &e));
		/* as if all but one were there */
		v->next += (v->n_blocks - 1ULL) * align_up(vhd_stride(v), VHD_ALIGN);
		OK(vhd_block_add(v, 0, &e));
		vhd_free(v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_type_grows_and_shrinks, image_dir_setup,
						image_dir_teardown),
		cmocka_unit_test_setup_teardown(raw_too, image_dir_setup, image_dir_teardown),
		cmocka_unit_test_setup_teardown(blocks_make_room_for_the_table, image_dir_setup,
						image_dir_teardown),
		cmocka_unit_test_setup_teardown(table_leaves_a_locator, image_dir_setup,
						image_dir_teardown),
		cmocka_unit_test_setup_teardown(batmap_goes_with_the_table, image_dir_setup,
						image_dir_teardown),
		cmocka_unit_test_setup_teardown(slack_is_cleared, image_dir_setup,
						image_dir_teardown),
		cmocka_unit_test_setup_teardown(parent_does_not_show_through, image_dir_setup,
						image_dir_teardown),
		cmocka_unit_test_setup_teardown(footers_that_differ_are_mended, image_dir_setup,
						image_dir_teardown),
		cmocka_unit_test_setup_teardown(largest_of_a_block_size, image_dir_setup,
						image_dir_teardown),
		cmocka_unit_test_setup_teardown(what_is_refused, image_dir_setup,
						image_dir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
