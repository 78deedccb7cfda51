/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "fdio.h"
#include "temp_dir.h"

static void write_is_atomic_and_readable(void **state)
{
	struct temp_dir *d = *state;
	struct err e = { 0 };
	auto_buf b = { 0 };
	struct stat st;

	assert_int_equal(dir_make_at(d->fd, "a/b/c", 0700, &e), 0);
	assert_int_equal(dir_make_at(d->fd, "a/b/c/", 0700, &e), 0); /* again: fine */
	assert_int_equal(file_write_atomic_at(d->fd, "a/b/f", 0640, "one", 3, &e), 0);
	assert_int_equal(file_write_atomic_at(d->fd, "a/b/f", 0640, "two!", 4, &e), 0);
	assert_int_equal(file_read_at(d->fd, "a/b/f", 100, &b, &e), 0);
	assert_string_equal(b.data, "two!");
	assert_int_equal(fstatat(d->fd, "a/b/f", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_int_equal(file_write_atomic_at(d->fd, "no/dir/f", 0600, "x", 1, &e), -ENOENT);
}

static void read_refuses_what_is_no_small_file(void **state)
{
	struct temp_dir *d = *state;
	struct err e = { 0 };
	auto_buf b = { 0 };

	assert_int_equal(file_write_atomic_at(d->fd, "f", 0600, "12345", 5, &e), 0);
	assert_int_equal(symlinkat("f", d->fd, "link"), 0);
	assert_int_equal(mkfifoat(d->fd, "fifo", 0600), 0);
	assert_int_equal(file_read_at(d->fd, "f", 4, &b, &e), -EFBIG);
	buf_clear(&b);
	assert_int_equal(file_read_at(d->fd, "f", 5, &b, &e), 0);
	assert_int_equal(file_read_at(d->fd, "link", 100, &b, &e), -ELOOP);
	assert_int_equal(file_read_at(d->fd, "fifo", 100, &b, &e), -EINVAL); /* and does not hang */
	assert_int_equal(file_read_at(d->fd, ".", 100, &b, &e), -EINVAL);
	assert_int_equal(file_read_at(d->fd, "none", 100, &b, &e), -ENOENT);
}

static void remove_follows_no_link(void **state)
{
	struct temp_dir *d = *state;
	struct err e = { 0 };

	assert_int_equal(dir_make_at(d->fd, "keep", 0700, &e), 0);
	assert_int_equal(file_write_atomic_at(d->fd, "keep/f", 0600, "x", 1, &e), 0);
	assert_int_equal(dir_make_at(d->fd, "gone/sub", 0700, &e), 0);
	assert_int_equal(symlinkat("../keep", d->fd, "gone/link"), 0);
	assert_int_equal(tree_remove_at(d->fd, "gone", &e), 0);
	assert_int_equal(faccessat(d->fd, "gone", F_OK, 0), -1);
	assert_int_equal(faccessat(d->fd, "keep/f", F_OK, 0), 0);
	assert_int_equal(tree_remove_at(d->fd, "gone", &e), 0); /* what is not there is fine */
}

static void short_stream_is_no_data(void **state)
{
	int p[2];
	char c[4];

	(void)state;
	assert_int_equal(pipe(p), 0);
	assert_int_equal(fd_write_full(p[1], "ab", 2), 0);
	close(p[1]);
	assert_int_equal(fd_read_full(p[0], c, 4), -ENODATA);
	close(p[0]);
	assert_int_equal(fd_read_full(p[0], c, 1), -EBADF);
}

static void descriptors_travel_and_surplus_is_closed(void **state)
{
	int s[2], pipes[2], got[1];
	size_t n = 1;
	char c;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(fd_send(s[0], "x", 1, pipes, 2), 1);
	assert_int_equal(fd_recv(s[1], &c, 1, got, &n), 1);
	assert_int_equal(n, 1);
	assert_true(fcntl(got[0], F_GETFD) & FD_CLOEXEC);
	close(pipes[0]);
	close(pipes[1]);
	/* the write end that did not fit was closed: the read end sees the end of the stream */
	assert_int_equal(read(got[0], &c, 1), 0);
	close(got[0]);
	close(s[0]);
	n = 1;
	assert_int_equal(fd_recv(s[1], &c, 1, got, &n), 0);
	assert_int_equal(n, 0);
	close(s[1]);
}

static void sockets_in_deep_directories(void **state)
{
	struct temp_dir *d = *state;
	struct err e = { 0 };
	char deep[300];
	char name[310];
	int l, c;

	memset(deep, 'd', 120);
	deep[120] = '/';
	memset(deep + 121, 'e', 120);
	deep[241] = '\0';
	assert_int_equal(dir_make_at(d->fd, deep, 0700, &e), 0);
	snprintf(name, sizeof(name), "%s/sock", deep);
	assert_int_equal(unix_connect_at(d->fd, name, &c, &e), -ENOENT);
	assert_int_equal(unix_listen_at(d->fd, name, &l, &e), 0);
	assert_int_equal(unix_connect_at(d->fd, name, &c, &e), 0);
	close(c);
	close(l);
	assert_int_equal(unix_listen_at(d->fd, name, &l, &e), 0); /* over a dead one */
	close(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(write_is_atomic_and_readable, temp_dir_setup,
						temp_dir_teardown),
		cmocka_unit_test_setup_teardown(read_refuses_what_is_no_small_file, temp_dir_setup,
						temp_dir_teardown),
		cmocka_unit_test_setup_teardown(remove_follows_no_link, temp_dir_setup,
						temp_dir_teardown),
		cmocka_unit_test_setup_teardown(sockets_in_deep_directories, temp_dir_setup,
						temp_dir_teardown),
		cmocka_unit_test(short_stream_is_no_data),
		cmocka_unit_test(descriptors_travel_and_surplus_is_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
