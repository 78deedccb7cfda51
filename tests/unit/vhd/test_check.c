/* SPDX-License-Identifier: MIT */
/* test_check.c - each way in which an image can be wrong: what check says, and whether it opens */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "image_patch.h"

enum { OPENS = 1, WRITES = 2, REPAIRABLE = 4 }; /* read-only; also for writing; said to be so */

struct row {
	const char *name;
	struct patch p[3];
	enum vhd_severity severity;
	const char *field, *text;
	unsigned int n_errors, can;
};

#define AT(where, off, value, width)                                                               \
	{                                                                                          \
		PATCH_##where, off, value, width                                                   \
	}
#define ROW(name, severity, field, text, n_errors, can, ...)                                       \
	{                                                                                          \
		name, { __VA_ARGS__ }, severity, field, text, n_errors, can                        \
	}

static void row_run(const char *image, const struct row *r)
{
	static struct findings all;
	const struct vhd_finding *f;
	struct vhd_err e = { 0 };
	unsigned int can = 0;
	struct vhd *v;
	int rc;

	for (size_t i = 0; i < ARRAY_SIZE(r->p); i++)
		image_patch(image, &r->p[i]);
	memset(&all, 0, sizeof(all));
	rc = vhd_check(image_path(image), NULL, findings_add, &all, NULL, &e);
	f = r->field ? finding_of(&all, r->severity, r->field, r->text) : NULL;
	if (f && f->is_repairable)
		can |= REPAIRABLE;
	if (vhd_open(image_path(image), NULL, &v, &e) == 0) {
		can |= OPENS;
		assert_int_equal(vhd_close(v, &e), 0);
	}
	if (vhd_open(image_path(image), &(struct vhd_open_options){ .flags = VHD_OPEN_WRITE }, &v,
		     &e) == 0) {
		can |= WRITES;
		assert_int_equal(vhd_close(v, &e), 0);
	}
	if (rc != (int)r->n_errors || all.n_of[VHD_ERROR] != r->n_errors || (r->field && !f) ||
	    can != r->can) {
		findings_print(&all);
		fail_msg("%s: rc %d, can %u, %s", r->name, rc, can, e.msg);
	}
}

static void sound(void **state)
{
	static const enum vhd_profile profiles[] = { VHD_FOR_ANY, VHD_FOR_XENSERVER,
						     VHD_FOR_HYPERV };
	static const struct row right = { .name = "sound", .can = OPENS | WRITES };
	struct findings all = { 0 };
	struct vhd_err e = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(profiles); i++) {
		dynamic_make("a.vhd", profiles[i]);
		row_run("a.vhd", &right);
		child_make("c.vhd", "a.vhd");
		row_run("c.vhd", &right);
	}
	dynamic_make("a.vhd", VHD_FOR_ANY);
	assert_int_equal(image_length("a.vhd"), IMG_LENGTH);
	assert_int_equal(vhd_check(image_path("a.vhd"), NULL, findings_add, &all, NULL, &e), 0);
	findings_print(&all);
	assert_int_equal(all.n, 0); /* not even a note */
	image_make("f.vhd", &(struct vhd_create_options){ .type = VHD_TYPE_FIXED, .size = MIB });
	assert_int_equal(vhd_check(image_path("f.vhd"), NULL, findings_add, &all, NULL, &e), 0);
	assert_int_equal(all.n, 0);
	assert_int_equal(vhd_check(image_path("none"), NULL, findings_add, &all, NULL, &e),
			 -ENOENT);
	assert_int_equal(vhd_check(image_path("."), NULL, findings_add, &all, NULL, &e), -EINVAL);
}

