/* SPDX-License-Identifier: MIT */
/*
 * fstree_internal.h - what the files of fstree share: names, paths and xattrs
 */
#ifndef FSTREE_INTERNAL_H
#define FSTREE_INTERNAL_H

#include "fstree.h"

struct fstree_chunk;

struct fstree {
	struct fstree_chunk *chunks;
	char *free_at, *free_end;
	uint64_t mem; /* all chunks */
	struct fs_inode *root;
	size_t n_inodes;
	uint32_t n_dirs;
	uint32_t layer; /* that is being applied */
	uint64_t seed;  /* so that nobody chooses names that fall together */
	struct fs_dentry **names;
	size_t n_names, names_cap; /* cap is a power of two */
	struct fs_xattr **xattrs;
	size_t n_xattrs, xattrs_cap;
	/* The parent that the last record resolved to: most records share it with the one before.
	 * Valid until a name is replaced or goes. */
	char *parent_path;
	size_t parent_len;
	struct fs_inode *parent_dir;
};

enum fs_walk {
	FS_WALK_LITERAL, /* a symlink on the way is -ELOOP */
	FS_WALK_FIND,    /* symlinks are followed */
	FS_WALK_MAKE,    /* and what is missing is made */
};

uint64_t fstree_hash(uint64_t seed, const void *data, size_t len);

/*
 * The directory that the first `len` bytes of `path` lead to. Without err text: -ENOENT, -ENOTDIR,
 * -ELOOP, -ENAMETOOLONG (too deep), -ENOMEM, -EMFILE (too many inodes).
 */
must_check int fstree_walk(struct fstree *t, const char *path, size_t len, enum fs_walk how,
			   struct fs_inode **ret);

struct fs_inode *fstree_inode_new(struct fstree *t,
				  uint32_t mode); /* NULL: no memory or too many */
struct fs_inode *fstree_dir_new(struct fstree *t,
				struct fs_inode *parent); /* same; 0755 root:root */

struct fs_dentry *fstree_lookup(const struct fstree *t, const struct fs_inode *dir,
				const char *name, size_t len);
/* Give the inode the name, in place of what has it; the name is of the layer being applied. */
must_check int fstree_set(struct fstree *t, struct fs_inode *dir, const char *name, size_t len,
			  struct fs_inode *inode);
void fstree_unlink(struct fstree *t, struct fs_dentry *d);

/* The xattrs of a record for an inode of this mode, interned. */
must_check int fstree_xattrs(struct fstree *t, const struct ltree_record *r, struct fs_inode *i,
			     struct err *e);

#endif
