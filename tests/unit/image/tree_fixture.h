/* SPDX-License-Identifier: MIT */
/*
 * tree_fixture.h - layers written as text, trees printed as text
 *
 * A layer is words, separated by blanks, one record each:
 *   f:PATH=SIZE  d:PATH[=OCTAL]  l:PATH=TARGET  h:PATH=OTHER  w:PATH  o:PATH  p:PATH
 *   c:PATH=MAJOR,MINOR
 * A file's size serves as its name: printed trees show which file stands where.
 */
#ifndef TREE_FIXTURE_H
#define TREE_FIXTURE_H

#include <stddef.h>

#include "buf.h"
#include "err.h"
#include "fstree.h"
#include "ltree.h"

#define FIXTURE_BLOCKS 64U /* in the data of every layer */

/* The layer's tree file. */
void fixture_layer(const char *text, struct buf *ret);

/* The records' tree file; data_len bytes of data. */
void fixture_records(const struct ltree_record *r, size_t n, uint64_t data_len, struct buf *ret);

int fixture_apply(struct fstree *t, const struct buf *layer, struct err *e);

/*
 * All names below the root, sorted bytewise, each followed by what it is: "a/" (a directory of
 * 0755; another mode follows), "a=7" (a file of 7 bytes), "a>t" (symlink), "a|" (fifo), "a%1,3"
 * (device).
 */
void fixture_print(const struct fstree *t, struct buf *ret);

#endif
