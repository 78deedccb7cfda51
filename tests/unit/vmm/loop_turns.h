/* SPDX-License-Identifier: MIT */
/* loop_turns.h - let an event loop do what there is to do, and come back */
#ifndef LOOP_TURNS_H
#define LOOP_TURNS_H

#include <assert.h>

#include "loop.h"

static inline void loop_turns_end(void *arg)
{
	loop_quit(arg, 0);
}

/* For `ms`, or at least one turn. */
static inline void loop_turn(struct loop *l, uint32_t ms)
{
	struct err e = { 0 };
	struct loop_timer *t;
	int rc = loop_timer_new(l, loop_turns_end, l, &t, &e);

	assert(rc == 0);
	loop_timer_arm(t, ms);
	rc = loop_run(l, &e);
	assert(rc == 0);
	loop_timer_drop(t);
}

/* Enough for a device to come to rest, where that takes no time. */
static inline void loop_turns(struct loop *l)
{
	for (int i = 0; i < 10; i++)
		loop_turn(l, 0);
}

#endif
