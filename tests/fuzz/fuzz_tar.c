/* SPDX-License-Identifier: MIT */
/*
 * fuzz_tar.c - archives, read entry by entry, twice and in different pieces
 *
 * First byte: size of the pieces; the high bit leaves the headers' sums as they are. Both readings
 * must see the same, and every rule of tar.h must hold for what they see.
 */
#include "fuzz_input.h"

#include "bytes.h"
#include "tar.h"

struct seen {
	uint64_t hash, entries;
	int rc;
};

static void hash_add(uint64_t *h, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		*h = (*h ^ p[i]) * 0x100000001b3ULL;
}

static void xattrs_see(struct seen *s, const struct tar_entry *x)
{
	MUST(x->n_xattrs <= LTREE_XATTRS_MAX);
	for (size_t i = 0; i < x->n_xattrs; i++) {
		const struct ltree_xattr *a = &x->xattrs[i];
		size_t n = strlen(a->name);

		MUST(n > 0 && n <= LTREE_XATTR_NAME_MAX && a->value_len <= LTREE_XATTR_VALUE_MAX);
		for (size_t k = 0; k < i && k < 64; k++)
			MUST(strcmp(x->xattrs[k].name, a->name) != 0);
		hash_add(&s->hash, a->name, n);
		hash_add(&s->hash, a->value, a->value_len);
	}
}

static uint64_t map_see(struct seen *s, const struct tar_entry *x)
{
	uint64_t at = 0, sum = 0;

	MUST(x->n_map <= TAR_MAP_MAX && x->type == TAR_REG);
	for (size_t i = 0; i < x->n_map; i++) {
		MUST(x->map[i].len > 0 && x->map[i].off >= at &&
		     range_fits(x->map[i].off, x->map[i].len, x->size));
		at = x->map[i].off + x->map[i].len;
		sum += x->map[i].len;
		hash_add(&s->hash, &x->map[i], sizeof(x->map[i]));
	}
	return sum;
}

static void entry_see(struct seen *s, const struct tar_entry *x)
{
	MUST(x->path && x->link && x->mode <= 07777 && x->mtime_nsec < 1000000000);
	MUST(x->uid != UINT32_MAX && x->gid != UINT32_MAX && x->size <= TAR_FILE_MAX);
	MUST(x->major <= TAR_MAJOR_MAX && x->minor <= TAR_MINOR_MAX);
	MUST(x->type == TAR_REG || (x->size == 0 && !x->is_sparse));
	xattrs_see(s, x);
	hash_add(&s->hash, x->path, strlen(x->path) + 1);
	hash_add(&s->hash, x->link, strlen(x->link) + 1);
	hash_add(&s->hash, &x->mtime_sec, sizeof(x->mtime_sec));
	hash_add(&s->hash, &x->uid, sizeof(x->uid));
	if (x->acl_access)
		hash_add(&s->hash, x->acl_access, strlen(x->acl_access));
	if (x->acl_default)
		hash_add(&s->hash, x->acl_default, strlen(x->acl_default));
}

/* Each byte lies in the next place that the map, or the size, has for it. */
static int contents_see(struct tar *t, const struct tar_entry *x, struct seen *s, struct err *e)
{
	uint64_t want = x->is_sparse ? map_see(s, x) : x->size, got = 0, at = 0;
	size_t k = 0;

	for (;;) {
		const uint8_t *p;
		uint64_t off;
		size_t n;

		if (tar_data(t, &p, &n, &off, e) < 0)
			return -e->code;
		if (n == 0)
			break;
		if (x->is_sparse) {
			while (k < x->n_map && off >= x->map[k].off + x->map[k].len)
				k++;
			MUST(k < x->n_map && off >= x->map[k].off &&
			     n <= x->map[k].len - (off - x->map[k].off));
			MUST(off == MAX_OF(at, x->map[k].off));
		} else {
			MUST(off == at);
		}
		at = off + n;
		got += n;
		hash_add(&s->hash, p, n);
	}
	MUST(x->type != TAR_REG || got == want);
	return 0;
}

static struct seen read_all(const uint8_t *data, size_t len, size_t piece)
{
	struct pieces in = { data, len, piece };
	struct byte_source src = { pieces_next, &in };
	struct seen s = { 0 };
	struct err e = { 0 };
	struct tar_entry x;
	struct tar *t;

	MUST(tar_new(&src, &t, &e) == 0);
	while ((s.rc = tar_next(t, &x, &e)) > 0) {
		s.entries++;
		entry_see(&s, &x);
		if ((x.uid & 7) == 7) /* what is left is skipped by the next call */
			continue;
		s.rc = contents_see(t, &x, &s, &e);
		if (s.rc < 0)
			break;
	}
	MUST(s.rc < 0 ? s.rc == -e.code && e.msg[0] : in.len == 0 && tar_next(t, &x, &e) == 0);
	tar_free(t);
	return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	auto_free uint8_t *copy = NULL;
	struct seen a, b;

	if (len == 0)
		return 0;
	copy = copy_of(data + 1, len - 1);
	if (!(data[0] & 0x80))
		tar_sums_set(copy, len - 1);
	a = read_all(copy, len - 1, piece_of(data[0]));
	b = read_all(copy, len - 1, piece_of(data[0] >> 3 & 7));
	MUST(a.rc == b.rc && a.entries == b.entries && a.hash == b.hash);
	return 0;
}
