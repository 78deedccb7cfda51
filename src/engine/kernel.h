/* SPDX-License-Identifier: MIT */
/*
 * kernel.h - guest kernels in the store
 *
 * ROOT/kernels/NAME/kernel is a bzImage or an ELF vmlinux, `modules` a list of modules packed as a
 * cpio archive (empty for a kernel without modules), `drivers` another of them for bootable disks
 * (missing for a kernel that can be no disk's), `kernel.json` says where they came from.
 * ROOT/kernels/default is a symbolic link to the one that is used when nothing else is said. The
 * initrd is modules plus the caisson-init of this installation, put together on use: an upgrade of
 * caisson changes no kernel.
 */
#ifndef KERNEL_H
#define KERNEL_H

#include "engine.h"

#define KERNEL_NAME_MAX 63U

struct kernel {
	char name[KERNEL_NAME_MAX + 1];
	char version[128];
	int kernel_fd;   /* owned */
	int initrd_fd;   /* owned; a sealed memfd */
	char digest[65]; /* hex: changes when kernel, modules or caisson-init do */
};
void kernel_done(struct kernel *k);

/*
 * The kernel for a bootable disk: the image file, and an initrd of caisson-init, the order that is
 * its first process's (the payload of an AGENT_RUN frame, proto/agent.h) and the drivers of
 * machines that are not ours. name NULL: the default if it has drivers, else any that has. The
 * caller closes and frees.
 */
struct buf;
#define KERNEL_DRIVERS_FILE "drivers"
must_check int kernel_disk_open(struct engine *g, const char *name, const struct buf *order,
				int *ret_kernel_fd, struct buf *ret_initrd, struct err *e);

/* name NULL or "": the default. -ENOENT says how to get one. The digest alone costs only a few stat
 * calls. */
must_check int kernel_open(struct engine *g, const char *name, struct kernel *ret, struct err *e);
must_check int kernel_digest(struct engine *g, const char *name, char ret_name[KERNEL_NAME_MAX + 1],
			     char ret_digest[65], struct err *e);

#endif