static void footers(void **state)
{
	static const struct row t[] = {
		ROW("tail checksum", VHD_WARNING, "footer", "copy at 0 serves", 0,
		    OPENS | WRITES | REPAIRABLE, AT(END, 400, 1, 1)),
		ROW("tail zero", VHD_WARNING, "footer", "copy at 0 serves", 0,
		    OPENS | WRITES | REPAIRABLE, AT(END, 512, 0, 8)),
		ROW("tail missing", VHD_WARNING, "footer", "copy at 0 serves", 0,
		    OPENS | WRITES | REPAIRABLE, AT(CUT, 0, 512, 0)),
		ROW("tail cut", VHD_WARNING, "footer", "copy at 0 serves", 0,
		    OPENS | WRITES | REPAIRABLE, AT(CUT, 0, 256, 0)),
		ROW("tail 511", VHD_WARNING, "footer", "511 bytes", 0, OPENS | WRITES | REPAIRABLE,
		    AT(CUT, 0, 1, 0)),
		ROW("head checksum", VHD_ERROR, "footer copy", "checksum", 1, OPENS | REPAIRABLE,
		    AT(FILE, 400, 1, 1)),
		ROW("head zero", VHD_ERROR, "footer copy", "cookie", 1, OPENS | REPAIRABLE,
		    AT(FILE, 0, 0, 8)),
		ROW("head poisoned", VHD_ERROR, "footer copy", "disabled", 1, OPENS,
		    AT(HEAD, 0, 0x765f706f69736f6e, 8)),
		ROW("tail poisoned", VHD_ERROR, "footer", "disabled", 1, 0,
		    AT(TAIL, 0, 0x765f706f69736f6e, 8)),
		ROW("both checksums", VHD_ERROR, "footer", "checksum", 1, 0, AT(FILE, 400, 1, 1),
		    AT(END, 400, 1, 1)),
		ROW("wrong case", VHD_ERROR, "footer", "cookie", 1, 0,
		    AT(BOTH, 0, 0x434f4e4543544958, 8)),
		ROW("format version 2", VHD_ERROR, "footer", "file format version", 1, 0,
		    AT(BOTH, 12, 0x20000, 4)),
		ROW("features 0", VHD_ERROR, "footer", "features", 1, 0, AT(BOTH, 8, 0, 4)),
		ROW("data offset -1", VHD_ERROR, "footer", "data offset", 1, 0,
		    AT(BOTH, 16, UINT64_MAX, 8)),
		ROW("data offset 2^50", VHD_ERROR, "footer", "data offset", 1, 0,
		    AT(BOTH, 16, 1ULL << 50, 8)),
		ROW("data offset 0", VHD_ERROR, "footer", "data offset", 1, 0, AT(BOTH, 16, 0, 8)),
		ROW("data offset past the end", VHD_ERROR, "header", "header: 1024 bytes", 1, 0,
		    AT(BOTH, 16, 1ULL << 30, 8)),
		ROW("type 0", VHD_ERROR, "footer", "disk type", 1, 0, AT(BOTH, 60, 0, 4)),
		ROW("type 7", VHD_ERROR, "footer", "disk type", 1, 0, AT(BOTH, 60, 7, 4)),
		ROW("type 2", VHD_ERROR, "footer", "data offset", 1, 0, AT(BOTH, 60, 2, 4)),
		ROW("type 2, dynamic head", VHD_ERROR, "footer", "copy at 0 says dynamic", 1, 0,
		    AT(TAIL, 60, 2, 4), AT(TAIL, 16, UINT64_MAX, 8)),
		ROW("size 0", VHD_ERROR, "footer", "current size", 1, 0, AT(BOTH, 48, 0, 8)),
		ROW("size 2^63", VHD_ERROR, "footer", "current size", 1, 0,
		    AT(BOTH, 48, 1ULL << 63, 8)),
		ROW("size 513", VHD_ERROR, "footer", "current size", 1, 0, AT(BOTH, 48, 513, 8)),
		ROW("size over the table", VHD_ERROR, "header", "max table entries", 1, 0,
		    AT(BOTH, 48, 12 * MIB, 8)),
		ROW("sizes differ", VHD_ERROR, "footer copy", "differs", 1, OPENS | REPAIRABLE,
		    AT(HEAD, 48, 8 * MIB, 8)),
		ROW("ids differ", VHD_ERROR, "footer copy", "differs", 1, OPENS,
		    AT(HEAD, 68, 1, 8)),
		ROW("types differ", VHD_ERROR, "footer copy", "differs", 1, OPENS,
		    AT(HEAD, 60, 4, 4)),
		ROW("saved state", VHD_NOTE, "footer", "saved state", 0, OPENS | WRITES,
		    AT(BOTH, 84, 1, 1)),
		ROW("geometry 0", VHD_NOTE, "footer", "geometry: 0/0/0", 0, OPENS | WRITES,
		    AT(BOTH, 56, 0, 4)),
		ROW("reserved bytes", VHD_NOTE, "footer", "reserved", 0, OPENS | WRITES,
		    AT(BOTH, 500, 1, 1)),
		ROW("empty file", VHD_ERROR, "footer", "", 1, 0, AT(LENGTH, 0, 0, 0)),
		ROW("footer only", VHD_ERROR, "footer copy", "", 1, 0, AT(LENGTH, 0, 512, 0)),
		ROW("cut in the table", VHD_ERROR, "table", "", 2, 0, AT(LENGTH, 0, 1700, 0)),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		dynamic_make("a.vhd", VHD_FOR_ANY);
		row_run("a.vhd", &t[i]);
	}
}

