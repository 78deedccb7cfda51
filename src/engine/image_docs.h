/* SPDX-License-Identifier: MIT */
/*
 * image_docs.h - from the digest that a name points at to the documents of one platform's image
 *
 * Whoever has brought the documents is not believed: each is read again, has to have the digest and
 * the size that the one before it names, and is parsed again. What comes out was reachable from the
 * top, and has as many layers as its config says.
 */
#ifndef IMAGE_DOCS_H
#define IMAGE_DOCS_H

#include "buf.h"
#include "doc.h"

#define IMAGE_DOCS_ANY_SIZE UINT64_MAX

struct image_docs {
	struct doc_descriptor top;      /* what the name points at: an index or the manifest */
	struct doc_descriptor manifest; /* of the platform */
	struct doc doc;                 /* the manifest, parsed: config and layers */
	struct doc_config config;
	char indexes[DOC_INDEX_DEPTH][DIGEST_SIZE]; /* on the way, the top first */
	uint32_t n_indexes;
};
void image_docs_done(struct image_docs *d);

/* Append the document's bytes, at most `max` (-EFBIG); what they are is checked here, not there. */
typedef int image_docs_read_fn(void *arg, const char *digest, size_t max, struct buf *ret,
			       struct err *e);

/*
 * top: its size may be IMAGE_DOCS_ANY_SIZE, its media type "". -EBADMSG when something is not what
 * it is said to be, -ENOENT when an index has nothing for the platform.
 */
must_check int image_docs_walk(const struct doc_descriptor *top, const struct platform *want,
			       image_docs_read_fn *read, void *arg, struct image_docs *ret,
			       struct err *e);

#endif
