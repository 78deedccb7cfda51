/* SPDX-License-Identifier: MIT */
/*
 * vhd_coalesce.c - the contents of images go down into one that they stand on
 *
 * The target is detached from the chain and opened again for writing: alone, so that nobody reads
 * through it meanwhile. Other images that stand on it change with it; that there are none is for
 * the caller to know.
 *
 * A crash at any moment: the images above are not touched, and what they hold covers what was
 * written below, whether it got there or not: the chain reads as before. Running it again writes
 * the same bytes to the same places. Zeros that are held above are written too, as zeros.
 */
#include "vhd_layout.h"
#include "vhd_walk.h"

#include <libgen.h>
#include <string.h>

#define FLUSH_EACH (64U << 20) /* bytes; bounds what a crash costs */
#define ZERO_UNIT  (64U << 10) /* shorter runs of zeros are not worth a hole */

struct coalesce {
	struct vhd *from; /* the images above, without the target */
	struct vhd *to;
	unsigned int levels;
	uint64_t moved;
	const struct vhd_progress *p;
};

static int saved_state_check(struct vhd *v, unsigned int levels, struct vhd_err *e)
{
	for (unsigned int i = 0; i <= levels; i++, v = v->parent)
		if (vhd_layout_check_saved(v, e) < 0)
			return -e->code;
	return 0;
}

/* Cut the chain above the target; the target's name, and what it is. */
static int target_detach(struct coalesce *c, char **ret_name, struct vhd_footer *ret_footer,
			 struct vhd_err *e)
{
	struct vhd *lowest = vhd_walk_image(c->from, c->levels - 1), *target = lowest->parent;

	*ret_name = strdup(target->io->name);
	if (!*ret_name)
		return vhd_err_sys(e, ENOMEM, "coalesce");
	*ret_footer = target->footer;
	ret_footer->type = target->type;
	vhd_levels_detach(c->from);
	lowest->parent = NULL;
	vhd_free(target);
	return 0;
}

static int target_open(struct coalesce *c, const char *name, const struct vhd_footer *was,
		       const struct vhd_open_options *o, struct vhd_err *e)
{
	struct vhd_open_options write = *o;
	int rc;

	write.parent = NULL;
	write.flags |= VHD_OPEN_WRITE;
	if (was->type == VHD_TYPE_RAW)
		write.flags |= VHD_OPEN_RAW;
	/* a change of its size may have to be ended first */
	rc = vhd_layout_open(name, &write, &c->to, e);
	if (rc == 0 && vhd_size(c->to) < vhd_size(c->from)) {
		vhd_drop(&c->to);
		rc = vhd_resize(name, vhd_size(c->from), &write, e);
		if (rc == 0)
			rc = vhd_open(name, &write, &c->to, e);
	}
	if (rc == 0 && !vhd_uuid_equal(&c->to->footer.id, &was->id))
		return vhd_err_set(e, ESTALE, "%s: another image came in its place", name);
	return rc;
}

static int pieces_move(struct coalesce *c, struct vhd_move *m, struct vhd_err *e)
{
	uint64_t off = 0, size = vhd_size(c->from), unflushed = 0;
	int rc = 0;

	while (off < size && rc == 0) {
		struct vhd_piece piece;

		rc = vhd_walk_piece(c->from, off, MIN_OF(size - off, FLUSH_EACH), &piece, e);
		if (rc < 0)
			return rc;
		if (piece.at.kind == VHD_EXTENT_DATA) {
			rc = vhd_walk_move(m, &piece, e);
			c->moved += piece.at.len;
			unflushed += piece.at.len;
		}
		off += piece.at.len;
		if (rc == 0 && unflushed >= FLUSH_EACH) {
			rc = vhd_flush(c->to, e);
			unflushed = 0;
		}
		if (rc == 0)
			rc = vhd_walk_step(c->p, off, size, e);
	}
	return rc < 0 ? rc : vhd_flush(c->to, e);
}

static int coalesce_run(struct coalesce *c, const struct vhd_open_options *o, struct vhd_err *e)
{
	auto_free uint8_t *buf = malloc(VHD_WALK_MAX);
	auto_free char *name = NULL;
	struct vhd_footer was;
	struct vhd_move m;
	int rc = saved_state_check(c->from, c->levels, e);

	if (rc == 0)
		rc = target_detach(c, &name, &was, e);
	if (rc == 0)
		rc = target_open(c, name, &was, o, e);
	if (rc < 0)
		return rc;
	if (!buf)
		return vhd_err_sys(e, ENOMEM, "coalesce");
	m = (struct vhd_move){ c->from, c->to, VHD_ZEROS_KEEP, ZERO_UNIT, buf };
	return pieces_move(c, &m, e);
}

int vhd_coalesce(const char *path, unsigned int levels, const struct vhd_open_options *o,
		 uint64_t *ret_bytes, const struct vhd_progress *p, struct vhd_err *e)
{
	struct vhd_open_options read = o ? *o : (struct vhd_open_options){ 0 };
	struct coalesce c = { .levels = levels, .p = p };
	auto_free char *path_copy = strdup(path);
	const char *root;
	int rc;

	if (!path_copy)
		return vhd_err_sys(e, ENOMEM, "coalesce");
	root = dirname(path_copy);
	if (!read.roots) { /* also for the target, which may lie elsewhere below it */
		read.roots = &root;
		read.n_roots = 1;
	}
	read.flags &= ~(uint32_t)VHD_OPEN_WRITE;
	rc = vhd_open(path, &read, &c.from, e);
	if (rc < 0)
		return rc;
	if (levels == 0 || levels >= vhd_depth(c.from))
		rc = vhd_err_set(e, EINVAL, "%s: has %u images below it, not %u", path,
				 vhd_depth(c.from) - 1, levels);
	if (rc == 0)
		rc = coalesce_run(&c, &read, e);
	vhd_drop(&c.from);
	if (rc < 0) {
		vhd_drop(&c.to);
		return rc;
	}
	rc = vhd_close(c.to, e);
	if (rc == 0 && ret_bytes)
		*ret_bytes = c.moved;
	return rc;
}
