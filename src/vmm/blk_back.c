/* SPDX-License-Identifier: MIT */
/*
 * blk_back.c - what a virtual disk keeps its bytes in: ranges, one file, nothing
 * #syscalls:disk fallocate fdatasync preadv pwritev
 */
#include "blk_back.h"

#include <fcntl.h>

#include "bytes.h"

#define ZERO_PIECE 4096U
#define ZERO_IOV   64

struct blk_raw {
	struct blk_back back; /* first */
	int fd;
};

static const uint8_t zeros[ZERO_PIECE];

static int change_check(const struct blk_back *b, uint64_t off, uint64_t len)
{
	if (b->is_readonly)
		return -EROFS;
	return range_fits(off, len, b->size) ? 0 : -EINVAL;
}

int blk_read(struct blk_back *b, const struct iovec *iov, int n, uint64_t off)
{
	if (!range_fits(off, iov_size(iov, n), b->size))
		return -EINVAL;
	return b->ops->preadv(b, iov, n, off);
}

int blk_write(struct blk_back *b, const struct iovec *iov, int n, uint64_t off)
{
	int rc = change_check(b, off, iov_size(iov, n));

	return rc < 0 ? rc : b->ops->pwritev(b, iov, n, off);
}

int blk_flush(struct blk_back *b)
{
	return b->is_readonly ? 0 : b->ops->flush(b);
}

int blk_zero(struct blk_back *b, uint64_t off, uint64_t len, bool may_unmap)
{
	int rc = change_check(b, off, len);

	return rc < 0 || len == 0 ? rc : b->ops->zero(b, off, len, may_unmap);
}

int blk_discard(struct blk_back *b, uint64_t off, uint64_t len)
{
	int rc = change_check(b, off, len);

	return rc < 0 || len == 0 ? rc : b->ops->discard(b, off, len);
}

bool blk_in_file(const struct blk_back *b, uint64_t off, uint64_t len, int *ret_fd,
		 uint64_t *ret_file_off)
{
	uint64_t file_off, have;
	int fd;

	if (!b->ops->raw_extent || len == 0 || !range_fits(off, len, b->size))
		return false;
	if (b->ops->raw_extent(b, off, &fd, &file_off, &have) < 0 || have < len)
		return false;
	*ret_fd = fd;
	*ret_file_off = file_off;
	return true;
}

void blk_back_free(struct blk_back *b)
{
	if (b)
		b->ops->free(b);
}

/* ---- one file ------------------------------------------------------------------------------ */

static int raw_fd(const struct blk_back *b)
{
	return ((const struct blk_raw *)b)->fd;
}

static int raw_io(struct blk_back *b, enum iov_direction dir, const struct iovec *iov, int n,
		  uint64_t off)
{
	ssize_t done = iov_file(raw_fd(b), dir, iov, n, off);

	if (done < 0)
		return (int)done;
	return (size_t)done == iov_size(iov, n) ? 0 : -EIO;
}

static int raw_preadv(struct blk_back *b, const struct iovec *iov, int n, uint64_t off)
{
	return raw_io(b, IOV_READ, iov, n, off);
}

static int raw_pwritev(struct blk_back *b, const struct iovec *iov, int n, uint64_t off)
{
	return raw_io(b, IOV_WRITE, iov, n, off);
}

static int raw_flush(struct blk_back *b)
{
	return fdatasync(raw_fd(b)) < 0 ? -errno : 0;
}

static int raw_allocate(struct blk_back *b, int mode, uint64_t off, uint64_t len)
{
	int rc;

	do {
		rc = fallocate(raw_fd(b), mode | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len);
	} while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : 0;
}

static int raw_write_zeros(struct blk_back *b, uint64_t off, uint64_t len)
{
	struct iovec iov[ZERO_IOV];

	while (len > 0) {
		uint64_t done = 0;
		int n, rc;

		for (n = 0; n < ZERO_IOV && done < len; n++) {
			iov[n] = (struct iovec){ (void *)(uintptr_t)zeros,
						 MIN_OF(len - done, ZERO_PIECE) };
			done += iov[n].iov_len;
		}
		rc = raw_pwritev(b, iov, n, off);
		if (rc < 0)
			return rc;
		off += done;
		len -= done;
	}
	return 0;
}

