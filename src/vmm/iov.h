/* SPDX-License-Identifier: MIT */
/*
 * iov.h - going through a vector of buffers in pieces; whole reads and writes of one
 */
#ifndef IOV_H
#define IOV_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "cleanup.h"

#define IOV_BUFFERS_MAX 128 /* buffers of a request */

size_t iov_size(const struct iovec *iov, int n);

/* Of the bytes in `from` those from `skip` on, at most `most`: as buffers in `to`, none of them
 * empty. It has room for `n`, and may be `from`. Returns their number. */
int iov_cut(const struct iovec *from, int n, size_t skip, size_t most, struct iovec *to);

/* Zeros, from `skip` bytes into the vector on. */
void iov_zero(const struct iovec *iov, int n, size_t skip);

enum iov_direction { IOV_READ, IOV_WRITE };

/* preadv() or pwritev() until all is done or the file ends: how many bytes that was, or -errno. */
must_check ssize_t iov_file(int fd, enum iov_direction dir, const struct iovec *iov, int n,
			    uint64_t off);

#endif
