/* SPDX-License-Identifier: MIT */
/*
 * blk_engine.c - runs a disk's requests beside the event loop
 *
 * A request is in one of these places:
 *   staged   in the ring's queue, not yet told to the kernel
 *   ring     the kernel has it
 *   workers  to be run, run, or done there
 * and `in_flight` counts them all. A read or write that ends in the ring with anything but all of
 * its bytes is run again by the workers, whose result counts: so short files, signals and what a
 * kernel cannot do have one place where they are understood.
 *
 * One eventfd tells of all completions, the ring's and the workers'. It is read before completions
 * are looked for, so that none is missed.
 *
 * When the kernel refuses to take what is staged, that goes to the workers, and the ring gets
 * nothing more: what stands in its queue must not be run a second time.
 *
 * Invariants: I1 in_flight <= depth <= entries of the ring and of its completions.
 * Threads: all under the device's lock, but the workers' own.
 * #syscalls:vmm io_uring_enter poll read restart_syscall #syscalls:vcpu io_uring_enter poll read
 * restart_syscall
 */
#include "blk_engine.h"

#include <assert.h>
#include <liburing.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include "blk_workers.h"

struct blk_engine {
	struct blk_back *back;
	pthread_mutex_t *lock;
	void (*batch)(void *arg);
	void *arg;
	struct loop_watch *watch;
	int event_fd;
	unsigned int depth, in_flight;
	bool has_ring;      /* it exists */
	bool is_ring_taken; /* requests are given to it */
	struct io_uring ring;
	struct blk_list staged;
	struct blk_workers workers;
};

static void request_done(struct blk_engine *eng, struct blk_request *r, int rc)
{
	assert(eng->in_flight > 0);
	eng->in_flight--;
	r->done(r->arg, rc);
}

/* Completions of the ring, as many as are there now. */
static unsigned int ring_reap(struct blk_engine *eng)
{
	struct io_uring_cqe *cqe;
	unsigned int n = 0;

	while (eng->has_ring && n < eng->depth && io_uring_peek_cqe(&eng->ring, &cqe) == 0) {
		struct blk_request *r = io_uring_cqe_get_data(cqe);
		bool is_whole = cqe->res >= 0 && (uint64_t)cqe->res == r->io.len;

		io_uring_cqe_seen(&eng->ring, cqe);
		n++;
		if (is_whole)
			request_done(eng, r, 0);
		else
			blk_workers_add(&eng->workers, r);
	}
	return n;
}

static unsigned int workers_reap(struct blk_engine *eng)
{
	struct blk_list l = blk_workers_take(&eng->workers);
	struct blk_request *r;
	unsigned int n = 0;

	while ((r = blk_list_take(&l))) {
		n++;
		request_done(eng, r, r->rc);
	}
	return n;
}

static unsigned int engine_reap(struct blk_engine *eng)
{
	uint64_t count;
	ssize_t got = read(eng->event_fd, &count, sizeof(count));

	(void)got; /* nobody has written: completions are looked for anyway */
	return ring_reap(eng) + workers_reap(eng);
}

static void on_event(void *arg, uint32_t events)
{
	struct blk_engine *eng = arg;
	unsigned int n;

	(void)events;
	pthread_mutex_lock(eng->lock);
	n = engine_reap(eng);
	/* More than `depth` completions only when done() has submitted more: not to starve others,
	 * they wait for the next turn. */
	if (n >= eng->depth)
		(void)eventfd_write(eng->event_fd, 1);
	blk_engine_commit(eng);
	if (n > 0 && eng->batch)
		eng->batch(eng->arg);
	pthread_mutex_unlock(eng->lock);
}

/*
 * No system call filter sees what a ring does: it is left nothing but what is done here, before the
 * first request.
 */
static int ring_restrict(struct io_uring *ring)
{
	struct io_uring_restriction allowed[] = {
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_READV },
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_WRITEV },
		{ .opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED, .sqe_flags = 0 },
	};

	/* liburing 2.3 has functions for these in its header only */
	if (syscall(SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_RESTRICTIONS, allowed,
		    ARRAY_SIZE(allowed)) < 0)
		return -errno;
	return syscall(SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL,
		       0) < 0
		       ? -errno
		       : 0;
}

/* The ring is only made faster by existing: any failure leaves the workers. */
static void ring_make(struct blk_engine *eng)
{
	if (io_uring_queue_init(eng->depth, &eng->ring, IORING_SETUP_R_DISABLED) < 0)
		return;
	if (io_uring_register_eventfd(&eng->ring, eng->event_fd) < 0 ||
	    ring_restrict(&eng->ring) < 0) {
		io_uring_queue_exit(&eng->ring);
		return;
	}
	eng->has_ring = eng->is_ring_taken = true;
}

