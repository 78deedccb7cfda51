/* SPDX-License-Identifier: MIT */
/*
 * vhd.h - libcaisson-vhd: Microsoft's virtual hard disks, whole chains of them
 *
 * Fixed, dynamic and differencing images as of "Virtual Hard Disk Image Format Specification" 1.0
 * (2006-10-11), called [VHD] here, with what real software made of it (doc/format/vhd.md).
 *
 * A `struct vhd` is an open image with all its parents. Reading, writing, flushing and asking for
 * extents may be done by any number of threads at once; everything else by one, alone.
 * Offsets and lengths are bytes; any are allowed, sectors (512 bytes) are fastest.
 *
 * Errors: 0 or a negative errno value; the text, with file, offset and field, is in the caller's
 * `struct vhd_err`, which must not be NULL. Results (`ret_x`) are written on success only.
 *
 * What is durable: data that was written before a vhd_flush() which returned 0. A crash at any
 * moment leaves an image that opens and holds it.
 *
 * Everything read from an image is taken to be hostile: no size in it makes the library allocate
 * more than the named limits, loop without end, or touch a file that the caller has not allowed.
 */
#ifndef CAISSON_VHD_H
#define CAISSON_VHD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VHD_MUST_CHECK    __attribute__((warn_unused_result))

#define VHD_SECTOR        512U
#define VHD_SIZE_MAX      (2040ULL << 30) /* largest disk: 32-bit sector numbers in the table */
#define VHD_BLOCK_DEFAULT (2U << 20)
#define VHD_BLOCK_MIN     (512U << 10)
#define VHD_BLOCK_MAX     (256U << 20)
#define VHD_DEPTH_MAX     128U /* images in a chain */
#define VHD_PARENTS_MAX   8U   /* locators of an image */
#define VHD_PATH_MAX      4096U
#define VHD_ERR_MAX       512

struct vhd_err {
	int code; /* positive errno value */
	char msg[VHD_ERR_MAX];
};

enum vhd_type {
	VHD_TYPE_RAW = 0, /* not in the format: bytes of a file as a disk */
	VHD_TYPE_FIXED = 2,
	VHD_TYPE_DYNAMIC = 3,
	VHD_TYPE_DIFFERENCING = 4,
};
const char *vhd_type_name(enum vhd_type type); /* "fixed"; never NULL */

/* ---- where bytes are kept ------------------------------------------------------------------ */

/*
 * A store of bytes with a length. Implementations begin with a `struct vhd_io`. All but close()
 * may be called by several threads at once; each returns 0 or -errno.
 */
struct vhd_io;
struct vhd_io_ops {
	/* Exactly the bytes of iov (at most VHD_IOV_MAX), at `off`. preadv() past the end is
	 * -ENODATA; pwritev() past the end grows the store, a gap reads as zeros. Both may change
	 * `iov`. */
	VHD_MUST_CHECK int (*preadv)(struct vhd_io *io, struct iovec *iov, int n, uint64_t off);
	VHD_MUST_CHECK int (*pwritev)(struct vhd_io *io, struct iovec *iov, int n, uint64_t off);
	/* All completed writes are durable when it returns. */
	VHD_MUST_CHECK int (*flush)(struct vhd_io *io);
	VHD_MUST_CHECK int (*get_size)(struct vhd_io *io, uint64_t *ret_size);
	VHD_MUST_CHECK int (*set_size)(struct vhd_io *io, uint64_t size);
	/* [off, off + len) reads as zeros and takes no space; within the length, which stays.
	 * -EOPNOTSUPP where that cannot be done: the library writes zeros then. */
	VHD_MUST_CHECK int (*punch)(struct vhd_io *io, uint64_t off, uint64_t len);
	/* How much from `off` on is all data, or all hole (reads as zeros): for copying and for
	 * statistics. May be NULL: all is data. */
	VHD_MUST_CHECK int (*extent)(struct vhd_io *io, uint64_t off, uint64_t *ret_len,
				     bool *ret_is_data);
	void (*close)(struct vhd_io *io); /* frees it; accepts what half-failed */
};
#define VHD_IOV_MAX 16

struct vhd_io {
	const struct vhd_io_ops *ops;
	const char *name; /* for messages; lives as long as the io */
	bool is_read_only;
};

/* A file. Takes the descriptor, also on failure; `name` is copied. Regular files and block
 * devices; anything else is -EINVAL. */
