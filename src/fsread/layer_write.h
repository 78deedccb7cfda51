/* SPDX-License-Identifier: MIT */
/*
 * layer_write.h - a tar stream becomes a layer's blob: gzip, with both digests
 */
#ifndef LAYER_WRITE_H
#define LAYER_WRITE_H

#include <stdint.h>

#include "err.h"

#define LAYER_WRITE_DIGEST 80U /* "sha256:" and 64 hex digits, NUL */

struct layer_writer;

/* To `fd` (borrowed), from where it stands. The same stream gives the same bytes. */
must_check int layer_writer_new(int fd, struct layer_writer **ret, struct err *e);
must_check int layer_writer_add(struct layer_writer *w, const void *data, size_t len,
				struct err *e);

struct layer_written {
	char diff_id[LAYER_WRITE_DIGEST]; /* of the tar stream */
	char blob[LAYER_WRITE_DIGEST];    /* of what is in the file */
	uint64_t size;                    /* of that */
};
/* Nothing may be added any more. */
must_check int layer_writer_finish(struct layer_writer *w, struct layer_written *ret,
				   struct err *e);
void layer_writer_free(struct layer_writer *w); /* NULL is fine */

#endif
