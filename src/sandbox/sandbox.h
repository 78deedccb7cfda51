/* SPDX-License-Identifier: MIT */
/*
 * sandbox.h - a worker process gives up what it will not need
 *
 * Called by a worker with one thread, before the first hostile byte, with all its descriptors open.
 * (Threads that a host program such as nbdkit has already get the system call filter too.)
 * There is no way back. What the kernel does not have (Landlock, namespaces) is done without and
 * said at debug level; system call filter, capabilities and limits must succeed.
 */
#ifndef SANDBOX_H
#define SANDBOX_H

#include <stddef.h>

#include "err.h"

enum sandbox_kind {
	SANDBOX_UNPACK, /* reads and writes open descriptors, has threads; opens nothing */
	SANDBOX_FETCH,  /* and connects to the network, reads what name lookup and TLS need */
	SANDBOX_MOUNT,  /* as SANDBOX_UNPACK, with files of any size: disks that a FUSE server has
			   open */
	SANDBOX_DISK,   /* as SANDBOX_MOUNT, and talks to who is on a socket that is open; the
			   namespaces are its starter's business */
	SANDBOX_KIND_COUNT_
};

struct sandbox_policy {
	enum sandbox_kind kind;
	/* SANDBOX_FETCH; all borrowed, all directories */
	const int *dir_fds; /* files beneath may be read, written and made */
	size_t n_dir_fds;
	const int *read_fds; /* files beneath may be read */
	size_t n_read_fds;
};

must_check int sandbox_enter(const struct sandbox_policy *p, struct err *e);

#endif
