/* SPDX-License-Identifier: MIT */
/*
 * blk_iov.c - going through a vector of buffers in pieces; whole reads and writes of one
 */
#include "blk_iov.h"

#include <assert.h>
#include <string.h>

size_t iov_size(const struct iovec *iov, int n)
{
	size_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

int iov_take(struct iov_cursor *c, size_t len, struct iovec *out)
{
	int n = 0;

	while (len > 0 && c->n > 0) {
		size_t have = c->iov->iov_len - c->skip, part = MIN_OF(have, len);

		if (part > 0)
			out[n++] = (struct iovec){ (char *)c->iov->iov_base + c->skip, part };
		len -= part;
		c->skip += part;
		if (part == have) {
			c->iov++;
			c->n--;
			c->skip = 0;
		}
	}
	return n;
}

void iov_zero(const struct iovec *iov, int n, size_t skip)
{
	for (int i = 0; i < n; i++) {
		size_t part = MIN_OF(skip, iov[i].iov_len);

		skip -= part;
		if (iov[i].iov_len > part)
			memset((char *)iov[i].iov_base + part, 0, iov[i].iov_len - part);
	}
}

ssize_t iov_file(int fd, enum iov_direction dir, const struct iovec *iov, int n, uint64_t off)
{
	struct iov_cursor c = { iov, n, 0 };
	size_t size = iov_size(iov, n), done = 0;

	assert(n <= BLK_IOV_MAX);
	while (done < size) {
		struct iovec left[BLK_IOV_MAX];
		struct iov_cursor look = c;
		int m = iov_take(&look, size - done, left);
		ssize_t rc = dir == IOV_READ ? preadv(fd, left, m, (off_t)(off + done))
					     : pwritev(fd, left, m, (off_t)(off + done));

		if (rc < 0 && errno == EINTR)
			continue;
		if (rc < 0)
			return -errno;
		if (rc == 0)
			break;
		done += (size_t)rc;
		(void)iov_take(&c, (size_t)rc, left); /* `left` is not needed any more */
	}
	return (ssize_t)done;
}