VHD_MUST_CHECK int vhd_io_file(int fd, const char *name, struct vhd_io **ret_io, struct vhd_err *e);
/* Memory, empty at first, sparse: what was never written or was punched takes none, so that the
 * length may be far above `max`, the most bytes that it takes (in whole pages of 64 KiB; -ENOSPC
 * past them, and nothing of that write is done). For tests and small images. */
VHD_MUST_CHECK int vhd_io_memory(const char *name, uint64_t max, struct vhd_io **ret_io,
				 struct vhd_err *e);
/* Another of the same name, bound and bytes; -EINVAL when `from` is no memory store. */
VHD_MUST_CHECK int vhd_io_memory_copy(struct vhd_io *from, struct vhd_io **ret_io,
				      struct vhd_err *e);
void vhd_io_close(struct vhd_io *io); /* accepts NULL */

/* ---- opening ------------------------------------------------------------------------------- */

struct vhd;

enum {
	VHD_OPEN_WRITE = 1U << 0,      /* else read-only; parents always are */
	VHD_OPEN_NO_PARENT = 1U << 1,  /* this file alone: what it does not hold reads as zeros */
	VHD_OPEN_ANY_PARENT = 1U << 2, /* a parent whose unique id differs is accepted */
	VHD_OPEN_NO_LOCK = 1U << 3,
	VHD_OPEN_RAW = 1U << 4,     /* the file is no VHD: its bytes are the disk */
	VHD_OPEN_DAMAGED = 1U << 5, /* for check and repair: open read-only what normally is
				     * refused, as far as header and table can be made sense of */
};

/*
 * Where parents are looked for, in this order: `parent`; the relative path of the image (W2ru);
 * a file of the parent's name beside the image; the URL (MacX); the absolute Windows path (W2ku)
 * with `windows_root` in the place of its drive. But `parent`, none is opened that does not lie
 * beneath one of `roots` (NULL: the directory of the image that was asked for), symbolic links
 * included, and each must have the unique id that its child names.
 */
struct vhd_open_options {
	uint32_t flags;
	const char *parent; /* of the topmost image; NULL: as its locators say */
	const char *const *roots;
	size_t n_roots;
	const char *windows_root;
	unsigned int depth_max; /* 0: VHD_DEPTH_MAX */
	size_t cache_max; /* bytes of bitmaps kept per image, and of a chain's map; 0: 4 MiB */
};

/* Opens, locks (one writer, or readers; -EBUSY) and checks an image and its parents. `o` may be
 * NULL: read-only, defaults. */
VHD_MUST_CHECK int vhd_open(const char *path, const struct vhd_open_options *o, struct vhd **ret,
			    struct vhd_err *e);
/* The same of an io, with its parent already open (NULL: none; needed for a differencing image
 * unless VHD_OPEN_NO_PARENT). Takes both on success only. */
VHD_MUST_CHECK int vhd_open_io(struct vhd_io *io, struct vhd *parent,
			       const struct vhd_open_options *o, struct vhd **ret,
			       struct vhd_err *e);
/* Flushes, gives back what was allocated ahead, closes all of the chain. The handle is gone, also
 * on failure; NULL is fine. */
int vhd_close(struct vhd *v, struct vhd_err *e);

/* ---- the disk ------------------------------------------------------------------------------ */

uint64_t vhd_size(const struct vhd *v);

VHD_MUST_CHECK int vhd_read(struct vhd *v, void *buf, size_t len, uint64_t off, struct vhd_err *e);
VHD_MUST_CHECK int vhd_write(struct vhd *v, const void *buf, size_t len, uint64_t off,
			     struct vhd_err *e);
VHD_MUST_CHECK int vhd_readv(struct vhd *v, const struct iovec *iov, int n, uint64_t off,
			     struct vhd_err *e);
VHD_MUST_CHECK int vhd_writev(struct vhd *v, const struct iovec *iov, int n, uint64_t off,
			      struct vhd_err *e);
/* Zeros from here on, without space where that can be. */
VHD_MUST_CHECK int vhd_zero(struct vhd *v, uint64_t len, uint64_t off, struct vhd_err *e);
/* What is there is not needed any more; reads as before or as zeros. */
VHD_MUST_CHECK int vhd_discard(struct vhd *v, uint64_t len, uint64_t off, struct vhd_err *e);
/* All completed writes are durable. After a failure all later writes and flushes fail too. */
VHD_MUST_CHECK int vhd_flush(struct vhd *v, struct vhd_err *e);

