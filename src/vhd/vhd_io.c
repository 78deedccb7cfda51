/* SPDX-License-Identifier: MIT */
/*
 * vhd_io.c - what the library does with any io
 */
#include "vhd_internal.h"

void vhd_io_close(struct vhd_io *io)
{
	if (io)
		io->ops->close(io);
}

int vhd_pread(struct vhd_io *io, void *buf, size_t len, uint64_t off)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };

	return len ? io->ops->preadv(io, &iov, 1, off) : 0;
}

int vhd_pwrite(struct vhd_io *io, const void *buf, size_t len, uint64_t off)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };

	return len ? io->ops->pwritev(io, &iov, 1, off) : 0;
}

int vhd_write_zeros(struct vhd_io *io, uint64_t off, uint64_t len)
{
	static const uint8_t zeros[65536];
	int rc;

	if (len == 0)
		return 0;
	rc = io->ops->punch(io, off, len);
	if (rc != -EOPNOTSUPP)
		return rc;
	while (len > 0) {
		size_t n = (size_t)MIN_OF(len, sizeof(zeros));

		rc = vhd_pwrite(io, zeros, n, off);
		if (rc < 0)
			return rc;
		off += n;
		len -= n;
	}
	return 0;
}