static void headers(void **state)
{
	static const struct row t[] = {
		ROW("checksum", VHD_ERROR, "header", "checksum", 1, 0, AT(FILE, 700, 1, 1)),
		ROW("cookie", VHD_ERROR, "header", "cookie", 1, 0, AT(HEADER, 0, 0, 8)),
		ROW("version 2", VHD_ERROR, "header", "header version", 1, 0,
		    AT(HEADER, 24, 0x20000, 4)),
		ROW("block 0", VHD_ERROR, "header", "block size", 1, 0, AT(HEADER, 32, 0, 4)),
		ROW("block 512", VHD_ERROR, "header", "block size", 1, 0, AT(HEADER, 32, 512, 4)),
		ROW("block 513", VHD_ERROR, "header", "block size", 1, 0, AT(HEADER, 32, 513, 4)),
		ROW("block 3 MiB", VHD_ERROR, "header", "block size", 1, 0,
		    AT(HEADER, 32, 3 << 20, 4)),
		ROW("block 2 GiB", VHD_ERROR, "header", "block size", 1, 0,
		    AT(HEADER, 32, 1ULL << 31, 4)),
		ROW("entries 0", VHD_ERROR, "header", "max table entries", 1, 0,
		    AT(HEADER, 28, 0, 4)),
		ROW("entries 4", VHD_ERROR, "header", "5 blocks", 1, 0, AT(HEADER, 28, 4, 4)),
		ROW("entries 2^32-1", VHD_ERROR, "header", "max table entries", 1, 0,
		    AT(HEADER, 28, UINT32_MAX, 4)),
		ROW("entries 2^29", VHD_ERROR, "header", "max table entries", 1, 0,
		    AT(HEADER, 28, 1 << 29, 4)),
		ROW("entries 6", VHD_NOTE, "header", "5 blocks", 0, OPENS | WRITES,
		    AT(HEADER, 28, 6, 4)),
		ROW("table past the end", VHD_ERROR, "table", "do not end before", 1, 0,
		    AT(HEADER, 16, 1 << 30, 8)),
		ROW("table over the footer", VHD_ERROR, "table", "do not end before", 1, 0,
		    AT(HEADER, 16, IMG_TAIL, 8)),
		ROW("table negative", VHD_ERROR, "header", "table offset", 1, 0,
		    AT(HEADER, 16, -512ULL, 8)),
		ROW("table 0", VHD_ERROR, "header", "table offset", 1, 0, AT(HEADER, 16, 0, 8)),
		ROW("table unaligned", VHD_ERROR, "header", "table offset", 1, 0,
		    AT(HEADER, 16, 1537, 8)),
		ROW("table over the header", VHD_ERROR, "table", "overlaps the header", 1, 0,
		    AT(HEADER, 16, 1024, 8)),
		ROW("header over the copy", VHD_ERROR, "header", "cookie", 1, 0,
		    AT(BOTH, 16, 512, 8), AT(HEADER, 0, 0, 8)),
		ROW("parent id", VHD_NOTE, "header", "parent id", 0, OPENS | WRITES,
		    AT(HEADER, 40, 1, 8)),
		ROW("reserved bytes", VHD_NOTE, "header", "reserved", 0, OPENS | WRITES,
		    AT(HEADER, 1000, 1, 8)),
		ROW("padding", VHD_NOTE, "table", "padding", 0, OPENS | WRITES,
		    AT(FILE, IMG_TABLE + 100, 0x1234, 2)),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		dynamic_make("a.vhd", VHD_FOR_ANY);
		row_run("a.vhd", &t[i]);
	}
}

