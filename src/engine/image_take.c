/* SPDX-License-Identifier: MIT */
/*
 * image_take.c - the common path of pull, import and prepare
 *
 * A layer is through when its blob is here and it is converted; the image, when all are and the
 * source has said that it has told everything. The first failure stops the loop.
 */
#include "image_take.h"

#include <string.h>

#include "convert.h"
#include "engine_internal.h"
#include "fdio.h"

enum { RUN_DONE, RUN_FAILED }; /* what the loop is left with */

struct take_layer {
	char blob[DIGEST_SIZE];
	uint64_t size;
	bool is_here;
};

struct image_take {
	struct engine *g;
	struct store_ingest *in;
	struct loop *loop;
	struct convert *convert;
	const struct progress_ops *progress;
	struct image_docs docs;
	bool has_docs, has_ended, has_failed;
	struct take_layer *layers; /* as many as were added; a blob may come twice */
	uint32_t n;
	struct err err;
};

static void look_if_done(struct image_take *t)
{
	if (!t->has_failed && t->has_ended && convert_is_done(t->convert))
		loop_quit(t->loop, RUN_DONE);
}

static struct take_layer *layer_find(struct image_take *t, const char *blob)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (strcmp(t->layers[i].blob, blob) == 0)
			return &t->layers[i];
	return NULL;
}

/* ---- convert's callbacks ---- */

static void on_layer_done(void *arg, const char *blob)
{
	struct image_take *t = arg;
	const struct take_layer *y = layer_find(t, blob);

	if (y && y->is_here)
		engine_show(t->progress, blob, PROGRESS_DONE, y->size, y->size);
	look_if_done(t);
}

static void on_failed(void *arg, const struct err *e)
{
	image_take_fail(arg, e);
}

/* ---- for the caller ---- */

int image_take_new(struct engine *g, const struct progress_ops *p, struct image_take **ret,
		   struct err *e)
{
	struct image_take *t = calloc(1, sizeof(*t));
	const struct convert_ops ops = { .layer_done = on_layer_done,
					 .failed = on_failed,
					 .arg = t };
	struct store *s;

	if (!t)
		return err_set(e, ENOMEM, "image");
	t->g = g;
	t->progress = p;
	t->layers = calloc(MERGE_LAYERS_MAX, sizeof(*t->layers));
	if (!t->layers)
		(void)err_set(e, ENOMEM, "image");
	if (!t->layers || engine_store_need(g, &s, e) < 0 || store_ingest_begin(s, &t->in, e) < 0 ||
	    loop_new(&t->loop, e) < 0 || convert_new(g, t->in, t->loop, &ops, &t->convert, e) < 0) {
		image_take_free(t);
		return -e->code;
	}
	*ret = t;
	return 0;
}

void image_take_free(struct image_take *t)
{
	if (!t)
		return;
	convert_free(t->convert);
	loop_free(t->loop);
	store_ingest_end(t->in);
	if (t->has_docs)
		image_docs_done(&t->docs);
	free(t->layers);
	free(t);
}

struct store_ingest *image_take_ingest(struct image_take *t)
{
	return t->in;
}

struct loop *image_take_loop(struct image_take *t)
{
	return t->loop;
}

const struct image_docs *image_take_image(const struct image_take *t)
{
	return t->has_docs ? &t->docs : NULL;
}

int image_take_layer(struct image_take *t, const char *diff_id, const char *blob, uint64_t size,
		     struct err *e)
{
	struct take_layer *y;

	if (t->n == MERGE_LAYERS_MAX)
		return err_plain(e, E2BIG, "an image of more than %u layers", MERGE_LAYERS_MAX);
	y = &t->layers[t->n];
	if (convert_add(t->convert, diff_id, blob, size, e) < 0)
		return -e->code;
	snprintf(y->blob, sizeof(y->blob), "%s", blob);
	y->size = size;
	t->n++;
	engine_show(t->progress, blob, PROGRESS_WAITING, 0, size);
	return 0;
}

int image_take_document(struct image_take *t, const char *digest, size_t max, struct buf *ret,
			struct err *e)
{
	char found[DIGEST_SIZE];
	auto_fd fd = -1;
	int rc;

	if (store_ingest_blob_open(t->in, digest, 0, &fd, e) < 0)
		return -e->code;
	ret->max = max;
	rc = fd_read_all(fd, ret);
	if (rc < 0)
		return err_set(e, -rc, "read");
	if (digest_of(ret->data ? ret->data : "", ret->len, found, e) < 0)
		return -e->code;
	if (strcmp(found, digest) != 0)
		store_ingest_blob_spoil(t->in, digest); /* the next try brings it anew */
	return 0;
}

static int document_read(void *arg, const char *digest, size_t max, struct buf *ret, struct err *e)
{
	return image_take_document(arg, digest, max, ret, e);
}

