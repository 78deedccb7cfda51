/* SPDX-License-Identifier: MIT */
/*
 * fuzz_vmm_pages.c - the list of pages behind a state: what is taken is in bounds, and encoded
 * again gives the same bytes. The input's first 4 bytes are the memory's size in pages.
 */
#include "fuzz_input.h"

#include "bytes.h"
#include "vmm_pages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vmm_pages pages;
	auto_buf again = { 0 };
	struct err e = { 0 };
	uint64_t mem_pages, end = 0, sum = 0;

	if (size < 4)
		return 0;
	mem_pages = get_le32(data);
	if (vmm_pages_parse(data + 4, size - 4, mem_pages, &pages, &e) < 0) {
		MUST(*e.msg);
		return 0;
	}
	MUST(pages.n <= VMM_RANGES_MAX && pages.n_pages <= VMM_PAGES_MAX);
	for (uint32_t i = 0; i < pages.n; i++) {
		MUST(pages.v[i].n && (i == 0 || pages.v[i].first > end));
		end = (uint64_t)pages.v[i].first + pages.v[i].n;
		sum += pages.v[i].n;
		MUST(end <= mem_pages);
	}
	MUST(sum == pages.n_pages);
	MUST(vmm_pages_put(&again, &pages) == 0);
	MUST(again.len == size - 4 && memcmp(again.data, data + 4, size - 4) == 0);
	return 0;
}
