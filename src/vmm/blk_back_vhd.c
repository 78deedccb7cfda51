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

static int vhd_result(struct blk_back *b, int rc, const struct vhd_err *ve)
{
	struct blk_vhd *d = (struct blk_vhd *)b;

	if (rc < 0 && !atomic_exchange(&d->has_failed, true))
		log_warn("disk: %s", ve->msg);
	return rc < 0 ? rc : 0;
}

static int back_vhd_preadv(struct blk_back *b, const struct iovec *iov, int n, uint64_t off)
{
	struct vhd_err ve;

	return vhd_result(b, vhd_readv(((struct blk_vhd *)b)->v, iov, n, off, &ve), &ve);
}

static int back_vhd_pwritev(struct blk_back *b, const struct iovec *iov, int n, uint64_t off)
{
	struct vhd_err ve;

	return vhd_result(b, vhd_writev(((struct blk_vhd *)b)->v, iov, n, off, &ve), &ve);
}

static int back_vhd_flush(struct blk_back *b)
{
	struct vhd_err ve;

	return vhd_result(b, vhd_flush(((struct blk_vhd *)b)->v, &ve), &ve);
}

/* Zeros never take space in a VHD where that can be: `may_unmap` makes no difference. */
static int back_vhd_zero(struct blk_back *b, uint64_t off, uint64_t len, bool may_unmap)
{
	struct vhd_err ve;

	(void)may_unmap;
	return vhd_result(b, vhd_zero(((struct blk_vhd *)b)->v, len, off, &ve), &ve);
}

static int back_vhd_discard(struct blk_back *b, uint64_t off, uint64_t len)
{
	struct vhd_err ve;

	return vhd_result(b, vhd_discard(((struct blk_vhd *)b)->v, len, off, &ve), &ve);
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
	static const struct blk_back_ops ops = {
		.preadv = back_vhd_preadv,
		.pwritev = back_vhd_pwritev,
		.flush = back_vhd_flush,
		.zero = back_vhd_zero,
		.discard = back_vhd_discard,
		.free = back_vhd_free,
	};
	struct blk_vhd *d;
	uint64_t size = vhd_size(v);

	if (size == 0 || size % BLK_SECTOR != 0)
		return err_plain(e, EINVAL, "a disk of %llu bytes", (unsigned long long)size);
	d = calloc(1, sizeof(*d));
	if (!d)
		return err_set(e, ENOMEM, "disk");
	d->back = (struct blk_back){ &ops, size, is_readonly };
	d->v = v;
	*ret = &d->back;
	return 0;
}