enum vhd_extent_kind {
	VHD_EXTENT_ABSENT, /* in no image: reads as zeros */
	VHD_EXTENT_DATA,   /* in the image `depth` levels below (0: the topmost), at `file_off` */
};
struct vhd_extent {
	uint64_t off, len;
	enum vhd_extent_kind kind;
	unsigned int depth;
	uint64_t file_off;
};
/* What is at `off`, and as far as it is the same kind and depth in one piece; off < vhd_size(). */
VHD_MUST_CHECK int vhd_extent_at(struct vhd *v, uint64_t off, uint64_t len,
				 struct vhd_extent *ret_extent, struct vhd_err *e);

/* ---- what an image says of itself ---------------------------------------------------------- */

struct vhd_uuid {
	uint8_t bytes[16];
};
#define VHD_UUID_TEXT 37
void vhd_uuid_text(const struct vhd_uuid *u, char text[VHD_UUID_TEXT]);

struct vhd_locator_info {
	char code[5];           /* "W2ru" */
	uint32_t space, length; /* bytes */
	uint64_t offset;
	char path[VHD_PATH_MAX]; /* UTF-8, '/' between parts; "" when it cannot be read */
};

enum {                                  /* vhd_info.problems */
       VHD_PROBLEM_TAIL_LOST = 1U << 0, /* footer at the end missing or damaged; the copy serves */
       VHD_PROBLEM_HEAD_LOST = 1U << 1, /* copy at the front missing or damaged */
       VHD_PROBLEM_FOOTERS_DIFFER = 1U << 2, /* both good, not equal: not opened for writing */
       VHD_PROBLEM_BAT_ENTRY = 1U << 3,      /* entries point outside; reading those blocks fails */
       VHD_PROBLEM_OVERLAP = 1U << 4,        /* blocks overlap: not opened for writing */
       VHD_PROBLEM_BATMAP = 1U << 5,         /* does not match its checksum: not used */
       VHD_PROBLEM_LONGER = 1U << 6,         /* fixed: file longer than the disk and its footer */
};

struct vhd_info {
	enum vhd_type type;
	uint64_t size, original_size, file_size;
	uint32_t cylinders, heads, sectors_per_track;
	uint32_t block_size; /* 0 for fixed */
	uint32_t blocks, blocks_present;
	struct vhd_uuid id, parent_id;
	int64_t created;     /* Unix time */
	int64_t parent_time; /* 0: not said */
	char creator[5], creator_os[5];
	uint32_t creator_version;
	bool is_temporary, is_saved_state, is_hidden, has_batmap;
	unsigned int depth; /* 0: the topmost */
	uint32_t problems;
	const char *name;               /* of the file; until vhd_close() */
	char parent_name[VHD_PATH_MAX]; /* as the image says; UTF-8 */
	struct vhd_locator_info locators[VHD_PARENTS_MAX];
	size_t n_locators;
};
/* Of the image `depth` levels below the topmost; -ENOENT past the last. */
VHD_MUST_CHECK int vhd_info_get(struct vhd *v, unsigned int depth, struct vhd_info *ret_info,
				struct vhd_err *e);
unsigned int vhd_depth(const struct vhd *v); /* images in the chain, at least 1 */

/* ---- making images ------------------------------------------------------------------------- */

enum vhd_profile { /* who shall read it; doc/format/vhd.md says what each wants */
		   VHD_FOR_ANY,
		   VHD_FOR_XENSERVER,
		   VHD_FOR_AZURE, /* fixed only, whole MiB */
		   VHD_FOR_HYPERV,
		   VHD_PROFILE_COUNT_,
};

struct vhd_create_options {
	enum vhd_type type;  /* VHD_TYPE_RAW is not allowed */
	uint64_t size;       /* bytes, whole sectors; 0 for a differencing one: its parent's */
	uint32_t block_size; /* 0: the parent's, or VHD_BLOCK_DEFAULT; -EFBIG: too small for the
				size */
	enum vhd_profile profile;
	struct vhd_uuid id;      /* all zero: a random one */
	int64_t created;         /* Unix time; 0: now */
	const char *parent;      /* differencing: path of the parent */
	const char *parent_name; /* what is written as its path; NULL: relative to the image */
	int64_t parent_time; /* last change of the parent; 0: not said; vhd_create() asks the file
			      */
	bool is_replacing;   /* an existing file is replaced; else -EEXIST. Never one of the images
			      * that the new one stands on, nor if they cannot all be found */
	const struct vhd_open_options *parent_options; /* where that looks; NULL: defaults */
};

/* Made under another name beside it, synced, renamed. */
VHD_MUST_CHECK int vhd_create(const char *path, const struct vhd_create_options *o,
			      struct vhd_err *e);
