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
 *   BAD        its entry points outside; reads fail
 *   FULL       every sector is here: the bitmap need not be asked
 *   BORN_FULL  FULL since it was allocated: the flush writes its bitmap, all ones
 *   PENDING    allocated, and not yet in the table on disk: what it holds is not durable
 *   COMMIT     PENDING and part of the flush that is going on
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
	VHD_BLOCK_BORN_FULL = 1U << 4,
};

struct vhd_freed { /* a block that was discarded; the table on disk may still name its place */
	uint32_t idx, sector;
};

#define VHD_PENDING_MAX   4096U  /* blocks allocated between two flushes; then one is made */
#define VHD_FREED_MAX     4096U  /* discarded between two flushes; more are only punched */
#define VHD_FREE_MAX      65536U /* free places remembered; more wait for compact */
#define VHD_CACHE_DEFAULT (4U << 20)
#define VHD_AHEAD_MAX     16U /* blocks that the file is made longer by at once */

struct vhd_cache;  /* vhd_bitmap.c */
struct vhd_levels; /* vhd_levels.c */

struct vhd {
	struct vhd_io *io;
	struct vhd *parent;        /* owned */
	struct vhd_levels *levels; /* what it and its parents hold; NULL: to be asked one by one */
	uint32_t flags;            /* VHD_OPEN_* */
	uint32_t problems;         /* VHD_PROBLEM_* */
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
	bool has_batmap;
	struct vhd_batmap batmap;
	uint64_t meta_end; /* first byte behind headers, table, batmap and locators */

	pthread_mutex_t flush_lock, map_lock;
	pthread_rwlock_t io_lock;

