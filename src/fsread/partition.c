/* SPDX-License-Identifier: MIT */
/*
 * partition.c - [U] the tables of partitions
 *
 * Hostile: all of a disk. Invariants: I1 a partition lies inside the disk and is not empty. I2 at
 * most PARTITIONS_MAX are taken, and at most as many sectors of logical ones looked at. I3 a GPT is
 * used only if both its checksums are right; the copy at the end of the disk serves when the first
 * one is not.
 */
#include "partition.h"

#include <zlib.h>

#define ENTRY_AT      446U
#define ENTRY_LEN     16U
#define TYPE_GPT      0xeeU
#define GPT_HEAD      92U
#define GPT_ENTRY_MIN 128U
#define GPT_ENTRY_MAX 4096U
#define GPT_BYTES_MAX (1U << 20) /* of the array; 128 entries of 128 bytes are usual */

static bool is_extended(uint8_t type)
{
	return type == 0x05 || type == 0x0f || type == 0x85;
}

/* `first` and `count` are sectors. */
static int add(struct partitions *p, const struct disk_view *disk, uint32_t number, uint64_t first,
	       uint64_t count, struct err *e)
{
	const uint64_t sectors = disk->size / PARTITION_SECTOR;

	if (count == 0 || first == 0 || !range_fits(first, count, sectors))
		return err_plain(e, EBADMSG, "partition %u does not lie on the disk", number);
	if (p->n == PARTITIONS_MAX)
		return err_plain(e, E2BIG, "more than %u partitions", PARTITIONS_MAX);
	p->v[p->n++] =
		(struct partition){ number, first * PARTITION_SECTOR, count * PARTITION_SECTOR };
	return 0;
}

/* ---- MBR ---- */

static bool has_mark(const uint8_t *sector)
{
	return sector[510] == 0x55 && sector[511] == 0xaa;
}

/* Boot sectors of file systems have the mark too: their bytes here are code. */
static bool is_table(const uint8_t *mbr)
{
	bool has_any = false;

	if (!has_mark(mbr))
		return false;
	for (unsigned i = 0; i < 4; i++) {
		const uint8_t *p = mbr + ENTRY_AT + (size_t)ENTRY_LEN * i;

		if (p[0] & 0x7f)
			return false;
		has_any |= p[4] != 0;
	}
	return has_any;
}

/* A chain of sectors, each with one partition and where the next one is. */
static int logical_read(const struct disk_view *disk, struct partitions *p, uint64_t first,
			uint64_t count, struct err *e)
{
	uint64_t at = first;
	uint32_t number = 5;
	uint8_t s[PARTITION_SECTOR];

	for (unsigned i = 0; i < PARTITIONS_MAX; i++) {
		const uint8_t *own = s + ENTRY_AT, *next = own + ENTRY_LEN;

		if (disk_view_read(disk, s, sizeof(s), at * PARTITION_SECTOR, e) < 0)
			return err_wrap(e, "logical partition %u", number);
		if (!has_mark(s))
			return err_plain(e, EBADMSG, "logical partition %u has no table", number);
		if (own[4] &&
		    add(p, disk, number++, at + get_le32(own + 8), get_le32(own + 12), e) < 0)
			return -e->code;
		if (!is_extended(next[4]))
			return 0;
		if (get_le32(next + 8) >= count)
			return err_plain(e, EBADMSG, "logical partition %u lies outside", number);
		at = first + get_le32(next + 8);
	}
	return err_plain(e, EBADMSG, "the chain of logical partitions has no end");
}

static int mbr_read(const struct disk_view *disk, const uint8_t *mbr, struct partitions *p,
		    struct err *e)
{
	const uint8_t *extended = NULL;

	p->table = PARTITION_TABLE_MBR;
	for (unsigned i = 0; i < 4; i++) {
		const uint8_t *row = mbr + ENTRY_AT + (size_t)ENTRY_LEN * i;

		if (is_extended(row[4]))
			extended = extended ? extended : row;
		else if (row[4] &&
			 add(p, disk, i + 1, get_le32(row + 8), get_le32(row + 12), e) < 0)
			return -e->code;
	}
	if (!extended)
		return 0;
	return logical_read(disk, p, get_le32(extended + 8), get_le32(extended + 12), e);
}

