/* SPDX-License-Identifier: MIT */
/*
 * vhd_walk.h - going through whole disks, for the operations that do
 *
 * Used by copy, coalesce, diff and digest. Each is alone with the disks it was given.
 */
#ifndef VHD_WALK_H
#define VHD_WALK_H

#include "vhd_internal.h"

#define VHD_WALK_MAX (1U << 20) /* bytes read at once */

/* What is at a place of the disk: as vhd_extent_at() says, cut where a hole of the file that holds
 * it begins or ends. */
struct vhd_piece {
	struct vhd_extent at;
	bool is_zero; /* known to read as zeros */
};
VHD_MUST_CHECK int vhd_walk_piece(struct vhd *v, uint64_t off, uint64_t len,
				  struct vhd_piece *ret_piece, struct vhd_err *e);

/* The image `depth` levels below; depth < vhd_depth(). */
struct vhd *vhd_walk_image(struct vhd *v, unsigned int depth);

bool vhd_walk_is_zero(const void *data, size_t len);

/* -ECANCELED when the caller wants no more; `p` may be NULL. */
VHD_MUST_CHECK int vhd_walk_step(const struct vhd_progress *p, uint64_t done, uint64_t total,
				 struct vhd_err *e);

/* What vhd_walk_move() does with zeros. */
enum vhd_zeros {
	VHD_ZEROS_SKIP, /* `to` reads as zeros there already */
	VHD_ZEROS_KEEP, /* vhd_zero() */
};
struct vhd_move {
	struct vhd *from, *to;
	enum vhd_zeros zeros;
	uint32_t unit; /* bytes that are looked at together for being zero */
	uint8_t *buf;  /* VHD_WALK_MAX */
};
/* A piece of `from` to the same place of `to`. */
VHD_MUST_CHECK int vhd_walk_move(const struct vhd_move *m, const struct vhd_piece *piece,
				 struct vhd_err *e);

/* A handle of a scope. One that was written is closed by hand, for the error. */
static inline void vhd_drop(struct vhd **v)
{
	struct vhd_err ignored = { 0 }; /* an earlier error is the one to tell */

	(void)vhd_close(*v, &ignored);
	*v = NULL;
}
#define auto_vhd __attribute__((cleanup(vhd_drop))) struct vhd

#endif
