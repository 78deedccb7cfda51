/* SPDX-License-Identifier: MIT */
/*
 * vhd_walk.c - going through whole disks
 */
#include "vhd_walk.h"

#include <string.h>

struct vhd *vhd_walk_image(struct vhd *v, unsigned int depth)
{
	while (depth-- > 0)
		v = v->parent;
	return v;
}

int vhd_walk_piece(struct vhd *v, uint64_t off, uint64_t len, struct vhd_piece *ret_piece,
		   struct vhd_err *e)
{
	struct vhd_piece piece = { 0 };
	bool is_data = true;
	struct vhd_io *io;
	uint64_t run;
	int rc = vhd_extent_at(v, off, len, &piece.at, e);

	if (rc < 0)
		return rc;
	piece.is_zero = piece.at.kind == VHD_EXTENT_ABSENT;
	io = piece.is_zero ? NULL : vhd_walk_image(v, piece.at.depth)->io;
	/* A file that cannot say what it has is read. */
	if (io && io->ops->extent && io->ops->extent(io, piece.at.file_off, &run, &is_data) == 0) {
		piece.at.len = MIN_OF(piece.at.len, run);
		piece.is_zero = !is_data;
	}
	*ret_piece = piece;
	return 0;
}

bool vhd_walk_is_zero(const void *data, size_t len)
{
	const uint8_t *b = data;

	return len == 0 || (b[0] == 0 && memcmp(b, b + 1, len - 1) == 0);
}

int vhd_walk_step(const struct vhd_progress *p, uint64_t done, uint64_t total, struct vhd_err *e)
{
	if (p && p->step && p->step(p->ctx, done, total) != 0)
		return vhd_err_set(e, ECANCELED, "ended on request");
	return 0;
}

static int zeros_move(const struct vhd_move *m, uint64_t off, uint64_t len, struct vhd_err *e)
{
	return m->zeros == VHD_ZEROS_SKIP ? 0 : vhd_zero(m->to, len, off, e);
}

/* Runs of zeros and of data in what was read. */
static int data_move(const struct vhd_move *m, uint64_t off, size_t len, struct vhd_err *e)
{
	size_t at = 0;
	int rc = 0;

	while (at < len && rc == 0) {
		size_t end = MIN_OF(at + m->unit, len);
		bool is_zero = vhd_walk_is_zero(m->buf + at, end - at);

		while (end < len &&
		       vhd_walk_is_zero(m->buf + end, MIN_OF(m->unit, len - end)) == is_zero)
			end = MIN_OF(end + m->unit, len);
		if (is_zero)
			rc = zeros_move(m, off + at, end - at, e);
		else
			rc = vhd_write(m->to, m->buf + at, end - at, off + at, e);
		at = end;
	}
	return rc;
}

int vhd_walk_move(const struct vhd_move *m, const struct vhd_piece *piece, struct vhd_err *e)
{
	uint64_t off = piece->at.off, end = off + piece->at.len;
	int rc = 0;

	if (piece->is_zero)
		return zeros_move(m, off, piece->at.len, e);
	while (off < end && rc == 0) {
		/* pieces end at whole units of the disk, so that zeros are seen as such */
		size_t len = (size_t)MIN_OF(VHD_WALK_MAX - off % VHD_WALK_MAX, end - off);

		rc = vhd_read(m->from, m->buf, len, off, e);
		if (rc == 0)
			rc = data_move(m, off, len, e);
		off += len;
	}
	return rc;
}
