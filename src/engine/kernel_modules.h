/* SPDX-License-Identifier: MIT */
/*
 * kernel_modules.h - which modules a guest needs, and in which order they load
 */
#ifndef KERNEL_MODULES_H
#define KERNEL_MODULES_H

#include "buf.h"
#include "err.h"

#define MODULE_SIZE_MAX (8U << 20)
#define MODULES_MAX     64U

enum kernel_modules_for {
	KERNEL_MODULES_VM,   /* a machine of ours */
	KERNEL_MODULES_DISK, /* a bootable disk in a machine of somebody else's */
};

/*
 * Pack what a guest needs of the module tree at `dir` (".../lib/modules/VERSION") as a cpio
 * archive: each module as /modules/NAME.ko and /modules.list with their paths, dependencies first.
 * Modules that the kernel has built in are simply not there. Compressed modules (.ko.xz) are
 * unpacked with xz.
 */
must_check int kernel_modules_pack(int dir_fd, enum kernel_modules_for what, struct buf *out,
				   struct err *e);

#endif
