/* SPDX-License-Identifier: MIT */
/* fuzz_disk.h - the fuzzer's bytes as the front of a disk of zeros, and a walk over its files */
#ifndef FUZZ_DISK_H
#define FUZZ_DISK_H

#include "fuzz_input.h"

#include <fcntl.h>
#include <unistd.h>

#include "tree_tar.h"

#define FUZZ_DISK_SIZE (8U << 20)
#define STEPS_MAX      64U /* of 4 MiB of contents */

struct fuzz_disk {
	const uint8_t *data;
	size_t len;
};

static inline int fuzz_disk_read(void *arg, void *data, size_t len, uint64_t off, struct err *e)
{
	const struct fuzz_disk *d = arg;
	size_t there = off < d->len ? MIN_OF(len, d->len - (size_t)off) : 0;

	(void)e;
	MUST(range_fits(off, len, FUZZ_DISK_SIZE));
	if (there)
		memcpy(data, d->data + off, there);
	memset((uint8_t *)data + there, 0, len - there);
	return 0;
}

static inline struct disk_view fuzz_disk_view(struct fuzz_disk *d)
{
	return (struct disk_view){ fuzz_disk_read, d, 0, FUZZ_DISK_SIZE };
}

static inline int fuzz_disk_step(void *arg, uint64_t bytes)
{
	unsigned int *n = arg;

	(void)bytes;
	return ++*n > STEPS_MAX;
}

/* Holes may make files of terabytes: what is read is bounded. */
static inline void fuzz_disk_walk(const struct disk_view *v, enum tree_kind kind)
{
	static int null = -1;
	struct layer_writer *w;
	struct tree_counts n = { 0 };
	struct layer_written written;
	struct err e = { 0 };
	unsigned int steps = 0;
	struct fs *f;
	int rc;

	if (null < 0)
		null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (fs_open(v, &f, &e) < 0) {
		MUST(e.code > 0 && e.msg[0]);
		return;
	}
	MUST(layer_writer_new(null, &w, &e) == 0);
	rc = tree_tar_write(&(struct tree_source){ f, f->root, kind, fuzz_disk_step, &steps }, w,
			    &n, &e);
	MUST(rc == 0 || (rc < 0 && e.code == -rc && e.msg[0]));
	if (rc == 0)
		MUST(layer_writer_finish(w, &written, &e) == 0);
	layer_writer_free(w);
	fs_close(f);
}

#endif