static bool is_ring_wanted(const struct blk_engine_options *o)
{
	if (o->kind == BLK_ENGINE_AUTO)
		return o->back->ops->raw_extent != NULL;
	return o->kind == BLK_ENGINE_URING;
}

static int engine_start(struct blk_engine *eng, const struct blk_engine_options *o, struct err *e)
{
	eng->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (eng->event_fd < 0)
		return err_set(e, errno, "eventfd");
	blk_workers_init(&eng->workers, eng->event_fd);
	if (!o->starts_later && blk_workers_start(&eng->workers, NULL, e) < 0) {
		blk_workers_stop(&eng->workers);
		return -e->code;
	}
	if (loop_watch_fd(o->loop, eng->event_fd, EPOLLIN, on_event, eng, &eng->watch, e) < 0) {
		blk_workers_stop(&eng->workers);
		return -e->code;
	}
	if (is_ring_wanted(o))
		ring_make(eng);
	return 0;
}

int blk_engine_new(const struct blk_engine_options *o, struct blk_engine **ret, struct err *e)
{
	struct blk_engine *eng;

	if (o->depth == 0 || o->depth > BLK_ENGINE_DEPTH_MAX)
		return err_plain(e, EINVAL, "%u requests in flight", o->depth);
	eng = calloc(1, sizeof(*eng));
	if (!eng)
		return err_set(e, ENOMEM, "disk");
	eng->back = o->back;
	eng->lock = o->lock;
	eng->batch = o->batch;
	eng->arg = o->arg;
	eng->depth = o->depth;
	if (engine_start(eng, o, e) < 0) {
		fd_drop(&eng->event_fd);
		free(eng);
		return -e->code;
	}
	*ret = eng;
	return 0;
}

int blk_engine_start(struct blk_engine *eng, blk_thread_fn *begin, struct err *e)
{
	return eng->back->is_instant ? 0 : blk_workers_start(&eng->workers, begin, e);
}

void blk_engine_free(struct blk_engine *eng)
{
	if (!eng)
		return;
	assert(eng->in_flight == 0);
	loop_watch_drop(eng->watch);
	blk_workers_stop(&eng->workers);
	if (eng->has_ring)
		io_uring_queue_exit(&eng->ring);
	fd_drop(&eng->event_fd);
	free(eng);
}

/* False when it is nothing for the ring. */
static bool ring_stage(struct blk_engine *eng, struct blk_request *r)
{
	const struct blk_io *io = &r->io;
	struct io_uring_sqe *sqe;
	uint64_t file_off;
	int fd;

	if (!eng->is_ring_taken || (io->op != BLK_OP_READ && io->op != BLK_OP_WRITE) ||
	    (io->op == BLK_OP_WRITE && r->back->is_readonly) ||
	    !blk_in_file(r->back, io->off, io->len, &fd, &file_off))
		return false;
	sqe = io_uring_get_sqe(&eng->ring);
	if (!sqe)
		return false;
	if (io->op == BLK_OP_READ)
		io_uring_prep_readv(sqe, fd, io->iov, (unsigned int)io->n_iov, file_off);
	else
		io_uring_prep_writev(sqe, fd, io->iov, (unsigned int)io->n_iov, file_off);
	io_uring_sqe_set_data(sqe, r);
	blk_list_add(&eng->staged, r);
	return true;
}

int blk_engine_submit(struct blk_engine *eng, struct blk_request *r)
{
	if (eng->in_flight >= eng->depth)
		return -EAGAIN;
	eng->in_flight++;
	r->back = eng->back;
	if (!ring_stage(eng, r))
		blk_workers_add(&eng->workers, r);
	return 0;
}

void blk_engine_commit(struct blk_engine *eng)
{
	struct blk_request *r;

	while (eng->staged.first && eng->is_ring_taken) {
		int rc = io_uring_submit(&eng->ring);

		if (rc == -EINTR)
			continue;
		if (rc <= 0)
			eng->is_ring_taken = false;
		for (; rc > 0; rc--)
			(void)blk_list_take(&eng->staged); /* the kernel has them, in this order */
	}
	while ((r = blk_list_take(&eng->staged)))
		blk_workers_add(&eng->workers, r);
}

void blk_engine_drain(struct blk_engine *eng)
{
	struct pollfd p = { .fd = eng->event_fd, .events = POLLIN };

	for (;;) {
		blk_engine_commit(eng);
		if (engine_reap(eng) > 0)
			continue;
		if (eng->in_flight == 0)
			return;
		(void)poll(&p, 1, -1); /* EINTR: looks again */
	}
}

void blk_engine_set_back(struct blk_engine *eng, struct blk_back *back)
{
	assert(eng->in_flight == 0);
	eng->back = back;
}

bool blk_engine_has_ring(const struct blk_engine *eng)
{
	return eng->is_ring_taken;
}
