/* SPDX-License-Identifier: MIT */
/* test_share_escape.c - a guest that wants out of its share */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <string.h>

#include "share_fixture.h"

#define ROW(f)    cmocka_unit_test_setup_teardown(f, share_setup, share_teardown)
#define LONG_NAME 256U

static void test_bad_names(void **state)
{
	static const uint32_t opcodes[] = { FUSE_LOOKUP, FUSE_UNLINK,  FUSE_RMDIR,
					    FUSE_MKDIR,  FUSE_SYMLINK, FUSE_MKNOD,
					    FUSE_CREATE, FUSE_RENAME,  FUSE_LINK };
	static const size_t arg_len[] = { 0, 0, 0, 8, 0, 16, 16, 8, 8 };
	static const uint8_t arg[16] = { FUSE_ROOT_ID };
	char long_name[LONG_NAME + 1];
	const char *const names[] = { "", ".", "..", "/", "a/b", "../x", "/etc/passwd", long_name };

	(void)state;
	memset(long_name, 'n', LONG_NAME);
	long_name[LONG_NAME] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(opcodes); i++)
		for (size_t k = 0; k < ARRAY_SIZE(names); k++) {
			int rc = client_call(&client, opcodes[i], ROOT, arg, arg_len[i], names[k],
					     "target");

			if (rc != (names[k] == long_name ? -ENAMETOOLONG : -EINVAL))
				fail_msg("%u of \"%s\": %d", opcodes[i], names[k], rc);
		}
	host_file("f", "");
	assert_int_equal(client_call(&client, FUSE_RENAME, ROOT, arg, 8, "f", "../g"), -EINVAL);
	client_begin(&client, FUSE_LOOKUP, ROOT); /* a name without an end */
	client_add(&client, "abc", 3);
	assert_int_equal(client_send(&client), -EINVAL);
	client_begin(&client, FUSE_SYMLINK, ROOT);
	client_add(&client, "abc\0def", 7);
	assert_int_equal(client_send(&client), -EINVAL);
}

/* Links are things, not ways. */
static void test_links_out(void **state)
{
	static const char *const targets[] = { "/etc", "..", "/proc/self/fd", "../../../etc", "." };
	struct fuse_entry_out entry = { 0 };
	uint64_t fh = 0, id;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		struct fuse_setattr_in size = { .valid = FATTR_SIZE },
				       mode = { .valid = FATTR_MODE };

		assert_int_equal(symlinkat(targets[i], temp_dir.fd, "l"), 0);
		id = node_of("l");
		assert_int_equal(client_lookup(&client, id, "passwd", &entry), -ENOTDIR);
		assert_int_equal(client_opendir(&client, id, &fh), -ENOTDIR);
		assert_int_equal(client_open(&client, id, O_RDONLY, &fh), -ENXIO);
		assert_int_equal(client_create(&client, id, "x", O_RDWR, 0600, &entry, &fh),
				 -ENOTDIR);
		assert_int_equal(client_create(&client, ROOT, "l", O_RDWR, 0600, &entry, &fh),
				 -ENXIO);
		assert_int_equal(client_setattr(&client, id, &size, NULL), -EINVAL);
		assert_int_equal(client_setattr(&client, id, &mode, NULL), -EOPNOTSUPP);
		assert_int_equal(client_call(&client, FUSE_GETXATTR, id,
					     &(struct fuse_getxattr_in){ 0 },
					     sizeof(struct fuse_getxattr_in), "user.x", NULL),
				 -EOPNOTSUPP);
		assert_int_equal(unlinkat(temp_dir.fd, "l", 0), 0);
	}
}

/* One that shows to a file of the host's that is not there yet. */
static void test_link_made_through(void **state)
{
	char outside[80];
	struct fuse_entry_out entry = { 0 };
	uint64_t fh = 0;

	(void)state;
	snprintf(outside, sizeof(outside), "%s-outside", temp_dir.path);
	assert_int_equal(symlinkat(outside, temp_dir.fd, "l"), 0);
	assert_int_equal(client_create(&client, ROOT, "l", O_RDWR, 0600, &entry, &fh), -ENXIO);
	assert_int_equal(client_create(&client, ROOT, "l", O_RDWR | O_EXCL, 0600, &entry, &fh),
			 -EEXIST);
	assert_int_equal(access(outside, F_OK), -1);
}

