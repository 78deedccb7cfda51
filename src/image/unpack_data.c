/* SPDX-License-Identifier: MIT */
/*
 * unpack_data.c - writing a layer's data file
 *
 * A buffer holds what comes next in the file; a jump forward within it is filled with zeros, a
 * larger one writes it out and starts anew at the block of the new place. Blocks that were never
 * written read as zeros, which is all the padding there is.
 */
#include "unpack_data.h"

#include <stdbool.h>
#include <string.h>

#include "bytes.h"
#include "fdio.h"
#include "ltree.h"
#include "unpack.h"

_Static_assert(UNPACK_DATA_BUF % UNPACK_ZERO_RUN == 0, "whole pieces");

int unpack_data_open(struct unpack_data *d, int fd, struct err *e)
{
	*d = (struct unpack_data){ .fd = fd, .buf = malloc(UNPACK_DATA_BUF) };
	if (!d->buf)
		return err_set(e, ENOMEM, "layer data");
	if (ftruncate(fd, 0) < 0)
		return err_set(e, errno, "layer data");
	return 0;
}

void unpack_data_close(struct unpack_data *d)
{
	free(d->buf);
	d->buf = NULL;
}

int unpack_data_alloc(struct unpack_data *d, uint64_t len, uint64_t *ret_off, struct err *e)
{
	uint64_t off = align_up(d->end, len >= LTREE_ALIGN ? LTREE_ALIGN : LTREE_BLOCK);

	if (len > UNPACK_DATA_MAX || off > UNPACK_DATA_MAX - align_up(len, LTREE_BLOCK))
		return err_plain(e, EFBIG, "layer with more than %llu GiB of data",
				 UNPACK_DATA_MAX >> 30);
	*ret_off = off;
	d->end = off + align_up(len, LTREE_BLOCK);
	return 0;
}

static bool is_zero(const uint8_t *p, size_t n)
{
	return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

/* Runs between pieces of zeros. */
static int flush(struct unpack_data *d, struct err *e)
{
	size_t from = 0, at = 0;

	while (at <= d->len) {
		size_t n = MIN_OF(d->len - at, (size_t)UNPACK_ZERO_RUN);
		bool is_hole = n == UNPACK_ZERO_RUN && is_zero(d->buf + at, n);
		int r = 0;

		if ((is_hole || n == 0) && at > from)
			r = fd_pwrite_full(d->fd, d->buf + from, at - from, (off_t)(d->off + from));
		if (r < 0)
			return err_set(e, -r, "write layer data");
		if (n == 0)
			break;
		at += n;
		if (is_hole)
			from = at;
	}
	d->off += d->len;
	d->len = 0;
	return 0;
}

static int seek(struct unpack_data *d, uint64_t off, struct err *e)
{
	uint64_t at = d->off + d->len, start = off & ~(uint64_t)(LTREE_BLOCK - 1);

	if (off == at)
		return 0;
	if (off - at <= UNPACK_DATA_BUF - d->len) {
		memset(d->buf + d->len, 0, off - at);
		d->len += off - at;
		return 0;
	}
	if (flush(d, e) < 0)
		return -e->code;
	/* a block begun by the last one is not written twice: all it has left is zeros */
	d->off = MAX_OF(d->off, start);
	d->len = off - d->off;
	memset(d->buf, 0, d->len);
	return 0;
}

int unpack_data_put(struct unpack_data *d, uint64_t off, const void *p, size_t len, struct err *e)
{
	const uint8_t *from = p;

	if (off < d->off + d->len || !range_fits(off, len, d->end))
		return err_plain(e, EINVAL, "layer data out of order");
	if (seek(d, off, e) < 0)
		return -e->code;
	while (len > 0) {
		size_t n = MIN_OF(len, UNPACK_DATA_BUF - d->len);

		memcpy(d->buf + d->len, from, n);
		d->len += n;
		from += n;
		len -= n;
		if (d->len == UNPACK_DATA_BUF && flush(d, e) < 0)
			return -e->code;
	}
	return 0;
}

int unpack_data_finish(struct unpack_data *d, struct err *e)
{
	if (flush(d, e) < 0)
		return -e->code;
	if (ftruncate(d->fd, (off_t)d->end) < 0)
		return err_set(e, errno, "layer data");
	return 0;
}
