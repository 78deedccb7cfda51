/* SPDX-License-Identifier: MIT */
/* test_share.c - what a guest does with files and directories that are shared */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>

#include "share_fixture.h"

#define ROW(f) cmocka_unit_test_setup_teardown(f, share_setup, share_teardown)

static void test_init(void **state)
{
	struct fuse_init_in in = { .major = 7, .minor = 31, .flags = FUSE_BIG_WRITES };
	struct fuse_init_out out;

	(void)state;
	assert_int_equal(client_call(&client, FUSE_INIT, 0, &in, sizeof(in), NULL, NULL), 0);
	assert_int_equal(client.out_len, sizeof(out));
	memcpy(&out, client.out, sizeof(out));
	assert_int_equal(out.major, 7);
	assert_int_equal(out.minor, 31);
	assert_int_equal(out.flags, FUSE_BIG_WRITES);
	assert_int_equal(out.max_write, SHARE_DATA_MAX);
	in.major = 8; /* is told what there is, and tries again */
	assert_int_equal(client_call(&client, FUSE_INIT, 0, &in, sizeof(in), NULL, NULL), 0);
	memcpy(&out, client.out, sizeof(out));
	assert_int_equal(out.major, 7);
	in.major = 7;
	in.minor = 30;
	assert_int_equal(client_call(&client, FUSE_INIT, 0, &in, sizeof(in), NULL, NULL), -EPROTO);
	in.major = 6;
	assert_int_equal(client_call(&client, FUSE_INIT, 0, &in, sizeof(in), NULL, NULL), -EPROTO);
}

static void test_lookup(void **state)
{
	struct fuse_entry_out one = { 0 }, two = { 0 };

	(void)state;
	host_file("a", "12345");
	assert_int_equal(client_lookup(&client, ROOT, "a", &one), 0);
	assert_int_equal(one.attr.size, 5);
	assert_int_equal(one.attr.mode, S_IFREG | 0644);
	assert_int_equal(one.entry_valid, 1);
	assert_int_equal(one.attr_valid, 1);
	assert_int_equal(one.attr.ino, host_stat("a").st_ino);
	assert_int_equal(linkat(temp_dir.fd, "a", temp_dir.fd, "b", 0), 0);
	assert_int_equal(client_lookup(&client, ROOT, "b", &two), 0);
	assert_int_equal(two.nodeid, one.nodeid);
	assert_int_equal(client_lookup(&client, ROOT, "c", &two), -ENOENT);
	assert_int_equal(client_lookup(&client, one.nodeid, "c", &two), -ENOTDIR);
	client_forget(&client, one.nodeid, 1);
	assert_int_equal(client_getattr(&client, one.nodeid, NULL), 0);
	client_forget(&client, one.nodeid, 1);
	assert_int_equal(client_getattr(&client, one.nodeid, NULL), -ESTALE);
}

static void test_files(void **state)
{
	struct fuse_entry_out entry = { 0 };
	struct fuse_lseek_in seek = { .offset = 0, .whence = SEEK_HOLE };
	struct fuse_fsync_in sync = { 0 };
	uint64_t fh = 0, id;

	(void)state;
	assert_int_equal(client_create(&client, ROOT, "f", O_RDWR, 0640, &entry, &fh), 0);
	id = entry.nodeid;
	assert_int_equal(host_stat("f").st_mode, S_IFREG | 0640);
	assert_int_equal(client_write(&client, id, fh, 0, "hello", 5, 0), 5);
	assert_int_equal(client_write(&client, id, fh, 5, " world", 6, 0), 6);
	host_has("f", "hello world");
	assert_int_equal(client_read(&client, id, fh, 6, 100), 5);
	assert_memory_equal(client.out, "world", 5);
	assert_int_equal(client_read(&client, id, fh, 11, 100), 0);
	sync.fh = fh;
	assert_int_equal(client_call(&client, FUSE_FSYNC, id, &sync, sizeof(sync), NULL, NULL), 0);
	seek.fh = fh;
	assert_int_equal(client_call(&client, FUSE_LSEEK, id, &seek, sizeof(seek), NULL, NULL), 0);
	seek.whence = SEEK_END;
	assert_int_equal(client_call(&client, FUSE_LSEEK, id, &seek, sizeof(seek), NULL, NULL),
			 -EINVAL);
	assert_int_equal(client_call(&client, FUSE_FLUSH, id, &(struct fuse_flush_in){ .fh = fh },
				     sizeof(struct fuse_flush_in), NULL, NULL),
			 0);
	assert_int_equal(client_release(&client, FUSE_RELEASE, id, fh), 0);
	assert_int_equal(client_release(&client, FUSE_RELEASE, id, fh), -EBADF);
	assert_int_equal(client_read(&client, id, fh, 0, 1), -EBADF);
}

