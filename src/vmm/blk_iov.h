/* SPDX-License-Identifier: MIT */
/*
 * blk_iov.h - going through a vector of buffers in pieces; whole reads and writes of one
 */
#ifndef BLK_IOV_H
#define BLK_IOV_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "cleanup.h"

#define BLK_IOV_MAX 128 /* buffers of a request */

/* Where in a vector one is. Begin with { iov, n, 0 }. */
struct iov_cursor {
	const struct iovec *iov;
	int n;
	size_t skip; /* bytes of iov[0] that are behind */
};

size_t iov_size(const struct iovec *iov, int n);

/* The next `len` bytes (or what is left, if less) as buffers in `out`, which has room for as many
 * as are left of the vector; moves on. Returns their number. */
int iov_take(struct iov_cursor *c, size_t len, struct iovec *out);

/* Zeros, from `skip` bytes into the vector on. */
void iov_zero(const struct iovec *iov, int n, size_t skip);

enum iov_direction { IOV_READ, IOV_WRITE };

/* preadv() or pwritev() until all is done or the file ends: how many bytes that was, or -errno. */
must_check ssize_t iov_file(int fd, enum iov_direction dir, const struct iovec *iov, int n,
			    uint64_t off);

#endif
