/* SPDX-License-Identifier: MIT */
/*
 * loop.h - one-threaded event loop over epoll: descriptors, timers, signals
 *
 * A watch belongs to the caller; removing a watch from inside any callback is safe, its own
 * included. Callbacks run from loop_run() only. A child's end is a watch on its pidfd (child.h).
 */
#ifndef LOOP_H
#define LOOP_H

#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "err.h"

struct loop;
struct loop_watch;
struct loop_timer;

typedef void loop_fd_fn(void *arg, uint32_t events); /* EPOLLIN, EPOLLOUT, EPOLLHUP, ... */
typedef void loop_timer_fn(void *arg);
typedef void loop_signal_fn(void *arg, int signo);

must_check int loop_new(struct loop **ret, struct err *e);
void loop_free(struct loop *l); /* NULL is fine; frees watches and timers that are left */

/* Watch `fd` (borrowed; stays open) for `events`, level triggered. */
must_check int loop_watch_fd(struct loop *l, int fd, uint32_t events, loop_fd_fn *fn, void *arg,
			     struct loop_watch **ret, struct err *e);
/* events 0 keeps the watch but hears only EPOLLHUP and EPOLLERR. */
must_check int loop_watch_set(struct loop_watch *w, uint32_t events, struct err *e);
void loop_watch_drop(struct loop_watch *w); /* before the fd is closed; NULL is fine */

/* A one-shot timer; arming again replaces the time. ms 0 runs at the next turn of the loop. */
must_check int loop_timer_new(struct loop *l, loop_timer_fn *fn, void *arg, struct loop_timer **ret,
			      struct err *e);
void loop_timer_arm(struct loop_timer *t, uint32_t ms);
void loop_timer_disarm(struct loop_timer *t);
void loop_timer_drop(struct loop_timer *t); /* NULL is fine */
int64_t loop_now_ms(void);                  /* CLOCK_MONOTONIC, which timers go by */

/* Block the signals of `set` in this thread and hear of them as events. Once per loop. */
must_check int loop_signals(struct loop *l, const sigset_t *set, loop_signal_fn *fn, void *arg,
			    struct err *e);

/* Run until loop_quit(); returns the value given there, or -errno when epoll itself fails. */
must_check int loop_run(struct loop *l, struct err *e);
void loop_quit(struct loop *l, int value);

#endif