/* ---- GPT ---- */

struct gpt {
	uint64_t table_lba;
	uint32_t count, entry_len, table_crc;
};

static int gpt_head(const struct disk_view *disk, uint64_t lba, struct gpt *ret, struct err *e)
{
	uint8_t s[PARTITION_SECTOR];
	uint32_t len, crc;

	if (disk_view_read(disk, s, sizeof(s), lba * PARTITION_SECTOR, e) < 0)
		return -e->code;
	len = get_le32(s + 12);
	crc = get_le32(s + 16);
	if (memcmp(s, "EFI PART", 8) != 0 || len < GPT_HEAD || len > sizeof(s))
		return err_plain(e, EBADMSG, "no GPT where one should be");
	put_le32(s + 16, 0);
	if (crc32(0, s, len) != crc || get_le64(s + 24) != lba)
		return err_plain(e, EBADMSG, "the GPT does not match its checksum");
	*ret = (struct gpt){ get_le64(s + 72), get_le32(s + 80), get_le32(s + 84),
			     get_le32(s + 88) };
	if (ret->entry_len < GPT_ENTRY_MIN || ret->entry_len > GPT_ENTRY_MAX ||
	    ret->entry_len % 8 || ret->count == 0 || ret->count > GPT_BYTES_MAX / ret->entry_len)
		return err_plain(e, EBADMSG, "the GPT has %u entries of %u bytes", ret->count,
				 ret->entry_len);
	return ret->table_lba > disk->size / PARTITION_SECTOR
		       ? err_plain(e, EBADMSG, "the GPT's entries do not lie on the disk")
		       : 0;
}

static int gpt_entries(const struct disk_view *disk, const struct gpt *g, struct partitions *p,
		       struct err *e)
{
	static const uint8_t unused[16];
	const size_t len = (size_t)g->count * g->entry_len;
	auto_free uint8_t *table = malloc(len);

	if (!table)
		return err_set(e, ENOMEM, "partitions");
	if (disk_view_read(disk, table, len, g->table_lba * PARTITION_SECTOR, e) < 0)
		return -e->code;
	if (crc32(0, table, (uInt)len) != g->table_crc)
		return err_plain(e, EBADMSG, "the GPT's entries do not match their checksum");
	p->n = 0;
	for (uint32_t i = 0; i < g->count; i++) {
		const uint8_t *row = table + (size_t)i * g->entry_len;
		const uint64_t first = get_le64(row + 32), last = get_le64(row + 40);

		if (memcmp(row, unused, sizeof(unused)) == 0)
			continue;
		if (last < first)
			return err_plain(e, EBADMSG, "partition %u ends before it begins", i + 1);
		if (add(p, disk, i + 1, first, last - first + (last - first < UINT64_MAX), e) < 0)
			return -e->code;
	}
	return 0;
}

static int gpt_read(const struct disk_view *disk, struct partitions *p, struct err *e)
{
	const uint64_t lbas[] = { 1, disk->size / PARTITION_SECTOR - 1 };
	struct err first = { 0 };
	struct gpt g = { 0 };

	p->table = PARTITION_TABLE_GPT;
	for (size_t i = 0; i < ARRAY_SIZE(lbas); i++) {
		struct err *mine = i == 0 ? &first : e;

		if (gpt_head(disk, lbas[i], &g, mine) == 0 && gpt_entries(disk, &g, p, mine) == 0)
			return 0;
	}
	*e = first; /* of the two, what people can look at */
	return -e->code;
}

int partitions_read(const struct disk_view *disk, struct partitions *ret, struct err *e)
{
	uint8_t mbr[PARTITION_SECTOR];

	*ret = (struct partitions){ PARTITION_TABLE_NONE };
	if (disk->size < 2UL * PARTITION_SECTOR)
		return 0;
	if (disk_view_read(disk, mbr, sizeof(mbr), 0, e) < 0)
		return -e->code;
	if (!is_table(mbr))
		return 0;
	for (unsigned i = 0; i < 4; i++)
		if (mbr[ENTRY_AT + ENTRY_LEN * i + 4] == TYPE_GPT)
			return gpt_read(disk, ret, e);
	return mbr_read(disk, mbr, ret, e);
}
