/* SPDX-License-Identifier: MIT */
/*
 * image_take.h - an image on its way into the store, wherever its bytes come from
 *
 * Pull and import say which documents name the image and where each blob's bytes are; the layers
 * are converted while they arrive. Order of calls: new, docs (or layer for each), here/source for
 * the blobs as they come, ended, run, commit. A failure is kept and returned by run.
 */
#ifndef IMAGE_TAKE_H
#define IMAGE_TAKE_H

#include "engine.h"
#include "image_docs.h"
#include "loop.h"
#include "store_write.h"

struct image_take;

must_check int image_take_new(struct engine *g, const struct progress_ops *p,
			      struct image_take **ret, struct err *e);
void image_take_free(struct image_take *t); /* NULL is fine; what is not committed is not named */
struct store_ingest *image_take_ingest(struct image_take *t); /* borrowed, as what follows */
struct loop *image_take_loop(struct image_take *t);

/* A document that is in the store or in partial/. One that is damaged is given out, and forgotten.
 */
must_check int image_take_document(struct image_take *t, const char *digest, size_t max,
				   struct buf *ret, struct err *e);
/* The documents are in the store or in partial/: read, check, and expect their layers. */
must_check int image_take_docs(struct image_take *t, const struct doc_descriptor *top,
			       const struct platform *want, struct err *e);
const struct image_docs *image_take_image(const struct image_take *t); /* NULL before that */
/* One more layer, lowest first, where there are no documents to read. */
must_check int image_take_layer(struct image_take *t, const char *diff_id, const char *blob,
				uint64_t size, struct err *e);

enum take_how { TAKE_FOUND, TAKE_ARRIVED };
/* A blob is in the store or in partial/, whole. Blobs that are no layers are passed over. */
void image_take_here(struct image_take *t, const char *blob, enum take_how how);
/* A layer's bytes begin to come. Descriptors as convert_source(); taken over in any case. */
void image_take_source(struct image_take *t, const char *blob, uint64_t size, int fd, int count_fd);
void image_take_progress(struct image_take *t, const char *blob, uint64_t done);
void image_take_retrying(struct image_take *t, const char *blob);

void image_take_ended(struct image_take *t);                     /* all blobs are here */
void image_take_fail(struct image_take *t, const struct err *e); /* the first one counts */

/* Run the loop until the blobs are here and converted, or something failed. */
must_check int image_take_run(struct image_take *t, struct err *e);
/* Metadata, names, records. NULL: no such name. */
must_check int image_take_commit(struct image_take *t, const char *tag_ref, const char *digest_ref,
				 struct err *e);

#endif