static void test_create_there(void **state)
{
	struct fuse_entry_out entry = { 0 };
	uint64_t fh = 0;

	(void)state;
	host_file("f", "old text");
	assert_int_equal(client_create(&client, ROOT, "f", O_RDWR | O_EXCL, 0600, &entry, &fh),
			 -EEXIST);
	assert_int_equal(client_create(&client, ROOT, "f", O_RDWR, 0600, &entry, &fh), 0);
	assert_int_equal(client_read(&client, entry.nodeid, fh, 0, 100), 8);
	assert_int_equal(client_create(&client, ROOT, "f", O_RDWR | O_TRUNC, 0600, &entry, &fh), 0);
	host_has("f", "");
	assert_int_equal(mkdirat(temp_dir.fd, "d", 0700), 0);
	assert_int_equal(client_create(&client, ROOT, "d", O_RDWR, 0600, &entry, &fh), -EISDIR);
	assert_int_equal(mkfifoat(temp_dir.fd, "p", 0600), 0);
	assert_int_equal(client_create(&client, ROOT, "p", O_RDWR, 0600, &entry, &fh), -ENXIO);
}

/* A page of a mapping belongs where it belongs, also if the file is open for appending. */
static void test_append(void **state)
{
	uint64_t id, fh = 0;

	(void)state;
	host_file("log", "12345");
	id = node_of("log");
	assert_int_equal(client_open(&client, id, O_RDWR | O_APPEND, &fh), 0);
	host_file("log", "1234567");
	assert_int_equal(client_write(&client, id, fh, 5, "ab", 2, 0), 2);
	host_has("log", "1234567ab");
	assert_int_equal(client_write(&client, id, fh, 0, "XY", 2, FUSE_WRITE_CACHE), 2);
	assert_int_equal(client_write(&client, id, fh, 0, "cd", 2, 0), 2);
	host_has("log", "XY34567abcd");
}

static void test_tmpfile(void **state)
{
	struct fuse_create_in in = { .flags = O_RDWR, .mode = 0600 };
	struct fuse_link_in link;
	struct fuse_entry_out entry;
	struct fuse_open_out open;

	(void)state;
	if (client_call(&client, FUSE_TMPFILE, ROOT, &in, sizeof(in), "/", NULL) == -EOPNOTSUPP)
		skip();
	assert_int_equal(client.out_len, sizeof(entry) + sizeof(open));
	memcpy(&entry, client.out, sizeof(entry));
	memcpy(&open, client.out + sizeof(entry), sizeof(open));
	assert_int_equal(client_write(&client, entry.nodeid, open.fh, 0, "kept", 4, 0), 4);
	link.oldnodeid = entry.nodeid;
	assert_int_equal(client_call(&client, FUSE_LINK, ROOT, &link, sizeof(link), "now", NULL),
			 0);
	host_has("now", "kept");
}

