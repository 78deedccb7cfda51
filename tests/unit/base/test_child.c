/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "buf.h"
#include "child.h"
#include "fdio.h"
#include "temp_dir.h"

static void run_gives_output_and_status(void **state)
{
	auto_buf out = { 0 };
	struct err e = { 0 };
	int status = -1;

	(void)state;
	assert_int_equal(child_run((const char *[]){ "sh", "-c", "echo hi; exit 3", NULL }, &out,
				   &status, &e),
			 0);
	assert_string_equal(out.data, "hi\n");
	assert_int_equal(status, 3);
	assert_int_equal(
		child_run((const char *[]){ "sh", "-c", "kill -9 $$", NULL }, NULL, &status, &e),
		0);
	assert_int_equal(status, 128 + SIGKILL);
}

static void missing_program_is_an_error(void **state)
{
	struct err e = { 0 };
	int status;

	(void)state;
	assert_int_equal(
		child_run((const char *[]){ "no-such-program-here", NULL }, NULL, &status, &e),
		-ENOENT);
	assert_non_null(strstr(e.msg, "no-such-program-here"));
}

static void too_much_output_is_an_error(void **state)
{
	auto_buf out = BUF_LIMIT(100);
	struct err e = { 0 };
	int status;

	(void)state;
	assert_int_equal(child_run((const char *[]){ "seq", "1000", NULL }, &out, &status, &e),
			 -EFBIG);
}

/* Exactly the descriptors asked for, in their places, even when they overlap with the targets. */
static void descriptors_are_exact(void **state)
{
	auto_buf out = { 0 };
	struct err e = { 0 };
	int p[2], status, leak = open("/dev/null", O_RDONLY); /* not close-on-exec */
	int file = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
	int fds[5];
	struct child_spec s = {
		.path = "sh",
		.argv =
			(const char *[]){
				"sh", "-c",
				"for i in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$i ] && printf \"$i \"; done; true",
				NULL },
		.fds = fds,
		.n_fds = 5
	};
	pid_t pid;

	(void)state;
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	fds[0] = -1;
	fds[1] = p[1];
	fds[2] = 2;
	fds[3] = p[0]; /* very likely number 4 or so itself */
	fds[4] = file;
	assert_int_equal(child_spawn(&s, &pid, NULL, &e), 0);
	close(p[1]);
	assert_int_equal(fd_read_all(p[0], &out), 0);
	assert_string_equal(out.data, "0 1 2 3 4 ");
	assert_int_equal(child_wait(pid, &status, &e), 0);
	close(p[0]);
	close(leak);
	close(file);
}

static int refuse(void *arg)
{
	(void)arg;
	return -EPERM;
}

static void failing_setup_fails_the_spawn(void **state)
{
	struct child_spec s = { .path = "true",
				.argv = (const char *[]){ "true", NULL },
				.setup = refuse };
	struct err e = { 0 };
	pid_t pid;

	(void)state;
	assert_int_equal(child_spawn(&s, &pid, NULL, &e), -EPERM);
}

static int become_nobody(void *arg)
{
	(void)arg;
	return setresgid(65533, 65533, 65533) < 0 || setresuid(65533, 65533, 65533) < 0 ? -errno
											: 0;
}

/* Root's program, in a directory that is nobody else's, for a child that is root no more. */
static void program_out_of_reach(void **state)
{
	struct child_spec s = { .argv = (const char *[]){ "id", "-u", NULL },
				.setup = become_nobody };
	auto_fd copy = openat(temp_dir.fd, "id", O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	auto_fd program = open("/usr/bin/id", O_RDONLY | O_CLOEXEC);
	char path[100];
	struct err e = { 0 };
	int status, out[2];
	auto_buf b = { 0 };
	pid_t pid;

	(void)state;
	if (geteuid() != 0 || program < 0)
		skip();
	snprintf(path, sizeof(path), "%s/id", temp_dir.path);
	s.path = path;
	assert_true(sendfile(copy, program, NULL, 1U << 24) > 0);
	fd_drop(&copy);
	assert_int_equal(fchmod(temp_dir.fd, 0700), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	s.fds = (int[]){ -1, out[1], STDERR_FILENO };
	s.n_fds = 3;
	assert_int_equal(child_spawn(&s, &pid, NULL, &e), 0);
	close(out[1]);
	assert_int_equal(fd_read_all(out[0], &b), 0);
	close(out[0]);
	assert_int_equal(child_wait(pid, &status, &e), 0);
	assert_int_equal(status, 0);
	assert_string_equal(b.data, "65533\n");
}

static void pidfd_tells_the_end(void **state)
{
	struct child_spec s = { .path = "true", .argv = (const char *[]){ "true", NULL } };
	struct err e = { 0 };
	int pidfd, status;
	pid_t pid;

	(void)state;
	assert_int_equal(child_spawn(&s, &pid, &pidfd, &e), 0);
	assert_int_equal(poll(&(struct pollfd){ .fd = pidfd, .events = POLLIN }, 1, 5000), 1);
	assert_int_equal(child_wait(pid, &status, &e), 0);
	assert_int_equal(status, 0);
	close(pidfd);
}

/* In a child of the test's, as `uid`. Its exit code is that of the program, 99 when there is none.
 */
static int apart_as(uid_t uid, const char *script)
{
	struct child_spec s = { .path = "sh",
				.argv = (const char *[]){ "sh", "-c", script, NULL },
				.flags = CHILD_OWN_PIDS | CHILD_DIE_WITH_PARENT };
	struct err e = { 0 };
	int status = 99;
	pid_t test = fork(), pid;

	if (test == 0) {
		if (uid != geteuid() &&
		    (setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0))
			_exit(98);
		if (child_spawn(&s, &pid, NULL, &e) < 0 || child_wait(pid, &status, &e) < 0)
			_exit(99);
		_exit(status);
	}
	assert_int_equal(child_wait(test, &status, &e), 0);
	return status;
}

static bool users_may_have_namespaces(void)
{
	return apart_as(geteuid() ? geteuid() : 65533, "[ $$ = 1 ]") == 0;
}

static void processes_of_its_own(void **state)
{
	(void)state;
	if (geteuid() == 0)
		assert_int_equal(apart_as(0, "[ $$ = 1 ] && [ $(id -u) = 0 ]"), 0);
	if (!users_may_have_namespaces())
		skip();
	assert_int_equal(
		apart_as(geteuid() ? geteuid() : 65533, "exit $(( $(id -u) == 0 ? 7 : 3 ))"), 3);
	if (geteuid() == 0) /* who it is stays */
		assert_int_equal(apart_as(65533, "[ $(id -u) = 65533 ] && [ $(id -g) = 65533 ]"),
				 0);
}

/* It may make another user namespace in it: a VMM does. */
static void namespaces_nest(void **state)
{
	(void)state;
	if (!users_may_have_namespaces())
		skip();
	assert_int_equal(apart_as(geteuid() ? geteuid() : 65533, "unshare -U true"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(run_gives_output_and_status),
		cmocka_unit_test(missing_program_is_an_error),
		cmocka_unit_test(too_much_output_is_an_error),
		cmocka_unit_test(descriptors_are_exact),
		cmocka_unit_test(failing_setup_fails_the_spawn),
		cmocka_unit_test_setup_teardown(program_out_of_reach, temp_dir_setup,
						temp_dir_teardown),
		cmocka_unit_test(pidfd_tells_the_end),
		cmocka_unit_test(processes_of_its_own),
		cmocka_unit_test(namespaces_nest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
