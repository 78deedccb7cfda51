/* SPDX-License-Identifier: MIT */
/* mounts_internal.h - what the files that make an order's mounts share */
#ifndef MOUNTS_INTERNAL_H
#define MOUNTS_INTERNAL_H

#include "guest_internal.h"

struct mounts {
	int root;  /* of the app */
	int files; /* a tmpfs that holds the content of AGENT_MOUNT_FILE; -1 until needed */
	unsigned n_files, n_stashed;
};

/* openat2() beneath `dir`, no link leads out. A descriptor, or -1 and errno. */
int mounts_open_beneath(int dir, const char *path, uint64_t flags, uint64_t mode);
/* Let a detached mount stand where nobody sees it, so that parts of it can be taken. */
must_check int mounts_stash(struct mounts *m, int mount_fd, struct err *e);
/* Attach a detached mount at `target` beneath the root, which is made where it is missing. */
must_check int mounts_attach(const struct mounts *m, int mount_fd, const char *target,
			     struct err *e);

/* mount_disk.c: AGENT_MOUNT_DISK */
must_check int mounts_disk(struct mounts *m, const struct agent_mount *a, struct err *e);

/*
 * copy_up.c: what is in the directory `from`, with owners, modes, times and attributes, into the
 * empty directory `to`, which gets those of `from` itself. Follows no link, crosses no mount.
 */
must_check int copy_up(int from, int to, struct err *e);

#endif
