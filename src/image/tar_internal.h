/* SPDX-License-Identifier: MIT */
/* tar_internal.h - what the reader's files share: what extended headers say about the next entry */
#ifndef TAR_INTERNAL_H
#define TAR_INTERNAL_H

#include "tar.h"

struct tar_map {
	struct tar_extent *v;
	size_t n, cap;
};

struct tar_xattr { /* offsets into the pool */
	size_t name, value;
	uint32_t value_len;
};

/* A string that may be absent. */
struct tar_text {
	bool is_set;
	struct buf b;
};

struct tar_number {
	bool is_set;
	int64_t v;
};

struct tar_meta {
	bool is_pending; /* an extended header was read, its entry not yet */
	struct tar_text path, link, long_path, long_link, acl_access, acl_default;
	struct tar_number size, uid, gid, mtime;
	uint32_t mtime_nsec;
	struct buf pool; /* of the extended attributes */
	struct tar_xattr *xattrs;
	size_t n_xattrs, xattrs_cap;
	struct ltree_xattr *xattr_view; /* of xattrs_cap */
	/* GNU.sparse.* */
	struct tar_text sparse_name;
	struct tar_number sparse_major, sparse_minor, sparse_size;
	bool has_map, is_len_due; /* pax 0.0: an offset came, its length not yet */
	struct tar_map map;
};

/* Offsets and lengths of the header's fields. */
enum {
	F_NAME = 0,
	F_MODE = 100,
	F_UID = 108,
	F_GID = 116,
	F_SIZE = 124,
	F_MTIME = 136,
	F_SUM = 148,
	F_TYPE = 156,
	F_LINK = 157,
	F_MAGIC = 257,
	F_MAJOR = 329,
	F_MINOR = 337,
	F_PREFIX = 345,
	F_GNU_REALSIZE = 483,
	F_STAR = 508,
};
/* The reader; what I1 and I2 are is at the head of tar.c. */
struct tar {
	struct byte_source src;
	const uint8_t *in;
	size_t in_len;
	bool in_ended, is_done;
	uint64_t pos;  /* in the stream, for messages */
	uint64_t left; /* I1 */
	uint32_t pad;
	uint64_t data_pos;
	bool is_sparse;
	size_t map_at;
	uint64_t map_used; /* I2 */
	struct tar_meta meta;
	struct buf global; /* records of all global headers */
	struct buf raw;    /* one extended header */
	struct buf path, link;
	uint8_t head[TAR_BLOCK];
};

/* tar.c: -EBADMSG, with the place in the stream. */
must_check int tar_bad(const struct tar *t, struct err *e, const char *what);

/* tar_header.c: of the header at hand */
bool tar_header_is_right(const uint8_t *h); /* its checksum */
must_check int tar_header_names(struct tar *t, struct tar_entry *r, struct err *e);
must_check int tar_header_numbers(struct tar *t, struct tar_entry *r, struct err *e);
must_check int tar_header_size(struct tar *t, uint64_t *ret, struct err *e);
must_check int tar_header_type(struct tar *t, const char *path, enum tar_type *ret, struct err *e);
/* Octal or base 256. */
bool tar_field_number(const uint8_t *f, size_t len, int64_t *ret);

/* tar_pax.c */
void tar_meta_clear(struct tar_meta *m);
void tar_meta_done(struct tar_meta *m);
/* All records of a pax header, global ones with fewer keys. */
must_check int tar_pax_parse(struct tar_meta *m, const char *data, size_t len, bool is_global,
			     struct err *e);
/* Fills xattr_view. */
void tar_meta_xattrs(struct tar_meta *m);
/* Decimal, perhaps negative, all of `s`. */
bool tar_decimal(const char *s, size_t len, int64_t *ret);

/* tar_sparse.c */
must_check int tar_map_add(struct tar_map *m, int64_t off, int64_t len, struct err *e);
/* Pieces of pax 0.1: "off,len,off,len". */
must_check int tar_map_parse(struct tar_map *m, const char *s, size_t len, struct err *e);
/* Ascending, inside `size`, `stored` bytes in all; empty pieces go. */
must_check int tar_map_check(struct tar_map *m, uint64_t size, uint64_t stored, struct err *e);

/* Takes one block of the entry's data or of the header. */
typedef int tar_block_fn(void *arg, uint8_t ret[TAR_BLOCK], struct err *e);
/* Continuation blocks of an old GNU header. */
must_check int tar_map_read_gnu(struct tar_map *m, const uint8_t head[TAR_BLOCK],
				tar_block_fn *block, void *arg, struct err *e);
/* The map at the start of the data, pax 1.0. */
must_check int tar_map_read_pax1(struct tar_map *m, tar_block_fn *block, void *arg, struct err *e);

#endif
