/* SPDX-License-Identifier: MIT */
/*
 * vhd_flush.c - making durable what was written
 *
 * The order that no crash may break (doc/format/vhd.md, "Writing, and crashes"): data before what
 * refers to it.
 *
 *   1 snapshot: blocks allocated so far (COMMIT), bitmaps as they are, blocks freed so far
 *   2 flush: their data is durable
 *   3 write bitmaps, then the sectors of the table that changed; PENDING blocks that are not COMMIT
 *     stay absent in it
 *   4 flush: they are durable too; now places of freed blocks are punched and used anew, but only
 *     after every read and write that began before has ended (io_lock)
 *
 * Reads and writes go on all the while. One flush at a time. A failed one makes the image refuse
 * all that would change it: the kernel may have dropped what it could not write.
 */
#include "vhd_internal.h"

/* The sector of the table on disk that has entry `idx`, as it should be now. */
static int table_sector_write(struct vhd *v, uint32_t idx, struct vhd_err *e)
{
	uint32_t per_sector = VHD_SECTOR / 4, first = idx / per_sector * per_sector;
	uint64_t off = v->header.table_offset + 4ULL * first;
	uint8_t raw[VHD_SECTOR];
	uint32_t n = MIN_OF(per_sector, v->n_blocks - first);

	pthread_mutex_lock(&v->map_lock);
	for (uint32_t i = 0; i < n; i++) {
		uint8_t state = v->state[first + i];
		bool is_new = (state & (VHD_BLOCK_PENDING | VHD_BLOCK_COMMIT)) == VHD_BLOCK_PENDING;

		put_be32(raw + 4UL * i, is_new ? VHD_BAT_NONE : v->bat[first + i]);
	}
	pthread_mutex_unlock(&v->map_lock);
	VHD_NEED(vhd_pwrite(v->io, raw, 4UL * n, off), e, "%s: table at offset %llu", v->io->name,
		 (unsigned long long)off);
	return 0;
}

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* pending[0..n) and freed[0..n_freed) name the entries that changed; each sector once. */
static int table_write(struct vhd *v, size_t n, size_t n_freed, struct vhd_err *e)
{
	uint32_t last = UINT32_MAX;

	qsort(v->pending, n, sizeof(v->pending[0]), compare_u32);
	for (size_t i = 0; i < n; i++) {
		uint32_t sector = v->pending[i] / (VHD_SECTOR / 4);

		if (sector != last && table_sector_write(v, v->pending[i], e) < 0)
			return -e->code;
		last = sector;
	}
	last = UINT32_MAX;
	for (size_t i = 0; i < n_freed; i++) {
		uint32_t sector = v->freed[i].idx / (VHD_SECTOR / 4);

		if (sector != last && table_sector_write(v, v->freed[i].idx, e) < 0)
			return -e->code;
		last = sector;
	}
	return 0;
}

static int full_bitmaps_write(struct vhd *v, size_t n, struct vhd_err *e)
{
	uint8_t ones[VHD_SECTOR];

	memset(ones, 0xff, sizeof(ones));
	for (size_t i = 0; i < n; i++) {
		uint32_t idx = v->pending[i];
		uint64_t off = (uint64_t)v->bat[idx] * VHD_SECTOR;

		if (!(v->state[idx] & VHD_BLOCK_BORN_FULL))
			continue;
		for (uint32_t done = 0; done < v->bitmap_size; done += VHD_SECTOR)
			VHD_NEED(vhd_pwrite(v->io, ones, sizeof(ones), off + done), e,
				 "%s: bitmap of block %u", v->io->name, idx);
	}
	return 0;
}

/* Steps 3 and 4 up to the second flush. */
static int metadata_write(struct vhd *v, size_t n_pending, size_t n_freed, bool has_bitmaps,
			  struct vhd_err *e)
{
	if (has_bitmaps && vhd_bitmaps_write(v, e) < 0)
		return -e->code;
	if (full_bitmaps_write(v, n_pending, e) < 0 || table_write(v, n_pending, n_freed, e) < 0)
		return -e->code;
	VHD_NEED(v->io->ops->flush(v->io), e, "%s: flush", v->io->name);
	return 0;
}

static void pending_end(struct vhd *v, size_t n, size_t n_freed)
{
	for (size_t i = 0; i < n; i++)
		v->state[v->pending[i]] &= (uint8_t) ~(VHD_BLOCK_PENDING | VHD_BLOCK_COMMIT);
	memmove(v->pending, v->pending + n, (v->n_pending - n) * sizeof(v->pending[0]));
	v->n_pending -= n;
	memmove(v->freed, v->freed + n_freed, (v->n_freed - n_freed) * sizeof(v->freed[0]));
	v->n_freed -= n_freed;
}

/*
 * The table has forgotten these places. A place that cannot be punched is not used again: that
 * costs space only.
 */
static void places_free(struct vhd *v, const struct vhd_freed *freed, size_t n)
{
	pthread_rwlock_wrlock(&v->io_lock); /* whoever still used a place has ended */
	pthread_rwlock_unlock(&v->io_lock);
	for (size_t i = 0; i < n; i++) {
		uint64_t off = (uint64_t)freed[i].sector * VHD_SECTOR;

		if (vhd_write_zeros(v->io, off, vhd_stride(v)) < 0)
			continue;
		pthread_mutex_lock(&v->map_lock);
		if (v->n_free < VHD_FREE_MAX)
			v->free_places[v->n_free++] = freed[i].sector;
		pthread_mutex_unlock(&v->map_lock);
	}
}

static int blocks_flush(struct vhd *v, struct vhd_err *e)
{
	size_t n_pending, n_freed;
	bool has_bitmaps;
	int rc;

	pthread_mutex_lock(&v->map_lock);
	n_pending = v->n_pending;
	n_freed = v->n_freed;
	has_bitmaps = vhd_bitmaps_begin(v);
	for (size_t i = 0; i < n_pending; i++)
		v->state[v->pending[i]] |= VHD_BLOCK_COMMIT;
	memcpy(v->freeing, v->freed, n_freed * sizeof(v->freed[0]));
	pthread_mutex_unlock(&v->map_lock);

	rc = v->io->ops->flush(v->io);
	if (rc < 0)
		rc = vhd_err_sys(e, -rc, "%s: flush", v->io->name);
	else if (n_pending || n_freed || has_bitmaps)
		rc = metadata_write(v, n_pending, n_freed, has_bitmaps, e);
	pthread_mutex_lock(&v->map_lock);
	if (has_bitmaps)
		vhd_bitmaps_end(v, rc);
	if (rc == 0)
		pending_end(v, n_pending, n_freed);
	pthread_mutex_unlock(&v->map_lock);
	if (rc == 0 && n_freed)
		places_free(v, v->freeing, n_freed);
	return rc;
}

int vhd_flush(struct vhd *v, struct vhd_err *e)
{
	int rc;

	if (!(v->flags & VHD_OPEN_WRITE))
		return 0;
	pthread_mutex_lock(&v->flush_lock);
	if (v->failed) {
		rc = vhd_err_set(e, v->failed, "%s: an earlier flush failed", v->io->name);
	} else if (vhd_has_blocks(v)) {
		rc = blocks_flush(v, e);
	} else {
		rc = v->io->ops->flush(v->io);
		if (rc < 0)
			rc = vhd_err_sys(e, -rc, "%s: flush", v->io->name);
	}
	if (rc < 0)
		v->failed = e->code;
	pthread_mutex_unlock(&v->flush_lock);
	return rc;
}
