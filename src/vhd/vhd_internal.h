/* SPDX-License-Identifier: MIT */
/*
 * vhd_internal.h - an open image, as the files of src/vhd see it
 *
 * Locks, in the order they are taken:
 *   flush_lock  one flush at a time
 *   io_lock     shared by every read and write while it uses file offsets; exclusively for a moment
 *               before the space of a freed block is used anew
 *   map_lock    table, block states, bitmaps, allocation; never held over a flush of the io
 *
 * States of a block (`state[i]`, beside bat[i]):
 *   BAD      its entry points outside; reads fail
 *   FULL     every sector is here: the bitmap need not be asked
 *   PENDING  allocated, and not yet in the table on disk: what it holds is not durable
 *   COMMIT   PENDING and part of the flush that is going on
 *   FREED    discarded; the table on disk may still name the place
 */
#ifndef VHD_INTERNAL_H
#define VHD_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "vhd_format.h"
#include "vhd_shim.h"

enum {
	VHD_BLOCK_BAD = 1U << 0,
	VHD_BLOCK_FULL = 1U << 1,
	VHD_BLOCK_PENDING = 1U << 2,
	VHD_BLOCK_COMMIT = 1U << 3,
};

#define VHD_PENDING_MAX   4096U  /* blocks allocated between two flushes; then one is made */
#define VHD_FREED_MAX     4096U  /* discarded between two flushes; more are only punched */
#define VHD_FREE_MAX      65536U /* free places remembered; more wait for compact */
#define VHD_CACHE_DEFAULT (4U << 20)
#define VHD_AHEAD_MAX     16U /* blocks that the file is made longer by at once */

struct vhd_cache; /* vhd_bitmap.c */

struct vhd {
	struct vhd_io *io;
	struct vhd *parent; /* owned */
	uint32_t flags;     /* VHD_OPEN_* */
	uint32_t problems;  /* VHD_PROBLEM_* */
	enum vhd_type type;
	struct vhd_footer footer;
	struct vhd_header header; /* not for FIXED and RAW */
	uint64_t size;            /* bytes of the disk */
	atomic_int failed;        /* errno of a failed flush: nothing is written any more */

	/* not for FIXED and RAW */
	unsigned int block_shift;
	uint32_t bitmap_size; /* bytes */
	uint32_t n_blocks;
	_Atomic uint32_t *bat; /* host's order; VHD_BAT_NONE */
	_Atomic uint8_t *state;
	struct vhd_cache *cache;
	uint64_t meta_end; /* first byte behind headers, table, batmap and locators */

	pthread_mutex_t flush_lock, map_lock;
	pthread_rwlock_t io_lock;

	/* allocation; under map_lock */
	uint64_t next;      /* where the next block's bitmap goes, if no place is free */
	uint64_t tail;      /* offset of the footer at the end */
	uint64_t dirty_end; /* unused space below may hold old bytes: zero before use */
	uint32_t pending[VHD_PENDING_MAX], freed[VHD_FREED_MAX];
	uint32_t *free_places; /* sectors; VHD_FREE_MAX; reads as zeros already */
	size_t n_pending, n_freed, n_free;
};

static inline bool vhd_has_blocks(const struct vhd *v)
{
	return v->type == VHD_TYPE_DYNAMIC || v->type == VHD_TYPE_DIFFERENCING;
}
static inline uint32_t vhd_block_size(const struct vhd *v)
{
	return 1U << v->block_shift;
}
/* Bytes from a block's bitmap to its end. */
static inline uint64_t vhd_stride(const struct vhd *v)
{
	return (uint64_t)v->bitmap_size + vhd_block_size(v);
}

/* ---- vhd_io.c: one buffer instead of a vector */
VHD_MUST_CHECK int vhd_pread(struct vhd_io *io, void *buf, size_t len, uint64_t off);
VHD_MUST_CHECK int vhd_pwrite(struct vhd_io *io, const void *buf, size_t len, uint64_t off);
VHD_MUST_CHECK int vhd_write_zeros(struct vhd_io *io, uint64_t off,
				   uint64_t len); /* punch, or zeros */