static int raw_zero(struct blk_back *b, uint64_t off, uint64_t len, bool may_unmap)
{
	int mode = may_unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;
	int rc = raw_allocate(b, mode, off, len);

	/* Some file systems know one of the two, or none; block devices want whole blocks. */
	if (rc == -EOPNOTSUPP || rc == -EINVAL || rc == -ENOSYS)
		return raw_write_zeros(b, off, len);
	return rc;
}

static int raw_discard(struct blk_back *b, uint64_t off, uint64_t len)
{
	int rc = raw_allocate(b, FALLOC_FL_PUNCH_HOLE, off, len);

	return rc == -EOPNOTSUPP || rc == -EINVAL || rc == -ENOSYS ? 0 : rc; /* only a hint */
}

static int raw_extent(const struct blk_back *b, uint64_t off, int *ret_fd, uint64_t *ret_file_off,
		      uint64_t *ret_len)
{
	*ret_fd = raw_fd(b);
	*ret_file_off = off;
	*ret_len = b->size - off;
	return 0;
}

static void raw_free(struct blk_back *b)
{
	struct blk_raw *raw = (struct blk_raw *)b;

	fd_drop(&raw->fd);
	free(raw);
}

int blk_back_raw(int fd, uint64_t size, bool is_readonly, struct blk_back **ret, struct err *e)
{
	static const struct blk_back_ops ops = { raw_preadv,  raw_pwritev, raw_flush, raw_zero,
						 raw_discard, raw_extent,  raw_free };
	struct blk_raw *raw;

	if (fd < 0 || size == 0 || size % BLK_SECTOR != 0 || size > INT64_MAX)
		return err_plain(e, EINVAL, "a disk of %llu bytes", (unsigned long long)size);
	raw = calloc(1, sizeof(*raw));
	if (!raw)
		return err_set(e, ENOMEM, "disk");
	raw->back = (struct blk_back){ &ops, size, is_readonly };
	raw->fd = fd;
	*ret = &raw->back;
	return 0;
}

/* ---- nothing ------------------------------------------------------------------------------- */

/* A drive whose disk will be given to it later may be one that is written to: not yet. */
static int empty_pwritev(struct blk_back *b, const struct iovec *iov, int n, uint64_t off)
{
	(void)b, (void)iov, (void)n, (void)off;
	return -EIO;
}

static int empty_zero(struct blk_back *b, uint64_t off, uint64_t len, bool may_unmap)
{
	(void)b, (void)off, (void)len, (void)may_unmap;
	return -EIO;
}

static int empty_discard(struct blk_back *b, uint64_t off, uint64_t len)
{
	(void)b, (void)off, (void)len;
	return -EIO;
}

static int empty_flush(struct blk_back *b)
{
	(void)b;
	return 0;
}

static int empty_preadv(struct blk_back *b, const struct iovec *iov, int n, uint64_t off)
{
	(void)b;
	(void)off;
	iov_zero(iov, n, 0);
	return 0;
}

static int empty_extent(const struct blk_back *b, uint64_t off, int *ret_fd, uint64_t *ret_file_off,
			uint64_t *ret_len)
{
	(void)b;
	(void)off;
	(void)ret_fd;
	(void)ret_file_off;
	(void)ret_len;
	return -ENOENT;
}

static void empty_free(struct blk_back *b)
{
	free(b);
}

int blk_back_empty(bool is_readonly, struct blk_back **ret, struct err *e)
{
	static const struct blk_back_ops ops = { .preadv = empty_preadv,
						 .pwritev = empty_pwritev,
						 .flush = empty_flush,
						 .zero = empty_zero,
						 .discard = empty_discard,
						 .raw_extent = empty_extent,
						 .free = empty_free };
	struct blk_back *b = calloc(1, sizeof(*b));

	if (!b)
		return err_set(e, ENOMEM, "disk");
	*b = (struct blk_back){ &ops, BLK_SECTOR, is_readonly, true };
	*ret = b;
	return 0;
}
