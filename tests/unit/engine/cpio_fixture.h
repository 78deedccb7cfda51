/* SPDX-License-Identifier: MIT */
/* cpio_fixture.h - a newc archive read back, for tests */
#ifndef CPIO_FIXTURE_H
#define CPIO_FIXTURE_H

#include <stdbool.h>
#include <string.h>

#include "buf.h"

struct cpio_entry {
	const char *path;
	unsigned long mode;
	const char *data;
	size_t len;
};

static inline size_t cpio_field(const char *p, unsigned i)
{
	char text[9] = { 0 };

	memcpy(text, p + 6 + 8 * i, 8);
	return strtoul(text, NULL, 16);
}

/* The entry at *io_at, which moves on; false at the trailer or for what is no entry. */
static inline bool cpio_next(const struct buf *b, size_t *io_at, struct cpio_entry *ret)
{
	const char *p = b->data + *io_at;
	size_t name_len, at = *io_at;

	if (at % 4 || b->len - at < 110 || memcmp(p, "070701", 6) != 0)
		return false;
	name_len = cpio_field(p, 11);
	*ret = (struct cpio_entry){ p + 110, cpio_field(p, 1), NULL, cpio_field(p, 6) };
	at = (at + 110 + name_len + 3) & ~(size_t)3;
	ret->data = b->data + at;
	*io_at = (at + ret->len + 3) & ~(size_t)3;
	return *io_at <= b->len && strlen(ret->path) + 1 == name_len &&
	       strcmp(ret->path, "TRAILER!!!") != 0;
}

#endif
