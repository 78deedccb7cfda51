/* SPDX-License-Identifier: MIT */
/*
 * vhd_check_file.c - [U] the survey of one file: footers, header, locators; and its findings
 *
 * Hostile: everything in the file. A survey looks at a file by itself, whatever vhd_open() makes of
 * it. It believes a structure only after it has found it right, and allocates at most some bytes
 * for each of VHD_SIZE_MAX / VHD_BLOCK_MIN blocks. From the table on: vhd_check_blocks.c.
 *
 * Errors are what makes a part of the disk unreadable, or readers differ; warnings what readers
 * cope with but no writer should make, and what a crash leaves; notes are remarks.
 */
#include "vhd_check.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>

static const char *const field_names[] = {
	[VHD_CHECK_FOOTER] = "footer",      [VHD_CHECK_COPY] = "footer copy",
	[VHD_CHECK_HEADER] = "header",      [VHD_CHECK_TABLE] = "table",
	[VHD_CHECK_ENTRY] = "table entry",  [VHD_CHECK_LOCATOR] = "parent locator",
	[VHD_CHECK_BATMAP] = "batmap",      [VHD_CHECK_BITMAP] = "bitmap",
	[VHD_CHECK_DATA] = "data",          [VHD_CHECK_PARENT] = "parent",
	[VHD_CHECK_LENGTH] = "file length",
};
static_assert(ARRAY_SIZE(field_names) == VHD_CHECK_COUNT_, "a name for each field");

const char *vhd_check_field_name(enum vhd_check_field field)
{
	return field_names[field];
}

/* ---- findings ------------------------------------------------------------------------------ */

static void __attribute__((format(printf, 4, 0)))
say_va(struct vhd_survey *s, struct vhd_finding *f, enum vhd_check_field field, const char *fmt,
       va_list ap)
{
	if (f->severity == VHD_ERROR)
		s->n_errors++;
	if (s->n_said[field]++ >= VHD_SAME_MAX) {
		s->worst[field] = MAX_OF(s->worst[field], f->severity);
		return;
	}
	f->field = field_names[field];
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	if (s->found)
		s->found(s->ctx, s->io->name, f);
}

void vhd_check_say(struct vhd_survey *s, enum vhd_severity severity, enum vhd_check_field field,
		   uint64_t off, const char *fmt, ...)
{
	struct vhd_finding f = { .severity = severity, .offset = off };
	va_list ap;

	va_start(ap, fmt);
	say_va(s, &f, field, fmt, ap);
	va_end(ap);
}

void vhd_check_say_repairable(struct vhd_survey *s, enum vhd_severity severity,
			      enum vhd_check_field field, uint64_t off, const char *fmt, ...)
{
	struct vhd_finding f = { .severity = severity, .offset = off, .is_repairable = true };
	va_list ap;

	va_start(ap, fmt);
	say_va(s, &f, field, fmt, ap);
	va_end(ap);
}

/* How many there were of what was not told one by one. */
static void rest_say(struct vhd_survey *s)
{
	for (int i = 0; i < VHD_CHECK_COUNT_; i++) {
		struct vhd_finding f = { .severity = s->worst[i], .field = field_names[i] };

		if (s->n_said[i] <= VHD_SAME_MAX || !s->found)
			continue;
		snprintf(f.text, sizeof(f.text), "%" PRIu64 " more like these",
			 s->n_said[i] - VHD_SAME_MAX);
		s->found(s->ctx, s->io->name, &f);
	}
}

/* ---- footers ------------------------------------------------------------------------------- */

static enum vhd_footer_state state_of(int rc)
{
	if (rc == 0)
		return VHD_FOOTER_GOOD;
	return rc == -EBADMSG ? VHD_FOOTER_LOST : VHD_FOOTER_REFUSED;
}

static bool has_blocks(const struct vhd_footer *f)
{
	return f->type == VHD_TYPE_DYNAMIC || f->type == VHD_TYPE_DIFFERENCING;
}

static int footers_read(struct vhd_survey *s, struct vhd_err *e)
{
	s->tail_len =
		s->file_size % VHD_SECTOR == VHD_SECTOR - 1 ? VHD_FOOTER_SIZE - 1 : VHD_FOOTER_SIZE;
	if (s->file_size < s->tail_len)
		return 0;
	s->tail = s->file_size - s->tail_len;
	VHD_NEED(vhd_pread(s->io, s->tail_raw, s->tail_len, s->tail), e, "%s: footer", s->io->name);
	if (s->file_size >= VHD_FOOTER_SIZE)
		VHD_NEED(vhd_pread(s->io, s->head_raw, VHD_FOOTER_SIZE, 0), e,
			 "%s: copy of the footer", s->io->name);
	return 0;
}

