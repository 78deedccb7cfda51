/* SPDX-License-Identifier: MIT */
/* tar_fixture.h - archives made in memory, right ones and wrong ones */
#ifndef TAR_FIXTURE_H
#define TAR_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "byte_source.h"

/* Fields left out have plain values: a regular file, 0644, owner 0, time 0. */
struct tar_spec {
	char type; /* 0: '0' */
	const char *name, *link;
	const void *data;
	size_t len; /* of data; the size field, unless told otherwise */
	const char *uid, *size, *mtime, *mode, *major, *minor; /* fields as they stand */
	bool is_sum_wrong, is_data_missing;
};

void tar_put(struct buf *b, const struct tar_spec *s);
/* A pax header, 'x' or 'g', of whole records: key, value, key, value, NULL. */
void tar_put_pax(struct buf *b, char type, const char *const *pairs);
/* As tar_put_pax with one record, whose value may hold any bytes. */
void tar_put_pax_bytes(struct buf *b, char type, const char *key, const void *value, size_t len);
void tar_put_end(struct buf *b);
/* Recompute the checksum of the header at `off`. */
void tar_sum(struct buf *b, size_t off);

/* The bytes in pieces of `piece`. */
struct mem_source {
	const uint8_t *p;
	size_t len, piece;
};
int mem_source_next(void *arg, const uint8_t **ret, size_t *ret_len, struct err *e);
struct byte_source mem_source_of(struct mem_source *m, const struct buf *b, size_t piece);

#endif
