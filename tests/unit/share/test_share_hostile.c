/* SPDX-License-Identifier: MIT */
/* test_share_hostile.c - requests that are none, numbers that are none, and too many of them */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "bytes.h"
#include "fdio.h"
#include "share_fixture.h"
#include "share_serve.h"

#define ROW(f)     cmocka_unit_test_setup_teardown(f, share_setup, share_teardown)
#define OPCODE_END 60U /* beyond the last one */

static void test_lengths(void **state)
{
	static const uint8_t bytes[200] = { 0 };

	(void)state;
	for (uint32_t op = 0; op < OPCODE_END; op++)
		for (size_t n = 0; n <= sizeof(bytes); n++) {
			assert_int_equal(client_init(&client), 0);
			client_begin(&client, op, ROOT);
			client_add(&client, bytes, n);
			(void)client_send(&client); /* the client judges the reply */
			client_begin(&client, op, n);
			client_add(&client, bytes, n);
			(void)client_send(&client);
		}
	assert_int_equal(client_init(&client), 0);
	for (uint32_t n = 0; n < 2 * sizeof(struct fuse_in_header); n++) {
		client_begin(&client, FUSE_STATFS, ROOT);
		if (n != client.len)
			assert_int_equal(client_send_len(&client, n), -EINVAL);
		client.len = MIN_OF(client.len, n);
		if (n < sizeof(struct fuse_in_header))
			assert_int_equal(client_send_len(&client, n), CLIENT_NO_REPLY);
	}
	client_begin(&client, FUSE_STATFS, ROOT);
	client.len = SHARE_REQUEST_MAX + 1;
	assert_int_equal(client_send(&client), -EINVAL);
}

static void test_write_sizes(void **state)
{
	static const struct {
		uint32_t size, data;
		uint64_t off;
		int rc;
	} rows[] = {
		{ 1, 0, 0, -EINVAL },
		{ UINT32_MAX, 100, 0, -EINVAL },
		{ 101, 100, 0, -EINVAL },
		{ SHARE_DATA_MAX + 1, SHARE_DATA_MAX + 1, 0, -EINVAL },
		{ 5, 5, UINT64_MAX, -EINVAL },
		{ 5, 5, 1ULL << 63, -EINVAL },
		{ SHARE_DATA_MAX, SHARE_DATA_MAX, 0, 0 },
		{ 0, 0, 0, 0 },
		{ 5, 100, 0, 0 },
	};
	static const uint8_t data[SHARE_DATA_MAX + 1];
	struct fuse_entry_out entry = { 0 };
	uint64_t fh = 0;

	(void)state;
	assert_int_equal(client_create(&client, ROOT, "f", O_RDWR, 0600, &entry, &fh), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct fuse_write_in in = { .fh = fh, .offset = rows[i].off, .size = rows[i].size };

		client_begin(&client, FUSE_WRITE, entry.nodeid);
		client_add(&client, &in, sizeof(in));
		client_add(&client, data, rows[i].data);
		assert_int_equal(client_send(&client), rows[i].rc);
	}
	assert_int_equal(client_read(&client, entry.nodeid, fh, 0, UINT32_MAX), SHARE_DATA_MAX);
	assert_int_equal(client_read(&client, entry.nodeid, fh, UINT64_MAX, 1), -EINVAL);
}

