/* SPDX-License-Identifier: MIT */
/*
 * blk_fixture.h - a disk in memory that can be made to wait or to fail; turns of a loop
 */
#ifndef BLK_FIXTURE_H
#define BLK_FIXTURE_H

#include <pthread.h>

#include "blk_back.h"
#include "loop.h"

struct gate_back {
	struct blk_back back; /* first */
	uint8_t *bytes;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t turn;
	bool is_shut; /* operations wait */
	int error;    /* operations end so; 0: they are done */
	unsigned int waiting, ended;
};

/* Shut, so that nothing ends before the test says so. */
struct gate_back *gate_new(uint64_t size, bool is_readonly);
void gate_open(struct gate_back *g);
/* How many operations wait now. */
unsigned int gate_waiting(struct gate_back *g);
/* Opens it from another thread, a little later; gate_open_wait() ends that thread. */
pthread_t gate_open_later(struct gate_back *g);
void gate_open_wait(pthread_t t);

/* Run the loop until `fn` says true; false when it has not within a few seconds. */
bool loop_until(struct loop *l, bool (*fn)(void *arg), void *arg);

#endif
