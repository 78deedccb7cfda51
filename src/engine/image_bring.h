/* SPDX-License-Identifier: MIT */
/*
 * image_bring.h - an image whose blobs are files on this machine, into the store
 */
#ifndef IMAGE_BRING_H
#define IMAGE_BRING_H

#include "doc.h"
#include "engine.h"
#include "ref.h"

struct image_blobs {
	/* A regular file with the blob's bytes, read by offset; the caller closes it. -ENOENT. */
	must_check int (*open)(void *arg, const char *digest, int *ret_fd, struct err *e);
	void *arg;
};

/* `top`: the index or manifest; `tag`: by image_bring_tag(). ret_id is freed by the caller. */
must_check int image_bring(struct engine *g, const struct image_blobs *from,
			   const struct doc_descriptor *top, const char *tag, char **ret_id,
			   struct err *e);

/* The whole name for "NAME[:TAG]". -EINVAL for names with a digest. */
must_check int image_bring_tag(const char *ref, char ret[REF_NORMAL_SIZE], struct err *e);

#endif
