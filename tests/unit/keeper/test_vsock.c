/* SPDX-License-Identifier: MIT */
/* test_vsock.c - the directory of a socket device: who has it, and what a guest reaches there */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "cleanup.h"
#include "failnth.h"
#include "fdio.h"
#include "keeper_vsock.h"
#include "loop.h"
#include "temp_dir.h"
#include "vsock_broker.h"

struct side {
	struct loop *loop;
	struct vsock_dir dir;
	int listen_fd, broker_fd;
};

static int side_open(struct side *s, struct err *e)
{
	*s = (struct side){ .dir = VSOCK_DIR_NONE, .listen_fd = -1, .broker_fd = -1 };
	if (loop_new(&s->loop, e) < 0)
		return -e->code;
	return vsock_dir_open(&s->dir, temp_dir.path, s->loop, &s->listen_fd, &s->broker_fd, e);
}

static void side_close(struct side *s)
{
	vsock_dir_close(&s->dir);
	fd_drop(&s->listen_fd);
	fd_drop(&s->broker_fd);
	loop_free(s->loop);
}

static void quit(void *arg)
{
	loop_quit(arg, 0);
}

static void turn(struct side *s)
{
	struct loop_timer *t;
	struct err e = { 0 };

	assert_int_equal(loop_timer_new(s->loop, quit, s->loop, &t, &e), 0);
	loop_timer_arm(t, 0);
	assert_int_equal(loop_run(s->loop, &e), 0);
	loop_timer_drop(t);
}

/* The answer's errno; *ret_fd is -1 where there is one. */
static uint32_t answer_of(struct side *s, uint32_t port, int *ret_fd)
{
	uint8_t raw[VSOCK_BROKER_SIZE];
	size_t n = 1;

	vsock_broker_put(raw, port, ~port);
	assert_int_equal(send(s->broker_fd, raw, sizeof(raw), 0), sizeof(raw));
	turn(s);
	*ret_fd = -1;
	assert_int_equal(fd_recv(s->broker_fd, raw, sizeof(raw), ret_fd, &n), sizeof(raw));
	assert_int_equal(vsock_broker_answer(raw).cookie, ~port);
	assert_int_equal(n, vsock_broker_answer(raw).error == 0);
	return vsock_broker_answer(raw).error;
}

