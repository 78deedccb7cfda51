/* SPDX-License-Identifier: MIT */
/*
 * userdb.c - [U] who "user[:group]" is, by the image's own passwd and group files
 *
 * As container engines read it: a name is looked up first; what is no name there and is a number is
 * taken as the number. Malformed lines are passed over. Pure: the caller has read the files, with a
 * limit.
 */
#include <limits.h>
#include <string.h>

#include "guest_internal.h"

#define FIELDS_MAX   8
#define NAME_MAX_LEN 256

/* Split "a:b:c" of one line; returns the number of fields. Fields point into the line, lengths
 * apart. */
struct fields {
	const char *at[FIELDS_MAX];
	size_t len[FIELDS_MAX];
	size_t n;
};

static const char *line_next(const char *p, struct fields *f)
{
	f->n = 0;
	for (;;) {
		size_t len = strcspn(p, ":\n");

		if (f->n < FIELDS_MAX) {
			f->at[f->n] = p;
			f->len[f->n++] = len;
		}
		p += len;
		if (*p != ':')
			return *p ? p + 1 : p;
		p++;
	}
}

static bool field_is(const struct fields *f, size_t i, const char *text)
{
	return i < f->n && f->len[i] == strlen(text) && !memcmp(f->at[i], text, f->len[i]);
}

static bool number_parse(const char *s, size_t len, uint32_t *ret)
{
	uint64_t v = 0;

	if (!len || len > 10)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(s[i] - '0');
	}
	if (v >= UINT32_MAX)
		return false;
	*ret = (uint32_t)v;
	return true;
}

static bool field_number(const struct fields *f, size_t i, uint32_t *ret)
{
	return i < f->n && number_parse(f->at[i], f->len[i], ret);
}

/* A passwd line by name, or by number when `name` is NULL; fills uid, gid, home and the name found.
 */
static bool passwd_find(const char *passwd, const char *name, uint32_t uid, struct user_ids *ids,
			char found[NAME_MAX_LEN])
{
	struct fields f;
	uint32_t u, g;

	for (const char *p = passwd; *p;) {
		p = line_next(p, &f);
		if (!field_number(&f, 2, &u) || !field_number(&f, 3, &g) ||
		    (name ? !field_is(&f, 0, name) : u != uid))
			continue;
		ids->uid = u;
		ids->gid = g;
		if (f.n > 5)
			snprintf(ids->home, sizeof(ids->home), "%.*s",
				 (int)MIN_OF(f.len[5], sizeof(ids->home) - 1), f.at[5]);
		snprintf(found, NAME_MAX_LEN, "%.*s",
			 (int)MIN_OF(f.len[0], (size_t)NAME_MAX_LEN - 1), f.at[0]);
		return true;
	}
	return false;
}

static bool group_find(const char *group, const char *name, gid_t *ret)
{
	struct fields f;
	uint32_t g;

	for (const char *p = group; *p;) {
		p = line_next(p, &f);
		if (field_is(&f, 0, name) && field_number(&f, 2, &g)) {
			*ret = g;
			return true;
		}
	}
	return false;
}

static void group_put(struct user_ids *ids, gid_t g)
{
	for (size_t i = 0; i < ids->n_groups; i++)
		if (ids->groups[i] == g)
			return;
	if (ids->n_groups < USER_GROUPS_MAX)
		ids->groups[ids->n_groups++] = g;
}

/* Every group whose member list names the user. */
static void groups_collect(const char *group, const char *user, struct user_ids *ids)
{
	struct fields f;
	uint32_t g;

	for (const char *p = group; *user && *p;) {
		p = line_next(p, &f);
		if (f.n < 4 || !field_number(&f, 2, &g))
			continue;
		for (const char *m = f.at[3], *end = m + f.len[3]; m < end;) {
			size_t len = strcspn(m, ",:\n");

			if ((size_t)(end - m) < len)
				len = (size_t)(end - m);
			if (len == strlen(user) && !memcmp(m, user, len))
				group_put(ids, g);
			m += len + 1;
		}
	}
}

int user_lookup(const char *spec, const char *passwd, const char *group, struct user_ids *ret,
		struct err *e)
{
	struct user_ids ids = { .home = "/" };
	const char *colon = strchr(spec, ':');
	size_t len = colon ? (size_t)(colon - spec) : strlen(spec);
	char user[NAME_MAX_LEN], found[NAME_MAX_LEN] = "";
	uint32_t n;

	if (len >= sizeof(user))
		return err_plain(e, EINVAL, "the user's name is too long");
	memcpy(user, spec, len);
	user[len] = '\0';
	if (!len)
		snprintf(user, sizeof(user), "0");
	if (number_parse(user, strlen(user), &n)) { /* never a name, and needs no entry */
		ids.uid = n;
		(void)passwd_find(passwd, NULL, n, &ids, found);
	} else if (!passwd_find(passwd, user, 0, &ids, found)) {
		return err_plain(e, ENOENT,
				 "unable to find user %s: no matching entries in passwd file",
				 user);
	}
	if (colon && colon[1]) {
		if (number_parse(colon + 1, strlen(colon + 1), &n))
			ids.gid = n;
		else if (!group_find(group, colon + 1, &ids.gid))
			return err_plain(
				e, ENOENT,
				"unable to find group %s: no matching entries in group file",
				colon + 1);
		group_put(&ids, ids.gid);
	} else {
		group_put(&ids, ids.gid);
		groups_collect(group, found, &ids);
	}
	*ret = ids;
	return 0;
}
