/* SPDX-License-Identifier: MIT */
/* io_fault.c - a store of bytes that fails when told to */
#include "io_fault.h"

#include <pthread.h>

#include "bytes.h"
#include "cleanup.h"

struct io_fault {
	struct vhd_io io;
	struct vhd_io *inner;
	struct io_fault_plan *plan;
	pthread_mutex_t lock; /* of the plan's counters */
};

static struct io_fault *of(struct vhd_io *io)
{
	return (struct io_fault *)io;
}

/* 0, or what this call fails with. */
static int judge(struct io_fault *f, enum io_call call)
{
	struct io_fault_plan *p = f->plan;
	uint64_t at;
	int rc = 0;

	if (!p)
		return 0;
	pthread_mutex_lock(&f->lock);
	at = p->is_for_all ? p->total : p->counts[call];
	p->counts[call]++;
	p->total++;
	if (p->code && (p->is_for_all || call == p->call) &&
	    (at == p->fail_at || (p->is_lasting && at > p->fail_at))) {
		p->failed++;
		rc = -p->code;
	}
	pthread_mutex_unlock(&f->lock);
	return rc;
}

/* The first `len` bytes of the vector, whatever becomes of them. */
static void write_part(struct vhd_io *inner, struct iovec *iov, int n, uint64_t len, uint64_t off)
{
	int k = 0;

	for (; k < n && len > 0; k++) {
		iov[k].iov_len = (size_t)MIN_OF(iov[k].iov_len, len);
		len -= iov[k].iov_len;
	}
	if (k > 0 && inner->ops->pwritev(inner, iov, k, off) < 0)
		return; /* a write that failed may have done nothing at all */
}

static uint64_t total_of(const struct iovec *iov, int n)
{
	uint64_t len = 0;

	for (int i = 0; i < n; i++)
		len += iov[i].iov_len;
	return len;
}

static int fault_preadv(struct vhd_io *io, struct iovec *iov, int n, uint64_t off)
{
	struct io_fault *f = of(io);
	int rc = judge(f, IO_READ);

	return rc < 0 ? rc : f->inner->ops->preadv(f->inner, iov, n, off);
}

static int fault_pwritev(struct vhd_io *io, struct iovec *iov, int n, uint64_t off)
{
	struct io_fault *f = of(io);
	uint64_t len = total_of(iov, n), max = f->plan ? f->plan->size_max : 0;
	int rc = judge(f, IO_WRITE);

	if (rc < 0) {
		if (f->plan->is_torn)
			write_part(f->inner, iov, n, len / 1024 * 512, off);
		return rc;
	}
	if (max && !range_fits(off, len, max)) {
		write_part(f->inner, iov, n, off < max ? max - off : 0, off);
		return -ENOSPC;
	}
	return f->inner->ops->pwritev(f->inner, iov, n, off);
}

static int fault_flush(struct vhd_io *io)
{
	int rc = judge(of(io), IO_FLUSH);

	return rc < 0 ? rc : of(io)->inner->ops->flush(of(io)->inner);
}

static int fault_get_size(struct vhd_io *io, uint64_t *ret_size)
{
	int rc = judge(of(io), IO_GET_SIZE);

	return rc < 0 ? rc : of(io)->inner->ops->get_size(of(io)->inner, ret_size);
}

static int fault_set_size(struct vhd_io *io, uint64_t size)
{
	struct io_fault *f = of(io);
	int rc = judge(f, IO_SET_SIZE);

	if (rc == 0 && f->plan && f->plan->size_max && size > f->plan->size_max)
		rc = -ENOSPC;
	return rc < 0 ? rc : f->inner->ops->set_size(f->inner, size);
}

static int fault_punch(struct vhd_io *io, uint64_t off, uint64_t len)
{
	struct io_fault *f = of(io);
	int rc = f->plan && f->plan->no_punch ? -EOPNOTSUPP : judge(f, IO_PUNCH);

	return rc < 0 ? rc : f->inner->ops->punch(f->inner, off, len);
}

static int fault_extent(struct vhd_io *io, uint64_t off, uint64_t *ret_len, bool *ret_is_data)
{
	struct vhd_io *inner = of(io)->inner;

	return inner->ops->extent(inner, off, ret_len, ret_is_data);
}

static void fault_close(struct vhd_io *io)
{
	pthread_mutex_destroy(&of(io)->lock);
	free(of(io));
}

static const struct vhd_io_ops fault_ops = {
	.preadv = fault_preadv,
	.pwritev = fault_pwritev,
	.flush = fault_flush,
	.get_size = fault_get_size,
	.set_size = fault_set_size,
	.punch = fault_punch,
	.extent = fault_extent,
	.close = fault_close,
};

struct vhd_io *io_fault_new(struct vhd_io *inner, struct io_fault_plan *plan)
{
	struct io_fault *f = calloc(1, sizeof(*f));

	if (!f)
		abort(); /* a test without memory tells nothing */
	pthread_mutex_init(&f->lock, NULL);
	f->io.ops = &fault_ops;
	f->io.name = inner->name;
	f->io.is_read_only = inner->is_read_only;
	f->inner = inner;
	f->plan = plan;
	return &f->io;
}
