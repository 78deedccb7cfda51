/* SPDX-License-Identifier: MIT */
/*
 * fstree.c - [U] the tree of an image: memory, names, paths
 *
 * Memory comes from chunks that are freed together; a name that goes is taken out of the table and
 * out of its directory, and what hangs below it is forgotten, not freed. So removing a subtree
 * costs one step however large it is, and the link counts are made at the end from what can be
 * reached. All names of all directories are in one hash table, keyed by directory and name.
 *
 * Hostile: every path, name and symlink target. Bounded: inodes, memory, depth, symlinks followed.
 */
#include "fstree.h"

#include <sys/auxv.h>

#include "bytes.h"
#include "fstree_internal.h"
#include "merge.h"

#define CHUNK_SIZE   (1U << 20)
#define NAMES_CAP    4096U
#define MISSING_MODE (S_IFDIR | 0755U)

struct fstree_chunk {
	struct fstree_chunk *next;
	uint64_t size; /* keeps what follows aligned to 16 */
};

static void *chunk_new(struct fstree *t, size_t n)
{
	struct fstree_chunk *c;

	if (n > FSTREE_MEM_MAX - t->mem)
		return NULL;
	c = calloc(1, n);
	if (!c)
		return NULL;
	c->size = n;
	c->next = t->chunks;
	t->chunks = c;
	t->mem += n;
	return c + 1;
}

void *fstree_alloc(struct fstree *t, size_t n)
{
	char *p;

	if (n > FSTREE_MEM_MAX)
		return NULL;
	n = align_up(n, 16);
	if (n > CHUNK_SIZE / 4)
		return chunk_new(t, n + sizeof(struct fstree_chunk));
	if (n > (size_t)(t->free_end - t->free_at)) {
		p = chunk_new(t, CHUNK_SIZE);
		if (!p)
			return NULL;
		t->free_at = p;
		t->free_end = p + CHUNK_SIZE - sizeof(struct fstree_chunk);
	}
	p = t->free_at;
	t->free_at += n;
	return p;
}

uint64_t fstree_hash(uint64_t seed, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t h = seed ^ len * 0x9e3779b97f4a7c15U;

	for (; len >= 8; len -= 8, p += 8) {
		h = (h ^ get_le64(p)) * 0xff51afd7ed558ccdU;
		h ^= h >> 32;
	}
	for (; len > 0; len--, p++)
		h = (h ^ *p) * 0xc4ceb9fe1a85ec53U;
	h ^= h >> 29;
	h *= 0xff51afd7ed558ccdU;
	return h ^ h >> 32;
}

struct fs_inode *fstree_inode_new(struct fstree *t, uint32_t mode)
{
	struct fs_inode *i;

	if (t->n_inodes >= MERGE_INODES_MAX)
		return NULL;
	i = fstree_alloc(t, sizeof(*i));
	if (!i)
		return NULL;
	t->n_inodes++;
	i->mode = mode;
	i->layer = (uint16_t)t->layer;
	return i;
}

struct fs_inode *fstree_dir_new(struct fstree *t, struct fs_inode *parent)
{
	struct fs_inode *i = fstree_inode_new(t, MISSING_MODE);

	if (!i)
		return NULL;
	i->dir.id = t->n_dirs++;
	i->dir.parent = parent ? parent : i;
	i->depth = parent ? (uint16_t)(parent->depth + 1) : 0;
	return i;
}

static uint32_t name_hash(const struct fstree *t, const struct fs_inode *dir, const char *name,
			  size_t len)
{
	return (uint32_t)fstree_hash(t->seed + dir->dir.id * 0x9e3779b97f4a7c15U, name, len);
}

struct fs_dentry *fstree_lookup(const struct fstree *t, const struct fs_inode *dir,
				const char *name, size_t len)
{
	uint32_t h = name_hash(t, dir, name, len);
	struct fs_dentry *d = t->names[h & (t->names_cap - 1)];

	for (; d; d = d->hash_next)
		if (d->hash == h && d->parent == dir && d->len == len &&
		    memcmp(d->name, name, len) == 0)
			return d;
	return NULL;
}