static void test_numbers(void **state)
{
	static const uint64_t none[] = { 0, 2, 64, 65, UINT32_MAX, UINT64_MAX, 1ULL << 32 | 1 };
	struct fuse_entry_out entry = { 0 }, again = { 0 };
	uint64_t fh = 0, other = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		assert_int_equal(client_getattr(&client, none[i], NULL), -ESTALE);
		assert_int_equal(client_read(&client, ROOT, none[i], 0, 1), -EBADF);
		client_forget(&client, none[i], 1);
	}
	client_forget(&client, ROOT, UINT64_MAX);
	assert_int_equal(client_getattr(&client, ROOT, NULL), 0);
	host_file("g", "");
	assert_int_equal(client_create(&client, ROOT, "f", O_RDWR, 0600, &entry, &fh), 0);
	assert_int_equal(client_read(&client, node_of("g"), fh, 0, 1), -EBADF); /* not its file */
	client_forget(&client, entry.nodeid, UINT64_MAX);
	assert_int_equal(client_getattr(&client, entry.nodeid, NULL), -ESTALE);
	assert_int_equal(client_lookup(&client, ROOT, "f", &again), 0);
	assert_int_not_equal(again.nodeid, entry.nodeid);
	assert_int_equal(client_open(&client, again.nodeid, O_RDWR, &other), 0);
	assert_int_equal(client_release(&client, FUSE_RELEASE, again.nodeid, other), 0);
	assert_int_equal(client_release(&client, FUSE_RELEASE, again.nodeid, other), -EBADF);
}

static void test_batch_forget(void **state)
{
	struct fuse_batch_forget_in in = { .count = UINT32_MAX };
	struct fuse_forget_one one = { .nlookup = 1 };

	(void)state;
	host_file("a", "");
	one.nodeid = node_of("a");
	client_begin(&client, FUSE_BATCH_FORGET, 0);
	client_add(&client, &in, sizeof(in));
	client_add(&client, &one, sizeof(one));
	client_add(&client, &one, sizeof(one) - 1); /* not a whole one */
	assert_int_equal(client_send(&client), CLIENT_NO_REPLY);
	assert_int_equal(client_getattr(&client, one.nodeid, NULL), -ESTALE);
}

static void test_limits(void **state)
{
	struct fuse_entry_out entry = { 0 };
	char name[16];
	uint64_t fh = 0;

	(void)state;
	for (int i = 0; i < 70; i++) {
		snprintf(name, sizeof(name), "%d", i);
		host_file(name, "");
		assert_int_equal(client_lookup(&client, ROOT, name, &entry), i < 63 ? 0 : -ENFILE);
	}
	assert_int_equal(client_create(&client, ROOT, "x", O_RDWR, 0600, &entry, &fh), -ENFILE);
	assert_int_equal(faccessat(temp_dir.fd, "x", F_OK, 0), -1);
	client_forget(&client, node_of("0"), 2);
	assert_int_equal(client_lookup(&client, ROOT, "69", &entry), 0);
	for (int i = 0; i < 20; i++)
		assert_int_equal(client_open(&client, entry.nodeid, O_RDONLY, &fh),
				 i < 16 ? 0 : -ENFILE);
	assert_int_equal(client_init(&client), 0); /* forgets all */
	assert_int_equal(client_getattr(&client, entry.nodeid, NULL), -ESTALE);
	assert_int_equal(client_lookup(&client, ROOT, "1", &entry), 0);
	assert_int_equal(client_open(&client, entry.nodeid, O_RDONLY, &fh), 0);
	assert_int_equal(client_call(&client, FUSE_DESTROY, 0, NULL, 0, NULL, NULL), 0);
	assert_int_equal(client_getattr(&client, ROOT, NULL), -EIO);
}

static void test_readonly(void **state)
{
	static const uint32_t writes[] = { FUSE_SETATTR,     FUSE_SYMLINK,   FUSE_MKNOD,
					   FUSE_MKDIR,       FUSE_UNLINK,    FUSE_RMDIR,
					   FUSE_RENAME,      FUSE_RENAME2,   FUSE_LINK,
					   FUSE_WRITE,       FUSE_CREATE,    FUSE_TMPFILE,
					   FUSE_REMOVEXATTR, FUSE_FALLOCATE, FUSE_COPY_FILE_RANGE,
					   FUSE_SETXATTR };
	static const int flags[] = { O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC };
	static const uint8_t arg[128] = { 0 };
	struct share_options o = share_options_plain();
	uint64_t fh = 0;

	(void)state;
	host_file("f", "text");
	o.is_readonly = true;
	share_restart(&o);
	for (size_t i = 0; i < ARRAY_SIZE(writes); i++)
		assert_int_equal(client_call(&client, writes[i], ROOT, arg, sizeof(arg), "f", "g"),
				 -EROFS);
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		assert_int_equal(client_open(&client, node_of("f"), (uint32_t)flags[i], &fh),
				 -EROFS);
	assert_int_equal(client_open(&client, node_of("f"), O_RDONLY, &fh), 0);
	assert_int_equal(client_read(&client, node_of("f"), fh, 0, 100), 4);
	host_has("f", "text");
}

