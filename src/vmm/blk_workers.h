/* SPDX-License-Identifier: MIT */
/*
 * blk_workers.h - two threads that do what blocks: the requests of one disk
 *
 * Lists of requests that their owner allocated; nothing is allocated after the start.
 */
#ifndef BLK_WORKERS_H
#define BLK_WORKERS_H

#include <pthread.h>
#include <stdbool.h>

#include "blk_engine.h"

#define BLK_WORKERS 2U

struct blk_list { /* first in, first out; zero it to begin */
	struct blk_request *first, *last;
};

struct blk_workers {
	pthread_t threads[BLK_WORKERS];
	unsigned int n_threads;
	int event_fd;         /* borrowed */
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t has_work;
	struct blk_list todo, done;
	bool is_ending;
	blk_thread_fn *begin; /* set before the threads are */
};

void blk_list_add(struct blk_list *l, struct blk_request *r);
struct blk_request *blk_list_take(struct blk_list *l); /* NULL: it is empty */

/* `event_fd` is written to when requests are done. */
void blk_workers_init(struct blk_workers *w, int event_fd);
/* Starts the threads that do not run yet; they take no signals. `begin`: see blk_engine.h. */
must_check int blk_workers_start(struct blk_workers *w, blk_thread_fn *begin, struct err *e);
void blk_workers_stop(struct blk_workers *w); /* no request may be left */

/* Run `r->io` on `r->back`; the result is r->rc. Any thread. */
void blk_workers_add(struct blk_workers *w, struct blk_request *r);
/* All that are done since the last call. Any thread. */
struct blk_list blk_workers_take(struct blk_workers *w);

#endif
