/* SPDX-License-Identifier: MIT */
/*
 * disk_view.h - a disk, or a range of one, as bytes that can be read
 */
#ifndef DISK_VIEW_H
#define DISK_VIEW_H

#include "bytes.h"
#include "err.h"

struct disk_view {
	/* Exactly `len` bytes, which lie inside the disk. */
	must_check int (*read)(void *arg, void *data, size_t len, uint64_t off, struct err *e);
	void *arg;
	uint64_t off, size; /* the range */
};

/* -EBADMSG when the range ends before. */
must_check static inline int disk_view_read(const struct disk_view *v, void *data, size_t len,
					    uint64_t off, struct err *e)
{
	if (!range_fits(off, len, v->size))
		return err_plain(e, EBADMSG, "something lies behind the end, at %llu",
				 (unsigned long long)off);
	return v->read(v->arg, data, len, v->off + off, e);
}

#endif
