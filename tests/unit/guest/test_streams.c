/* SPDX-License-Identifier: MIT */
/* test_streams.c - what a process has written arrives whole, however slow the host takes it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/wait.h>

#include "streams_internal.h"

#define WRITTEN 60000U /* fits into a pipe */
#define HIGH    (256U << 10)
#define ID      7U

/* Not of interest here: what RUN begins with. */
void streams_run_frame(struct streams *s, const struct agent_frame *f)
{
	(void)s;
	(void)f;
}

static void kicked(void *arg)
{
	(void)arg;
}

static void quit(void *arg)
{
	loop_quit(arg, 0);
}

static void run_for(struct loop *l, uint32_t ms)
{
	struct loop_timer *t;
	struct err e = { 0 };

	assert_int_equal(loop_timer_new(l, quit, l, &t, &e), 0);
	loop_timer_arm(t, ms);
	assert_int_equal(loop_run(l, &e), 0);
	loop_timer_drop(t);
}

/* A process that has written and ended, of which nothing has been read. ret_end: that of its pipe,
 * which another one may hold on to. */
static struct stream *ended_process(struct streams *s, uint32_t credit, int *ret_end)
{
	static char data[WRITTEN];
	struct stream *st = stream_new(s, ID);
	struct err e = { 0 };
	int ends[2];

	assert_non_null(st);
	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	st->out[0].fd = ends[0];
	st->out[0].credit = credit;
	st->pid = fork();
	if (st->pid == 0)
		_exit(write(ends[1], data, sizeof(data)) != sizeof(data));
	*ret_end = ends[1];
	assert_int_equal(stream_watch(st, &e), 0);
	assert_int_equal(waitid(P_PID, (id_t)st->pid, NULL, WEXITED | WNOWAIT), 0);
	return st;
}

struct seen {
	uint32_t bytes, ends, exits;
};

/* Takes what is there. */
static struct seen take(struct buf *out)
{
	struct seen n = { 0 };
	struct agent_frame f;
	struct err e = { 0 };
	size_t len;

	while (agent_frame_parse(out->data, out->len, &f, &len, &e) > 0) {
		if (f.type == AGENT_STDOUT && f.payload.len)
			n.bytes += (uint32_t)f.payload.len;
		else if (f.type == AGENT_STDOUT)
			n.ends++;
		else if (f.type == AGENT_EXITED)
			n.exits++;
		buf_consume(out, len);
	}
	return n;
}

struct fixture {
	struct loop *loop;
	struct streams *s;
	struct buf out;
};

static void start(struct fixture *f)
{
	struct err e = { 0 };

	*f = (struct fixture){ 0 };
	assert_int_equal(loop_new(&f->loop, &e), 0);
	assert_int_equal(streams_new(f->loop, &f->s, &e), 0);
	streams_attach(f->s, &f->out, kicked, NULL);
}

static void stop(struct fixture *f)
{
	buf_done(&f->out);
	free(f->s);
	loop_free(f->loop);
}

/* The port takes nothing for longer than what others have written would be waited for. */
static void no_room(void **state)
{
	struct fixture f;
	struct seen n;
	int end;

	(void)state;
	start(&f);
	(void)ended_process(f.s, AGENT_WINDOW, &end);
	close(end);
	while (f.out.len < HIGH)
		assert_int_equal(buf_add(&f.out, "filler", 6), 0);
	streams_reap(f.s);
	run_for(f.loop, 350);
	buf_clear(&f.out);
	streams_resume(f.s);
	run_for(f.loop, 350);
	n = take(&f.out);
	assert_int_equal(n.bytes, WRITTEN);
	assert_int_equal(n.ends, 1);
	assert_int_equal(n.exits, 1);
	stop(&f);
}

static void no_credit(void **state)
{
	struct fixture f;
	struct stream *st;
	struct seen n;
	int end;

	(void)state;
	start(&f);
	st = ended_process(f.s, 1000, &end);
	close(end);
	streams_reap(f.s);
	run_for(f.loop, 350);
	n = take(&f.out);
	assert_int_equal(n.bytes, 1000);
	assert_int_equal(n.exits, 0);
	st->out[0].credit = AGENT_WINDOW;
	streams_resume(f.s);
	run_for(f.loop, 350);
	n = take(&f.out);
	assert_int_equal(n.bytes, WRITTEN - 1000);
	assert_int_equal(n.exits, 1);
	stop(&f);
}

/* A process that it left behind holds the pipe, and says nothing: the end is told all the same. */
static void a_silent_child_stays(void **state)
{
	struct fixture f;
	struct seen n;
	int end;

	(void)state;
	start(&f);
	(void)ended_process(f.s, AGENT_WINDOW, &end);
	streams_reap(f.s);
	run_for(f.loop, 350);
	n = take(&f.out);
	assert_int_equal(n.bytes, WRITTEN);
	assert_int_equal(n.exits, 1);
	close(end);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_room),
		cmocka_unit_test(no_credit),
		cmocka_unit_test(a_silent_child_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
