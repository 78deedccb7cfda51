/* SPDX-License-Identifier: MIT */
/* test_ext_read.c - file systems that mke2fs made, whole and damaged */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>

#include "fdio.h"
#include "fs_fixture.h"
#include "temp_dir.h"
#include "fsread.h"

static void check(const char *options, const char *image)
{
	auto_buf list = { 0 };
	struct err e = { 0 };
	struct disk_view v;
	int fd;

	must_run("cd %s && mke2fs -q -F -d t %s %s 24m 2>&1", temp_dir.path, options, image);
	fd = openat(temp_dir.fd, image, O_RDONLY | O_CLOEXEC);
	v = file_view(&fd);
	assert_int_equal(fs_kind_find(&v), FS_EXT);
	if (fs_walk(&v, &list, &e) < 0)
		fail_msg("%s: %s", options, e.msg);
	assert_non_null(strstr(list.data, "reg 4751 0:0 6 1000000000.0 d/f user.a=b #"));
	assert_non_null(strstr(list.data, " d/g -> d/f\n"));
	assert_non_null(strstr(list.data, " d/short -> f\n"));
	assert_non_null(strstr(list.data, " d/long -> 00000"));
	assert_non_null(strstr(list.data, " c 5,1\n"));
	if (!strstr(options, "inline")) /* mke2fs cuts sparse files then */
		assert_non_null(strstr(list.data, " 9437184 "));
	assert_non_null(strstr(list.data, " sparse\n"));
	assert_non_null(strstr(list.data, " d/e/name-300 #"));
	assert_null(strstr(list.data, "lost+found"));
	close(fd);
}

static void kinds(void **state)
{
	static const char *const options[] = {
		"-t ext2",
		"-t ext3 -b 1024",
		"-t ext4",
		"-t ext4 -b 1024 -I 128",
		"-t ext4 -O inline_data",
		"-t ext4 -O ^extents,^64bit,^metadata_csum",
		"-t ext4 -O bigalloc -C 16384",
		"-t ext4 -b 4096 -O ^has_journal,^dir_index",
	};

	(void)state;
	fs_tree_make();
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		char image[16];

		snprintf(image, sizeof(image), "image-%zu", i);
		check(options[i], image);
	}
}

/* Any of it may be changed: it is refused, or read as something else, and nothing worse. */
static void damaged(void **state)
{
	auto_buf whole = { 0 };
	uint64_t seed = 42;
	int fd;

	(void)state;
	fs_tree_make();
	must_run("cd %s && mke2fs -q -F -d t -t ext4 -O ^metadata_csum image 24m 2>&1",
		 temp_dir.path);
	fd = openat(temp_dir.fd, "image", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fd_read_all(fd, &whole), 0);
	close(fd);
	for (unsigned int round = 0; round < 60; round++) {
		struct memory_disk m = { (uint8_t *)whole.data, whole.len };
		struct disk_view v = memory_view(&m);
		uint8_t saved[64];
		size_t at[64];
		struct err e = { 0 };

		for (size_t i = 0; i < 64; i++) {
			at[i] = 1024 + fs_random(&seed) % (round % 2 ? 4096 : 3U << 20);
			saved[i] = (uint8_t)whole.data[at[i]];
			whole.data[at[i]] = (char)fs_random(&seed);
		}
		if (fs_walk(&v, NULL, &e) < 0)
			assert_true(e.code > 0 && e.msg[0]);
		for (size_t i = 64; i-- > 0;)
			whole.data[at[i]] = (char)saved[i];
	}
}

static void refused(void **state)
{
	static const struct {
		const char *what, *text;
		uint32_t at, len;
		const char *bytes;
	} t[] = {
		{ "larger than the disk", "larger than its place", 1028, 4, "\xff\xff\xff\x00" },
		{ "blocks of 2^74", "larger than its place", 1048, 1, "\x40" },
		{ "blocks of 2^9, by overflow", "larger than its place", 1048, 4,
		  "\xff\xff\xff\xff" },
		{ "no groups", "larger than its place", 1056, 4, "\0\0\0\0" },
		{ "tiny groups", "small groups", 1056, 4, "\1\0\0\0" },
		{ "a journal to be replayed", "journal has not been replayed", 1120, 1, "\xc6" },
		{ "a journal", "it is a journal", 1120, 1, "\x08" },
		{ "features of tomorrow", "file system", 1123, 1, "\x80" },
	};
	auto_buf whole = { 0 };
	int fd;

	(void)state;
	must_run("cd %s && mkdir t && mke2fs -q -F -d t -t ext4 -O ^metadata_csum image 8m 2>&1",
		 temp_dir.path);
	fd = openat(temp_dir.fd, "image", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fd_read_all(fd, &whole), 0);
	close(fd);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct memory_disk m = { (uint8_t *)whole.data, whole.len };
		struct disk_view v = memory_view(&m);
		char saved[8];
		struct err e = { 0 };

		memcpy(saved, whole.data + t[i].at, t[i].len);
		memcpy(whole.data + t[i].at, t[i].bytes, t[i].len);
		if (fs_walk(&v, NULL, &e) == 0)
			fail_msg("%s: not refused", t[i].what);
		if (!strstr(e.msg, t[i].text))
			fail_msg("%s: %s", t[i].what, e.msg);
		memcpy(whole.data + t[i].at, saved, t[i].len);
	}
	for (size_t len = 0; len < 8192; len += 511) { /* cut anywhere */
		struct memory_disk m = { (uint8_t *)whole.data, len };
		struct disk_view v = memory_view(&m);
		struct err e = { 0 };

		assert_true(fs_walk(&v, NULL, &e) < 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(kinds, temp_dir_setup, temp_dir_teardown),
		cmocka_unit_test_setup_teardown(damaged, temp_dir_setup, temp_dir_teardown),
		cmocka_unit_test_setup_teardown(refused, temp_dir_setup, temp_dir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
