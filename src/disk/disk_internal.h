/* SPDX-License-Identifier: MIT */
/* disk_internal.h - what the files of src/disk share */
#ifndef DISK_INTERNAL_H
#define DISK_INTERNAL_H

#include "disk.h"
#include "vhd.h"

/* A file without a name beneath dir_fd, which goes with its last descriptor; and its name. */
must_check int disk_nameless_open(int dir_fd, int *ret_fd, struct err *e);
must_check int disk_name_give(int fd, int dir_fd, const char *name, struct err *e);

int disk_vhd_failed(const struct vhd_err *ve, struct err *e); /* the same error; returns -code */

/* Of a descriptor that the caller keeps; `name` is for messages. */
must_check int disk_io_of(int fd, const char *name, struct vhd_io **ret, struct err *e);
must_check int disk_image_open(int fd, const char *name, uint32_t flags, struct vhd **ret,
			       struct err *e);

/* Is it an image that a server can open for writing? Its parents are not looked at. */
must_check int disk_layer_check(int fd, struct err *e);

static inline void disk_io_drop(struct vhd_io **io)
{
	vhd_io_close(*io);
}
#define auto_io __attribute__((cleanup(disk_io_drop))) struct vhd_io *

#endif
