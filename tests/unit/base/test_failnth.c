/* SPDX-License-Identifier: MIT */
/* test_failnth.c - files, sockets, children and the event loop when memory or a call fails */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "buf.h"
#include "child.h"
#include "failnth.h"
#include "fdio.h"
#include "json_text.h"
#include "loop.h"
#include "temp_dir.h"

static int buffer(void *arg, struct err *e)
{
	auto_buf b = { 0 };
	auto_free char *text = NULL;
	int rc = 0;

	(void)arg;
	for (int i = 0; rc == 0 && i < 1000; i++)
		rc = buf_addf(&b, "%d,", i % 10);
	if (rc < 0) {
		assert_true(b.len == 0 || b.data[b.len - 1] == ',');
		return err_set(e, -rc, "add");
	}
	text = buf_take_str(&b);
	assert_int_equal(strlen(text), 2000);
	return 0;
}

/* Long enough that a growing buffer would have to grow at every kind of place. */
static int json(void *arg, struct err *e)
{
	auto_free char *text = json_text(arg, JSON_COMPACT | JSON_SORT_KEYS);

	if (!text)
		return err_set(e, ENOMEM, "json");
	assert_int_equal(strlen(text), 300 * 11 + 1);
	assert_memory_equal(text, "{\"k000\":\"v\",", 12);
	return 0;
}

static int file(void *arg, struct err *e)
{
	struct temp_dir *d = arg;
	auto_buf b = { 0 };

	if (dir_make_at(d->fd, "a/b", 0700, e) < 0 ||
	    file_write_atomic_at(d->fd, "a/b/file", 0600, "new", 3, e) < 0 ||
	    file_read_at(d->fd, "a/b/file", 10, &b, e) < 0)
		return -e->code;
	assert_string_equal(b.data, "new");
	return 0;
}

static void file_is_whole(void *arg, int rc)
{
	struct temp_dir *d = arg;
	auto_buf b = { 0 };
	struct err e = { 0 };

	(void)rc;
	if (file_read_at(d->fd, "a/b/file", 10, &b, &e) < 0)
		assert_int_equal(e.code, ENOENT);
	else
		assert_string_equal(b.data, "new");
	assert_int_equal(tree_remove_at(d->fd, "a", &e), 0);
}

static int tree(void *arg, struct err *e)
{
	struct temp_dir *d = arg;

	return tree_remove_at(d->fd, "tree", e);
}

static void tree_goes_at_last(void *arg, int rc)
{
	struct temp_dir *d = arg;
	struct err e = { 0 };
	struct stat st;

	if (rc == 0)
		assert_int_equal(fstatat(d->fd, "tree", &st, 0), -1);
	assert_int_equal(dir_make_at(d->fd, "tree/a/b", 0700, &e), 0);
	assert_int_equal(file_write_atomic_at(d->fd, "tree/a/f", 0600, "x", 1, &e), 0);
}

static int sockets(void *arg, struct err *e)
{
	struct temp_dir *d = arg;
	auto_fd l = -1, c = -1, got = -1;
	int pair[2], fds[2];
	size_t n = 2;
	ssize_t len;
	char byte;

	if (unix_listen_at(d->fd, "./sock", &l, e) < 0 ||
	    unix_connect_at(d->fd, "./sock", &c, e) < 0)
		return -e->code;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(e, errno, "pair");
	len = fd_send(pair[0], "x", 1, &l, 1);
	if (len == 1)
		len = fd_recv(pair[1], &byte, 1, fds, &n);
	if (len == 1)
		got = n == 1 ? fds[0] : -1;
	close(pair[0]);
	close(pair[1]);
	if (len < 0)
		return err_set(e, (int)-len, "pass");
	assert_true(got >= 0);
	return 0;
}

static int child(void *arg, struct err *e)
{
	auto_buf out = { 0 };
	auto_fd pidfd = -1;
	int status;
	pid_t pid;

	(void)arg;
	if (child_run((const char *[]){ "sh", "-c", "echo hi; exit 3", NULL }, &out, &status, e) <
	    0)
		return -e->code;
	assert_int_equal(status, 3);
	assert_string_equal(out.data, "hi\n");
	if (child_spawn(&(struct child_spec){ .path = "true",
					      .argv = (const char *[]){ "true", NULL },
					      .fds = (int[]){ -1, STDERR_FILENO, STDERR_FILENO },
					      .n_fds = 3 },
			&pid, &pidfd, e) < 0)
		return -e->code;
	if (child_wait(pid, &status, e) < 0)
		return -e->code;
	assert_int_equal(status, 0);
	return 0;
}

static void no_child_is_left(void *arg, int rc)
{
	(void)arg;
	(void)rc;
	errno = 0;
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

struct turn {
	struct loop *l;
	int heard;
};

static void ring(void *arg)
{
	struct turn *t = arg;

	loop_quit(t->l, t->heard);
}

static void hear(void *arg, uint32_t events)
{
	struct turn *t = arg;

	(void)events;
	t->heard = 1;
}

static void hear_signal(void *arg, int signo)
{
	(void)arg;
	(void)signo;
}

static int loop_set_up(struct turn *t, int fd, struct loop_timer **ret, struct err *e)
{
	struct loop_watch *w;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	if (loop_signals(t->l, &set, hear_signal, t, e) < 0 ||
	    loop_watch_fd(t->l, fd, 0, hear, t, &w, e) < 0 || loop_watch_set(w, EPOLLIN, e) < 0 ||
	    loop_timer_new(t->l, ring, t, ret, e) < 0)
		return -e->code;
	loop_timer_arm(*ret, 1);
	return 0;
}

static int loop(void *arg, struct err *e)
{
	struct turn t = { 0 };
	struct loop_timer *timer = NULL;
	int p[2], rc;

	(void)arg;
	if (pipe2(p, O_CLOEXEC) < 0)
		return err_set(e, errno, "pipe");
	rc = loop_new(&t.l, e);
	if (rc == 0)
		rc = loop_set_up(&t, p[0], &timer, e);
	if (rc == 0)
		rc = loop_run(t.l, e);
	loop_timer_drop(timer);
	loop_free(t.l);
	close(p[0]);
	close(p[1]);
	return rc < 0 ? rc : 0;
}

static void each(void **state)
{
	struct temp_dir *d = *state;
	json_t *j = json_object();
	const struct failnth t[] = {
		{ "buffer", buffer, NULL, NULL, FAIL_ALLOC, NULL },
		{ "json", json, NULL, j, FAIL_ALLOC, NULL },
		{ "file", file, file_is_whole, d, FAIL_ALLOC | FAIL_CALL, NULL },
		{ "tree", tree, tree_goes_at_last, d, FAIL_ALLOC | FAIL_CALL, NULL },
		{ "sockets", sockets, NULL, d, FAIL_ALLOC | FAIL_CALL, NULL },
		/* the report of a failure before exec is itself a write */
		{ "child", child, no_child_is_left, NULL, FAIL_ALLOC | FAIL_CALL, "write" },
		{ "loop", loop, NULL, NULL, FAIL_ALLOC | FAIL_CALL, NULL },
	};

	for (int i = 0; i < 300; i++) {
		char key[8];

		snprintf(key, sizeof(key), "k%03d", i);
		assert_int_equal(json_object_set_new(j, key, json_string("v")), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		failnth_run(&t[i]);
	json_decref(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each, temp_dir_setup, temp_dir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