static void test_no_devices(void **state)
{
	static const uint32_t modes[] = { S_IFCHR | 0600, S_IFBLK | 0600 };
	uint64_t fh = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		struct fuse_mknod_in in = { .mode = modes[i], .rdev = 0x0103 };

		assert_int_equal(client_call(&client, FUSE_MKNOD, ROOT, &in, sizeof(in), "n", NULL),
				 -EPERM);
	}
	assert_int_equal(mknodat(temp_dir.fd, "sock", S_IFSOCK | 0600, 0), 0);
	assert_int_equal(mknodat(temp_dir.fd, "fifo", S_IFIFO | 0600, 0), 0);
	assert_int_equal(client_open(&client, node_of("sock"), O_RDWR, &fh), -ENXIO);
	assert_int_equal(client_open(&client, node_of("fifo"), O_RDONLY, &fh), -ENXIO);
	if (mknodat(temp_dir.fd, "null", S_IFCHR | 0600, 0x0103) == 0)
		assert_int_equal(client_open(&client, node_of("null"), O_RDWR, &fh), -ENXIO);
}

/* ---- a host, or another machine, that moves things about meanwhile ---- */

struct mover {
	int fd;
	bool is_done;
};

static void *swap_run(void *arg)
{
	struct mover *m = arg;

	while (!__atomic_load_n(&m->is_done, __ATOMIC_ACQUIRE))
		(void)!renameat2(m->fd, "a", m->fd, "b", RENAME_EXCHANGE);
	return NULL;
}

/* "a" is a file of the share's or a link to one outside; only the former is ever read. */
static void test_swapped(void **state)
{
	struct mover m = { temp_dir.fd, false };
	struct fuse_entry_out entry = { 0 };
	pthread_t thread;
	uint64_t fh = 0;
	int n_read = 0;

	(void)state;
	host_file("a", "inside");
	assert_int_equal(symlinkat("/etc/passwd", temp_dir.fd, "b"), 0);
	assert_int_equal(pthread_create(&thread, NULL, swap_run, &m), 0);
	for (int i = 0; i < 20000; i++) {
		int rc = client_create(&client, ROOT, "a", O_RDONLY, 0600, &entry, &fh);

		if (rc < 0)
			continue;
		n_read++;
		if (client_read(&client, entry.nodeid, fh, 0, 100) != 6 ||
		    memcmp(client.out, "inside", 6) != 0)
			fail_msg("read something else");
		assert_int_equal(client_release(&client, FUSE_RELEASE, entry.nodeid, fh), 0);
		client_forget(&client, entry.nodeid, 1);
	}
	__atomic_store_n(&m.is_done, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	assert_true(n_read > 0);
}

/* As above, with directories: a link to /etc never is one. */
static void test_swapped_dir(void **state)
{
	struct mover m = { temp_dir.fd, false };
	struct fuse_entry_out dir = { 0 }, entry = { 0 };
	pthread_t thread;

	(void)state;
	assert_int_equal(mkdirat(temp_dir.fd, "a", 0700), 0);
	assert_int_equal(symlinkat("/etc", temp_dir.fd, "b"), 0);
	assert_int_equal(pthread_create(&thread, NULL, swap_run, &m), 0);
	for (int i = 0; i < 20000; i++) {
		int rc = client_lookup(&client, ROOT, "a", &dir);

		if (rc < 0)
			continue;
		rc = client_lookup(&client, dir.nodeid, "passwd", &entry);
		if (rc != -ENOENT && rc != -ENOTDIR)
			fail_msg("lookup: %d", rc);
		client_forget(&client, dir.nodeid, 1);
	}
	__atomic_store_n(&m.is_done, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(test_bad_names),  ROW(test_links_out), ROW(test_link_made_through),
		ROW(test_no_devices), ROW(test_swapped),   ROW(test_swapped_dir),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
