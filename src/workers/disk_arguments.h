/* SPDX-License-Identifier: MIT */
/*
 * disk_arguments.h - where the parents of a disk are, as words of a worker's command line
 *
 *	[any-parent] [parent=IMAGE] [root=DIR]... [windows-root=DIR]
 */
#ifndef DISK_ARGUMENTS_H
#define DISK_ARGUMENTS_H

#include "err.h"
#include "vhd.h"

#define DISK_ROOTS_MAX 64U

struct disk_arguments { /* zeros; its address must not change after the first root */
	struct vhd_open_options open;
	const char *roots[DISK_ROOTS_MAX];
};

/* -EINVAL: none of them. Texts are borrowed. */
must_check int disk_argument_take(struct disk_arguments *a, const char *arg, struct err *e);
/* The text behind "KEY=", or NULL. */
const char *disk_argument_value(const char *arg, const char *key);

#endif
