/* SPDX-License-Identifier: MIT */
/*
 * vmm_pages.c - [U] the list of pages behind a template's state
 *
 * Hostile: the bytes, as far as a template was damaged or comes from elsewhere.
 * Invariants: I1 ranges ascend with a page between them, are not empty and lie in the memory.  I2
 * there are at most VMM_RANGES_MAX, with VMM_PAGES_MAX pages.
 */
#include "vmm_pages.h"

#include <string.h>

#include "bytes.h"

#define MAGIC     "CSNPAGES"
#define VERSION   1U
#define HEAD_LEN  16U
#define RANGE_LEN 8U

bool vmm_pages_add(struct vmm_pages *p, uint32_t page)
{
	struct vmm_range *last = p->n ? &p->v[p->n - 1] : NULL;

	if (p->n_pages == VMM_PAGES_MAX)
		return false;
	if (last && last->first + last->n == page)
		last->n++;
	else if (p->n == VMM_RANGES_MAX)
		return false;
	else
		p->v[p->n++] = (struct vmm_range){ page, 1 };
	p->n_pages++;
	return true;
}

int vmm_pages_put(struct buf *out, const struct vmm_pages *p)
{
	uint8_t raw[HEAD_LEN + RANGE_LEN * VMM_RANGES_MAX] = MAGIC;

	put_le32(raw + 8, VERSION);
	put_le32(raw + 12, p->n);
	for (uint32_t i = 0; i < p->n; i++) {
		put_le32(raw + HEAD_LEN + i * RANGE_LEN, p->v[i].first);
		put_le32(raw + HEAD_LEN + i * RANGE_LEN + 4, p->v[i].n);
	}
	return buf_add(out, raw, HEAD_LEN + (size_t)RANGE_LEN * p->n);
}

/* The next one; false when it cannot follow what is there. */
static bool range_take(struct vmm_pages *p, uint64_t mem_pages, const uint8_t *raw)
{
	const struct vmm_range r = { get_le32(raw), get_le32(raw + 4) };
	const struct vmm_range *last = p->n ? &p->v[p->n - 1] : NULL;

	if (!r.n || r.n > VMM_PAGES_MAX - p->n_pages || !range_fits(r.first, r.n, mem_pages) ||
	    (last && r.first <= (uint64_t)last->first + last->n))
		return false;
	p->v[p->n++] = r;
	p->n_pages += r.n;
	return true;
}

int vmm_pages_parse(const void *data, size_t len, uint64_t mem_pages, struct vmm_pages *ret,
		    struct err *e)
{
	const uint8_t *p = data;
	uint32_t n;

	if (len < HEAD_LEN || memcmp(p, MAGIC, 8) != 0 || get_le32(p + 8) != VERSION)
		return err_plain(e, EBADMSG, "what follows the saved machine is no list of pages");
	n = get_le32(p + 12);
	if (n > VMM_RANGES_MAX || len - HEAD_LEN != (size_t)RANGE_LEN * n)
		return err_plain(e, EBADMSG,
				 "the saved machine's list of pages: %u ranges in %zu bytes", n,
				 len);
	ret->n = ret->n_pages = 0;
	for (uint32_t i = 0; i < n; i++)
		if (!range_take(ret, mem_pages, p + HEAD_LEN + (size_t)i * RANGE_LEN))
			return err_plain(e, EBADMSG, "the saved machine's list of pages: range %u",
					 i);
	return 0;
}
