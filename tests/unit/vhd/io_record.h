/* SPDX-License-Identifier: MIT */
/*
 * io_record.h - a store of bytes that remembers all that was done to it, and rebuilds what a power
 * cut could have left
 *
 * Wraps a memory store, which stays the caller's. What a disk does with calls between two flushes:
 * each sector of each write or hole reaches it or does not, in any order; the length of the file is
 * any that it had since the first of the two. What was before a flush is there.
 */
#ifndef IO_RECORD_H
#define IO_RECORD_H

#include "vhd.h"

struct io_record;

/* `inner` is copied as it is now: that is what is durable at the beginning. */
struct io_record *io_record_new(struct vhd_io *inner);
struct vhd_io *io_record_io(struct io_record *r); /* for vhd_open_io(); its close() frees nothing */
void io_record_free(struct io_record *r);

/* Called within each flush, when it has been recorded: what is written then is not part of it. */
void io_record_on_flush(struct io_record *r, void (*fn)(void *ctx), void *ctx);

/* Calls so far; all are numbered from 0. */
size_t io_record_count(const struct io_record *r);
bool io_record_is_flush(const struct io_record *r, size_t at);

enum io_crash {
	IO_CRASH_ALL,     /* all that was called has reached the disk */
	IO_CRASH_NONE,    /* nothing since the last flush, the file as long as then */
	IO_CRASH_NEWEST,  /* only the last call */
	IO_CRASH_OLDEST,  /* all but the last call */
	IO_CRASH_SIZE,    /* the length, and nothing that was written */
	IO_CRASH_DATA,    /* what was written, without the length */
	IO_CRASH_CALLS,   /* each call or not, as `seed` has it */
	IO_CRASH_SECTORS, /* each sector of each call or not */
	IO_CRASH_TORN,    /* of each call the first sectors, or the last */
	IO_CRASH_COUNT_,
};
const char *io_crash_name(enum io_crash c);

/* The store after a power cut when `count` calls were done; must not fall between calls. */
struct vhd_io *io_record_rebuild(struct io_record *r, size_t count, enum io_crash c, uint64_t seed);

#endif