#define ENTRY(i) (IMG_TABLE + 4 * (i))

static void tables(void **state)
{
	static const struct row t[] = {
		ROW("entry past the end", VHD_ERROR, "table entry", "block 1", 1, OPENS,
		    AT(FILE, ENTRY(1), 1 << 24, 4)),
		ROW("entry 0xfffffffe", VHD_ERROR, "table entry", "block 1", 1, OPENS,
		    AT(FILE, ENTRY(1), 0xfffffffe, 4)),
		ROW("entry into the footer", VHD_ERROR, "table entry", "block 3", 1, OPENS,
		    AT(FILE, ENTRY(3), (IMG_TAIL - MIB) / 512, 4)),
		ROW("entry 0", VHD_ERROR, "table entry", "over the copy of the footer", 1, 0,
		    AT(FILE, ENTRY(1), 0, 4)),
		ROW("entry 1", VHD_ERROR, "table entry", "over the header", 1, 0,
		    AT(FILE, ENTRY(1), 1, 4)),
		ROW("entry over the table", VHD_ERROR, "table entry", "over the table", 1, 0,
		    AT(FILE, ENTRY(1), 3, 4)),
		ROW("duplicate", VHD_ERROR, "table entry", "blocks 0 and 1 are both", 1, OPENS,
		    AT(FILE, ENTRY(1), IMG_PLACE / 512, 4)),
		ROW("overlap", VHD_ERROR, "table entry", "block 1 at sector 2175 overlaps block 0",
		    2, OPENS, AT(FILE, ENTRY(1), (IMG_PLACE + MIB) / 512, 4)),
		ROW("overlap by a sector", VHD_ERROR, "table entry", "overlaps", 1, OPENS,
		    AT(FILE, ENTRY(2), (IMG_PLACE + 2 * MIB) / 512, 4)),
		ROW("entry behind the disk", VHD_WARNING, "table entry", "entry 5", 0,
		    OPENS | WRITES, AT(HEADER, 28, 6, 4), AT(FILE, ENTRY(5), 7, 4)),
		ROW("cut inside the last block", VHD_ERROR, "table entry", "block 3", 2, OPENS,
		    AT(CUT, 0, MIB, 0)),
		ROW("cut inside the first block", VHD_ERROR, "footer", "copy at 0 serves", 4, OPENS,
		    AT(LENGTH, 0, MIB, 0)),
		ROW("a hole", VHD_NOTE, "file length", "1 gaps", 0, OPENS | WRITES,
		    AT(FILE, ENTRY(2), UINT32_MAX, 4)),
		ROW("unused end", VHD_NOTE, "file length", "behind all", 0, OPENS | WRITES,
		    AT(FILE, ENTRY(3), UINT32_MAX, 4)),
		ROW("odd place", VHD_NOTE, "table", "not aligned", 0, OPENS | WRITES,
		    AT(FILE, ENTRY(3), (IMG_PLACE + 2 * IMG_STEP) / 512 + 1, 4)),
		/* bits: block 3 has 4096, of the last block 4096 too */
		ROW("data under a clear bit", VHD_WARNING, "data", "block 0: its bit is clear", 0,
		    OPENS | WRITES, AT(FILE, IMG_PLACE, 0x7f, 1)),
		ROW("zeros under clear bits", VHD_NOTE, NULL, NULL, 0, OPENS | WRITES,
		    AT(FILE, IMG_PLACE, 0x8000, 2)),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		dynamic_make("a.vhd", VHD_FOR_ANY);
		row_run("a.vhd", &t[i]);
	}
}

