/* SPDX-License-Identifier: MIT */
/*
 * tree_tar.c - [U] walks a file system that may be no tree
 *
 * Hostile: names and inodes, as fsread.h promises them. Invariants: I1 a directory is entered once:
 * its inode is remembered. I2 recursion is at most LTREE_DEPTH_MAX deep and its frames are small.
 * I3 entries are counted, and at most LTREE_RECORDS_MAX; what is remembered of each is bounded by
 * its path. I4 contents go through one buffer.
 */
#include "tree_tar.h"

#include "acl.h"
#include "tar_write.h"

#define CHUNK       (1U << 20)
#define STEP_BYTES  (4U << 20)
#define HOLES_LEAST (1U << 20) /* less is written as zeros, which compress well */
#define SEEN_FIRST  1024U
#define NAMES_MAX   (1U << 30) /* bytes of the names of one directory */

struct seen { /* a directory, or a file of several names */
	uint64_t ino;
	char *path; /* NULL: a directory, or an empty place of the table when ino is 0 */
	bool is_used;
};

struct walk {
	const struct tree_source *s;
	struct tar_writer tar;
	struct tree_counts n;
	struct buf path;
	struct seen *seen;
	size_t n_seen, seen_cap; /* a power of two */
	uint8_t *chunk;
	uint64_t bytes, told;
};

/* ---- inodes that were seen ---- */

static struct seen *place_of(struct seen *table, size_t cap, uint64_t ino)
{
	size_t i = (size_t)(ino * 0x9e3779b97f4a7c15ULL >> 20) & (cap - 1);

	while (table[i].is_used && table[i].ino != ino)
		i = (i + 1) & (cap - 1);
	return &table[i];
}

static int seen_grow(struct walk *w, struct err *e)
{
	const size_t cap = w->seen_cap ? 2 * w->seen_cap : SEEN_FIRST;
	struct seen *t = calloc(cap, sizeof(*t));

	if (!t)
		return err_set(e, ENOMEM, "inodes of a file system");
	for (size_t i = 0; i < w->seen_cap; i++)
		if (w->seen[i].is_used)
			*place_of(t, cap, w->seen[i].ino) = w->seen[i];
	free(w->seen);
	w->seen = t;
	w->seen_cap = cap;
	return 0;
}

/* The inode's place; *ret_is_new when it was not there before. */
static int seen_take(struct walk *w, uint64_t ino, struct seen **ret, bool *ret_is_new,
		     struct err *e)
{
	if (2 * w->n_seen >= w->seen_cap && seen_grow(w, e) < 0)
		return -e->code;
	*ret = place_of(w->seen, w->seen_cap, ino);
	*ret_is_new = !(*ret)->is_used;
	if (*ret_is_new) {
		**ret = (struct seen){ .ino = ino, .is_used = true };
		w->n_seen++;
	}
	return 0;
}

/* ---- extended attributes ---- */

struct attributes {
	struct ltree_xattr v[LTREE_XATTRS_MAX];
	size_t n;
	struct buf bytes; /* names and values; v points into it at the end */
	size_t name_at[LTREE_XATTRS_MAX], value_at[LTREE_XATTRS_MAX];
	enum fs_node_kind kind;
	enum tree_kind tree;
	bool is_opaque, is_elsewhere;
};

