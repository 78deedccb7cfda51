/* SPDX-License-Identifier: MIT */
/*
 * loop.c - epoll event loop
 *
 * Invariants: I1 a watch that was dropped during a turn stays allocated, marked dead, until the
 * turn ends, so events already fetched for it are skipped. I2 timers are a sorted list; the
 * epoll timeout is the first one's distance.
 * #syscalls:vmm epoll_ctl epoll_wait
 */
#include "loop.h"

#include <stdbool.h>
#include <sys/signalfd.h>
#include <time.h>

#define TURN_EVENTS 32

struct loop_watch {
	struct loop *loop;
	struct loop_watch *next; /* all watches, then the dead list */
	int fd;
	bool dead;
	loop_fd_fn *fn;
	void *arg;
};

struct loop_timer {
	struct loop *loop;
	struct loop_timer *next;
	int64_t due_ms;
	bool armed;
	loop_timer_fn *fn;
	void *arg;
};

struct loop {
	int epoll_fd;
	int signal_fd;
	bool quit;
	int value;
	struct loop_watch *watches, *dead;
	struct loop_timer *timers; /* armed ones, soonest first */
	loop_signal_fn *signal_fn;
	void *signal_arg;
};

int64_t loop_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int loop_new(struct loop **ret, struct err *e)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return err_set(e, ENOMEM, "event loop");
	l->signal_fd = -1;
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll_fd < 0) {
		free(l);
		return err_set(e, errno, "epoll_create");
	}
	*ret = l;
	return 0;
}

static void dead_free(struct loop *l)
{
	while (l->dead) {
		struct loop_watch *w = l->dead;

		l->dead = w->next;
		free(w);
	}
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	while (l->watches)
		loop_watch_drop(l->watches);
	dead_free(l);
	fd_drop(&l->signal_fd);
	fd_drop(&l->epoll_fd);
	free(l);
}

int loop_watch_fd(struct loop *l, int fd, uint32_t events, loop_fd_fn *fn, void *arg,
		  struct loop_watch **ret, struct err *e)
{
	struct loop_watch *w = calloc(1, sizeof(*w));
	struct epoll_event ev = { .events = events, .data.ptr = w };

	if (!w)
		return err_set(e, ENOMEM, "watch");
	*w = (struct loop_watch){ .loop = l, .fd = fd, .fn = fn, .arg = arg, .next = l->watches };
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		free(w);
		return err_set(e, errno, "watch descriptor %d", fd);
	}
	l->watches = w;
	if (ret)
		*ret = w;
	return 0;
}

int loop_watch_set(struct loop_watch *w, uint32_t events, struct err *e)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	if (epoll_ctl(w->loop->epoll_fd, EPOLL_CTL_MOD, w->fd, &ev) < 0)
		return err_set(e, errno, "watch descriptor %d", w->fd);
	return 0;
}

void loop_watch_drop(struct loop_watch *w)
{
	struct loop_watch **p;

	if (!w || w->dead)
		return;
	for (p = &w->loop->watches; *p != w; p = &(*p)->next)
		;
	*p = w->next;
	(void)epoll_ctl(w->loop->epoll_fd, EPOLL_CTL_DEL, w->fd,
			NULL); /* a closed fd has left already */
	w->dead = true;
	w->next = w->loop->dead;
	w->loop->dead = w;
}

int loop_timer_new(struct loop *l, loop_timer_fn *fn, void *arg, struct loop_timer **ret,
		   struct err *e)
{
	struct loop_timer *t = calloc(1, sizeof(*t));

	if (!t)
		return err_set(e, ENOMEM, "timer");
	*t = (struct loop_timer){ .loop = l, .fn = fn, .arg = arg };
	*ret = t;
	return 0;
}

void loop_timer_disarm(struct loop_timer *t)
{
	struct loop_timer **p;

	if (!t->armed)
		return;
	for (p = &t->loop->timers; *p != t; p = &(*p)->next)
		;
	*p = t->next;
	t->armed = false;
}

void loop_timer_arm(struct loop_timer *t, uint32_t ms)
{
	struct loop_timer **p;

	loop_timer_disarm(t);
	t->due_ms = loop_now_ms() + ms;
	for (p = &t->loop->timers; *p && (*p)->due_ms <= t->due_ms; p = &(*p)->next)
		;
	t->next = *p;
	*p = t;
	t->armed = true;
}

void loop_timer_drop(struct loop_timer *t)
{
	if (!t)
		return;
	loop_timer_disarm(t);
	free(t);
}

static void signal_event(void *arg, uint32_t events)
{
	struct loop *l = arg;
	struct signalfd_siginfo si;

	(void)events;
	while (read(l->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		l->signal_fn(l->signal_arg, (int)si.ssi_signo);
}

int loop_signals(struct loop *l, const sigset_t *set, loop_signal_fn *fn, void *arg, struct err *e)
{
	if (sigprocmask(SIG_BLOCK, set, NULL) < 0)
		return err_set(e, errno, "block signals");
	l->signal_fd = signalfd(l->signal_fd, set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (l->signal_fd < 0)
		return err_set(e, errno, "signalfd");
	l->signal_fn = fn;
	l->signal_arg = arg;
	return loop_watch_fd(l, l->signal_fd, EPOLLIN, signal_event, l, NULL, e);
}

static int wait_ms(const struct loop *l)
{
	int64_t left;

	if (!l->timers)
		return -1;
	left = l->timers->due_ms - loop_now_ms();
	return left < 0 ? 0 : (int)MIN_OF(left, (int64_t)3600 * 1000);
}

static void timers_run(struct loop *l)
{
	int64_t now = loop_now_ms();

	while (l->timers && l->timers->due_ms <= now && !l->quit) {
		struct loop_timer *t = l->timers;

		loop_timer_disarm(t);
		t->fn(t->arg);
	}
}

int loop_run(struct loop *l, struct err *e)
{
	l->quit = false;
	while (!l->quit) {
		struct epoll_event ev[TURN_EVENTS];
		int n = epoll_wait(l->epoll_fd, ev, TURN_EVENTS, wait_ms(l));

		if (n < 0 && errno != EINTR)
			return err_set(e, errno, "epoll_wait");
		for (int i = 0; i < n && !l->quit; i++) {
			struct loop_watch *w = ev[i].data.ptr;

			if (!w->dead)
				w->fn(w->arg, ev[i].events);
		}
		timers_run(l);
		dead_free(l);
	}
	return l->value;
}

void loop_quit(struct loop *l, int value)
{
	l->quit = true;
	l->value = value;
}
