/* SPDX-License-Identifier: MIT */
/*
 * vmm_pages.h - which pages a clone of a template writes before its app runs
 *
 * Found once, by a clone that is made for it; stands behind the state in the template's file. Each
 * later clone has the pages at once, instead of fault by fault. A hint: a wrong one costs memory.
 * Format: doc/format/snapshot.md.
 */
#ifndef VMM_PAGES_H
#define VMM_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

#define VMM_PAGES_MAX  4096U /* 16 MiB */
#define VMM_RANGES_MAX 2048U

struct vmm_range { /* pages of 4 KiB, counted in the memory's file */
	uint32_t first, n;
};

struct vmm_pages {
	uint32_t n, n_pages; /* ranges, and pages of all of them; zero it to begin */
	struct vmm_range v[VMM_RANGES_MAX];
};

/* A page behind those that are there. False: no more are taken. */
bool vmm_pages_add(struct vmm_pages *p, uint32_t page);

/* -ENOMEM, -EFBIG. */
must_check int vmm_pages_put(struct buf *out, const struct vmm_pages *p);
/* All of `data`. -EBADMSG: ranges that do not ascend, touch, or lie outside of `mem_pages`; too
 * many of them. */
must_check int vmm_pages_parse(const void *data, size_t len, uint64_t mem_pages,
			       struct vmm_pages *ret, struct err *e);

#endif
