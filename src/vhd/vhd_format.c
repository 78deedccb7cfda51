/* SPDX-License-Identifier: MIT */
/*
 * vhd_format.c - [U] footer, header and batmap: bytes to structs and back
 *
 * Hostile: every byte. Invariants of what was decoded: F1 the size of a disk is 1 sector to
 *   VHD_SIZE_MAX.  F2 a block size is a power of two from VHD_BLOCK_MIN to VHD_BLOCK_MAX, and
 *   entries * block size <= VHD_SIZE_MAX.  F3 offsets, and offset + length of a locator or a map,
 *   are at most VHD_OFFSET_MAX, so that sums of two of them cannot overflow.  F4 a locator has at
 *   most VHD_LOCATOR_MAX bytes of text.
 */
#include "vhd_format.h"
#include "vhd_shim.h"

#include <assert.h>
#include <inttypes.h>

#define FEATURE_RESERVED      0x2U /* "always set" */
#define VERSION               0x00010000U
#define VERSION_BATMAP        0x00010002U
#define VERSION_BATMAP_SIGNED 0x00010001U /* its checksum takes bytes as signed */
#define OFFSET_NONE           UINT64_MAX
#define OFFSET_NONE_SHORT     0xffffffffU  /* the text of [VHD] says 32 bits */
#define VHD_OFFSET_MAX        (1ULL << 41) /* past all that 32-bit sector numbers reach */
#define BATMAP_SECTORS_MAX                                                                         \
	((uint32_t)(VHD_SIZE_MAX / VHD_BLOCK_MIN / 8 / VHD_SECTOR)) /* a bit for each block */

static_assert(VHD_SIZE_MAX % VHD_BLOCK_MAX == 0, "whole blocks of every size");
static_assert(VHD_SIZE_MAX / VHD_BLOCK_MIN % (8 * VHD_SECTOR) == 0, "whole sectors of map");

enum { /* offsets in the footer */
       FO_COOKIE = 0,
       FO_FEATURES = 8,
       FO_VERSION = 12,
       FO_DATA_OFFSET = 16,
       FO_TIME = 24,
       FO_CREATOR = 28,
       FO_CREATOR_VERSION = 32,
       FO_CREATOR_OS = 36,
       FO_ORIGINAL_SIZE = 40,
       FO_SIZE = 48,
       FO_CYLINDERS = 56,
       FO_HEADS = 58,
       FO_SECTORS = 59,
       FO_TYPE = 60,
       FO_CHECKSUM = 64,
       FO_ID = 68,
       FO_SAVED_STATE = 84,
       FO_HIDDEN = 85, /* tapdisk's; reserved in [VHD] */
};

enum { /* in the dynamic header */
       HD_COOKIE = 0,
       HD_DATA_OFFSET = 8,
       HD_TABLE_OFFSET = 16,
       HD_VERSION = 24,
       HD_ENTRIES = 28,
       HD_BLOCK_SIZE = 32,
       HD_CHECKSUM = 36,
       HD_PARENT_ID = 40,
       HD_PARENT_TIME = 56,
       HD_PARENT_NAME = 64,
       HD_LOCATORS = 576,
};

enum { /* in a locator's entry */
       LO_CODE = 0,
       LO_SPACE = 4,
       LO_LENGTH = 8,
       LO_OFFSET = 16,
       LO_SIZE = 24,
};

enum { /* in the batmap's header */
       BM_COOKIE = 0,
       BM_OFFSET = 8,
       BM_SECTORS = 16,
       BM_VERSION = 20,
       BM_CHECKSUM = 24,
       BM_KEY_HASH = 29, /* not 0: the data is encrypted, a hash of the key follows */
};

static_assert(HD_LOCATORS == HD_PARENT_NAME + VHD_NAME_BYTES, "the name ends at the locators");

static const char footer_cookie[] = "conectix", poison_cookie[] = "v_poison",
		  header_cookie[] = "cxsparse", batmap_cookie[] = "tdbatmap";

uint32_t vhd_checksum(const void *data, size_t len, size_t skip)
{
	const uint8_t *b = data;
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		if (i < skip || i - skip >= 4)
			sum += b[i];
	return ~sum;
}