static int names_grow(struct fstree *t)
{
	size_t cap = t->names_cap * 2;
	struct fs_dentry **names = calloc(cap, sizeof(struct fs_dentry *)), *d, *next;

	if (!names)
		return -ENOMEM;
	for (size_t k = 0; k < t->names_cap; k++) {
		for (d = t->names[k]; d; d = next) {
			next = d->hash_next;
			d->hash_next = names[d->hash & (cap - 1)];
			names[d->hash & (cap - 1)] = d;
		}
	}
	free(t->names);
	t->names = names;
	t->names_cap = cap;
	return 0;
}

static int dentry_add(struct fstree *t, struct fs_inode *dir, const char *name, size_t len,
		      struct fs_inode *inode)
{
	struct fs_dentry *d, **head;
	char *copy;

	if (t->n_names >= t->names_cap && names_grow(t) < 0)
		return -ENOMEM;
	d = fstree_alloc(t, sizeof(*d) + len);
	if (!d)
		return -ENOMEM;
	copy = (char *)(d + 1);
	memcpy(copy, name, len);
	d->name = copy;
	d->len = (uint16_t)len;
	d->hash = name_hash(t, dir, name, len);
	d->parent = dir;
	d->inode = inode;
	d->layer = (uint16_t)t->layer;
	head = &t->names[d->hash & (t->names_cap - 1)];
	d->hash_next = *head;
	*head = d;
	t->n_names++;
	d->prev = dir->dir.last;
	if (d->prev)
		d->prev->next = d;
	else
		dir->dir.first = d;
	dir->dir.last = d;
	return 0;
}

int fstree_set(struct fstree *t, struct fs_inode *dir, const char *name, size_t len,
	       struct fs_inode *inode)
{
	struct fs_dentry *d = fstree_lookup(t, dir, name, len);

	if (!d)
		return dentry_add(t, dir, name, len, inode);
	d->layer = (uint16_t)t->layer;
	if (d->inode != inode)
		t->parent_dir = NULL;
	d->inode = inode;
	return 0;
}

void fstree_unlink(struct fstree *t, struct fs_dentry *d)
{
	struct fs_dentry **at = &t->names[d->hash & (t->names_cap - 1)];

	while (*at != d)
		at = &(*at)->hash_next;
	*at = d->hash_next;
	t->n_names--;
	if (d->prev)
		d->prev->next = d->next;
	else
		d->parent->dir.first = d->next;
	if (d->next)
		d->next->prev = d->prev;
	else
		d->parent->dir.last = d->prev;
	t->parent_dir = NULL;
}

/* One step down into a directory that is not there. */
static int step_make(struct fstree *t, struct fs_inode **at, const char *name, size_t len)
{
	struct fs_inode *dir;
	int r;

	if ((*at)->depth >= FSTREE_DEPTH_MAX || len > LTREE_NAME_MAX)
		return -ENAMETOOLONG;
	dir = fstree_dir_new(t, *at);
	if (!dir)
		return t->n_inodes >= MERGE_INODES_MAX ? -EMFILE : -ENOMEM;
	r = fstree_set(t, *at, name, len, dir);
	if (r < 0)
		return r;
	*at = dir;
	return 0;
}

struct walk_rest { /* what is still to be walked, of the path or of a symlink's target */
	const char *p, *end;
};

/* One component; a symlink adds a frame to `rest`. */
static int walk_step(struct fstree *t, enum fs_walk how, struct fs_inode **at, const char *name,
		     size_t len, struct walk_rest *rest, unsigned *n)
{
	struct fs_dentry *d;
	struct fs_inode *i;

	if (len == 0 || (len == 1 && name[0] == '.'))
		return 0;
	if (len == 2 && name[0] == '.' && name[1] == '.') {
		*at = (*at)->dir.parent;
		return 0;
	}
	d = fstree_lookup(t, *at, name, len);
	if (!d)
		return how == FS_WALK_MAKE ? step_make(t, at, name, len) : -ENOENT;
	i = d->inode;
	if (S_ISDIR(i->mode)) {
		*at = i;
		return 0;
	}
	if (!S_ISLNK(i->mode))
		return -ENOTDIR;
	if (how == FS_WALK_LITERAL || *n > FSTREE_LINKS_MAX)
		return -ELOOP;
	rest[(*n)++] = (struct walk_rest){ i->target, i->target + i->size };
	if (i->target[0] == '/')
		*at = t->root;
	return 0;
}

/* rest[0] is the path itself; each symlink takes one more and none is taken again, so their number
 * is bounded and not only their nesting. */
