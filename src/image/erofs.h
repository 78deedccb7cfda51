/* SPDX-License-Identifier: MIT */
/*
 * erofs.h - writes the EROFS metadata of a tree of files
 *
 * Only what Linux 6.1 and later can read: no compression, no device table, 4 KiB blocks. File data
 * is not copied: inodes point at blocks of the virtual disk, where the layers' data files are.
 * Layout and rules: doc/format/image-disk.md.
 */
#ifndef EROFS_H
#define EROFS_H

#include <stdint.h>

#include "err.h"
#include "fstree.h"

#define EROFS_BLOCK      4096U
#define EROFS_BLOCKS_MAX 0xffffffffULL /* of a disk; the number itself marks a hole */
#define EROFS_META_MAX   (2ULL << 30)  /* bytes */
#define EROFS_MAP_MAX    (64ULL << 20) /* bytes of the chunk map of one sparse file */
#define EROFS_XATTRS_MAX 262144U       /* bytes of the xattrs of one inode */
#define EROFS_SIZE_MAX   (UINT64_MAX / 2)

struct erofs_place {                  /* where things are on the virtual disk */
	const uint8_t *uuid;          /* 16 bytes */
	const uint64_t *layer_block;  /* first block of each layer's data */
	const uint64_t *layer_blocks; /* how many it has */
	uint32_t n_layers;
	uint64_t meta_block; /* first block of the metadata */
};

/*
 * Writes the metadata to `fd` at offset 0; its first block is also block 0 of the disk. Spends the
 * tree: one call for each. The length is a multiple of EROFS_BLOCK. Errors name the path.
 */
must_check int erofs_write(struct fstree *t, const struct erofs_place *p, int fd, uint64_t *ret_len,
			   uint64_t *ret_inodes, struct err *e);

#endif
