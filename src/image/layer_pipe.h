/* SPDX-License-Identifier: MIT */
/*
 * layer_pipe.h - a blob, while it is still arriving, to records, data and both digests
 */
#ifndef LAYER_PIPE_H
#define LAYER_PIPE_H

#include "unpack.h"

#define LAYER_DIGEST_SIZE 32U /* sha256 */

struct layer_files {
	int blob_fd; /* regular file, perhaps still growing; read by offset */
	/*
	 * Counts of 8 bytes, little-endian: so many bytes of the blob are there now. The end of the
	 * stream makes the last count the blob's length; an end without any count, the file's size.
	 * UINT64_MAX: give up.
	 */
	int count_fd;
	int data_fd, tree_fd;
};

struct layer_result {
	struct unpack_result out;
	uint8_t diff_id[LAYER_DIGEST_SIZE]; /* of the decompressed stream */
	uint8_t blob_digest[LAYER_DIGEST_SIZE];
	uint64_t blob_size;
};

/* Makes threads; they have ended when it returns. */
must_check int layer_unpack(const struct layer_files *f, struct layer_result *ret, struct err *e);

#endif
