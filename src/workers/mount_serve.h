/* SPDX-License-Identifier: MIT */
/*
 * mount_serve.h - a disk as the one file of a FUSE file system
 *
 * mount_open() runs with the user's rights and one thread; mount_serve() shuts itself into a
 * sandbox first. Signals are the caller's business: it blocks them.
 */
#ifndef MOUNT_SERVE_H
#define MOUNT_SERVE_H

#include "err.h"
#include "vhd.h"

#define MOUNT_XATTR "user.caisson.watcher" /* of the directory: our parent's process id */

struct mount;

/* Takes the disk, also on failure. The caller's parent is the watcher. From here on `dir` is a
 * mount point. */
must_check int mount_open(struct vhd *disk, const char *dir, bool is_readonly, struct mount **ret,
			  struct err *e);
/* Until it is unmounted; then all is flushed and closed. Frees it. */
must_check int mount_serve(struct mount *m, struct err *e);

#endif