/* The last block is half a block: bits behind the disk are set in a bitmap that is not full. */
static void bits_beyond(void **state)
{
	const struct vhd_create_options o = { .type = VHD_TYPE_DYNAMIC, .size = 3 * MIB };
	static const struct row full = { .name = "full", .can = OPENS | WRITES };
	static const struct row half = ROW("half", VHD_WARNING, "bitmap", "beyond", 0,
					   OPENS | WRITES, AT(FILE, IMG_PLACE, 0x80, 1));
	static const struct row upto = ROW("up to the end", VHD_NOTE, NULL, NULL, 0, OPENS | WRITES,
					   AT(FILE, IMG_PLACE + 256, 0, 8));
	struct findings all = { 0 };
	struct vhd_err e;

	(void)state;
	image_make("a.vhd", &o);
	image_write("a.vhd", 2 * MIB, "x", 1);
	row_run("a.vhd", &full);
	row_run("a.vhd", &upto);
	assert_int_equal(vhd_check(image_path("a.vhd"), NULL, findings_add, &all, NULL, &e), 0);
	assert_null(finding_of(&all, VHD_WARNING, "bitmap", ""));
	row_run("a.vhd", &half);
}

/* Findings of a kind are told up to a number, and counted. */
static void very_many(void **state)
{
	const struct vhd_create_options o = { .type = VHD_TYPE_DYNAMIC, .size = 4096 * MIB };
	static struct findings all;
	uint8_t table[8192];
	struct vhd_err e;

	(void)state;
	image_make("a.vhd", &o);
	memset(table, 0x7f, sizeof(table));
	bytes_put("a.vhd", table, sizeof(table), IMG_TABLE);
	assert_int_equal(vhd_check(image_path("a.vhd"), NULL, findings_add, &all, NULL, &e), 2048);
	assert_true(all.n < 100);
	assert_non_null(finding_of(&all, VHD_ERROR, "table entry", "1984 more"));
	image_remove("a.vhd");
}

#define BATMAP 2048U

static void batmaps(void **state)
{
	static const struct row t[] = {
		ROW("checksum", VHD_WARNING, "batmap", "checksum", 0, OPENS | WRITES | REPAIRABLE,
		    AT(FILE, BATMAP + 24, 1, 4)),
		ROW("map changed", VHD_WARNING, "batmap", "checksum", 0,
		    OPENS | WRITES | REPAIRABLE, AT(FILE, BATMAP + 512, 0x80, 1)),
		ROW("true bit", VHD_NOTE, NULL, NULL, 0, OPENS | WRITES,
		    AT(FILE, BATMAP + 512, 0x80, 1), AT(FILE, BATMAP + 24, ~0x80U, 4)),
		ROW("true bit, version 1.1", VHD_NOTE, NULL, NULL, 0, OPENS | WRITES,
		    AT(FILE, BATMAP + 512, 0x80, 1), AT(FILE, BATMAP + 20, 0x00010001, 4),
		    AT(FILE, BATMAP + 24, ~(uint32_t)-0x80, 4)),
		ROW("version 1.1, summed as 1.2", VHD_WARNING, "batmap", "checksum", 0,
		    OPENS | WRITES | REPAIRABLE, AT(FILE, BATMAP + 512, 0x80, 1),
		    AT(FILE, BATMAP + 20, 0x00010001, 4), AT(FILE, BATMAP + 24, ~0x80U, 4)),
		ROW("bit of an absent block", VHD_WARNING, "batmap",
		    "block 1 is full, but it is absent", 0, OPENS | WRITES | REPAIRABLE,
		    AT(FILE, BATMAP + 512, 0x40, 1), AT(FILE, BATMAP + 24, ~0x40U, 4)),
		ROW("bit of a block that is not full", VHD_ERROR, "batmap",
		    "block 2 is full, but it is not", 1, OPENS | WRITES | REPAIRABLE,
		    AT(FILE, BATMAP + 512, 0x20, 1), AT(FILE, BATMAP + 24, ~0x20U, 4),
		    AT(FILE, IMG_PLACE + IMG_STEP, 0xfffe, 2)),
		ROW("no batmap", VHD_WARNING, "batmap", "cookie", 0, OPENS | WRITES,
		    AT(FILE, BATMAP, 0, 8)),
		ROW("past the end", VHD_WARNING, "batmap", "do not end before", 0, OPENS | WRITES,
		    AT(FILE, BATMAP + 8, 1 << 30, 8)),
		ROW("over the table", VHD_WARNING, "batmap", "overlaps the table", 0,
		    OPENS | WRITES, AT(FILE, BATMAP + 8, 1536, 8)),
		ROW("no sectors", VHD_WARNING, "batmap", "sectors", 0, OPENS | WRITES,
		    AT(FILE, BATMAP + 16, 0, 4)),
		ROW("encrypted", VHD_ERROR, "batmap", "encrypted", 1, 0,
		    AT(FILE, BATMAP + 29, 1, 1)),
		ROW("under a block", VHD_ERROR, "table entry", "over the batmap", 1, 0,
		    AT(FILE, ENTRY(1), 5, 4)),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		dynamic_make("a.vhd", VHD_FOR_XENSERVER);
		row_run("a.vhd", &t[i]);
	}
}