static int cookie_check(const uint8_t *raw, size_t len, const char *cookie, size_t at_checksum,
			struct vhd_err *e)
{
	uint32_t sum, computed;

	if (memcmp(raw, cookie, 8) != 0)
		return vhd_err_set(e, EBADMSG, "cookie: not \"%s\"", cookie);
	sum = get_be32(raw + at_checksum);
	computed = vhd_checksum(raw, len, at_checksum);
	if (sum != computed)
		return vhd_err_set(e, EBADMSG, "checksum: 0x%08x, but the bytes sum to 0x%08x", sum,
				   computed);
	return 0;
}

static int version_check(const char *field, uint32_t version, struct vhd_err *e)
{
	if (version >> 16 != VERSION >> 16)
		return vhd_err_set(e, EINVAL, "%s: 0x%08x, only 1.x (0x%08x) is known", field,
				   version, VERSION);
	return 0;
}

/* ---- footer */

static int type_check(uint32_t type, struct vhd_err *e)
{
	if (type != VHD_TYPE_FIXED && type != VHD_TYPE_DYNAMIC && type != VHD_TYPE_DIFFERENCING)
		return vhd_err_set(
			e, EINVAL,
			"disk type: %u is not 2 (fixed), 3 (dynamic) or 4 (differencing)", type);
	return 0;
}

static int size_check(uint64_t size, struct vhd_err *e)
{
	if (size == 0)
		return vhd_err_set(e, EINVAL, "current size: 0");
	if (size % VHD_SECTOR)
		return vhd_err_set(e, EINVAL, "current size: %" PRIu64 " is not whole sectors",
				   size);
	if (size > VHD_SIZE_MAX)
		return vhd_err_set(e, EINVAL, "current size: %" PRIu64 " is more than 2040 GiB",
				   size);
	return 0;
}

/* Of a structure in whole sectors, which is not the first of the file. */
static int offset_check(const char *field, uint64_t off, struct vhd_err *e)
{
	if (off < VHD_SECTOR || off % VHD_SECTOR || off >= VHD_OFFSET_MAX)
		return vhd_err_set(e, EINVAL,
				   "%s: 0x%" PRIx64 " is not a multiple of 512 from 512 to 2 TiB",
				   field, off);
	return 0;
}

static int data_offset_check(enum vhd_type type, uint64_t off, struct vhd_err *e)
{
	if (type != VHD_TYPE_FIXED)
		return offset_check("data offset", off, e);
	if (off != OFFSET_NONE && off != OFFSET_NONE_SHORT)
		return vhd_err_set(e, EINVAL,
				   "data offset: 0x%" PRIx64 ", which a fixed disk does not have",
				   off);
	return 0;
}

static bool creator_is_tapdisk(const struct vhd_footer *f)
{
	return memcmp(f->creator, "tap", 3) == 0;
}

int vhd_footer_decode(const uint8_t raw[VHD_FOOTER_SIZE], struct vhd_footer *ret, struct vhd_err *e)
{
	struct vhd_footer f = {
		.features = get_be32(raw + FO_FEATURES),
		.data_offset = get_be64(raw + FO_DATA_OFFSET),
		.time_stamp = get_be32(raw + FO_TIME),
		.creator_version = get_be32(raw + FO_CREATOR_VERSION),
		.original_size = get_be64(raw + FO_ORIGINAL_SIZE),
		.size = get_be64(raw + FO_SIZE),
		.geometry = { get_be16(raw + FO_CYLINDERS), raw[FO_HEADS], raw[FO_SECTORS] },
		.is_saved_state = raw[FO_SAVED_STATE] != 0,
	};
	uint32_t type = get_be32(raw + FO_TYPE);

	if (memcmp(raw, poison_cookie, 8) == 0)
		return vhd_err_set(e, EINVAL, "cookie: \"%s\", tapdisk has disabled the image",
				   poison_cookie);
	if (cookie_check(raw, VHD_FOOTER_SIZE, footer_cookie, FO_CHECKSUM, e) < 0 ||
	    version_check("file format version", get_be32(raw + FO_VERSION), e) < 0)
		return -e->code;
	if (!(f.features & FEATURE_RESERVED))
		return vhd_err_set(e, EINVAL, "features: 0x%08x, bit 1 must be set", f.features);
	if (type_check(type, e) < 0)
		return -e->code;
	f.type = (enum vhd_type)type;
	if (size_check(f.size, e) < 0 || data_offset_check(f.type, f.data_offset, e) < 0)
		return -e->code;
	memcpy(f.creator, raw + FO_CREATOR, sizeof(f.creator));
	memcpy(f.creator_os, raw + FO_CREATOR_OS, sizeof(f.creator_os));
	memcpy(f.id.bytes, raw + FO_ID, sizeof(f.id.bytes));
	f.is_hidden = creator_is_tapdisk(&f) && raw[FO_HIDDEN] != 0;
	*ret = f;
	return 0;
}