static bool has_prefix(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* What a layer may hold (doc/format/layer-tree.md). */
static bool attribute_is_kept(const struct attributes *a, const char *name, const void *value,
			      size_t len)
{
	if (strchr(name, '=') || strlen(name) > LTREE_XATTR_NAME_MAX)
		return false;
	if (has_prefix(name, "trusted.overlay.") || has_prefix(name, "user.overlay."))
		return false;
	if (has_prefix(name, "user."))
		return a->kind == FS_NODE_REG || a->kind == FS_NODE_DIR;
	if (strcmp(name, "system.posix_acl_access") == 0)
		return a->kind != FS_NODE_SYMLINK && acl_is_valid(value, len);
	if (strcmp(name, "system.posix_acl_default") == 0)
		return a->kind == FS_NODE_DIR && acl_is_valid(value, len);
	return has_prefix(name, "trusted.") || has_prefix(name, "security.");
}

static int attribute_take(void *arg, const char *name, const void *value, size_t len, struct err *e)
{
	struct attributes *a = arg;

	if (a->tree == TREE_UPPER) {
		a->is_opaque |= strcmp(name, "trusted.overlay.opaque") == 0 && len == 1 &&
				*(const char *)value == 'y';
		a->is_elsewhere |= strcmp(name, "trusted.overlay.redirect") == 0 ||
				   strcmp(name, "trusted.overlay.metacopy") == 0;
	}
	if (!attribute_is_kept(a, name, value, len))
		return 0;
	if (a->n == LTREE_XATTRS_MAX)
		return err_plain(e, E2BIG, "more than %u extended attributes", LTREE_XATTRS_MAX);
	a->name_at[a->n] = a->bytes.len;
	if (buf_add(&a->bytes, name, strlen(name) + 1) < 0)
		return err_set(e, ENOMEM, "extended attributes");
	a->value_at[a->n] = a->bytes.len;
	if (buf_add(&a->bytes, value, len) < 0)
		return err_set(e, ENOMEM, "extended attributes");
	a->v[a->n++].value_len = (uint32_t)len;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct ltree_xattr *)a)->name, ((const struct ltree_xattr *)b)->name);
}

static int attributes_read(struct walk *w, uint64_t ino, enum fs_node_kind kind,
			   struct attributes *a, struct err *e)
{
	a->kind = kind;
	a->tree = w->s->kind;
	if (w->s->fs->ops->xattrs(w->s->fs, ino, attribute_take, a, e) < 0)
		return -e->code;
	for (size_t i = 0; i < a->n; i++) {
		a->v[i].name = a->bytes.data + a->name_at[i];
		a->v[i].value = a->bytes.data + a->value_at[i];
	}
	qsort(a->v, a->n, sizeof(a->v[0]), by_name);
	for (size_t i = 1; i < a->n; i++)
		if (strcmp(a->v[i].name, a->v[i - 1].name) == 0)
			return err_plain(e, EBADMSG, "an extended attribute is there twice");
	return a->is_elsewhere ? err_plain(e, EOPNOTSUPP,
					   "the overlay keeps it in pieces (redirect, metacopy)")
			       : 0;
}

/* ---- contents ---- */

struct holes {
	struct tar_extent *v;
	size_t n, cap;
	uint64_t data;
};

static int run_take(void *arg, uint64_t off, uint64_t len, struct err *e)
{
	struct holes *h = arg;

	if (h->n + 1 >= h->cap) { /* one is left for the end */
		const size_t cap = h->cap ? 2 * h->cap : 64;
		struct tar_extent *v;

		if (h->n + 2 > TAR_MAP_MAX)
			return err_plain(e, E2BIG, "a sparse file in too many pieces");
		v = realloc(h->v, cap * sizeof(*v));
		if (!v)
			return err_set(e, ENOMEM, "a sparse file");
		h->v = v;
		h->cap = cap;
	}
	h->v[h->n++] = (struct tar_extent){ off, len };
	h->data += len;
	return 0;
}

static int told(struct walk *w, size_t n, struct err *e)
{
	w->bytes += n;
	if (!w->s->step || w->bytes - w->told < STEP_BYTES)
		return 0;
	w->told = w->bytes;
	return w->s->step(w->s->step_arg, w->bytes) ? err_plain(e, ECANCELED, "interrupted") : 0;
}

static int bytes_copy(struct walk *w, uint64_t ino, uint64_t off, uint64_t len, struct err *e)
{
	while (len > 0) {
		const size_t n = (size_t)MIN_OF(len, (uint64_t)CHUNK);

		if (w->s->fs->ops->read(w->s->fs, ino, w->chunk, n, off, e) < 0 ||
		    tar_writer_data(&w->tar, w->chunk, n, e) < 0 || told(w, n, e) < 0)
			return -e->code;
		off += n;
		len -= n;
	}
	return 0;
}

