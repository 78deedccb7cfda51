/* SPDX-License-Identifier: MIT */
/*
 * fstree_apply.c - [U] one layer's records over the tree of those below
 *
 * Three passes over the records, so that the order of a tar does not matter where the rules say it
 * must not:
 *   1. Whiteouts and opaque marks whose parents are directories as they stand take away what lower
 *      layers have; all there is then is of lower layers.
 *   2. All other records, in order.
 *   3. The marks that pass 1 put off because a symlink is among their parents. Only now is it known
 *      whether this layer replaced that symlink by a directory, where lower layers have nothing. By
 *      now there are names of this layer too; those stay, and a lower directory that holds some of
 *      them stays as one that nobody described.
 */
#include "bytes.h"
#include "fstree.h"
#include "fstree_internal.h"
#include "merge.h"

#define MSG_PATH 160 /* bytes of a path in a message, so that the reason is not cut off */

struct marks { /* numbers of the records that pass 1 put off, ascending */
	uint64_t *seq;
	size_t n, cap;
};

static int marks_add(struct marks *m, uint64_t seq)
{
	size_t cap = m->cap ? m->cap * 2 : 64;
	uint64_t *grown;

	if (m->n == m->cap) {
		grown = reallocarray(m->seq, cap, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		m->seq = grown;
		m->cap = cap;
	}
	m->seq[m->n++] = seq;
	return 0;
}

static size_t parent_len(const char *path, const char **ret_base)
{
	const char *slash = strrchr(path, '/');

	*ret_base = slash ? slash + 1 : path;
	return slash ? (size_t)(slash - path) : 0;
}

static bool is_mark(const struct ltree_record *r)
{
	return r->kind == LTREE_WHITEOUT || r->kind == LTREE_OPAQUE;
}

/*
 * Pass 1. 1 when the mark must wait for pass 3.
 */
static int mark_early(struct fstree *t, const struct ltree_record *r)
{
	struct fs_inode *dir;
	struct fs_dentry *d;
	const char *base;
	size_t len = parent_len(r->path, &base);
	int ret;

	if (r->kind == LTREE_OPAQUE)
		len = strlen(r->path);
	ret = fstree_walk(t, r->path, len, FS_WALK_LITERAL, &dir);
	if (ret < 0)
		return ret == -ELOOP ? 1 : 0; /* not there, or below a file: nothing to take away */
	if (r->kind == LTREE_OPAQUE) {
		while (dir->dir.first)
			fstree_unlink(t, dir->dir.first);
		return 0;
	}
	d = fstree_lookup(t, dir, base, strlen(base));
	if (d)
		fstree_unlink(t, d);
	return 0;
}

static void purge_dir(struct fstree *t, struct fs_inode *dir);

/* Take away what is of lower layers at this name and below. */
static void purge_name(struct fstree *t, struct fs_dentry *d)
{
	struct fs_inode *i = d->inode;

	if (S_ISDIR(i->mode))
		purge_dir(t, i);
	if (d->layer == t->layer)
		return;
	if (!S_ISDIR(i->mode) || !i->dir.first) {
		fstree_unlink(t, d);
		return;
	}
	d->layer = (uint16_t)t->layer;
	i->mode = S_IFDIR | 0755;
	i->uid = i->gid = i->mtime_nsec = i->n_xattrs = 0;
	i->mtime_sec = 0;
}

/* As deep as directories are: FSTREE_DEPTH_MAX. Once per layer and directory: nothing is added in
 * pass 3. */
static void purge_dir(struct fstree *t, struct fs_inode *dir)
{
	struct fs_dentry *d, *next;

	if (dir->dir.purged_layer == t->layer + 1)
		return;
	dir->dir.purged_layer = t->layer + 1;
	for (d = dir->dir.first; d; d = next) {
		next = d->next;
		purge_name(t, d);
	}
}

/* Pass 3. */
static void mark_late(struct fstree *t, const struct ltree_record *r)
{
	struct fs_inode *dir;
	struct fs_dentry *d;
	const char *base;
	size_t len = parent_len(r->path, &base);

	if (r->kind == LTREE_OPAQUE) {
		if (fstree_walk(t, r->path, strlen(r->path), FS_WALK_FIND, &dir) == 0)
			purge_dir(t, dir);
		return;
	}
	if (fstree_walk(t, r->path, len, FS_WALK_FIND, &dir) < 0)
		return;
	d = fstree_lookup(t, dir, base, strlen(base));
	if (d)
		purge_name(t, d);
}

static int no_room(const struct fstree *t, struct err *e)
{
	if (t->n_inodes >= MERGE_INODES_MAX)
		return err_plain(e, EFBIG, "the image has more than %u files", MERGE_INODES_MAX);
	return err_plain(e, ENOMEM, "no memory left for the image's tree of files");
}

static int walk_failed(const struct fstree *t, int r, struct err *e)
{
	switch (-r) {
	case ENOTDIR:
		return err_plain(e, ENOTDIR, "a parent of it is a file");
	case ELOOP:
		return err_plain(e, ELOOP, "more than %u symlinks among its parents",
				 FSTREE_LINKS_MAX);
	case ENAMETOOLONG:
		return err_plain(e, ENAMETOOLONG, "more than %u directories deep",
				 FSTREE_DEPTH_MAX);
	case ENOENT:
		return err_plain(e, ENOENT, "a parent of it does not exist");
	default:
		return no_room(t, e);
	}
}

static uint32_t type_bits(enum ltree_kind k)
{
	switch (k) {
	case LTREE_REG:
		return S_IFREG;
	case LTREE_DIR:
		return S_IFDIR;
	case LTREE_SYMLINK:
		return S_IFLNK;
	case LTREE_CHR:
		return S_IFCHR;
	case LTREE_BLK:
		return S_IFBLK;
	case LTREE_FIFO:
		return S_IFIFO;
	default:
		return 0;
	}
}

static int content_copy(struct fstree *t, const struct ltree_record *r, struct fs_inode *i,
			struct err *e)
{
	struct ltree_extent *x;
	size_t len;
	char *s;

	if (r->kind == LTREE_REG) {
		i->size = r->size;
		if (r->n_extents == 0)
			return 0;
		x = fstree_alloc(t, (size_t)r->n_extents * sizeof(*x));
		if (!x)
			return no_room(t, e);
		memcpy(x, r->extents, (size_t)r->n_extents * sizeof(*x));
		i->reg.extents = x;
		i->reg.n_extents = r->n_extents;
	} else if (r->kind == LTREE_SYMLINK) {
		len = strlen(r->link);
		if (len == 0 || len > LTREE_LINK_MAX)
			return err_plain(e, EINVAL, "symlink target of %zu bytes", len);
		s = fstree_alloc(t, len + 1);
		if (!s)
			return no_room(t, e);
		memcpy(s, r->link, len);
		i->target = s;
		i->size = len;
		i->mode = S_IFLNK | 0777; /* a symlink's own mode means nothing */
	} else if (r->kind == LTREE_CHR || r->kind == LTREE_BLK) {
		i->rdev_major = r->major;
		i->rdev_minor = r->minor;
	}
	return 0;
}

static int meta_set(struct fstree *t, const struct ltree_record *r, struct fs_inode *i,
		    struct err *e)
{
	if (r->uid == UINT32_MAX || r->gid == UINT32_MAX)
		return err_plain(e, EINVAL, "owner %u:%u is no owner", r->uid, r->gid);
	if (r->mtime_nsec >= 1000000000U)
		return err_plain(e, EINVAL, "time with %u nanoseconds", r->mtime_nsec);
	i->mode = type_bits(r->kind) | (r->mode & 07777U);
	i->uid = r->uid;
	i->gid = r->gid;
	i->mtime_sec = r->mtime_sec;
	i->mtime_nsec = r->mtime_nsec;
	return fstree_xattrs(t, r, i, e);
}

static int add_hardlink(struct fstree *t, const struct ltree_record *r, struct fs_inode **ret,
			struct err *e)
{
	struct fs_inode *i = fstree_find(t, r->link);

	if (!i)
		return err_plain(e, ENOENT, "hard link to \"%.*s\", which does not exist", MSG_PATH,
				 r->link);
	if (S_ISDIR(i->mode))
		return err_plain(e, EINVAL, "hard link to \"%.*s\", which is a directory", MSG_PATH,
				 r->link);
	*ret = i;
	return 0;
}

static int add_dir(struct fstree *t, const struct ltree_record *r, struct fs_inode *parent,
		   const struct fs_dentry *d, struct fs_inode **ret, struct err *e)
{
	struct fs_inode *i = d && S_ISDIR(d->inode->mode) ? d->inode : NULL;

	if (!i && parent->depth >= FSTREE_DEPTH_MAX)
		return walk_failed(t, -ENAMETOOLONG, e);
	if (!i)
		i = fstree_dir_new(t, parent);
	if (!i)
		return no_room(t, e);
	*ret = i;
	return meta_set(t, r, i, e);
}

static int add_other(struct fstree *t, const struct ltree_record *r, struct fs_inode **ret,
		     struct err *e)
{
	struct fs_inode *i;
	int ret_code;

	if (type_bits(r->kind) == 0)
		return err_plain(e, EINVAL, "record of unknown kind %d", (int)r->kind);
	i = fstree_inode_new(t, type_bits(r->kind));
	if (!i)
		return no_room(t, e);
	*ret = i;
	ret_code = meta_set(t, r, i, e);
	return ret_code < 0 ? ret_code : content_copy(t, r, i, e);
}

/* Pass 2. */
static int add_record(struct fstree *t, const struct ltree_record *r, struct err *e)
{
	struct fs_inode *dir, *i = NULL;
	const char *base;
	size_t len = parent_len(r->path, &base);
	int ret;

	if (r->path[0] == '\0') {
		if (r->kind != LTREE_DIR)
			return err_plain(e, EINVAL, "the root can only be a directory");
		return meta_set(t, r, t->root, e);
	}
	ret = fstree_walk(t, r->path, len, FS_WALK_MAKE, &dir);
	if (ret < 0)
		return walk_failed(t, ret, e);
	if (strlen(base) > LTREE_NAME_MAX)
		return err_plain(e, ENAMETOOLONG, "name of more than %u bytes", LTREE_NAME_MAX);
	if (r->kind == LTREE_HARDLINK)
		ret = add_hardlink(t, r, &i, e);
	else if (r->kind == LTREE_DIR)
		ret = add_dir(t, r, dir, fstree_lookup(t, dir, base, strlen(base)), &i, e);
	else
		ret = add_other(t, r, &i, e);
	if (ret < 0)
		return ret;
	return fstree_set(t, dir, base, strlen(base), i) < 0 ? no_room(t, e) : 0;
}

static int pass_early(struct fstree *t, struct ltree_reader *r, struct marks *late, struct err *e)
{
	struct ltree_record rec;
	uint64_t seq = 0;
	int ret;

	while ((ret = ltree_reader_next(r, &rec, e)) > 0) {
		if (is_mark(&rec) && mark_early(t, &rec) > 0 && marks_add(late, seq) < 0)
			return no_room(t, e);
		seq++;
	}
	return ret;
}

static int pass_add(struct fstree *t, struct ltree_reader *r, struct err *e)
{
	struct ltree_record rec;
	int ret;

	while ((ret = ltree_reader_next(r, &rec, e)) > 0) {
		if (is_mark(&rec))
			continue;
		ret = add_record(t, &rec, e);
		if (ret < 0)
			return err_wrap(e, "\"%.*s\"", MSG_PATH, rec.path);
	}
	return ret;
}

static int pass_late(struct fstree *t, struct ltree_reader *r, const struct marks *late,
		     struct err *e)
{
	struct ltree_record rec;
	uint64_t seq = 0;
	size_t k = 0;
	int ret = 0;

	while (k < late->n && (ret = ltree_reader_next(r, &rec, e)) > 0) {
		if (seq++ != late->seq[k])
			continue;
		k++;
		mark_late(t, &rec);
	}
	return ret < 0 ? ret : 0;
}

int fstree_apply(struct fstree *t, struct ltree_reader *r, struct err *e)
{
	struct marks late = { 0 };
	int ret;

	ltree_reader_rewind(r);
	ret = pass_early(t, r, &late, e);
	if (ret == 0) {
		ltree_reader_rewind(r);
		ret = pass_add(t, r, e);
	}
	if (ret == 0 && late.n > 0) {
		ltree_reader_rewind(r);
		ret = pass_late(t, r, &late, e);
	}
	free(late.seq);
	t->layer++;
	return ret;
}
