/* SPDX-License-Identifier: MIT */
/*
 * virtio_fs.h - a shared directory [virtio 1.2, 5.11]: FUSE requests go to a server and come back
 *
 * The directory is another process's. Between the two is a stream socket, over which goes, both
 * ways, the length of what follows (four bytes, little-endian) and then a FUSE request, or a reply.
 * The server answers every request, in order; a length of 0 says that it has no reply.
 *
 * A server that hangs up, or sends what is no answer, is done with for good: what it had is
 * answered with EIO, and so is all that comes later.
 *
 * Threads: made, freed, kicked, paused and resumed on the event thread, which runs `loop`; reset,
 * on any. What the server still does of requests from before a reset, it does, but nobody hears.
 * A pause waits for the server, VIRTIO_FS_PAUSE_MS at most: one that takes longer is done with.
 *
 * No state is saved: the server knows what the guest has open. So only a device that was not used
 * yet can be loaded: its first request then goes to the server that it has here.
 */
#ifndef VIRTIO_FS_H
#define VIRTIO_FS_H

#include "virtio_device.h"

struct loop;

#define VIRTIO_FS_TAG_MAX     36U
#define VIRTIO_FS_MESSAGE_MAX ((128U << 10) + 4096U) /* a request or reply, without its length */
#define VIRTIO_FS_PAUSE_MS    30000

/* `tag` is what the guest mounts, 1 to VIRTIO_FS_TAG_MAX bytes (-EINVAL), copied. Takes `fd`, on
 * success only; -1: there is no server, and requests are answered with EIO. */
must_check int virtio_fs_new(struct loop *loop, const char *tag, int fd, struct virtio_device **ret,
			     struct err *e);

#endif
