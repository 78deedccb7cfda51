/* SPDX-License-Identifier: MIT */
/* test_blk_engine.c - requests that run beside the loop, in both ways and when one is refused */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <liburing.h>
#include <string.h>
#include <sys/mman.h>

#include "blk_engine.h"
#include "blk_fixture.h"

#define SIZE  65536U
#define DEPTH 8U

/* ---- io_uring, refused when a test says so: these are called in the place of the library's */

static struct {
	int init, eventfd, submit; /* what is returned; 0: the library is asked */
	unsigned int submits;
} refuse;

static void *real(const char *name)
{
	void *p = dlsym(RTLD_NEXT, name);

	assert_non_null(p);
	return p;
}

int io_uring_queue_init(unsigned int n, struct io_uring *r, unsigned int flags)
{
	int (*fn)(unsigned int, struct io_uring *, unsigned int) = real("io_uring_queue_init");

	return refuse.init ? refuse.init : fn(n, r, flags);
}

int io_uring_register_eventfd(struct io_uring *r, int fd)
{
	int (*fn)(struct io_uring *, int) = real("io_uring_register_eventfd");

	return refuse.eventfd ? refuse.eventfd : fn(r, fd);
}

int io_uring_submit(struct io_uring *r)
{
	int (*fn)(struct io_uring *) = real("io_uring_submit");

	refuse.submits++;
	if (refuse.submit == -EINTR && refuse.submits % 2)
		return -EINTR;
	return refuse.submit && refuse.submit != -EINTR ? refuse.submit : fn(r);
}

static bool ring_works(void)
{
	struct io_uring r;

	memset(&refuse, 0, sizeof(refuse));
	if (io_uring_queue_init(4, &r, 0) < 0)
		return false;
	io_uring_queue_exit(&r);
	return true;
}

/* ---- an engine and its requests ------------------------------------------------------------ */

struct fixture;

struct job {
	struct fixture *f;
	struct blk_request r;
	struct iovec iov[2];
	uint8_t data[1024];
	bool has_ended;
	int rc;
};

struct fixture {
	struct loop *loop;
	pthread_mutex_t lock;
	struct blk_back *back;
	struct blk_engine *eng;
	unsigned int in_flight, batches;
	bool is_again; /* done() submits the same once more */
	struct job jobs[DEPTH + 1];
};

static void on_done(void *arg, int rc)
{
	struct job *j = arg;

	assert_false(j->has_ended);
	assert_int_equal(pthread_mutex_trylock(&j->f->lock), EBUSY); /* it is held */
	if (j->f->is_again) {
		j->f->is_again = false;
		assert_int_equal(blk_engine_submit(j->f->eng, &j->r), 0);
		return;
	}
	j->has_ended = true;
	j->rc = rc;
	j->f->in_flight--;
}

static void on_batch(void *arg)
{
	((struct fixture *)arg)->batches++;
}

static void start(struct fixture *f, struct blk_back *back, enum blk_engine_kind kind)
{
	struct blk_engine_options o = { .back = back, .depth = DEPTH, .kind = kind };
	struct err e;

	memset(f, 0, sizeof(*f));
	assert_int_equal(loop_new(&f->loop, &e), 0);
	pthread_mutex_init(&f->lock, NULL);
	f->back = back;
	o.loop = f->loop;
	o.lock = &f->lock;
	o.batch = on_batch;
	o.arg = f;
	assert_int_equal(blk_engine_new(&o, &f->eng, &e), 0);
}

static void stop(struct fixture *f)
{
	blk_engine_free(f->eng);
	blk_back_free(f->back);
	loop_free(f->loop);
	pthread_mutex_destroy(&f->lock);
}

/* Two buffers of unequal size; what is written is `fill`. */
static struct job *job(struct fixture *f, unsigned int i, enum blk_op op, uint64_t off, int fill)
{
	struct job *j = &f->jobs[i];

