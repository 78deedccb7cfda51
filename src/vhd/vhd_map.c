/* SPDX-License-Identifier: MIT */
/*
 * vhd_map.c - where the bytes of a disk are, and reading them
 *
 * A place is found from the topmost image down: table, state, bitmap if the block is not FULL, else
 * the parent; or from a map of all parents (vhd_levels.c). All are read without a lock; map_lock is
 * needed only for a bitmap that has to come from the file. Of a block that appears its state is
 * there before its table entry; one that is dropped loses its entry first, so that who asked for
 * its bitmap looks at the entry again.
 *
 * io_lock keeps the places of dropped blocks until reads have ended: an image that is only read
 * drops none and takes none.
 */
#include "vhd_internal.h"

/* Is the sector of a block that is not FULL here? Cuts *io_len to what is alike. 1, 0, -code. */
static int map_bits(struct vhd *v, uint32_t idx, uint64_t in_block, uint64_t *io_len,
		    uint32_t *io_sector, struct vhd_err *e)
{
	size_t first = (size_t)(in_block / VHD_SECTOR), run = 0;
	size_t end = (size_t)((in_block + *io_len + VHD_SECTOR - 1) / VHD_SECTOR);
	bool is_set = false;
	uint8_t *bits;
	int rc = 0;

	if (!vhd_bitmap_look(v, idx, first, end, &run, &is_set) || v->bat[idx] != *io_sector) {
		pthread_mutex_lock(&v->map_lock);
		*io_sector = v->bat[idx];
		if (*io_sector != VHD_BAT_NONE)
			rc = vhd_bitmap_peek(v, idx, &bits, e);
		if (*io_sector != VHD_BAT_NONE && rc == 0)
			run = vhd_bits_run(bits, first, end, &is_set);
		pthread_mutex_unlock(&v->map_lock);
		if (*io_sector == VHD_BAT_NONE || rc < 0)
			return rc;
	}
	*io_len = MIN_OF(*io_len, (uint64_t)run * VHD_SECTOR - in_block % VHD_SECTOR);
	return is_set;
}

/* 1: here, at *ret_off; 0: not here; *io_len is how far that holds. */
static int map_block(struct vhd *v, uint64_t off, uint64_t *io_len, uint64_t *ret_off,
		     struct vhd_err *e)
{
	uint32_t idx = (uint32_t)(off >> v->block_shift);
	uint64_t in_block = off & (vhd_block_size(v) - 1);
	uint32_t sector = v->bat[idx];
	uint8_t state = v->state[idx];
	int rc = 1;

	*io_len = MIN_OF(*io_len, vhd_block_size(v) - in_block);
	if (sector == VHD_BAT_NONE)
		return 0;
	if (state & VHD_BLOCK_BAD)
		return vhd_err_set(e, EIO,
				   "%s: table entry %u at offset %llu: sector %u is outside",
				   v->io->name, idx,
				   (unsigned long long)v->header.table_offset + 4ULL * idx, sector);
	if (!(state & VHD_BLOCK_FULL))
		rc = map_bits(v, idx, in_block, io_len, &sector, e);
	*ret_off = (uint64_t)sector * VHD_SECTOR + v->bitmap_size + in_block;
	return rc;
}

/* Where `off` is in an image that is known to hold it, and how much of *io_len goes on there. */
static uint64_t off_in(const struct vhd *v, uint64_t off, uint64_t *io_len)
{
	uint64_t in_block;

	if (!vhd_has_blocks(v))
		return off;
	in_block = off & (vhd_block_size(v) - 1);
	*io_len = MIN_OF(*io_len, vhd_block_size(v) - in_block);
	return (uint64_t)v->bat[off >> v->block_shift] * VHD_SECTOR + v->bitmap_size + in_block;
}

/* The map of levels is not asked where it is `not_of` that has it. */
static int map_from(struct vhd *v, uint64_t off, uint64_t len, const struct vhd *not_of,
		    struct vhd_place *ret, struct vhd_err *e)
{
	unsigned int depth = 0, level;
	struct vhd *image = NULL;
	uint64_t at = 0;

	for (; v && off < v->size; v = v->parent, depth++) {
		int rc = 1;

		at = off;
		len = MIN_OF(len, v->size - off);
		if (v->levels && v != not_of && vhd_levels_find(v, off, &len, &level, &image)) {
			if (image)
				at = off_in(image, off, &len);
			depth += level;
			break;
		}
		if (vhd_has_blocks(v))
			rc = map_block(v, off, &len, &at, e);
		if (rc < 0)
			return rc;
		if (rc == 0)
			continue;
		image = v;
		break;
	}
	*ret = (struct vhd_place){ .image = image, .depth = depth, .off = at, .len = len };
	return 0;
}