static int file_put(struct walk *w, uint64_t ino, const struct fs_node *node, struct tar_entry *t,
		    struct err *e)
{
	struct holes h = { 0 };
	int rc = 0;

	t->type = TAR_REG;
	t->size = node->size;
	if (node->size > TAR_FILE_MAX)
		return err_plain(e, EFBIG, "a file of more than 16 TiB");
	if (node->may_be_sparse)
		rc = w->s->fs->ops->map(w->s->fs, ino, run_take, &h, e);
	if (rc == 0 && node->may_be_sparse &&
	    node->size - MIN_OF(h.data, node->size) > HOLES_LEAST) {
		if (h.n == 0)
			rc = run_take(&h, node->size, 0, e);
		else if (h.v[h.n - 1].off + h.v[h.n - 1].len < node->size)
			h.v[h.n++] = (struct tar_extent){ node->size, 0 };
		t->is_sparse = true;
		t->map = h.v;
		t->n_map = h.n;
	}
	if (rc == 0)
		rc = tar_writer_entry(&w->tar, t, e);
	if (rc == 0 && !t->is_sparse)
		rc = bytes_copy(w, ino, 0, node->size, e);
	for (size_t i = 0; rc == 0 && t->is_sparse && i < h.n; i++)
		rc = bytes_copy(w, ino, h.v[i].off, h.v[i].len, e);
	free(h.v);
	return rc;
}

/* ---- entries ---- */

static int mark_put(struct walk *w, const char *dir, size_t dir_len, const char *prefix,
		    const char *name, struct err *e)
{
	auto_buf path = { 0 };
	struct tar_entry t = { .type = TAR_REG };

	if (buf_add(&path, dir, dir_len) < 0 || buf_addf(&path, "%s%s", prefix, name) < 0)
		return err_set(e, ENOMEM, "whiteout");
	t.path = path.data;
	w->n.files++;
	return tar_writer_entry(&w->tar, &t, e);
}

/* The other names of a file: *ret_is_done when this one is a link to an earlier one. */
static int link_put(struct walk *w, uint64_t ino, const struct fs_node *node, struct tar_entry *t,
		    bool *ret_is_done, struct err *e)
{
	struct seen *s;
	bool is_new;

	*ret_is_done = false;
	if (node->links < 2)
		return 0;
	if (seen_take(w, ino, &s, &is_new, e) < 0)
		return -e->code;
	if (is_new) {
		s->path = strdup(t->path);
		return s->path ? 0 : err_set(e, ENOMEM, "links");
	}
	if (!s->path)
		return err_plain(e, EBADMSG, "a file that is a directory as well");
	t->type = TAR_HARDLINK;
	t->link = s->path;
	t->size = 0;
	t->n_xattrs = 0;
	*ret_is_done = true;
	return tar_writer_entry(&w->tar, t, e);
}

static int other_put(struct walk *w, uint64_t ino, const struct fs_node *node, struct tar_entry *t,
		     struct err *e)
{
	auto_buf link = { 0 };

	switch (node->kind) {
	case FS_NODE_REG:
		return file_put(w, ino, node, t, e);
	case FS_NODE_SYMLINK:
		if (w->s->fs->ops->link(w->s->fs, ino, &link, e) < 0)
			return -e->code;
		t->type = TAR_SYMLINK;
		t->link = link.data;
		t->mode = 0777;
		return tar_writer_entry(&w->tar, t, e);
	case FS_NODE_CHR:
		t->type = TAR_CHR;
		break;
	case FS_NODE_BLK:
		t->type = TAR_BLK;
		break;
	default:
		t->type = TAR_FIFO;
		break;
	}
	return tar_writer_entry(&w->tar, t, e);
}

/* Overlayfs's mark for "this name is gone"; and what no layer can hold. */
static bool is_gone(const struct fs_node *n)
{
	return n->kind == FS_NODE_CHR && n->major == 0 && n->minor == 0;
}

