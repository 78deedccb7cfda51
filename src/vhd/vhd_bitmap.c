/* SPDX-License-Identifier: MIT */
/*
 * vhd_bitmap.c - a bounded cache of the bitmaps of blocks that are not FULL
 *
 * All memory is there from the start (untouched pages cost nothing): entries, their bits twice, and
 * a hash from block to entry. Of the two copies `bits` is what readers and writers see; `safe` is
 * what a flush that has begun may write: bits whose data was written before its first barrier.
 *
 * An entry is clean, dirty (`bits` has what the file has not), or in a flush (`safe` is being
 * written), or the last two. Only clean ones are replaced, by a clock hand. If all are dirty a
 * writer is told to flush (-EAGAIN); a reader, who cannot, reads past the cache: a block that has
 * no entry is as the file says.
 *
 * All under map_lock but vhd_bitmaps_write(), which touches what is in a flush only.
 */
#include "vhd_internal.h"

enum {
	ENTRY_USED = 1U << 0,
	ENTRY_DIRTY = 1U << 1,
	ENTRY_IN_FLUSH = 1U << 2,
	ENTRY_RECENT = 1U << 3,
	ENTRY_FORGOTTEN = 1U << 4, /* the block is gone; free once the flush has ended */
};

#define NO_ENTRY UINT32_MAX

struct entry {
	uint32_t block, next; /* next in its hash chain */
	uint32_t flags;
};

struct vhd_cache {
	uint32_t n_entries, n_buckets, hand, n_dirty;
	uint32_t bitmap_size;
	uint32_t *buckets;
	struct entry *entries;
	uint8_t *bits, *safe;
	uint8_t *spare; /* one bitmap, for readers that find every entry dirty */
};

static uint32_t bucket_of(const struct vhd_cache *c, uint32_t block)
{
	return (block * 2654435761U) & (c->n_buckets - 1);
}

static uint8_t *bits_of(const struct vhd_cache *c, uint32_t i)
{
	return c->bits + (size_t)i * c->bitmap_size;
}

int vhd_cache_new(struct vhd *v, size_t max, struct vhd_err *e)
{
	size_t per_entry = 2 * (size_t)v->bitmap_size + sizeof(struct entry) + 2 * sizeof(uint32_t);
	size_t n = MIN_OF(MAX_OF((max ? max : VHD_CACHE_DEFAULT) / per_entry, 8), v->n_blocks);
	struct vhd_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return vhd_err_sys(e, ENOMEM, "%s: bitmaps", v->io->name);
	v->cache = c;
	c->n_entries = (uint32_t)MAX_OF(n, 1);
	c->bitmap_size = v->bitmap_size;
	for (c->n_buckets = 8; c->n_buckets < c->n_entries; c->n_buckets *= 2)
		;
	c->buckets = malloc(c->n_buckets * sizeof(*c->buckets));
	c->entries = calloc(c->n_entries, sizeof(*c->entries));
	c->bits = calloc(c->n_entries, c->bitmap_size);
	c->safe = calloc(c->n_entries, c->bitmap_size);
	c->spare = malloc(c->bitmap_size);
	if (!c->buckets || !c->entries || !c->bits || !c->safe || !c->spare)
		return vhd_err_sys(e, ENOMEM, "%s: bitmaps", v->io->name);
	memset(c->buckets, 0xff, c->n_buckets * sizeof(*c->buckets));
	return 0;
}

void vhd_cache_free(struct vhd_cache *c)
{
	if (!c)
		return;
	free(c->buckets);
	free(c->entries);
	free(c->bits);
	free(c->safe);
	free(c->spare);
	free(c);
}

static uint32_t entry_find(const struct vhd_cache *c, uint32_t block)
{
	uint32_t i = c->buckets[bucket_of(c, block)];

	while (i != NO_ENTRY && c->entries[i].block != block)
		i = c->entries[i].next;
	return i;
}

