/* SPDX-License-Identifier: MIT */
/*
 * share_internal.h - what the parts of a share have in common
 *
 * An operation gets its request as a struct share_call, which holds a copy of the header and, for
 * those that are about an inode, that inode. It returns 0 or -errno; what it has put is sent in the
 * first case only.
 */
#ifndef SHARE_INTERNAL_H
#define SHARE_INTERNAL_H

#include <linux/fuse.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "share.h"

#define SHARE_LIST_SIZE (64U << 10) /* XATTR_LIST_MAX: what the kernel lists at most */
#define SHARE_NAME_MAX  255U

struct share_inode {
	int fd;        /* O_PATH; -1: free */
	uint32_t gen;  /* how often this place was used before */
	uint32_t next; /* of its chain, or of the free ones: place + 1, 0 is the end */
	uint32_t type; /* S_IFMT of its mode, which never changes */
	uint64_t dev, ino, mnt;
	uint64_t n_lookups; /* what the guest will forget; the root's does not count */
};

struct share_inodes {
	struct share_inode *at;
	uint32_t *chains; /* place + 1 of the first */
	uint32_t n_chains /* a power of two */, max, n_touched, free;
};

struct share_file {
	int fd; /* -1: free */
	uint32_t gen, next;
	bool is_dir, is_append;
	uint64_t nodeid; /* whose it is */
};

struct share_files {
	struct share_file *at;
	uint32_t max, n_touched, free;
};

struct share {
	int proc_fd; /* /proc/self/fd: the way from an inode to an open file */
	bool is_readonly;
	bool is_begun;    /* INIT was seen */
	bool gives_owner; /* new files get the owner that the guest says */
	uid_t uid;        /* whose new files are otherwise */
	enum share_owners owners;
	struct share_ids uids, gids;
	struct share_inodes inodes;
	struct share_files files;
	_Alignas(8) char list[SHARE_LIST_SIZE]; /* of a directory, or of attributes' names */
};

struct share_call {
	struct fuse_in_header in;
	const uint8_t *arg; /* what follows the header */
	size_t arg_len;
	struct share_inode *inode;
	uint8_t *out; /* SHARE_REPLY_MAX - sizeof(struct fuse_out_header) bytes */
	size_t out_len;
};

/* ---- share_call.c: arguments and results ---- */

/* The table in share.c has seen to it that there are `size` bytes. */
void share_arg(const struct share_call *c, void *ret, size_t size);
/* The name at *io_off, one component that is not "." or ".."; *io_off goes behind its NUL. */
must_check int share_arg_name(const struct share_call *c, size_t *io_off, const char **ret);
/* As above, of any bytes but NUL. */
must_check int share_arg_text(const struct share_call *c, size_t *io_off, const char **ret);
void share_put(struct share_call *c, const void *data, size_t size);

/* ---- share_inode.c ---- */

must_check int share_inodes_init(struct share_inodes *t, uint32_t max, struct err *e);
void share_inodes_done(struct share_inodes *t);
/* NULL: none of that number, or no longer. */
struct share_inode *share_inode_get(struct share *s, uint64_t nodeid);
uint64_t share_inode_id(const struct share *s, const struct share_inode *i);
/* Takes `fd` (O_PATH), on failure too. The guest knows the inode once more afterwards. -ENFILE when
 * it knows too many. */
must_check int share_inode_enter(struct share *s, int fd, const struct statx *st,
				 struct share_inode **ret);
void share_inode_forget(struct share *s, struct share_inode *i, uint64_t n_lookups);
void share_inodes_forget(struct share *s); /* all but the root */

/* ---- share_file.c: what the guest has open ---- */

must_check int share_files_init(struct share_files *t, uint32_t max, struct err *e);
void share_files_done(struct share_files *t);
/* Takes `fd`, on failure too; the number that the guest calls it by. */
must_check int share_file_enter(struct share *s, int fd, const struct share_file *f,
				uint64_t *ret_fh);
/* NULL: no such one, of this inode, of this kind. */
struct share_file *share_file_get(struct share *s, const struct share_call *c, uint64_t fh,
				  bool is_dir);
struct share_file *share_file_find(struct share *s, uint64_t nodeid, uint64_t fh, bool is_dir);
void share_file_close(struct share *s, struct share_file *f);
void share_files_close(struct share *s); /* all */

/* ---- share_open.c: the only places that open anything: descriptor or -errno ---- */

/* `name` in the directory dir_fd and not elsewhere: no links, no "..". */
must_check int share_open_beneath(int dir_fd, const char *name, int flags, mode_t mode);
/* Open an inode itself: a regular file or a directory, else -ENXIO. */
must_check int share_open_inode(struct share *s, const struct share_inode *i, int flags);
/* An O_PATH descriptor of what `fd` is. */
must_check int share_open_path(struct share *s, int fd);
/* `fd` as a name beneath proc_fd. */
struct share_fd_name {
	char text[16];
};
struct share_fd_name share_fd_name(int fd);

/* ---- share_attr.c, share_owner.c ---- */

must_check int share_stat(int fd, struct statx *ret);
void share_attr_fill(const struct share *s, const struct statx *st, struct fuse_attr *ret);

struct share_owner {
	uid_t uid; /* -1: as it is */
	gid_t gid;
};

uint32_t share_uid_shown(const struct share *s, uint32_t uid);
uint32_t share_gid_shown(const struct share *s, uint32_t gid);
/* -EPERM: no such one on the host. -1 in *ret: leave it. */
must_check int share_uid_of(const struct share *s, uint32_t shown, uid_t *ret);
must_check int share_gid_of(const struct share *s, uint32_t shown, gid_t *ret);
/* Who is to own what the request makes in its inode; -EOVERFLOW: the host has no such owner. */
must_check int share_owner_new(const struct share *s, const struct share_call *c,
			       struct share_owner *ret);
/* Give what was made just now, of this type, to its owner. */
must_check int share_owner_give(const struct share *s, int fd, uint32_t type,
				const struct share_owner *o);

/* ---- share_entry.c ---- */

/* The guest learns of the inode of `fd`, which is taken. */
must_check int share_entry_of(struct share *s, int fd, struct fuse_entry_out *ret);
must_check int share_entry(struct share *s, const struct share_inode *dir, const char *name,
			   struct fuse_entry_out *ret);
void share_entry_undo(struct share *s, const struct fuse_entry_out *entry);

#endif
