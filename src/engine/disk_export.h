/* SPDX-License-Identifier: MIT */
/*
 * disk_export.h - an image as a bootable disk (doc/design/007-bootable-disks.md)
 */
#ifndef DISK_EXPORT_H
#define DISK_EXPORT_H

#include "engine.h"
#include "vhd.h"

struct disk_export {
	const char *image;  /* a name of the store */
	const char *output; /* path; not there, unless is_replacing */
	const char *kernel; /* NULL: the default, or one that can */
	enum vhd_profile profile;
	uint64_t size; /* of the disk, rounded up to MiB; 0: image and 1 GiB to write to */
	bool is_replacing;
};

/*
 * A fixed VHD: boot loader, kernel, image, writable file system. Made without a name, linked when
 * done: a failed or killed run leaves nothing. Needs no root. `step` (may be NULL) is called
 * between pieces; non-zero ends it with -ECANCELED.
 */
must_check int engine_disk_export(struct engine *g, const struct disk_export *x,
				  const struct vhd_progress *step, struct err *e);

#endif
