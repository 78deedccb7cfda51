/* SPDX-License-Identifier: MIT */
/*
 * iov.c - going through a vector of buffers in pieces; whole reads and writes of one
 */
#include "iov.h"

#include <assert.h>
#include <string.h>

size_t iov_size(const struct iovec *iov, int n)
{
	size_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

int iov_cut(const struct iovec *from, int n, size_t skip, size_t most, struct iovec *to)
{
	int n_to = 0;

	for (int i = 0; i < n && most > 0; i++) {
		size_t cut = MIN_OF(skip, from[i].iov_len),
		       len = MIN_OF(from[i].iov_len - cut, most);

		skip -= cut;
		most -= len;
		if (len > 0)
			to[n_to++] = (struct iovec){ (char *)from[i].iov_base + cut, len };
	}
	return n_to;
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
	size_t size = iov_size(iov, n), done = 0;

	assert(n <= IOV_BUFFERS_MAX);
	while (done < size) {
		struct iovec left[IOV_BUFFERS_MAX];
		int m = iov_cut(iov, n, done, size, left);
		ssize_t rc = dir == IOV_READ ? preadv(fd, left, m, (off_t)(off + done))
					     : pwritev(fd, left, m, (off_t)(off + done));

		if (rc < 0 && errno == EINTR)
			continue;
		if (rc < 0)
			return -errno;
		if (rc == 0)
			break;
		done += (size_t)rc;
	}
	return (ssize_t)done;
}
