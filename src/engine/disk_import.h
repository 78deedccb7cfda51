/* SPDX-License-Identifier: MIT */
/*
 * disk_import.h - the root file system of a disk as an image (doc/design/007-bootable-disks.md)
 */
#ifndef DISK_IMPORT_H
#define DISK_IMPORT_H

#include "engine.h"
#include "vhd.h"

#define DISK_IMPORT_ANY UINT32_MAX

struct disk_import {
	const char *disk, *ref; /* path; "NAME[:TAG]" */
	bool is_raw;            /* else a VHD */
	const struct vhd_open_options *parents;
	uint32_t partition;         /* DISK_IMPORT_ANY: the one with a root; 0: no table is there */
	const char *const *changes; /* image_change.h */
	size_t n_changes;
	const char *message; /* NULL: none */
};

struct disk_imported {
	char *id; /* of the image; the caller frees */
	uint32_t partition;
	uint64_t left_out; /* files that a layer cannot hold */
};

/*
 * Read by caisson-import, in its sandbox; nothing is mounted. Blobs have no name before they are in
 * the store: a failed or killed run leaves nothing. `step` (may be NULL) is called between pieces;
 * non-zero ends it with -ECANCELED.
 */
must_check int engine_disk_import(struct engine *g, const struct disk_import *x,
				  const struct vhd_progress *step, struct disk_imported *ret,
				  struct err *e);

#endif