	memset(j, 0, sizeof(*j));
	memset(j->data, fill, sizeof(j->data));
	j->f = f;
	j->iov[0] = (struct iovec){ j->data, 100 };
	j->iov[1] = (struct iovec){ j->data + 100, 924 };
	j->r = (struct blk_request){ .io = { op, false, j->iov, 2, off, 1024 },
				     .done = on_done,
				     .arg = j };
	return j;
}

static void submit(struct job *j)
{
	pthread_mutex_lock(&j->f->lock);
	j->f->in_flight++;
	assert_int_equal(blk_engine_submit(j->f->eng, &j->r), 0);
	pthread_mutex_unlock(&j->f->lock);
}

static void commit(struct fixture *f)
{
	pthread_mutex_lock(&f->lock);
	blk_engine_commit(f->eng);
	pthread_mutex_unlock(&f->lock);
}

static void drain(struct fixture *f)
{
	pthread_mutex_lock(&f->lock);
	blk_engine_drain(f->eng);
	pthread_mutex_unlock(&f->lock);
	assert_int_equal(f->in_flight, 0);
}

static bool is_idle(void *arg)
{
	return ((struct fixture *)arg)->in_flight == 0;
}

static void finish(struct fixture *f)
{
	commit(f);
	assert_true(loop_until(f->loop, is_idle, f));
	assert_true(f->batches > 0);
}

static bool is_filled(const struct job *j, int fill, size_t from, size_t end)
{
	for (size_t i = from; i < end; i++)
		if (j->data[i] != fill)
			return false;
	return j->has_ended && j->rc == 0;
}

static int file_new(uint64_t size)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static struct blk_back *raw_new(void)
{
	struct blk_back *b;
	struct err e;

	assert_int_equal(blk_back_raw(file_new(SIZE), SIZE, false, &b, &e), 0);
	return b;
}

/* Writes, then reads, by turns waiting in the loop and by a drain. */
static void write_and_read(struct fixture *f)
{
	for (unsigned int i = 0; i < DEPTH; i++)
		submit(job(f, i, BLK_OP_WRITE, i * 1024, (int)i + 1));
	assert_int_equal(blk_engine_submit(f->eng, &job(f, DEPTH, BLK_OP_READ, 0, 0)->r), -EAGAIN);
	drain(f);
	for (unsigned int i = 0; i < DEPTH; i++)
		submit(job(f, i, BLK_OP_READ, i * 1024, 0xee));
	finish(f);
	for (unsigned int i = 0; i < DEPTH; i++)
		assert_true(is_filled(&f->jobs[i], (int)i + 1, 0, 1024));
	submit(job(f, 0, BLK_OP_ZERO, 0, 0));
	submit(job(f, 1, BLK_OP_DISCARD, 1024, 0));
	submit(job(f, 2, BLK_OP_FLUSH, 0, 0));
	finish(f);
	submit(job(f, 3, BLK_OP_READ, 0, 0xee));
	submit(job(f, 4, BLK_OP_READ, 1024, 0xee));
	submit(job(f, 5, BLK_OP_READ, 2048, 0xee));
	finish(f);
	for (unsigned int i = 0; i < 5; i++)
		assert_true(is_filled(&f->jobs[i], 0, 0, i < 3 ? 0 : 1024));
	assert_true(is_filled(&f->jobs[5], 3, 0, 1024));
}

static void test_kinds(void **state)
{
	static const enum blk_engine_kind kinds[] = { BLK_ENGINE_AUTO, BLK_ENGINE_THREADS,
						      BLK_ENGINE_URING };
	static struct fixture f;
	bool can_ring = ring_works();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		start(&f, raw_new(), kinds[i]);
		assert_int_equal(blk_engine_has_ring(f.eng),
				 can_ring && kinds[i] != BLK_ENGINE_THREADS);
		write_and_read(&f);
		stop(&f);
	}
}

