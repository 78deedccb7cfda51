/* SPDX-License-Identifier: MIT */
/*
 * blk_back.h - what a virtual disk keeps its bytes in
 *
 * Reads, writes and the like may come from several threads at once; making and freeing from one.
 * Call the blk_*() functions, which check the range: a back end is never asked for bytes outside of
 * [0, size), nor to change anything when it is read-only.
 */
#ifndef BLK_BACK_H
#define BLK_BACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "blk_iov.h"
#include "err.h"

#define BLK_SECTOR    512U
#define BLK_PARTS_MAX 514U /* as many as an image has (vmm_config.h) */

struct blk_back;
struct vhd;

/* Each but raw_extent() and free() returns 0 when all of it is done, else -errno. */
struct blk_back_ops {
	must_check int (*preadv)(struct blk_back *b, const struct iovec *iov, int n, uint64_t off);
	/* The four below may be NULL in one that is always read-only. */
	must_check int (*pwritev)(struct blk_back *b, const struct iovec *iov, int n, uint64_t off);
	/* What was written before is durable. */
	must_check int (*flush)(struct blk_back *b);
	/* Reads as zeros from now on; may_unmap: its space may be given back. */
	must_check int (*zero)(struct blk_back *b, uint64_t off, uint64_t len, bool may_unmap);
	/* Is not needed any more; reads as before or as zeros. */
	must_check int (*discard)(struct blk_back *b, uint64_t off, uint64_t len);
	/* Where the bytes from `off` < size on lie in a file that may be read (and, if the back
	 * end is not read-only, written) directly; *ret_len of them. The file may turn out to be
	 * shorter: preadv() knows what to do then. -ENOENT: nowhere. NULL: never anywhere. */
	must_check int (*raw_extent)(const struct blk_back *b, uint64_t off, int *ret_fd,
				     uint64_t *ret_file_off, uint64_t *ret_len);
	void (*free)(struct blk_back *b);
};

struct blk_back {
	const struct blk_back_ops *ops;
	uint64_t size; /* bytes; whole sectors */
	bool is_readonly;
	bool is_instant; /* nothing of it ever waits: no thread is needed */
};

/* -EINVAL outside of the disk; -EROFS for a change of a read-only one. */
must_check int blk_read(struct blk_back *b, const struct iovec *iov, int n, uint64_t off);
must_check int blk_write(struct blk_back *b, const struct iovec *iov, int n, uint64_t off);
must_check int blk_flush(struct blk_back *b); /* of a read-only one: nothing to do */
must_check int blk_zero(struct blk_back *b, uint64_t off, uint64_t len, bool may_unmap);
must_check int blk_discard(struct blk_back *b, uint64_t off, uint64_t len);
/* True when all of [off, off + len) lies in one piece of a file; see raw_extent(). */
bool blk_in_file(const struct blk_back *b, uint64_t off, uint64_t len, int *ret_fd,
		 uint64_t *ret_file_off);
void blk_back_free(struct blk_back *b); /* NULL is fine */

/*
 * The first `size` bytes of a file or block device, opened without O_DIRECT (a guest aligns
 * nothing). Takes `fd` on success only. -EINVAL: `size` is 0 or not whole sectors. Reading past the
 * file's end is -EIO: it was cut short by somebody.
 */
must_check int blk_back_raw(int fd, uint64_t size, bool is_readonly, struct blk_back **ret,
			    struct err *e);

/*
 * Parts of files one after another, read-only. They ascend by disk_off and do not overlap; zeros
 * between them and past the end of a file that is shorter than its part. Several may have the same
 * fd. Takes the fds on success only. -EINVAL: parts or size make no sense.
 */
struct blk_part {
	int fd;
	uint64_t disk_off, file_off, len;
};
must_check int blk_back_concat(const struct blk_part *parts, size_t n, uint64_t size,
			       struct blk_back **ret, struct err *e);

/* One sector of zeros: a drive without a disk. Writes to one that is not read-only are -EIO. */
must_check int blk_back_empty(bool is_readonly, struct blk_back **ret, struct err *e);

/* An open VHD chain. Takes `v` on success only. is_readonly: it was opened without
 * VHD_OPEN_WRITE, or shall not be written to. */
must_check int blk_back_vhd(struct vhd *v, bool is_readonly, struct blk_back **ret, struct err *e);

#endif
