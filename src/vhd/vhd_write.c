/* SPDX-License-Identifier: MIT */
/*
 * vhd_write.c - writing, zeroing, discarding
 *
 * A request is done block by block. Into a block that is FULL, or whose bits for the range are all
 * set, data goes straight to its place: no lock is held, nothing else changes. Otherwise data is
 * written first and the bits are set afterwards, in memory; vhd_flush() writes them when the data
 * is durable (in a differencing image a bit before its data would lose the parent's).
 *
 * A sector that is not here is written whole: what the request does not cover of it is read from
 * below first.
 *
 * -EAGAIN inside means that tables of what waits for a flush are full: the flush is made without
 * any lock held, and the piece is done again.
 */
#include "vhd_internal.h"

static int data_write(struct vhd *v, const void *buf, size_t len, uint64_t off, struct vhd_err *e)
{
	VHD_NEED(vhd_pwrite(v->io, buf, len, off), e, "%s: write at offset %llu", v->io->name,
		 (unsigned long long)off);
	return 0;
}

static uint64_t data_off(const struct vhd *v, uint32_t sector, uint64_t in_block)
{
	return (uint64_t)sector * VHD_SECTOR + v->bitmap_size + in_block;
}

static void bits_set(struct vhd *v, uint32_t idx, uint8_t *bits, size_t first, size_t end)
{
	if (vhd_bits_all(bits, first, end))
		return;
	vhd_bits_set(bits, first, end);
	vhd_bitmap_set_dirty(v, idx);
	if (vhd_bits_all(bits, 0, vhd_block_size(v) / VHD_SECTOR))
		v->state[idx] |= VHD_BLOCK_FULL;
}

/* Set the bits of whole sectors of a block whose data is there. */
static int bits_write(struct vhd *v, uint32_t idx, size_t first, size_t end, struct vhd_err *e)
{
	uint8_t *bits;
	int rc = 0;

	pthread_mutex_lock(&v->map_lock);
	/* a block that a discard of another thread took away has no bits any more */
	if (v->bat[idx] != VHD_BAT_NONE && !(v->state[idx] & VHD_BLOCK_FULL)) {
		rc = vhd_bitmap_get(v, idx, &bits, e);
		if (rc == 0)
			bits_set(v, idx, bits, first, end);
	}
	pthread_mutex_unlock(&v->map_lock);
	return rc;
}

/* Is all of [in_block, +len) of a block here, as far as can be told without a lock? */
static bool is_surely_here(struct vhd *v, uint32_t idx, uint64_t in_block, uint64_t len,
			   uint32_t *ret_sector)
{
	size_t first = (size_t)(in_block / VHD_SECTOR), run;
	size_t end = (size_t)((in_block + len + VHD_SECTOR - 1) / VHD_SECTOR);
	bool is_full = v->state[idx] & VHD_BLOCK_FULL, is_set;

	*ret_sector = v->bat[idx];
	if (*ret_sector == VHD_BAT_NONE || is_full)
		return *ret_sector != VHD_BAT_NONE;
	return vhd_bitmap_look(v, idx, first, end, &run, &is_set) && is_set && run == end - first &&
	       v->bat[idx] == *ret_sector;
}

/* The block's place, made if need be; is all of [in_block, +len) here already? */
static int block_get(struct vhd *v, uint32_t idx, uint64_t in_block, uint64_t len,
		     uint32_t *ret_sector, bool *ret_is_here, struct vhd_err *e)
{
	uint8_t *bits;
	int rc = 0;

	*ret_is_here = is_surely_here(v, idx, in_block, len, ret_sector);
	if (*ret_is_here)
		return 0;
	pthread_mutex_lock(&v->map_lock);
	if (v->bat[idx] == VHD_BAT_NONE)
		rc = vhd_block_add(v, idx, e);
	*ret_is_here = v->state[idx] & VHD_BLOCK_FULL;
	if (rc == 0 && !*ret_is_here) {
		rc = vhd_bitmap_get(v, idx, &bits, e);
		if (rc == 0)
			*ret_is_here = vhd_bits_all(
				bits, (size_t)(in_block / VHD_SECTOR),
				(size_t)((in_block + len + VHD_SECTOR - 1) / VHD_SECTOR));
	}
	*ret_sector = v->bat[idx];
	pthread_mutex_unlock(&v->map_lock);
	return rc;
}

/* What a sector that is not here reads. */
static int below_read(struct vhd *v, uint8_t sector[VHD_SECTOR], uint64_t off, struct vhd_err *e)
{
	if (v->parent && off < v->parent->size)
		return vhd_map_read(v->parent, sector, VHD_SECTOR, off, e);
	memset(sector, 0, VHD_SECTOR);
	return 0;
}

/*
 * Bytes within one sector, under map_lock: who reads the bit as 0 must have written the sector and
 * set the bit before another may write into it directly.
 */
