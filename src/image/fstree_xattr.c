/* SPDX-License-Identifier: MIT */
/*
 * fstree_xattr.c - [U] extended attributes of the tree: which are kept, each different one once
 *
 * ACLs are checked as the kernel does when it sets one, since it does not when it reads one from
 * EROFS, and then refuses the file to everybody but its owner.
 */
#include "bytes.h"
#include "fstree.h"
#include "fstree_internal.h"

#define ACL_VERSION 2U
#define ACL_ANY_ID  UINT32_MAX

enum acl_tag { /* as in the kernel's posix_acl_xattr.h */
	       ACL_TAG_USER_OBJ = 0x01,
	       ACL_TAG_USER = 0x02,
	       ACL_TAG_GROUP_OBJ = 0x04,
	       ACL_TAG_GROUP = 0x08,
	       ACL_TAG_MASK = 0x10,
	       ACL_TAG_OTHER = 0x20,
};

enum name_index {
	INDEX_USER = 1,
	INDEX_ACL = 2,
	INDEX_ACL_DEFAULT = 3,
	INDEX_TRUSTED = 4,
	INDEX_SECURITY = 6
};

static const struct prefix {
	const char *text;
	uint8_t len, index;
	bool whole; /* the text is the whole name */
} prefixes[] = {
	{ "user.", 5, INDEX_USER, false },
	{ "trusted.", 8, INDEX_TRUSTED, false },
	{ "security.", 9, INDEX_SECURITY, false },
	{ "system.posix_acl_access", 23, INDEX_ACL, true },
	{ "system.posix_acl_default", 24, INDEX_ACL_DEFAULT, true },
};

static const struct prefix *prefix_find(const char *name)
{
	for (size_t k = 0; k < ARRAY_SIZE(prefixes); k++) {
		const struct prefix *p = &prefixes[k];

		if (p->whole ? strcmp(name, p->text) == 0
			     : strncmp(name, p->text, p->len) == 0 && name[p->len] != '\0')
			return p;
	}
	return NULL;
}

/* Whether an inode of this mode can have it in a machine. */
static bool kept(const struct prefix *p, const char *name, uint32_t mode)
{
	const char *rest = name + p->len;

	switch (p->index) {
	case INDEX_USER:
		return (S_ISREG(mode) || S_ISDIR(mode)) && strncmp(rest, "overlay.", 8) != 0;
	case INDEX_TRUSTED:
		return strncmp(rest, "overlay.", 8) != 0;
	case INDEX_ACL:
		return !S_ISLNK(mode);
	case INDEX_ACL_DEFAULT:
		return S_ISDIR(mode);
	default:
		return true;
	}
}

/* Tags in ascending order, the three of the mode bits exactly once, a mask when others are there.
 */
static bool acl_valid(const uint8_t *v, size_t len)
{
	uint32_t seen = 0, last = 0, tag, id;
	bool named;

	if (len < 4 || (len - 4) % 8 != 0 || get_le32(v) != ACL_VERSION)
		return false;
	for (size_t at = 4; at < len; at += 8) {
		tag = get_le16(v + at);
		id = get_le32(v + at + 4);
		named = tag == ACL_TAG_USER || tag == ACL_TAG_GROUP;
		if (tag == 0 || tag > ACL_TAG_OTHER || (tag & (tag - 1)) != 0 || tag < last)
			return false;
		if (get_le16(v + at + 2) > 7 || (named && id == ACL_ANY_ID) ||
		    (!named && tag == last))
			return false;
		seen |= tag;
		last = tag;
	}
	if ((seen & (ACL_TAG_USER | ACL_TAG_GROUP)) != 0 && (seen & ACL_TAG_MASK) == 0)
		return false;
	return (seen & (ACL_TAG_USER_OBJ | ACL_TAG_GROUP_OBJ | ACL_TAG_OTHER)) ==
	       (ACL_TAG_USER_OBJ | ACL_TAG_GROUP_OBJ | ACL_TAG_OTHER);
}

static int table_grow(struct fstree *t)
{
	size_t cap = t->xattrs_cap * 2;
	struct fs_xattr **table = calloc(cap, sizeof(struct fs_xattr *)), *x, *next;

	if (!table)
		return -ENOMEM;
	for (size_t k = 0; k < t->xattrs_cap; k++) {
		for (x = t->xattrs[k]; x; x = next) {
			next = x->next;
			x->next = table[x->hash & (cap - 1)];
			table[x->hash & (cap - 1)] = x;
		}
	}
	free(t->xattrs);
	t->xattrs = table;
	t->xattrs_cap = cap;
	return 0;
}

