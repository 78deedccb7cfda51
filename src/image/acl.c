/* SPDX-License-Identifier: MIT */
/*
 * acl.c - [U] checks and makes the kernel's form of an access control list
 *
 * Form: u32 version 2, then entries { u16 tag, u16 permissions, u32 id }, little-endian, ordered by
 * tag and by id. Hostile: all input.
 */
#include "acl.h"

#include <string.h>

#include "bytes.h"

#define VERSION    2U
#define HEAD_SIZE  4U
#define ENTRY_SIZE 8U
#define NO_ID      UINT32_MAX

enum {
	TAG_USER_OBJ = 1,
	TAG_USER = 2,
	TAG_GROUP_OBJ = 4,
	TAG_GROUP = 8,
	TAG_MASK = 16,
	TAG_OTHER = 32
};

struct entry {
	uint32_t tag, perm, id;
};

static bool has_id(uint32_t tag)
{
	return tag == TAG_USER || tag == TAG_GROUP;
}

bool acl_is_valid(const void *value, size_t len)
{
	const uint8_t *p = value;
	uint32_t seen = 0, last_tag = 0, last_id = 0;

	if (len < HEAD_SIZE || (len - HEAD_SIZE) % ENTRY_SIZE || get_le32(p) != VERSION)
		return false;
	for (size_t at = HEAD_SIZE; at < len; at += ENTRY_SIZE) {
		struct entry x = { get_le16(p + at), get_le16(p + at + 2), get_le32(p + at + 4) };
		bool again = x.tag == last_tag;

		if (x.perm > 7 || x.tag < last_tag || x.tag > TAG_OTHER || (x.tag & (x.tag - 1)) ||
		    x.tag == 0)
			return false;
		if (has_id(x.tag) ? x.id == NO_ID || (again && x.id <= last_id) : again)
			return false;
		seen |= x.tag;
		last_tag = x.tag;
		last_id = x.id;
	}
	if ((seen & (TAG_USER | TAG_GROUP)) && !(seen & TAG_MASK))
		return false;
	return (seen & TAG_USER_OBJ) && (seen & TAG_GROUP_OBJ) && (seen & TAG_OTHER);
}

/* ---- text ---- */

#define FIELDS 4U /* tag, name, permissions, number: the last is star's */

struct field {
	const char *s;
	size_t len;
};

static bool field_is(const struct field *f, const char *s)
{
	return f->len == strlen(s) && memcmp(f->s, s, f->len) == 0;
}

static uint32_t tag_get(const struct field *f, bool is_named)
{
	if (field_is(f, "user") || field_is(f, "u"))
		return is_named ? TAG_USER : TAG_USER_OBJ;
	if (field_is(f, "group") || field_is(f, "g"))
		return is_named ? TAG_GROUP : TAG_GROUP_OBJ;
	if (!is_named && (field_is(f, "mask") || field_is(f, "m")))
		return TAG_MASK;
	if (!is_named && (field_is(f, "other") || field_is(f, "o")))
		return TAG_OTHER;
	return 0;
}

static bool perm_get(const struct field *f, uint32_t *ret)
{
	*ret = 0;
	for (size_t i = 0; i < f->len; i++) {
		switch (f->s[i]) {
		case 'r':
			*ret |= 4;
			break;
		case 'w':
			*ret |= 2;
			break;
		case 'x':
			*ret |= 1;
			break;
		case '-':
			break;
		default:
			return false;
		}
	}
	return f->len > 0 && f->len <= 3;
}

static bool id_get(const struct field *f, uint32_t *ret)
{
	uint64_t v = 0;

	for (size_t i = 0; i < f->len; i++) {
		if (f->s[i] < '0' || f->s[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(f->s[i] - '0');
		if (v >= NO_ID)
			return false;
	}
	*ret = (uint32_t)v;
	return f->len > 0;
}

static int entry_parse(const char *s, size_t len, struct entry *ret, struct err *e)
{
	struct field f[FIELDS] = { 0 };
	const char *end = s + len;
	size_t n = 0;

	for (;;) {
		const char *colon = memchr(s, ':', (size_t)(end - s));

		if (n == FIELDS)
			return err_plain(e, EBADMSG, "access control list: too many fields");
		f[n++] = (struct field){ s, (size_t)((colon ? colon : end) - s) };
		if (!colon)
			break;
		s = colon + 1;
	}
	if (n == 2) { /* "mask:r-x": the empty name left out */
		f[2] = f[1];
		f[1].len = 0;
	}
	ret->tag = tag_get(&f[0], f[1].len > 0);
	if (n < 2 || ret->tag == 0 || !perm_get(&f[2], &ret->perm))
		return err_plain(e, EBADMSG, "access control list: bad entry");
	ret->id = NO_ID;
	if (has_id(ret->tag) && !id_get(&f[3], &ret->id) && !id_get(&f[1], &ret->id))
		return err_plain(e, EOPNOTSUPP, "access control list: names without numbers");
	return 0;
}

static int entry_compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->tag != y->tag)
		return x->tag < y->tag ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

/* A '#' begins a comment, in the style of getfacl. */
static int entries_parse(const char *text, struct entry *v, size_t *ret_n, struct err *e)
{
	for (*ret_n = 0;; text++) {
		size_t len;

		text += strspn(text, ", \t\n");
		if (!*text)
			return 0;
		len = strcspn(text, ",\n");
		if (*text != '#') {
			size_t used = strcspn(text, ", \t\n#");

			if (*ret_n == ACL_ENTRIES_MAX)
				return err_plain(e, EBADMSG, "access control list: too long");
			if (entry_parse(text, used, &v[*ret_n], e) < 0)
				return -e->code;
			++*ret_n;
		}
		text += len;
		if (!*text)
			return 0;
	}
}

int acl_from_text(const char *text, struct buf *ret, struct err *e)
{
	auto_free struct entry *v = calloc(ACL_ENTRIES_MAX, sizeof(*v));
	size_t n, start = ret->len;
	uint8_t *p;

	if (!v)
		return err_set(e, ENOMEM, "access control list");
	if (entries_parse(text, v, &n, e) < 0)
		return -e->code;
	qsort(v, n, sizeof(*v), entry_compare);
	if (buf_reserve(ret, HEAD_SIZE + n * ENTRY_SIZE) < 0)
		return err_set(e, ENOMEM, "access control list");
	p = (uint8_t *)ret->data + start;
	put_le32(p, VERSION);
	p += HEAD_SIZE;
	for (size_t i = 0; i < n; i++, p += ENTRY_SIZE) {
		put_le16(p, (uint16_t)v[i].tag);
		put_le16(p + 2, (uint16_t)v[i].perm);
		put_le32(p + 4, v[i].id);
	}
	ret->len += HEAD_SIZE + n * ENTRY_SIZE;
	if (acl_is_valid(ret->data + start, ret->len - start))
		return 0;
	ret->len = start;
	return err_plain(e, EBADMSG, "access control list: not a complete one");
}
