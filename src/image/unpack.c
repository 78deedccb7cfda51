/* SPDX-License-Identifier: MIT */
/*
 * unpack.c - [U] tar entries to records and data
 *
 * One pass in the order of the tar. A file's place in the data file is known from its header, so
 * its record, with the extents, is written before its contents arrive. Sparse files get extents of
 * whole blocks around their pieces, all in one run of the data file.
 *
 * Hostile: all input. Invariants: I1 a record's extents cover every byte that tar_data() then
 * gives. I2 data is put in ascending order, as data_at() grows with the file offset.
 */
#include "unpack.h"

#include <string.h>

#include "acl.h"
#include "bytes.h"
#include "layer_path.h"
#include "ltree.h"
#include "tar.h"
#include "unpack_data.h"

#define QUOTE_MAX 200 /* of a path, in messages */

struct unpack {
	struct tar *tar;
	struct ltree_writer *tree;
	struct unpack_data data;
	struct buf path, link;
	struct buf acl[2]; /* access, default; made from text */
	struct ltree_xattr xattrs[LTREE_XATTRS_MAX];
	uint32_t n_xattrs;
	struct ltree_extent *extents;
	size_t extents_cap, n_extents;
	size_t extent_at; /* the one that data_at() found last */
	uint64_t n_records;
};

/* ---- extended attributes ---- */

