/* SPDX-License-Identifier: MIT */
/*
 * vhd_io_memory.c - a store of bytes in memory, sparse
 *
 * Pages of 64 KiB hang in nodes of 512, nodes in one array that grows with the highest byte
 * written: 2 TiB with a few bytes at its end cost half a MiB. A page that is not there reads as
 * zeros.
 *
 * Invariants (under `lock`): I1 no page holds a byte other than zero at or past `size`.  I2 n_pages
 * is the number of pages, at most `max_pages`.
 * Threads: any; reads share the lock. A write finds all its pages before it changes a byte.
 */
#include <pthread.h>

#include "vhd_shim.h"

#define PAGE_BITS 16U
#define PAGE      (1ULL << PAGE_BITS)
#define NODE_BITS 9U
#define NODE      (1U << NODE_BITS)
#define SIZE_TOP  (1ULL << 43) /* the array of nodes takes 2 MiB at most */

struct node {
	uint8_t *pages[NODE];
};

struct memory {
	struct vhd_io io;
	pthread_rwlock_t lock;
	uint64_t size, n_pages, max_pages;
	struct node **nodes;
	size_t n_nodes;
};

/* Where the page of `off` hangs; NULL: its node is not there, so it is not either. */
static uint8_t **page_slot(const struct memory *m, uint64_t off)
{
	uint64_t page = off >> PAGE_BITS, idx = page >> NODE_BITS;

	if (idx >= m->n_nodes || !m->nodes[idx])
		return NULL;
	return &m->nodes[idx]->pages[page & (NODE - 1)];
}

static const uint8_t *page_find(const struct memory *m, uint64_t off)
{
	uint8_t **slot = page_slot(m, off);

	return slot ? *slot : NULL;
}

static int node_add(struct memory *m, uint64_t off)
{
	size_t idx = off >> (PAGE_BITS + NODE_BITS);

	if (idx >= m->n_nodes) {
		struct node **p = reallocarray(m->nodes, idx + 1, sizeof(*p));

		if (!p)
			return -ENOMEM;
		memset(p + m->n_nodes, 0, (idx + 1 - m->n_nodes) * sizeof(*p));
		m->nodes = p;
		m->n_nodes = idx + 1;
	}
	if (!m->nodes[idx])
		m->nodes[idx] = calloc(1, sizeof(struct node));
	return m->nodes[idx] ? 0 : -ENOMEM;
}

static int page_add(struct memory *m, uint64_t off)
{
	uint8_t **slot = page_slot(m, off);

	if (slot && *slot)
		return 0;
	if (!slot && node_add(m, off) < 0)
		return -ENOMEM;
	slot = page_slot(m, off);
	*slot = calloc(1, PAGE);
	if (!*slot)
		return -ENOMEM;
	m->n_pages++;
	return 0;
}

static void page_drop(struct memory *m, uint64_t off)
{
	uint8_t **slot = page_slot(m, off);

	if (slot && *slot) {
		free(*slot);
		*slot = NULL;
		m->n_pages--;
	}
}

/* How much of [off, off + len) lies in the page of `off`. */
static size_t page_part(uint64_t off, uint64_t len)
{
	return (size_t)MIN_OF(len, PAGE - (off & (PAGE - 1)));
}

/* Zeros, without pages where whole ones are meant. Skips what has no node. */
static void range_clear(struct memory *m, uint64_t off, uint64_t len)
{
	uint64_t end = off + len, top = (uint64_t)m->n_nodes << (PAGE_BITS + NODE_BITS);

	end = MIN_OF(end, top);
	while (off < end) {
		uint8_t **slot = page_slot(m, off);
		size_t n = page_part(off, end - off);

		if (!slot) {
			off = (off | ((PAGE << NODE_BITS) - 1)) + 1;
			continue;
		}
		if (n == PAGE)
			page_drop(m, off);
		else if (*slot)
			memset(*slot + (off & (PAGE - 1)), 0, n);
		off += n;
	}
}

