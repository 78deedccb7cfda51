/* SPDX-License-Identifier: MIT */
/*
 * test_layout.c - the power is cut, or a call fails, anywhere in compact, resize and reparent
 *
 * An operation is done on a recording store. For every number of calls, what the disk could hold
 * after a power cut there is rebuilt in several ways. It must open and read the same, with the old
 * size or the new one; the operation, begun again, must end; and then nothing is wrong with it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "io_fault.h"
#include "io_record.h"
#include "vhd_layout.h"

#define KIB   1024U
#define MIB   (1U << 20)
#define SIZE  (3U * MIB + 512)
#define READ  (4U * MIB) /* that much is compared, of larger disks */
#define SEEDS 3

struct scene {
	const char *name;
	enum vhd_type type;
	enum vhd_profile profile;
	bool has_zeros; /* every second block is written with zeros in the end */
	uint64_t new_size;
	int (*operation)(const struct scene *s, struct vhd *v, struct vhd_err *e);
};

static struct vhd_err e;
static uint8_t model[READ], got[READ];
static struct vhd_io *parent_store;
static uint8_t below[SIZE];

/* ---- operations ---------------------------------------------------------------------------- */

static int do_compact(const struct scene *s, struct vhd *v, struct vhd_err *err)
{
	struct vhd_compact_result r;

	(void)s;
	return vhd_compact_image(v, 0, &r, NULL, err);
}

static int do_resize(const struct scene *s, struct vhd *v, struct vhd_err *err)
{
	return vhd_resize_image(v, s->new_size, err);
}

static int do_reparent(const struct scene *s, struct vhd *v, struct vhd_err *err)
{
	static struct vhd_parent_text text;
	const struct vhd parent = { .footer.id = { "another parent" } };

	(void)s;
	if (vhd_parent_text_make("./some/other name", NULL, VHD_FOR_XENSERVER, 0, &text, err) < 0)
		return -err->code;
	return vhd_reparent_image(v, &parent, &text, 1234, err);
}

static const struct scene scenes[] = {
	{ "compact", VHD_TYPE_DYNAMIC, VHD_FOR_ANY, true, SIZE, do_compact },
	{ "compact a child", VHD_TYPE_DIFFERENCING, VHD_FOR_ANY, true, SIZE, do_compact },
	{ "compact with a batmap", VHD_TYPE_DYNAMIC, VHD_FOR_XENSERVER, true, SIZE, do_compact },
	{ "grow a little", VHD_TYPE_DYNAMIC, VHD_FOR_ANY, false, SIZE + 512, do_resize },
	{ "grow, blocks go", VHD_TYPE_DYNAMIC, VHD_FOR_ANY, false, 70ULL << 30, do_resize },
	{ "grow a child", VHD_TYPE_DIFFERENCING, VHD_FOR_ANY, false, 9ULL << 30, do_resize },
	{ "grow, table goes", VHD_TYPE_DYNAMIC, VHD_FOR_XENSERVER, false, 9ULL << 30, do_resize },
	{ "shrink", VHD_TYPE_DYNAMIC, VHD_FOR_ANY, false, 2 * MIB + 512, do_resize },
	{ "shrink a child", VHD_TYPE_DIFFERENCING, VHD_FOR_ANY, false, 2 * MIB + 512, do_resize },
	{ "grow fixed", VHD_TYPE_FIXED, VHD_FOR_ANY, false, 4 * MIB, do_resize },
	{ "shrink fixed", VHD_TYPE_FIXED, VHD_FOR_ANY, false, 2 * MIB + 512, do_resize },
	{ "reparent", VHD_TYPE_DIFFERENCING, VHD_FOR_ANY, false, SIZE, do_reparent },
};

/* ---- images -------------------------------------------------------------------------------- */

static void fail_at(const char *what)
{
	fail_msg("%s: %s", what, e.msg);
}

static void pattern_fill(uint8_t *p, size_t len, uint32_t seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1103515245U + 12345U;
		p[i] = (uint8_t)(seed >> 16) | 1;
	}
}

static struct vhd *open_on(struct vhd_io *io, enum vhd_type type, uint32_t flags)
{
	const struct vhd_open_options o = { .flags = flags | VHD_OPEN_ANY_PARENT };
	struct vhd *v = NULL, *parent = NULL;

