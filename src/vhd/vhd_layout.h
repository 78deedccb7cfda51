/* SPDX-License-Identifier: MIT */
/*
 * vhd_layout.h - what lies where in a file with blocks, and moving it
 *
 * Used by compact, reparent and resize, each alone with an image that it has opened for writing.
 * They write to the file directly: what the image knows of free space is not kept true, so it is
 * given to vhd_free() afterwards (auto_vhd_image), not to vhd_close().
 *
 * Whatever is moved is durable at its new place before anything names that; then what names it is
 * changed, within one sector, and durable before the old place is used for anything else.
 */
#ifndef VHD_LAYOUT_H
#define VHD_LAYOUT_H

#include "vhd_internal.h"

struct vhd_span {
	uint64_t off, end;
	uint32_t block; /* VHD_BAT_NONE: header, table, locator, ... */
};
struct vhd_layout { /* spans by their offsets; they do not overlap */
	struct vhd_span *spans;
	size_t n;
};
/* All that the file holds but the footer at its end; room for a header and its locators more. */
VHD_MUST_CHECK int vhd_layout_read(const struct vhd *v, struct vhd_layout *ret_layout,
				   struct vhd_err *e);
void vhd_layout_done(struct vhd_layout *l); /* accepts an empty one */
#define auto_layout __attribute__((cleanup(vhd_layout_done))) struct vhd_layout

uint64_t vhd_layout_end(const struct vhd_layout *l);
/* The lowest place for `len` bytes at a multiple of `align`; at worst behind all. */
uint64_t vhd_layout_gap(const struct vhd_layout *l, uint64_t len, uint64_t align);
void vhd_layout_add(struct vhd_layout *l, uint64_t off, uint64_t len);
/* Where a block goes at or behind `from` for its data to be aligned. */
uint64_t vhd_layout_place(const struct vhd *v, uint64_t from);

struct vhd_relocation {
	uint32_t block;
	uint64_t to; /* of its bitmap; a multiple of VHD_SECTOR; free, and before the footer */
};
/* Some blocks to new places; durable when it returns. */
VHD_MUST_CHECK int vhd_layout_move(struct vhd *v, const struct vhd_relocation *r, size_t n,
				   struct vhd_err *e);
/* Blocks leave the table; durable when it returns. */
VHD_MUST_CHECK int vhd_layout_drop(struct vhd *v, const uint32_t *blocks, size_t n,
				   struct vhd_err *e);

/* The footer moves ahead if the file would end before `end`. */
VHD_MUST_CHECK int vhd_layout_extend(struct vhd *v, uint64_t end, struct vhd_err *e);
/* The footer moves back to where it belongs behind `end`, and the file is cut. */
VHD_MUST_CHECK int vhd_layout_cut(struct vhd *v, uint64_t end, struct vhd_err *e);
/* The footer as it is now, at the end and then at the front, a flush behind each. A crash between
 * them leaves two that differ; see vhd_layout_mend(). */
VHD_MUST_CHECK int vhd_layout_footers(struct vhd *v, struct vhd_err *e);
/* Bytes of the table and of tapdisk's batmap with `entries`; 0 for the latter if there is none. */
uint64_t vhd_layout_table_size(uint32_t entries);
uint64_t vhd_layout_batmap_size(const struct vhd *v, uint32_t entries);

/*
 * End what vhd_layout_footers() began: two good footers of the same image which differ in nothing
 * but size, geometry and the header's place. The one at the end is the newer one. 0 also when there
 * is nothing to do.
 */
VHD_MUST_CHECK int vhd_layout_mend(struct vhd_io *io, struct vhd_err *e);
/* vhd_open() for writing after vhd_layout_mend(); refuses images of machines in saved state. */
VHD_MUST_CHECK int vhd_layout_open(const char *path, const struct vhd_open_options *o,
				   struct vhd **ret, struct vhd_err *e);
VHD_MUST_CHECK int vhd_layout_check_saved(const struct vhd *v, struct vhd_err *e);

static inline void vhd_layout_free(struct vhd **v)
{
	vhd_free(*v);
}
#define auto_vhd_image __attribute__((cleanup(vhd_layout_free))) struct vhd

/* ---- the operations on an image that is open for writing: what vhd.h has for paths */

VHD_MUST_CHECK int vhd_compact_image(struct vhd *v, uint32_t flags, struct vhd_compact_result *ret,
				     const struct vhd_progress *p, struct vhd_err *e);
VHD_MUST_CHECK int vhd_resize_image(struct vhd *v, uint64_t size, struct vhd_err *e);
/* `text`: what to say of `parent`; its locators' offsets do not matter. */
VHD_MUST_CHECK int vhd_reparent_image(struct vhd *v, const struct vhd *parent,
				      struct vhd_parent_text *text, uint32_t time_stamp,
				      struct vhd_err *e);

#endif
