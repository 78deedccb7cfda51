/* SPDX-License-Identifier: MIT */
/*
 * plugin_image.h - the image that the plugin serves: from its parameters to a struct vhd
 *
 * Paths are opened; /proc/self/fd/N and /dev/fd/N are descriptors of nbdkit itself, which are
 * duplicated and never opened anew: what they name may be out of reach.
 */
#ifndef PLUGIN_IMAGE_H
#define PLUGIN_IMAGE_H

#include "vhd.h"

#define IMAGE_PARENTS_MAX (VHD_DEPTH_MAX - 1)
#define IMAGE_ROOTS_MAX   16U

struct image_config { /* texts are owned */
	char *file;
	char *parents[IMAGE_PARENTS_MAX]; /* from the file's own on; none: as the images say */
	size_t n_parents;
	char *roots[IMAGE_ROOTS_MAX];
	size_t n_roots;
	size_t cache_max;
};

enum image_use {
	IMAGE_READ,
	IMAGE_WRITE,
};

/* The number of N in "/proc/self/fd/N" and "/dev/fd/N", else -1. */
int image_fd_number(const char *path);
/* All images by descriptors, so that image_open() opens no file? */
bool image_is_given(const struct image_config *c);
/* Locks as vhd_open() does: one writer, or readers. */
VHD_MUST_CHECK int image_open(const struct image_config *c, enum image_use use, struct vhd **ret,
			      struct vhd_err *e);
/* Can space be given back, and zeros be had without writing them? */
bool image_can_punch(const struct image_config *c);
void image_config_done(struct image_config *c);

#endif