static int walk_links(struct fstree *t, struct walk_rest *rest, enum fs_walk how,
		      struct fs_inode **ret)
{
	struct fs_inode *at = t->root;
	uint8_t stack[FSTREE_LINKS_MAX + 2]; /* which of `rest` are open, innermost last */
	unsigned n = 1, depth = 0, before;
	struct walk_rest *w;
	const char *name;
	int r;

	stack[depth++] = 0;
	while (depth > 0) {
		w = &rest[stack[depth - 1]];
		if (w->p == w->end) {
			depth--;
			continue;
		}
		name = w->p;
		w->p = memchr(name, '/', (size_t)(w->end - name));
		if (!w->p)
			w->p = w->end;
		before = n;
		r = walk_step(t, how, &at, name, (size_t)(w->p - name), rest, &n);
		if (r < 0)
			return r;
		if (w->p < w->end)
			w->p++;
		if (n > before)
			stack[depth++] = (uint8_t)before;
	}
	*ret = at;
	return 0;
}

int fstree_walk(struct fstree *t, const char *path, size_t len, enum fs_walk how,
		struct fs_inode **ret)
{
	struct walk_rest rest[FSTREE_LINKS_MAX + 2];
	bool cached = how != FS_WALK_LITERAL && len <= LTREE_PATH_MAX;
	int r;

	if (cached && t->parent_dir && len == t->parent_len &&
	    memcmp(path, t->parent_path, len) == 0) {
		*ret = t->parent_dir;
		return 0;
	}
	rest[0] = (struct walk_rest){ path, path + len };
	r = walk_links(t, rest, how, ret);
	if (r < 0 || !cached)
		return r;
	memcpy(t->parent_path, path, len);
	t->parent_len = len;
	t->parent_dir = *ret;
	return 0;
}

struct fs_inode *fstree_find(struct fstree *t, const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t parent = slash ? (size_t)(slash - path) : 0;
	const char *base = slash ? slash + 1 : path;
	struct fs_inode *dir;
	struct fs_dentry *d;

	if (*path == '\0')
		return t->root;
	if (fstree_walk(t, path, parent, FS_WALK_FIND, &dir) < 0)
		return NULL;
	d = fstree_lookup(t, dir, base, strlen(base));
	return d ? d->inode : NULL;
}

void fstree_path(const struct fs_inode *i, char *ret, size_t size)
{
	const struct fs_dentry *d = i->name;
	size_t at = size - 1;

	/* Filled from the end; a path that does not fit loses its beginning. */
	ret[at] = '\0';
	if (!d && at > 0)
		ret[--at] = '/';
	while (d && d->len < at) {
		at -= d->len;
		memcpy(ret + at, d->name, d->len);
		d = d->parent->name;
		if (d)
			ret[--at] = '/';
	}
	memmove(ret, ret + at, size - at);
}

struct fs_inode *fstree_root(const struct fstree *t)
{
	return t->root;
}

size_t fstree_n_made(const struct fstree *t)
{
	return t->n_inodes;
}

static uint64_t seed_make(void)
{
	const void *p =
		(const void *)getauxval(AT_RANDOM); /* no system call: the sandbox has few */

	return p ? get_le64(p) : 0;
}

int fstree_new(struct fstree **ret, struct err *e)
{
	struct fstree *t = calloc(1, sizeof(*t));

	if (!t)
		return err_set(e, ENOMEM, "file tree");
	t->seed = seed_make();
	t->names_cap = NAMES_CAP;
	t->xattrs_cap = NAMES_CAP;
	t->names = calloc(t->names_cap, sizeof(struct fs_dentry *));
	t->xattrs = calloc(t->xattrs_cap, sizeof(struct fs_xattr *));
	t->parent_path = malloc(LTREE_PATH_MAX);
	if (t->names && t->xattrs && t->parent_path)
		t->root = fstree_dir_new(t, NULL);
	if (!t->root) {
		fstree_free(t);
		return err_set(e, ENOMEM, "file tree");
	}
	*ret = t;
	return 0;
}

void fstree_free(struct fstree *t)
{
	struct fstree_chunk *c, *next;

	if (!t)
		return;
	for (c = t->chunks; c; c = next) {
		next = c->next;
		free(c);
	}
	free(t->names);
	free(t->xattrs);
	free(t->parent_path);
	free(t);
}
