/* SPDX-License-Identifier: MIT */
/* blk_calls.h - what a disk is asked to do, as calls */
#ifndef BLK_CALLS_H
#define BLK_CALLS_H

#include "blk_back.h"

static inline int blk_read(struct blk_back *b, const struct iovec *iov, int n, uint64_t off)
{
	return blk_run(b, &(struct blk_io){ BLK_OP_READ, false, iov, n, off, iov_size(iov, n) });
}

static inline int blk_write(struct blk_back *b, const struct iovec *iov, int n, uint64_t off)
{
	return blk_run(b, &(struct blk_io){ BLK_OP_WRITE, false, iov, n, off, iov_size(iov, n) });
}

static inline int blk_flush(struct blk_back *b)
{
	return blk_run(b, &(struct blk_io){ .op = BLK_OP_FLUSH });
}

static inline int blk_zero(struct blk_back *b, uint64_t off, uint64_t len, bool may_unmap)
{
	return blk_run(b, &(struct blk_io){ BLK_OP_ZERO, may_unmap, NULL, 0, off, len });
}

static inline int blk_discard(struct blk_back *b, uint64_t off, uint64_t len)
{
	return blk_run(b, &(struct blk_io){ BLK_OP_DISCARD, false, NULL, 0, off, len });
}

#endif
