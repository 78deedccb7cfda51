/* SPDX-License-Identifier: MIT */
/* text.h - text of strangers, sizes and times, as people read them; columns */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"

/* Append with control characters (C0, DEL, C1 in UTF-8) as \xNN, so that it cannot drive a
 * terminal. */
must_check int text_escape(struct buf *b, const char *in, size_t len);
/* At most `max` characters (not bytes), the last one an ellipsis where something was cut. */
must_check int text_shorten(struct buf *b, const char *in, size_t max);
size_t text_width(const char *in, size_t len); /* characters */

/* "1.23MB" with `digits` significant digits, decimal units as Docker's. */
void size_text(uint64_t bytes, int digits, char *ret, size_t len);
/* "About a minute", "3 weeks"; what Docker prints before " ago". */
void duration_text(int64_t seconds, char *ret, size_t len);

/*
 * Lines of cells separated by tabs, aligned: columns are at least 10 wide and 3 apart, the last
 * cell of a line has no padding.
 */
must_check int columns_align(struct buf *out, const char *lines, size_t len);

#endif
