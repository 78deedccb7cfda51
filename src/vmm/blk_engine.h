/* SPDX-License-Identifier: MIT */
/*
 * blk_engine.h - runs a disk's requests beside the event loop
 *
 * Two ways: io_uring, for reads and writes that lie in one piece of a file; two threads, for all
 * else, and for all when io_uring cannot be had. Which one does a request makes no difference to
 * its result. Requests may end in any order.
 *
 * Threads: `lock` (the device's) is held by whoever calls any function but new and free. The
 * engine's own work on the loop takes it, so done() and batch() are always called with it held: on
 * the loop's thread, or in blk_engine_drain() on that of its caller.
 */
#ifndef BLK_ENGINE_H
#define BLK_ENGINE_H

#include <pthread.h>

#include "blk_back.h"
#include "loop.h"

#define BLK_ENGINE_DEPTH_MAX 256U

struct blk_request {
	struct blk_io io; /* its buffers stay until done() */
	/* It has ended: 0 or -errno. It belongs to the caller again, who may submit it, or others;
	 * but not drain. */
	void (*done)(void *arg, int rc);
	void *arg;

	/* the engine's */
	struct blk_back *back;
	struct blk_request *next;
	int rc;
};

enum blk_engine_kind {
	BLK_ENGINE_AUTO,    /* io_uring when the back end has pieces of files and it can be had */
	BLK_ENGINE_THREADS, /* threads only */
	BLK_ENGINE_URING,   /* as AUTO, whatever the back end is */
};

struct blk_engine_options {
	struct loop *loop;     /* borrowed, as all of these */
	struct blk_back *back; /* outlives the engine, or is replaced */
	pthread_mutex_t *lock;
	unsigned int depth; /* most requests in flight, 1..BLK_ENGINE_DEPTH_MAX */
	enum blk_engine_kind kind;
	bool starts_later;        /* no threads before blk_engine_start() */
	void (*batch)(void *arg); /* after some done() calls on the loop; NULL: not needed */
	void *arg;
};

struct blk_engine;

must_check int blk_engine_new(const struct blk_engine_options *o, struct blk_engine **ret,
			      struct err *e);
/* What a thread does first; -code ends the process's hope of that disk: requests fail with it. */
typedef int blk_thread_fn(struct err *e);

/* The threads, which do what was submitted meanwhile; nothing for a back end that needs none, or
 * when they run. `begin` may be NULL. */
must_check int blk_engine_start(struct blk_engine *eng, blk_thread_fn *begin, struct err *e);

/* On the loop's thread, without the lock, with nothing in flight. NULL is fine. */
void blk_engine_free(struct blk_engine *eng);

/* Begin a request: now, or at the next commit. -EAGAIN: `depth` are in flight. */
must_check int blk_engine_submit(struct blk_engine *eng, struct blk_request *r);
/* Begin what was submitted: one system call for many requests. */
void blk_engine_commit(struct blk_engine *eng);
/* Wait until nothing is in flight. Calls done() for each, but not batch(). */
void blk_engine_drain(struct blk_engine *eng);

/* Another back end from here on; nothing may be in flight. */
void blk_engine_set_back(struct blk_engine *eng, struct blk_back *back);
bool blk_engine_has_ring(const struct blk_engine *eng);

#endif
