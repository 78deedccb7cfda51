/* SPDX-License-Identifier: MIT */
/* test_share_names.c - names, modes and owners: what the host sees of what a guest does */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>

#include "share_fixture.h"

#define NOBODY 65534U
#define ROW(f) cmocka_unit_test_setup_teardown(f, share_setup, share_teardown)

static void test_names(void **state)
{
	struct fuse_mkdir_in mkdir_in = { .mode = 0750 };
	struct fuse_mknod_in mknod_in = { .mode = S_IFIFO | 0620 };
	struct fuse_rename_in rename_in;
	struct fuse_rename2_in rename2_in = { .newdir = ROOT, .flags = 1 /* RENAME_NOREPLACE */ };
	struct fuse_link_in link_in;
	char target[8] = { 0 };

	(void)state;
	assert_int_equal(
		client_call(&client, FUSE_MKDIR, ROOT, &mkdir_in, sizeof(mkdir_in), "d", NULL), 0);
	assert_int_equal(host_stat("d").st_mode, S_IFDIR | 0750);
	assert_int_equal(
		client_call(&client, FUSE_MKNOD, ROOT, &mknod_in, sizeof(mknod_in), "p", NULL), 0);
	assert_int_equal(host_stat("p").st_mode, S_IFIFO | 0620);
	mknod_in.mode = 0640;
	assert_int_equal(
		client_call(&client, FUSE_MKNOD, ROOT, &mknod_in, sizeof(mknod_in), "f", NULL), 0);
	assert_int_equal(host_stat("f").st_mode, S_IFREG | 0640);
	assert_int_equal(client_call(&client, FUSE_SYMLINK, ROOT, NULL, 0, "l", "../x"), 0);
	assert_int_equal(readlinkat(temp_dir.fd, "l", target, sizeof(target)), 4);
	assert_string_equal(target, "../x");
	assert_int_equal(client_call(&client, FUSE_READLINK, node_of("l"), NULL, 0, NULL, NULL), 0);
	assert_int_equal(client.out_len, 4);
	assert_memory_equal(client.out, "../x", 4);
	rename_in.newdir = node_of("d");
	assert_int_equal(
		client_call(&client, FUSE_RENAME, ROOT, &rename_in, sizeof(rename_in), "p", "q"),
		0);
	assert_int_equal(host_stat("d/q").st_mode, S_IFIFO | 0620);
	link_in.oldnodeid = node_of("l"); /* the link itself, not what it shows to */
	assert_int_equal(
		client_call(&client, FUSE_LINK, ROOT, &link_in, sizeof(link_in), "m", NULL), 0);
	assert_int_equal(host_stat("m").st_ino, host_stat("l").st_ino);
	assert_int_equal(
		client_call(&client, FUSE_RENAME2, ROOT, &rename2_in, sizeof(rename2_in), "f", "m"),
		-EEXIST);
	assert_int_equal(client_call(&client, FUSE_RMDIR, ROOT, NULL, 0, "d", NULL), -ENOTEMPTY);
	assert_int_equal(client_call(&client, FUSE_UNLINK, rename_in.newdir, NULL, 0, "q", NULL),
			 0);
	assert_int_equal(client_call(&client, FUSE_UNLINK, ROOT, NULL, 0, "d", NULL), -EISDIR);
	assert_int_equal(client_call(&client, FUSE_RMDIR, ROOT, NULL, 0, "d", NULL), 0);
}

static void test_setattr(void **state)
{
	struct fuse_setattr_in in = { .valid = FATTR_MODE, .mode = S_IFREG | 0600 };
	struct fuse_attr attr = { 0 };
	uint64_t fh = 0, id;

	(void)state;
	host_file("f", "12345");
	id = node_of("f");
	assert_int_equal(client_setattr(&client, id, &in, &attr), 0);
	assert_int_equal(attr.mode, S_IFREG | 0600);
	in = (struct fuse_setattr_in){ .valid = FATTR_SIZE, .size = 2 };
	assert_int_equal(client_setattr(&client, id, &in, &attr), 0);
	host_has("f", "12");
	assert_int_equal(client_open(&client, id, O_WRONLY, &fh), 0);
	in = (struct fuse_setattr_in){ .valid = FATTR_SIZE | FATTR_FH, .size = 1, .fh = fh };
	assert_int_equal(client_setattr(&client, id, &in, &attr), 0);
	assert_int_equal(attr.size, 1);
	in = (struct fuse_setattr_in){ .valid = FATTR_ATIME | FATTR_MTIME | FATTR_ATIME_NOW,
				       .mtime = 1000000000,
				       .mtimensec = 5 };
	assert_int_equal(client_setattr(&client, id, &in, &attr), 0);
	assert_int_equal(host_stat("f").st_mtim.tv_sec, 1000000000);
	assert_int_equal(host_stat("f").st_mtim.tv_nsec, 5);
	assert_true(attr.atime > 1500000000);
	in.mtimensec = (1 << 30) - 1; /* UTIME_NOW */
	assert_int_equal(client_setattr(&client, id, &in, &attr), -EINVAL);
	in = (struct fuse_setattr_in){ .valid = FATTR_SIZE, .size = UINT64_MAX };
	assert_int_equal(client_setattr(&client, id, &in, &attr), -EINVAL);
	assert_int_equal(client_setattr(&client, ROOT, &in, &attr), -EINVAL);
	in.size = 0;
	assert_int_equal(client_setattr(&client, ROOT, &in, &attr), -EISDIR);
	in = (struct fuse_setattr_in){ .valid = FATTR_SIZE | FATTR_FH, .fh = 77 };
	assert_int_equal(client_setattr(&client, id, &in, &attr), -EBADF);
}

