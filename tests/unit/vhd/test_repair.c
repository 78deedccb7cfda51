/* SPDX-License-Identifier: MIT */
/* test_repair.c - what is mended, that nothing else is touched, and that it reads as before */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "image_patch.h"

#define AT(where, off, value, width)                                                               \
	{                                                                                          \
		PATCH_##where, off, value, width                                                   \
	}
#define ROW(name, kind, n, field, ...)                                                             \
	{                                                                                          \
		name, kind, n, field,                                                              \
		{                                                                                  \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}

enum kind { DYNAMIC, TAPDISK, FIXED, CHILD };

struct row {
	const char *name;
	enum kind kind;
	int n; /* things mended */
	const char *field;
	struct patch p[3];
};

static void make(enum kind kind)
{
	const struct vhd_create_options fixed = { .type = VHD_TYPE_FIXED, .size = MIB };

	dynamic_make("p.vhd", kind == TAPDISK ? VHD_FOR_XENSERVER : VHD_FOR_ANY);
	if (kind == FIXED) {
		image_make("a.vhd", &fixed);
		image_write("a.vhd", 4096, "fixed", 5);
	} else if (kind == CHILD) {
		child_make("a.vhd", "p.vhd");
	} else {
		dynamic_make("a.vhd", kind == TAPDISK ? VHD_FOR_XENSERVER : VHD_FOR_ANY);
	}
}

/* What the disk reads; blocks that fail read as 0xee. */
static uint8_t *disk_read(void)
{
	uint8_t *all = malloc(IMG_SIZE);
	const struct vhd_open_options o = { .flags = VHD_OPEN_DAMAGED };
	struct vhd_err e;
	struct vhd *v;

	assert_non_null(all);
	memset(all, 0xee, IMG_SIZE);
	must_be(vhd_open(image_path("a.vhd"), &o, &v, &e), &e);
	for (uint64_t off = 0; off < vhd_size(v); off += MIB)
		if (vhd_read(v, all + off, MIB, off, &e) < 0)
			memset(all + off, 0xee, MIB);
	assert_int_equal(vhd_close(v, &e), 0);
	return all;
}

static uint8_t *file_read(uint64_t *ret_len)
{
	uint8_t *all = malloc(*ret_len = image_length("a.vhd"));

	assert_non_null(all);
	bytes_get("a.vhd", all, *ret_len, 0);
	return all;
}

static int repair(uint32_t flags, struct findings *all)
{
	struct vhd_err e = { 0 };
	int rc;

	memset(all, 0, sizeof(*all));
	rc = vhd_repair(image_path("a.vhd"), flags, findings_add, all, &e);
	must_be(rc, &e);
	return rc;
}

static int check(struct findings *all)
{
	struct vhd_err e = { 0 };
	int rc;

	memset(all, 0, sizeof(*all));
	rc = vhd_check(image_path("a.vhd"), NULL, findings_add, all, NULL, &e);
	must_be(rc, &e);
	return rc;
}

static void row_run(const struct row *r)
{
	static struct findings before, dry, wet, after;
	auto_free uint8_t *disk = NULL, *disk_after = NULL, *file = NULL, *file_after = NULL;
	uint64_t len, len_after;
	size_t n_repairable = 0;

	make(r->kind);
	for (size_t i = 0; i < ARRAY_SIZE(r->p); i++)
		image_patch("a.vhd", &r->p[i]);
	(void)check(&before); /* what it finds is looked at below */
	for (size_t i = 0; i < before.n; i++)
		n_repairable += before.f[i].is_repairable;
	disk = disk_read();
	file = file_read(&len);
	if (repair(VHD_DRY_RUN, &dry) != r->n || dry.n != (size_t)r->n) {
		findings_print(&before);
		fail_msg("%s: %zu would be mended", r->name, dry.n);
	}
	file_after = file_read(&len_after);
	assert_int_equal(len, len_after);
	assert_memory_equal(file, file_after, len); /* a dry run changes nothing */
	assert_int_equal(repair(0, &wet), r->n);
	assert_memory_equal(&dry, &wet, sizeof(dry));
	assert_true((n_repairable > 0) == (r->n > 0)); /* check said so */
	if (r->n && !finding_of(&wet, VHD_NOTE, r->field, ""))
		fail_msg("%s: %s", r->name, wet.f[0].text);
	disk_after = disk_read();
	if (strcmp(r->field, "table entry") != 0)
		assert_memory_equal(disk, disk_after, IMG_SIZE);
	assert_int_equal(repair(0, &wet), 0); /* once is enough */
	(void)check(&after);
	for (size_t i = 0; i < after.n; i++)
		assert_false(after.f[i].is_repairable);
	if (r->n && after.n_of[VHD_ERROR] + after.n_of[VHD_WARNING]) {
		findings_print(&after);
		fail_msg("%s: not all is mended", r->name);
	}
}

#define ENTRY(i) (IMG_TABLE + 4 * (i))
#define BATMAP   2048U
#define NEXT     ((IMG_PLACE + 3 * IMG_STEP) / 512) /* where block 1 or 4 would go */

static void mended(void **state)
{
	static const struct row t[] = {
		ROW("tail zero", DYNAMIC, 1, "footer", AT(END, 512, 0, 8)),
		ROW("tail checksum", DYNAMIC, 1, "footer", AT(END, 1, 1, 1)),
		ROW("tail missing", DYNAMIC, 1, "footer", AT(CUT, 0, 512, 0)),
		ROW("tail cut", DYNAMIC, 1, "footer", AT(CUT, 0, 256, 0)),
		ROW("tail and padding missing", DYNAMIC, 1, "footer", AT(CUT, 0, 4096, 0)),
		ROW("tail zero, longer", DYNAMIC, 1, "footer", AT(END, 512, 0, 8),
		    AT(LENGTH, 0, IMG_LENGTH + 8192, 0)),
		ROW("511", DYNAMIC, 1, "footer", AT(CUT, 0, 1, 0)),
		ROW("511, fixed", FIXED, 1, "footer", AT(CUT, 0, 1, 0)),
		ROW("511, child", CHILD, 1, "footer", AT(CUT, 0, 1, 0)),
		ROW("head zero", DYNAMIC, 1, "footer copy", AT(FILE, 0, 0, 8)),
		ROW("head checksum", CHILD, 1, "footer copy", AT(FILE, 511, 1, 1)),
		ROW("head and 511", DYNAMIC, 2, "footer copy", AT(FILE, 511, 1, 1),
		    AT(CUT, 0, 1, 0)),
		ROW("sizes differ", DYNAMIC, 1, "footer copy", AT(HEAD, 48, 8 * MIB, 8)),
		ROW("batmap checksum", TAPDISK, 1, "batmap", AT(FILE, BATMAP + 24, 1, 4)),
		ROW("batmap stale", TAPDISK, 1, "batmap", AT(FILE, BATMAP + 512, 0x40, 1),
		    AT(FILE, BATMAP + 24, ~0x40U, 4)),
		ROW("batmap and tail", TAPDISK, 2, "footer", AT(FILE, BATMAP + 24, 1, 4),
		    AT(END, 512, 0, 8)),
		ROW("block never written", DYNAMIC, 1, "table entry", AT(FILE, ENTRY(1), NEXT, 4)),
		ROW("blocks never written", DYNAMIC, 2, "table entry",
		    AT(FILE, ENTRY(1), NEXT + IMG_STEP / 512, 4), AT(FILE, ENTRY(4), NEXT, 4)),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		row_run(&t[i]);
}

/* Nothing is done in doubt. */
static void left_alone(void **state)
{
	static const struct row t[] = {
		ROW("sound", DYNAMIC, 0, "", AT(NONE, 0, 0, 0)),
		ROW("sound, tapdisk", TAPDISK, 0, "", AT(NONE, 0, 0, 0)),
		ROW("sound, fixed", FIXED, 0, "", AT(NONE, 0, 0, 0)),
		ROW("sound, child", CHILD, 0, "", AT(NONE, 0, 0, 0)),
		ROW("ids differ", DYNAMIC, 0, "", AT(HEAD, 68, 1, 8)),
		ROW("types differ", DYNAMIC, 0, "", AT(HEAD, 60, 4, 4)),
		ROW("poisoned", DYNAMIC, 0, "", AT(HEAD, 0, 0x765f706f69736f6e, 8)),
		ROW("fixed, longer", FIXED, 0, "", AT(TAIL, 48, MIB / 2, 8)),
		/* a file that was cut: entries stay, and no footer makes it look whole */
		ROW("cut in a block", DYNAMIC, 0, "", AT(CUT, 0, MIB, 0)),
		ROW("cut between blocks", DYNAMIC, 0, "",
		    AT(LENGTH, 0, IMG_PLACE + 2 * IMG_STEP, 0)),
		/* entries that a write may not have left */
		ROW("far away", DYNAMIC, 0, "", AT(FILE, ENTRY(1), 1 << 24, 4)),
		ROW("a page too far", DYNAMIC, 0, "", AT(FILE, ENTRY(1), NEXT + 16, 4)),
		ROW("into the last block", DYNAMIC, 0, "",
		    AT(FILE, ENTRY(1), IMG_TAIL / 512 - 16, 4)),
		ROW("one good, one not", DYNAMIC, 0, "", AT(FILE, ENTRY(1), NEXT, 4),
		    AT(FILE, ENTRY(4), 1 << 24, 4)),
		ROW("the same twice", DYNAMIC, 0, "", AT(FILE, ENTRY(1), NEXT, 4),
		    AT(FILE, ENTRY(4), NEXT, 4)),
		ROW("next, but no footer", DYNAMIC, 0, "", AT(FILE, ENTRY(1), NEXT, 4),
		    AT(END, 512, 0, 8)),
		ROW("next, but the head is lost", DYNAMIC, 0, "", AT(FILE, ENTRY(1), NEXT, 4),
		    AT(FILE, 0, 0, 8)),
		ROW("next, but the file is longer", DYNAMIC, 0, "",
		    AT(FILE, ENTRY(3), UINT32_MAX, 4), AT(FILE, ENTRY(1), NEXT, 4)),
		/* tangled: what would be written where? */
		ROW("duplicate, and the tail is lost", DYNAMIC, 0, "",
		    AT(FILE, ENTRY(1), IMG_PLACE / 512, 4), AT(END, 512, 0, 8)),
		ROW("over the copy, which is lost", DYNAMIC, 0, "", AT(FILE, ENTRY(1), 0, 4),
		    AT(FILE, 0, 0, 8)),
		ROW("overlap, and the batmap is stale", TAPDISK, 0, "",
		    AT(FILE, ENTRY(1), IMG_PLACE / 512 + 1, 4), AT(FILE, BATMAP + 24, 1, 4)),
		ROW("no batmap", TAPDISK, 0, "", AT(FILE, BATMAP, 0, 8)),
		ROW("batmap elsewhere", TAPDISK, 0, "", AT(FILE, BATMAP + 8, 1536, 8)),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		row_run(&t[i]);
}

/* An entry that is taken away reads as zeros, and the others as before. */
static void entry_is_absent(void **state)
{
	static struct findings f;
	auto_free uint8_t *before = NULL, *after = NULL;

	(void)state;
	make(DYNAMIC);
	image_patch("a.vhd", &(struct patch){ PATCH_FILE, ENTRY(1), NEXT, 4 });
	before = disk_read();
	assert_int_equal(before[2 * MIB], 0xee);
	assert_int_equal(repair(0, &f), 1);
	after = disk_read();
	memset(before + 2 * MIB, 0, 2 * MIB);
	assert_memory_equal(before, after, IMG_SIZE);
	image_write("a.vhd", 3 * MIB, "again", 5);
	assert_int_equal(check(&f), 0);
}

/* Set another parent, and cut short: the footer at the end names a header elsewhere, which is
 * right; with another time stamp it is not such a case. */
static void header_elsewhere(void **state)
{
	static struct findings f;
	uint8_t header[VHD_HEADER_SIZE], head[VHD_FOOTER_SIZE], tail[VHD_FOOTER_SIZE];

	(void)state;
	for (int is_other = 1; is_other >= 0; is_other--) {
		make(DYNAMIC);
		bytes_get("a.vhd", header, sizeof(header), 512);
		bytes_put("a.vhd", header, sizeof(header), 2048);
		image_patch("a.vhd", &(struct patch){ PATCH_TAIL, 16, 2048, 8 });
		if (is_other)
			image_patch("a.vhd", &(struct patch){ PATCH_TAIL, 24, 1, 4 });
		assert_int_equal(check(&f), 1);
		assert_int_equal(f.f[0].is_repairable, !is_other);
		assert_int_equal(repair(0, &f), !is_other);
	}
	bytes_get("a.vhd", head, sizeof(head), 0);
	bytes_get("a.vhd", tail, sizeof(tail), IMG_TAIL);
	assert_memory_equal(head, tail, sizeof(head));
	assert_int_equal(get_be64(head + 16), 2048);
	assert_int_equal(check(&f), 0);
}

/* The new batmap has the blocks that are full, and tapdisk's sum. */
static void batmap_is_true(void **state)
{
	static struct findings f;
	uint8_t raw[1024];

	(void)state;
	make(TAPDISK);
	image_patch("a.vhd", &(struct patch){ PATCH_FILE, BATMAP + 24, 1, 4 });
	image_patch("a.vhd", &(struct patch){ PATCH_FILE, IMG_PLACE + IMG_STEP, 0xfffe, 2 });
	assert_int_equal(repair(0, &f), 1);
	bytes_get("a.vhd", raw, sizeof(raw), BATMAP);
	assert_int_equal(raw[512], 0x90); /* 0 and 3, but not 2 */
	for (size_t i = 513; i < sizeof(raw); i++)
		assert_int_equal(raw[i], 0);
	assert_int_equal(get_be32(raw + 24), ~0x90U);
	assert_int_equal(get_be32(raw + 20), 0x00010002);
}

/* Where the footer comes to be: in the last sector, of a multiple of 4096 if the file grows. */
static void footer_place(void **state)
{
	static struct findings f;
	static const struct {
		uint64_t length, after;
	} t[] = {
		{ IMG_LENGTH, IMG_LENGTH },
		{ IMG_LENGTH - 512, IMG_LENGTH - 512 },
		{ IMG_LENGTH - 4096, IMG_LENGTH },
		{ IMG_LENGTH - 100, IMG_LENGTH + 4096 },
		{ IMG_LENGTH + MIB, IMG_LENGTH + MIB },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		make(DYNAMIC);
		image_patch("a.vhd", &(struct patch){ PATCH_END, 512, 0, 8 });
		image_patch("a.vhd", &(struct patch){ PATCH_LENGTH, 0, t[i].length, 0 });
		assert_int_equal(repair(0, &f), 1);
		assert_int_equal(image_length("a.vhd"), t[i].after);
		assert_int_equal(f.f[0].offset, t[i].after - 512);
	}
}

static void refused(void **state)
{
	const struct vhd_open_options o = { .flags = VHD_OPEN_WRITE };
	struct vhd_err e = { 0 };
	struct vhd *v;

	(void)state;
	assert_int_equal(vhd_repair(image_path("none"), 0, NULL, NULL, &e), -ENOENT);
	assert_int_equal(vhd_repair(image_path("."), VHD_DRY_RUN, NULL, NULL, &e), -EINVAL);
	make(DYNAMIC);
	must_be(vhd_open(image_path("a.vhd"), &o, &v, &e), &e);
	assert_int_equal(vhd_repair(image_path("a.vhd"), 0, NULL, NULL, &e), -EBUSY);
	assert_int_equal(vhd_repair(image_path("a.vhd"), VHD_DRY_RUN, NULL, NULL, &e), -EBUSY);
	assert_int_equal(vhd_close(v, &e), 0);
	/* a reader is in the way of a writer, but not of a look */
	must_be(vhd_open(image_path("a.vhd"), NULL, &v, &e), &e);
	assert_int_equal(vhd_repair(image_path("a.vhd"), 0, NULL, NULL, &e), -EBUSY);
	assert_int_equal(vhd_repair(image_path("a.vhd"), VHD_DRY_RUN, NULL, NULL, &e), 0);
	assert_int_equal(vhd_close(v, &e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mended),          cmocka_unit_test(left_alone),
		cmocka_unit_test(entry_is_absent), cmocka_unit_test(batmap_is_true),
		cmocka_unit_test(footer_place),    cmocka_unit_test(header_elsewhere),
		cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, image_setup, image_teardown);
}
