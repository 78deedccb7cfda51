/* SPDX-License-Identifier: MIT */
/* fuzz_partition.c - hostile tables of partitions; by the last byte, checksums are made right */
#include "fuzz_disk.h"

#include <zlib.h>

#include "partition.h"

static void sums_set(uint8_t *d, size_t len)
{
	uint64_t table;
	uint32_t n;

	if (len < 2048)
		return;
	table = get_le64(d + 512 + 72) * 512;
	n = get_le32(d + 512 + 80) * get_le32(d + 512 + 84);
	if (range_fits(table, n, len))
		put_le32(d + 512 + 88, (uint32_t)crc32(0, d + table, n));
	put_le32(d + 512 + 16, 0);
	if (get_le32(d + 512 + 12) <= 512)
		put_le32(d + 512 + 16, (uint32_t)crc32(0, d + 512, get_le32(d + 512 + 12)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	auto_free uint8_t *copy = copy_of(data, len);
	struct fuzz_disk d = { copy, len };
	struct disk_view v = fuzz_disk_view(&d);
	struct partitions p;
	struct err e = { 0 };

	if (len && copy[len - 1] & 1)
		sums_set(copy, len);
	if (partitions_read(&v, &p, &e) < 0) {
		MUST(e.code > 0 && e.msg[0]);
		return 0;
	}
	MUST(p.n <= PARTITIONS_MAX);
	for (uint32_t i = 0; i < p.n; i++)
		MUST(p.v[i].len > 0 && range_fits(p.v[i].off, p.v[i].len, FUZZ_DISK_SIZE));
	return 0;
}