static bool is_there(const char *name)
{
	return faccessat(temp_dir.fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void connect_is_made(void **state)
{
	auto_fd caller = -1;
	struct side s;
	struct stat st;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(side_open(&s, &e), 0);
	assert_int_equal(fstatat(temp_dir.fd, "connect", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0600);
	assert_int_equal(unix_connect_at(temp_dir.fd, "connect", &caller, &e), 0);
	fd_drop(&caller);
	caller = accept4(s.listen_fd, NULL, NULL, SOCK_CLOEXEC);
	assert_true(caller >= 0);
	side_close(&s);
	assert_false(is_there("connect"));
}

/* What is of a machine that died is replaced; what lives, or is something else, is not touched. */
static void places(void **state)
{
	auto_fd other = -1, file = -1;
	struct side s, t;
	struct err e = { 0 };
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(side_open(&s, &e) < 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(is_there("connect"));
	assert_int_equal(side_open(&s, &e), 0);
	assert_int_equal(side_open(&t, &e), -EBUSY);
	assert_non_null(strstr(e.msg, "another machine has it"));
	side_close(&t);
	assert_true(is_there("connect"));
	side_close(&s);
	assert_int_equal(unix_listen_at(temp_dir.fd, "connect", &other, &e), 0);
	assert_int_equal(side_open(&s, &e), -EADDRINUSE);
	side_close(&s);
	assert_true(is_there("connect"));
	assert_int_equal(unlinkat(temp_dir.fd, "connect", 0), 0);
	file = openat(temp_dir.fd, "connect", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(file >= 0);
	assert_int_equal(side_open(&s, &e), -EEXIST);
	side_close(&s);
	assert_true(is_there("connect"));
	assert_int_equal(unlinkat(temp_dir.fd, "connect", 0), 0);
	assert_int_equal(symlinkat("/nowhere", temp_dir.fd, "connect"), 0);
	assert_int_equal(side_open(&s, &e), -EEXIST);
	side_close(&s);
	assert_int_equal(unlinkat(temp_dir.fd, "connect", 0), 0);
}

static void no_directory(void **state)
{
	static const char *const rows[] = { "/no/such/directory", "/dev/null", "" };
	struct vsock_dir d = VSOCK_DIR_NONE;
	struct loop *loop;
	int listen_fd, broker_fd;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err e = { 0 };

		assert_int_equal(loop_new(&loop, &e), 0);
		assert_true(vsock_dir_open(&d, rows[i], loop, &listen_fd, &broker_fd, &e) < 0);
		assert_true(e.msg[0]);
		vsock_dir_close(&d);
		loop_free(loop);
	}
}

static void guest_reaches(void **state)
{
	auto_fd server = -1, full = -1, file = -1;
	int fd, held[8], n = 0;
	struct side s;
	struct err e = { 0 };
	char c = 0;

	(void)state;
	assert_int_equal(side_open(&s, &e), 0);
	assert_int_equal(unix_listen_at(temp_dir.fd, "77", &server, &e), 0);
	assert_int_equal(answer_of(&s, 77, &fd), 0);
	assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), 1);
	fd_drop(&fd);
	fd = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	assert_int_equal(read(fd, &c, 1), 1);
	assert_int_equal(c, 'x');
	assert_int_equal(read(fd, &c, 1), 0); /* nobody here holds it */
	fd_drop(&fd);
	/* none, a link to one, a file, a directory, one that nobody listens on */
	assert_int_equal(answer_of(&s, 78, &fd), ENOENT);
	assert_int_equal(answer_of(&s, UINT32_MAX, &fd), ENOENT);
	assert_int_equal(symlinkat("77", temp_dir.fd, "79"), 0);
	assert_int_equal(answer_of(&s, 79, &fd), ENOTSOCK);
	file = openat(temp_dir.fd, "80", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(answer_of(&s, 80, &fd), ENOTSOCK);
	assert_int_equal(mkdirat(temp_dir.fd, "81", 0700), 0);
	assert_int_equal(answer_of(&s, 81, &fd), ENOTSOCK);
	fd_drop(&server);
	assert_int_equal(answer_of(&s, 77, &fd), ECONNREFUSED);
	/* one that takes no more does not keep others waiting */
	assert_int_equal(unix_listen_at(temp_dir.fd, "82", &full, &e), 0);
	assert_int_equal(listen(full, 1), 0);
	while (n < (int)ARRAY_SIZE(held) && answer_of(&s, 82, &held[n]) == 0)
		n++;
	assert_true(n >= 1 && n < (int)ARRAY_SIZE(held));
	while (n > 0)
		close(held[--n]);
	side_close(&s);
}

static void vmm_lies(void **state)
{
	static const size_t lengths[] = { 1, 7, 9, 200 };
	uint8_t raw[200] = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct side s;
		struct err e = { 0 };

		assert_int_equal(side_open(&s, &e), 0);
		assert_int_equal(send(s.broker_fd, raw, lengths[i], 0), lengths[i]);
		turn(&s);
		assert_null(s.dir.watch); /* heard no more */
		assert_int_equal(recv(s.broker_fd, raw, sizeof(raw), MSG_DONTWAIT), -1);
		side_close(&s);
	}
}

/* A VMM that takes no answers gets fewer; the keeper goes on. */
static void answers_full(void **state)
{
	uint8_t raw[VSOCK_BROKER_SIZE] = { 0 };
	struct side s;
	struct err e = { 0 };
	int n = 0;

	(void)state;
	assert_int_equal(side_open(&s, &e), 0);
	for (int i = 0; i < 3000; i++) {
		if (send(s.broker_fd, raw, sizeof(raw), MSG_DONTWAIT) < 0)
			assert_int_equal(errno, EAGAIN);
		turn(&s);
	}
	while (recv(s.broker_fd, raw, sizeof(raw), MSG_DONTWAIT) > 0)
		n++;
	assert_true(n > 0 && n < 3000);
	assert_non_null(s.dir.watch);
	side_close(&s);
}

static int open_close(void *arg, struct err *e)
{
	struct side s;
	int rc = side_open(&s, e);

	(void)arg;
	side_close(&s);
	return rc;
}

static void nothing_is_left(void *arg, int rc)
{
	(void)arg;
	(void)rc;
	(void)unlinkat(temp_dir.fd, "connect", 0); /* where that was what failed */
}

static void each_fails_once(void **state)
{
	const struct failnth f = { .name = "vsock directory",
				   .work = open_close,
				   .check = nothing_is_left,
				   .what = FAIL_ALLOC | FAIL_CALL };

	(void)state;
	failnth_run(&f);
}

#define DIR_TEST(f) cmocka_unit_test_setup_teardown(f, temp_dir_setup, temp_dir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(connect_is_made), DIR_TEST(places),   cmocka_unit_test(no_directory),
		DIR_TEST(guest_reaches),   DIR_TEST(vmm_lies), DIR_TEST(answers_full),
		DIR_TEST(each_fails_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