void vhd_footer_encode(const struct vhd_footer *f, uint8_t raw[VHD_FOOTER_SIZE])
{
	memset(raw, 0, VHD_FOOTER_SIZE);
	memcpy(raw + FO_COOKIE, footer_cookie, 8);
	put_be32(raw + FO_FEATURES, f->features | FEATURE_RESERVED);
	put_be32(raw + FO_VERSION, VERSION);
	put_be64(raw + FO_DATA_OFFSET, f->data_offset);
	put_be32(raw + FO_TIME, f->time_stamp);
	memcpy(raw + FO_CREATOR, f->creator, sizeof(f->creator));
	put_be32(raw + FO_CREATOR_VERSION, f->creator_version);
	memcpy(raw + FO_CREATOR_OS, f->creator_os, sizeof(f->creator_os));
	put_be64(raw + FO_ORIGINAL_SIZE, f->original_size);
	put_be64(raw + FO_SIZE, f->size);
	put_be16(raw + FO_CYLINDERS, f->geometry.cylinders);
	raw[FO_HEADS] = f->geometry.heads;
	raw[FO_SECTORS] = f->geometry.sectors;
	put_be32(raw + FO_TYPE, f->type);
	memcpy(raw + FO_ID, f->id.bytes, sizeof(f->id.bytes));
	raw[FO_SAVED_STATE] = f->is_saved_state;
	raw[FO_HIDDEN] = f->is_hidden && creator_is_tapdisk(f);
	put_be32(raw + FO_CHECKSUM, vhd_checksum(raw, VHD_FOOTER_SIZE, FO_CHECKSUM));
}

bool vhd_footer_may_have_batmap(const struct vhd_footer *f)
{
	return creator_is_tapdisk(f) && f->creator_version >= 0x00010001;
}

/* ---- header */

static bool locator_is_utf16(const char code[4])
{
	return memcmp(code, "W2ru", 4) == 0 || memcmp(code, "W2ku", 4) == 0;
}

/* Sectors says the text of [VHD], bytes wrote everybody: no area of bytes is below a sector. */
static uint64_t locator_space(uint32_t space)
{
	return space < VHD_SECTOR ? (uint64_t)space * VHD_SECTOR : space;
}

static int locator_decode(const uint8_t *raw, size_t i, struct vhd_locator *ret, struct vhd_err *e)
{
	static const char none[4];
	uint64_t space = locator_space(get_be32(raw + LO_SPACE));
	uint32_t len = get_be32(raw + LO_LENGTH);
	uint64_t off = get_be64(raw + LO_OFFSET);

	*ret = (struct vhd_locator){ 0 };
	memcpy(ret->code, raw + LO_CODE, sizeof(ret->code));
	if (memcmp(ret->code, none, sizeof(none)) == 0)
		return 0;
	if (space % VHD_SECTOR)
		return vhd_err_set(e, EINVAL,
				   "locator %zu: space: %" PRIu64 " is not whole sectors", i,
				   space);
	if (len > VHD_LOCATOR_MAX || len > space)
		return vhd_err_set(e, EINVAL,
				   "locator %zu: length: %u is more than its space, %" PRIu64
				   ", or the limit, %u",
				   i, len, space, VHD_LOCATOR_MAX);
	if (locator_is_utf16(ret->code) && len % 2)
		return vhd_err_set(e, EINVAL, "locator %zu: length: %u is odd, but it is UTF-16", i,
				   len);
	if (off < VHD_SECTOR || !range_fits(off, space, VHD_OFFSET_MAX))
		return vhd_err_set(e, EINVAL,
				   "locator %zu: offset: 0x%" PRIx64 " is not from 512 to 2 TiB", i,
				   off);
	ret->space = (uint32_t)space;
	ret->length = len;
	ret->offset = off;
	return 0;
}