static uint64_t iov_total(const struct iovec *iov, int n)
{
	uint64_t len = 0;

	for (int i = 0; i < n; i++)
		len += iov[i].iov_len;
	return len;
}

static int memory_preadv(struct vhd_io *io, struct iovec *iov, int n, uint64_t off)
{
	struct memory *m = (struct memory *)io;
	int rc = 0;

	pthread_rwlock_rdlock(&m->lock);
	if (!range_fits(off, iov_total(iov, n), m->size))
		rc = -ENODATA;
	for (int i = 0; i < n && rc == 0; i++) {
		uint8_t *to = iov[i].iov_base;

		for (size_t left = iov[i].iov_len; left > 0;) {
			const uint8_t *page = page_find(m, off);
			size_t part = page_part(off, left);

			if (page)
				memcpy(to, page + (off & (PAGE - 1)), part);
			else
				memset(to, 0, part);
			to += part;
			off += part;
			left -= part;
		}
	}
	pthread_rwlock_unlock(&m->lock);
	return rc;
}

/* All or none, but for want of memory. */
static int pages_add(struct memory *m, uint64_t off, uint64_t len)
{
	uint64_t missing = 0;
	int rc = 0;

	if (!range_fits(off, len, SIZE_TOP))
		return -EFBIG;
	for (uint64_t at = off; at < off + len; at += page_part(at, off + len - at))
		missing += !page_find(m, at);
	if (missing > m->max_pages - m->n_pages)
		return -ENOSPC;
	for (uint64_t at = off; at < off + len && rc == 0; at += page_part(at, off + len - at))
		rc = page_add(m, at);
	return rc;
}

static int memory_pwritev(struct vhd_io *io, struct iovec *iov, int n, uint64_t off)
{
	struct memory *m = (struct memory *)io;
	uint64_t len = iov_total(iov, n), end = off + len;
	int rc;

	if (io->is_read_only)
		return -EBADF;
	pthread_rwlock_wrlock(&m->lock);
	rc = pages_add(m, off, len);
	for (int i = 0; i < n && rc == 0; i++) {
		const uint8_t *from = iov[i].iov_base;

		for (size_t left = iov[i].iov_len; left > 0;) {
			size_t part = page_part(off, left);

			memcpy(*page_slot(m, off) + (off & (PAGE - 1)), from, part);
			from += part;
			off += part;
			left -= part;
		}
	}
	if (rc == 0 && len > 0)
		m->size = MAX_OF(m->size, end);
	pthread_rwlock_unlock(&m->lock);
	return rc;
}

static int memory_flush(struct vhd_io *io)
{
	(void)io;
	return 0;
}

static int memory_get_size(struct vhd_io *io, uint64_t *ret_size)
{
	struct memory *m = (struct memory *)io;

	pthread_rwlock_rdlock(&m->lock);
	*ret_size = m->size;
	pthread_rwlock_unlock(&m->lock);
	return 0;
}

static int memory_set_size(struct vhd_io *io, uint64_t size)
{
	struct memory *m = (struct memory *)io;

	if (io->is_read_only)
		return -EBADF;
	if (size > SIZE_TOP)
		return -EFBIG;
	pthread_rwlock_wrlock(&m->lock);
	if (size < m->size) /* up to a page's end, so that the last one goes as a whole */
		range_clear(m, size, align_up(m->size, PAGE) - size);
	m->size = size;
	pthread_rwlock_unlock(&m->lock);
	return 0;
}

static int memory_punch(struct vhd_io *io, uint64_t off, uint64_t len)
{
	struct memory *m = (struct memory *)io;
	int rc = -EINVAL;

	if (io->is_read_only)
		return -EBADF;
	pthread_rwlock_wrlock(&m->lock);
	if (range_fits(off, len, m->size)) {
		range_clear(m, off, len);
		rc = 0;
	}
	pthread_rwlock_unlock(&m->lock);
	return rc;
}

