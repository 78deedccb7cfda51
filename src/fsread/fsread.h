/* SPDX-License-Identifier: MIT */
/*
 * fsread.h - a file system on a disk, read without mounting it
 *
 * What is on the disk is hostile. A reader promises: no crash, no endless loop inside one call, no
 * memory above a named bound. It does not promise a tree: names may lead anywhere, directories into
 * each other; who walks it looks out (tree_tar.c).
 */
#ifndef FSREAD_H
#define FSREAD_H

#include "buf.h"
#include "disk_view.h"

enum fs_kind {
	FS_UNKNOWN,
	FS_EXT,   /* ext2, ext3, ext4 */
	FS_EROFS, /* without compression */
	/* known by name only */
	FS_XFS,
	FS_BTRFS,
	FS_NTFS,
	FS_FAT,
	FS_SQUASHFS,
	FS_ISO9660,
	FS_SWAP,
	FS_LVM,
	FS_LUKS,
	FS_FORMAT, /* no file system: the file is a disk of another format (qcow2, VMDK, VHDX) */
	FS_KIND_COUNT_
};
const char *fs_kind_name(enum fs_kind kind);
/* By the magic numbers; what cannot be read is FS_UNKNOWN. */
enum fs_kind fs_kind_find(const struct disk_view *v);

enum fs_node_kind {
	FS_NODE_REG,
	FS_NODE_DIR,
	FS_NODE_SYMLINK,
	FS_NODE_CHR,
	FS_NODE_BLK,
	FS_NODE_FIFO,
	FS_NODE_SOCKET,
};

struct fs_node {
	enum fs_node_kind kind;
	uint32_t mode, uid, gid, major, minor, links; /* mode: 07777 */
	int64_t mtime_sec;
	uint32_t mtime_nsec; /* < 1e9 */
	uint64_t size;       /* of a file; at most 2^63-1 */
	bool may_be_sparse;
};

struct fs;

/* Callbacks return 0, or -code with `e` set, which ends the call with that. */
typedef int fs_name_fn(void *arg, const char *name, size_t len, uint64_t ino, struct err *e);
typedef int fs_run_fn(void *arg, uint64_t off, uint64_t len, struct err *e);
typedef int fs_xattr_fn(void *arg, const char *name, const void *value, size_t len, struct err *e);

struct fs_ops {
	must_check int (*node)(struct fs *f, uint64_t ino, struct fs_node *ret, struct err *e);
	/* Without "." and "..". Names are 1 to 255 bytes without '/' and NUL. In no order. */
	must_check int (*list)(struct fs *f, uint64_t dir, fs_name_fn *fn, void *arg,
			       struct err *e);
	/* Exactly `len` bytes of a regular file, inside its size. */
	must_check int (*read)(struct fs *f, uint64_t ino, void *data, size_t len, uint64_t off,
			       struct err *e);
	/* What is no hole, ascending, inside the size. */
	must_check int (*map)(struct fs *f, uint64_t ino, fs_run_fn *fn, void *arg, struct err *e);
	/* The target of a symlink: 1 to 4095 bytes without NUL. */
	must_check int (*link)(struct fs *f, uint64_t ino, struct buf *ret, struct err *e);
	/* Full names, "user.x"; access lists in the kernel's form. Values to 65535 bytes. */
	must_check int (*xattrs)(struct fs *f, uint64_t ino, fs_xattr_fn *fn, void *arg,
				 struct err *e);
	void (*close)(struct fs *f);
};

struct fs { /* the reader's own struct begins with it */
	const struct fs_ops *ops;
	uint64_t root;
	uint64_t used; /* bytes in use, about: for progress */
};

/* `v` is copied; its `arg` must live as long. -EOPNOTSUPP for kinds that are not read, or features.
 */
must_check int fs_open(const struct disk_view *v, struct fs **ret, struct err *e);
void fs_close(struct fs *f); /* NULL is fine */

/* `path` "etc/os-release": without links, from the root. -ENOENT; -ENOTDIR. */
must_check int fs_lookup(struct fs *f, const char *path, uint64_t *ret_ino, struct err *e);
/* A whole regular file of at most `max` bytes. */
must_check int fs_read_file(struct fs *f, const char *path, size_t max, struct buf *ret,
			    struct err *e);

/* Made by fs_open(). */
must_check int ext_open(const struct disk_view *v, struct fs **ret, struct err *e);
must_check int erofs_open(const struct disk_view *v, struct fs **ret, struct err *e);

#endif
