/* SPDX-License-Identifier: MIT */
/*
 * merge.c - [U] the layers of an image as one EROFS metadata file
 *
 * Block 0 of the disk is the metadata's first block, for the superblock; layers follow at multiples
 * of LTREE_ALIGN, so that their large files can be mapped by huge pages, and the metadata is last,
 * so that it never moves a layer.
 */
#include "merge.h"

#include "bytes.h"
#include "erofs.h"
#include "fstree.h"
#include "ltree.h"

#define DISK_MAX (EROFS_BLOCKS_MAX * EROFS_BLOCK)

struct layer_places {
	uint64_t block[MERGE_LAYERS_MAX], blocks[MERGE_LAYERS_MAX];
};

static void part_add(struct merge_result *r, enum merge_part_kind kind, uint32_t layer,
		     uint64_t disk_off, uint64_t len)
{
	r->parts[r->n_parts++] = (struct merge_part){
		.kind = kind, .layer = layer, .disk_off = disk_off, .len = len
	};
	r->disk_len = disk_off + len;
}

static int layer_place(struct merge_result *r, uint32_t layer, uint64_t len,
		       struct layer_places *places, struct err *e)
{
	uint64_t at = align_up(r->disk_len, LTREE_ALIGN);

	if (len % LTREE_BLOCK != 0)
		return err_plain(e, EINVAL, "its data is no whole number of blocks");
	if (!range_fits(at, len, DISK_MAX))
		return err_plain(e, EFBIG, "the image's disk would be larger than 16 TiB");
	places->block[layer] = at / EROFS_BLOCK;
	places->blocks[layer] = len / EROFS_BLOCK;
	if (len > 0)
		part_add(r, MERGE_PART_LAYER, layer, at, len);
	return 0;
}

static int layer_merge(struct fstree *t, const struct merge_layer *l, uint32_t layer,
		       struct layer_places *places, struct merge_result *ret, struct err *e)
{
	struct ltree_reader *r;

	if (ltree_reader_new(l->tree, l->tree_len, &r, e) < 0)
		return err_wrap(e, "layer %u", layer + 1);
	if (layer_place(ret, layer, ltree_reader_data_len(r), places, e) == 0)
		e->code = -fstree_apply(t, r, e);
	ltree_reader_free(r);
	return e->code ? err_wrap(e, "layer %u", layer + 1) : 0;
}

int merge_layers(const struct merge_layer *layers, uint32_t n_layers, const uint8_t uuid[16],
		 int meta_fd, struct merge_result *ret, struct err *e)
{
	auto_free struct layer_places *places = calloc(1, sizeof(*places));
	struct erofs_place place = { .uuid = uuid, .n_layers = n_layers };
	struct fstree *t;
	int r = 0;

	*ret = (struct merge_result){ 0 };
	*e = (struct err){ 0 };
	if (n_layers > MERGE_LAYERS_MAX)
		return err_plain(e, EINVAL, "more than %u layers", MERGE_LAYERS_MAX);
	if (!places)
		return err_set(e, ENOMEM, "merge");
	if (fstree_new(&t, e) < 0)
		return -e->code;
	part_add(ret, MERGE_PART_META_HEAD, 0, 0, EROFS_BLOCK);
	for (uint32_t k = 0; r == 0 && k < n_layers; k++)
		r = layer_merge(t, &layers[k], k, places, ret, e);
	if (r == 0) {
		place.layer_block = places->block;
		place.layer_blocks = places->blocks;
		place.meta_block = ret->disk_len / EROFS_BLOCK;
		r = erofs_write(t, &place, meta_fd, &ret->meta_len, &ret->n_inodes, e);
	}
	if (r == 0)
		part_add(ret, MERGE_PART_META, 0, ret->disk_len, ret->meta_len);
	fstree_free(t);
	return r;
}