	/* allocation; under map_lock */
	uint64_t next;      /* end of the last block: the next one goes behind it */
	uint64_t tail;      /* offset of the footer at the end */
	uint64_t dirty_end; /* unused space below may hold old bytes: zero before use */
	bool has_grown;     /* the file was made longer: trim it in the end */
	uint32_t pending[VHD_PENDING_MAX];
	struct vhd_freed freed[VHD_FREED_MAX], freeing[VHD_FREED_MAX]; /* the latter: flush_lock */
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
/*
 * What the offset of a new block's data is a multiple of. Wide lets the page cache keep 64 KiB as
 * one piece; a hole of up to 60 KiB for each block is the price, which blocks of less than 2 MiB do
 * not pay, nor disks of more than 128 GiB: sectors beyond 2 TiB have no number.
 */
static inline uint32_t vhd_data_align(const struct vhd *v)
{
	return v->block_shift >= 21 && v->n_blocks <= 65536 ? VHD_ALIGN_WIDE : VHD_ALIGN;
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

/* ---- vhd_io_file.c */
bool vhd_io_is_same(const struct vhd_io *a, const struct vhd_io *b); /* one io, or one file */
struct stat;
bool vhd_io_is_file(const struct vhd_io *io, const struct stat *st); /* the file that `st` is of? */

/* ---- vhd_chain.c: the lock of an image, kept as long as `fd` is open; -EBUSY */
VHD_MUST_CHECK int vhd_file_lock(int fd, const char *path, bool for_writing, struct vhd_err *e);

/* ---- vhd_open.c: one image of an io, without its parent. Takes the io on success only. */
VHD_MUST_CHECK int vhd_image_open(struct vhd_io *io, const struct vhd_open_options *o,
				  struct vhd **ret, struct vhd_err *e);
/* Put `v` on its parent, as far as `flags` and the ids allow; taken on success only. */
VHD_MUST_CHECK int vhd_image_attach(struct vhd *v, struct vhd *parent, uint32_t flags,
				    struct vhd_err *e);
void vhd_free(struct vhd *v); /* with its parents; nothing is written; accepts half-built, NULL */
/* The last places of the table of `v`, sorted; for check. The caller frees. */
VHD_MUST_CHECK int vhd_places_sorted(const struct vhd *v, uint32_t **ret_sectors, size_t *ret_n,
				     struct vhd_err *e);

/* ---- vhd_bitmap.c: bitmaps of blocks that are not FULL; under map_lock, but one */
VHD_MUST_CHECK int vhd_cache_new(struct vhd *v, size_t max, struct vhd_err *e);
void vhd_cache_free(struct vhd_cache *c);
/* Bits of block `idx`, MSB first, until map_lock is released; found all set, it is FULL from now
 * on. -EAGAIN: every entry is dirty, flush first (writing only). */
VHD_MUST_CHECK int vhd_bitmap_get(struct vhd *v, uint32_t idx, uint8_t **ret_bits,
				  struct vhd_err *e);
/* The same for reading only: never -EAGAIN. */
VHD_MUST_CHECK int vhd_bitmap_peek(struct vhd *v, uint32_t idx, uint8_t **ret_bits,
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
/*
 * Without map_lock: how many bits from `from` on are alike, as vhd_bits_run(). False: not to be had
 * this way, ask under the lock. Who got an answer makes sure that the block is still where it was.
 */
bool vhd_bitmap_look(struct vhd *v, uint32_t idx, size_t from, size_t end, size_t *ret_run,
		     bool *ret_is_set);
/* Bits begin at a multiple of 8 bytes, and are such a multiple. */
size_t vhd_bits_run(const uint8_t *bits, size_t from, size_t end, bool *ret_is_set);
bool vhd_bits_all(const uint8_t *bits, size_t from, size_t end); /* all set? */
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
/* The same without the map of levels that `v` has: for making it. */
VHD_MUST_CHECK int vhd_map_walk(struct vhd *v, uint64_t off, uint64_t len, struct vhd_place *ret,
				struct vhd_err *e);
/* Reads as vhd_read() does, without checks and locks. */
VHD_MUST_CHECK int vhd_map_read(struct vhd *v, void *buf, size_t len, uint64_t off,
				struct vhd_err *e);
/* Does no image from `v` (may be NULL) down hold anything of the range? From the tables alone. */
bool vhd_map_is_absent(const struct vhd *v, uint64_t off, uint64_t len);

/* ---- vhd_levels.c: which image of a chain holds what, where none can change any more */
/* To the images of a chain that are only read, if they are two or more; `max`: bytes, 0: default.
 */
VHD_MUST_CHECK int vhd_levels_attach(struct vhd *top, size_t max, struct vhd_err *e);
void vhd_levels_free(struct vhd_levels *m); /* accepts NULL */
/* Before an image of the chain of `v` goes or changes. */
void vhd_levels_detach(struct vhd *v);
/* True: from `off` on, for *io_len (cut; within the disk), *ret_image holds all, whose depth below
 * `v` is *ret_level; or NULL, and *ret_level is how deep the chain is. False: not known. */
bool vhd_levels_find(struct vhd *v, uint64_t off, uint64_t *io_len, unsigned int *ret_level,
		     struct vhd **ret_image);

/* ---- vhd_alloc.c: places of blocks; under map_lock */
/* A block that is not there gets a place whose bitmap and data read as zeros; PENDING. FULL too if
 * nothing below shows through. -EAGAIN: flush first. */
VHD_MUST_CHECK int vhd_block_add(struct vhd *v, uint32_t idx, struct vhd_err *e);
/* Is there a sector number for each of `n` blocks behind `meta_end` bytes? */
bool vhd_blocks_fit(uint64_t meta_end, uint32_t n, uint32_t block_size);
/* Take a block that is not PENDING out of the table. -EAGAIN: too many since the last flush. */
VHD_MUST_CHECK int vhd_block_drop(struct vhd *v, uint32_t idx, struct vhd_err *e);
/* Where the footer belongs behind data that ends at `end`: in the last sector of a file whose
 * length is a multiple of VHD_ALIGN. */
uint64_t vhd_tail_of(uint64_t end);
/* Footer to where it belongs, the file cut or grown to it; alone, after a flush. */
VHD_MUST_CHECK int vhd_tail_settle(struct vhd *v, struct vhd_err *e);

/* ---- vhd_create.c */
/*
 * What an image says of its parent: the name for the header and one locator after the other, each
 * with the bytes that go to its offset. `name` is relative to the image, with '/'; `windows_path`
 * (may be NULL) an absolute one for W2ku. Offsets are set from `first_offset` on, a page each.
 */
struct vhd_parent_text {
	struct vhd_locator locators[VHD_PARENTS_MAX];
	uint8_t data[3][VHD_LOCATOR_MAX];
	size_t n;
	uint8_t name[VHD_NAME_BYTES];
};
VHD_MUST_CHECK int vhd_parent_text_make(const char *name, const char *windows_path,
					enum vhd_profile profile, uint64_t first_offset,
					struct vhd_parent_text *ret, struct vhd_err *e);
uint32_t vhd_time_stamp(int64_t unix_time); /* 0: now */
/* A random one if it is zero. */
VHD_MUST_CHECK int vhd_uuid_make(struct vhd_uuid *u, struct vhd_err *e);

/* ---- vhd_path.c */
/* A file that gets its name only when it is whole. */
struct vhd_new_file {
	int dir_fd; /* -1: nothing begun */
	char name[256], temporary[256];
};
/* *ret_fd is the caller's. _abort() after _commit() too: it releases. */
VHD_MUST_CHECK int vhd_new_file_begin(const char *path, struct vhd_new_file *ret, int *ret_fd,
				      struct vhd_err *e);
VHD_MUST_CHECK int vhd_new_file_commit(struct vhd_new_file *f, bool is_replacing,
				       struct vhd_err *e);
void vhd_new_file_abort(struct vhd_new_file *f);
/* The way from the directory of `image` (which may not exist yet) to `to`, which does. */
VHD_MUST_CHECK int vhd_path_relative(const char *image, const char *to, char path[VHD_PATH_MAX],
				     struct vhd_err *e);

#endif
