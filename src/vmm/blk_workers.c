/* SPDX-License-Identifier: MIT */
/*
 * blk_workers.c - two threads that do what blocks: the requests of one disk
 *
 * Threads: a request belongs to the list it is in, or to the thread that runs it; `lock` guards the
 * lists.
 * #syscalls:vmm clone exit futex #syscalls:disk exit futex madvise rt_sigprocmask write
 */
#include "blk_workers.h"

#include <assert.h>
#include <signal.h>
#include <sys/eventfd.h>

void blk_list_add(struct blk_list *l, struct blk_request *r)
{
	r->next = NULL;
	if (l->last)
		l->last->next = r;
	else
		l->first = r;
	l->last = r;
}

struct blk_request *blk_list_take(struct blk_list *l)
{
	struct blk_request *r = l->first;

	if (!r)
		return NULL;
	l->first = r->next;
	if (!l->first)
		l->last = NULL;
	r->next = NULL;
	return r;
}

static void done_add(struct blk_workers *w, struct blk_request *r)
{
	bool is_first;

	pthread_mutex_lock(&w->lock);
	is_first = !w->done.first;
	blk_list_add(&w->done, r);
	pthread_mutex_unlock(&w->lock);
	if (is_first)
		(void)eventfd_write(w->event_fd, 1); /* full: it is readable already */
}

static struct blk_request *todo_wait(struct blk_workers *w)
{
	struct blk_request *r;

	pthread_mutex_lock(&w->lock);
	while (!w->todo.first && !w->is_ending)
		pthread_cond_wait(&w->has_work, &w->lock);
	r = blk_list_take(&w->todo);
	pthread_mutex_unlock(&w->lock);
	return r;
}

static void *worker_main(void *arg)
{
	struct blk_workers *w = arg;
	struct blk_request *r;
	struct err e = { 0 };
	int rc = w->begin ? w->begin(&e) : 0;

	while ((r = todo_wait(w))) {
		r->rc = rc < 0 ? rc : blk_run(r->back, &r->io);
		done_add(w, r);
	}
	return NULL;
}

static int threads_start(struct blk_workers *w)
{
	sigset_t all, old;
	int rc = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old); /* threads inherit it */
	while (w->n_threads < BLK_WORKERS && rc == 0) {
		rc = pthread_create(&w->threads[w->n_threads], NULL, worker_main, w);
		if (rc == 0)
			w->n_threads++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc;
}

void blk_workers_init(struct blk_workers *w, int event_fd)
{
	*w = (struct blk_workers){ .event_fd = event_fd };
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->has_work, NULL);
}

int blk_workers_start(struct blk_workers *w, blk_thread_fn *begin, struct err *e)
{
	int rc;

	if (w->n_threads == BLK_WORKERS)
		return 0;
	w->begin = begin;
	rc = threads_start(w);
	return rc ? err_set(e, rc, "threads of a disk") : 0;
}

void blk_workers_stop(struct blk_workers *w)
{
	pthread_mutex_lock(&w->lock);
	assert(!w->todo.first);
	w->is_ending = true;
	pthread_cond_broadcast(&w->has_work);
	pthread_mutex_unlock(&w->lock);
	for (unsigned int i = 0; i < w->n_threads; i++)
		pthread_join(w->threads[i], NULL);
	assert(!w->done.first);
	pthread_cond_destroy(&w->has_work);
	pthread_mutex_destroy(&w->lock);
}

void blk_workers_add(struct blk_workers *w, struct blk_request *r)
{
	if (r->back->is_instant) {
		r->rc = blk_run(r->back, &r->io);
		done_add(w, r);
		return;
	}
	pthread_mutex_lock(&w->lock);
	blk_list_add(&w->todo, r);
	pthread_cond_signal(&w->has_work);
	pthread_mutex_unlock(&w->lock);
}

struct blk_list blk_workers_take(struct blk_workers *w)
{
	struct blk_list l;

	pthread_mutex_lock(&w->lock);
	l = w->done;
	w->done = (struct blk_list){ 0 };
	pthread_mutex_unlock(&w->lock);
	return l;
}