/* ---- vhd_open.c: one image of an io */
void vhd_free(struct vhd *v); /* with its parents; nothing is written; accepts half-built */

/* ---- vhd_bitmap.c: bitmaps of blocks that are not FULL; all under map_lock */
VHD_MUST_CHECK int vhd_cache_new(struct vhd *v, size_t max, struct vhd_err *e);
void vhd_cache_free(struct vhd_cache *c);
/* Bits of block `idx`, MSB first, until map_lock is released. -EAGAIN: every entry is dirty, flush
 * first (writing only). */
VHD_MUST_CHECK int vhd_bitmap_get(struct vhd *v, uint32_t idx, uint8_t **ret_bits,
				  struct vhd_err *e);
/* A new block's, all zero; not read from disk. -EAGAIN as above. */
VHD_MUST_CHECK int vhd_bitmap_add(struct vhd *v, uint32_t idx, uint8_t **ret_bits,
				  struct vhd_err *e);
/* The block's bits were changed. It is in the cache. */
void vhd_bitmap_set_dirty(struct vhd *v, uint32_t idx);
void vhd_bitmap_forget(struct vhd *v, uint32_t idx); /* the block is gone */
/* Begin: what is dirty now is what _write() will write. End: `rc` < 0 makes it dirty again. */
bool vhd_bitmaps_begin(struct vhd *v);                                  /* is anything dirty? */
VHD_MUST_CHECK int vhd_bitmaps_write(struct vhd *v, struct vhd_err *e); /* without map_lock */
void vhd_bitmaps_end(struct vhd *v, int rc);
size_t vhd_bits_run(const uint8_t *bits, size_t from, size_t end); /* bits equal to the first */
bool vhd_bits_all(const uint8_t *bits, size_t from, size_t end);   /* all set? */
void vhd_bits_set(uint8_t *bits, size_t from, size_t end);

/* ---- vhd_map.c: where bytes are; io_lock held shared */
struct vhd_place {
	struct vhd *image; /* NULL: absent, zeros */
	unsigned int depth;
	uint64_t off; /* in the image's file */
	uint64_t len;
};
VHD_MUST_CHECK int vhd_map(struct vhd *v, uint64_t off, uint64_t len, struct vhd_place *ret,
			   struct vhd_err *e);
/* Reads as vhd_read() does, without checks and locks. */
VHD_MUST_CHECK int vhd_map_read(struct vhd *v, void *buf, size_t len, uint64_t off,
				struct vhd_err *e);
/* Does no image from `v` (may be NULL) down hold anything of the range? From the tables alone. */
bool vhd_map_is_absent(const struct vhd *v, uint64_t off, uint64_t len);

/* ---- vhd_alloc.c: places of blocks; under map_lock */
/* A block that is not there gets a place whose bitmap and data read as zeros; PENDING. FULL too if
 * nothing below shows through. -EAGAIN: flush first. */
VHD_MUST_CHECK int vhd_block_add(struct vhd *v, uint32_t idx, struct vhd_err *e);
/* Take a block out of the table. -EAGAIN: too many since the last flush. */
VHD_MUST_CHECK int vhd_block_drop(struct vhd *v, uint32_t idx, struct vhd_err *e);
/* Footer to where it belongs, the file cut behind it; alone, after a flush. */
VHD_MUST_CHECK int vhd_alloc_trim(struct vhd *v, struct vhd_err *e);

/* ---- vhd_create.c */
/* Writes footer to the tail place and (not FIXED) the front; flushes between. */
VHD_MUST_CHECK int vhd_footer_write(struct vhd *v, struct vhd_err *e);

/* ---- vhd_chain.c */
/* Opens the parent that `v` (in directory dir) names, as `o` allows. */
struct vhd_chain;

#endif