/* Then what counts at the end may count at the front too. The place of the header changes if an
 * operation of ours was cut short (vhd_layout_mend()), which leaves all the rest. */
static bool is_same_image(const struct vhd_footer *a, const struct vhd_footer *b)
{
	return vhd_uuid_equal(&a->id, &b->id) && a->type == b->type &&
	       (a->data_offset == b->data_offset || a->time_stamp == b->time_stamp);
}

/* What counts is the last one; the copy, which only images with blocks have, if that is lost. */
static void footer_choose(struct vhd_survey *s)
{
	struct vhd_footer tail, head;
	struct vhd_err tail_e = { 0 }, head_e = { 0 };

	s->tail_state = state_of(vhd_footer_decode(s->tail_raw, &tail, &tail_e));
	s->head_state = state_of(vhd_footer_decode(s->head_raw, &head, &head_e));
	if (s->tail_state == VHD_FOOTER_REFUSED) {
		vhd_check_say(s, VHD_ERROR, VHD_CHECK_FOOTER, s->tail, "%s", tail_e.msg);
		return;
	}
	if (s->tail_state == VHD_FOOTER_LOST &&
	    (s->head_state != VHD_FOOTER_GOOD || !has_blocks(&head))) {
		vhd_check_say(s, VHD_ERROR, VHD_CHECK_FOOTER, s->tail, "%s; no copy at 0: %s",
			      tail_e.msg, head_e.code ? head_e.msg : "it is of a fixed disk");
		return;
	}
	s->has_footer = true;
	s->footer = s->tail_state == VHD_FOOTER_GOOD ? tail : head;
	if (s->tail_state == VHD_FOOTER_LOST) /* told when it is known whether it can be mended */
		return;
	if (!has_blocks(&tail)) {
		if (s->head_state == VHD_FOOTER_GOOD && has_blocks(&head) &&
		    vhd_uuid_equal(&tail.id, &head.id)) {
			vhd_check_say(s, VHD_ERROR, VHD_CHECK_FOOTER, s->tail,
				      "disk type: fixed, but the copy at 0 says %s",
				      vhd_type_name(head.type));
			s->has_footer = false;
		}
		return;
	}
	if (s->head_state != VHD_FOOTER_GOOD) {
		s->is_copy_mendable = s->head_state == VHD_FOOTER_LOST;
		snprintf(s->copy_text, sizeof(s->copy_text), "%.150s", head_e.msg);
	} else if (memcmp(s->tail_raw, s->head_raw, VHD_FOOTER_SIZE - 1) != 0) {
		s->is_copy_mendable = is_same_image(&tail, &head);
		snprintf(s->copy_text, sizeof(s->copy_text),
			 "differs from the footer at the end (sizes %" PRIu64 " and %" PRIu64 ")",
			 head.size, tail.size);
	}
}

static bool is_filled(const uint8_t *raw, size_t len, uint8_t with)
{
	for (size_t i = 0; i < len; i++)
		if (raw[i] != with)
			return false;
	return true;
}

static void footer_remarks(struct vhd_survey *s)
{
	const struct vhd_footer *f = &s->footer;
	const uint8_t *raw = s->tail_state == VHD_FOOTER_GOOD ? s->tail_raw : s->head_raw;
	struct vhd_geometry g = vhd_geometry_of(f->size), none = { 65535, 16, 255 };

	if (s->tail_state == VHD_FOOTER_GOOD && s->tail_len != VHD_FOOTER_SIZE)
		vhd_check_say_repairable(s, VHD_WARNING, VHD_CHECK_FOOTER, s->tail,
					 "511 bytes, as before Virtual PC 2004");
	if (f->is_saved_state)
		vhd_check_say(s, VHD_NOTE, VHD_CHECK_FOOTER, s->tail + 84,
			      "saved state: the disk belongs to a suspended machine");
	if (memcmp(&f->geometry, &g, sizeof(g)) != 0 && memcmp(&f->geometry, &none, sizeof(g)) != 0)
		vhd_check_say(s, VHD_NOTE, VHD_CHECK_FOOTER, s->tail + 56,
			      "geometry: %u/%u/%u, by the format's rule %u/%u/%u",
			      f->geometry.cylinders, f->geometry.heads, f->geometry.sectors,
			      g.cylinders, g.heads, g.sectors);
	if (!is_filled(raw + 86, VHD_FOOTER_SIZE - 86, 0))
		vhd_check_say(s, VHD_NOTE, VHD_CHECK_FOOTER, s->tail + 86,
			      "reserved bytes are not zero");
}