/* No program that runs with its owner's rights comes into being by itself; chmod is heard. */
static void test_set_id(void **state)
{
	struct fuse_setattr_in in = { .valid = FATTR_MODE, .mode = 06755 };
	struct fuse_mknod_in mknod_in = { .mode = S_IFREG | 06755 };
	struct fuse_mkdir_in mkdir_in = { .mode = 04755 };
	struct fuse_entry_out entry = { 0 };
	uint64_t fh = 0;

	(void)state;
	assert_int_equal(client_create(&client, ROOT, "a", O_RDWR, 06755, &entry, &fh), 0);
	assert_int_equal(host_stat("a").st_mode, S_IFREG | 0755);
	assert_int_equal(
		client_call(&client, FUSE_MKNOD, ROOT, &mknod_in, sizeof(mknod_in), "b", NULL), 0);
	assert_int_equal(host_stat("b").st_mode, S_IFREG | 0755);
	assert_int_equal(client_setattr(&client, entry.nodeid, &in, NULL), 0);
	assert_int_equal(host_stat("a").st_mode, S_IFREG | 06755);
	assert_int_equal(
		client_call(&client, FUSE_MKDIR, ROOT, &mkdir_in, sizeof(mkdir_in), "d", NULL), 0);
	in.mode = 07755;
	assert_int_equal(client_setattr(&client, node_of("d"), &in, NULL), 0);
	assert_int_equal(host_stat("d").st_mode, S_IFDIR | 07755);
}

static void test_owners_mapped(void **state)
{
	struct share_options o = share_options_plain();
	struct fuse_setattr_in in = { .valid = FATTR_UID, .uid = 5 };
	struct fuse_mkdir_in mkdir_in = { .mode = 0750 };
	struct fuse_entry_out entry = { 0 };
	uint64_t fh = 0, id;

	(void)state;
	if (geteuid() != 0)
		skip();
	o.owners = SHARE_OWNERS_MAPPED;
	o.uids = o.gids = (struct share_ids){ .guest_base = 0, .host_base = 5000, .count = 10 };
	share_restart(&o);
	client.uid = 3;
	client.gid = 4;
	assert_int_equal(client_create(&client, ROOT, "f", O_RDWR, 0600, &entry, &fh), 0);
	assert_int_equal(host_stat("f").st_uid, 5003);
	assert_int_equal(host_stat("f").st_gid, 5004);
	assert_int_equal(entry.attr.uid, 3);
	assert_int_equal(entry.attr.gid, 4);
	id = entry.nodeid;
	assert_int_equal(client_setattr(&client, id, &in, NULL), 0);
	assert_int_equal(host_stat("f").st_uid, 5005);
	in.uid = 10;
	assert_int_equal(client_setattr(&client, id, &in, NULL), -EPERM);
	in.uid = UINT32_MAX;
	assert_int_equal(client_setattr(&client, id, &in, NULL), -EPERM);
	assert_int_equal(client_lookup(&client, ROOT, "f", &entry), 0);
	assert_int_equal(fchownat(temp_dir.fd, "f", 0, 5010, 0), 0);
	assert_int_equal(client_lookup(&client, ROOT, "f", &entry), 0);
	assert_int_equal(entry.attr.uid, NOBODY);
	assert_int_equal(entry.attr.gid, NOBODY);
	client.uid = 10;
	assert_int_equal(client_create(&client, ROOT, "g", O_RDWR, 0600, &entry, &fh), -EOVERFLOW);
	client.uid = 1;
	assert_int_equal(client_call(&client, FUSE_SYMLINK, ROOT, NULL, 0, "l", "f"), 0);
	assert_int_equal(host_stat("l").st_uid, 5001);
	assert_int_equal(host_stat("f").st_uid, 0);
	assert_int_equal(fchmod(temp_dir.fd, 02777), 0); /* the directory's group */
	assert_int_equal(fchownat(temp_dir.fd, ".", 0, 5009, 0), 0);
	assert_int_equal(
		client_call(&client, FUSE_MKDIR, ROOT, &mkdir_in, sizeof(mkdir_in), "d", NULL), 0);
	assert_int_equal(host_stat("d").st_uid, 5001);
	assert_int_equal(host_stat("d").st_gid, 5009);
	assert_int_equal(host_stat("d").st_mode, S_IFDIR | 02750);
}

static void test_owners_squashed(void **state)
{
	struct share_options o = share_options_plain();
	struct fuse_setattr_in in = { .valid = FATTR_UID | FATTR_GID, .uid = 7, .gid = 8 };
	struct fuse_entry_out entry = { 0 };
	uint64_t fh = 0;

	(void)state;
	o.owners = SHARE_OWNERS_SQUASHED;
	o.uids.guest_base = 7;
	o.gids.guest_base = 8;
	share_restart(&o);
	client.uid = 12;
	assert_int_equal(client_create(&client, ROOT, "f", O_RDWR, 0600, &entry, &fh), 0);
	assert_int_equal(entry.attr.uid, 7);
	assert_int_equal(entry.attr.gid, 8);
	assert_int_equal(host_stat("f").st_uid, geteuid());
	assert_int_equal(client_setattr(&client, entry.nodeid, &in, NULL), 0);
	in.uid = 9;
	assert_int_equal(client_setattr(&client, entry.nodeid, &in, NULL), -EPERM);
	assert_int_equal(host_stat("f").st_uid, geteuid());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(test_names),         ROW(test_setattr),         ROW(test_set_id),
		ROW(test_owners_mapped), ROW(test_owners_squashed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
