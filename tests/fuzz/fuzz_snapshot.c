/* SPDX-License-Identifier: MIT */
/* fuzz_snapshot.c - the frame of a saved machine; by the first byte, length and checksum are made
 * right */
#include "fuzz_input.h"

#include <zlib.h>

#include "bytes.h"
#include "snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	auto_free uint8_t *copy = len ? copy_of(data + 1, len - 1) : NULL;
	const size_t n = len ? len - 1 : 0;
	struct state_in in;
	struct err e = { 0 };

	if (!copy)
		return 0;
	if (data[0] & 1 && n >= 28) {
		put_le64(copy + 16, n - 28);
		put_le32(copy + n - 4, (uint32_t)crc32(0, copy, (uInt)(n - 4)));
	}
	if (snapshot_open(copy, n, &in, &e) < 0) {
		MUST(e.code == EBADMSG && e.msg[0]);
		return 0;
	}
	MUST(in.p == copy + 24 && in.left == n - 28 && !in.has_failed);
	while (!in.has_failed)
		(void)state_get_u64(&in);
	return 0;
}
