/* SPDX-License-Identifier: MIT */
/* test_format.c - footers, headers, batmaps: what is accepted, what is refused, and with which text
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "vhd_format.h"
#include "vhd_shim.h"

#define GIB (1ULL << 30)
#define MIB (1ULL << 20)

static const struct vhd_footer dynamic = {
	.features = 2,
	.data_offset = 512,
	.time_stamp = 0x11223344,
	.creator = { 'w', 'i', 'n', ' ' },
	.creator_os = { 'W', 'i', '2', 'k' },
	.creator_version = 0x000a0000,
	.original_size = 64 * MIB,
	.size = 100 * MIB,
	.geometry = { 1003, 12, 17 },
	.type = VHD_TYPE_DYNAMIC,
	.id = { { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 } },
};

static void checksum_skips_itself(void **state)
{
	uint8_t raw[16] = { 1, 2, 3, 4, 255, 255, 255, 255, 5 };

	(void)state;
	assert_int_equal(vhd_checksum(raw, sizeof(raw), 4), ~15U);
	assert_int_equal(vhd_checksum(raw, sizeof(raw), sizeof(raw)), ~(15U + 4 * 255));
	assert_int_equal(vhd_checksum(raw, 0, 0), ~0U);
}

static void footer_round_trip(void **state)
{
	static const enum vhd_type types[] = { VHD_TYPE_FIXED, VHD_TYPE_DYNAMIC,
					       VHD_TYPE_DIFFERENCING };
	uint8_t raw[VHD_FOOTER_SIZE], again[VHD_FOOTER_SIZE];
	struct vhd_err e = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		struct vhd_footer f = dynamic, g;

		f.type = types[i];
		f.data_offset = f.type == VHD_TYPE_FIXED ? UINT64_MAX : 512;
		f.is_saved_state = i == 1;
		vhd_footer_encode(&f, raw);
		memset(&g, 0xa5, sizeof(g));
		assert_int_equal(vhd_footer_decode(raw, &g, &e), 0);
		assert_int_equal(g.type, f.type);
		assert_int_equal(g.size, f.size);
		assert_int_equal(g.original_size, f.original_size);
		assert_int_equal(g.data_offset, f.data_offset);
		assert_int_equal(g.time_stamp, f.time_stamp);
		assert_int_equal(g.creator_version, f.creator_version);
		assert_memory_equal(g.creator, "win ", 4);
		assert_memory_equal(g.creator_os, "Wi2k", 4);
		assert_int_equal(g.geometry.cylinders, 1003);
		assert_int_equal(g.geometry.heads, 12);
		assert_int_equal(g.geometry.sectors, 17);
		assert_true(vhd_uuid_equal(&g.id, &f.id));
		assert_int_equal(g.is_saved_state, f.is_saved_state);
		assert_false(g.is_hidden);
		vhd_footer_encode(&g, again);
		assert_memory_equal(raw, again, sizeof(raw));
	}
}

/* Offsets as the text of the format has them, not as the code has. */
static void footer_bytes(void **state)
{
	uint8_t raw[VHD_FOOTER_SIZE];

	(void)state;
	vhd_footer_encode(&dynamic, raw);
	assert_memory_equal(raw, "conectix\0\0\0\2\0\1\0\0\0\0\0\0\0\0\2\0\x11\x22\x33\x44win ",
			    32);
	assert_memory_equal(raw + 32, "\0\x0a\0\0Wi2k\0\0\0\0\4\0\0\0\0\0\0\0\6\x40\0\0", 24);
	assert_memory_equal(raw + 56, "\3\xeb\x0c\x11\0\0\0\3", 8);
	assert_memory_equal(raw + 68, dynamic.id.bytes, 16);
	for (size_t i = 84; i < sizeof(raw); i++)
		assert_int_equal(raw[i], 0);
}

/* Bytes of one field changed; the checksum is made right again unless `is_sum_wrong`. */
struct change {
	size_t at, len;
	const char *bytes;
	int rc;
	const char *field;
	bool is_sum_wrong;
};

static void change_apply(const struct change *c, uint8_t *raw, size_t len, size_t sum_at)
{
	memcpy(raw + c->at, c->bytes, c->len);
	if (!c->is_sum_wrong)
		put_be32(raw + sum_at, vhd_checksum(raw, len, sum_at));
}

