/* SPDX-License-Identifier: MIT */
/*
 * store_parts.h - images/HEX.json: which bytes of which files make up an image's disk
 *
 * Written at the end of a pull from what the merge step said, read at each start of a machine. The
 * merge step worked on hostile layers, so both ways check every number.
 * Format: doc/format/store.md.
 */
#ifndef STORE_PARTS_H
#define STORE_PARTS_H

#include "buf.h"
#include "merge.h"

#define STORE_PARTS_JSON_MAX (1U << 20)
#define STORE_PARTS_DISK_MAX (1ULL << 44) /* 16 TiB: what 32-bit block numbers reach */

struct store_parts {
	char (*diff_ids)[80]; /* "sha256:...", lowest first; owned */
	uint32_t n_layers;
	struct merge_part *parts; /* owned */
	uint32_t n_parts;
	uint64_t disk_len, meta_len;
	char key[65]; /* hex: changes when the bytes of the disk would */
};
void store_parts_done(struct store_parts *p);

/* -EBADMSG names the rule that is broken. */
must_check int store_parts_check(const struct store_parts *p, struct err *e);
must_check int store_parts_parse(const char *json, size_t len, struct store_parts *ret,
				 struct err *e);
/* Checks, then appends JSON text. */
must_check int store_parts_format(const struct store_parts *p, struct buf *ret, struct err *e);

/* Fill in `key`: of the parts, the layers' ids and the metadata's bytes. */
must_check int store_parts_set_key(struct store_parts *p, const void *meta, size_t meta_len,
				   struct err *e);

#endif
