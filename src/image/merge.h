/* SPDX-License-Identifier: MIT */
/*
 * merge.h - the layers of an image as one EROFS metadata file
 *
 * Input: the trees of all layers, lowest first. Output: the image's metadata file. The virtual disk
 * is one block (a copy of the metadata's first block, which holds the superblock), then the data of
 * each layer at a multiple of LTREE_ALIGN, then the whole metadata file at a multiple of 4 KiB; the
 * addresses of a layer depend only on the layers before it. Layers with no data take no space.
 * Deterministic: the same trees give the same bytes. Pure but for the output descriptor.
 */
#ifndef MERGE_H
#define MERGE_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define MERGE_LAYERS_MAX 512U
#define MERGE_INODES_MAX 16777216U

struct merge_layer {
	const void *tree; /* whole tree file */
	size_t tree_len;
};

struct merge_part { /* one piece of the virtual disk, ascending, without overlap; gaps read as zeros
		     */
	enum merge_part_kind { MERGE_PART_META_HEAD, MERGE_PART_LAYER, MERGE_PART_META } kind;
	uint32_t layer;    /* index, MERGE_PART_LAYER */
	uint64_t disk_off; /* bytes, multiple of 4 KiB */
	uint64_t file_off; /* bytes within the layer's data file or the metadata file */
	uint64_t len;      /* bytes, multiple of 4 KiB */
};

struct merge_result {
	struct merge_part parts[MERGE_LAYERS_MAX + 2];
	uint32_t n_parts;
	uint64_t disk_len; /* bytes of the virtual disk */
	uint64_t meta_len; /* bytes of the metadata file */
	uint64_t n_inodes;
};

/*
 * uuid: 16 bytes that name the image (from the digests of its layers), written to the superblock.
 * Writes the metadata to meta_fd from its start. Errors name the layer and the path.
 */
must_check int merge_layers(const struct merge_layer *layers, uint32_t n_layers,
			    const uint8_t uuid[16], int meta_fd, struct merge_result *ret,
			    struct err *e);

#endif
