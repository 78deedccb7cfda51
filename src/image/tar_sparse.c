/* SPDX-License-Identifier: MIT */
/*
 * tar_sparse.c - [U] maps of sparse files: old GNU, pax 0.0, 0.1 and 1.0
 *
 * Hostile: all input. Invariants after tar_map_check(): pieces ascend, do not overlap, lie inside
 * the file, and their lengths add up to the bytes that the archive stores. At most TAR_MAP_MAX
 * pieces are ever held.
 */
#include <string.h>

#include "bytes.h"
#include "tar_internal.h"

#define GNU_MAP      386U /* of the header: 4 pieces of two 12-byte numbers */
#define GNU_EXTENDED 482U
#define GNU_PIECES   4U
#define EXT_PIECES   21U /* of a continuation block */
#define EXT_EXTENDED 504U
#define PIECE_SIZE   24U
#define DIGITS_MAX   19U

static int bad(struct err *e, const char *what)
{
	return err_plain(e, EBADMSG, "sparse file: %s", what);
}

int tar_map_add(struct tar_map *m, int64_t off, int64_t len, struct err *e)
{
	if (off < 0 || len < 0)
		return bad(e, "negative number in its map");
	if (m->n >= TAR_MAP_MAX)
		return err_plain(e, EFBIG, "sparse file of more than %u pieces", TAR_MAP_MAX);
	if (m->n == m->cap) {
		size_t cap = m->cap ? m->cap * 2 : 64;
		struct tar_extent *v = reallocarray(m->v, cap, sizeof(*v));

		if (!v)
			return err_set(e, ENOMEM, "sparse file");
		m->v = v;
		m->cap = cap;
	}
	m->v[m->n++] = (struct tar_extent){ (uint64_t)off, (uint64_t)len };
	return 0;
}

int tar_map_parse(struct tar_map *m, const char *s, size_t len, struct err *e)
{
	const char *end = s + len;
	int64_t v[2];

	for (unsigned int i = 0; s <= end && len > 0; i = !i) {
		const char *comma = memchr(s, ',', (size_t)(end - s));
		size_t n = (size_t)((comma ? comma : end) - s);

		if (!tar_decimal(s, n, &v[i]))
			return bad(e, "bad number in its map");
		if (i == 1 && tar_map_add(m, v[0], v[1], e) < 0)
			return -e->code;
		if (!comma)
			return i == 1 ? 0 : bad(e, "odd count of numbers in its map");
		s = comma + 1;
	}
	return 0;
}

int tar_map_check(struct tar_map *m, uint64_t size, uint64_t stored, struct err *e)
{
	uint64_t at = 0, sum = 0;
	size_t n = 0;

	for (size_t i = 0; i < m->n; i++) {
		const struct tar_extent x = m->v[i];

		if (x.off < at || !range_fits(x.off, x.len, size))
			return bad(e, "pieces out of order or outside the file");
		at = x.off + x.len;
		sum += x.len; /* at most `size`, as pieces do not overlap */
		if (x.len > 0)
			m->v[n++] = x;
	}
	m->n = n;
	return sum == stored ? 0 : bad(e, "its map does not fit its data");
}

static int pieces_read(struct tar_map *m, const uint8_t *p, size_t n, struct err *e)
{
	for (; n > 0; n--, p += PIECE_SIZE) {
		int64_t off, len;

		if (p[0] == 0 && p[12] == 0) /* unused ones follow */
			return 0;
		if (!tar_field_number(p, 12, &off) || !tar_field_number(p + 12, 12, &len))
			return bad(e, "bad number in its map");
		if (tar_map_add(m, off, len, e) < 0)
			return -e->code;
	}
	return 0;
}

int tar_map_read_gnu(struct tar_map *m, const uint8_t head[TAR_BLOCK], tar_block_fn *block,
		     void *arg, struct err *e)
{
	uint8_t ext[TAR_BLOCK];
	bool more = head[GNU_EXTENDED] != 0;

	if (pieces_read(m, head + GNU_MAP, GNU_PIECES, e) < 0)
		return -e->code;
	for (size_t n = 0; more; n++, more = ext[EXT_EXTENDED] != 0) {
		if (n > TAR_MAP_MAX / EXT_PIECES)
			return err_plain(e, EFBIG, "sparse file of more than %u pieces",
					 TAR_MAP_MAX);
		if (block(arg, ext, e) < 0 || pieces_read(m, ext, EXT_PIECES, e) < 0)
			return -e->code;
	}
	return 0;
}

/* Lines of decimal numbers across blocks. */
struct lines {
	tar_block_fn *block;
	void *arg;
	uint8_t data[TAR_BLOCK];
	size_t at; /* TAR_BLOCK: none left */
};

static int line_number(struct lines *l, int64_t *ret, struct err *e)
{
	char digits[DIGITS_MAX];
	size_t n = 0;

	for (;;) {
		uint8_t c;

		if (l->at == TAR_BLOCK) {
			if (l->block(l->arg, l->data, e) < 0)
				return -e->code;
			l->at = 0;
		}
		c = l->data[l->at++];
		if (c == '\n')
			break;
		if (n == DIGITS_MAX)
			return bad(e, "bad number in its map");
		digits[n++] = (char)c;
	}
	return tar_decimal(digits, n, ret) ? 0 : bad(e, "bad number in its map");
}

int tar_map_read_pax1(struct tar_map *m, tar_block_fn *block, void *arg, struct err *e)
{
	struct lines l = { .block = block, .arg = arg, .at = TAR_BLOCK };
	int64_t n, off, len;

	if (line_number(&l, &n, e) < 0)
		return -e->code;
	if (n < 0 || n > TAR_MAP_MAX)
		return err_plain(e, EFBIG, "sparse file of more than %u pieces", TAR_MAP_MAX);
	for (; n > 0; n--)
		if (line_number(&l, &off, e) < 0 || line_number(&l, &len, e) < 0 ||
		    tar_map_add(m, off, len, e) < 0)
			return -e->code;
	return 0;
}