static void footer_fields(void **state)
{
	static const struct change t[] = {
		{ 0, 8, "CONECTIX", -EBADMSG, "cookie" },
		{ 0, 8, "\0\0\0\0\0\0\0\0", -EBADMSG, "cookie" },
		{ 0, 8, "v_poison", -EINVAL, "cookie" },
		{ 0, 8, "v_poison", -EINVAL, "disabled", true },
		{ 64, 4, "\0\0\0\0", -EBADMSG, "checksum", true },
		{ 511, 1, "\1", -EBADMSG, "checksum", true },
		{ 511, 1, "\1", 0, "" },
		{ 8, 4, "\0\0\0\0", -EINVAL, "features" },
		{ 8, 4, "\0\0\0\1", -EINVAL, "features" },
		{ 8, 4, "\0\0\0\3", 0, "" },
		{ 12, 4, "\0\2\0\0", -EINVAL, "file format version" },
		{ 12, 4, "\0\0\0\0", -EINVAL, "file format version" },
		{ 12, 4, "\0\1\0\5", 0, "" },
		{ 16, 8, "\0\0\0\0\0\0\0\0", -EINVAL, "data offset" },
		{ 16, 8, "\377\377\377\377\377\377\377\377", -EINVAL, "data offset" },
		{ 16, 8, "\0\4\0\0\0\0\0\0", -EINVAL, "data offset" }, /* 2^50 */
		{ 16, 8, "\0\0\0\0\0\0\1\0", -EINVAL, "data offset" },
		{ 16, 8, "\0\0\0\0\0\0\2\1", -EINVAL, "data offset" },
		{ 16, 8, "\0\0\0\0\0\0\4\0", 0, "" },
		{ 48, 8, "\0\0\0\0\0\0\0\0", -EINVAL, "current size" },
		{ 48, 8, "\0\0\0\0\0\0\2\1", -EINVAL, "current size" },
		{ 48, 8, "\200\0\0\0\0\0\0\0", -EINVAL, "current size" },
		{ 48, 8, "\377\377\377\377\377\377\376\0", -EINVAL, "current size" },
		{ 48, 8, "\0\0\1\376\0\0\2\0", -EINVAL,
		  "current size" }, /* 2040 GiB and 1 sector */
		{ 48, 8, "\0\0\1\376\0\0\0\0", 0, "" },
		{ 48, 8, "\0\0\0\0\0\0\2\0", 0, "" },
		{ 56, 4, "\0\0\0\0", 0, "" },
		{ 60, 4, "\0\0\0\0", -EINVAL, "disk type" },
		{ 60, 4, "\0\0\0\1", -EINVAL, "disk type" },
		{ 60, 4, "\0\0\0\2", -EINVAL, "data offset" }, /* fixed, with a header */
		{ 60, 4, "\0\0\0\5", -EINVAL, "disk type" },
		{ 60, 4, "\0\0\0\6", -EINVAL, "disk type" },
		{ 60, 4, "\0\0\0\7", -EINVAL, "disk type" },
		{ 60, 4, "\3\0\0\0", -EINVAL, "disk type" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		uint8_t raw[VHD_FOOTER_SIZE];
		struct vhd_footer f = { .size = 77 };
		struct vhd_err e = { 0 };

		vhd_footer_encode(&dynamic, raw);
		change_apply(&t[i], raw, sizeof(raw), 64);
		if (vhd_footer_decode(raw, &f, &e) != t[i].rc || !strstr(e.msg, t[i].field))
			fail_msg("row %zu: %s", i, e.msg);
		assert_int_equal(e.code, -t[i].rc);
		if (t[i].rc)
			assert_int_equal(f.size, 77);
	}
}

/* One bit turned anywhere is seen: a sum of bytes sees any single change. */
static void footer_each_bit(void **state)
{
	uint8_t raw[VHD_FOOTER_SIZE];
	struct vhd_footer f;
	struct vhd_err e;

	(void)state;
	vhd_footer_encode(&dynamic, raw);
	for (size_t i = 0; i < 8 * sizeof(raw); i++) {
		raw[i / 8] ^= (uint8_t)(1U << i % 8);
		assert_true(vhd_footer_decode(raw, &f, &e) < 0);
		raw[i / 8] ^= (uint8_t)(1U << i % 8);
	}
	assert_int_equal(vhd_footer_decode(raw, &f, &e), 0);
}

static void fixed_offsets(void **state)
{
	static const struct {
		uint64_t off;
		int rc;
	} t[] = {
		{ UINT64_MAX, 0 }, { 0xffffffff, 0 },           { 0, -EINVAL },
		{ 512, -EINVAL },  { UINT64_MAX - 1, -EINVAL }, { 0xffffffffULL << 32, -EINVAL }
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		uint8_t raw[VHD_FOOTER_SIZE];
		struct vhd_footer f = dynamic;
		struct vhd_err e = { 0 };

		f.type = VHD_TYPE_FIXED;
		f.data_offset = t[i].off;
		vhd_footer_encode(&f, raw);
		assert_int_equal(vhd_footer_decode(raw, &f, &e), t[i].rc);
	}
}

/* Byte 85 is tapdisk's, and so is the batmap. */
static void creators(void **state)
{
	static const struct {
		char creator[5];
		uint32_t version;
		bool is_hidden, may_have_batmap;
	} t[] = {
		{ "tap", 0x00010003, true, true },   { "tap", 0x00010001, true, true },
		{ "tap", 0x00010000, true, false },  { "win ", 0x000a0000, false, false },
		{ "ta", 0x00010003, false, false },  { "", 0x00010003, false, false },
		{ "Tap", 0x00010003, false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		uint8_t raw[VHD_FOOTER_SIZE];
		struct vhd_footer f = dynamic;
		struct vhd_err e = { 0 };

		memcpy(f.creator, t[i].creator, 4);
		f.creator_version = t[i].version;
		f.is_hidden = true;
		vhd_footer_encode(&f, raw);
		assert_int_equal(raw[85], t[i].is_hidden);
		raw[85] = 1;
		put_be32(raw + 64, vhd_checksum(raw, sizeof(raw), 64));
		assert_int_equal(vhd_footer_decode(raw, &f, &e), 0);
		assert_int_equal(f.is_hidden, t[i].is_hidden);
		assert_int_equal(vhd_footer_may_have_batmap(&f), t[i].may_have_batmap);
	}
}

/* ---- header */

static const struct vhd_header header = {
	.table_offset = 8192,
	.table_entries = 50,
	.block_size = VHD_BLOCK_DEFAULT,
	.parent_id = { { 9, 8, 7 } },
	.parent_time_stamp = 0x01020304,
	.parent_name = { 0, 'b', 0, '.', 0, 'v' },
	.locators = { { { 'W', '2', 'k', 'u' }, 4096, 84, 4096 },
		      { { 0 }, 0, 0, 0 },
		      { { 'W', '2', 'r', 'u' }, 65536, 32, 12288 },
		      { { 'M', 'a', 'c', 'X' }, 512, 33, 131072 } },
};

static void header_round_trip(void **state)
{
	uint8_t raw[VHD_HEADER_SIZE], again[VHD_HEADER_SIZE];
	struct vhd_header h;
	struct vhd_err e = { 0 };

	(void)state;
	vhd_header_encode(&header, raw);
	assert_memory_equal(raw, "cxsparse\377\377\377\377\377\377\377\377\0\0\0\0\0\0\x20\0", 24);
	assert_memory_equal(raw + 24, "\0\1\0\0\0\0\0\x32\0\x20\0\0", 12);
	assert_memory_equal(raw + 576, "W2ku\0\0\x10\0\0\0\0\x54\0\0\0\0\0\0\0\0\0\0\x10\0", 24);
	for (size_t i = 600; i < 624; i++)
		assert_int_equal(raw[i], 0);
	memset(&h, 0xa5, sizeof(h));
	assert_int_equal(vhd_header_decode(raw, &h, &e), 0);
	assert_int_equal(h.table_offset, 8192);
	assert_int_equal(h.table_entries, 50);
	assert_int_equal(h.block_size, VHD_BLOCK_DEFAULT);
	assert_int_equal(h.parent_time_stamp, 0x01020304);
	assert_true(vhd_uuid_equal(&h.parent_id, &header.parent_id));
	assert_memory_equal(h.parent_name, header.parent_name, VHD_NAME_BYTES);
	assert_memory_equal(h.locators[2].code, "W2ru", 4);
	assert_int_equal(h.locators[2].space, 65536);
	assert_int_equal(h.locators[2].length, 32);
	assert_int_equal(h.locators[2].offset, 12288);
	vhd_header_encode(&h, again);
	assert_memory_equal(raw, again, sizeof(raw));
}

static void header_fields(void **state)
{
	static const struct change t[] = {
		{ 0, 8, "CXSPARSE", -EBADMSG, "cookie" },
		{ 0, 8, "conectix", -EBADMSG, "cookie" },
		{ 36, 4, "\0\0\0\0", -EBADMSG, "checksum", true },
		{ 1023, 1, "x", -EBADMSG, "checksum", true },
		{ 1023, 1, "x", 0, "" },
		{ 8, 8, "\0\0\0\0\0\0\0\0", 0, "" }, /* its data offset means nothing */
		{ 24, 4, "\0\2\0\0", -EINVAL, "header version" },
		{ 24, 4, "\0\0\377\377", -EINVAL, "header version" },
		{ 16, 8, "\0\0\0\0\0\0\0\0", -EINVAL, "table offset" },
		{ 16, 8, "\200\0\0\0\0\0\2\0", -EINVAL, "table offset" },
		{ 16, 8, "\377\377\377\377\377\377\376\0", -EINVAL, "table offset" },
		{ 16, 8, "\0\0\0\0\0\0\6\1", -EINVAL, "table offset" },
		{ 16, 8, "\0\0\0\0\0\0\6\0", 0, "" },
		{ 28, 4, "\0\0\0\0", -EINVAL, "max table entries" },
		{ 28, 4, "\377\377\377\377", -EINVAL, "max table entries" },
		{ 28, 4, "\040\0\0\0", -EINVAL, "max table entries" },
		{ 28, 4, "\0\017\360\001", -EINVAL,
		  "max table entries" }, /* 2040 GiB and a block */
		{ 28, 4, "\0\017\360\0", 0, "" },
		{ 32, 4, "\0\0\0\0", -EINVAL, "block size" },
		{ 32, 4, "\0\0\2\0", -EINVAL, "block size" },
		{ 32, 4, "\0\0\2\1", -EINVAL, "block size" },
		{ 32, 4, "\0\4\0\0", -EINVAL, "block size" },   /* 256 KiB */
		{ 32, 4, "\0\x30\0\0", -EINVAL, "block size" }, /* 3 MiB */
		{ 32, 4, "\x20\0\0\0", -EINVAL, "block size" },
		{ 32, 4, "\200\0\0\0", -EINVAL, "block size" }, /* 2 GiB */
		{ 32, 4, "\x10\0\0\0", 0, "" },
		{ 32, 4, "\0\x08\0\0", 0, "" },
		/* locator 0: space, length, offset */
		{ 580, 4, "\0\0\x10\1", -EINVAL, "locator 0: space" },
		{ 580, 4, "\0\0\2\1", -EINVAL, "locator 0: space" },
		{ 580, 4, "\0\0\0\0", -EINVAL, "locator 0: length" },
		{ 580, 4, "\0\0\0\1", 0, "" }, /* a sector */
		{ 584, 4, "\200\0\0\0", -EINVAL, "locator 0: length" },
		{ 584, 4, "\177\377\377\377", -EINVAL, "locator 0: length" },
		{ 584, 4, "\0\0\x10\2", -EINVAL, "locator 0: length" },
		{ 584, 4, "\0\0\0\x55", -EINVAL, "locator 0: length" }, /* odd */
		{ 584, 4, "\0\0\x10\0", 0, "" },
		{ 592, 8, "\0\0\0\0\0\0\0\0", -EINVAL, "locator 0: offset" },
		{ 592, 8, "\0\4\0\0\0\0\0\0", -EINVAL, "locator 0: offset" },
		{ 592, 8, "\200\0\0\0\0\0\0\0", -EINVAL, "locator 0: offset" },
		{ 592, 8, "\377\377\377\377\377\377\377\377", -EINVAL, "locator 0: offset" },
		{ 592, 8, "\0\0\1\377\377\377\377\0", -EINVAL, "locator 0: offset" }, /* its end */
		{ 576, 4, "\0\0\0\0", 0, "" }, /* no code: none, whatever follows */
		{ 576, 4, "\0\2ru", 0, "" },
		/* the last one is looked at too */
		{ 744, 24, "MacX\0\0\0\1\0\0\2\1\0\0\0\0\0\0\0\0\0\0\2\0", -EINVAL, "locator 7" },
		{ 744, 24, "MacX\0\0\0\1\0\0\1\1\0\0\0\0\0\0\0\0\0\0\2\0", 0, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		uint8_t raw[VHD_HEADER_SIZE];
		struct vhd_header h = { .table_entries = 77 };
		struct vhd_err e = { 0 };

		vhd_header_encode(&header, raw);
		if (t[i].at == 32) /* not above the limit, whatever the size of blocks */
			put_be32(raw + 28, 1);
		change_apply(&t[i], raw, sizeof(raw), 36);
		if (vhd_header_decode(raw, &h, &e) != t[i].rc || !strstr(e.msg, t[i].field))
			fail_msg("row %zu: %s", i, e.msg);
		if (t[i].rc)
			assert_int_equal(h.table_entries, 77);
	}
}

/* Sectors by the text, bytes by everybody. */
static void locator_spaces(void **state)
{
	static const struct {
		uint32_t written, bytes;
	} t[] = { { 1, 512 }, { 511, 511 * 512 }, { 512, 512 }, { 4096, 4096 }, { 65536, 65536 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		uint8_t raw[VHD_HEADER_SIZE];
		struct vhd_header h;
		struct vhd_err e = { 0 };

		vhd_header_encode(&header, raw);
		put_be32(raw + 580, t[i].written);
		put_be32(raw + 36, vhd_checksum(raw, sizeof(raw), 36));
		assert_int_equal(vhd_header_decode(raw, &h, &e), 0);
		assert_int_equal(h.locators[0].space, t[i].bytes);
	}
}

/* ---- batmap */

static void batmaps(void **state)
{
	static const struct {
		size_t at, len;
		const char *bytes;
		int rc;
		const char *field;
	} t[] = {
		{ 0, 8, "TDBATMAP", -ENOENT, "cookie" },
		{ 0, 8, "\0\0\0\0\0\0\0\0", -ENOENT, "cookie" },
		{ 8, 8, "\0\0\0\0\0\0\0\0", -EINVAL, "offset" },
		{ 8, 8, "\0\0\0\0\0\0\x20\1", -EINVAL, "offset" },
		{ 8, 8, "\200\0\0\0\0\0\0\0", -EINVAL, "offset" },
		{ 16, 4, "\0\0\0\0", -EINVAL, "sectors" },
		{ 16, 4, "\0\0\3\375", -EINVAL, "sectors" },
		{ 16, 4, "\377\377\377\377", -EINVAL, "sectors" },
		{ 16, 4, "\0\0\3\374", 0, "" },
		{ 20, 4, "\0\2\0\0", -EINVAL, "version" },
		{ 20, 4, "\0\1\0\1", 0, "" },
		{ 28, 1, "\1", 0, "" }, /* the marker */
		{ 29, 1, "\1", -ENOTSUP, "encrypted" },
	};
	const struct vhd_batmap b = { .offset = 8192, .sectors = 2, .checksum = 0x12345678 };
	uint8_t raw[VHD_BATMAP_SIZE];
	struct vhd_batmap c;
	struct vhd_err e = { 0 };

	(void)state;
	vhd_batmap_encode(&b, raw);
	assert_memory_equal(raw, "tdbatmap\0\0\0\0\0\0\x20\0\0\0\0\2\0\1\0\2\x12\x34\x56\x78", 28);
	assert_int_equal(vhd_batmap_decode(raw, &c, &e), 0);
	assert_int_equal(c.offset, 8192);
	assert_int_equal(c.sectors, 2);
	assert_int_equal(c.version, 0x00010002);
	assert_int_equal(c.checksum, 0x12345678);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct vhd_err why = { 0 };

		vhd_batmap_encode(&b, raw);
		memcpy(raw + t[i].at, t[i].bytes, t[i].len);
		if (vhd_batmap_decode(raw, &c, &why) != t[i].rc || !strstr(why.msg, t[i].field))
			fail_msg("row %zu: %s", i, why.msg);
	}
}

static void batmap_sums(void **state)
{
	const struct vhd_batmap old = { .version = 0x00010001 }, new = { .version = 0x00010002 };
	uint8_t map[1024] = { 0x01, 0x7f, 0x80, 0xff };

	(void)state;
	map[512] = 0xff; /* behind what a disk of up to 8 GiB has summed */
	assert_int_equal(vhd_batmap_summed(512), 512);
	assert_int_equal(vhd_batmap_summed(8ULL << 30), 512);
	assert_int_equal(vhd_batmap_summed((8ULL << 30) + (1U << 24)), 1024);
	assert_int_equal(vhd_batmap_checksum(&new, map, 512), ~0x1ffU);
	assert_int_equal(vhd_batmap_checksum(&old, map, 512), ~-1);
	assert_int_equal(vhd_batmap_checksum(&new, map, 16ULL << 30), ~0x2feU);
	assert_int_equal(vhd_batmap_checksum(&old, map, 16ULL << 30), ~-2);
}

/* ---- numbers */

static void geometries(void **state)
{
	static const struct {
		uint64_t size;
		struct vhd_geometry g;
	} t[] = {
		{ 100 * MIB, { 1003, 12, 17 } },
		{ 127 * GIB, { 65278, 16, 255 } },
		{ 128 * GIB, { 65535, 16, 255 } },
		{ VHD_SIZE_MAX, { 65535, 16, 255 } },
		{ 10 * MIB, { 301, 4, 17 } },
		{ 512, { 0, 4, 17 } },
		{ 69632ULL * 512, { 140, 16, 31 } }, /* 1024 cylinders of 4 heads are refused */
		{ (17ULL * 16 * 1024 - 1) * 512, { 1023, 16, 17 } },
		{ 17ULL * 17000 * 512, { 582, 16, 31 } }, /* 17 heads are too many */
		{ 17ULL * 16 * 1024 * 512, { 561, 16, 31 } },
		{ 31ULL * 16 * 1024 * 512, { 503, 16, 63 } },
		{ (31ULL * 16 * 1024 - 1) * 512, { 1023, 16, 31 } },
		{ (65535ULL * 16 * 63 - 1) * 512, { 65534, 16, 63 } },
		{ 65535ULL * 16 * 63 * 512, { 16191, 16, 255 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct vhd_geometry g = vhd_geometry_of(t[i].size);

		if (g.cylinders != t[i].g.cylinders || g.heads != t[i].g.heads ||
		    g.sectors != t[i].g.sectors)
			fail_msg("row %zu: %u/%u/%u", i, g.cylinders, g.heads, g.sectors);
	}
	/* never more than the disk, and never far below it */
	for (uint64_t size = MIB; size < 127 * GIB; size += 513 * MIB + 512) {
		struct vhd_geometry g = vhd_geometry_of(size);
		uint64_t product = (uint64_t)g.cylinders * g.heads * g.sectors * VHD_SECTOR;

		assert_true(product <= size && size - product < 16ULL * 255 * VHD_SECTOR);
	}
}

static void sizes(void **state)
{
	(void)state;
	assert_int_equal(vhd_blocks_of(512, 2 * MIB), 1);
	assert_int_equal(vhd_blocks_of(2 * MIB, 2 * MIB), 1);
	assert_int_equal(vhd_blocks_of(2 * MIB + 512, 2 * MIB), 2);
	assert_int_equal(vhd_blocks_of(VHD_SIZE_MAX, 2 * MIB), 1044480);
	assert_int_equal(vhd_blocks_of(VHD_SIZE_MAX, VHD_BLOCK_MIN), 4177920);
	assert_int_equal(vhd_bitmap_size(VHD_BLOCK_MIN), 512);
	assert_int_equal(vhd_bitmap_size(2 * MIB), 512);
	assert_int_equal(vhd_bitmap_size(4 * MIB), 1024);
	assert_int_equal(vhd_bitmap_size(VHD_BLOCK_MAX), 65536);
}

static void uuids(void **state)
{
	struct vhd_uuid zero = { { 0 } }, last = { { 0 } };

	(void)state;
	last.bytes[15] = 1;
	assert_true(vhd_uuid_is_zero(&zero));
	assert_false(vhd_uuid_is_zero(&last));
	assert_false(vhd_uuid_equal(&zero, &last));
	assert_true(vhd_uuid_equal(&last, &last));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checksum_skips_itself),
		cmocka_unit_test(footer_round_trip),
		cmocka_unit_test(footer_bytes),
		cmocka_unit_test(footer_fields),
		cmocka_unit_test(footer_each_bit),
		cmocka_unit_test(fixed_offsets),
		cmocka_unit_test(creators),
		cmocka_unit_test(header_round_trip),
		cmocka_unit_test(header_fields),
		cmocka_unit_test(locator_spaces),
		cmocka_unit_test(batmaps),
		cmocka_unit_test(batmap_sums),
		cmocka_unit_test(geometries),
		cmocka_unit_test(sizes),
		cmocka_unit_test(uuids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