/* As far as pages of one kind go, a whole node at a time where there is none. */
static int memory_extent(struct vhd_io *io, uint64_t off, uint64_t *ret_len, bool *ret_is_data)
{
	struct memory *m = (struct memory *)io;
	uint64_t at = off;
	bool is_data;
	int rc = 0;

	pthread_rwlock_rdlock(&m->lock);
	is_data = page_find(m, off) != NULL;
	while (at < m->size && (page_find(m, at) != NULL) == is_data)
		at = page_slot(m, at) ? (at | (PAGE - 1)) + 1
				      : (at | ((PAGE << NODE_BITS) - 1)) + 1;
	if (off >= m->size) {
		rc = -ENODATA;
	} else {
		*ret_len = MIN_OF(at, m->size) - off;
		*ret_is_data = is_data;
	}
	pthread_rwlock_unlock(&m->lock);
	return rc;
}

static void memory_close(struct vhd_io *io)
{
	struct memory *m = (struct memory *)io;

	for (size_t i = 0; i < m->n_nodes; i++) {
		for (size_t k = 0; m->nodes[i] && k < NODE; k++)
			free(m->nodes[i]->pages[k]);
		free(m->nodes[i]);
	}
	free(m->nodes);
	pthread_rwlock_destroy(&m->lock);
	free((void *)(uintptr_t)io->name); /* ours; const for those who read it */
	free(m);
}

static const struct vhd_io_ops memory_ops = {
	.preadv = memory_preadv,
	.pwritev = memory_pwritev,
	.flush = memory_flush,
	.get_size = memory_get_size,
	.set_size = memory_set_size,
	.punch = memory_punch,
	.extent = memory_extent,
	.close = memory_close,
};

int vhd_io_memory(const char *name, uint64_t max, struct vhd_io **ret_io, struct vhd_err *e)
{
	auto_free char *copy = strdup(name);
	auto_free struct memory *m = calloc(1, sizeof(*m));

	if (!copy || !m || pthread_rwlock_init(&m->lock, NULL) != 0)
		return vhd_err_sys(e, ENOMEM, "%s", name);
	m->max_pages = (MIN_OF(max, SIZE_TOP) + PAGE - 1) >> PAGE_BITS;
	m->io.ops = &memory_ops;
	m->io.name = TAKE_PTR(copy);
	*ret_io = &TAKE_PTR(m)->io;
	return 0;
}

static int pages_copy(struct memory *to, const struct memory *from)
{
	for (uint64_t at = 0; at < from->size;) {
		const uint8_t *page = page_find(from, at);
		int rc;

		if (!page_slot(from, at)) {
			at = (at | ((PAGE << NODE_BITS) - 1)) + 1;
			continue;
		}
		if (page) {
			rc = page_add(to, at);
			if (rc < 0)
				return rc;
			memcpy(*page_slot(to, at), page, PAGE);
		}
		at += PAGE;
	}
	to->size = from->size;
	return 0;
}

int vhd_io_memory_copy(struct vhd_io *from, struct vhd_io **ret_io, struct vhd_err *e)
{
	struct memory *m = (struct memory *)from;
	struct vhd_io *io;
	int rc;

	if (from->ops != &memory_ops)
		return vhd_err_set(e, EINVAL, "%s: not in memory", from->name);
	rc = vhd_io_memory(from->name, m->max_pages << PAGE_BITS, &io, e);
	if (rc < 0)
		return rc;
	pthread_rwlock_rdlock(&m->lock);
	rc = pages_copy((struct memory *)io, m);
	pthread_rwlock_unlock(&m->lock);
	if (rc < 0) {
		memory_close(io);
		return vhd_err_sys(e, -rc, "%s: copy", from->name);
	}
	*ret_io = io;
	return 0;
}