static void fixed_survey(struct vhd_survey *s)
{
	if (s->tail < s->footer.size)
		vhd_check_say(s, VHD_ERROR, VHD_CHECK_LENGTH, s->tail,
			      "current size is %" PRIu64 ", but only %" PRIu64 " bytes are there",
			      s->footer.size, s->tail);
	else if (s->tail > s->footer.size)
		vhd_check_say(s, VHD_WARNING, VHD_CHECK_LENGTH, s->footer.size,
			      "%" PRIu64 " bytes between the disk and its footer",
			      s->tail - s->footer.size);
}

/* ---- header and locators ------------------------------------------------------------------- */

bool vhd_survey_region(struct vhd_survey *s, enum vhd_check_field field, uint64_t off, uint64_t len,
		       const char *name)
{
	bool is_right = range_fits(off, len, s->limit);

	if (!is_right)
		vhd_check_say(s, field == VHD_CHECK_BATMAP ? VHD_WARNING : VHD_ERROR, field, off,
			      "%s: %" PRIu64
			      " bytes, which do not end before the footer at %" PRIu64,
			      name, len, s->limit);
	for (size_t i = 0; is_right && i < s->n_regions; i++) {
		const struct vhd_region *r = &s->regions[i];

		if (off < r->off + r->len && r->off < off + len) {
			vhd_check_say(s, field == VHD_CHECK_BATMAP ? VHD_WARNING : VHD_ERROR, field,
				      off, "%s overlaps the %s at %" PRIu64, name, r->name, r->off);
			is_right = false;
		}
	}
	if (!is_right)
		return false;
	s->regions[s->n_regions++] = (struct vhd_region){ .off = off, .len = len, .name = name };
	s->end = MAX_OF(s->end, off + len);
	return true;
}