static int blocks_check(uint32_t block_size, uint32_t entries, struct vhd_err *e)
{
	if (block_size < VHD_BLOCK_MIN || block_size > VHD_BLOCK_MAX ||
	    (block_size & (block_size - 1)))
		return vhd_err_set(e, EINVAL,
				   "block size: %u is not a power of two from 512 KiB to 256 MiB",
				   block_size);
	if (entries == 0 || entries > VHD_SIZE_MAX / block_size)
		return vhd_err_set(e, EINVAL,
				   "max table entries: %u, which is not from 1 to %" PRIu64
				   " (blocks of %u bytes, 2040 GiB)",
				   entries, (uint64_t)(VHD_SIZE_MAX / block_size), block_size);
	return 0;
}

int vhd_header_decode(const uint8_t raw[VHD_HEADER_SIZE], struct vhd_header *ret, struct vhd_err *e)
{
	struct vhd_header h = {
		.table_offset = get_be64(raw + HD_TABLE_OFFSET),
		.table_entries = get_be32(raw + HD_ENTRIES),
		.block_size = get_be32(raw + HD_BLOCK_SIZE),
		.parent_time_stamp = get_be32(raw + HD_PARENT_TIME),
	};

	if (cookie_check(raw, VHD_HEADER_SIZE, header_cookie, HD_CHECKSUM, e) < 0 ||
	    version_check("header version", get_be32(raw + HD_VERSION), e) < 0 ||
	    offset_check("table offset", h.table_offset, e) < 0 ||
	    blocks_check(h.block_size, h.table_entries, e) < 0)
		return -e->code;
	for (size_t i = 0; i < VHD_PARENTS_MAX; i++)
		if (locator_decode(raw + HD_LOCATORS + i * LO_SIZE, i, &h.locators[i], e) < 0)
			return -e->code;
	memcpy(h.parent_id.bytes, raw + HD_PARENT_ID, sizeof(h.parent_id.bytes));
	memcpy(h.parent_name, raw + HD_PARENT_NAME, sizeof(h.parent_name));
	*ret = h;
	return 0;
}

static void locator_encode(const struct vhd_locator *l, uint8_t *raw)
{
	memcpy(raw + LO_CODE, l->code, sizeof(l->code));
	put_be32(raw + LO_SPACE, l->space);
	put_be32(raw + LO_LENGTH, l->length);
	put_be64(raw + LO_OFFSET, l->offset);
}

void vhd_header_encode(const struct vhd_header *h, uint8_t raw[VHD_HEADER_SIZE])
{
	memset(raw, 0, VHD_HEADER_SIZE);
	memcpy(raw + HD_COOKIE, header_cookie, 8);
	put_be64(raw + HD_DATA_OFFSET, OFFSET_NONE);
	put_be64(raw + HD_TABLE_OFFSET, h->table_offset);
	put_be32(raw + HD_VERSION, VERSION);
	put_be32(raw + HD_ENTRIES, h->table_entries);
	put_be32(raw + HD_BLOCK_SIZE, h->block_size);
	memcpy(raw + HD_PARENT_ID, h->parent_id.bytes, sizeof(h->parent_id.bytes));
	put_be32(raw + HD_PARENT_TIME, h->parent_time_stamp);
	memcpy(raw + HD_PARENT_NAME, h->parent_name, sizeof(h->parent_name));
	for (size_t i = 0; i < VHD_PARENTS_MAX; i++)
		locator_encode(&h->locators[i], raw + HD_LOCATORS + i * LO_SIZE);
	put_be32(raw + HD_CHECKSUM, vhd_checksum(raw, VHD_HEADER_SIZE, HD_CHECKSUM));
}

