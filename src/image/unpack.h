/* SPDX-License-Identifier: MIT */
/*
 * unpack.h - the tar stream of one layer as records (ltree.h) and a data file
 *
 * No path of the layer is ever used on the host. Dropped without a word: what no file system of
 * ours can hold or must not (marks of overlayfs and aufs, extended attributes of unknown kinds,
 * "user." ones of what is neither file nor directory, access lists that only name names).
 */
#ifndef UNPACK_H
#define UNPACK_H

#include <stdint.h>

#include "byte_source.h"

#define UNPACK_DATA_MAX (160ULL << 30) /* of one layer's data file, holes and padding included */

struct unpack_result {
	uint64_t data_len, n_records;
};

/* Both files are written from their start; the data file is cut to nothing first. */
must_check int unpack_tar(const struct byte_source *src, int data_fd, int tree_fd,
			  struct unpack_result *ret, struct err *e);

#endif
