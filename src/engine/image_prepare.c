/* SPDX-License-Identifier: MIT */
/*
 * image_prepare.c - the disk of an image that is in the store, made anew where it is missing
 *
 * After a power cut during the first run, or when its files were removed by hand: the blobs are
 * kept for pushing, and the layers can be made of them again.
 */
#include "convert.h"
#include "engine_internal.h"
#include "image_take.h"
#include "store_write.h"

struct parts {
	struct store_ids layers;
	struct store_blob *blobs; /* config first */
	uint32_t n_blobs;
};

static int parts_find(struct store *s, const char *image_id, struct parts *p, struct err *e)
{
	struct store_blob manifest;
	char digest[80];

	if (store_image_layers(s, image_id, &p->layers, e) < 0 ||
	    store_image_manifest(s, image_id, digest, e) < 0 ||
	    store_manifest_blobs(s, digest, &manifest, &p->blobs, &p->n_blobs, e) < 0)
		return -e->code;
	if (p->n_blobs != p->layers.n + 1)
		return err_plain(e, EBADMSG, "the records of image %.19s do not fit one another",
				 image_id);
	return 0;
}

static int disk_make(struct engine *g, struct image_take *t, const char *image_id,
		     const struct parts *p, struct err *e)
{
	for (uint32_t i = 0; i < p->layers.n; i++)
		if (image_take_layer(t, p->layers.v[i], p->blobs[i + 1].digest,
				     p->blobs[i + 1].size, e) < 0)
			return -e->code;
	for (uint32_t i = 0; i < p->layers.n; i++)
		image_take_here(t, p->blobs[i + 1].digest, TAKE_FOUND);
	image_take_ended(t);
	if (image_take_run(t, e) < 0 ||
	    convert_merge(g, image_take_ingest(t), image_id, (const char(*)[80])p->layers.v,
			  p->layers.n, e) < 0)
		return -e->code;
	return store_ingest_commit_disk(image_take_ingest(t), image_id, e);
}

int engine_image_prepare(struct engine *g, const char *image_id, struct err *e)
{
	struct store_disk disk;
	struct image_take *t = NULL;
	struct parts p = { 0 };
	struct err missing = { 0 }; /* the reason does not matter: it is made anew */
	struct store *s;
	int rc;

	if (engine_store_need(g, &s, e) < 0)
		return -e->code;
	if (store_image_disk(s, image_id, &disk, &missing) == 0) {
		store_disk_done(&disk);
		return 0;
	}
	rc = parts_find(s, image_id, &p, e);
	if (rc == 0)
		rc = image_take_new(g, NULL, &t, e);
	if (rc == 0 && disk_make(g, t, image_id, &p, e) < 0)
		rc = err_wrap(e, "prepare image %.19s", image_id);
	image_take_free(t);
	store_ids_done(&p.layers);
	free(p.blobs);
	return rc;
}
