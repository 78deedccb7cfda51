/* SPDX-License-Identifier: MIT */
/* test_disk.c - writable layers: copies that keep their holes, parents made once */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "disk.h"
#include "fdio.h"

static char dir[64];
static int dir_fd = -1;

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/caisson-disk-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir_fd < 0;
}

static int teardown(void **state)
{
	struct err e;

	(void)state;
	fd_drop(&dir_fd);
	return tree_remove_at(AT_FDCWD, dir, &e);
}

#define SIZE (8U << 20)

/* Data at the start, in the middle, and in the last block. */
static int parent_make(void)
{
	int fd = openat(dir_fd, "parent", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	assert_int_equal(fd_pwrite_full(fd, "start", 5, 0), 0);
	assert_int_equal(fd_pwrite_full(fd, "middle", 6, SIZE / 2 - 3), 0);
	assert_int_equal(fd_pwrite_full(fd, "end", 3, SIZE - 3), 0);
	return fd;
}

static void same_bytes(int a, int b)
{
	static char x[SIZE], y[SIZE];
	struct stat st;

	assert_int_equal(fstat(b, &st), 0);
	assert_int_equal(st.st_size, SIZE);
	assert_int_equal(fd_pread_full(a, x, SIZE, 0), 0);
	assert_int_equal(fd_pread_full(b, y, SIZE, 0), 0);
	assert_memory_equal(x, y, SIZE);
}

static void copy_keeps_holes(void **state)
{
	auto_fd from = parent_make();
	auto_fd to = openat(dir_fd, "copy", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	auto_fd mem = memfd_create("copy", MFD_CLOEXEC); /* of another file system */
	struct stat st;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(disk_copy_sparse(from, to, &e), 0);
	same_bytes(from, to);
	assert_int_equal(fstat(to, &st), 0);
	assert_true(st.st_blocks * 512 < SIZE / 2);
	assert_int_equal(disk_copy_sparse(from, mem, &e), 0);
	same_bytes(from, mem);
	assert_int_equal(fstat(mem, &st), 0);
	assert_true(st.st_blocks * 512 < SIZE / 2);
}

static void copy_refused(void **state)
{
	auto_fd from = parent_make();
	auto_fd ro = openat(dir_fd, "parent", O_RDONLY | O_CLOEXEC);
	struct err e = { 0 };
	int p[2];

	(void)state;
	assert_true(disk_copy_sparse(from, ro, &e) < 0);
	assert_true(disk_copy_sparse(-1, from, &e) == -EBADF);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_true(disk_copy_sparse(from, p[1], &e) < 0);
	close(p[0]);
	close(p[1]);
}

static void layer_made_and_opened(void **state)
{
	auto_fd parent = parent_make();
	auto_fd made = -1, again = -1;
	struct err e = { 0 };
	int none = -1;

	(void)state;
	assert_int_equal(disk_raw.open(dir_fd, "layer", &none, &e), -ENOENT);
	assert_int_equal(disk_raw.create(dir_fd, "layer", parent, &made, &e), 0);
	same_bytes(parent, made);
	assert_int_equal(disk_raw.create(dir_fd, "layer", parent, &none, &e), -EEXIST);
	assert_int_equal(disk_raw.open(dir_fd, "layer", &again, &e), 0);
	assert_int_equal(fd_pwrite_full(again, "X", 1, 9), 0); /* read-write, and its own */
	assert_int_equal(disk_raw.create(dir_fd, "bad", -1, &none, &e), -EBADF);
	assert_int_equal(faccessat(dir_fd, "bad", F_OK, 0), -1); /* nothing is left */
	assert_int_equal(symlinkat("parent", dir_fd, "link"), 0);
	assert_int_equal(disk_raw.open(dir_fd, "link", &none, &e), -ELOOP);
	assert_int_equal(disk_raw.create(dir_fd, "link", parent, &none, &e), -EEXIST);
}

/* The maker is killed (by its limit for files) when it has made a file and not yet filled it. */
static void killed_maker_leaves_nothing(void **state)
{
	auto_fd parent = parent_make();
	auto_dir d = NULL;
	const struct dirent *de;
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		const struct rlimit small = { 4096, 4096 };
		struct err e = { 0 };
		int fd;

		(void)setrlimit(RLIMIT_FSIZE, &small);
		_exit(disk_raw.create(dir_fd, "layer", parent, &fd, &e) < 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ);
	d = opendir(dir);
	while ((de = readdir(d)))
		assert_true(strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0 ||
			    strcmp(de->d_name, "parent") == 0);
}

static void parent_sizes_refused(void **state)
{
	static const uint64_t sizes[] = {
		0, 4096, DISK_SIZE_MIN - 4096, DISK_SIZE_MIN + 1, DISK_SIZE_MAX + 4096, UINT64_MAX
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct err e = { 0 };
		int fd = -1;

		assert_int_equal(disk_parent_open(dir_fd, sizes[i], &fd, &e), -EINVAL);
	}
}

static void parent_is_made_once(void **state)
{
	auto_fd first = -1, second = -1;
	struct err e = { 0 };
	struct stat a, b;
	char magic[2];

	(void)state;
	if (disk_parent_open(dir_fd, 64 << 20, &first, &e) < 0) {
		print_message("%s\n", e.msg);
		skip(); /* no mkfs.ext4 here */
	}
	assert_int_equal(disk_parent_open(dir_fd, 64 << 20, &second, &e), 0);
	assert_int_equal(fstat(first, &a), 0);
	assert_int_equal(fstat(second, &b), 0);
	assert_true(a.st_ino == b.st_ino);
	assert_int_equal(a.st_size, 64 << 20);
	assert_true(a.st_blocks * 512 < a.st_size);
	assert_int_equal(fd_pread_full(first, magic, 2, 1024 + 56), 0);
	assert_memory_equal(magic, "\x53\xef", 2);
	assert_true(write(first, "x", 1) < 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(copy_keeps_holes),
		TEST(copy_refused),
		TEST(layer_made_and_opened),
		TEST(killed_maker_leaves_nothing),
		TEST(parent_sizes_refused),
		TEST(parent_is_made_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
