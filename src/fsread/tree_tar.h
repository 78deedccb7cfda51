/* SPDX-License-Identifier: MIT */
/*
 * tree_tar.h - a directory tree of a file system as the tar stream of a layer
 */
#ifndef TREE_TAR_H
#define TREE_TAR_H

#include "fsread.h"
#include "layer_write.h"

enum tree_kind {
	TREE_WHOLE, /* a root: the lowest layer */
	TREE_UPPER, /* the upper directory of an overlay: its marks become whiteouts */
};

struct tree_counts {
	uint64_t files;    /* entries of the layer */
	uint64_t left_out; /* what a layer cannot hold: sockets, names that would be whiteouts */
};

/* Called now and then with the bytes of contents read so far; non-zero: -ECANCELED. */
typedef int tree_step_fn(void *arg, uint64_t bytes);

struct tree_source {
	struct fs *fs;
	uint64_t root; /* inode of the directory that is the layer's "/" */
	enum tree_kind kind;
	tree_step_fn *step; /* NULL: none */
	void *step_arg;
};

/*
 * Names in bytewise order, so that the same tree gives the same stream. Directories that contain
 * themselves, or that two names lead to, are -EBADMSG, as are more entries or deeper paths than a
 * layer may have (ltree.h). Errors name the path.
 */
must_check int tree_tar_write(const struct tree_source *s, struct layer_writer *out,
			      struct tree_counts *ret, struct err *e);

#endif