static bool starts_with(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

enum verdict { KEEP, DROP, REFUSE };

static enum verdict acl_judge(const struct ltree_xattr *x, bool is_default,
			      const struct tar_entry *t)
{
	if (t->type == TAR_SYMLINK || (is_default && t->type != TAR_DIR))
		return DROP;
	if (x->value_len <= 4) /* a list of no entries stands for none */
		return DROP;
	return acl_is_valid(x->value, x->value_len) ? KEEP : REFUSE;
}

static enum verdict xattr_judge(const struct ltree_xattr *x, const struct tar_entry *t)
{
	if (starts_with(x->name, "trusted.overlay.") || starts_with(x->name, "user.overlay."))
		return DROP; /* overlayfs in the guest would obey them */
	if (strcmp(x->name, "system.posix_acl_access") == 0)
		return acl_judge(x, false, t);
	if (strcmp(x->name, "system.posix_acl_default") == 0)
		return acl_judge(x, true, t);
	if (starts_with(x->name, "user."))
		return x->name[5] && (t->type == TAR_REG || t->type == TAR_DIR) ? KEEP : DROP;
	if (starts_with(x->name, "trusted."))
		return x->name[8] ? KEEP : DROP;
	if (starts_with(x->name, "security."))
		return x->name[9] ? KEEP : DROP;
	return DROP; /* EROFS has no place for others */
}

static int xattr_add(struct unpack *u, const struct ltree_xattr *x, const struct tar_entry *t,
		     struct err *e)
{
	switch (xattr_judge(x, t)) {
	case DROP:
		return 0;
	case REFUSE:
		return err_plain(e, EBADMSG, "malformed access control list");
	default:
		break;
	}
	for (uint32_t i = 0; i < u->n_xattrs; i++) /* an access list both as bytes and as text */
		if (strcmp(u->xattrs[i].name, x->name) == 0)
			return 0;
	if (u->n_xattrs == LTREE_XATTRS_MAX)
		return err_plain(e, EBADMSG, "more than %u extended attributes", LTREE_XATTRS_MAX);
	u->xattrs[u->n_xattrs++] = *x;
	return 0;
}

static int acl_text_add(struct unpack *u, const char *text, bool is_default,
			const struct tar_entry *t, struct err *e)
{
	struct buf *b = &u->acl[is_default];
	struct ltree_xattr x = { .name = is_default ? "system.posix_acl_default"
						    : "system.posix_acl_access" };
	int r;

	if (!text || !text[strspn(text, ", \t\n")])
		return 0;
	buf_clear(b);
	r = acl_from_text(text, b, e);
	if (r == -EOPNOTSUPP)
		return 0;
	if (r < 0)
		return r;
	if (b->len > LTREE_XATTR_VALUE_MAX)
		return err_plain(e, EBADMSG, "access control list is too long");
	x.value = b->data;
	x.value_len = (uint32_t)b->len;
	return xattr_add(u, &x, t, e);
}

static int xattrs_collect(struct unpack *u, const struct tar_entry *t, struct err *e)
{
	u->n_xattrs = 0;
	for (size_t i = 0; i < t->n_xattrs; i++)
		if (xattr_add(u, &t->xattrs[i], t, e) < 0)
			return -e->code;
	if (acl_text_add(u, t->acl_access, false, t, e) < 0 ||
	    acl_text_add(u, t->acl_default, true, t, e) < 0)
		return -e->code;
	return 0;
}

/* ---- contents ---- */

static int extents_reserve(struct unpack *u, size_t n, struct err *e)
{
	void *p;

	u->n_extents = 0;
	u->extent_at = 0;
	if (n <= u->extents_cap)
		return 0;
	p = reallocarray(u->extents, n, sizeof(*u->extents));
	if (!p)
		return err_set(e, ENOMEM, "sparse file");
	u->extents = p;
	u->extents_cap = n;
	return 0;
}

/* Whole blocks around a piece, joined with those before when they touch. */
static void extent_grow(struct unpack *u, const struct tar_extent *x, uint64_t size)
{
	uint64_t from = x->off & ~(uint64_t)(LTREE_BLOCK - 1);
	uint64_t to = MIN_OF(align_up(x->off + x->len, LTREE_BLOCK), size);
	struct ltree_extent *last = u->n_extents > 0 ? &u->extents[u->n_extents - 1] : NULL;

	if (last && from <= last->file_off + last->len) {
		last->len = MAX_OF(last->len, to - last->file_off);
		return;
	}
	u->extents[u->n_extents++] = (struct ltree_extent){ .file_off = from, .len = to - from };
}

static int extents_make(struct unpack *u, const struct tar_entry *t, struct err *e)
{
	const struct tar_extent whole = { 0, t->size };
	const struct tar_extent *map = t->is_sparse ? t->map : &whole;
	size_t n = t->is_sparse ? t->n_map : t->size > 0;
	uint64_t total = 0, off;

	if (extents_reserve(u, n, e) < 0)
		return -e->code;
	for (size_t i = 0; i < n; i++)
		extent_grow(u, &map[i], t->size);
	for (size_t i = 0; i < u->n_extents; i++)
		total += align_up(u->extents[i].len, LTREE_BLOCK);
	if (total == 0)
		return 0;
	if (unpack_data_alloc(&u->data, total, &off, e) < 0)
		return -e->code;
	for (size_t i = 0; i < u->n_extents; i++) {
		u->extents[i].data_off = off;
		off += align_up(u->extents[i].len, LTREE_BLOCK);
	}
	return 0;
}

/* I1, I2: offsets ascend, and each piece lies in one extent. */
static uint64_t data_at(struct unpack *u, uint64_t file_off)
{
	const struct ltree_extent *x;

	while (file_off >= u->extents[u->extent_at].file_off + u->extents[u->extent_at].len)
		u->extent_at++;
	x = &u->extents[u->extent_at];
	return x->data_off + (file_off - x->file_off);
}

static int contents_copy(struct unpack *u, struct err *e)
{
	for (;;) {
		const uint8_t *p;
		uint64_t off;
		size_t n;

		if (tar_data(u->tar, &p, &n, &off, e) < 0)
			return -e->code;
		if (n == 0)
			return 0;
		if (unpack_data_put(&u->data, data_at(u, off), p, n, e) < 0)
			return -e->code;
	}
}

/* ---- entries ---- */

static int record_write(struct unpack *u, const struct ltree_record *r, struct err *e)
{
	if (ltree_writer_add(u->tree, r, e) < 0)
		return -e->code;
	u->n_records++;
	return 0;
}

static int mark_write(struct unpack *u, enum layer_path_kind kind, struct err *e)
{
	struct ltree_record r = {
		.kind = kind == LAYER_PATH_OPAQUE ? LTREE_OPAQUE : LTREE_WHITEOUT,
		.path = u->path.data,
	};

	return record_write(u, &r, e);
}

static int hardlink_write(struct unpack *u, const struct tar_entry *t, struct err *e)
{
	struct ltree_record r = { .kind = LTREE_HARDLINK, .path = u->path.data };

	if (layer_path_normalise(t->link, &u->link, e) < 0)
		return err_wrap(e, "hard link");
	if (u->link.len == 0)
		return err_plain(e, EBADMSG, "hard link to the root directory");
	r.link = u->link.data;
	return record_write(u, &r, e);
}

static int symlink_check(const struct tar_entry *t, struct err *e)
{
	size_t n = strlen(t->link);

	if (n == 0 || n > LTREE_LINK_MAX)
		return err_plain(e, EBADMSG, "symbolic link to a target of %zu bytes", n);
	return 0;
}

static int inode_write(struct unpack *u, const struct tar_entry *t, struct err *e)
{
	static const enum ltree_kind kinds[] = {
		[TAR_REG] = LTREE_REG, [TAR_SYMLINK] = LTREE_SYMLINK, [TAR_CHR] = LTREE_CHR,
		[TAR_BLK] = LTREE_BLK, [TAR_DIR] = LTREE_DIR,         [TAR_FIFO] = LTREE_FIFO,
	};
	struct ltree_record r = {
		.kind = kinds[t->type],
		.path = u->path.data,
		.mode = t->type == TAR_SYMLINK ? 0777 : t->mode,
		.uid = t->uid,
		.gid = t->gid,
		.mtime_sec = t->mtime_sec,
		.mtime_nsec = t->mtime_nsec,
		.major = t->major,
		.minor = t->minor,
	};

	if (t->type == TAR_SYMLINK) {
		if (symlink_check(t, e) < 0)
			return -e->code;
		r.link = t->link;
	}
	if (xattrs_collect(u, t, e) < 0)
		return -e->code;
	r.xattrs = u->xattrs;
	r.n_xattrs = u->n_xattrs;
	if (t->type == TAR_REG) {
		if (extents_make(u, t, e) < 0)
			return -e->code;
		r.size = t->size;
		r.extents = u->extents;
		r.n_extents = (uint32_t)u->n_extents;
	}
	if (record_write(u, &r, e) < 0)
		return -e->code;
	return t->type == TAR_REG ? contents_copy(u, e) : 0;
}

static int entry_unpack(struct unpack *u, const struct tar_entry *t, struct err *e)
{
	enum layer_path_kind kind;

	if (!*t->path)
		return err_plain(e, EBADMSG, "entry without a name");
	if (layer_path_normalise(t->path, &u->path, e) < 0 ||
	    layer_path_classify(&u->path, &kind, e) < 0)
		return -e->code;
	if (kind == LAYER_PATH_DROP)
		return 0;
	if (kind != LAYER_PATH_PLAIN)
		return mark_write(u, kind, e);
	if (u->path.len == 0 && t->type != TAR_DIR)
		return err_plain(e, EBADMSG, "a root that is no directory");
	if (t->type == TAR_CHR && t->major == 0 && t->minor == 0)
		return 0; /* overlayfs' whiteout */
	return t->type == TAR_HARDLINK ? hardlink_write(u, t, e) : inode_write(u, t, e);
}

/* ---- the whole ---- */

static int entries_unpack(struct unpack *u, struct err *e)
{
	for (;;) {
		struct tar_entry t;
		int r = tar_next(u->tar, &t, e);

		if (r <= 0)
			return r;
		if (entry_unpack(u, &t, e) < 0)
			return err_wrap(e, "\"%.*s\"", QUOTE_MAX, t.path);
	}
}

static void unpack_free(struct unpack *u)
{
	tar_free(u->tar);
	ltree_writer_free(u->tree);
	unpack_data_close(&u->data);
	buf_done(&u->path);
	buf_done(&u->link);
	buf_done(&u->acl[0]);
	buf_done(&u->acl[1]);
	free(u->extents);
	free(u);
}

int unpack_tar(const struct byte_source *src, int data_fd, int tree_fd, struct unpack_result *ret,
	       struct err *e)
{
	struct unpack *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return err_set(e, ENOMEM, "unpack");
	r = unpack_data_open(&u->data, data_fd, e);
	if (r == 0)
		r = tar_new(src, &u->tar, e);
	if (r == 0)
		r = ltree_writer_new(tree_fd, &u->tree, e);
	if (r == 0)
		r = entries_unpack(u, e);
	if (r == 0)
		r = unpack_data_finish(&u->data, e);
	if (r == 0)
		r = ltree_writer_finish(u->tree, u->data.end, e);
	*ret = (struct unpack_result){ .data_len = u->data.end, .n_records = u->n_records };
	unpack_free(u);
	return r;
}