static size_t list_count(uint64_t id, uint64_t fh, uint32_t opcode, uint32_t size)
{
	struct fuse_read_in in = { .fh = fh, .size = size };
	size_t n = 0, head = opcode == FUSE_READDIRPLUS ? sizeof(struct fuse_entry_out) : 0;

	for (;;) {
		assert_int_equal(client_call(&client, opcode, id, &in, sizeof(in), NULL, NULL), 0);
		assert_true(client.out_len <= size);
		if (client.out_len == 0)
			return n;
		for (size_t off = 0; off < client.out_len; n++) {
			struct fuse_dirent d;

			memcpy(&d, client.out + off + head, FUSE_NAME_OFFSET);
			in.offset = d.off;
			off += FUSE_DIRENT_ALIGN(head + FUSE_NAME_OFFSET + d.namelen);
			assert_true(off <= client.out_len);
		}
	}
}

static void test_lists(void **state)
{
	struct share_options o = share_options_plain();
	struct fuse_read_in small = { .size = 24 };
	char name[16];
	uint64_t fh = 0;

	(void)state;
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		host_file(name, "");
	}
	assert_int_equal(client_opendir(&client, ROOT, &fh), 0);
	assert_int_equal(list_count(ROOT, fh, FUSE_READDIR, 4096), 302);
	assert_int_equal(list_count(ROOT, fh, FUSE_READDIR, 300), 302);
	assert_int_equal(list_count(ROOT, fh, FUSE_READDIR, UINT32_MAX), 302);
	small.fh = fh;
	assert_int_equal(
		client_call(&client, FUSE_READDIR, ROOT, &small, sizeof(small), NULL, NULL),
		-EINVAL);
	/* only 64 inodes fit: the other names are there, without */
	assert_int_equal(list_count(ROOT, fh, FUSE_READDIRPLUS, 4096), 302);
	assert_int_equal(client_release(&client, FUSE_RELEASEDIR, ROOT, fh), 0);
	o.max_inodes = 1000;
	share_restart(&o);
	assert_int_equal(client_opendir(&client, ROOT, &fh), 0);
	assert_int_equal(list_count(ROOT, fh, FUSE_READDIRPLUS, 5000), 302);
	assert_int_equal(node_of("n299") & ~(uint64_t)UINT32_MAX, 0);
	assert_int_equal(client_release(&client, FUSE_RELEASE, ROOT, fh), -EBADF); /* a directory */
	assert_int_equal(client_opendir(&client, node_of("n1"), &fh), -ENOTDIR);
	assert_int_equal(client_open(&client, ROOT, O_RDONLY, &fh), -EISDIR);
}

static int xattr_get(uint64_t id, const char *name, uint32_t size)
{
	struct fuse_getxattr_in in = { .size = size };

	return client_call(&client, name ? FUSE_GETXATTR : FUSE_LISTXATTR, id, &in, sizeof(in),
			   name, NULL);
}

static int xattr_set(uint64_t id, const char *name, const char *value, uint32_t size)
{
	client_begin(&client, FUSE_SETXATTR, id);
	client_add(&client, &(struct fuse_setxattr_in){ .size = size },
		   FUSE_COMPAT_SETXATTR_IN_SIZE);
	client_text(&client, name);
	client_add(&client, value, strlen(value));
	return client_send(&client);
}