static void fixed(void **state)
{
	static const struct row t[] = {
		ROW("32 bits of ones", VHD_NOTE, NULL, NULL, 0, OPENS | WRITES,
		    AT(TAIL, 16, 0xffffffff, 8)),
		ROW("tail checksum", VHD_ERROR, "footer", "checksum", 1, 0, AT(END, 400, 1, 1)),
		ROW("511", VHD_WARNING, "footer", "511", 0, OPENS | WRITES | REPAIRABLE,
		    AT(CUT, 0, 1, 0)),
		ROW("shorter", VHD_ERROR, "file length", "current size", 1, 0,
		    AT(TAIL, 48, 2 * MIB, 8)),
		ROW("longer", VHD_WARNING, "file length", "between the disk and its footer", 0,
		    OPENS | WRITES, AT(TAIL, 48, MIB / 2, 8)),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		const struct vhd_create_options o = { .type = VHD_TYPE_FIXED, .size = MIB };

		image_make("a.vhd", &o);
		row_run("a.vhd", &t[i]);
	}
}

/* ---- chains */

#define LOCATOR 4096U /* of the child: W2ru, a page; its table behind it */

static void chains(void **state)
{
	static const struct row t[] = {
		ROW("sound", VHD_NOTE, NULL, NULL, 0, OPENS | WRITES, AT(NONE, 0, 0, 0)),
		ROW("wrong id", VHD_ERROR, "parent", "unique id", 1, 0, AT(HEADER, 40, 1, 8)),
		ROW("parent missing", VHD_ERROR, "parent", "z.vhd", 1, 0,
		    AT(FILE, LOCATOR + 4, 'z' << 8, 2), AT(HEADER, 65, 'z', 1)),
		ROW("names disagree", VHD_WARNING, "parent locator", "disagree", 0, OPENS | WRITES,
		    AT(HEADER, 65, 'z', 1)),
		ROW("no locator", VHD_WARNING, "parent locator", "none says", 0, OPENS | WRITES,
		    AT(HEADER, 576, 0, 4)),
		ROW("path with a NUL", VHD_WARNING, "parent locator", "cannot be read", 0,
		    OPENS | WRITES, AT(FILE, LOCATOR + 2, 0, 2)),
		ROW("half a pair in the name", VHD_WARNING, "parent locator", "disagree", 0,
		    OPENS | WRITES, AT(HEADER, 64, 0xd83d, 2)),
		ROW("climbing", VHD_ERROR, "parent", "allowed", 1, 0,
		    AT(FILE, LOCATOR, 0x2e002e005c007a00, 8), AT(HEADER, 65, 'z', 1)),
		ROW("locator length 2^31", VHD_ERROR, "header", "locator 0: length", 1, 0,
		    AT(HEADER, 584, 1ULL << 31, 4)),
		ROW("locator length odd", VHD_ERROR, "header", "locator 0: length", 1, 0,
		    AT(HEADER, 584, 13, 4)),
		ROW("locator offset 2^50", VHD_ERROR, "header", "locator 0: offset", 1, 0,
		    AT(HEADER, 592, 1ULL << 50, 8)),
		ROW("locator past the end", VHD_ERROR, "parent locator", "do not end before", 1, 0,
		    AT(HEADER, 592, 1ULL << 30, 8)),
		ROW("locator over the header", VHD_ERROR, "parent locator", "overlaps the header",
		    1, 0, AT(HEADER, 592, 1024, 8)),
		ROW("locator over the table", VHD_ERROR, "table", "overlaps the parent locator", 1,
		    0, AT(HEADER, 592, 8192, 8)),
		ROW("block over the locator", VHD_ERROR, "table entry", "over the parent locator",
		    1, 0, AT(FILE, 8192 + 4, 8, 4)),
		ROW("child is larger", VHD_WARNING, "parent", "more than the disk's", 0,
		    OPENS | WRITES, AT(BOTH, 48, 10 * MIB - 512, 8)),
		ROW("unknown locator", VHD_WARNING, "parent locator", "none says", 0,
		    OPENS | WRITES, AT(HEADER, 576, 0x4d616320, 4)),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		dynamic_make("a.vhd", VHD_FOR_ANY);
		child_make("c.vhd", "a.vhd");
		row_run("c.vhd", &t[i]);
	}
}