static void test_options(void **state)
{
	static const struct share_options rows[] = {
		{ .max_inodes = 0, .max_handles = 1 },
		{ .max_inodes = 1, .max_handles = 0 },
		{ .max_inodes = UINT32_MAX, .max_handles = 1 },
		{ .max_inodes = 1, .max_handles = UINT32_MAX },
		{ .max_inodes = 1, .max_handles = 1, .uids = { UINT32_MAX, 0, 1 } },
		{ .max_inodes = 1, .max_handles = 1, .gids = { 0, 2, UINT32_MAX - 1 } },
	};
	struct share_options o = share_options_plain();
	struct share *s = NULL;
	struct err e = { 0 };
	struct rlimit was, few;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		o = rows[i];
		o.root_fd = temp_dir.fd;
		assert_int_equal(share_new(&o, &s, &e), -EINVAL);
	}
	o = share_options_plain();
	o.root_fd = -1;
	assert_int_equal(share_new(&o, &s, &e), -EBADF);
	o.root_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(share_new(&o, &s, &e), -ENOTDIR);
	close(o.root_fd);
	o = share_options_plain();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	few = (struct rlimit){ 40, was.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(share_new(&o, &s, &e), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_null(s);
}

/* ---- the socket ---- */

struct server {
	int fd, rc;
};

static void *server_run(void *arg)
{
	struct server *s = arg;
	struct err e = { 0 };

	s->rc = share_serve(client.s, s->fd, &e);
	close(s->fd);
	return NULL;
}

static void test_serve(void **state)
{
	static const struct {
		uint32_t len;
		int rc;
	} rows[] = { { 0, 0 },
		     { SHARE_REQUEST_MAX, 0 },
		     { SHARE_REQUEST_MAX + 1, -EPROTO },
		     { UINT32_MAX, -EPROTO } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct server s = { -1, 0 };
		uint8_t raw[4] = { 0 };
		pthread_t thread;
		int fds[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
		s.fd = fds[1];
		assert_int_equal(pthread_create(&thread, NULL, server_run, &s), 0);
		client_begin(&client, FUSE_STATFS, ROOT);
		put_le32(client.req, (uint32_t)client.len);
		put_le32(raw, (uint32_t)client.len);
		assert_int_equal(fd_write_full(fds[0], raw, 4), 0);
		assert_int_equal(fd_write_full(fds[0], client.req, client.len), 0);
		assert_int_equal(fd_read_full(fds[0], raw, 4), 0);
		assert_int_equal(get_le32(raw), 16 + sizeof(struct fuse_statfs_out));
		assert_int_equal(fd_read_full(fds[0], client.reply, get_le32(raw)), 0);
		put_le32(raw, rows[i].len);
		assert_int_equal(fd_write_full(fds[0], raw, 4), 0);
		if (rows[i].len == 0) { /* too short for a reply, which is said */
			assert_int_equal(fd_read_full(fds[0], raw, 4), 0);
			assert_int_equal(get_le32(raw), 0);
		}
		shutdown(fds[0], SHUT_WR);
		pthread_join(thread, NULL);
		assert_int_equal(s.rc, rows[i].rc);
		close(fds[0]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(test_lengths), ROW(test_write_sizes), ROW(test_numbers), ROW(test_batch_forget),
		ROW(test_limits),  ROW(test_readonly),    ROW(test_options), ROW(test_serve),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
