/* SPDX-License-Identifier: MIT */
/* test_partition.c - tables of partitions, right ones and wrong ones */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <zlib.h>

#include "fs_fixture.h"
#include "partition.h"

#define SECTORS 4096U
#define S       512U

static uint8_t disk[SECTORS * S];

static void entry(uint32_t sector, unsigned int i, uint8_t type, uint32_t first, uint32_t count)
{
	uint8_t *p = disk + (size_t)sector * S + 446 + 16 * i;

	p[4] = type;
	put_le32(p + 8, first);
	put_le32(p + 12, count);
	disk[sector * S + 510] = 0x55;
	disk[sector * S + 511] = 0xaa;
}

static int read_it(struct partitions *p, struct err *e)
{
	struct memory_disk m = { disk, sizeof(disk) };
	struct disk_view v = memory_view(&m);

	return partitions_read(&v, p, e);
}

static void reset(void)
{
	memset(disk, 0, sizeof(disk));
}

static void check(const char *what, uint32_t n, const uint32_t (*want)[3])
{
	struct partitions p;
	struct err e = { 0 };

	if (read_it(&p, &e) < 0)
		fail_msg("%s: %s", what, e.msg);
	assert_int_equal(p.n, n);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(p.v[i].number, want[i][0]);
		assert_int_equal(p.v[i].off, (uint64_t)want[i][1] * S);
		assert_int_equal(p.v[i].len, (uint64_t)want[i][2] * S);
	}
}

static void refused(const char *text)
{
	struct partitions p;
	struct err e = { 0 };

	if (read_it(&p, &e) == 0)
		fail_msg("not refused: %s", text);
	if (!strstr(e.msg, text))
		fail_msg("\"%s\" does not say \"%s\"", e.msg, text);
	assert_int_equal(e.code, EBADMSG);
}

static void mbr(void **state)
{
	(void)state;
	reset();
	check("no table", 0, NULL);
	entry(0, 0, 0x83, 64, 100);
	entry(0, 2, 0x83, 200, 10);
	check("primary", 2, (const uint32_t[][3]){ { 1, 64, 100 }, { 3, 200, 10 } });
	entry(0, 3, 0x05, 1000, 2000);
	entry(1000, 0, 0x83, 8, 100);
	entry(1000, 1, 0x05, 500, 300);
	entry(1500, 0, 0x83, 8, 50);
	check("logical", 4,
	      (const uint32_t[][3]){
		      { 1, 64, 100 }, { 3, 200, 10 }, { 5, 1008, 100 }, { 6, 1508, 50 } });
	disk[446] = 0x12; /* code, not the mark of the active partition */
	check("a boot sector of a file system", 0, NULL);
}

static void mbr_bad(void **state)
{
	(void)state;
	reset();
	entry(0, 0, 0x83, 64, SECTORS);
	refused("partition 1 does not lie on the disk");
	entry(0, 0, 0x83, 0, 10);
	refused("does not lie");
	entry(0, 0, 0x83, 64, 0);
	refused("does not lie");
	entry(0, 0, 0x83, UINT32_MAX, UINT32_MAX);
	refused("does not lie");
	reset();
	entry(0, 0, 0x05, 1000, 2000);
	refused("has no table");
	entry(1000, 0, 0x83, 8, 100);
	entry(1000, 1, 0x05, 0, 100);
	refused("has no end"); /* a sector that names itself */
	entry(1000, 1, 0x05, 2000, 100);
	refused("lies outside");
	entry(0, 0, 0x05, SECTORS + 5, 10);
	refused("behind the end");
}

/* ---- GPT ---- */

static void gpt_seal(uint64_t lba, uint64_t table_lba)
{
	uint8_t *h = disk + lba * S;

	memcpy(h, "EFI PART", 8);
	put_le32(h + 8, 0x10000);
	put_le32(h + 12, 92);
	put_le64(h + 24, lba);
	put_le64(h + 72, table_lba);
	put_le32(h + 80, 128);
	put_le32(h + 84, 128);
	put_le32(h + 88, (uint32_t)crc32(0, disk + table_lba * S, 128 * 128));
	put_le32(h + 16, 0);
	put_le32(h + 16, (uint32_t)crc32(0, h, 92));
}

static void gpt_entry(uint64_t table_lba, unsigned int i, uint64_t first, uint64_t last)
{
	uint8_t *row = disk + table_lba * S + 128UL * i;

	memset(row, 0xaf, 32);
	put_le64(row + 32, first);
	put_le64(row + 40, last);
}

static void gpt_make(void)
{
	reset();
	entry(0, 0, 0xee, 1, SECTORS - 1);
	for (unsigned int i = 0; i < 2; i++) {
		const uint64_t table = i ? SECTORS - 33 : 2;

		gpt_entry(table, 0, 100, 199);
		gpt_entry(table, 4, 300, 300);
		gpt_seal(i ? SECTORS - 1 : 1, table);
	}
}

static void gpt(void **state)
{
	static const uint32_t want[][3] = { { 1, 100, 100 }, { 5, 300, 1 } };

	(void)state;
	gpt_make();
	check("both", 2, want);
	disk[S + 60] ^= 1;
	check("the copy serves", 2, want);
	gpt_make();
	disk[2 * S + 5] ^= 1;
	check("entries of the copy", 2, want);
}

static void gpt_bad(void **state)
{
	(void)state;
	gpt_make();
	disk[S + 60] ^= 1;
	disk[(SECTORS - 1) * S + 60] ^= 1;
	refused("checksum");
	reset();
	entry(0, 0, 0xee, 1, SECTORS - 1);
	refused("no GPT");
	for (unsigned int k = 0; k < 4; k++) {
		gpt_make();
		memset(disk + (SECTORS - 1) * S, 0, S);
		if (k == 0)
			gpt_entry(2, 0, 200, 100);
		if (k == 1)
			gpt_entry(2, 0, 100, SECTORS);
		if (k == 2)
			gpt_entry(2, 0, 100, UINT64_MAX);
		if (k == 3)
			gpt_entry(2, 0, 0, UINT64_MAX);
		gpt_seal(1, 2);
		refused(k == 0 ? "ends before it begins" : "does not lie on the disk");
	}
	gpt_make();
	memset(disk + (SECTORS - 1) * S, 0, S);
	put_le32(disk + S + 80, UINT32_MAX);
	put_le32(disk + S + 16, 0);
	put_le32(disk + S + 16, (uint32_t)crc32(0, disk + S, 92));
	refused("entries of");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(mbr), cmocka_unit_test(mbr_bad),
					    cmocka_unit_test(gpt), cmocka_unit_test(gpt_bad) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
