/* SPDX-License-Identifier: MIT */
/*
 * blk_back.c - what a virtual disk keeps its bytes in: the checks, and one file
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

int blk_run(struct blk_back *b, const struct blk_io *io)
{
	const bool has_data = io->op == BLK_OP_READ || io->op == BLK_OP_WRITE;

	if (io->op == BLK_OP_FLUSH)
		return b->is_readonly ? 0 : b->ops->run(b, io);
	if (b->is_readonly && io->op != BLK_OP_READ)
		return -EROFS;
	if (!range_fits(io->off, io->len, b->size) ||
	    (has_data && iov_size(io->iov, io->n_iov) != io->len))
		return -EINVAL;
	return io->len > 0 ? b->ops->run(b, io) : 0;
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

static int raw_io(int fd, enum iov_direction dir, const struct blk_io *io)
{
	ssize_t done = iov_file(fd, dir, io->iov, io->n_iov, io->off);

	if (done < 0)
		return (int)done;
	return (uint64_t)done == io->len ? 0 : -EIO;
}

static int zeros_write(int fd, uint64_t off, uint64_t len)
{
	struct iovec iov[ZERO_IOV];

	while (len > 0) {
		struct blk_io io = { .iov = iov, .off = off };
		int rc;

		for (; io.n_iov < ZERO_IOV && io.len < len; io.n_iov++) {
			iov[io.n_iov] = (struct iovec){ (void *)(uintptr_t)zeros,
							MIN_OF(len - io.len, ZERO_PIECE) };
			io.len += iov[io.n_iov].iov_len;
		}
		rc = raw_io(fd, IOV_WRITE, &io);
		if (rc < 0)
			return rc;
		off += io.len;
		len -= io.len;
	}
	return 0;
}

/* Some file systems know one of the two, or none; block devices want whole blocks. A discard is
 * only a hint. */
static int raw_clear(int fd, const struct blk_io *io)
{
	const bool keeps_space = io->op == BLK_OP_ZERO && !io->may_unmap;
	const int mode = keeps_space ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE;
	int rc;

	do {
		rc = fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)io->off, (off_t)io->len);
	} while (rc < 0 && errno == EINTR);
	if (rc == 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != EINVAL && errno != ENOSYS)
		return -errno;
	return io->op == BLK_OP_ZERO ? zeros_write(fd, io->off, io->len) : 0;
}

static int raw_run(struct blk_back *b, const struct blk_io *io)
{
	switch (io->op) {
	case BLK_OP_READ:
		return raw_io(raw_fd(b), IOV_READ, io);
	case BLK_OP_WRITE:
		return raw_io(raw_fd(b), IOV_WRITE, io);
	case BLK_OP_FLUSH:
		return fdatasync(raw_fd(b)) < 0 ? -errno : 0;
	case BLK_OP_ZERO:
	case BLK_OP_DISCARD:
		return raw_clear(raw_fd(b), io);
	}
	return -EINVAL;
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
	static const struct blk_back_ops ops = { raw_run, raw_extent, raw_free };
	struct blk_raw *raw;

	if (fd < 0 || size == 0 || size % BLK_SECTOR != 0 || size > INT64_MAX)
		return err_plain(e, EINVAL, "a disk of %llu bytes", (unsigned long long)size);
	raw = calloc(1, sizeof(*raw));
	if (!raw)
		return err_set(e, ENOMEM, "disk");
	raw->back = (struct blk_back){ &ops, size, is_readonly, false };
	raw->fd = fd;
	*ret = &raw->back;
	return 0;
}
