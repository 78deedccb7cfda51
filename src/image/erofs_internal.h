/* SPDX-License-Identifier: MIT */
/*
 * erofs_internal.h - the plan between the two halves of the EROFS writer
 */
#ifndef EROFS_INTERNAL_H
#define EROFS_INTERNAL_H

#include "erofs.h"

#define EROFS_SLOT           32U
#define EROFS_SUPER_OFF      1024U
#define EROFS_SUPER_LEN      128U
#define EROFS_COMPACT        32U
#define EROFS_EXTENDED       64U
#define EROFS_DIRENT         12U
#define EROFS_XATTR_HEAD     12U
#define EROFS_XATTR_ENTRY    4U
#define EROFS_SHARED_MAX     255U  /* ids on one inode */
#define EROFS_TAIL_MAX       2048U /* a longer last block of a directory or symlink gets its own */
#define EROFS_HOLE           0xffffffffU
#define EROFS_CHUNK_BITS_MAX 30U /* 1 GiB */

enum erofs_layout { EROFS_PLAIN = 0, EROFS_INLINE = 2, EROFS_CHUNK = 4 };

struct erofs_plan {
	struct fstree *tree;
	const struct erofs_place *place;
	struct fs_inode **inodes; /* in the order of their slots' planning; the root is first */
	size_t n_inodes;
	struct fs_inode **dirs; /* parents before children */
	size_t n_dirs;
	struct fs_xattr **shared; /* sorted */
	size_t n_shared, shared_cap;
	int64_t build_time;
	uint32_t build_nsec;
	uint64_t cursor;          /* bytes of the inode area in use */
	uint64_t gap_at, gap_end; /* free bytes that an inline tail left before `cursor` */
	uint64_t xattr_off;       /* of the shared area, bytes */
	uint64_t blocks;          /* of directories and symlinks: how many */
	uint64_t blocks_off;      /* where, bytes */
	uint64_t meta_len;
};

/* Everything but the bytes: order, link counts, sizes, addresses. plan_done() also after errors. */
must_check int erofs_plan_make(struct fstree *t, const struct erofs_place *place,
			       struct erofs_plan *ret, struct err *e);
void erofs_plan_done(struct erofs_plan *p);

/* A sparse or scattered file's runs: extents that follow each other in file and data are one. */
struct erofs_run {
	uint64_t from, to; /* file blocks */
	uint64_t data;     /* block in the layer's data */
};
/* The run that begins with extent *k; advances *k past it. */
struct erofs_run erofs_run_next(const struct fs_inode *i, uint32_t *k);

uint64_t erofs_map_len(const struct fs_inode *i);

#endif
