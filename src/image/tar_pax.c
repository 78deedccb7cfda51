/* SPDX-License-Identifier: MIT */
/*
 * tar_pax.c - [U] pax extended headers
 *
 * A header is a row of "LENGTH KEY=VALUE\n". A later record of a key replaces an earlier one; an
 * empty value takes it back. Keys that say nothing about a file system are passed over, and so is
 * LIBARCHIVE.xattr.*: libarchive writes each attribute as SCHILY.xattr.* too.
 *
 * Hostile: all input. Invariants: I1 text that becomes a C string has no NUL inside. I2 names of
 * extended attributes are unique and no more than LTREE_XATTRS_MAX.
 */
#include <string.h>

#include "tar_internal.h"

#define XATTR_PREFIX "SCHILY.xattr."
#define POOL_MAX     (2U * TAR_PAX_MAX + 2U * TAR_PAX_GLOBAL_MAX)

static int bad(struct err *e, const char *what)
{
	return err_plain(e, EBADMSG, "pax header: %s", what);
}

static void text_clear(struct tar_text *t)
{
	t->is_set = false;
	buf_clear(&t->b);
}

void tar_meta_clear(struct tar_meta *m)
{
	struct tar_text *texts[] = { &m->path,       &m->link,        &m->long_path,  &m->long_link,
				     &m->acl_access, &m->acl_default, &m->sparse_name };
	struct tar_number *numbers[] = { &m->size,       &m->uid,          &m->gid,
					 &m->mtime,      &m->sparse_major, &m->sparse_minor,
					 &m->sparse_size };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		text_clear(texts[i]);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		numbers[i]->is_set = false;
	m->is_pending = m->has_map = m->is_len_due = false;
	m->mtime_nsec = 0;
	m->n_xattrs = 0;
	m->map.n = 0;
	buf_clear(&m->pool);
}

void tar_meta_done(struct tar_meta *m)
{
	buf_done(&m->path.b);
	buf_done(&m->link.b);
	buf_done(&m->long_path.b);
	buf_done(&m->long_link.b);
	buf_done(&m->acl_access.b);
	buf_done(&m->acl_default.b);
	buf_done(&m->sparse_name.b);
	buf_done(&m->pool);
	free(m->xattrs);
	free(m->xattr_view);
	free(m->map.v);
}

bool tar_decimal(const char *s, size_t len, int64_t *ret)
{
	bool is_negative = len > 0 && s[0] == '-';
	int64_t v = 0;

	if (is_negative) {
		s++;
		len--;
	}
	if (len == 0)
		return false;
	for (; len > 0; s++, len--)
		if (*s < '0' || *s > '9' || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, *s - '0', &v))
			return false;
	*ret = is_negative ? -v : v;
	return true;
}

/* ---- keys; `v` is never empty in these ---- */

static int text_set(struct tar_text *t, const char *v, size_t len, struct err *e)
{
	if (memchr(v, 0, len)) /* I1 */
		return bad(e, "NUL inside a name");
	buf_clear(&t->b);
	if (buf_add(&t->b, v, len) < 0)
		return err_set(e, ENOMEM, "pax header");
	t->is_set = true;
	return 0;
}

static int number_set(struct tar_number *n, const char *v, size_t len, struct err *e)
{
	n->is_set = tar_decimal(v, len, &n->v);
	return n->is_set ? 0 : bad(e, "bad number");
}

/* Seconds with a fraction; digits beyond nanoseconds are cut, towards the past as the rest is. */
static int mtime_set(struct tar_meta *m, const char *v, size_t len, struct err *e)
{
	const char *dot = memchr(v, '.', len);
	size_t whole = dot ? (size_t)(dot - v) : len;
	uint32_t nsec = 0, unit = 100000000;

	if (number_set(&m->mtime, v, whole, e) < 0)
		return -e->code;
	for (size_t i = whole + 1; i < len; i++, unit /= 10) {
		if (v[i] < '0' || v[i] > '9')
			return bad(e, "bad time");
		nsec += unit * (uint32_t)(v[i] - '0');
	}
	if (v[0] == '-' && nsec > 0) {
		if (__builtin_sub_overflow(m->mtime.v, 1, &m->mtime.v))
			return bad(e, "bad time");
		nsec = 1000000000 - nsec;
	}
	m->mtime_nsec = nsec;
	return 0;
}

