/* SPDX-License-Identifier: MIT */
/* text.c - [U] text of strangers, sizes and times, as people read them; columns */
#include <inttypes.h>
#include <string.h>

#include "text.h"

#define CELL_MIN     10U
#define CELL_SPACING 3U
#define COLUMNS_MAX  64U
#define ELLIPSIS     "\xe2\x80\xa6"

static bool is_continuation(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

int text_escape(struct buf *b, const char *in, size_t len)
{
	int rc = 0;

	for (size_t i = 0; i < len && rc == 0; i++) {
		unsigned char c = (unsigned char)in[i];
		unsigned char next = i + 1 < len ? (unsigned char)in[i + 1] : 0;

		if (c < 0x20 || c == 0x7f) {
			rc = buf_addf(b, "\\x%02x", c);
		} else if (c == 0xc2 && next >= 0x80 && next < 0xa0) {
			rc = buf_addf(b, "\\x%02x", next);
			i++;
		} else {
			rc = buf_add(b, &in[i], 1);
		}
	}
	return rc;
}

size_t text_width(const char *in, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += !is_continuation(in[i]);
	return n;
}

int text_shorten(struct buf *b, const char *in, size_t max)
{
	size_t len = strlen(in), n = 0, i = 0;

	if (text_width(in, len) <= max)
		return buf_add_str(b, in);
	for (; i < len; i++) {
		n += !is_continuation(in[i]);
		if (n == max)
			break;
	}
	if (buf_add(b, in, i) < 0)
		return -ENOMEM;
	return buf_add_str(b, ELLIPSIS);
}

void size_text(uint64_t bytes, int digits, char *ret, size_t len)
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
	double v = (double)bytes;
	double limit = digits >= 4 ? 999.95 : 999.5; /* what would be rounded up to 1000 */
	size_t u = 0;

	while (v >= limit && u + 1 < ARRAY_SIZE(units) && (u > 0 || v >= 1000)) {
		v /= 1000;
		u++;
	}
	snprintf(ret, len, "%.*g%s", digits, v, units[u]);
}

void duration_text(int64_t s, char *ret, size_t len)
{
	int64_t hours = (s + 1800) / 3600;

	if (s < 1)
		snprintf(ret, len, "Less than a second");
	else if (s == 1)
		snprintf(ret, len, "1 second");
	else if (s < 60)
		snprintf(ret, len, "%" PRId64 " seconds", s);
	else if (s < 120)
		snprintf(ret, len, "About a minute");
	else if (s < 3600)
		snprintf(ret, len, "%" PRId64 " minutes", s / 60);
	else if (hours == 1)
		snprintf(ret, len, "About an hour");
	else if (hours < 48)
		snprintf(ret, len, "%" PRId64 " hours", hours);
	else if (hours < 24 * 7 * 2)
		snprintf(ret, len, "%" PRId64 " days", hours / 24);
	else if (hours < 24 * 30 * 2)
		snprintf(ret, len, "%" PRId64 " weeks", hours / 24 / 7);
	else if (hours < 24 * 365 * 2)
		snprintf(ret, len, "%" PRId64 " months", hours / 24 / 30);
	else
		snprintf(ret, len, "%" PRId64 " years", hours / 24 / 365);
}

/* Calls once per cell; a cell's column gets as wide as its widest. */
static void widths_measure(const char *text, size_t len, size_t widths[COLUMNS_MAX])
{
	size_t start = 0, col = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] != '\t' && text[i] != '\n')
			continue;
		if (text[i] == '\t' && col < COLUMNS_MAX) {
			size_t w = text_width(text + start, i - start) + CELL_SPACING;

			widths[col] = MAX_OF(widths[col], MAX_OF(w, CELL_MIN));
		}
		col = text[i] == '\n' ? 0 : col + 1;
		start = i + 1;
	}
}

int columns_align(struct buf *out, const char *text, size_t len)
{
	size_t widths[COLUMNS_MAX] = { 0 };
	size_t start = 0, col = 0;

	widths_measure(text, len, widths);
	for (size_t i = 0; i < len; i++) {
		size_t pad = 1;

		if (text[i] != '\t' && text[i] != '\n')
			continue;
		if (buf_add(out, text + start, i - start) < 0)
			return -ENOMEM;
		if (text[i] == '\n') {
			if (buf_add(out, "\n", 1) < 0)
				return -ENOMEM;
			col = 0;
		} else {
			if (col < COLUMNS_MAX)
				pad = widths[col] - text_width(text + start, i - start);
			for (; pad > 0; pad--)
				if (buf_add(out, " ", 1) < 0)
					return -ENOMEM;
			col++;
		}
		start = i + 1;
	}
	return start < len ? buf_add(out, text + start, len - start) : 0;
}
