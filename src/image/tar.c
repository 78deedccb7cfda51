/* SPDX-License-Identifier: MIT */
/*
 * tar.c - [U] tar reader: the stream, its order of headers, contents
 *
 * tar_next() skips what is left of the last entry, collects extended headers (pax x and g, GNU L
 * and K) into `meta` until a header with a type of its own comes, and puts the entry together:
 * pax before GNU before the header's own fields. The stream ends at its end or at a zero block,
 * after which all must be zero.
 *
 * Hostile: all input. Invariants: I1 `left` and `pad` are what the current entry still has in the
 * stream; headers are only read when both are 0. I2 of a sparse entry, the map's lengths from
 * map_at on, less map_used, add up to `left`. I3 no allocation before its size was compared with
 * a named limit.
 */
#include <string.h>

#include "bytes.h"
#include "tar_internal.h"

int tar_new(const struct byte_source *src, struct tar **ret, struct err *e)
{
	struct tar *t = calloc(1, sizeof(*t));

	if (!t)
		return err_set(e, ENOMEM, "tar");
	t->src = *src;
	t->global.max = TAR_PAX_GLOBAL_MAX + 1;
	t->raw.max = TAR_PAX_MAX + 1;
	*ret = t;
	return 0;
}

void tar_free(struct tar *t)
{
	if (!t)
		return;
	tar_meta_done(&t->meta);
	buf_done(&t->global);
	buf_done(&t->raw);
	buf_done(&t->path);
	buf_done(&t->link);
	free(t);
}

int tar_bad(const struct tar *t, struct err *e, const char *what)
{
	return err_plain(e, EBADMSG, "tar: %s (near byte %llu)", what, (unsigned long long)t->pos);
}

/* ---- stream ---- */

static int feed(struct tar *t, struct err *e)
{
	if (t->in_len > 0 || t->in_ended)
		return 0;
	if (t->src.next(t->src.arg, &t->in, &t->in_len, e) < 0)
		return -e->code;
	t->in_ended = t->in_len == 0;
	return 0;
}

static void take(struct tar *t, size_t n)
{
	t->in += n;
	t->in_len -= n;
	t->pos += n;
}

static int skip(struct tar *t, uint64_t n, struct err *e)
{
	while (n > 0) {
		size_t part;

		if (feed(t, e) < 0)
			return -e->code;
		if (t->in_len == 0)
			return tar_bad(t, e, "ends inside an entry");
		part = (size_t)MIN_OF(n, (uint64_t)t->in_len);
		take(t, part);
		n -= part;
	}
	return 0;
}

/* What fills up the last block of a file's contents; some writers leave it out at the very end. */
static int skip_pad(struct tar *t, struct err *e)
{
	for (; t->pad > 0; t->pad--) {
		if (feed(t, e) < 0)
			return -e->code;
		if (t->in_len == 0)
			break;
		take(t, 1);
	}
	return 0;
}

/* `len` bytes; less only at the end of the stream. */
static int read_some(struct tar *t, uint8_t *p, size_t len, size_t *ret_n, struct err *e)
{
	size_t n = 0;

	while (n < len) {
		size_t part;

		if (feed(t, e) < 0)
			return -e->code;
		if (t->in_len == 0)
			break;
		part = MIN_OF(len - n, t->in_len);
		memcpy(p + n, t->in, part);
		take(t, part);
		n += part;
	}
	*ret_n = n;
	return 0;
}

static int read_exactly(struct tar *t, uint8_t *p, size_t len, struct err *e)
{
	size_t n;

	if (read_some(t, p, len, &n, e) < 0)
		return -e->code;
	return n == len ? 0 : tar_bad(t, e, "ends inside an entry");
}

