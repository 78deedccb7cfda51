/* SPDX-License-Identifier: MIT */
/*
 * store_fixture.h - a store in a temporary directory, and small images brought into it without any
 * worker
 */
#ifndef STORE_FIXTURE_H
#define STORE_FIXTURE_H

#include "store_write.h"
#include "temp_dir.h"

struct store_dir {
	struct temp_dir dir;
	char root[80], run[80];
};
int store_dir_make(struct store_dir *d);
int store_dir_remove(struct store_dir *d);

void fixture_digest(const void *data, size_t len, char ret[80]);

/* An image of `n_layers` layers whose content is made of their texts. */
struct fixture_image {
	const char *layers[4];
	uint32_t n_layers;
	const char *config; /* text; its digest is the image's id */
	const char *tag_ref, *digest_ref;
};
/* As a pull does it: blobs into partial/, layers claimed and kept, metadata, commit. */
int fixture_ingest(struct store *s, const struct fixture_image *f, char ret_id[80], struct err *e);
/* A file beneath the root: its text, NULL when it is not there. The caller frees. */
char *fixture_read(struct store *s, const char *name);
int fixture_write(int dir_fd, const char *name, const void *data, size_t len, struct err *e);
/* What claims take for a whole layer tree: any text, and the end of one. 0 or -errno. */
int fixture_tree_write(int fd, const char *text, uint64_t data_len);
/* Files in a directory of the root. */
unsigned fixture_count(struct store *s, const char *dir);

#endif
