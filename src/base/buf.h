/* SPDX-License-Identifier: MIT */
/*
 * buf.h - a growing byte buffer with a limit
 *
 * Zero-initialise (`struct buf b = { 0 };` or BUF_LIMIT(n)) and let `auto_buf` release it. `data`
 * is always NUL-terminated one byte past `len` once anything was added, so it serves as a string.
 * All adders return 0, or -ENOMEM, or -EFBIG past the limit; the buffer is then unchanged.
 */
#ifndef BUF_H
#define BUF_H

#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"

#define BUF_DEFAULT_MAX (64U << 20) /* what `max` 0 means */

struct buf {
	char *data;
	size_t len, cap;
	size_t max; /* most bytes it may hold; 0 is BUF_DEFAULT_MAX */
};

#define BUF_LIMIT(n)                                                                               \
	{                                                                                          \
		.max = (n)                                                                         \
	}

must_check int buf_reserve(struct buf *b, size_t extra);
must_check int buf_add(struct buf *b, const void *data, size_t len);
must_check int buf_add_str(struct buf *b, const char *s);
must_check int buf_addf(struct buf *b, const char *fmt, ...) printf_like(2, 3);
void buf_consume(struct buf *b, size_t len); /* drop `len` bytes from the front */
void buf_clear(struct buf *b);               /* keeps the memory */
void buf_done(struct buf *b);
char *buf_take_str(struct buf *b); /* the caller frees; NULL only when out of memory */

#define auto_buf __attribute__((cleanup(buf_done))) struct buf

#endif