static bool is_zero(const uint8_t *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

static int end_check(struct tar *t, struct err *e)
{
	t->is_done = true;
	for (;;) {
		if (feed(t, e) < 0)
			return -e->code;
		if (t->in_len == 0)
			return t->meta.is_pending ? tar_bad(t, e, "ends after an extended header")
						  : 0;
		if (!is_zero(t->in, t->in_len))
			return tar_bad(t, e, "data after the end of the archive");
		take(t, t->in_len);
	}
}

/* ---- contents ---- */

static void contents_set(struct tar *t, uint64_t size)
{
	t->left = size;
	t->pad = (uint32_t)(-size % TAR_BLOCK);
	t->data_pos = 0;
	t->is_sparse = false;
	t->map_at = 0;
	t->map_used = 0;
}

static int head_block(void *arg, uint8_t ret[TAR_BLOCK], struct err *e)
{
	return read_exactly(arg, ret, TAR_BLOCK, e);
}

static int data_block(void *arg, uint8_t ret[TAR_BLOCK], struct err *e)
{
	struct tar *t = arg;

	if (t->left < TAR_BLOCK)
		return tar_bad(t, e, "map of a sparse file is longer than its data");
	t->left -= TAR_BLOCK;
	return read_exactly(t, ret, TAR_BLOCK, e);
}

static int sparse_finish(struct tar *t, struct tar_entry *r, int64_t size, struct err *e)
{
	struct tar_map *map = &t->meta.map;

	if (size < 0 || (uint64_t)size > TAR_FILE_MAX)
		return err_plain(e, EFBIG, "tar: sparse file of more than %llu GiB",
				 TAR_FILE_MAX >> 30);
	if (tar_map_check(map, (uint64_t)size, t->left, e) < 0)
		return -e->code;
	t->is_sparse = r->is_sparse = true;
	r->size = (uint64_t)size;
	r->map = map->v;
	r->n_map = map->n;
	return 0;
}

static int entry_sparse(struct tar *t, struct tar_entry *r, struct err *e)
{
	struct tar_meta *m = &t->meta;
	int64_t size;

	if (t->head[F_TYPE] == 'S') {
		m->map.n = 0;
		if (!tar_field_number(t->head + F_GNU_REALSIZE, 12, &size))
			return tar_bad(t, e, "bad number in a header");
		if (tar_map_read_gnu(&m->map, t->head, head_block, t, e) < 0)
			return -e->code;
		return sparse_finish(t, r, size, e);
	}
	if (m->sparse_major.is_set && m->sparse_major.v == 1) {
		if ((m->sparse_minor.is_set && m->sparse_minor.v != 0) || !m->sparse_size.is_set)
			return tar_bad(t, e, "sparse file of an unknown version");
		m->map.n = 0;
		if (tar_map_read_pax1(&m->map, data_block, t, e) < 0)
			return -e->code;
		return sparse_finish(t, r, m->sparse_size.v, e);
	}
	if (!m->has_map)
		return 0;
	if (m->is_len_due || !m->sparse_size.is_set)
		return tar_bad(t, e, "sparse file with half a map");
	return sparse_finish(t, r, m->sparse_size.v, e);
}

/* Only regular files have contents, whatever size a link's header names; GNU's directory lists are
 * skipped. */
static int entry_contents(struct tar *t, struct tar_entry *r, struct err *e)
{
	uint64_t size = 0;
	char type = (char)t->head[F_TYPE];

	if ((r->type == TAR_REG || type == 'D' || (r->type == TAR_DIR && type != '5')) &&
	    tar_header_size(t, &size, e) < 0)
		return -e->code;
	contents_set(t, size);
	if (r->type != TAR_REG)
		return 0;
	r->size = size;
	return entry_sparse(t, r, e);
}

int tar_data(struct tar *t, const uint8_t **ret, size_t *ret_len, uint64_t *ret_off, struct err *e)
{
	size_t n;

	*ret_len = 0;
	if (t->left == 0)
		return 0;
	if (feed(t, e) < 0)
		return -e->code;
	if (t->in_len == 0)
		return tar_bad(t, e, "ends inside a file");
	n = (size_t)MIN_OF(t->left, (uint64_t)t->in_len);
	*ret_off = t->data_pos;
	if (t->is_sparse) {
		const struct tar_extent *x = &t->meta.map.v[t->map_at];

		n = (size_t)MIN_OF((uint64_t)n, x->len - t->map_used);
		*ret_off = x->off + t->map_used;
		t->map_used += n;
		if (t->map_used == x->len) {
			t->map_at++;
			t->map_used = 0;
		}
	}
	*ret = t->in;
	*ret_len = n;
	take(t, n);
	t->left -= n;
	t->data_pos += n;
	return 0;
}

/* ---- headers ---- */

/* The contents of an extended header into `b`. */
static int extended_read(struct tar *t, struct buf *b, uint64_t max, struct err *e)
{
	uint64_t size;
	int64_t v;

	/* a pax size is of the entry, not of a header before it */
	if (!tar_field_number(t->head + F_SIZE, 12, &v) || v < 0)
		return tar_bad(t, e, "bad number in a header");
	size = (uint64_t)v;
	if (size > max || size >= b->max - b->len) /* I3 */
		return err_plain(e, EFBIG, "tar: extended header of more than %llu bytes",
				 (unsigned long long)max);
	if (buf_reserve(b, size + 1) < 0)
		return err_set(e, ENOMEM, "tar");
	if (read_exactly(t, (uint8_t *)b->data + b->len, size, e) < 0)
		return -e->code;
	b->len += size;
	b->data[b->len] = '\0';
	return skip(t, -size % TAR_BLOCK, e);
}

static int long_read(struct tar *t, struct tar_text *x, struct err *e)
{
	x->b.max = TAR_LONG_MAX + 1;
	buf_clear(&x->b);
	if (extended_read(t, &x->b, TAR_LONG_MAX, e) < 0)
		return -e->code;
	x->b.len = strlen(x->b.data);
	x->is_set = true;
	t->meta.is_pending = true;
	return 0;
}

static int pax_read(struct tar *t, struct err *e)
{
	buf_clear(&t->raw);
	if (extended_read(t, &t->raw, TAR_PAX_MAX, e) < 0)
		return -e->code;
	t->meta.is_pending = true;
	return tar_pax_parse(&t->meta, t->raw.data, t->raw.len, false, e);
}

/* Kept as it is, for this entry and, parsed before their own, for all that follow. */
static int global_read(struct tar *t, struct err *e)
{
	size_t before = t->global.len;

	if (t->meta.is_pending)
		return tar_bad(t, e, "global header between an entry and its own");
	if (extended_read(t, &t->global, TAR_PAX_GLOBAL_MAX, e) < 0)
		return -e->code;
	return tar_pax_parse(&t->meta, t->global.data + before, t->global.len - before, true, e);
}

static int entry_fill(struct tar *t, struct tar_entry *r, struct err *e)
{
	struct tar_meta *m = &t->meta;

	*r = (struct tar_entry){ 0 };
	if (tar_header_names(t, r, e) < 0 || tar_header_type(t, r->path, &r->type, e) < 0 ||
	    tar_header_numbers(t, r, e) < 0 || entry_contents(t, r, e) < 0)
		return -e->code;
	tar_meta_xattrs(m);
	r->xattrs = m->xattr_view;
	r->n_xattrs = m->n_xattrs;
	r->acl_access = m->acl_access.is_set ? m->acl_access.b.data : NULL;
	r->acl_default = m->acl_default.is_set ? m->acl_default.b.data : NULL;
	m->is_pending = false;
	return 1;
}

/* 1 when the header at hand was an extended one. */
static int extended_take(struct tar *t, struct err *e)
{
	int r;

	switch (t->head[F_TYPE]) {
	case 'x':
	case 'X':
		r = pax_read(t, e);
		break;
	case 'g':
		r = global_read(t, e);
		break;
	case 'L':
		r = long_read(t, &t->meta.long_path, e);
		break;
	case 'K':
		r = long_read(t, &t->meta.long_link, e);
		break;
	case 'V': /* volume label */
		r = tar_header_size(t, &t->left, e) < 0 ? -e->code
							: skip(t, align_up(t->left, TAR_BLOCK), e);
		t->left = 0;
		break;
	default:
		return 0;
	}
	return r < 0 ? r : 1;
}

/* 1 and a header, 0 at the end of the archive. */
static int header_read(struct tar *t, struct err *e)
{
	size_t n;

	if (read_some(t, t->head, TAR_BLOCK, &n, e) < 0)
		return -e->code;
	if (is_zero(t->head, n))
		return end_check(t, e);
	if (n < TAR_BLOCK)
		return tar_bad(t, e, "ends inside a header");
	return tar_header_is_right(t->head)
		       ? 1
		       : tar_bad(t, e, "not a tar header, or its checksum is wrong");
}

int tar_next(struct tar *t, struct tar_entry *ret, struct err *e)
{
	if (t->is_done)
		return 0;
	if (skip(t, t->left, e) < 0 || skip_pad(t, e) < 0)
		return -e->code;
	contents_set(t, 0);
	tar_meta_clear(&t->meta);
	if (t->global.len > 0 &&
	    tar_pax_parse(&t->meta, t->global.data, t->global.len, true, e) < 0)
		return -e->code;
	for (;;) {
		int r = header_read(t, e);

		if (r <= 0)
			return r;
		r = extended_take(t, e);
		if (r < 0)
			return r;
		if (r == 0)
			return entry_fill(t, ret, e);
	}
}
