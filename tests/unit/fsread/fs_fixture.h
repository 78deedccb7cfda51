/* SPDX-License-Identifier: MIT */
/* fs_fixture.h - disks in memory and in files, and what a layer's tar stream says */
#ifndef FS_FIXTURE_H
#define FS_FIXTURE_H

#include "buf.h"
#include "disk_view.h"
#include "layer_write.h"

/* A view of bytes that live as long. */
struct memory_disk {
	const uint8_t *data;
	size_t len;
};
struct disk_view memory_view(struct memory_disk *m);
/* Of a file; the descriptor lives as long as what `fd` points to. */
struct disk_view file_view(const int *fd);

/* A command of the shell succeeds, or the test fails. */
void must_run(const char *fmt, ...) printf_like(1, 2);

/* The entries of the gzipped tar in `fd`, a line each: "TYPE MODE UID:GID SIZE PATH [-> LINK]
 * [xattr=value]", and the FNV sum of the contents of files. -code when it is no tar. */
int layer_list(int fd, struct buf *ret, struct err *e);

/* The file system of a view, as a layer: the same lines, unless `list` is NULL. */
int fs_walk(const struct disk_view *v, struct buf *list, struct err *e);
/* "t" in the test's own directory: links, a hole, a device, many names, times, attributes. */
void fs_tree_make(void);
uint64_t fs_random(uint64_t *seed); /* the same for the same seed */

#endif