static int sparse_offset(struct tar_meta *m, const char *v, size_t len, struct err *e)
{
	int64_t off;

	if (m->is_len_due || !tar_decimal(v, len, &off))
		return bad(e, "bad map of a sparse file");
	m->is_len_due = m->has_map = true;
	return tar_map_add(&m->map, off, 0, e);
}

static int sparse_length(struct tar_meta *m, const char *v, size_t len, struct err *e)
{
	int64_t n;

	if (!m->is_len_due || !tar_decimal(v, len, &n) || n < 0)
		return bad(e, "bad map of a sparse file");
	m->is_len_due = false;
	m->map.v[m->map.n - 1].len = (uint64_t)n;
	return 0;
}

static int xattrs_grow(struct tar_meta *m, struct err *e)
{
	size_t cap = m->xattrs_cap ? m->xattrs_cap * 2 : 8;
	void *p;

	if (m->n_xattrs >= LTREE_XATTRS_MAX)
		return err_plain(e, EFBIG, "more than %u extended attributes", LTREE_XATTRS_MAX);
	if (m->n_xattrs < m->xattrs_cap)
		return 0;
	p = reallocarray(m->xattrs, cap, sizeof(*m->xattrs));
	if (!p)
		return err_set(e, ENOMEM, "pax header");
	m->xattrs = p;
	p = reallocarray(m->xattr_view, cap, sizeof(*m->xattr_view));
	if (!p)
		return err_set(e, ENOMEM, "pax header");
	m->xattr_view = p;
	m->xattrs_cap = cap;
	return 0;
}

static void xattr_drop(struct tar_meta *m, const char *name, size_t len)
{
	for (size_t i = 0; i < m->n_xattrs; i++) {
		const char *have = m->pool.data + m->xattrs[i].name;

		if (strlen(have) != len || memcmp(have, name, len) != 0)
			continue;
		memmove(&m->xattrs[i], &m->xattrs[i + 1],
			(m->n_xattrs - i - 1) * sizeof(*m->xattrs));
		m->n_xattrs--;
		return;
	}
}

static int xattr_set(struct tar_meta *m, const char *name, size_t name_len, const char *v,
		     size_t len, struct err *e)
{
	if (name_len == 0 || name_len > LTREE_XATTR_NAME_MAX || memchr(name, 0, name_len))
		return bad(e, "bad name of an extended attribute");
	if (len > LTREE_XATTR_VALUE_MAX)
		return err_plain(e, EFBIG, "extended attribute of more than %u bytes",
				 LTREE_XATTR_VALUE_MAX);
	xattr_drop(m, name, name_len); /* I2 */
	if (xattrs_grow(m, e) < 0)
		return -e->code;
	m->pool.max = POOL_MAX;
	m->xattrs[m->n_xattrs] = (struct tar_xattr){ .name = m->pool.len,
						     .value = m->pool.len + name_len + 1,
						     .value_len = (uint32_t)len };
	if (buf_add(&m->pool, name, name_len) < 0 || buf_add(&m->pool, "", 1) < 0 ||
	    buf_add(&m->pool, v, len) < 0)
		return err_set(e, ENOMEM, "pax header");
	m->n_xattrs++;
	return 0;
}

void tar_meta_xattrs(struct tar_meta *m)
{
	for (size_t i = 0; i < m->n_xattrs; i++)
		m->xattr_view[i] = (struct ltree_xattr){ m->pool.data + m->xattrs[i].name,
							 m->pool.data + m->xattrs[i].value,
							 m->xattrs[i].value_len };
}

/* ---- records ---- */

enum key {
	KEY_PATH,
	KEY_LINK,
	KEY_SIZE,
	KEY_UID,
	KEY_GID,
	KEY_MTIME,
	KEY_ACL_ACCESS,
	KEY_ACL_DEFAULT,
	KEY_SPARSE_NAME,
	KEY_SPARSE_MAJOR,
	KEY_SPARSE_MINOR,
	KEY_SPARSE_SIZE,
	KEY_SPARSE_OFFSET,
	KEY_SPARSE_LENGTH,
	KEY_SPARSE_MAP,
	KEY_OTHER
};

