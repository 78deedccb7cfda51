/* SPDX-License-Identifier: MIT */
/*
 * vhd_reparent.c - an image stands on another parent
 *
 * The header's fields of the parent lie in both of its sectors, and the locators elsewhere, so no
 * single write changes them. What the footers point to can be changed by one: a whole new header,
 * with locators of its own, is written behind all; the footers are switched to it, first the one at
 * the end. Then nothing names the old header: the new one is written to its place, or the lowest
 * that is free, and the footers are switched again, so that in the end the header is where
 * everybody expects it, and the file is as long as before.
 *
 * A crash leaves the old parent or the new one, at worst a header at an unusual place, or footers
 * that differ (see vhd_layout_mend()); running it again ends it.
 */
#include "vhd_layout.h"
#include "vhd_walk.h"

#include <assert.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>

/* ---- in the image -------------------------------------------------------------------------- */

static int write_at(struct vhd *v, const void *data, size_t len, uint64_t off, struct vhd_err *e)
{
	VHD_NEED(vhd_pwrite(v->io, data, len, off), e, "%s: write at offset %llu", v->io->name,
		 (unsigned long long)off);
	return 0;
}

/* Header and locators to their new places, which nothing names yet; then the footers name them. */
static int header_switch(struct vhd *v, const struct vhd_parent_text *text, uint64_t off,
			 struct vhd_err *e)
{
	uint8_t raw[VHD_HEADER_SIZE], page[VHD_ALIGN];

	static_assert(VHD_LOCATOR_MAX <= VHD_ALIGN, "a locator fits its page");
	for (size_t i = 0; i < text->n; i++) {
		memset(page, 0, sizeof(page));
		memcpy(page, text->data[i], v->header.locators[i].length);
		if (write_at(v, page, sizeof(page), v->header.locators[i].offset, e) < 0)
			return -e->code;
	}
	vhd_header_encode(&v->header, raw);
	if (write_at(v, raw, sizeof(raw), off, e) < 0)
		return -e->code;
	VHD_NEED(v->io->ops->flush(v->io), e, "%s: flush", v->io->name);
	v->footer.data_offset = off;
	return vhd_layout_footers(v, e);
}

/* Header and locators to the lowest places that are free; what has none lower stays. */
static int header_settle(struct vhd *v, const struct vhd_parent_text *text, struct vhd_err *e)
{
	uint64_t header_off, place;
	auto_layout l = { 0 };

	if (vhd_layout_read(v, &l, e) < 0)
		return -e->code;
	header_off = vhd_layout_gap(&l, VHD_HEADER_SIZE, VHD_SECTOR);
	vhd_layout_add(&l, header_off, VHD_HEADER_SIZE);
	for (size_t i = 0; i < text->n; i++) {
		struct vhd_locator *loc = &v->header.locators[i];

		place = vhd_layout_gap(&l, loc->space, VHD_ALIGN);
		if (place > loc->offset)
			continue;
		loc->offset = place;
		vhd_layout_add(&l, place, loc->space);
	}
	return header_switch(v, text, header_off, e);
}

int vhd_reparent_image(struct vhd *v, const struct vhd *parent, struct vhd_parent_text *text,
		       uint32_t time_stamp, struct vhd_err *e)
{
	struct vhd_header *h = &v->header;
	auto_layout l = { 0 };
	uint64_t at;

	if (vhd_layout_read(v, &l, e) < 0)
		return -e->code;
	at = align_up(vhd_layout_end(&l), VHD_ALIGN);
	h->parent_id = parent->footer.id;
	h->parent_time_stamp = time_stamp;
	memcpy(h->parent_name, text->name, sizeof(h->parent_name));
	memcpy(h->locators, text->locators, sizeof(h->locators));
	for (size_t i = 0; i < text->n; i++, at += VHD_ALIGN) {
		h->locators[i].offset = at;
		h->locators[i].space = VHD_ALIGN;
	}
	if (vhd_layout_extend(v, at + VHD_HEADER_SIZE, e) < 0 ||
	    header_switch(v, text, at, e) < 0 || header_settle(v, text, e) < 0)
		return -e->code;
	vhd_layout_done(&l);
	if (vhd_layout_read(v, &l, e) < 0)
		return -e->code;
	return vhd_layout_cut(v, vhd_layout_end(&l), e);
}

/* ---- may it be? ---------------------------------------------------------------------------- */

/* The image must not be one of its own parents. */
static int loop_check(const char *path, struct vhd *parent, const struct vhd_open_options *o,
		      struct vhd_err *e)
{
	const struct vhd_open_options alone = {
		.flags = VHD_OPEN_NO_PARENT | VHD_OPEN_NO_LOCK | VHD_OPEN_DAMAGED,
	};
	unsigned int max = o->depth_max ? MIN_OF(o->depth_max, VHD_DEPTH_MAX) : VHD_DEPTH_MAX;
	auto_vhd *v = NULL;

	if (vhd_open(path, &alone, &v, e) < 0)
		return -e->code;
	if (vhd_depth(parent) >= max)
		return vhd_err_set(e, ELOOP, "%s: more than %u images in the chain", path, max);
	for (struct vhd *p = parent; p; p = p->parent)
		if (vhd_io_is_same(v->io, p->io))
			return vhd_err_set(e, ELOOP, "%s is in the chain of its own parents", path);
	return 0;
}

struct first_difference {
	uint64_t limit, off;
};

static int difference_found(void *ctx, uint64_t off, uint64_t len)
{
	struct first_difference *d = ctx;

	(void)len;
	d->off = off;
	return off < d->limit;
}

