/* SPDX-License-Identifier: MIT */
/* fuzz_packet.c - what a guest writes to its network: what is taken off is one whole packet */
#include "fuzz_input.h"

#include "keeper_packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	auto_free uint8_t *raw = copy_of(data, len);
	size_t n = packet_announcement(raw, len);

	MUST(n <= len && (n == 0 || n == 4 + ((size_t)raw[2] << 8 | raw[3])));
	return 0;
}