static const struct {
	const char *name;
	enum key key;
	bool is_of_one; /* makes no sense for all entries that follow */
} keys[] = {
	{ "path", KEY_PATH, true },
	{ "linkpath", KEY_LINK, true },
	{ "size", KEY_SIZE, true },
	{ "uid", KEY_UID, false },
	{ "gid", KEY_GID, false },
	{ "mtime", KEY_MTIME, false },
	{ "SCHILY.acl.access", KEY_ACL_ACCESS, true },
	{ "SCHILY.acl.default", KEY_ACL_DEFAULT, true },
	{ "GNU.sparse.name", KEY_SPARSE_NAME, true },
	{ "GNU.sparse.major", KEY_SPARSE_MAJOR, true },
	{ "GNU.sparse.minor", KEY_SPARSE_MINOR, true },
	{ "GNU.sparse.size", KEY_SPARSE_SIZE, true },
	{ "GNU.sparse.realsize", KEY_SPARSE_SIZE, true },
	{ "GNU.sparse.offset", KEY_SPARSE_OFFSET, true },
	{ "GNU.sparse.numbytes", KEY_SPARSE_LENGTH, true },
	{ "GNU.sparse.map", KEY_SPARSE_MAP, true },
};

static struct tar_text *text_of(struct tar_meta *m, enum key key)
{
	switch (key) {
	case KEY_PATH:
		return &m->path;
	case KEY_LINK:
		return &m->link;
	case KEY_ACL_ACCESS:
		return &m->acl_access;
	case KEY_ACL_DEFAULT:
		return &m->acl_default;
	case KEY_SPARSE_NAME:
		return &m->sparse_name;
	default:
		return NULL;
	}
}

static struct tar_number *number_of(struct tar_meta *m, enum key key)
{
	switch (key) {
	case KEY_SIZE:
		return &m->size;
	case KEY_UID:
		return &m->uid;
	case KEY_GID:
		return &m->gid;
	case KEY_MTIME:
		return &m->mtime;
	case KEY_SPARSE_MAJOR:
		return &m->sparse_major;
	case KEY_SPARSE_MINOR:
		return &m->sparse_minor;
	case KEY_SPARSE_SIZE:
		return &m->sparse_size;
	default:
		return NULL;
	}
}

static int key_apply(struct tar_meta *m, enum key key, const char *v, size_t len, struct err *e)
{
	struct tar_text *t = text_of(m, key);
	struct tar_number *n = number_of(m, key);

	if (len == 0) { /* an empty map is a file that is one hole */
		if (t)
			text_clear(t);
		else if (n)
			n->is_set = false;
		else if (key == KEY_SPARSE_MAP)
			m->has_map = true;
		return 0;
	}
	switch (key) {
	case KEY_MTIME:
		return mtime_set(m, v, len, e);
	case KEY_SPARSE_OFFSET:
		return sparse_offset(m, v, len, e);
	case KEY_SPARSE_LENGTH:
		return sparse_length(m, v, len, e);
	case KEY_SPARSE_MAP:
		m->has_map = true;
		m->map.n = 0;
		return tar_map_parse(&m->map, v, len, e);
	default:
		return t ? text_set(t, v, len, e) : number_set(n, v, len, e);
	}
}

static int record_apply(struct tar_meta *m, const char *rec, size_t len, bool is_global,
			struct err *e)
{
	const size_t prefix = sizeof(XATTR_PREFIX) - 1;
	const char *eq = memchr(rec, '=', len);
	size_t key_len, value_len;

	if (!eq || eq == rec)
		return bad(e, "record without a key");
	key_len = (size_t)(eq - rec);
	value_len = len - key_len - 1;
	if (key_len > prefix && memcmp(rec, XATTR_PREFIX, prefix) == 0)
		return xattr_set(m, rec + prefix, key_len - prefix, eq + 1, value_len, e);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (strlen(keys[i].name) != key_len || memcmp(keys[i].name, rec, key_len) != 0)
			continue;
		if (is_global && keys[i].is_of_one)
			return err_plain(e, EBADMSG, "pax header: global \"%s\"", keys[i].name);
		return key_apply(m, keys[i].key, eq + 1, value_len, e);
	}
	return 0;
}

int tar_pax_parse(struct tar_meta *m, const char *data, size_t len, bool is_global, struct err *e)
{
	while (len > 0) {
		const char *space = memchr(data, ' ', MIN_OF(len, 20));
		int64_t n;
		size_t used;

		if (!space || !tar_decimal(data, (size_t)(space - data), &n))
			return bad(e, "record without a length");
		used = (size_t)(space - data) + 1;
		if (n <= (int64_t)used || (uint64_t)n > len || data[n - 1] != '\n')
			return bad(e, "wrong length of a record");
		if (record_apply(m, space + 1, (size_t)n - used - 1, is_global, e) < 0)
			return -e->code;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}
