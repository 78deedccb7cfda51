/* SPDX-License-Identifier: MIT */
/*
 * layer_path.h - names in a layer: made plain, and what whiteout names mean
 */
#ifndef LAYER_PATH_H
#define LAYER_PATH_H

#include <stdint.h>

#include "buf.h"
#include "err.h"

enum layer_path_kind {
	LAYER_PATH_PLAIN,
	LAYER_PATH_WHITEOUT, /* the path, without the mark, goes from lower layers */
	LAYER_PATH_OPAQUE,   /* the path is the directory */
	LAYER_PATH_DROP,     /* leftover of aufs */
};

/*
 * Into `ret`: relative, without empty, "." and ".." components and trailing slash; "" is the root.
 * ".." is taken back by text alone, as no link of a layer is ever followed here. Leaving the root,
 * names and paths beyond the limits of ltree.h: -EBADMSG.
 */
must_check int layer_path_normalise(const char *raw, struct buf *ret, struct err *e);

/* What a normalised path is; it is changed to what the mark speaks of. Bad marks: -EBADMSG. */
must_check int layer_path_classify(struct buf *path, enum layer_path_kind *ret, struct err *e);

#endif
