/* SPDX-License-Identifier: MIT */
/*
 * fstree.h - the tree of files that an image's layers add up to
 *
 * Layers are applied lowest first. Inodes and names are apart, so a hard link's inode outlives the
 * names that a later layer removes. All memory is the tree's and goes with it at once.
 *
 * Rules: whiteouts and opaque marks act on lower layers wherever they stand in their own; the last
 * entry of a name wins; a directory over a directory keeps the children and takes the new metadata,
 * any other change of type replaces the subtree; missing parents are 0755, root:root, time 0;
 * symlinks among a path's parents are followed inside the image, where ".." of the root is the
 * root.
 *
 * Left out, since it could never be read back or would steer the overlay that a machine puts on
 * top: xattrs that EROFS cannot hold, user.* and ACLs where the kernel knows none, *.overlay.*, and
 * character devices 0:0.
 */
#ifndef FSTREE_H
#define FSTREE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "err.h"
#include "ltree.h"

#define FSTREE_DEPTH_MAX 2048U /* directories inside one another, symlinks among them resolved */
#define FSTREE_LINKS_MAX 40U   /* symlinks followed for one path, as the kernel */
#define FSTREE_MEM_MAX   (4ULL << 30)

struct fs_xattr { /* one for each different name and value in the tree */
	struct fs_xattr *next;
	const char *name; /* without the prefix that `index` stands for */
	const void *value;
	uint32_t hash;
	uint32_t value_len;
	uint8_t index; /* EROFS name index */
	uint8_t name_len;
	uint32_t uses;   /* inodes that have it; the writer counts */
	uint32_t shared; /* id in the shared area; the writer's */
};

struct fs_dentry {
	struct fs_dentry *hash_next;
	struct fs_dentry *prev, *next; /* in the directory, in the order of arrival */
	struct fs_inode *parent;
	struct fs_inode *inode;
	const char *name; /* not terminated */
	uint32_t hash;
	uint16_t len;
	uint16_t layer; /* of the last entry for this name */
};

struct fs_inode {
	uint32_t mode; /* type and permission bits */
	uint32_t uid, gid;
	uint32_t mtime_nsec;
	int64_t mtime_sec;
	uint64_t size;
	uint32_t rdev_major, rdev_minor;
	uint32_t n_xattrs;
	uint16_t layer;           /* whose data file the extents are in */
	uint16_t depth;           /* directory: the root's is 0 */
	struct fs_xattr **xattrs; /* sorted by index and name, each name once */
	union {
		struct {
			const struct ltree_extent *extents;
			uint32_t n_extents;
		} reg;
		const char *target; /* symlink; `size` bytes */
		struct {
			struct fs_inode *parent; /* the root's is the root */
			struct fs_dentry *first, *last;
			struct fs_dentry **sorted; /* the writer's, "." and ".." included */
			uint32_t id;
			uint32_t n_entries;    /* the writer's: of `sorted` */
			uint32_t purged_layer; /* last layer whose marks cleared it, plus 1 */
		} dir;
	};
	/* What follows is the writer's; 0 before it runs. */
	const struct fs_dentry *name; /* first name met; NULL for the root */
	uint64_t nid;
	uint32_t nlink;
	uint32_t block; /* first of its blocks in the metadata, or on the disk for file data */
	uint32_t xattr_len, tail_len;
	uint8_t extended, layout, chunk_bits;
};

struct fstree;

must_check int fstree_new(struct fstree **ret, struct err *e);
void fstree_free(struct fstree *t); /* NULL is fine */

/* Apply the records of the next layer. After an error the tree is only good for freeing. */
must_check int fstree_apply(struct fstree *t, struct ltree_reader *r, struct err *e);

struct fs_inode *fstree_root(const struct fstree *t);
size_t fstree_n_made(const struct fstree *t); /* inodes ever made: at least those in the tree */

/* What stands at `path`, parents' symlinks followed, its own not; NULL when there is nothing. */
struct fs_inode *fstree_find(struct fstree *t, const char *path);

/* Zeroed memory of the tree's life; NULL when there is none left. */
void *fstree_alloc(struct fstree *t, size_t n);

/* For messages: the inode's path as far as it fits. */
void fstree_path(const struct fs_inode *i, char *ret, size_t size);

#endif