static void entry_unlink(struct vhd_cache *c, uint32_t i)
{
	uint32_t *link = &c->buckets[bucket_of(c, c->entries[i].block)];

	while (*link != i)
		link = &c->entries[*link].next;
	*link = c->entries[i].next;
}

/* A clean entry for `block`, linked; NO_ENTRY if all are dirty. */
static uint32_t entry_take(struct vhd_cache *c, uint32_t block)
{
	uint32_t *bucket = &c->buckets[bucket_of(c, block)];

	for (uint32_t tries = 0; tries < 2 * c->n_entries; tries++) {
		uint32_t i = c->hand;
		struct entry *entry = &c->entries[i];

		c->hand = (i + 1) % c->n_entries;
		if (entry->flags & (ENTRY_DIRTY | ENTRY_IN_FLUSH))
			continue;
		if (entry->flags & ENTRY_RECENT) {
			entry->flags &= ~(uint32_t)ENTRY_RECENT;
			continue;
		}
		if (entry->flags & ENTRY_USED)
			entry_unlink(c, i);
		*entry = (struct entry){ .block = block, .flags = ENTRY_USED, .next = *bucket };
		*bucket = i;
		return i;
	}
	return NO_ENTRY;
}

static void entry_drop(struct vhd_cache *c, uint32_t i)
{
	entry_unlink(c, i);
	c->entries[i].flags = 0;
}

int vhd_bitmap_get(struct vhd *v, uint32_t idx, uint8_t **ret_bits, struct vhd_err *e)
{
	struct vhd_cache *c = v->cache;
	uint64_t off = (uint64_t)v->bat[idx] * VHD_SECTOR;
	uint32_t i = entry_find(c, idx);
	int rc;

	if (i == NO_ENTRY) {
		i = entry_take(c, idx);
		if (i == NO_ENTRY)
			return vhd_err_set(e, EAGAIN, "%s: bitmaps wait for a flush", v->io->name);
		rc = vhd_pread(v->io, bits_of(c, i), c->bitmap_size, off);
		if (rc < 0) {
			entry_drop(c, i);
			return vhd_err_sys(e, -rc, "%s: bitmap of block %u at %llu", v->io->name,
					   idx, (unsigned long long)off);
		}
	}
	c->entries[i].flags |= ENTRY_RECENT;
	*ret_bits = bits_of(c, i);
	return 0;
}

int vhd_bitmap_peek(struct vhd *v, uint32_t idx, uint8_t **ret_bits, struct vhd_err *e)
{
	struct vhd_cache *c = v->cache;
	uint64_t off = (uint64_t)v->bat[idx] * VHD_SECTOR;
	int rc = vhd_bitmap_get(v, idx, ret_bits, e);

	if (rc != -EAGAIN)
		return rc;
	VHD_NEED(vhd_pread(v->io, c->spare, c->bitmap_size, off), e,
		 "%s: bitmap of block %u at %llu", v->io->name, idx, (unsigned long long)off);
	*ret_bits = c->spare;
	return 0;
}

int vhd_bitmap_add(struct vhd *v, uint32_t idx, uint8_t **ret_bits, struct vhd_err *e)
{
	struct vhd_cache *c = v->cache;
	uint32_t i = entry_take(c, idx);

	if (i == NO_ENTRY)
		return vhd_err_set(e, EAGAIN, "%s: bitmaps wait for a flush", v->io->name);
	memset(bits_of(c, i), 0, c->bitmap_size);
	c->entries[i].flags |= ENTRY_DIRTY | ENTRY_RECENT;
	c->n_dirty++;
	*ret_bits = bits_of(c, i);
	return 0;
}

void vhd_bitmap_set_dirty(struct vhd *v, uint32_t idx)
{
	struct entry *entry = &v->cache->entries[entry_find(v->cache, idx)];

	if (!(entry->flags & ENTRY_DIRTY))
		v->cache->n_dirty++;
	entry->flags |= ENTRY_DIRTY;
}

