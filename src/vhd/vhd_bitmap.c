/* SPDX-License-Identifier: MIT */
/*
 * vhd_bitmap.c - a bounded cache of the bitmaps of blocks that are not FULL
 *
 * All memory is there from the start (untouched pages cost nothing): entries, their bits twice, and
 * each block's entry. Of the two copies `bits` is what readers and writers see; `safe` is what a
 * flush that has begun may write: bits whose data was written before its first barrier.
 *
 * An entry is clean, dirty (`bits` has what the file has not), or in a flush (`safe` is being
 * written), or the last two. Only clean ones are replaced, by a clock hand. If all are dirty a
 * writer is told to flush (-EAGAIN); a reader, who cannot, reads past the cache: a block that has
 * no entry is as the file says.
 *
 * All under map_lock but vhd_bitmaps_write(), which touches what is in a flush only, and
 * vhd_bitmap_look(), which takes no lock. For it `bits` are stored by words with release order (a
 * bit is never seen before its data was written), and an entry counts its changes of hand: `turn`
 * is odd while it gets another block's bits, and one that differs afterwards makes the look void.
 */
#include "vhd_internal.h"

#include <endian.h>

enum {
	ENTRY_USED = 1U << 0,
	ENTRY_DIRTY = 1U << 1,
	ENTRY_IN_FLUSH = 1U << 2,
	ENTRY_FORGOTTEN = 1U << 3, /* the block is gone; free once the flush has ended */
};

#define NO_ENTRY    UINT32_MAX
#define ENTRIES_MAX 65535U /* entry_at[] has 16 bits for each block */

struct entry {
	_Atomic uint32_t turn, block;
	uint32_t flags;
	atomic_bool is_recent; /* used since the hand last passed */
};

struct vhd_cache {
	uint32_t n_entries, hand, n_dirty;
	uint32_t bitmap_size;
	_Atomic uint16_t *entry_at; /* of each block: its entry, from 1; 0: none */
	struct entry *entries;
	uint8_t *bits, *safe;
	uint8_t *spare; /* one bitmap as it comes from the file */
};

/* ---- bits: MSB first, as A.8 of the format's text has them; words of them are big-endian ------
 */

static const uint64_t *word_of(const uint8_t *p)
{
	return (const uint64_t *)(const void *)p;
}

static uint64_t word_at(const uint8_t *bits, size_t bit)
{
	return be64toh(__atomic_load_n(word_of(bits + bit / 64 * 8), __ATOMIC_ACQUIRE));
}

size_t vhd_bits_run(const uint8_t *bits, size_t from, size_t end, bool *ret_is_set)
{
	uint64_t word = word_at(bits, from) << from % 64;
	bool is_set = word >> 63;
	const uint64_t alike = is_set ? UINT64_MAX : 0;
	uint64_t differ = (word ^ alike) & (UINT64_MAX << from % 64);
	size_t i = from;

	*ret_is_set = is_set;
	while (!differ) {
		i += 64 - i % 64;
		if (i >= end)
			return end - from;
		differ = word_at(bits, i) ^ alike;
	}
	return MIN_OF(i + (size_t)__builtin_clzll(differ), end) - from;
}

bool vhd_bits_all(const uint8_t *bits, size_t from, size_t end)
{
	bool is_set;

	return from >= end || (vhd_bits_run(bits, from, end, &is_set) == end - from && is_set);
}

void vhd_bits_set(uint8_t *bits, size_t from, size_t end)
{
	for (size_t i = from, next; i < end; i = next) {
		uint64_t mask = UINT64_MAX >> i % 64;

		next = i - i % 64 + 64;
		if (next > end)
			mask &= UINT64_MAX << (next - end);
		__atomic_store_n((uint64_t *)(void *)(bits + i / 64 * 8),
				 htobe64(word_at(bits, i) | mask), __ATOMIC_RELEASE);
	}
}

/* ---- entries ------------------------------------------------------------------------------- */

static uint8_t *bits_of(const struct vhd_cache *c, uint32_t i)
{
	return c->bits + (size_t)i * c->bitmap_size;
}

int vhd_cache_new(struct vhd *v, size_t max, struct vhd_err *e)
{
	size_t per_entry = 2 * (size_t)v->bitmap_size + sizeof(struct entry);
	size_t n = MIN_OF(MAX_OF((max ? max : VHD_CACHE_DEFAULT) / per_entry, 8), v->n_blocks);
	struct vhd_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return vhd_err_sys(e, ENOMEM, "%s: bitmaps", v->io->name);
	v->cache = c;
	c->n_entries = (uint32_t)MIN_OF(MAX_OF(n, 1), ENTRIES_MAX);
	c->bitmap_size = v->bitmap_size;
	c->entry_at = calloc(MAX_OF(v->n_blocks, 1), sizeof(*c->entry_at));
	c->entries = calloc(c->n_entries, sizeof(*c->entries));
	c->bits = calloc(c->n_entries, c->bitmap_size);
	c->safe = calloc(c->n_entries, c->bitmap_size);
	c->spare = malloc(c->bitmap_size);
	if (!c->entry_at || !c->entries || !c->bits || !c->safe || !c->spare)
		return vhd_err_sys(e, ENOMEM, "%s: bitmaps", v->io->name);
	return 0;
}