int image_take_docs(struct image_take *t, const struct doc_descriptor *top,
		    const struct platform *want, struct err *e)
{
	const struct image_docs *d = &t->docs;

	if (t->has_docs)
		return err_plain(e, EBADMSG, "a second image in one go");
	if (image_docs_walk(top, want, document_read, t, &t->docs, e) < 0)
		return -e->code;
	t->has_docs = true;
	for (uint32_t i = 0; i < d->doc.n; i++)
		if (image_take_layer(t, d->config.diff_ids[i], d->doc.list[i].digest,
				     d->doc.list[i].size, e) < 0)
			return -e->code;
	return 0;
}

void image_take_here(struct image_take *t, const char *blob, enum take_how how)
{
	struct take_layer *y = layer_find(t, blob);

	if (!y || t->has_failed)
		return;
	y->is_here = true;
	if (!convert_blob_is_needed(t->convert, blob)) {
		engine_show(t->progress, blob, how == TAKE_FOUND ? PROGRESS_EXISTS : PROGRESS_DONE,
			    y->size, y->size);
		look_if_done(t);
		return;
	}
	engine_show(t->progress, blob, PROGRESS_EXTRACTING, 0, 0);
	convert_blob_done(t->convert, blob);
}

void image_take_source(struct image_take *t, const char *blob, uint64_t size, int fd, int count_fd)
{
	struct take_layer *y = layer_find(t, blob);
	struct err e = { 0 };

	if (y && y->size != size) {
		(void)err_plain(&e, EBADMSG,
				"layer %.19s does not have the size its manifest tells", blob);
		image_take_fail(t, &e);
	}
	if (!y || t->has_failed) {
		fd_drop(&fd);
		fd_drop(&count_fd);
		return;
	}
	engine_show(t->progress, blob, PROGRESS_DOWNLOADING, 0, size);
	convert_source(t->convert, blob, fd, count_fd);
}

void image_take_progress(struct image_take *t, const char *blob, uint64_t done)
{
	const struct take_layer *y = layer_find(t, blob);

	if (y && !y->is_here)
		engine_show(t->progress, blob, PROGRESS_DOWNLOADING, MIN_OF(done, y->size),
			    y->size);
}

void image_take_retrying(struct image_take *t, const char *blob)
{
	if (layer_find(t, blob))
		engine_show(t->progress, blob, PROGRESS_RETRYING, 0, 0);
}

void image_take_ended(struct image_take *t)
{
	t->has_ended = true;
	look_if_done(t);
}

void image_take_fail(struct image_take *t, const struct err *e)
{
	if (t->has_failed)
		return;
	t->has_failed = true;
	t->err = *e;
	loop_quit(t->loop, RUN_FAILED);
}

int image_take_run(struct image_take *t, struct err *e)
{
	int rc = RUN_DONE;

	/* what was found out before the loop runs is not heard by it */
	if (!t->has_failed && !(t->has_ended && convert_is_done(t->convert)))
		rc = loop_run(t->loop, e);
	if (rc < 0)
		return rc;
	if (!t->has_failed)
		return 0;
	*e = t->err;
	return -e->code;
}

/* ---- commit ---- */

static void blob_of(const struct doc_descriptor *d, struct store_blob *ret)
{
	snprintf(ret->digest, sizeof(ret->digest), "%s", d->digest);
	snprintf(ret->media_type, sizeof(ret->media_type), "%s", d->media_type);
	ret->size = d->size;
}

int image_take_commit(struct image_take *t, const char *tag_ref, const char *digest_ref,
		      struct err *e)
{
	const struct image_docs *d = &t->docs;
	auto_free struct store_blob *blobs = calloc(d->doc.n + 1, sizeof(*blobs));
	struct store_blob manifest = { 0 };
	const struct store_new_image img = {
		.id = d->doc.config.digest,
		.os = d->config.platform.os,
		.architecture = d->config.platform.architecture,
		.variant = d->config.platform.variant,
		.created_ns = d->config.created_ns,
		.manifest = &manifest,
		.blobs = blobs,
		.n_blobs = d->doc.n + 1,
		.diff_ids = (const char(*)[80])d->config.diff_ids,
		.n_layers = d->config.n_diff_ids,
		.docs = d->indexes,
		.n_docs = d->n_indexes,
		.digest = d->top.digest,
		.tag_ref = tag_ref,
		.digest_ref = digest_ref,
	};

	if (!blobs)
		return err_set(e, ENOMEM, "image");
	blob_of(&d->manifest, &manifest);
	blob_of(&d->doc.config, &blobs[0]);
	for (uint32_t i = 0; i < d->doc.n; i++)
		blob_of(&d->doc.list[i], &blobs[i + 1]);
	if (convert_merge(t->g, t->in, img.id, img.diff_ids, img.n_layers, e) < 0)
		return -e->code;
	return store_ingest_commit(t->in, &img, e);
}