void vhd_bitmap_forget(struct vhd *v, uint32_t idx)
{
	struct vhd_cache *c = v->cache;
	uint32_t i = entry_find(c, idx);

	if (i == NO_ENTRY)
		return;
	if (c->entries[i].flags & ENTRY_DIRTY)
		c->n_dirty--;
	entry_unlink(c, i);
	/* one that a flush is writing stays taken until that ends, but is found no more */
	c->entries[i].flags &= ENTRY_IN_FLUSH;
	if (c->entries[i].flags)
		c->entries[i].flags |= ENTRY_FORGOTTEN;
}

bool vhd_bitmaps_begin(struct vhd *v)
{
	struct vhd_cache *c = v->cache;

	if (c->n_dirty == 0)
		return false;
	for (uint32_t i = 0; i < c->n_entries; i++) {
		struct entry *entry = &c->entries[i];

		if (!(entry->flags & ENTRY_DIRTY))
			continue;
		memcpy(c->safe + (size_t)i * c->bitmap_size, bits_of(c, i), c->bitmap_size);
		entry->flags &= ~(uint32_t)ENTRY_DIRTY;
		entry->flags |= ENTRY_IN_FLUSH;
	}
	c->n_dirty = 0;
	return true;
}

int vhd_bitmaps_write(struct vhd *v, struct vhd_err *e)
{
	struct vhd_cache *c = v->cache;

	for (uint32_t i = 0; i < c->n_entries; i++) {
		const struct entry *entry = &c->entries[i];
		uint32_t sector = VHD_BAT_NONE, block;
		int rc;

		pthread_mutex_lock(&v->map_lock);
		block = entry->block;
		if ((entry->flags & (ENTRY_IN_FLUSH | ENTRY_FORGOTTEN)) == ENTRY_IN_FLUSH)
			sector = v->bat[block];
		pthread_mutex_unlock(&v->map_lock);
		if (sector == VHD_BAT_NONE)
			continue;
		rc = vhd_pwrite(v->io, c->safe + (size_t)i * c->bitmap_size, c->bitmap_size,
				(uint64_t)sector * VHD_SECTOR);
		if (rc < 0)
			return vhd_err_sys(e, -rc, "%s: bitmap of block %u", v->io->name, block);
	}
	return 0;
}

void vhd_bitmaps_end(struct vhd *v, int rc)
{
	struct vhd_cache *c = v->cache;

	for (uint32_t i = 0; i < c->n_entries; i++) {
		struct entry *entry = &c->entries[i];

		if (!(entry->flags & ENTRY_IN_FLUSH))
			continue;
		if (entry->flags & ENTRY_FORGOTTEN) {
			entry->flags = 0;
			continue;
		}
		entry->flags &= ~(uint32_t)ENTRY_IN_FLUSH;
		if (rc < 0 && !(entry->flags & ENTRY_DIRTY)) {
			entry->flags |= ENTRY_DIRTY;
			c->n_dirty++;
		}
	}
}

/* ---- bits: MSB first, as A.8 of the format's text has them -------------------------------- */

static bool bit_get(const uint8_t *bits, size_t i)
{
	return bits[i / 8] & (0x80U >> (i % 8));
}

size_t vhd_bits_run(const uint8_t *bits, size_t from, size_t end)
{
	bool value = bit_get(bits, from);
	uint8_t whole = value ? 0xff : 0;
	size_t i = from + 1;

	while (i < end) {
		if (i % 8 == 0 && end - i >= 8 && bits[i / 8] == whole) {
			i += 8;
			continue;
		}
		if (bit_get(bits, i) != value)
			break;
		i++;
	}
	return i - from;
}

bool vhd_bits_all(const uint8_t *bits, size_t from, size_t end)
{
	return from >= end || (bit_get(bits, from) && vhd_bits_run(bits, from, end) == end - from);
}

void vhd_bits_set(uint8_t *bits, size_t from, size_t end)
{
	for (size_t i = from; i < end;) {
		if (i % 8 == 0 && end - i >= 8) {
			bits[i / 8] = 0xff;
			i += 8;
		} else {
			bits[i / 8] |= (uint8_t)(0x80U >> (i % 8));
			i++;
		}
	}
}
