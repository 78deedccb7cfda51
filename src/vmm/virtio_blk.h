/* SPDX-License-Identifier: MIT */
/*
 * virtio_blk.h - a virtual disk [virtio 1.2, 5.2]: one queue over a back end
 *
 * Offers FLUSH, BLK_SIZE, SIZE_MAX, SEG_MAX, EVENT_IDX and, of a disk that may be written to,
 * DISCARD and WRITE_ZEROES (one segment each); of one that may not, RO.
 */
#ifndef VIRTIO_BLK_H
#define VIRTIO_BLK_H

#include "blk_engine.h"
#include "rate_limit.h"
#include "virtio_device.h"

struct virtio_blk_options {
	const char *serial; /* copied, at most 20 bytes count; NULL: none */
	enum blk_engine_kind kind;
	bool starts_later;               /* threads only by virtio_blk_start() */
	struct rate_limit_options limit; /* of reads and writes together */
};

/*
 * Takes `back` on success only. `loop` is borrowed and must outlive the device. Whether the disk is
 * read-only is settled here for good. Made and freed on the loop's thread; guest memory must stay
 * mapped until it has been freed, which waits for requests in flight.
 *
 * Pause and resume are called on the loop's thread; reset, from any.
 */
must_check int virtio_blk_new(struct loop *loop, struct blk_back *back,
			      const struct virtio_blk_options *o, struct virtio_device **ret,
			      struct err *e);

/*
 * Put another back end in the place of what is there, after waiting for requests in flight, and
 * tell the driver of the new size. Takes `back` on success only and frees the old one. -EROFS: the
 * disk may be written to and `back` may not. On the loop's thread, without the device's lock. A
 * disk that began without pieces of files uses threads for what comes later too.
 */
must_check int virtio_blk_set_back(struct virtio_device *d, struct blk_back *back, struct err *e);

/* See blk_engine_start(). On the loop's thread. */
must_check int virtio_blk_start(struct virtio_device *d, blk_thread_fn *begin, struct err *e);

/* Add what was read and written, in requests. Any thread. */
void virtio_blk_counts(struct virtio_device *d, uint64_t *io_reads, uint64_t *io_writes);

/* Make all that was written durable, of a paused disk: before its file is used by others. On the
 * loop's thread. */
must_check int virtio_blk_sync(struct virtio_device *d, struct err *e);

#endif
