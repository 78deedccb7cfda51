/* SPDX-License-Identifier: MIT */
/*
 * share.h - a directory of the host, served to a guest as FUSE requests [linux/fuse.h, 7.31
 * to 7.38]
 *
 * One share has one directory and one guest, and answers one request at a time. It makes no policy
 * of who may read what: the guest's kernel compares owners and modes; the host's decides what this
 * process may do. Nothing outside the directory can be named.
 */
#ifndef SHARE_H
#define SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define SHARE_DATA_MAX    (128U << 10)             /* bytes of one read or write */
#define SHARE_REQUEST_MAX (SHARE_DATA_MAX + 4096U) /* with headers and names */
#define SHARE_REPLY_MAX   (SHARE_DATA_MAX + 4096U)

enum share_owners {
	SHARE_OWNERS_SAME,     /* numbers mean the same in the guest */
	SHARE_OWNERS_MAPPED,   /* through `uids` and `gids`; others are shown as 65534 */
	SHARE_OWNERS_SQUASHED, /* all is shown as `guest_base`, and belongs to this process */
};

struct share_ids {
	uint32_t guest_base, host_base, count;
};

struct share_options {
	int root_fd; /* a directory, O_PATH is enough; borrowed, not needed after share_new() */
	bool is_readonly;
	/* Inodes that the guest may know at a time: a descriptor each. Fewer where RLIMIT_NOFILE is
	 * lower. */
	uint32_t max_inodes;
	uint32_t max_handles; /* files and directories that it may have open: a descriptor each */
	enum share_owners owners;
	struct share_ids uids, gids;
};

struct share;

/*
 * Opens /proc/self/fd besides the directory; all that is allocated is allocated here. The caller
 * has a umask of 0, since a guest applies its own. -EINVAL: limits of 0 or above 2^24, ids that
 * wrap; -EMFILE: RLIMIT_NOFILE leaves no room; -ENOSYS: no openat2 (Linux 5.6).
 */
must_check int share_new(const struct share_options *o, struct share **ret, struct err *e);
void share_free(struct share *s); /* NULL is fine */

/*
 * Serve the request of `len` bytes, whatever they are. The reply, a fuse_out_header and what
 * belongs to it, goes to `reply`, which has room for SHARE_REPLY_MAX bytes; the result is its
 * length, or 0 when this kind of request has no reply or is shorter than its header.
 */
size_t share_handle(struct share *s, const void *req, size_t len, void *reply);

#endif
