/* SPDX-License-Identifier: MIT */
/*
 * disk_volume.h - disks of a machine beside its image and its layer: volumes, and VHDs of the
 * user's
 *
 * Both are locked by their open descriptors: one writer, or readers. A server that is given the
 * descriptors (disk_server.h) holds the lock until it has written what it has.
 */
#ifndef DISK_VOLUME_H
#define DISK_VOLUME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "disk_server.h"
#include "err.h"

#define DISK_VOLUME_NAME "disk.vhd"

enum disk_access { DISK_READ_WRITE, DISK_READ_ONLY };

/*
 * The disk of the volume that dir_fd is the directory of, which stands on parent_fd; an empty one
 * is made where there is none. -EBUSY: others have it.
 */
must_check int disk_volume_open(int dir_fd, int parent_fd, enum disk_access access, int *ret_fd,
				struct err *e);
/*
 * Whether a reader alone could not do with it: nothing was ever written to it, or its last writer
 * was cut off and the journal is still to be played back.
 */
must_check int disk_volume_wants_writer(int fd, int parent_fd, bool *ret, struct err *e);

/* An image and its parents, as for disk_server_start(). */
struct disk_chain {
	int fds[DISK_SERVER_FILES_MAX];
	size_t n;
	uint64_t size; /* of the disk */
};
/* -EBUSY: others have it. Parents are found beneath the image's directory. */
must_check int disk_chain_open(const char *path, enum disk_access access, struct disk_chain *ret,
			       struct err *e);
void disk_chain_done(struct disk_chain *c);

#endif
