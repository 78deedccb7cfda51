/* SPDX-License-Identifier: MIT */
/*
 * partition.h - the partitions of a disk: MBR with logical ones, and GPT [UEFI 2.10, 5]
 *
 * Sectors of 512 bytes, which VHDs have. Partitions are in order of their numbers, which are
 * Linux's.
 */
#ifndef PARTITION_H
#define PARTITION_H

#include "disk_view.h"

#define PARTITIONS_MAX     128U
#define PARTITION_SECTOR   512U
#define PARTITION_NAME_MAX 32U

enum partition_table { PARTITION_TABLE_NONE, PARTITION_TABLE_MBR, PARTITION_TABLE_GPT };

struct partition {
	uint32_t number; /* from 1 */
	uint64_t off, len;
};

struct partitions {
	enum partition_table table;
	struct partition v[PARTITIONS_MAX];
	uint32_t n;
};

/*
 * A disk without a table is 0 with PARTITION_TABLE_NONE. -EBADMSG with the reason when there is one
 * that makes no sense: partitions outside the disk, loops, bad checksums in both copies.
 */
must_check int partitions_read(const struct disk_view *disk, struct partitions *ret, struct err *e);

#endif