/* The same into an empty io. `parent`: what a differencing image will stand on (not taken). */
VHD_MUST_CHECK int vhd_create_io(struct vhd_io *io, struct vhd *parent,
				 const struct vhd_create_options *o, struct vhd_err *e);

/* Into an empty io the bytes of an image file, holes kept, under a new random id; not its parents.
 * Not synced. */
VHD_MUST_CHECK int vhd_clone(struct vhd_io *from, struct vhd_io *to, struct vhd_err *e);

/* ---- operations on whole images -------------------------------------------------------------
 *
 * They open what they work on themselves, exclusively, and are safe against a crash at any moment:
 * the image is as before or as after, or running the operation again ends it. `p` may be NULL; a
 * step() that returns non-zero ends the operation with -ECANCELED between two such states.
 */
struct vhd_progress {
	int (*step)(void *ctx, uint64_t done, uint64_t total);
	void *ctx;
};

enum { VHD_DRY_RUN = 1U << 0 }; /* say what would be done (in the result), change nothing */

/* Move what `path` and the images down to `levels` - 1 below it hold into the one `levels` below,
 * which keeps its name and gets everything. The images in between are left as they are, and are
 * not needed any more. */
VHD_MUST_CHECK int vhd_coalesce(const char *path, unsigned int levels,
				const struct vhd_open_options *o, uint64_t *ret_bytes,
				const struct vhd_progress *p, struct vhd_err *e);
/* All that `from` reads, into a new image or raw file without parent, sparse. */
struct vhd_copy_options {
	enum vhd_type type; /* RAW, FIXED or DYNAMIC */
	struct vhd_create_options create;
};
VHD_MUST_CHECK int vhd_copy(struct vhd *from, const char *to, const struct vhd_copy_options *o,
			    const struct vhd_progress *p, struct vhd_err *e);
/* Grow (-EFBIG: the blocks are too small for that size); or shrink, if what is cut off is absent in
 * the image itself (-EBUSY if not). */
VHD_MUST_CHECK int vhd_resize(const char *path, uint64_t size, const struct vhd_open_options *o,
			      struct vhd_err *e);
/* Name another parent; its disk must read the same, or `flags` has VHD_OPEN_ANY_PARENT. */
VHD_MUST_CHECK int vhd_reparent(const char *path, const char *parent, const char *parent_name,
				const struct vhd_open_options *o, struct vhd_err *e);
/* Give back blocks whose data is all zeros where nothing below shows through, close gaps, cut the
 * file. */
struct vhd_compact_result {
	uint64_t before, after; /* bytes of the file */
	uint32_t blocks_freed, blocks_moved;
};
VHD_MUST_CHECK int vhd_compact(const char *path, const struct vhd_open_options *o, uint32_t flags,
			       struct vhd_compact_result *ret, const struct vhd_progress *p,
			       struct vhd_err *e);

enum vhd_severity { VHD_NOTE, VHD_WARNING, VHD_ERROR };
struct vhd_finding {
	enum vhd_severity severity;
	bool is_repairable;
	uint64_t offset; /* in the file */
	const char *field;
	char text[192];
};
/* Every structure of one file, and with a chain all parents'. `found` is called for each finding;
 * returns the number of VHD_ERRORs, or a negative errno value if it could not be looked at. */
VHD_MUST_CHECK int vhd_check(const char *path, const struct vhd_open_options *o,
			     void (*found)(void *ctx, const char *file,
					   const struct vhd_finding *f),
			     void *ctx, const struct vhd_progress *p, struct vhd_err *e);
/* Mends what is provably safe: a lost footer from the other one, the batmap, entries of a write
 * that never ended. Returns the number of things (to be) mended. */
VHD_MUST_CHECK int vhd_repair(const char *path, uint32_t flags,
			      void (*mended)(void *ctx, const char *file,
					     const struct vhd_finding *f),
			      void *ctx, struct vhd_err *e);
/* Ranges whose bytes differ between two disks; one past the other's end is compared with zeros.
 * Reads only what is not the same place of the same file. */
VHD_MUST_CHECK int vhd_diff(struct vhd *a, struct vhd *b,
			    int (*range)(void *ctx, uint64_t off, uint64_t len), void *ctx,
			    const struct vhd_progress *p, struct vhd_err *e);
/* SHA-256 of all that the disk reads. */
VHD_MUST_CHECK int vhd_digest(struct vhd *v, uint8_t ret_sha256[32], const struct vhd_progress *p,
			      struct vhd_err *e);

#ifdef __cplusplus
}
#endif
#endif
