/* SPDX-License-Identifier: MIT */
/* blk_fixture.c - a disk in memory that can be made to wait or to fail; turns of a loop */
#include "blk_fixture.h"

#include <assert.h>
#include <string.h>
#include <time.h>

static int gate_pass(struct gate_back *g)
{
	int rc;

	pthread_mutex_lock(&g->lock);
	g->waiting++;
	while (g->is_shut)
		pthread_cond_wait(&g->turn, &g->lock);
	g->waiting--;
	g->ended++;
	rc = g->error;
	pthread_mutex_unlock(&g->lock);
	return rc;
}

/* Cleared space is visible: what was discarded reads as zeros. */
static int gate_run(struct blk_back *b, const struct blk_io *io)
{
	struct gate_back *g = (struct gate_back *)b;
	uint8_t *at = g->bytes + io->off;
	int rc = gate_pass(g);

	for (int i = 0; i < io->n_iov && rc == 0; at += io->iov[i++].iov_len) {
		if (io->op == BLK_OP_READ)
			memcpy(io->iov[i].iov_base, at, io->iov[i].iov_len);
		else if (io->op == BLK_OP_WRITE)
			memcpy(at, io->iov[i].iov_base, io->iov[i].iov_len);
	}
	if (rc == 0 && (io->op == BLK_OP_ZERO || io->op == BLK_OP_DISCARD))
		memset(g->bytes + io->off, 0, io->len);
	return rc;
}

static void gate_free(struct blk_back *b)
{
	struct gate_back *g = (struct gate_back *)b;

	assert(g->waiting == 0);
	pthread_cond_destroy(&g->turn);
	pthread_mutex_destroy(&g->lock);
	free(g->bytes);
	free(g);
}

struct gate_back *gate_new(uint64_t size, bool is_readonly)
{
	static const struct blk_back_ops ops = { .run = gate_run, .free = gate_free };
	struct gate_back *g = calloc(1, sizeof(*g));

	assert(g);
	g->back = (struct blk_back){ &ops, size, is_readonly, false };
	g->bytes = calloc(1, size);
	assert(g->bytes);
	g->is_shut = true;
	pthread_mutex_init(&g->lock, NULL);
	pthread_cond_init(&g->turn, NULL);
	return g;
}

void gate_open(struct gate_back *g)
{
	pthread_mutex_lock(&g->lock);
	g->is_shut = false;
	pthread_cond_broadcast(&g->turn);
	pthread_mutex_unlock(&g->lock);
}

unsigned int gate_waiting(struct gate_back *g)
{
	unsigned int n;

	pthread_mutex_lock(&g->lock);
	n = g->waiting;
	pthread_mutex_unlock(&g->lock);
	return n;
}

static void *open_later(void *arg)
{
	nanosleep(&(struct timespec){ .tv_nsec = 30000000 }, NULL);
	gate_open(arg);
	return NULL;
}

pthread_t gate_open_later(struct gate_back *g)
{
	pthread_t t;
	int rc = pthread_create(&t, NULL, open_later, g);

	assert(rc == 0);
	return t;
}

void gate_open_wait(pthread_t t)
{
	pthread_join(t, NULL);
}

struct until {
	struct loop *loop;
	struct loop_timer *timer;
	bool (*fn)(void *arg);
	void *arg;
	unsigned int left; /* ms */
	bool is_so;
};

static void on_tick(void *arg)
{
	struct until *u = arg;

	u->is_so = u->fn(u->arg);
	if (u->is_so || u->left-- == 0)
		loop_quit(u->loop, 0);
	else
		loop_timer_arm(u->timer, 1);
}

bool loop_until(struct loop *l, bool (*fn)(void *arg), void *arg)
{
	struct until u = { .loop = l, .fn = fn, .arg = arg, .left = 10000 };
	struct err e;
	int rc = loop_timer_new(l, on_tick, &u, &u.timer, &e);

	assert(rc == 0);
	loop_timer_arm(u.timer, 0);
	rc = loop_run(l, &e);
	assert(rc == 0);
	loop_timer_drop(u.timer);
	return u.is_so;
}
