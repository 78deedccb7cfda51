/* SPDX-License-Identifier: MIT */
/*
 * convert.h - the layers of one image, turned into layer files while they arrive
 *
 * A layer is converted once per store: one that is there is done from the start, one that another
 * process is making is waited for. A few run at the same time, in the order in which their bytes
 * come. What comes out is checked against the digests of the image's documents before it is kept.
 */
#ifndef CONVERT_H
#define CONVERT_H

#include "engine.h"
#include "loop.h"
#include "store_write.h"

struct convert;

struct convert_ops {
	void (*layer_done)(void *arg, const char *blob); /* its layers are all done */
	void (*failed)(void *arg, const struct err *e);  /* once; nothing runs after it */
	void *arg;
};

must_check int convert_new(struct engine *g, struct store_ingest *in, struct loop *l,
			   const struct convert_ops *ops, struct convert **ret, struct err *e);
void convert_free(struct convert *c); /* kills what runs; NULL is fine */

/* One call per layer of the image, lowest first; repeated layers are fine. */
must_check int convert_add(struct convert *c, const char *diff_id, const char *blob, uint64_t size,
			   struct err *e);

/* Bytes of a blob: fd as unpack_job.h has it. Both descriptors are taken over. */
void convert_source(struct convert *c, const char *blob, int fd, int count_fd);
/* The blob is in the store or in partial/, whole. */
void convert_blob_done(struct convert *c, const char *blob);

bool convert_is_done(const struct convert *c);
bool convert_blob_is_needed(const struct convert *c, const char *blob);

/* All layers are there: make the image's metadata, unless it is there too. Blocks. */
must_check int convert_merge(struct engine *g, struct store_ingest *in, const char *image_id,
			     const char (*diff_ids)[80], uint32_t n, struct err *e);

#endif
