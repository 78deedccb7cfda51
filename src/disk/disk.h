/* SPDX-License-Identifier: MIT */
/*
 * disk.h - the writable layer of a machine
 *
 * A machine writes on top of its image into an ext4 file system of its own. Parents are empty ones,
 * made once per size; a machine's layer begins as a copy of its parent (or of a template's, which
 * the guest has mounted already). How it is kept is behind `struct disk_ops`.
 */
#ifndef DISK_H
#define DISK_H

#include <stdint.h>

#include "err.h"

#define DISK_SIZE_DEFAULT (10ULL << 30)
#define DISK_SIZE_MIN     (16ULL << 20)
#define DISK_SIZE_MAX     (2040ULL << 30)

struct disk_ops {
	const char *name;
	/* Make `name` beneath dir_fd with the bytes of parent_fd; holes stay holes. Nothing is left
	 * after a failure. */
	must_check int (*create)(int dir_fd, const char *name, int parent_fd, int *ret_fd,
				 struct err *e);
	/* Open an existing one for a VMM: read-write, its bytes are the disk's. */
	must_check int (*open)(int dir_fd, const char *name, int *ret_fd, struct err *e);
};

/* A sparse file whose bytes are the disk's. */
extern const struct disk_ops disk_raw;

/* The empty ext4 parent of `size` bytes in parents_fd (a directory), made with mkfs.ext4 if it is
 * not there. Read-only. */
must_check int disk_parent_open(int parents_fd, uint64_t size, int *ret_fd, struct err *e);

/* Copy what is no hole of `from` to `to`, which is empty; same length. */
must_check int disk_copy_sparse(int from, int to, struct err *e);

#endif
