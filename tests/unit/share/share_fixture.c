/* SPDX-License-Identifier: MIT */
#include "share_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>

#include "fdio.h"

struct share_client client;

struct share_options share_options_plain(void)
{
	return (struct share_options){ .root_fd = temp_dir.fd,
				       .max_inodes = 64,
				       .max_handles = 16 };
}

static void share_start(const struct share_options *o)
{
	struct err e = { 0 };

	client = (struct share_client){ 0 };
	if (share_new(o, &client.s, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(client_init(&client), 0);
}

int share_setup(void **state)
{
	struct share_options o;

	umask(0);
	if (temp_dir_setup(state) < 0)
		return -1;
	o = share_options_plain();
	share_start(&o);
	return 0;
}

int share_teardown(void **state)
{
	share_free(client.s);
	return temp_dir_teardown(state);
}

void share_restart(const struct share_options *o)
{
	share_free(client.s);
	share_start(o);
}

void host_file(const char *name, const char *text)
{
	auto_fd fd = openat(temp_dir.fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_full(fd, text, strlen(text)), 0);
}

void host_has(const char *name, const char *text)
{
	auto_buf b = { 0 };
	struct err e = { 0 };

	if (file_read_at(temp_dir.fd, name, 1 << 20, &b, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(b.len, strlen(text));
	assert_memory_equal(b.data ? b.data : "", text, b.len);
}

struct stat host_stat(const char *name)
{
	struct stat st = { 0 };

	assert_int_equal(fstatat(temp_dir.fd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st;
}

uint64_t node_of(const char *name)
{
	struct fuse_entry_out entry = { 0 };

	assert_int_equal(client_lookup(&client, ROOT, name, &entry), 0);
	return entry.nodeid;
}
