/* SPDX-License-Identifier: MIT */
/*
 * blk_back_concat.c - a disk of parts of files, with zeros between them
 *
 * Invariants: I1 parts ascend, are not empty, do not overlap and end within the disk.
 */
#include "blk_back.h"

#include "bytes.h"

struct blk_concat {
	struct blk_back back; /* first */
	size_t n;
	struct vmm_part parts[];
};

/* The first part that ends behind `off`, or the number of parts. */
static size_t part_after(const struct blk_concat *c, uint64_t off)
{
	size_t low = 0, high = c->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (c->parts[mid].disk_off + c->parts[mid].len > off)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

/* What is at `off` < size: a part and how much of it is left, or NULL and the zeros up to the next
 * part. */
static const struct vmm_part *place_at(const struct blk_concat *c, uint64_t off, uint64_t *ret_len)
{
	size_t i = part_after(c, off);
	const struct vmm_part *p = i < c->n ? &c->parts[i] : NULL;

	if (p && p->disk_off <= off) {
		*ret_len = p->disk_off + p->len - off;
		return p;
	}
	*ret_len = (p ? p->disk_off : c->back.size) - off;
	return NULL;
}

static int part_read(const struct vmm_part *p, const struct iovec *iov, int n, uint64_t off)
{
	ssize_t done = iov_file(p->fd, IOV_READ, iov, n, p->file_off + (off - p->disk_off));

	if (done < 0)
		return (int)done;
	iov_zero(iov, n, (size_t)done); /* past the file's end */
	return 0;
}

/* The parts are read-only; but a drive without any may not be. */
static int concat_run(struct blk_back *b, const struct blk_io *io)
{
	const struct blk_concat *c = (const struct blk_concat *)b;
	int rc = 0;

	if (io->op != BLK_OP_READ)
		return io->op == BLK_OP_FLUSH ? 0 : -EIO;
	for (uint64_t done = 0, len; done < io->len && rc == 0; done += len) {
		struct iovec piece[IOV_BUFFERS_MAX];
		const struct vmm_part *p = place_at(c, io->off + done, &len);
		int n;

		len = MIN_OF(len, io->len - done);
		n = iov_cut(io->iov, io->n_iov, done, len, piece);
		if (p)
			rc = part_read(p, piece, n, io->off + done);
		else
			iov_zero(piece, n, 0);
	}
	return rc;
}

static int concat_extent(const struct blk_back *b, uint64_t off, int *ret_fd,
			 uint64_t *ret_file_off, uint64_t *ret_len)
{
	uint64_t len;
	const struct vmm_part *p = place_at((const struct blk_concat *)b, off, &len);

	if (!p)
		return -ENOENT;
	*ret_fd = p->fd;
	*ret_file_off = p->file_off + (off - p->disk_off);
	*ret_len = len;
	return 0;
}

void blk_parts_close(const struct vmm_part *parts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t first = 0;

		while (parts[first].fd != parts[i].fd)
			first++;
		if (first == i)
			close(parts[i].fd);
	}
}

static void concat_free(struct blk_back *b)
{
	struct blk_concat *c = (struct blk_concat *)b;

	blk_parts_close(c->parts, c->n);
	free(c);
}

static int parts_check(const struct vmm_part *parts, size_t n, uint64_t size, struct err *e)
{
	uint64_t end = 0;

	if (size == 0 || size % BLK_SECTOR != 0 || size > INT64_MAX || n > VMM_PARTS_MAX)
		return err_plain(e, EINVAL, "a disk of %zu parts, %llu bytes", n,
				 (unsigned long long)size);
	for (size_t i = 0; i < n; i++) {
		const struct vmm_part *p = &parts[i];

		if (p->fd < 0 || p->len == 0 || p->disk_off < end ||
		    !range_fits(p->disk_off, p->len, size) ||
		    !range_fits(p->file_off, p->len, INT64_MAX))
			return err_plain(e, EINVAL, "part %zu of the disk is out of place", i);
		end = p->disk_off + p->len;
	}
	return 0;
}

int blk_back_concat(const struct vmm_part *parts, size_t n, uint64_t size, struct blk_back **ret,
		    struct err *e)
{
	static const struct blk_back_ops ops = { concat_run, concat_extent, concat_free };
	struct blk_concat *c;

	if (parts_check(parts, n, size, e) < 0)
		return -e->code;
	c = calloc(1, sizeof(*c) + n * sizeof(c->parts[0]));
	if (!c)
		return err_set(e, ENOMEM, "disk");
	c->back = (struct blk_back){ &ops, size, true, false };
	c->n = n;
	if (n > 0)
		memcpy(c->parts, parts, n * sizeof(c->parts[0]));
	*ret = &c->back;
	return 0;
}

int blk_back_empty(bool is_readonly, struct blk_back **ret, struct err *e)
{
	if (blk_back_concat(NULL, 0, BLK_SECTOR, ret, e) < 0)
		return -e->code;
	(*ret)->is_readonly = is_readonly;
	(*ret)->is_instant = true;
	return 0;
}