	if (type == VHD_TYPE_DIFFERENCING &&
	    vhd_open_io(io_fault_new(parent_store, NULL), NULL, NULL, &parent, &e) < 0)
		fail_at("open the parent");
	if (vhd_open_io(io, parent, &o, &v, &e) < 0) {
		vhd_free(parent);
		return NULL;
	}
	return v;
}

static void put(struct vhd *v, uint64_t off, size_t len, uint32_t seed)
{
	if (seed)
		pattern_fill(model + off, len, seed);
	else
		memset(model + off, 0, len);
	if (vhd_write(v, model + off, len, off, &e) < 0)
		fail_at("write");
}

static void image_fill(struct vhd *v, const struct scene *s)
{
	uint32_t unit = s->profile == VHD_FOR_XENSERVER ? 2 * MIB : 512 * KIB;

	put(v, 0, MIB, 1);
	put(v, MIB + 700, 1000, 2);
	put(v, 2 * MIB, 512, 3);
	for (uint32_t i = 0; s->has_zeros && i < SIZE; i += unit)
		put(v, i, MIN_OF(unit / (1 + i / unit % 2), SIZE - i), i / unit % 2 ? 5 : 0);
}

/* The batmap calls the first two blocks full. */
static void batmap_fill(struct vhd *v)
{
	uint8_t map[VHD_SECTOR] = { 0xc0 }, raw[VHD_BATMAP_SIZE];

	v->batmap.checksum = vhd_checksum(map, sizeof(map), SIZE_MAX);
	vhd_batmap_encode(&v->batmap, raw);
	if (vhd_pwrite(v->io, map, sizeof(map), v->batmap.offset) < 0 ||
	    vhd_pwrite(v->io, raw, sizeof(raw), v->batmap.offset - sizeof(raw)) < 0)
		fail_at("batmap");
}

static struct vhd_io *image_new(const struct scene *s)
{
	struct vhd_create_options o = {
		.type = s->type, .size = SIZE, .profile = s->profile, .parent_name = "parent"
	};
	struct vhd *v, *parent = NULL;
	struct vhd_io *io;

	if (s->type != VHD_TYPE_FIXED && s->profile != VHD_FOR_XENSERVER)
		o.block_size = 512 * KIB;
	memset(model, 0, sizeof(model));
	assert_int_equal(vhd_io_memory("image", UINT64_MAX, &io, &e), 0);
	if (s->type == VHD_TYPE_DIFFERENCING) {
		memcpy(model, below, SIZE);
		if (vhd_open_io(io_fault_new(parent_store, NULL), NULL, NULL, &parent, &e) < 0)
			fail_at("open the parent");
	}
	if (vhd_create_io(io, parent, &o, &e) < 0)
		fail_at("create");
	vhd_free(parent);
	v = open_on(io_fault_new(io, NULL), s->type, VHD_OPEN_WRITE);
	if (!v)
		fail_at("open");
	image_fill(v, s);
	if (v->has_batmap)
		batmap_fill(v);
	if (vhd_close(v, &e) < 0)
		fail_at("close");
	return io;
}

/* ---- what is left -------------------------------------------------------------------------- */

static void reads_as_model(struct vhd *v, const struct scene *s, const char *what)
{
	uint64_t size = vhd_size(v);

	if (size != SIZE && size != s->new_size)
		fail_msg("%s: size %llu", what, (unsigned long long)size);
	size = MIN_OF(size, READ);
	if (vhd_read(v, got, size, 0, &e) < 0)
		fail_at(what);
	if (memcmp(got, model, size) == 0)
		return;
	for (uint64_t i = 0; i < size; i++)
		if (got[i] != model[i])
			fail_msg("%s: differs at %llu", what, (unsigned long long)i);
}