static int edge_write_locked(struct vhd *v, const void *buf, size_t len, uint64_t off,
			     uint32_t block, struct vhd_err *e)
{
	uint64_t in_block = off & (vhd_block_size(v) - 1), skip = off % VHD_SECTOR;
	uint32_t idx = (uint32_t)(off >> v->block_shift);
	size_t bit = (size_t)(in_block / VHD_SECTOR);
	uint8_t sector[VHD_SECTOR], *bits;

	if (v->bat[idx] != block) /* discarded meanwhile by another thread: that came last */
		return 0;
	if (v->state[idx] & VHD_BLOCK_FULL)
		return data_write(v, buf, len, data_off(v, block, in_block), e);
	if (vhd_bitmap_get(v, idx, &bits, e) < 0)
		return -e->code;
	if (vhd_bits_all(bits, bit, bit + 1))
		return data_write(v, buf, len, data_off(v, block, in_block), e);
	if (below_read(v, sector, off - skip, e) < 0)
		return -e->code;
	memcpy(sector + skip, buf, len);
	if (data_write(v, sector, sizeof(sector), data_off(v, block, in_block - skip), e) < 0)
		return -e->code;
	bits_set(v, idx, bits, bit, bit + 1);
	return 0;
}

static int edge_write(struct vhd *v, const void *buf, size_t len, uint64_t off, uint32_t block,
		      struct vhd_err *e)
{
	int rc;

	pthread_mutex_lock(&v->map_lock);
	rc = edge_write_locked(v, buf, len, off, block, e);
	pthread_mutex_unlock(&v->map_lock);
	return rc;
}

/* A piece of a block of which something is not here: first edge, whole sectors, last edge. */
static int sparse_write(struct vhd *v, const uint8_t *buf, size_t len, uint64_t off,
			uint32_t sector, struct vhd_err *e)
{
	uint32_t idx = (uint32_t)(off >> v->block_shift);
	size_t head = (size_t)((VHD_SECTOR - off % VHD_SECTOR) % VHD_SECTOR), whole;
	uint64_t in_block;

	head = MIN_OF(head, len);
	if (head && edge_write(v, buf, head, off, sector, e) < 0)
		return -e->code;
	buf += head;
	off += head;
	len -= head;
	whole = len / VHD_SECTOR * VHD_SECTOR;
	in_block = off & (vhd_block_size(v) - 1);
	if (whole && (data_write(v, buf, whole, data_off(v, sector, in_block), e) < 0 ||
		      bits_write(v, idx, (size_t)(in_block / VHD_SECTOR),
				 (size_t)((in_block + whole) / VHD_SECTOR), e) < 0))
		return -e->code;
	if (len > whole)
		return edge_write(v, buf + whole, len - whole, off + whole, sector, e);
	return 0;
}

/* A piece within one block; io_lock held shared. */
static int piece_write(struct vhd *v, const void *buf, size_t len, uint64_t off, struct vhd_err *e)
{
	uint64_t in_block = off & (vhd_block_size(v) - 1);
	uint32_t sector;
	bool is_here;

	if (block_get(v, (uint32_t)(off >> v->block_shift), in_block, len, &sector, &is_here, e) <
	    0)
		return -e->code;
	if (is_here)
		return data_write(v, buf, len, data_off(v, sector, in_block), e);
	return sparse_write(v, buf, len, off, sector, e);
}

/* Zeros in a piece of a block; io_lock held shared. */
static int piece_zero(struct vhd *v, const void *buf, size_t len, uint64_t off, struct vhd_err *e)
{
	static const uint8_t zeros[VHD_SECTOR];
	uint32_t idx = (uint32_t)(off >> v->block_shift), sector;
	uint64_t in_block = off & (vhd_block_size(v) - 1);
	size_t head = MIN_OF((size_t)((VHD_SECTOR - off % VHD_SECTOR) % VHD_SECTOR), len);
	size_t whole = (len - head) / VHD_SECTOR * VHD_SECTOR, tail = len - head - whole;
	bool is_here;

	(void)buf; /* the signature of piece_write() */
	if (v->bat[idx] == VHD_BAT_NONE && vhd_map_is_absent(v->parent, off, len))
		return 0;
	if (head && piece_write(v, zeros, head, off, e) < 0)
		return -e->code;
	if (tail && piece_write(v, zeros, tail, off + head + whole, e) < 0)
		return -e->code;
	in_block += head;
	if (whole == 0)
		return 0;
	if (block_get(v, idx, in_block, whole, &sector, &is_here, e) < 0)
		return -e->code;
	VHD_NEED(vhd_write_zeros(v->io, data_off(v, sector, in_block), whole), e,
		 "%s: zero at offset %llu", v->io->name,
		 (unsigned long long)data_off(v, sector, in_block));
	return is_here ? 0
		       : bits_write(v, idx, (size_t)(in_block / VHD_SECTOR),
				    (size_t)((in_block + whole) / VHD_SECTOR), e);
}