void vhd_cache_free(struct vhd_cache *c)
{
	if (!c)
		return;
	free((void *)c->entry_at);
	free(c->entries);
	free(c->bits);
	free(c->safe);
	free(c->spare);
	free(c);
}

static uint32_t entry_find(const struct vhd_cache *c, uint32_t block)
{
	return c->entry_at[block] - 1U; /* 0 - 1: NO_ENTRY */
}

/* An entry that may be given to another block; NO_ENTRY if all are dirty. */
static uint32_t entry_choose(struct vhd_cache *c)
{
	for (uint32_t tries = 0; tries < 2 * c->n_entries; tries++) {
		uint32_t i = c->hand;
		struct entry *entry = &c->entries[i];

		c->hand = (i + 1) % c->n_entries;
		if (entry->flags & (ENTRY_DIRTY | ENTRY_IN_FLUSH))
			continue;
		if (!entry->is_recent)
			return i;
		entry->is_recent = false;
	}
	return NO_ENTRY;
}

static void words_store(uint8_t *to, const uint8_t *from, size_t len)
{
	for (size_t i = 0; i < len; i += sizeof(uint64_t))
		__atomic_store_n((uint64_t *)(void *)(to + i), from ? *word_of(from + i) : 0,
				 __ATOMIC_RELEASE);
}

/* Give entry `i` to `block`, with these bits (NULL: zeros). */
static void entry_give(struct vhd_cache *c, uint32_t i, uint32_t block, const uint8_t *bits)
{
	struct entry *entry = &c->entries[i];

	entry->turn++;
	if (entry->flags & ENTRY_USED)
		c->entry_at[entry->block] = 0;
	entry->flags = ENTRY_USED;
	entry->block = block;
	entry->is_recent = true;
	words_store(bits_of(c, i), bits, c->bitmap_size);
	entry->turn++;
	c->entry_at[block] = (uint16_t)(i + 1);
}

/* The block's bits from the file, in `spare`. */
static int bitmap_read(struct vhd *v, uint32_t idx, struct vhd_err *e)
{
	struct vhd_cache *c = v->cache;
	uint64_t off = (uint64_t)v->bat[idx] * VHD_SECTOR;

	VHD_NEED(vhd_pread(v->io, c->spare, c->bitmap_size, off), e,
		 "%s: bitmap of block %u at %llu", v->io->name, idx, (unsigned long long)off);
	return 0;
}

int vhd_bitmap_get(struct vhd *v, uint32_t idx, uint8_t **ret_bits, struct vhd_err *e)
{
	struct vhd_cache *c = v->cache;
	uint32_t i = entry_find(c, idx);

	if (i == NO_ENTRY) {
		i = entry_choose(c);
		if (i == NO_ENTRY)
			return vhd_err_set(e, EAGAIN, "%s: bitmaps wait for a flush", v->io->name);
		if (bitmap_read(v, idx, e) < 0)
			return -e->code;
		entry_give(c, i, idx, c->spare);
		if (vhd_bits_all(c->spare, 0, vhd_block_size(v) / VHD_SECTOR))
			v->state[idx] |= VHD_BLOCK_FULL;
	}
	c->entries[i].is_recent = true;
	*ret_bits = bits_of(c, i);
	return 0;
}

int vhd_bitmap_peek(struct vhd *v, uint32_t idx, uint8_t **ret_bits, struct vhd_err *e)
{
	int rc = vhd_bitmap_get(v, idx, ret_bits, e);

	if (rc != -EAGAIN)
		return rc;
	if (bitmap_read(v, idx, e) < 0)
		return -e->code;
	*ret_bits = v->cache->spare;
	return 0;
}

bool vhd_bitmap_look(struct vhd *v, uint32_t idx, size_t from, size_t end, size_t *ret_run,
		     bool *ret_is_set)
{
	struct vhd_cache *c = v->cache;
	uint32_t i = entry_find(c, idx), turn;
	struct entry *entry = &c->entries[i];

	if (i == NO_ENTRY)
		return false;
	turn = entry->turn;
	if (turn % 2 || entry->block != idx)
		return false;
	*ret_run = vhd_bits_run(bits_of(c, i), from, end, ret_is_set);
	if (!entry->is_recent) /* not stored each time: others read it too */
		entry->is_recent = true;
	return entry->turn == turn;
}

int vhd_bitmap_add(struct vhd *v, uint32_t idx, uint8_t **ret_bits, struct vhd_err *e)
{
	struct vhd_cache *c = v->cache;
	uint32_t i = entry_choose(c);

	if (i == NO_ENTRY)
		return vhd_err_set(e, EAGAIN, "%s: bitmaps wait for a flush", v->io->name);
	entry_give(c, i, idx, NULL);
	c->entries[i].flags |= ENTRY_DIRTY;
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
	c->entry_at[idx] = 0;
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