static void test_xattr(void **state)
{
	static const char *const refused[] = {
		"security.capability", "trusted.a", "user", "user.", "system.posix_acl_access", ""
	};
	struct fuse_getxattr_out out;
	uint64_t id;

	(void)state;
	host_file("f", "");
	id = node_of("f");
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		assert_int_equal(xattr_set(id, refused[i], "1", 1), -EOPNOTSUPP);
		assert_int_equal(xattr_get(id, refused[i], 100), -EOPNOTSUPP);
		assert_int_equal(
			client_call(&client, FUSE_REMOVEXATTR, id, NULL, 0, refused[i], ""),
			-EOPNOTSUPP);
	}
	if (xattr_set(id, "user.x", "abc", 3) == -EOPNOTSUPP)
		skip(); /* tmpfs before Linux 6.6 */
	assert_int_equal(xattr_get(id, "user.x", 0), 0);
	memcpy(&out, client.out, sizeof(out));
	assert_int_equal(out.size, 3);
	assert_int_equal(xattr_get(id, "user.x", 2), -ERANGE);
	assert_int_equal(xattr_get(id, "user.x", UINT32_MAX), 0);
	assert_int_equal(client.out_len, 3);
	assert_memory_equal(client.out, "abc", 3);
	assert_int_equal(xattr_get(id, NULL, 100), 0);
	assert_int_equal(client.out_len, 7);
	assert_string_equal((const char *)client.out, "user.x");
	assert_int_equal(xattr_get(id, NULL, 6), -ERANGE);
	assert_int_equal(xattr_get(id, NULL, 0), 0);
	assert_int_equal(xattr_set(id, "user.x", "abc", 4), -EINVAL); /* more than there is */
	assert_int_equal(client_call(&client, FUSE_REMOVEXATTR, id, NULL, 0, "user.x", NULL), 0);
	assert_int_equal(xattr_get(id, "user.x", 100), -ENODATA);
}

static void test_ranges(void **state)
{
	struct fuse_fallocate_in fall = { .length = 8192 };
	struct fuse_copy_file_range_in copy = { .len = 5 };
	struct fuse_entry_out a = { 0 }, b = { 0 };
	uint64_t fh_a = 0, fh_b = 0;

	(void)state;
	assert_int_equal(client_create(&client, ROOT, "a", O_RDWR, 0600, &a, &fh_a), 0);
	assert_int_equal(client_create(&client, ROOT, "b", O_RDWR, 0600, &b, &fh_b), 0);
	assert_int_equal(client_write(&client, a.nodeid, fh_a, 0, "12345678", 8, 0), 8);
	copy.fh_in = fh_a;
	copy.fh_out = fh_b;
	copy.off_in = 3;
	copy.nodeid_out = b.nodeid;
	assert_int_equal(client_call(&client, FUSE_COPY_FILE_RANGE, a.nodeid, &copy, sizeof(copy),
				     NULL, NULL),
			 0);
	host_has("b", "45678");
	copy.nodeid_out = a.nodeid;
	assert_int_equal(client_call(&client, FUSE_COPY_FILE_RANGE, a.nodeid, &copy, sizeof(copy),
				     NULL, NULL),
			 -EBADF);
	fall.fh = fh_b;
	assert_int_equal(
		client_call(&client, FUSE_FALLOCATE, b.nodeid, &fall, sizeof(fall), NULL, NULL), 0);
	assert_int_equal(host_stat("b").st_size, 8192);
	fall.mode = 0x08; /* FALLOC_FL_COLLAPSE_RANGE */
	assert_int_equal(
		client_call(&client, FUSE_FALLOCATE, b.nodeid, &fall, sizeof(fall), NULL, NULL),
		-EOPNOTSUPP);
	fall.mode = 0;
	fall.offset = UINT64_MAX - 1;
	assert_int_equal(
		client_call(&client, FUSE_FALLOCATE, b.nodeid, &fall, sizeof(fall), NULL, NULL),
		-EINVAL);
}

static void test_statfs(void **state)
{
	struct fuse_statfs_out out;

	(void)state;
	assert_int_equal(client_call(&client, FUSE_STATFS, ROOT, NULL, 0, NULL, NULL), 0);
	assert_int_equal(client.out_len, sizeof(out));
	memcpy(&out, client.out, sizeof(out));
	assert_true(out.st.bsize > 0 && out.st.blocks > 0 && out.st.namelen == 255);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(test_init),   ROW(test_lookup),  ROW(test_files), ROW(test_create_there),
		ROW(test_append), ROW(test_tmpfile), ROW(test_lists), ROW(test_xattr),
		ROW(test_ranges), ROW(test_statfs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