static void left_is_good(struct vhd_io *io, const struct scene *s, const char *what)
{
	struct vhd *v = open_on(io_fault_new(io, NULL), s->type, 0);

	if (!v)
		fail_at(what);
	reads_as_model(v, s, what);
	vhd_free(v);
	if (vhd_layout_mend(io, &e) < 0)
		fail_at(what);
	v = open_on(io_fault_new(io, NULL), s->type, VHD_OPEN_WRITE);
	if (!v || s->operation(s, v, &e) < 0)
		fail_at(what);
	vhd_free(v);
	v = open_on(io, s->type, VHD_OPEN_WRITE);
	if (!v)
		fail_at(what);
	assert_int_equal(v->problems, 0);
	assert_int_equal(vhd_size(v), s->new_size);
	if (vhd_has_blocks(v))
		assert_int_equal(v->header.table_entries,
				 vhd_blocks_of(s->new_size, vhd_block_size(v)));
	reads_as_model(v, s, what);
	vhd_free(v);
}

/*
 * A fixed image has one footer, so its length must not become longer without what made it so: file
 * systems give that (a write that extends a file is there before the length is), the worst disk
 * that the recording store can play does not.
 */
static bool is_possible(const struct scene *s, enum io_crash c)
{
	return s->type != VHD_TYPE_FIXED || c == IO_CRASH_ALL || c == IO_CRASH_NONE;
}

static void cuts_check(const struct scene *s, struct io_record *r)
{
	size_t n = io_record_count(r);
	char what[128];

	for (size_t count = 0; count <= n; count++) {
		for (int c = 0; c < IO_CRASH_COUNT_; c++) {
			uint64_t seeds = c >= IO_CRASH_CALLS ? SEEDS : 1;

			for (uint64_t seed = 0; seed < seeds && is_possible(s, c); seed++) {
				snprintf(what, sizeof(what), "%s, cut at %zu of %zu (%s, seed %d)",
					 s->name, count, n, io_crash_name(c), (int)seed);
				left_is_good(io_record_rebuild(r, count, c, seed), s, what);
			}
		}
	}
}

static void power_cut_anywhere(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(scenes); i++) {
		const struct scene *s = &scenes[i];
		struct vhd_io *io = image_new(s);
		struct io_record *r = io_record_new(io);
		struct vhd *v = open_on(io_record_io(r), s->type, VHD_OPEN_WRITE);

		if (!v || s->operation(s, v, &e) < 0)
			fail_at(s->name);
		vhd_free(v);
		assert_true(io_record_count(r) > 3);
		cuts_check(s, r);
		io_record_free(r);
		vhd_io_close(io);
	}
}

/* The nth call fails, and (`is_lasting`) all after it; false: there were not so many. */
static bool fault_at(const struct scene *s, uint64_t n, bool is_lasting)
{
	struct io_fault_plan plan = { .is_for_all = true, .is_torn = true };
	struct vhd_io *io = image_new(s);
	struct vhd *v = open_on(io_fault_new(io, &plan), s->type, VHD_OPEN_WRITE);
	char what[128];
	int rc;

	if (!v)
		fail_at(s->name);
	plan.fail_at = plan.total + n;
	plan.code = EIO;
	plan.is_lasting = is_lasting;
	rc = s->operation(s, v, &e);
	plan.code = 0;
	vhd_free(v);
	if (plan.failed == 0)
		assert_int_equal(rc, 0);
	else
		assert_int_equal(rc, -EIO);
	snprintf(what, sizeof(what), "%s, call %d failed", s->name, (int)n);
	left_is_good(io, s, what);
	return plan.failed > 0;
}

static void any_call_fails(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(scenes); i++)
		for (uint64_t n = 0;; n++)
			if (!fault_at(&scenes[i], n, n % 2))
				break;
}

static int setup(void **state)
{
	const struct vhd_create_options o = { .type = VHD_TYPE_DYNAMIC,
					      .size = SIZE,
					      .block_size = 512 * KIB };
	struct vhd *v;

	(void)state;
	pattern_fill(below + MIB, MIB, 99);
	if (vhd_io_memory("parent", UINT64_MAX, &parent_store, &e) < 0 ||
	    vhd_create_io(parent_store, NULL, &o, &e) < 0)
		return -1;
	v = open_on(io_fault_new(parent_store, NULL), VHD_TYPE_DYNAMIC, VHD_OPEN_WRITE);
	if (!v || vhd_write(v, below + MIB, MIB, MIB, &e) < 0)
		return -1;
	return vhd_close(v, &e);
}

static int teardown(void **state)
{
	(void)state;
	vhd_io_close(parent_store);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(power_cut_anywhere, setup, teardown),
		cmocka_unit_test_setup_teardown(any_call_fails, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
