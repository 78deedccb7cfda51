/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

#include "loop.h"

struct pair {
	struct loop *loop;
	struct loop_watch *w[2];
	int calls;
};

static void drop_both(void *arg, uint32_t events)
{
	struct pair *p = arg;

	(void)events;
	p->calls++;
	loop_watch_drop(p->w[0]);
	loop_watch_drop(p->w[1]);
}

static void quit_loop(void *arg)
{
	loop_quit(arg, 7);
}

/* Both are ready in one turn; the first to run drops the other, which must then not be called. */
static void dropped_watch_is_not_called(void **state)
{
	struct pair p = { 0 };
	struct loop_timer *t;
	struct err e = { 0 };
	int a[2], b[2];

	(void)state;
	assert_int_equal(loop_new(&p.loop, &e), 0);
	assert_int_equal(pipe(a), 0);
	assert_int_equal(pipe(b), 0);
	assert_int_equal(write(a[1], "x", 1), 1);
	assert_int_equal(write(b[1], "x", 1), 1);
	assert_int_equal(loop_watch_fd(p.loop, a[0], EPOLLIN, drop_both, &p, &p.w[0], &e), 0);
	assert_int_equal(loop_watch_fd(p.loop, b[0], EPOLLIN, drop_both, &p, &p.w[1], &e), 0);
	assert_int_equal(loop_timer_new(p.loop, quit_loop, p.loop, &t, &e), 0);
	loop_timer_arm(t, 5);
	assert_int_equal(loop_run(p.loop, &e), 7);
	assert_int_equal(p.calls, 1);
	loop_timer_drop(t);
	loop_free(p.loop);
	for (int i = 0; i < 2; i++) {
		close(a[i]);
		close(b[i]);
	}
}

struct order {
	struct loop *loop;
	char seen[8];
	int n;
};

struct step {
	struct order *o;
	char name;
};

static void note(void *arg)
{
	struct step *s = arg;

	s->o->seen[s->o->n++] = s->name;
	if (s->name == 'c')
		loop_quit(s->o->loop, 0);
}

static void timers_run_in_order_and_rearm(void **state)
{
	struct order o = { 0 };
	struct step s[4] = { { &o, 'a' }, { &o, 'b' }, { &o, 'c' }, { &o, 'x' } };
	struct loop_timer *t[4];
	struct err e = { 0 };

	(void)state;
	assert_int_equal(loop_new(&o.loop, &e), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(loop_timer_new(o.loop, note, &s[i], &t[i], &e), 0);
	loop_timer_arm(t[2], 12);
	loop_timer_arm(t[1], 50);
	loop_timer_arm(t[0], 1);
	loop_timer_arm(t[1], 6); /* replaces 50 */
	loop_timer_arm(t[3], 3);
	loop_timer_disarm(t[3]);
	assert_int_equal(loop_run(o.loop, &e), 0);
	assert_string_equal(o.seen, "abc");
	for (int i = 0; i < 4; i++)
		loop_timer_drop(t[i]);
	loop_free(o.loop);
}

static void on_signal(void *arg, int signo)
{
	loop_quit(arg, signo);
}

static void signals_arrive_as_events(void **state)
{
	struct loop *l;
	struct err e = { 0 };
	sigset_t set;

	(void)state;
	assert_int_equal(loop_new(&l, &e), 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	assert_int_equal(loop_signals(l, &set, on_signal, l, &e), 0);
	raise(SIGUSR1);
	assert_int_equal(loop_run(l, &e), SIGUSR1);
	loop_free(l);
}

static void bad_descriptor_is_an_error(void **state)
{
	struct loop *l;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(loop_new(&l, &e), 0);
	assert_int_equal(loop_watch_fd(l, -1, EPOLLIN, drop_both, NULL, NULL, &e), -EBADF);
	assert_int_not_equal(e.msg[0], 0);
	loop_free(l);
	loop_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dropped_watch_is_not_called),
		cmocka_unit_test(timers_run_in_order_and_rearm),
		cmocka_unit_test(signals_arrive_as_events),
		cmocka_unit_test(bad_descriptor_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
