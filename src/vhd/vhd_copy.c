/* SPDX-License-Identifier: MIT */
/*
 * vhd_copy.c - a disk with all its parents into one new image or raw file
 *
 * Written under another name beside it, synced, renamed: a crash leaves the old file, or none, and
 * one `.NAME.XXXXXXXX` that nobody knows. What reads as zeros is not written.
 */
#include "vhd_walk.h"

#include <fcntl.h>

#define ZERO_UNIT 4096U
#define MIB       (1ULL << 20)

struct copy {
	struct vhd *from, *to;
	const char *path;
	struct vhd_new_file file;
	struct vhd_create_options create;
	const struct vhd_progress *p;
};

static void copy_done(struct copy *c)
{
	vhd_drop(&c->to);
	vhd_new_file_abort(&c->file);
}

/* The size of the new disk: what is asked for, or the old one's, as the kind of image needs it. */
static int size_choose(struct copy *c, enum vhd_type type, struct vhd_err *e)
{
	uint64_t size = c->create.size ? c->create.size : vhd_size(c->from), unit = 1;

	if (type != VHD_TYPE_RAW)
		unit = c->create.profile == VHD_FOR_AZURE ? MIB : VHD_SECTOR;
	if (size < vhd_size(c->from))
		return vhd_err_set(e, EINVAL, "%s: %llu bytes do not hold a disk of %llu", c->path,
				   (unsigned long long)size, (unsigned long long)vhd_size(c->from));
	if (!c->create.size && size <= VHD_SIZE_MAX)
		size = align_up(size, unit);
	c->create.size = size;
	return 0;
}

static int image_create(struct copy *c, struct vhd_io *io, enum vhd_type type, struct vhd_err *e)
{
	struct vhd_create_options create = c->create;

	if (type == VHD_TYPE_RAW) {
		VHD_NEED(io->ops->set_size(io, c->create.size), e, "%s: length", c->path);
		return 0;
	}
	create.type = type;
	create.parent = create.parent_name = NULL;
	return vhd_create_io(io, NULL, &create, e);
}

static int file_open(struct copy *c, enum vhd_type type, struct vhd_err *e)
{
	struct vhd_open_options o = { .flags = VHD_OPEN_WRITE };
	struct vhd_io *io;
	int fd;

	if (type == VHD_TYPE_RAW)
		o.flags |= VHD_OPEN_RAW;
	if (vhd_new_file_begin(c->path, &c->file, &fd, e) < 0 ||
	    vhd_io_file(fd, c->path, &io, e) < 0)
		return -e->code;
	if (image_create(c, io, type, e) < 0 || vhd_open_io(io, NULL, &o, &c->to, e) < 0) {
		vhd_io_close(io);
		return -e->code;
	}
	return 0;
}

static int pieces_copy(struct copy *c, struct vhd_err *e)
{
	auto_free uint8_t *buf = malloc(VHD_WALK_MAX);
	struct vhd_move m = { c->from, c->to, VHD_ZEROS_SKIP, ZERO_UNIT, buf };
	uint64_t off = 0, size = vhd_size(c->from);
	int rc = buf ? 0 : vhd_err_sys(e, ENOMEM, "%s", c->path);

	while (off < size && rc == 0) {
		struct vhd_piece piece;

		rc = vhd_walk_piece(c->from, off, size - off, &piece, e);
		if (rc < 0)
			return rc;
		if (!piece.is_zero) /* so that the caller hears of it now and then */
			piece.at.len = MIN_OF(piece.at.len, 16 * MIB);
		rc = vhd_walk_move(&m, &piece, e);
		off += piece.at.len;
		if (rc == 0)
			rc = vhd_walk_step(c->p, off, size, e);
	}
	return rc < 0 ? rc : vhd_flush(c->to, e);
}

int vhd_copy(struct vhd *from, const char *to, const struct vhd_copy_options *o,
	     const struct vhd_progress *p, struct vhd_err *e)
{
	__attribute__((cleanup(copy_done))) struct copy c = {
		.from = from,
		.path = to,
		.file = { .dir_fd = -1 },
		.create = o->create,
		.p = p,
	};
	struct vhd *whole;
	int rc = 0;

	if (o->type != VHD_TYPE_RAW && o->type != VHD_TYPE_FIXED && o->type != VHD_TYPE_DYNAMIC)
		rc = vhd_err_set(e, EINVAL, "%s: a copy is raw, fixed or dynamic, not %s", to,
				 vhd_type_name(o->type));
	else if (!o->create.is_replacing && faccessat(AT_FDCWD, to, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		rc = vhd_err_sys(e, EEXIST, "%s", to);
	if (rc == 0)
		rc = size_choose(&c, o->type, e);
	if (rc == 0)
		rc = file_open(&c, o->type, e);
	if (rc == 0)
		rc = pieces_copy(&c, e);
	if (rc < 0)
		return rc;
	whole = TAKE_PTR(c.to);
	rc = vhd_close(whole, e);
	return rc < 0 ? rc : vhd_new_file_commit(&c.file, o->create.is_replacing, e);
}