/* Does the new parent read as the present one, as far as the image reaches? */
static int contents_check(const char *path, struct vhd *parent, const struct vhd_open_options *o,
			  struct vhd_err *e)
{
	struct vhd_open_options read = *o;
	struct first_difference d = { 0 };
	auto_vhd *v = NULL;
	int rc;

	read.flags |= VHD_OPEN_NO_LOCK; /* the lock is ours already */
	if (vhd_open(path, &read, &v, e) < 0)
		return vhd_err_wrap(e, "present and new parent cannot be compared");
	if (!v->parent)
		return vhd_err_set(e, EINVAL, "%s: opened without the parent to compare with",
				   path);
	d.limit = vhd_size(v);
	rc = vhd_diff(v->parent, parent, difference_found, &d, NULL, e);
	if (rc == -ECANCELED)
		return vhd_err_set(e, ESTALE, "%s: %s reads otherwise than its parent %s at %llu",
				   path, parent->io->name, v->parent->io->name,
				   (unsigned long long)d.off);
	return rc;
}

/* The new parent: with its own parents, or alone if they are not found, which `ret_why` says. */
static int parent_open(const char *path, const struct vhd_open_options *o, struct vhd **ret,
		       struct vhd_err *ret_why, struct vhd_err *e)
{
	struct vhd_open_options alone = *o;

	if (vhd_open(path, o, ret, ret_why) == 0)
		return 0;
	alone.flags |= VHD_OPEN_NO_PARENT;
	return vhd_open(path, &alone, ret, e);
}

static int parent_check(const char *path, const struct vhd *v, struct vhd *parent,
			const struct vhd_open_options *o, const struct vhd_err *why,
			struct vhd_err *e)
{
	if (v->type != VHD_TYPE_DIFFERENCING)
		return vhd_err_set(e, EINVAL, "%s: a %s image has no parent", path,
				   vhd_type_name(v->type));
	if (vhd_uuid_equal(&v->header.parent_id, &parent->footer.id))
		return 0; /* the same disk at another place */
	if (vhd_size(parent) > v->size)
		return vhd_err_set(e, EINVAL, "%s: smaller than %s of %llu bytes", path,
				   parent->io->name, (unsigned long long)vhd_size(parent));
	if (o->flags & VHD_OPEN_ANY_PARENT)
		return 0;
	if (why->code)
		return vhd_err_set(e, why->code, "%s", why->msg);
	return contents_check(path, parent, o, e);
}

/* ---- by path ------------------------------------------------------------------------------- */

static int text_make(const char *path, const char *parent, const char *name, const struct vhd *v,
		     struct vhd_parent_text *ret, struct vhd_err *e)
{
	enum vhd_profile profile =
		vhd_footer_may_have_batmap(&v->footer) ? VHD_FOR_XENSERVER : VHD_FOR_ANY;
	bool is_windows = name && name[0] && name[1] == ':' && name[2] == '\\';
	char relative[VHD_PATH_MAX];

	if (is_windows) /* for W2ku; relative to its image it is where its name says */
		return vhd_parent_text_make(strrchr(name, '\\') + 1, name, profile, 0, ret, e);
	if (!name && vhd_path_relative(path, parent, relative, e) < 0)
		return -e->code;
	return vhd_parent_text_make(name ? name : relative, NULL, profile, 0, ret, e);
}

/* Where parents of the new parent may be, if the caller does not say: beside or below either. */
struct roots {
	char *paths[2];
	const char *dirs[2];
};

static void roots_done(struct roots *r)
{
	free(r->paths[0]);
	free(r->paths[1]);
}

static int roots_set(struct roots *r, const char *path, const char *parent,
		     struct vhd_open_options *o, struct vhd_err *e)
{
	if (o->roots)
		return 0;
	r->paths[0] = strdup(path);
	r->paths[1] = strdup(parent);
	if (!r->paths[0] || !r->paths[1])
		return vhd_err_sys(e, ENOMEM, "%s: another parent", path);
	r->dirs[0] = dirname(r->paths[0]);
	r->dirs[1] = dirname(r->paths[1]);
	o->roots = r->dirs;
	o->n_roots = ARRAY_SIZE(r->dirs);
	return 0;
}

int vhd_reparent(const char *path, const char *parent, const char *parent_name,
		 const struct vhd_open_options *o, struct vhd_err *e)
{
	struct vhd_open_options options = o ? *o : (struct vhd_open_options){ 0 }, alone, below;
	__attribute__((cleanup(roots_done))) struct roots roots = { 0 };
	auto_free struct vhd_parent_text *text = malloc(sizeof(*text));
	auto_vhd_image *v = NULL;
	auto_vhd *p = NULL;
	struct vhd_err why = { 0 };
	struct stat st;

	if (!text)
		return vhd_err_sys(e, ENOMEM, "%s: another parent", path);
	options.flags &= ~(uint32_t)VHD_OPEN_WRITE;
	below = alone = options;
	below.flags &= VHD_OPEN_NO_LOCK;
	below.parent = NULL;
	alone.flags |= VHD_OPEN_NO_PARENT;
	if (stat(parent, &st) < 0)
		return vhd_err_sys(e, errno, "%s", parent);
	if (roots_set(&roots, path, parent, &below, e) < 0 ||
	    parent_open(parent, &below, &p, &why, e) < 0 || loop_check(path, p, &options, e) < 0 ||
	    vhd_layout_open(path, &alone, &v, e) < 0 ||
	    parent_check(path, v, p, &options, &why, e) < 0 ||
	    text_make(path, parent, parent_name, v, text, e) < 0)
		return -e->code;
	return vhd_reparent_image(v, p, text, vhd_time_stamp((int64_t)st.st_mtime), e);
}
