/* SPDX-License-Identifier: MIT */
/*
 * ltree.h - a layer as a sequence of records, and the file that holds them
 *
 * The unpack worker turns a layer's tar stream into two files: `data` (file contents, each extent
 * at a multiple of 4 KiB, contents of 2 MiB and more at a multiple of 2 MiB, zero-padded) and
 * `tree` (one record per tar entry, in the tar's order). The merge step reads the trees of all
 * layers of an image, lowest first, and writes the EROFS metadata. Sizes and addresses in a record
 * are relative to the layer's own data file, so that layers are stored once for all images.
 *
 * The reader treats the file as hostile: the worker that wrote it had read network bytes.
 * Format: doc/format/layer-tree.md.
 */
#ifndef LTREE_H
#define LTREE_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

#define LTREE_BLOCK    4096U
#define LTREE_ALIGN    (2U << 20) /* layer base, and files of this size or more inside it */
#define LTREE_NAME_MAX 255U
#define LTREE_PATH_MAX                                                                             \
	65536U /* 10,000 directories deep is refused elsewhere; this bounds bytes                  \
		*/
#define LTREE_DEPTH_MAX       2048U /* components of one path */
#define LTREE_LINK_MAX        4095U /* symlink target */
#define LTREE_XATTR_NAME_MAX  255U
#define LTREE_XATTR_VALUE_MAX 65535U
#define LTREE_XATTRS_MAX      1024U    /* per entry */
#define LTREE_EXTENTS_MAX     1048576U /* of a sparse file */
#define LTREE_RECORDS_MAX     8388608U /* per layer */

/* The end of a whole file: this, u64 number of records, u64 length of the data file, checksum. */
#define LTREE_TRAILER_SIZE    32U
#define LTREE_TRAILER_MAGIC   "CSNTEND1"
#define LTREE_TRAILER_DATALEN 16U

enum ltree_kind {
	LTREE_REG,
	LTREE_DIR,
	LTREE_SYMLINK,
	LTREE_CHR,
	LTREE_BLK,
	LTREE_FIFO,
	LTREE_HARDLINK, /* `link` names another path, perhaps of a lower layer; no own metadata */
	LTREE_WHITEOUT, /* `path` of lower layers goes */
	LTREE_OPAQUE,   /* all that lower layers have inside directory `path` goes */
	LTREE_KIND_COUNT_
};

struct ltree_extent {      /* of a regular file; what no extent covers is a hole */
	uint64_t file_off; /* multiple of LTREE_BLOCK */
	uint64_t data_off; /* in the layer's data file, multiple of LTREE_BLOCK */
	uint64_t len;      /* bytes; only the last may be no multiple of LTREE_BLOCK */
};

struct ltree_xattr {
	const char *name; /* full, "user.x"; NUL-terminated */
	const void *value;
	uint32_t value_len;
};

/*
 * Paths are bytes, NUL-terminated, relative, no empty, "." or ".." component and no trailing slash;
 * the root directory is "". Pointers are into the writer's or reader's own memory, valid until the
 * next call.
 */
struct ltree_record {
	enum ltree_kind kind;
	const char *path;
	const char *link;  /* LTREE_SYMLINK: target bytes as in the tar; LTREE_HARDLINK: a path as
			      above */
	uint32_t mode;     /* permission bits with set-id and sticky, 07777 */
	uint32_t uid, gid; /* never 0xffffffff */
	int64_t mtime_sec;
	uint32_t mtime_nsec;                /* < 1e9 */
	uint32_t major, minor;              /* LTREE_CHR, LTREE_BLK */
	uint64_t size;                      /* LTREE_REG */
	const struct ltree_extent *extents; /* ascending, not overlapping, inside `size` */
	uint32_t n_extents;
	const struct ltree_xattr *xattrs;
	uint32_t n_xattrs;
};

/* Writer: to a descriptor, buffered. Records are checked; -EINVAL names what is wrong. */
struct ltree_writer;
must_check int ltree_writer_new(int fd, struct ltree_writer **ret, struct err *e);
must_check int ltree_writer_add(struct ltree_writer *w, const struct ltree_record *r,
				struct err *e);
/* Writes the trailer: record count, data length (multiple of LTREE_BLOCK) and checksum. */
must_check int ltree_writer_finish(struct ltree_writer *w, uint64_t data_len, struct err *e);
void ltree_writer_free(struct ltree_writer *w); /* NULL is fine */

/* Reader: over the whole file in memory (the caller maps or reads it). Trailer is checked at once.
 */
struct ltree_reader;
must_check int ltree_reader_new(const void *file, size_t len, struct ltree_reader **ret,
				struct err *e);
uint64_t ltree_reader_data_len(const struct ltree_reader *r);
uint64_t ltree_reader_n_records(const struct ltree_reader *r);
/* 1 and a record, 0 at the end, -code for a bad file. Every rule stated above holds for the record.
 */
must_check int ltree_reader_next(struct ltree_reader *r, struct ltree_record *ret, struct err *e);
void ltree_reader_rewind(struct ltree_reader *r);
void ltree_reader_free(struct ltree_reader *r);

#endif