static int header_survey(struct vhd_survey *s, struct vhd_err *e)
{
	uint8_t raw[VHD_HEADER_SIZE];
	uint64_t off = s->footer.data_offset;
	struct vhd_err why = { 0 };

	s->limit = s->tail_state == VHD_FOOTER_GOOD ? s->tail : s->file_size;
	if (!vhd_survey_region(s, VHD_CHECK_COPY, 0, VHD_FOOTER_SIZE, "copy of the footer") ||
	    !vhd_survey_region(s, VHD_CHECK_HEADER, off, sizeof(raw), "header"))
		return 0;
	VHD_NEED(vhd_pread(s->io, raw, sizeof(raw), off), e, "%s: header", s->io->name);
	if (vhd_header_decode(raw, &s->header, &why) < 0) {
		vhd_check_say(s, VHD_ERROR, VHD_CHECK_HEADER, off, "%s", why.msg);
		return 0;
	}
	if (!is_filled(raw + 60, 4, 0) || !is_filled(raw + 768, 256, 0))
		vhd_check_say(s, VHD_NOTE, VHD_CHECK_HEADER, off, "reserved bytes are not zero");
	if (s->footer.type == VHD_TYPE_DYNAMIC && !vhd_uuid_is_zero(&s->header.parent_id))
		vhd_check_say(s, VHD_NOTE, VHD_CHECK_HEADER, off + 40,
			      "parent id: not zero, but the disk has no parent");
	s->bitmap_size = vhd_bitmap_size(s->header.block_size);
	s->stride = (uint64_t)s->bitmap_size + s->header.block_size;
	s->n_blocks = vhd_blocks_of(s->footer.size, s->header.block_size);
	s->has_header = true;
	return 0;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool is_absolute(const char *path)
{
	return path[0] == '/' || (path[0] && path[1] == ':');
}

static const char *without_dot(const char *path)
{
	return strncmp(path, "./", 2) == 0 ? path + 2 : path;
}

/* Two ways of saying the same? Absolute and relative paths can only be compared by the last part.
 */
static bool paths_agree(const char *a, const char *b)
{
	if (is_absolute(a) || is_absolute(b))
		return strcmp(base_name(a), base_name(b)) == 0;
	return strcmp(without_dot(a), without_dot(b)) == 0;
}

/* The path of locator i in `path`; false: it has none that is known. */
static bool locator_survey(struct vhd_survey *s, size_t i, char path[VHD_PATH_MAX])
{
	const struct vhd_locator *l = &s->header.locators[i];
	uint64_t at = s->footer.data_offset + 576 + 24 * i;
	uint8_t raw[VHD_LOCATOR_MAX];
	char name[32];
	int rc;

	snprintf(name, sizeof(name), "locator %zu (%.4s)", i, l->code);
	if (l->space &&
	    !vhd_survey_region(s, VHD_CHECK_LOCATOR, l->offset, l->space, "parent locator"))
		return false;
	rc = vhd_pread(s->io, raw, l->length, l->offset);
	if (rc == 0)
		rc = vhd_locator_path(l, raw, l->length, path);
	if (rc == 0)
		return true;
	if (rc != -ENOTSUP)
		vhd_check_say(s, VHD_WARNING, VHD_CHECK_LOCATOR, at,
			      "%s: its path cannot be read: %s", name, strerrordesc_np(-rc));
	return false;
}

static void locators_survey(struct vhd_survey *s)
{
	static const char none[4];
	char first[VHD_PATH_MAX] = "", path[VHD_PATH_MAX], name[VHD_PATH_MAX];
	uint64_t at = s->footer.data_offset;
	size_t n = 0;

	for (size_t i = 0; i < VHD_PARENTS_MAX; i++) {
		if (memcmp(s->header.locators[i].code, none, sizeof(none)) == 0 ||
		    !locator_survey(s, i, path))
			continue;
		if (n++ == 0)
			memcpy(first, path, sizeof(first));
		else if (!paths_agree(first, path))
			vhd_check_say(s, VHD_WARNING, VHD_CHECK_LOCATOR, at + 576 + 24 * i,
				      "locators disagree: \"%.70s\" and \"%.70s\"", first, path);
	}
	if (n == 0)
		vhd_check_say(s, VHD_WARNING, VHD_CHECK_LOCATOR, at + 576,
			      "none says where the parent is");
	if (vhd_utf16_decode(s->header.parent_name, VHD_NAME_BYTES, VHD_BE, name, sizeof(name)) < 0)
		return;
	for (char *c = name; *c; c++)
		if (*c == '\\')
			*c = '/';
	if (n && strcmp(base_name(name), base_name(first)) != 0)
		vhd_check_say(s, VHD_WARNING, VHD_CHECK_LOCATOR, at + 64,
			      "parent name \"%.70s\" and locator \"%.70s\" disagree", name, first);
}

/* ---- one file ------------------------------------------------------------------------------ */

void vhd_survey_done(struct vhd_survey *s)
{
	free(s->bat);
	free(s->is_bad);
	free(s->places);
	free(s->map);
	free(s->is_full);
}

/* Told when it is known whether they can be mended: a footer that was lost is written again only if
 * that makes no cut block look whole. */
static void footers_say(struct vhd_survey *s)
{
	bool is_sound = s->has_table && !vhd_survey_is_tangled(s);
	const char *text = "none at the end of the file; the copy at 0 serves";

	s->is_copy_mendable = s->is_copy_mendable && is_sound;
	if (s->copy_text[0])
		(s->is_copy_mendable ? vhd_check_say_repairable : vhd_check_say)(
			s, VHD_ERROR, VHD_CHECK_COPY, 0, "%s", s->copy_text);
	if (s->tail_state != VHD_FOOTER_LOST)
		return;
	if (is_sound)
		vhd_check_say_repairable(s, VHD_WARNING, VHD_CHECK_FOOTER, s->tail, "%s", text);
	else
		vhd_check_say(s, VHD_ERROR, VHD_CHECK_FOOTER, s->tail, "%s", text);
}

static int blocks_survey(struct vhd_survey *s, struct vhd_err *e)
{
	if (header_survey(s, e) < 0)
		return -e->code;
	if (s->has_header && s->footer.type == VHD_TYPE_DIFFERENCING)
		locators_survey(s);
	if (s->has_header &&
	    (vhd_survey_table(s, e) < 0 || (s->has_table && vhd_survey_bitmaps(s, e) < 0)))
		return -e->code;
	footers_say(s);
	return 0;
}

int vhd_survey_make(struct vhd_survey *s, struct vhd_err *e)
{
	int rc = 0;

	VHD_NEED(s->io->ops->get_size(s->io, &s->file_size), e, "%s: length", s->io->name);
	if (footers_read(s, e) < 0)
		return -e->code;
	footer_choose(s);
	if (s->has_footer) {
		footer_remarks(s);
		if (has_blocks(&s->footer))
			rc = blocks_survey(s, e);
		else
			fixed_survey(s);
	}
	rest_say(s);
	return rc;
}