/* Two locators, of which one names another file. */
static void locators_disagree(void **state)
{
	const struct vhd_create_options o = { .type = VHD_TYPE_DIFFERENCING,
					      .profile = VHD_FOR_XENSERVER,
					      .parent = image_path("a.vhd") };
	static const struct row right = { .name = "MacX and W2ru", .can = OPENS | WRITES };
	static const struct row wrong =
		ROW("MacX names another file", VHD_WARNING, "parent locator", "locators disagree",
		    0, OPENS | WRITES, AT(FILE, LOCATOR + 9, 'z', 1));

	(void)state;
	dynamic_make("a.vhd", VHD_FOR_XENSERVER);
	image_make("c.vhd", &o);
	row_run("c.vhd", &right);
	row_run("c.vhd", &wrong);
}

/* What is wrong with a parent is found from its child, and that the child is larger. */
static void parents_too(void **state)
{
	static const struct row lost = ROW("parent's footer", VHD_WARNING, "footer", "copy at 0", 0,
					   OPENS | WRITES | REPAIRABLE, AT(NONE, 0, 0, 0));
	static const struct row larger =
		ROW("child larger", VHD_NOTE, "parent", "less than the disk", 0, OPENS | WRITES,
		    AT(NONE, 0, 0, 0));
	const struct vhd_create_options o = { .type = VHD_TYPE_DIFFERENCING,
					      .size = 12 * MIB,
					      .parent = image_path("b.vhd") };
	struct findings all = { 0 };
	struct vhd_err e;

	(void)state;
	dynamic_make("a.vhd", VHD_FOR_ANY);
	child_make("b.vhd", "a.vhd");
	image_make("c.vhd", &o);
	row_run("c.vhd", &larger);
	image_patch("a.vhd", &(struct patch){ PATCH_END, 512, 0, 8 });
	row_run("c.vhd", &lost);
	image_patch("b.vhd", &(struct patch){ PATCH_FILE, 8192, 0xfffffffe, 4 });
	assert_int_equal(vhd_check(image_path("c.vhd"), NULL, findings_add, &all, NULL, &e), 1);
	assert_non_null(finding_of(&all, VHD_ERROR, "table entry", "block 0"));
	assert_int_equal(vhd_check(image_path("c.vhd"),
				   &(struct vhd_open_options){ .flags = VHD_OPEN_NO_PARENT }, NULL,
				   NULL, NULL, &e),
			 0);
}

