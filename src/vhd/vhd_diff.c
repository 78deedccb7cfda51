/* SPDX-License-Identifier: MIT */
/*
 * vhd_diff.c - where two disks differ
 *
 * Both are gone through side by side. What both have at the same place of the same file (parents
 * that they share), and what both are known to have as zeros, is not read.
 */
#include "vhd_walk.h"

struct diff {
	struct vhd *a, *b;
	uint8_t *buf_a, *buf_b; /* VHD_WALK_MAX each */
	uint64_t off, len;      /* range that is not reported yet; len 0: none */
	int (*range)(void *ctx, uint64_t off, uint64_t len);
	void *ctx;
};

static int range_end(struct diff *d, struct vhd_err *e)
{
	uint64_t len = d->len;

	d->len = 0;
	if (len > 0 && d->range(d->ctx, d->off, len) != 0)
		return vhd_err_set(e, ECANCELED, "ended on request");
	return 0;
}

static int range_add(struct diff *d, uint64_t off, uint64_t len, struct vhd_err *e)
{
	int rc = 0;

	if (d->len > 0 && d->off + d->len == off) {
		d->len += len;
		return 0;
	}
	rc = range_end(d, e);
	d->off = off;
	d->len = len;
	return rc;
}

static int piece_of(struct vhd *v, uint64_t off, uint64_t len, struct vhd_piece *ret,
		    struct vhd_err *e)
{
	uint64_t size = vhd_size(v);

	if (off < size)
		return vhd_walk_piece(v, off, MIN_OF(len, size - off), ret, e);
	*ret = (struct vhd_piece){ .at = { .off = off, .len = len }, .is_zero = true };
	return 0;
}

static bool is_same_place(const struct diff *d, const struct vhd_piece *a,
			  const struct vhd_piece *b)
{
	if (a->is_zero && b->is_zero)
		return true;
	if (a->is_zero || b->is_zero || a->at.file_off != b->at.file_off)
		return false;
	return vhd_io_is_same(vhd_walk_image(d->a, a->at.depth)->io,
			      vhd_walk_image(d->b, b->at.depth)->io);
}

static int piece_read(struct vhd *v, const struct vhd_piece *piece, uint8_t *buf, size_t len,
		      struct vhd_err *e)
{
	if (!piece->is_zero)
		return vhd_read(v, buf, len, piece->at.off, e);
	memset(buf, 0, len);
	return 0;
}

static int bytes_compare(struct diff *d, uint64_t off, size_t len, struct vhd_err *e)
{
	if (memcmp(d->buf_a, d->buf_b, len) == 0)
		return 0;
	for (size_t at = 0; at < len; at += VHD_SECTOR) {
		size_t n = MIN_OF(VHD_SECTOR, len - at);
		int rc = 0;

		if (memcmp(d->buf_a + at, d->buf_b + at, n) != 0)
			rc = range_add(d, off + at, n, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Compare from `off`, at most `len` bytes; `ret_len`: as far as that went. */
static int step_compare(struct diff *d, uint64_t off, uint64_t len, uint64_t *ret_len,
			struct vhd_err *e)
{
	struct vhd_piece a, b;
	uint64_t n;
	int rc = piece_of(d->a, off, len, &a, e);

	if (rc == 0)
		rc = piece_of(d->b, off, len, &b, e);
	if (rc < 0)
		return rc;
	n = MIN_OF(a.at.len, b.at.len);
	if (!is_same_place(d, &a, &b)) {
		n = MIN_OF(n, VHD_WALK_MAX);
		rc = piece_read(d->a, &a, d->buf_a, (size_t)n, e);
		if (rc == 0)
			rc = piece_read(d->b, &b, d->buf_b, (size_t)n, e);
		if (rc == 0)
			rc = bytes_compare(d, off, (size_t)n, e);
	}
	*ret_len = n;
	return rc;
}

int vhd_diff(struct vhd *a, struct vhd *b, int (*range)(void *ctx, uint64_t off, uint64_t len),
	     void *ctx, const struct vhd_progress *p, struct vhd_err *e)
{
	auto_free uint8_t *buf = malloc(2 * (size_t)VHD_WALK_MAX);
	struct diff d = { .a = a, .b = b, .range = range, .ctx = ctx, .buf_a = buf };
	uint64_t off = 0, size = MAX_OF(vhd_size(a), vhd_size(b)), n = 0;
	int rc = 0;

	if (!buf)
		return vhd_err_sys(e, ENOMEM, "%s: compare", a->io->name);
	d.buf_b = buf + VHD_WALK_MAX;
	for (; off < size && rc == 0; off += n) {
		rc = step_compare(&d, off, size - off, &n, e);
		if (rc == 0)
			rc = vhd_walk_step(p, off + n, size, e);
	}
	return rc < 0 ? rc : range_end(&d, e);
}