static bool is_left_out(const struct walk *w, const char *name, const struct fs_node *n)
{
	return n->kind == FS_NODE_SOCKET || has_prefix(name, ".wh.") ||
	       (is_gone(n) && w->s->kind == TREE_WHOLE) || n->uid == UINT32_MAX ||
	       n->gid == UINT32_MAX ||
	       ((n->kind == FS_NODE_CHR || n->kind == FS_NODE_BLK) &&
		(n->major > TAR_MAJOR_MAX || n->minor > TAR_MINOR_MAX));
}

static int node_entry(struct walk *w, uint64_t ino, const struct fs_node *node,
		      struct attributes *a, struct err *e)
{
	struct tar_entry t = { .path = w->path.len ? w->path.data : ".",
			       .mode = node->mode,
			       .uid = node->uid,
			       .gid = node->gid,
			       .major = node->major,
			       .minor = node->minor,
			       .mtime_sec = node->mtime_sec,
			       .mtime_nsec = node->mtime_nsec };
	bool is_done = false;

	if (attributes_read(w, ino, node->kind, a, e) < 0)
		return -e->code;
	t.xattrs = a->v;
	t.n_xattrs = a->n;
	if (++w->n.files > LTREE_RECORDS_MAX)
		return err_plain(e, E2BIG, "more than %u files", LTREE_RECORDS_MAX);
	if (node->kind == FS_NODE_DIR) {
		t.type = TAR_DIR;
		return tar_writer_entry(&w->tar, &t, e);
	}
	if (link_put(w, ino, node, &t, &is_done, e) < 0)
		return -e->code;
	return is_done ? 0 : other_put(w, ino, node, &t, e);
}

/* ---- directories ---- */

struct name {
	size_t at;
	uint64_t ino;
};

struct names {
	struct buf bytes;
	struct name *v;
	size_t n, cap;
};

static int name_take(void *arg, const char *name, size_t len, uint64_t ino, struct err *e)
{
	struct names *l = arg;

	if (l->n == l->cap) {
		const size_t cap = l->cap ? 2 * l->cap : 32;
		struct name *v =
			cap > LTREE_RECORDS_MAX * 2UL ? NULL : realloc(l->v, cap * sizeof(*v));

		if (!v)
			return err_set(e, ENOMEM, "a directory of %zu names", l->n);
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n++] = (struct name){ l->bytes.len, ino };
	if (buf_add(&l->bytes, name, len) < 0 || buf_add(&l->bytes, "", 1) < 0)
		return err_set(e, ENOMEM, "a directory of %zu names", l->n);
	return 0;
}

static int name_compare(const void *a, const void *b, void *bytes)
{
	const char *base = bytes;

	return strcmp(base + ((const struct name *)a)->at, base + ((const struct name *)b)->at);
}

static int dir_walk(struct walk *w, uint64_t ino, unsigned int depth, struct err *e);

/* mke2fs's place for what e2fsck finds: of the file system, not of the system on it. */
static bool is_lost_found(const struct walk *w, const char *name, unsigned int depth)
{
	return depth == 0 && w->s->root == w->s->fs->root && strcmp(name, "lost+found") == 0;
}

static int child_walk(struct walk *w, const char *name, uint64_t ino, unsigned int depth,
		      struct err *e)
{
	const size_t dir_len = w->path.len;
	struct fs_node node;
	int rc;

	if (w->s->fs->ops->node(w->s->fs, ino, &node, e) < 0)
		return err_wrap(e, "%.200s", name);
	if (is_lost_found(w, name, depth))
		return 0;
	if (is_left_out(w, name, &node)) {
		w->n.left_out++;
		return 0;
	}
	if (is_gone(&node))
		return mark_put(w, w->path.data, dir_len, ".wh.", name, e);
	if (dir_len + strlen(name) > LTREE_PATH_MAX)
		return err_plain(e, ENAMETOOLONG, "a path of more than %u bytes", LTREE_PATH_MAX);
	if (buf_addf(&w->path, "%s", name) < 0)
		return err_set(e, ENOMEM, "path");
	if (node.kind == FS_NODE_DIR) {
		rc = dir_walk(w, ino, depth + 1, e);
	} else {
		auto_free struct attributes *a = calloc(1, sizeof(*a));

		rc = a ? node_entry(w, ino, &node, a, e) : err_set(e, ENOMEM, "file");
		if (rc < 0)
			rc = err_wrap(e, "%.200s", w->path.data);
		if (a)
			buf_done(&a->bytes);
	}
	w->path.len = dir_len;
	w->path.data[dir_len] = '\0';
	return rc;
}