/* ---- batmap */

int vhd_batmap_decode(const uint8_t raw[VHD_BATMAP_SIZE], struct vhd_batmap *ret, struct vhd_err *e)
{
	struct vhd_batmap b = {
		.offset = get_be64(raw + BM_OFFSET),
		.sectors = get_be32(raw + BM_SECTORS),
		.version = get_be32(raw + BM_VERSION),
		.checksum = get_be32(raw + BM_CHECKSUM),
	};

	if (memcmp(raw, batmap_cookie, 8) != 0)
		return vhd_err_set(e, ENOENT, "batmap: cookie: not \"%s\"", batmap_cookie);
	if (raw[BM_KEY_HASH])
		return vhd_err_set(e, ENOTSUP, "batmap: key hash: the image is encrypted");
	if (version_check("batmap: version", b.version, e) < 0 ||
	    offset_check("batmap: offset", b.offset, e) < 0)
		return -e->code;
	if (b.sectors == 0 || b.sectors > BATMAP_SECTORS_MAX)
		return vhd_err_set(e, EINVAL, "batmap: sectors: %u, which is not from 1 to %u",
				   b.sectors, BATMAP_SECTORS_MAX);
	*ret = b;
	return 0;
}

void vhd_batmap_encode(const struct vhd_batmap *b, uint8_t raw[VHD_BATMAP_SIZE])
{
	memset(raw, 0, VHD_BATMAP_SIZE);
	memcpy(raw + BM_COOKIE, batmap_cookie, 8);
	put_be64(raw + BM_OFFSET, b->offset);
	put_be32(raw + BM_SECTORS, b->sectors);
	put_be32(raw + BM_VERSION, b->version ? b->version : VERSION_BATMAP);
	put_be32(raw + BM_CHECKSUM, b->checksum);
}

size_t vhd_batmap_summed(uint64_t size)
{
	return (size_t)MAX_OF(VHD_SECTOR, align_up(size >> 24, VHD_SECTOR));
}

uint32_t vhd_batmap_checksum(const struct vhd_batmap *b, const uint8_t *map, uint64_t size)
{
	size_t len = vhd_batmap_summed(size);
	uint32_t sum = 0;

	if (b->version != VERSION_BATMAP_SIGNED)
		return vhd_checksum(map, len, SIZE_MAX);
	for (size_t i = 0; i < len; i++) /* bytes of 128 and more are negative */
		sum += (uint32_t)(int8_t)map[i];
	return ~sum;
}

/* ---- numbers */

struct vhd_geometry vhd_geometry_of(uint64_t size)
{
	uint64_t total = MIN_OF(size / VHD_SECTOR, 65535ULL * 16 * 255), tracks;
	unsigned int heads, sectors;

	if (total >= 65535ULL * 16 * 63) {
		heads = 16;
		sectors = 255;
		tracks = total / sectors;
	} else {
		sectors = 17;
		tracks = total / sectors;
		heads = MAX_OF((unsigned int)((tracks + 1023) / 1024), 4U);
		if (heads > 16 || tracks >= heads * 1024) {
			heads = 16;
			sectors = 31;
			tracks = total / sectors;
		}
		if (tracks >= heads * 1024) {
			sectors = 63;
			tracks = total / sectors;
		}
	}
	return (struct vhd_geometry){ (uint16_t)(tracks / heads), (uint8_t)heads,
				      (uint8_t)sectors };
}

uint32_t vhd_blocks_of(uint64_t size, uint32_t block_size)
{
	return (uint32_t)((size + block_size - 1) / block_size);
}

uint32_t vhd_bitmap_size(uint32_t block_size)
{
	return (uint32_t)align_up(block_size / VHD_SECTOR / 8, VHD_SECTOR);
}

bool vhd_uuid_is_zero(const struct vhd_uuid *u)
{
	static const struct vhd_uuid zero;

	return vhd_uuid_equal(u, &zero);
}

bool vhd_uuid_equal(const struct vhd_uuid *a, const struct vhd_uuid *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}
