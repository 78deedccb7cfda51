/* SPDX-License-Identifier: MIT */
/*
 * blk_back_vhd.c - a disk that is an open VHD chain
 *
 * The library does its own locking. Its text of the first failure is logged: the guest only hears
 * that there was one.
 * #syscalls:disk brk fallocate fdatasync pread64 pwrite64 sysinfo
 */
#include "blk_back.h"

#include <stdatomic.h>

#include "log.h"
#include "vhd.h"

struct blk_vhd {
	struct blk_back back; /* first */
	struct vhd *v;
	atomic_bool has_failed;
};

/* Zeros never take space in a VHD where that can be: `may_unmap` makes no difference. */
static int request_run(struct vhd *v, const struct blk_io *io, struct vhd_err *ve)
{
	switch (io->op) {
	case BLK_OP_READ:
		return vhd_readv(v, io->iov, io->n_iov, io->off, ve);
	case BLK_OP_WRITE:
		return vhd_writev(v, io->iov, io->n_iov, io->off, ve);
	case BLK_OP_FLUSH:
		return vhd_flush(v, ve);
	case BLK_OP_ZERO:
		return vhd_zero(v, io->len, io->off, ve);
	case BLK_OP_DISCARD:
		return vhd_discard(v, io->len, io->off, ve);
	}
	return -EINVAL;
}

static int back_vhd_run(struct blk_back *b, const struct blk_io *io)
{
	struct blk_vhd *d = (struct blk_vhd *)b;
	struct vhd_err ve = { 0 };
	int rc = request_run(d->v, io, &ve);

	if (rc < 0 && !atomic_exchange(&d->has_failed, true))
		log_warn("disk: %s", ve.msg);
	return MIN_OF(rc, 0);
}

static void back_vhd_free(struct blk_back *b)
{
	struct blk_vhd *d = (struct blk_vhd *)b;
	struct vhd_err ve;

	if (vhd_close(d->v, &ve) < 0)
		log_warn("disk: %s", ve.msg);
	free(d);
}

int blk_back_vhd(struct vhd *v, bool is_readonly, struct blk_back **ret, struct err *e)
{
	static const struct blk_back_ops ops = { .run = back_vhd_run, .free = back_vhd_free };
	struct blk_vhd *d;
	uint64_t size = vhd_size(v);

	if (size == 0 || size % BLK_SECTOR != 0)
		return err_plain(e, EINVAL, "a disk of %llu bytes", (unsigned long long)size);
	d = calloc(1, sizeof(*d));
	if (!d)
		return err_set(e, ENOMEM, "disk");
	d->back = (struct blk_back){ &ops, size, is_readonly, false };
	d->v = v;
	*ret = &d->back;
	return 0;
}
