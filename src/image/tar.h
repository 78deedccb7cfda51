/* SPDX-License-Identifier: MIT */
/*
 * tar.h - a tar stream, entry by entry
 *
 * ustar, GNU, star and pax headers; sparse files of old GNU and pax 0.0, 0.1, 1.0. Nothing is
 * interpreted beyond the format: paths come as they stand in the archive. Why an own reader:
 * doc/design/002-own-tar-reader.md.
 */
#ifndef TAR_H
#define TAR_H

#include <stdbool.h>

#include "byte_source.h"
#include "ltree.h"

#define TAR_BLOCK   512U
#define TAR_PAX_MAX (1U << 20) /* bytes of one pax header */
#define TAR_PAX_GLOBAL_MAX                                                                         \
	(16U << 10)                     /* of all global ones together: read again for each entry  \
					 */
#define TAR_LONG_MAX  (128U << 10)      /* GNU long name or link */
#define TAR_MAP_MAX   LTREE_EXTENTS_MAX /* pieces of a sparse file */
#define TAR_FILE_MAX  (1ULL << 44)      /* 16 TiB, holes included */
#define TAR_MAJOR_MAX 0xfffU            /* what Linux can hold */
#define TAR_MINOR_MAX 0xfffffU

enum tar_type { TAR_REG, TAR_HARDLINK, TAR_SYMLINK, TAR_CHR, TAR_BLK, TAR_DIR, TAR_FIFO };

struct tar_extent {
	uint64_t off, len; /* ascending, without overlap, inside the file */
};

/* Pointers are the reader's, valid until the next tar_next(). */
struct tar_entry {
	enum tar_type type;
	const char *path, *link;
	uint32_t mode, uid, gid, major, minor;
	int64_t mtime_sec;
	uint32_t mtime_nsec;
	uint64_t size; /* of the file, holes included */
	bool is_sparse;
	const struct tar_extent *map; /* of a sparse file: what is no hole */
	size_t n_map;
	const struct ltree_xattr *xattrs; /* names are unique */
	size_t n_xattrs;
	const char *acl_access, *acl_default; /* SCHILY.acl.*, text; NULL: none */
};

struct tar;

must_check int tar_new(const struct byte_source *src, struct tar **ret, struct err *e);
/* 1 and an entry; 0 at the end of the stream, all of which has then been read; -code. */
must_check int tar_next(struct tar *t, struct tar_entry *ret, struct err *e);
/* The next piece of the entry's contents and where in the file it belongs; *ret_len 0 at the end.
 */
must_check int tar_data(struct tar *t, const uint8_t **ret, size_t *ret_len, uint64_t *ret_off,
			struct err *e);
void tar_free(struct tar *t); /* NULL is fine */

#endif
