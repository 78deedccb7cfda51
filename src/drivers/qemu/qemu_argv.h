/* SPDX-License-Identifier: MIT */
/*
 * qemu_argv.h - from a machine spec to QEMU's command line: pure
 *
 * Descriptors are numbered as the child will see them (child.h: descriptor i of `fds`). What has to
 * be made (a descriptor file for a concatenated disk, an idle socket) is asked of the caller
 * through `extra`.
 */
#ifndef QEMU_ARGV_H
#define QEMU_ARGV_H

#include "buf.h"
#include "driver.h"

#define QEMU_ARGS_MAX    (2 * QEMU_FDS_MAX + 160) /* two for each file of an image */
#define QEMU_FDS_MAX     640                      /* parts of an image's disk are most of them */
#define QEMU_TB_SIZE_MIB 64 /* translation cache: measured, see doc/design/004-start.md */

struct qemu_argv {
	const char *v[QEMU_ARGS_MAX]; /* NULL-terminated; strings are owned by this struct */
	unsigned n;
	int fds[QEMU_FDS_MAX];
	unsigned n_fds;
	struct buf concat; /* text of the concatenated disk's descriptor */
};

/* Descriptors beside those of the spec: all borrowed. */
struct qemu_extra {
	int qmp_fd;
	int idle_net_fd; /* when the spec has a network that goes nowhere */
	int zero_fd;     /* a file of 2 MiB of zeros: gaps of a concatenated disk */
	int concat_fd;   /* will hold `concat` */
};

must_check int qemu_argv_build(const struct vm_spec *s, const struct vm_driver_info *i,
			       const struct qemu_extra *x, struct qemu_argv *ret, struct err *e);
void qemu_argv_done(struct qemu_argv *a);

#endif
