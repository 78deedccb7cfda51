/* SPDX-License-Identifier: MIT */
/*
 * tar_write.h - a tar stream: ustar, with pax headers where that is too small [POSIX.1-2001, pax]
 *
 * Order of calls: for each entry tar_writer_entry(), then for files with a size their contents in
 * order by tar_writer_data(), all of them; at the end tar_writer_finish().
 */
#ifndef TAR_WRITE_H
#define TAR_WRITE_H

#include "buf.h"
#include "layer_write.h"
#include "tar.h"

struct tar_writer {
	struct layer_writer *out; /* borrowed */
	struct buf pax;           /* records of the entry's pax header */
	uint64_t left;            /* bytes of contents that are still to come */
	uint32_t padding;         /* bytes behind them */
};

void tar_writer_init(struct tar_writer *w, struct layer_writer *out);
void tar_writer_done(struct tar_writer *w);

/*
 * `t` as read by tar.h: path and link without NUL; the path of a directory gets its slash here; map
 * only with is_sparse, whose contents are then the pieces of the map, one after the other, and
 * whole blocks of 512 bytes but for the last (GNU tar reads no others). Names of
 * xattrs may not hold '='. acl texts are not used.
 */
must_check int tar_writer_entry(struct tar_writer *w, const struct tar_entry *t, struct err *e);
must_check int tar_writer_data(struct tar_writer *w, const void *data, size_t len, struct err *e);
must_check int tar_writer_finish(struct tar_writer *w, struct err *e);

#endif
