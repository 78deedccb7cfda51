/* SPDX-License-Identifier: MIT */
/*
 * vhd_check.c - what is wrong with an image and its parents
 *
 * The file is surveyed by itself (vhd_check_file.c). Then the chain is opened as for reading, so
 * that no file is looked at which reading would not be allowed to open, and each parent is surveyed
 * and compared with what its child says of it. If the chain does not open, that is a finding, and
 * parents are not looked at.
 */
#include "vhd_check.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <sys/stat.h>

struct check {
	const char *path;
	const struct vhd_open_options *o;
	vhd_found_fn *found;
	void *ctx;
	const struct vhd_progress *progress;
	uint64_t n_errors;
	bool is_open; /* the topmost opens, with or without its parents */
};

static int file_check(struct check *c, struct vhd_io *io, struct vhd_survey *s, struct vhd_err *e)
{
	int rc;

	*s = (struct vhd_survey){
		.io = io,
		.found = c->found,
		.ctx = c->ctx,
		.progress = c->progress,
	};
	rc = vhd_survey_make(s, e);
	c->n_errors += s->n_errors;
	vhd_survey_done(s);
	return rc;
}

static void printf_like(4, 5)
	parent_say(struct check *c, const char *file, struct vhd_finding f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f.text, sizeof(f.text), fmt, ap);
	va_end(ap);
	if (!f.field)
		f.field = vhd_check_field_name(VHD_CHECK_PARENT);
	if (f.severity == VHD_ERROR)
		c->n_errors++;
	if (c->found)
		c->found(c->ctx, file, &f);
}

/* What a child says of its parent, and what the parent is. */
static void pair_check(struct check *c, const struct vhd *v)
{
	const struct vhd *p = v->parent;
	uint64_t at = v->footer.data_offset;
	struct stat st;

	if (p->type != VHD_TYPE_RAW && !vhd_uuid_equal(&v->header.parent_id, &p->footer.id)) {
		char wanted[VHD_UUID_TEXT], is[VHD_UUID_TEXT];

		vhd_uuid_text(&v->header.parent_id, wanted);
		vhd_uuid_text(&p->footer.id, is);
		parent_say(c, v->io->name,
			   (struct vhd_finding){ .severity = VHD_ERROR, .offset = at + 40 },
			   "unique id: %s is wanted, the one that was found has %s", wanted, is);
	}
	if (p->size < v->size)
		parent_say(c, v->io->name,
			   (struct vhd_finding){ .severity = VHD_NOTE, .offset = at },
			   "%" PRIu64 " bytes, less than the disk: zeros show through behind them",
			   p->size);
	else if (p->size > v->size)
		parent_say(c, v->io->name,
			   (struct vhd_finding){ .severity = VHD_WARNING, .offset = at },
			   "%" PRIu64 " bytes, more than the disk's %" PRIu64, p->size, v->size);
	if (vhd_has_blocks(p) && p->block_shift != v->block_shift)
		parent_say(c, v->io->name,
			   (struct vhd_finding){ .severity = VHD_WARNING, .offset = at + 32 },
			   "blocks of %u bytes, here %u", vhd_block_size(p), vhd_block_size(v));
	if (v->header.parent_time_stamp && stat(p->io->name, &st) == 0 &&
	    st.st_mtim.tv_sec > (int64_t)v->header.parent_time_stamp + VHD_EPOCH)
		parent_say(c, v->io->name,
			   (struct vhd_finding){ .severity = VHD_NOTE, .offset = at + 56 },
			   "its file was changed after this image was made");
}

/* Opened with the ids as they should be; if that fails, with any, so that more can be said. */
static int chain_open(struct check *c, struct vhd **ret, struct vhd_err *e)
{
	struct vhd_open_options o = *c->o;
	struct vhd_err first;
	int rc;

	o.flags &= VHD_OPEN_NO_LOCK | VHD_OPEN_ANY_PARENT;
	o.flags |= VHD_OPEN_DAMAGED;
	rc = vhd_open(c->path, &o, ret, e);
	if (rc == 0 || o.flags & VHD_OPEN_ANY_PARENT)
		return rc;
	first = *e;
	o.flags |= VHD_OPEN_ANY_PARENT;
	rc = vhd_open(c->path, &o, ret, e);
	if (rc < 0)
		*e = first;
	return rc;
}

static int chain_check(struct check *c, uint64_t header_off, struct vhd_err *e)
{
	struct vhd_survey s;
	struct vhd *v = NULL;
	int rc = 0;

	if (chain_open(c, &v, e) < 0) {
		parent_say(c, c->path,
			   (struct vhd_finding){ .severity = VHD_ERROR, .offset = header_off },
			   "%s", e->msg);
		return 0;
	}
	for (const struct vhd *child = v; child->parent && rc == 0; child = child->parent) {
		pair_check(c, child);
		if (child->parent->type != VHD_TYPE_RAW)
			rc = file_check(c, child->parent->io, &s, e);
	}
	vhd_free(v);
	return rc;
}

/* Another process may be writing it: then nothing that was found would mean anything. What cannot
 * be opened as an image is still looked at, as a file. */
static int top_open(struct check *c, struct vhd **ret_v, struct vhd_io **ret_io, struct vhd_err *e)
{
	struct vhd_open_options o = { .flags = (c->o->flags & VHD_OPEN_NO_LOCK) |
					       VHD_OPEN_NO_PARENT | VHD_OPEN_DAMAGED };
	auto_fd fd = -1;
	int rc = vhd_open(c->path, &o, ret_v, e);

	if (rc == 0 || rc == -EBUSY || rc == -ENOENT || rc == -EACCES || rc == -ENOMEM)
		return rc;
	fd = open(c->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return vhd_err_sys(e, errno, "%s", c->path);
	return vhd_io_file(TAKE_FD(fd), c->path, ret_io, e);
}

static int top_check(struct check *c, struct vhd_survey *s, struct vhd_err *e)
{
	struct vhd *v = NULL;
	struct vhd_io *io = NULL;
	struct vhd_err refused = { 0 };
	int rc = top_open(c, &v, &io, &refused);

	if (rc < 0) {
		*e = refused;
		return rc;
	}
	c->is_open = v != NULL;
	rc = file_check(c, v ? v->io : io, s, e);
	if (rc == 0 && !v && c->n_errors == 0) /* it is never called right and then not opened */
		parent_say(c, c->path,
			   (struct vhd_finding){ .severity = VHD_ERROR, .field = "image" }, "%s",
			   refused.msg);
	vhd_free(v);
	vhd_io_close(io);
	return rc;
}

int vhd_check(const char *path, const struct vhd_open_options *o, vhd_found_fn *found, void *ctx,
	      const struct vhd_progress *p, struct vhd_err *e)
{
	static const struct vhd_open_options defaults;
	struct check c = {
		.path = path,
		.o = o ? o : &defaults,
		.found = found,
		.ctx = ctx,
		.progress = p,
	};
	struct vhd_survey s;

	if (top_check(&c, &s, e) < 0)
		return -e->code;
	if (c.is_open && s.has_header && s.footer.type == VHD_TYPE_DIFFERENCING &&
	    !(c.o->flags & VHD_OPEN_NO_PARENT) && chain_check(&c, s.footer.data_offset, e) < 0)
		return -e->code;
	return (int)MIN_OF(c.n_errors, (uint64_t)INT_MAX);
}
