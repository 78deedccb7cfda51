/* SPDX-License-Identifier: MIT */
/*
 * disk_words.h - the command line of a worker that opens a disk: what workers/disk_arguments.h
 * reads
 */
#ifndef DISK_WORDS_H
#define DISK_WORDS_H

#include "err.h"
#include "vhd.h"

#define DISK_WORDS_MAX 96U

struct disk_words { /* zeros at first; v is ended by NULL */
	const char *v[DISK_WORDS_MAX];
	size_t n;
	char *owned[DISK_WORDS_MAX];
	size_t n_owned;
};

/* "key=value"; nothing for a value of NULL. */
must_check int disk_words_pair(struct disk_words *w, const char *key, const char *value,
			       struct err *e);
/* Where the parents are. -EINVAL: too many roots. */
must_check int disk_words_parents(struct disk_words *w, const struct vhd_open_options *o,
				  struct err *e);
void disk_words_done(struct disk_words *w);

#endif