/* A back end without files gets no ring by itself. */
static void test_auto(void **state)
{
	static struct fixture f;
	struct gate_back *g = gate_new(SIZE, false);

	(void)state;
	(void)ring_works();
	gate_open(g);
	start(&f, &g->back, BLK_ENGINE_AUTO);
	assert_false(blk_engine_has_ring(f.eng));
	write_and_read(&f);
	stop(&f);
}

static void test_refused(void **state)
{
	static const struct {
		int init, eventfd, submit;
	} rows[] = {
		{ .init = -ENOSYS },    { .init = -EPERM },    { .init = -ENOMEM },
		{ .eventfd = -EINVAL }, { .submit = -EAGAIN }, { .submit = -EBUSY },
		{ .submit = -EPERM },   { .submit = -EINTR },
	};
	static struct fixture f;

	(void)state;
	if (!ring_works())
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		memset(&refuse, 0, sizeof(refuse));
		refuse.init = rows[i].init;
		refuse.eventfd = rows[i].eventfd;
		refuse.submit = rows[i].submit;
		start(&f, raw_new(), BLK_ENGINE_AUTO);
		write_and_read(&f);
		assert_int_equal(blk_engine_has_ring(f.eng), rows[i].submit == -EINTR);
		stop(&f);
	}
	memset(&refuse, 0, sizeof(refuse));
}

/* The kernel goes back on its word in the middle: what it has ends, the rest is run by threads. */
static void test_refused_later(void **state)
{
	static struct fixture f;

	(void)state;
	if (!ring_works())
		skip();
	start(&f, raw_new(), BLK_ENGINE_AUTO);
	for (unsigned int i = 0; i < 4; i++)
		submit(job(&f, i, BLK_OP_WRITE, i * 1024, (int)i + 1));
	commit(&f);
	refuse.submit = -EBUSY;
	for (unsigned int i = 4; i < DEPTH; i++)
		submit(job(&f, i, BLK_OP_WRITE, i * 1024, (int)i + 1));
	finish(&f);
	assert_false(blk_engine_has_ring(f.eng));
	refuse.submit = 0;
	for (unsigned int i = 0; i < DEPTH; i++)
		submit(job(&f, i, BLK_OP_READ, i * 1024, 0));
	drain(&f);
	for (unsigned int i = 0; i < DEPTH; i++)
		assert_true(is_filled(&f.jobs[i], (int)i + 1, 0, 1024));
	stop(&f);
}

/* One request over two parts, one of which is in a file that is too short. */
static void test_parts(void **state)
{
	static const enum blk_engine_kind kinds[] = { BLK_ENGINE_THREADS, BLK_ENGINE_URING };
	static struct fixture f;

	(void)state;
	(void)ring_works();
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct vmm_part parts[] = { { file_new(600), 0, 0, 1536 },
					    { file_new(4096), 1536, 0, 4096 } };
		uint8_t ones[600];
		struct blk_back *b;
		struct err e;

		memset(ones, 1, sizeof(ones));
		assert_int_equal(pwrite(parts[0].fd, ones, 600, 0), 600);
		assert_int_equal(pwrite(parts[1].fd, ones, 600, 0), 600);
		assert_int_equal(blk_back_concat(parts, 2, 8192, &b, &e), 0);
		start(&f, b, kinds[i]);
		submit(job(&f, 0, BLK_OP_READ, 0, 0xee));    /* past the end of the first file */
		submit(job(&f, 1, BLK_OP_READ, 1024, 0xee)); /* over both */
		submit(job(&f, 2, BLK_OP_READ, 1536, 0xee)); /* in the second */
		submit(job(&f, 3, BLK_OP_READ, 7168, 0xee)); /* behind both */
		submit(job(&f, 4, BLK_OP_WRITE, 0, 0xee));
		finish(&f);
		assert_true(is_filled(&f.jobs[0], 1, 0, 600) &&
			    is_filled(&f.jobs[0], 0, 600, 1024));
		assert_true(is_filled(&f.jobs[1], 0, 0, 512) &&
			    is_filled(&f.jobs[1], 1, 512, 1024));
		assert_true(is_filled(&f.jobs[2], 1, 0, 600) &&
			    is_filled(&f.jobs[2], 0, 600, 1024));
		assert_true(is_filled(&f.jobs[3], 0, 0, 1024));
		assert_int_equal(f.jobs[4].rc, -EROFS);
		stop(&f);
	}
}

