/* SPDX-License-Identifier: MIT */
/*
 * vhd_check.h - what check and repair know of one file; inside src/vhd only
 *
 * A survey goes on after a finding as far as the rest still makes sense. `has_table` says that it
 * got as far as the table: `bat`, `is_bad`, `is_full` are set then.
 */
#ifndef VHD_CHECK_H
#define VHD_CHECK_H

#include "vhd_internal.h"

#define VHD_SURVEY_REGIONS (5 + VHD_PARENTS_MAX)
#define VHD_SAME_MAX       64U /* findings of one field that are told; more are counted */

enum vhd_check_field {
	VHD_CHECK_FOOTER,
	VHD_CHECK_COPY,
	VHD_CHECK_HEADER,
	VHD_CHECK_TABLE,
	VHD_CHECK_ENTRY,
	VHD_CHECK_LOCATOR,
	VHD_CHECK_BATMAP,
	VHD_CHECK_BITMAP,
	VHD_CHECK_DATA,
	VHD_CHECK_PARENT,
	VHD_CHECK_LENGTH,
	VHD_CHECK_COUNT_,
};

typedef void vhd_found_fn(void *ctx, const char *file, const struct vhd_finding *f);

struct vhd_region { /* of the file, taken by a structure */
	uint64_t off, len;
	const char *name;
};

struct vhd_block_place { /* of a block */
	uint32_t sector, idx;
};

enum vhd_footer_state { VHD_FOOTER_GOOD, VHD_FOOTER_LOST, VHD_FOOTER_REFUSED };

enum vhd_batmap_state {
	VHD_BATMAP_NONE,    /* or one that does not say where its map is */
	VHD_BATMAP_BAD_SUM, /* `batmap` says where */
	VHD_BATMAP_STALE,   /* sum right, but a bit is not */
	VHD_BATMAP_TRUE,
};

struct vhd_survey {
	struct vhd_io *io;
	vhd_found_fn *found; /* may be NULL */
	void *ctx;
	const struct vhd_progress *progress; /* may be NULL */
	uint64_t n_errors;
	uint64_t n_said[VHD_CHECK_COUNT_];
	enum vhd_severity worst[VHD_CHECK_COUNT_]; /* of those that were not told */

	uint64_t file_size;
	uint64_t tail;     /* offset of the last footer's bytes */
	uint32_t tail_len; /* 512 or 511 */
	uint8_t tail_raw[VHD_FOOTER_SIZE], head_raw[VHD_FOOTER_SIZE];
	enum vhd_footer_state tail_state, head_state;
	bool has_footer, is_copy_mendable;
	char copy_text[160];      /* what is wrong with the copy; "": nothing */
	struct vhd_footer footer; /* the one that counts */

	bool has_header, has_table;
	struct vhd_header header;
	uint32_t n_blocks, bitmap_size;
	uint64_t stride, limit; /* bytes of a block; where blocks end at the latest */
	struct vhd_region regions[VHD_SURVEY_REGIONS];
	size_t n_regions;
	uint32_t *bat; /* n_blocks, host's order */
	uint8_t *is_bad;
	struct vhd_block_place *places; /* of good entries, by sector */
	size_t n_places;
	uint64_t end; /* of the last structure or good block */
	size_t n_bad;

	enum vhd_batmap_state batmap_state;
	struct vhd_batmap batmap;
	uint64_t batmap_off;    /* of its header */
	uint8_t *map, *is_full; /* as the file says it, as the bitmaps say it; MSB first */
};

/* Takes note of everything; 0 even if nothing is right, -errno if the file could not be read. `s`
 * has io, found, ctx, progress; vhd_survey_done() in any case. */
VHD_MUST_CHECK int vhd_survey_make(struct vhd_survey *s, struct vhd_err *e);
void vhd_survey_done(struct vhd_survey *s);

/* A finding at `off` in the file; what is repairable is something vhd_repair() would do. */
void vhd_check_say(struct vhd_survey *s, enum vhd_severity severity, enum vhd_check_field field,
		   uint64_t off, const char *fmt, ...) printf_like(5, 6);
void vhd_check_say_repairable(struct vhd_survey *s, enum vhd_severity severity,
			      enum vhd_check_field field, uint64_t off, const char *fmt, ...)
	printf_like(5, 6);
const char *vhd_check_field_name(enum vhd_check_field field);

/* ---- vhd_check_blocks.c: from has_header on */
VHD_MUST_CHECK int vhd_survey_table(struct vhd_survey *s, struct vhd_err *e);
VHD_MUST_CHECK int vhd_survey_batmap(struct vhd_survey *s, struct vhd_err *e);
VHD_MUST_CHECK int vhd_survey_bitmaps(struct vhd_survey *s, struct vhd_err *e);
/* A structure's region: true if it lies before the last footer and over no other one. */
bool vhd_survey_region(struct vhd_survey *s, enum vhd_check_field field, uint64_t off, uint64_t len,
		       const char *name);
/* Do blocks share bytes, or are there bad entries that nothing harmless explains? Then nothing can
 * be said of what is in the file where. */
bool vhd_survey_is_tangled(const struct vhd_survey *s);
/* Are all bad entries such that only a write that never ended explains them? */
bool vhd_survey_is_unended(const struct vhd_survey *s);

#endif