/* The directory's own entry; *ret_is_opaque: nothing of lower layers shows in it. */
static int dir_put(struct walk *w, uint64_t ino, bool *ret_is_opaque, struct err *e)
{
	auto_free struct attributes *a = calloc(1, sizeof(*a));
	struct fs_node node;
	struct seen *s;
	bool is_new;
	int rc;

	if (!a)
		return err_set(e, ENOMEM, "directory");
	if (seen_take(w, ino, &s, &is_new, e) < 0 ||
	    w->s->fs->ops->node(w->s->fs, ino, &node, e) < 0)
		return -e->code;
	if (!is_new)
		return err_plain(e, EBADMSG, "two names lead to this directory");
	rc = node_entry(w, ino, &node, a, e);
	*ret_is_opaque = a->is_opaque;
	buf_done(&a->bytes);
	return rc;
}

static int names_walk(struct walk *w, uint64_t ino, unsigned int depth, struct names *l,
		      struct err *e)
{
	if (w->s->fs->ops->list(w->s->fs, ino, name_take, l, e) < 0)
		return err_wrap(e, "/%.200s", w->path.len ? w->path.data : "");
	if (l->n)
		qsort_r(l->v, l->n, sizeof(l->v[0]), name_compare, l->bytes.data);
	for (size_t i = 0; i < l->n; i++) {
		const char *name = l->bytes.data + l->v[i].at;

		if (i > 0 && strcmp(name, l->bytes.data + l->v[i - 1].at) == 0)
			return err_plain(e, EBADMSG, "%.200s is in its directory twice", name);
		if (child_walk(w, name, l->v[i].ino, depth, e) < 0)
			return -e->code;
	}
	return 0;
}

static int dir_walk(struct walk *w, uint64_t ino, unsigned int depth, struct err *e)
{
	struct names l = { .bytes = BUF_LIMIT(NAMES_MAX) };
	bool is_opaque = false;
	int rc;

	if (depth > LTREE_DEPTH_MAX)
		return err_plain(e, ELOOP, "directories more than %u deep", LTREE_DEPTH_MAX);
	if (dir_put(w, ino, &is_opaque, e) < 0)
		return err_wrap(e, "/%.200s", w->path.len ? w->path.data : "");
	if (w->path.len && buf_add(&w->path, "/", 1) < 0)
		return err_set(e, ENOMEM, "path");
	rc = is_opaque ? mark_put(w, w->path.data, w->path.len, ".wh..wh..opq", "", e) : 0;
	if (rc == 0)
		rc = names_walk(w, ino, depth, &l, e);
	free(l.v);
	buf_done(&l.bytes);
	return rc;
}

static void walk_done(struct walk *w)
{
	for (size_t i = 0; i < w->seen_cap; i++)
		free(w->seen[i].path);
	free(w->seen);
	free(w->chunk);
	buf_done(&w->path);
	tar_writer_done(&w->tar);
}

int tree_tar_write(const struct tree_source *s, struct layer_writer *out, struct tree_counts *ret,
		   struct err *e)
{
	struct walk w = { .s = s, .chunk = malloc(CHUNK) };
	int rc;

	tar_writer_init(&w.tar, out);
	if (!w.chunk || buf_reserve(&w.path, 256) < 0)
		rc = err_set(e, ENOMEM, "layer");
	else
		rc = dir_walk(&w, s->root, 0, e);
	if (rc == 0)
		rc = tar_writer_finish(&w.tar, e);
	if (rc == 0)
		*ret = w.n;
	walk_done(&w);
	return rc;
}