int vhd_map(struct vhd *v, uint64_t off, uint64_t len, struct vhd_place *ret, struct vhd_err *e)
{
	return map_from(v, off, len, NULL, ret, e);
}

int vhd_map_walk(struct vhd *v, uint64_t off, uint64_t len, struct vhd_place *ret,
		 struct vhd_err *e)
{
	return map_from(v, off, len, v, ret, e);
}

bool vhd_map_is_absent(const struct vhd *v, uint64_t off, uint64_t len)
{
	for (; v && off < v->size; v = v->parent) {
		len = MIN_OF(len, v->size - off);
		if (!vhd_has_blocks(v) || len == 0)
			return len == 0;
		for (uint64_t i = off >> v->block_shift; i <= (off + len - 1) >> v->block_shift;
		     i++)
			if (v->bat[i] != VHD_BAT_NONE)
				return false;
	}
	return true;
}

int vhd_map_read(struct vhd *v, void *buf, size_t len, uint64_t off, struct vhd_err *e)
{
	uint8_t *to = buf;

	while (len > 0) {
		struct vhd_place place;
		int rc;

		if (vhd_map(v, off, len, &place, e) < 0)
			return -e->code;
		if (place.image) {
			rc = vhd_pread(place.image->io, to, (size_t)place.len, place.off);
			if (rc < 0)
				return vhd_err_sys(e, -rc, "%s: read at offset %llu",
						   place.image->io->name,
						   (unsigned long long)place.off);
		} else {
			memset(to, 0, (size_t)place.len);
		}
		to += place.len;
		off += place.len;
		len -= (size_t)place.len;
	}
	return 0;
}

static void io_begin(struct vhd *v)
{
	if (v->flags & VHD_OPEN_WRITE)
		pthread_rwlock_rdlock(&v->io_lock);
}

static void io_end(struct vhd *v)
{
	if (v->flags & VHD_OPEN_WRITE)
		pthread_rwlock_unlock(&v->io_lock);
}

static int range_check(const struct vhd *v, uint64_t len, uint64_t off, struct vhd_err *e)
{
	if (range_fits(off, len, v->size))
		return 0;
	return vhd_err_set(e, EINVAL, "%s: %llu bytes at %llu are not all in a disk of %llu",
			   v->io->name, (unsigned long long)len, (unsigned long long)off,
			   (unsigned long long)v->size);
}

int vhd_read(struct vhd *v, void *buf, size_t len, uint64_t off, struct vhd_err *e)
{
	int rc;

	if (range_check(v, len, off, e) < 0)
		return -e->code;
	io_begin(v);
	rc = vhd_map_read(v, buf, len, off, e);
	io_end(v);
	return rc;
}

int vhd_readv(struct vhd *v, const struct iovec *iov, int n, uint64_t off, struct vhd_err *e)
{
	for (int i = 0; i < n; off += iov[i++].iov_len)
		if (vhd_read(v, iov[i].iov_base, iov[i].iov_len, off, e) < 0)
			return -e->code;
	return 0;
}

/* Does `next` go on where `ret` ends, in the same piece? */
static bool extent_goes_on(const struct vhd_extent *ret, const struct vhd_place *next)
{
	if (!next->image)
		return ret->kind == VHD_EXTENT_ABSENT;
	return ret->kind == VHD_EXTENT_DATA && ret->depth == next->depth &&
	       ret->file_off + ret->len == next->off;
}

int vhd_extent_at(struct vhd *v, uint64_t off, uint64_t len, struct vhd_extent *ret_extent,
		  struct vhd_err *e)
{
	struct vhd_extent x = { .off = off };
	int rc = 0;

	if (len == 0 || range_check(v, len, off, e) < 0)
		return len ? -e->code : vhd_err_set(e, EINVAL, "%s: no bytes", v->io->name);
	io_begin(v);
	while (x.len < len) {
		struct vhd_place place;

		rc = vhd_map(v, off + x.len, len - x.len, &place, e);
		if (rc < 0 || (x.len && !extent_goes_on(&x, &place)))
			break;
		if (x.len == 0) {
			x.kind = place.image ? VHD_EXTENT_DATA : VHD_EXTENT_ABSENT;
			x.depth = place.depth;
			x.file_off = place.off;
		}
		x.len += place.len;
	}
	io_end(v);
	if (x.len == 0)
		return rc;
	*ret_extent = x;
	return 0;
}
