/* SPDX-License-Identifier: MIT */
/*
 * fuzz_erofs_read.c - a hostile EROFS, all of its files
 *
 * The last byte says whether it is walked as an overlay's upper directory.
 */
#include "fuzz_disk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_disk d = { data, len };
	struct disk_view v = fuzz_disk_view(&d);

	if (len == 0 || fs_kind_find(&v) != FS_EROFS)
		return 0;
	fuzz_disk_walk(&v, data[len - 1] & 1 ? TREE_UPPER : TREE_WHOLE);
	return 0;
}
