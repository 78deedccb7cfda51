/* SPDX-License-Identifier: MIT */
/*
 * inflate.h - a layer's blob, decompressed as a stream
 *
 * What the compression is, is read from the bytes, not from the media type: gzip of any number of
 * members, zstd of any number of frames, else the bytes as they are. Checksums are verified. Bytes
 * after the end are refused, but for zeros after gzip.
 */
#ifndef INFLATE_H
#define INFLATE_H

#include "byte_source.h"

#define INFLATE_OUT_MAX         (64ULL << 30) /* of one layer */
#define INFLATE_RATIO_MAX       1100U         /* gzip's own limit is 1032 */
#define INFLATE_RATIO_FREE      (1ULL << 30)  /* output below this may have any ratio */
#define INFLATE_ZSTD_WINDOW_LOG 27            /* 128 MiB; what zstd itself decodes unasked */

struct inflate;

/* The source is borrowed and copied. */
must_check int inflate_new(const struct byte_source *src, struct inflate **ret, struct err *e);
/* Fills `out`; less than `cap` bytes only at the end, 0 at it and ever after. */
must_check int inflate_read(struct inflate *z, void *out, size_t cap, size_t *ret_n, struct err *e);
void inflate_free(struct inflate *z); /* NULL is fine */

#endif
