/* SPDX-License-Identifier: MIT */
/*
 * disk.h - the writable layer of a machine
 *
 * A machine writes on top of its image into an ext4 file system of its own: a differencing VHD on
 * an empty, formatted parent that is made once per size. Its VMM reaches it through a server
 * (disk_server.h).
 */
#ifndef DISK_H
#define DISK_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>

#include "err.h"

#define DISK_SIZE_DEFAULT (10ULL << 30)
#define DISK_SIZE_MIN     (16ULL << 20)
#define DISK_SIZE_MAX     (2040ULL << 30)

/* Parents as a layer sees them, which lies two directories below the one that has `parents`. */
#define DISK_PARENTS_PATH  "../../parents/"
#define DISK_PARENT_FORMAT "ext4-%" PRIu64 ".vhd" /* bytes */
#define DISK_PARENT_NAME   48

/* The empty ext4 parent of `size` bytes in parents_fd (a directory), made with mkfs.ext4 if it is
 * not there. Read-only. */
must_check int disk_parent_open(int parents_fd, uint64_t size, int *ret_fd, struct err *e);

/* Into `fd`, an empty file: an empty layer on a parent, or another layer's copy. */
must_check int disk_layer_make(int parent_fd, int fd, struct err *e);
must_check int disk_layer_copy(int from_fd, int fd, struct err *e);

/*
 * `name` beneath dir_fd: a copy of `from_fd`, which stands on the parent (refused if not), or (-1)
 * an empty layer on the parent; whole or not at all. And one that is there, once its last user has
 * ended (at most 10 s: -EBUSY), if it can be used (-EUCLEAN and others, with the path of the file).
 * The descriptor holds its lock: one writer.
 *
 * A new one is not synced here, which may take long: its server does that while the VMM starts, and
 * so does each flush of the guest. A power cut before leaves a machine that nobody was promised
 * anything of, with a file of which any part may be missing; usually all of it is (_is_blank), and
 * then the layer can be made anew.
 */
must_check int disk_layer_create(int dir_fd, const char *name, int parent_fd, int from_fd,
				 int *ret_fd, struct err *e);
must_check int disk_layer_open(int dir_fd, const char *name, int *ret_fd, struct err *e);
bool disk_layer_is_blank(int dir_fd, const char *name); /* there, and without any data? */

/* Copy what is no hole of `from` to `to`, which is empty; same length. */
must_check int disk_copy_sparse(int from, int to, struct err *e);

#endif
