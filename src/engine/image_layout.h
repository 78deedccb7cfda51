/* SPDX-License-Identifier: MIT */
/* image_layout.h - which image of an OCI layout's index.json is meant. Pure. */
#ifndef IMAGE_LAYOUT_H
#define IMAGE_LAYOUT_H

#include "doc.h"

/*
 * name: the entry's org.opencontainers.image.ref.name; NULL: the only entry, else the one for the
 * platform. -ENOENT says which names there are.
 */
must_check int image_layout_choose(const char *json, size_t len, const char *name,
				   const struct platform *want, struct doc_descriptor *ret,
				   struct err *e);
/* The file "oci-layout" is one of a version that we know. */
must_check int image_layout_check(const char *json, size_t len, struct err *e);

#endif
