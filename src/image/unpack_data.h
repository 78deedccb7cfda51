/* SPDX-License-Identifier: MIT */
/*
 * unpack_data.h - the data file being written: ascending, in large pieces, zeros left out
 */
#ifndef UNPACK_DATA_H
#define UNPACK_DATA_H

#include <stdint.h>

#include "err.h"

#define UNPACK_DATA_BUF (1U << 20)
#define UNPACK_ZERO_RUN (64U << 10) /* pieces of this size with only zeros are not written */

struct unpack_data {
	int fd;
	uint8_t *buf;
	uint64_t off; /* of buf[0] in the file, multiple of LTREE_BLOCK */
	size_t len;   /* bytes in buf */
	uint64_t end; /* what is allocated, multiple of LTREE_BLOCK */
};

must_check int unpack_data_open(struct unpack_data *d, int fd, struct err *e);
/* Room for `len` bytes; at a multiple of 2 MiB when it is that large. */
must_check int unpack_data_alloc(struct unpack_data *d, uint64_t len, uint64_t *ret_off,
				 struct err *e);
/* Inside what was allocated, at or above the end of the last one. */
must_check int unpack_data_put(struct unpack_data *d, uint64_t off, const void *p, size_t len,
			       struct err *e);
must_check int unpack_data_finish(struct unpack_data *d, struct err *e);
void unpack_data_close(struct unpack_data *d);

#endif
