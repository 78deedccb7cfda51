/* SPDX-License-Identifier: MIT */
/*
 * blk_back.h - what a virtual disk keeps its bytes in
 *
 * Requests may come from several threads at once; making and freeing from one. Call blk_run(),
 * which checks them: a back end is never asked for bytes outside of [0, size), nor to change
 * anything when it is read-only.
 */
#ifndef BLK_BACK_H
#define BLK_BACK_H

#include <stdbool.h>

#include "err.h"
#include "iov.h"
#include "vmm_config.h"

#define BLK_SECTOR 512U

enum blk_op {
	BLK_OP_READ,
	BLK_OP_WRITE,
	BLK_OP_FLUSH,   /* what was written before is durable */
	BLK_OP_ZERO,    /* reads as zeros from now on */
	BLK_OP_DISCARD, /* is not needed any more; reads as before or as zeros */
};

struct blk_io {
	enum blk_op op;
	bool may_unmap;          /* ZERO: its space may be given back */
	const struct iovec *iov; /* READ, WRITE: `len` bytes in at most IOV_BUFFERS_MAX buffers */
	int n_iov;
	uint64_t off, len; /* bytes; not of FLUSH */
};

struct blk_back;
struct vhd;

struct blk_back_ops {
	/* 0 when all of it is done, else -errno. Has bytes, but a FLUSH. */
	must_check int (*run)(struct blk_back *b, const struct blk_io *io);
	/* Where the bytes from `off` < size on lie in a file that may be read (and, if the back
	 * end is not read-only, written) directly; *ret_len of them. The file may turn out to be
	 * shorter: run() knows what to do then. -ENOENT: nowhere. NULL: never anywhere. */
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

/* 0 or -errno. -EINVAL outside of the disk; -EROFS for a change of a read-only one, of which a
 * FLUSH is nothing. */
must_check int blk_run(struct blk_back *b, const struct blk_io *io);
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
must_check int blk_back_concat(const struct vmm_part *parts, size_t n, uint64_t size,
			       struct blk_back **ret, struct err *e);
/* Their descriptors, each once. */
void blk_parts_close(const struct vmm_part *parts, size_t n);

/* One sector of zeros: a drive without a disk. Changes of one that is not read-only are -EIO. */
must_check int blk_back_empty(bool is_readonly, struct blk_back **ret, struct err *e);

/* An open VHD chain. Takes `v` on success only. is_readonly: it was opened without
 * VHD_OPEN_WRITE, or shall not be written to. */
must_check int blk_back_vhd(struct vhd *v, bool is_readonly, struct blk_back **ret, struct err *e);

#endif