/* a -> b -> a, and c -> c. */
static void loops(void **state)
{
	static const struct row loop =
		ROW("loop", VHD_ERROR, "parent", "chain", 1, 0, AT(NONE, 0, 0, 0));
	uint8_t id[16];

	(void)state;
	dynamic_make("p.vhd", VHD_FOR_ANY);
	child_make("a.vhd", "p.vhd");
	child_make("b.vhd", "a.vhd");
	bytes_get("b.vhd", id, sizeof(id), 68);
	/* a names b instead of p */
	image_patch("a.vhd", &(struct patch){ PATCH_HEADER, 40, get_be64(id), 8 });
	image_patch("a.vhd", &(struct patch){ PATCH_HEADER, 48, get_be64(id + 8), 8 });
	image_patch("a.vhd", &(struct patch){ PATCH_HEADER, 65, 'b', 1 });
	image_patch("a.vhd", &(struct patch){ PATCH_FILE, LOCATOR + 4, 'b' << 8, 2 });
	row_run("b.vhd", &loop);
	row_run("a.vhd", &loop);
	child_make("c.vhd", "p.vhd");
	bytes_get("c.vhd", id, sizeof(id), 68);
	image_patch("c.vhd", &(struct patch){ PATCH_HEADER, 40, get_be64(id), 8 });
	image_patch("c.vhd", &(struct patch){ PATCH_HEADER, 48, get_be64(id + 8), 8 });
	image_patch("c.vhd", &(struct patch){ PATCH_HEADER, 65, 'c', 1 });
	image_patch("c.vhd", &(struct patch){ PATCH_FILE, LOCATOR + 4, 'c' << 8, 2 });
	row_run("c.vhd", &loop);
}

/* In use by a writer: nothing can be said. Another reader does not mind. */
static void in_use(void **state)
{
	struct vhd_err e = { 0 };
	struct vhd *v;

	(void)state;
	dynamic_make("a.vhd", VHD_FOR_ANY);
	must_be(vhd_open(image_path("a.vhd"), &(struct vhd_open_options){ .flags = VHD_OPEN_WRITE },
			 &v, &e),
		&e);
	assert_int_equal(vhd_check(image_path("a.vhd"), NULL, NULL, NULL, NULL, &e), -EBUSY);
	assert_int_equal(vhd_close(v, &e), 0);
	must_be(vhd_open(image_path("a.vhd"), NULL, &v, &e), &e);
	assert_int_equal(vhd_check(image_path("a.vhd"), NULL, NULL, NULL, NULL, &e), 0);
	assert_int_equal(vhd_close(v, &e), 0);
}

static int stop(void *ctx, uint64_t done, uint64_t total)
{
	unsigned int *n = ctx;

	assert_true(done <= total && total == 3);
	return ++*n;
}

static void canceled(void **state)
{
	unsigned int n = 0;
	const struct vhd_progress p = { stop, &n };
	struct vhd_err e = { 0 };

	(void)state;
	dynamic_make("a.vhd", VHD_FOR_ANY);
	assert_int_equal(vhd_check(image_path("a.vhd"), NULL, NULL, NULL, &p, &e), -ECANCELED);
	assert_int_equal(n, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sound),       cmocka_unit_test(footers),
		cmocka_unit_test(headers),     cmocka_unit_test(tables),
		cmocka_unit_test(bits_beyond), cmocka_unit_test(very_many),
		cmocka_unit_test(batmaps),     cmocka_unit_test(fixed),
		cmocka_unit_test(chains),      cmocka_unit_test(locators_disagree),
		cmocka_unit_test(parents_too), cmocka_unit_test(loops),
		cmocka_unit_test(in_use),      cmocka_unit_test(canceled),
	};

	return cmocka_run_group_tests(tests, image_setup, image_teardown);
}