/* A raw file that was cut is an error in both ways. */
static void test_cut(void **state)
{
	static const enum blk_engine_kind kinds[] = { BLK_ENGINE_THREADS, BLK_ENGINE_URING };
	static struct fixture f;

	(void)state;
	(void)ring_works();
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		int fd = file_new(SIZE);
		struct blk_back *b;
		struct err e;

		assert_int_equal(blk_back_raw(fd, SIZE, false, &b, &e), 0);
		assert_int_equal(ftruncate(fd, 4096), 0);
		start(&f, b, kinds[i]);
		submit(job(&f, 0, BLK_OP_READ, 3584, 0));
		submit(job(&f, 1, BLK_OP_READ, 8192, 0));
		submit(job(&f, 2, BLK_OP_READ, 0, 0xee));
		finish(&f);
		assert_int_equal(f.jobs[0].rc, -EIO);
		assert_int_equal(f.jobs[1].rc, -EIO);
		assert_true(is_filled(&f.jobs[2], 0, 0, 1024));
		stop(&f);
	}
}

static void test_errors(void **state)
{
	static struct fixture f;
	struct gate_back *g = gate_new(SIZE, false);

	(void)state;
	g->error = -ENOSPC;
	gate_open(g);
	start(&f, &g->back, BLK_ENGINE_URING); /* a ring that nothing is for */
	submit(job(&f, 0, BLK_OP_WRITE, 0, 1));
	submit(job(&f, 1, BLK_OP_FLUSH, 0, 1));
	submit(job(&f, 2, BLK_OP_READ, SIZE - 512, 1));
	finish(&f);
	assert_int_equal(f.jobs[0].rc, -ENOSPC);
	assert_int_equal(f.jobs[1].rc, -ENOSPC);
	assert_int_equal(f.jobs[2].rc, -EINVAL);
	stop(&f);
}

/* done() may submit; a drain waits for that too, and for what is slow. */
static void test_again(void **state)
{
	static struct fixture f;
	struct gate_back *g = gate_new(SIZE, false);
	pthread_t t;

	(void)state;
	start(&f, &g->back, BLK_ENGINE_THREADS);
	f.is_again = true;
	for (unsigned int i = 0; i < DEPTH; i++)
		submit(job(&f, i, BLK_OP_READ, 0, 1));
	t = gate_open_later(g);
	drain(&f);
	gate_open_wait(t);
	assert_int_equal(g->ended, DEPTH + 1);
	drain(&f); /* of nothing */
	f.is_again = true;
	submit(job(&f, 0, BLK_OP_READ, 0, 1));
	finish(&f);
	assert_int_equal(g->ended, DEPTH + 3);
	stop(&f);
}

static void test_refused_options(void **state)
{
	struct blk_engine_options o = { .depth = 0 };
	struct blk_engine *eng;
	struct err e;

	(void)state;
	assert_int_equal(blk_engine_new(&o, &eng, &e), -EINVAL);
	o.depth = BLK_ENGINE_DEPTH_MAX + 1;
	assert_int_equal(blk_engine_new(&o, &eng, &e), -EINVAL);
	blk_engine_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),           cmocka_unit_test(test_auto),
		cmocka_unit_test(test_refused),         cmocka_unit_test(test_refused_later),
		cmocka_unit_test(test_parts),           cmocka_unit_test(test_cut),
		cmocka_unit_test(test_errors),          cmocka_unit_test(test_again),
		cmocka_unit_test(test_refused_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