/* Could the whole block go? Its place is in the table on disk, and nothing shows through. */
static int block_discard(struct vhd *v, uint32_t idx, bool *ret_is_done, struct vhd_err *e)
{
	uint64_t start = (uint64_t)idx << v->block_shift;
	int rc = 0;

	pthread_mutex_lock(&v->map_lock);
	*ret_is_done = v->bat[idx] != VHD_BAT_NONE && !(v->state[idx] & VHD_BLOCK_PENDING) &&
		       !v->has_batmap && vhd_map_is_absent(v->parent, start, vhd_block_size(v));
	if (*ret_is_done)
		rc = vhd_block_drop(v, idx, e);
	pthread_mutex_unlock(&v->map_lock);
	return rc;
}

/* Bits stay as they are: what is here reads as zeros, what is not as before. */
static int piece_discard(struct vhd *v, const void *buf, size_t len, uint64_t off,
			 struct vhd_err *e)
{
	uint32_t idx = (uint32_t)(off >> v->block_shift), sector = v->bat[idx];
	uint64_t in_block = off & (vhd_block_size(v) - 1);
	bool is_done;
	int rc;

	(void)buf;
	if (sector == VHD_BAT_NONE)
		return 0;
	if (in_block == 0 && (len == vhd_block_size(v) || off + len == v->size)) {
		rc = block_discard(v, idx, &is_done, e);
		if (rc < 0 || is_done)
			return rc;
	}
	rc = v->io->ops->punch(v->io, data_off(v, sector, in_block), len);
	if (rc < 0 && rc != -EOPNOTSUPP)
		return vhd_err_sys(e, -rc, "%s: discard at offset %llu", v->io->name,
				   (unsigned long long)data_off(v, sector, in_block));
	return 0;
}

typedef int piece_call(struct vhd *v, const void *buf, size_t len, uint64_t off, struct vhd_err *e);

/* One call per block, each under io_lock, and again after a flush where that is needed. */
static int pieces(struct vhd *v, piece_call *call, const uint8_t *buf, uint64_t len, uint64_t off,
		  struct vhd_err *e)
{
	while (len > 0) {
		uint64_t to_end = vhd_block_size(v) - (off & (vhd_block_size(v) - 1));
		size_t n = (size_t)MIN_OF(len, to_end);
		int rc;

		pthread_rwlock_rdlock(&v->io_lock);
		rc = call(v, buf, n, off, e);
		pthread_rwlock_unlock(&v->io_lock);
		if (rc == -EAGAIN) {
			if (vhd_flush(v, e) < 0)
				return -e->code;
			continue;
		}
		if (rc < 0)
			return rc;
		buf = buf ? buf + n : NULL;
		off += n;
		len -= n;
	}
	return 0;
}

static int may_write(const struct vhd *v, uint64_t len, uint64_t off, struct vhd_err *e)
{
	if (!(v->flags & VHD_OPEN_WRITE))
		return vhd_err_set(e, EROFS, "%s: opened read-only", v->io->name);
	if (v->failed)
		return vhd_err_set(e, v->failed, "%s: an earlier flush failed", v->io->name);
	if (!range_fits(off, len, v->size))
		return vhd_err_set(e, ENOSPC,
				   "%s: %llu bytes at %llu are not all in a disk of %llu",
				   v->io->name, (unsigned long long)len, (unsigned long long)off,
				   (unsigned long long)v->size);
	return 0;
}

int vhd_write(struct vhd *v, const void *buf, size_t len, uint64_t off, struct vhd_err *e)
{
	if (may_write(v, len, off, e) < 0)
		return -e->code;
	if (!vhd_has_blocks(v))
		return data_write(v, buf, len, off, e);
	return pieces(v, piece_write, buf, len, off, e);
}

int vhd_writev(struct vhd *v, const struct iovec *iov, int n, uint64_t off, struct vhd_err *e)
{
	for (int i = 0; i < n; off += iov[i++].iov_len)
		if (vhd_write(v, iov[i].iov_base, iov[i].iov_len, off, e) < 0)
			return -e->code;
	return 0;
}

int vhd_zero(struct vhd *v, uint64_t len, uint64_t off, struct vhd_err *e)
{
	if (may_write(v, len, off, e) < 0)
		return -e->code;
	if (vhd_has_blocks(v))
		return pieces(v, piece_zero, NULL, len, off, e);
	VHD_NEED(vhd_write_zeros(v->io, off, len), e, "%s: zero at offset %llu", v->io->name,
		 (unsigned long long)off);
	return 0;
}

int vhd_discard(struct vhd *v, uint64_t len, uint64_t off, struct vhd_err *e)
{
	int rc;

	if (may_write(v, len, off, e) < 0)
		return -e->code;
	if (vhd_has_blocks(v))
		return pieces(v, piece_discard, NULL, len, off, e);
	rc = len ? v->io->ops->punch(v->io, off, len) : 0;
	if (rc < 0 && rc != -EOPNOTSUPP)
		return vhd_err_sys(e, -rc, "%s: discard at offset %llu", v->io->name,
				   (unsigned long long)off);
	return 0;
}
