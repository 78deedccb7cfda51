/* SPDX-License-Identifier: MIT */
/* kernel_internal.h - shared by kernel_store.c, kernel_install.c and kernel_build.c only */
#ifndef KERNEL_INTERNAL_H
#define KERNEL_INTERNAL_H

#include "buf.h"
#include "kernel.h"

/* A private directory ROOT/kernels/.new-PID-N; dropped with all that is in it by
 * kernel_scratch_drop(). */
struct kernel_scratch {
	int kernels_fd; /* ROOT/kernels, owned */
	int fd;         /* the directory, owned */
	char name[64];
};
must_check int kernel_scratch_make(struct engine *g, struct kernel_scratch *ret, struct err *e);
void kernel_scratch_drop(struct kernel_scratch *s);

/* Run a tool in directory `dir_fd`; its output goes to `out`, or to our stderr when NULL. Not 0: an
 * error naming the tool. */
must_check int kernel_tool(int dir_fd, const char *const *argv, struct buf *out, struct err *e);

/*
 * Make the kernel NAME of files "kernel" and "modules" that are in scratch directory `s`: write
 * kernel.json, sync, replace an older one of that name, make it the default if there is none.
 */
must_check int kernel_keep(struct engine *g, struct kernel_scratch *s, const char *name,
			   const char *version, const char *source, struct err *e);

void kernel_say(const struct progress_ops *p, const char *fmt, ...) printf_like(2, 3);

#endif
