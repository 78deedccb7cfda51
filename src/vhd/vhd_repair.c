/* SPDX-License-Identifier: MIT */
/*
 * vhd_repair.c - mending what can be proved from the rest of the file
 *
 * A survey (vhd_check.h) is made first, and nothing is mended that it does not call repairable:
 *   the last byte of a 511-byte footer is a zero;
 *   a footer at the end that is lost is the copy at the front, if no block is cut;
 *   a copy at the front that is lost, or that differs but is of the same image, is the footer at
 *     the end, which counts anyway;
 *   a batmap is made from the bitmaps, which count anyway;
 *   entries of blocks that were never written (vhd_survey_is_unended()) become absent.
 * If a block lies over a structure or over another block, nothing at all is done: what is at the
 * places that would be written is not known then.
 *
 * Each step is durable before the next, and leaves an image that reads as before; a repair that
 * was cut short is simply done again.
 */
#include "vhd_check.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>

struct repair {
	struct vhd_survey s;
	uint32_t flags; /* VHD_DRY_RUN */
	vhd_found_fn *mended;
	void *ctx;
	int n;
};

static bool is_dry(const struct repair *r)
{
	return r->flags & VHD_DRY_RUN;
}

static void printf_like(4, 5)
	mended_say(struct repair *r, enum vhd_check_field field, uint64_t off, const char *fmt, ...)
{
	struct vhd_finding f = {
		.severity = VHD_NOTE,
		.is_repairable = true,
		.offset = off,
		.field = vhd_check_field_name(field),
	};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f.text, sizeof(f.text), fmt, ap);
	va_end(ap);
	r->n++;
	if (r->mended)
		r->mended(r->ctx, r->s.io->name, &f);
}

/* Unless it is a dry run: written and durable. */
static int put(struct repair *r, const void *data, size_t len, uint64_t off, struct vhd_err *e)
{
	struct vhd_io *io = r->s.io;

	if (is_dry(r))
		return 0;
	VHD_NEED(vhd_pwrite(io, data, len, off), e, "%s: write at offset %" PRIu64, io->name, off);
	VHD_NEED(io->ops->flush(io), e, "%s: flush", io->name);
	return 0;
}

static int entries_mend(struct repair *r, struct vhd_err *e)
{
	static const uint8_t none[4] = { 0xff, 0xff, 0xff, 0xff };
	struct vhd_survey *s = &r->s;

	if (!vhd_survey_is_unended(s))
		return 0;
	for (uint32_t i = 0; i < s->n_blocks; i++) {
		uint64_t off = s->header.table_offset + 4ULL * i;

		if (!s->is_bad[i])
			continue;
		if (put(r, none, sizeof(none), off, e) < 0)
			return -e->code;
		mended_say(r, VHD_CHECK_ENTRY, off, "block %u, which was never written, is absent",
			   i);
	}
	return 0;
}

/* The map first: until the header has its sum, neither the old nor the new one is believed. */
static int batmap_mend(struct repair *r, struct vhd_err *e)
{
	struct vhd_survey *s = &r->s;
	size_t len = (size_t)s->batmap.sectors * VHD_SECTOR;
	struct vhd_batmap b = s->batmap;
	uint8_t raw[VHD_BATMAP_SIZE];

	if (s->batmap_state != VHD_BATMAP_BAD_SUM && s->batmap_state != VHD_BATMAP_STALE)
		return 0;
	memset(s->map, 0, len);
	memcpy(s->map, s->is_full, (s->n_blocks + 7) / 8);
	b.version = 0; /* the newest: older ones are summed otherwise */
	b.checksum = ~vhd_batmap_checksum(&b, s->map, s->footer.size);
	vhd_batmap_encode(&b, raw);
	if (put(r, raw, sizeof(raw), s->batmap_off, e) < 0 ||
	    put(r, s->map, len, s->batmap.offset, e) < 0)
		return -e->code;
	b.checksum = ~b.checksum;
	vhd_batmap_encode(&b, raw);
	if (put(r, raw, sizeof(raw), s->batmap_off, e) < 0)
		return -e->code;
	mended_say(r, VHD_CHECK_BATMAP, s->batmap.offset, "made anew from the bitmaps");
	return 0;
}

static int tail_byte_mend(struct repair *r, struct vhd_err *e)
{
	struct vhd_survey *s = &r->s;
	uint8_t zero = 0;

	if (s->tail_state != VHD_FOOTER_GOOD || s->tail_len == VHD_FOOTER_SIZE)
		return 0;
	if (put(r, &zero, 1, s->file_size, e) < 0)
		return -e->code;
	mended_say(r, VHD_CHECK_FOOTER, s->tail, "511 bytes are made 512");
	return 0;
}

static int copy_mend(struct repair *r, struct vhd_err *e)
{
	struct vhd_survey *s = &r->s;

	if (!s->is_copy_mendable)
		return 0;
	if (put(r, s->tail_raw, VHD_FOOTER_SIZE, 0, e) < 0)
		return -e->code;
	mended_say(r, VHD_CHECK_COPY, 0, "made anew from the footer at the end");
	return 0;
}

/* Behind all that is there, in the last sector; over the old place if it is that. */
static int tail_mend(struct repair *r, struct vhd_err *e)
{
	struct vhd_survey *s = &r->s;
	uint64_t off = s->file_size - VHD_FOOTER_SIZE;

	if (s->tail_state != VHD_FOOTER_LOST || s->n_bad)
		return 0;
	if (s->file_size % VHD_SECTOR || off < s->end)
		off = vhd_tail_of(MAX_OF(s->file_size, s->end));
	if (put(r, s->head_raw, VHD_FOOTER_SIZE, off, e) < 0)
		return -e->code;
	mended_say(r, VHD_CHECK_FOOTER, off, "made anew from the copy at 0");
	return 0;
}

static int all_mend(struct repair *r, struct vhd_err *e)
{
	struct vhd_survey *s = &r->s;

	if (!s->has_footer)
		return 0;
	if (s->footer.type == VHD_TYPE_FIXED)
		return tail_byte_mend(r, e);
	if (!s->has_table || vhd_survey_is_tangled(s))
		return 0;
	if (tail_byte_mend(r, e) < 0 || entries_mend(r, e) < 0 || batmap_mend(r, e) < 0 ||
	    copy_mend(r, e) < 0 || tail_mend(r, e) < 0)
		return -e->code;
	return 0;
}

int vhd_repair(const char *path, uint32_t flags, vhd_found_fn *mended, void *ctx, struct vhd_err *e)
{
	struct repair r = { .flags = flags, .mended = mended, .ctx = ctx };
	bool is_writing = !is_dry(&r);
	auto_fd fd =
		open(path, (is_writing ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int rc;

	if (fd < 0)
		return vhd_err_sys(e, errno, "%s", path);
	if (vhd_file_lock(fd, path, is_writing, e) < 0 ||
	    vhd_io_file(TAKE_FD(fd), path, &r.s.io, e) < 0)
		return -e->code;
	rc = vhd_survey_make(&r.s, e);
	if (rc == 0)
		rc = all_mend(&r, e);
	vhd_survey_done(&r.s);
	vhd_io_close(r.s.io);
	return rc < 0 ? rc : r.n;
}
