/* SPDX-License-Identifier: MIT */
/*
 * cpio.h - writer of the "newc" cpio archives that Linux takes as initrd
 *
 * Source: Linux Documentation/driver-api/early-userspace/buffer-format.rst. Archives may be
 * concatenated: each call of cpio_end() closes one.
 */
#ifndef CPIO_H
#define CPIO_H

#include <stdint.h>

#include "buf.h"

must_check int cpio_add(struct buf *out, const char *path, uint32_t mode /* with type */,
			const void *data, size_t len);
must_check int cpio_end(struct buf *out);

#endif