static struct fs_xattr *intern(struct fstree *t, uint8_t index, const char *name,
			       const struct ltree_xattr *a)
{
	size_t len = strlen(name);
	uint32_t h = (uint32_t)fstree_hash(fstree_hash(t->seed + index, name, len), a->value,
					   a->value_len);
	struct fs_xattr *x = t->xattrs[h & (t->xattrs_cap - 1)];
	char *copy;

	for (; x; x = x->next)
		if (x->hash == h && x->index == index && x->name_len == len &&
		    x->value_len == a->value_len && memcmp(x->name, name, len) == 0 &&
		    (a->value_len == 0 || memcmp(x->value, a->value, a->value_len) == 0))
			return x;
	if (t->n_xattrs >= t->xattrs_cap && table_grow(t) < 0)
		return NULL;
	x = fstree_alloc(t, sizeof(*x) + len + a->value_len);
	if (!x)
		return NULL;
	copy = (char *)(x + 1);
	memcpy(copy, name, len);
	if (a->value_len > 0)
		memcpy(copy + len, a->value, a->value_len);
	*x = (struct fs_xattr){ .next = t->xattrs[h & (t->xattrs_cap - 1)],
				.name = copy,
				.value = copy + len,
				.hash = h,
				.value_len = a->value_len,
				.index = index,
				.name_len = (uint8_t)len };
	t->xattrs[h & (t->xattrs_cap - 1)] = x;
	t->n_xattrs++;
	return x;
}

static int name_cmp(const struct fs_xattr *a, const struct fs_xattr *b)
{
	int c;

	if (a->index != b->index)
		return a->index < b->index ? -1 : 1;
	c = memcmp(a->name, b->name, MIN_OF(a->name_len, b->name_len));
	return c != 0 ? c : (int)a->name_len - (int)b->name_len;
}

static int name_cmp_qsort(const void *a, const void *b)
{
	return name_cmp(*(const struct fs_xattr *const *)a, *(const struct fs_xattr *const *)b);
}

static int check(const struct ltree_xattr *a, const struct prefix *p, struct err *e)
{
	if (a->value_len > LTREE_XATTR_VALUE_MAX || strlen(a->name) > LTREE_XATTR_NAME_MAX)
		return err_plain(e, E2BIG, "xattr \"%.60s\" is too large", a->name);
	if (p->whole && !acl_valid(a->value, a->value_len))
		return err_plain(e, EINVAL, "\"%s\" is no valid ACL", a->name);
	return 0;
}

int fstree_xattrs(struct fstree *t, const struct ltree_record *r, struct fs_inode *i, struct err *e)
{
	struct fs_xattr **list;
	const struct prefix *p;
	uint32_t n = 0, kept_n = 0;
	int ret;

	i->n_xattrs = 0;
	if (r->n_xattrs == 0)
		return 0;
	list = fstree_alloc(t, r->n_xattrs * sizeof(struct fs_xattr *));
	if (!list)
		return err_plain(e, ENOMEM, "no memory left for xattrs");
	for (uint32_t k = 0; k < r->n_xattrs; k++) {
		p = prefix_find(r->xattrs[k].name);
		if (!p || !kept(p, r->xattrs[k].name, i->mode))
			continue;
		ret = check(&r->xattrs[k], p, e);
		if (ret < 0)
			return ret;
		list[n] = intern(t, p->index, r->xattrs[k].name + p->len, &r->xattrs[k]);
		if (!list[n++])
			return err_plain(e, ENOMEM, "no memory left for xattrs");
	}
	qsort(list, n, sizeof(struct fs_xattr *), name_cmp_qsort);
	for (uint32_t k = 0; k < n; k++) {
		if (kept_n > 0 && list[kept_n - 1] == list[k])
			continue; /* said twice */
		if (kept_n > 0 && name_cmp(list[kept_n - 1], list[k]) == 0)
			return err_plain(e, EINVAL, "two values of one xattr");
		list[kept_n++] = list[k];
	}
	i->xattrs = list;
	i->n_xattrs = kept_n;
	return 0;
}
