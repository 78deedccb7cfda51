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
#include "temp_dir.h"
#include "vhd.h"

#define SIZE (8U << 20)

/* Data at the start, in the middle, and in the last block. */
static int parent_make(void)
{
	int fd = openat(temp_dir.fd, "parent", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

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
	auto_fd to = openat(temp_dir.fd, "copy", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
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
	auto_fd ro = openat(temp_dir.fd, "parent", O_RDONLY | O_CLOEXEC);
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

/* A dynamic VHD with something in it, as parents are. */
static int vhd_parent_make(void)
{
	const struct vhd_create_options o = { .type = VHD_TYPE_DYNAMIC, .size = SIZE };
	const struct vhd_open_options writing = { .flags = VHD_OPEN_WRITE };
	char path[96];
	struct vhd_err e;
	struct vhd *v;
	int fd;

	snprintf(path, sizeof(path), "%s/parent.vhd", temp_dir.path);
	assert_int_equal(vhd_create(path, &o, &e), 0);
	assert_int_equal(vhd_open(path, &writing, &v, &e), 0);
	assert_int_equal(vhd_write(v, "parent's", 8, SIZE / 2, &e), 0);
	assert_int_equal(vhd_close(v, &e), 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static struct vhd *layer_read(const char *name, uint32_t flags)
{
	struct vhd_open_options o = { .flags = flags | VHD_OPEN_NO_LOCK };
	char path[96], parent[96];
	struct vhd_err e;
	struct vhd *v;

	snprintf(path, sizeof(path), "%s/%s", temp_dir.path, name);
	snprintf(parent, sizeof(parent), "%s/parent.vhd", temp_dir.path);
	o.parent = parent;
	if (vhd_open(path, &o, &v, &e) < 0)
		fail_msg("%s", e.msg);
	return v;
}

static void layer_made_and_opened(void **state)
{
	auto_fd parent = vhd_parent_make();
	auto_fd made = -1, again = -1;
	struct err e = { 0 };
	struct vhd_info info;
	struct vhd_err ve;
	struct stat st;
	struct vhd *v;
	char got[8];
	int none = -1;

	(void)state;
	assert_int_equal(disk_layer_open(temp_dir.fd, "layer", &none, &e), -ENOENT);
	assert_int_equal(disk_layer_create(temp_dir.fd, "layer", parent, -1, &made, &e), 0);
	assert_int_equal(fstat(made, &st), 0);
	assert_true(st.st_size < 200 << 10);
	v = layer_read("layer", 0);
	assert_int_equal(vhd_read(v, got, 8, SIZE / 2, &ve), 0);
	assert_memory_equal(got, "parent's", 8);
	assert_int_equal(vhd_info_get(v, 0, &info, &ve), 0);
	assert_string_equal(info.locators[0].path, "../../parents/ext4-8388608.vhd");
	assert_int_equal(vhd_close(v, &ve), 0);
	assert_int_equal(disk_layer_create(temp_dir.fd, "layer", parent, -1, &none, &e), -EEXIST);
	fd_drop(&made);
	assert_int_equal(disk_layer_open(temp_dir.fd, "layer", &again, &e), 0);
	assert_true(disk_layer_create(temp_dir.fd, "bad", -1, -1, &none, &e) < 0);
	assert_int_equal(faccessat(temp_dir.fd, "bad", F_OK, 0), -1); /* nothing is left */
	assert_int_equal(symlinkat("parent.vhd", temp_dir.fd, "link"), 0);
	assert_int_equal(disk_layer_open(temp_dir.fd, "link", &none, &e), -ELOOP);
	assert_int_equal(disk_layer_create(temp_dir.fd, "link", parent, -1, &none, &e), -EEXIST);
}

/* What a power cut or a bad disk makes of a file: told with its path, and left as it is. */
static void broken_layer_told(void **state)
{
	static const struct {
		off_t length; /* 0: as it was */
		off_t zeros, n_zeros;
		const char *text;
		bool is_blank;
	} t[] = {
		{ .length = 1, .text = "too short for a VHD" },
		{ .length = 512, .text = "not all there" },
		{ .length = 8200, .text = "table" },
		{ .length = 1 << 20, .text = "is damaged: see caisson disk check" },
		{ .n_zeros = 512, .text = "is damaged: see caisson disk check" },
		{ .zeros = 512, .n_zeros = 1024, .text = "header" },
		{ .n_zeros = 8 << 20, .text = "no VHD", .is_blank = true },
	};
	auto_fd parent = vhd_parent_make();
	struct err e = { 0 };
	struct vhd_err ve;
	struct stat st;
	int none = -1;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_fd fd = -1;
		struct vhd *v;

		(void)unlinkat(temp_dir.fd, "layer", 0);
		assert_false(disk_layer_is_blank(temp_dir.fd, "layer"));
		assert_int_equal(disk_layer_create(temp_dir.fd, "layer", parent, -1, &fd, &e), 0);
		v = layer_read("layer", VHD_OPEN_WRITE);
		assert_int_equal(vhd_write(v, "machine's", 9, SIZE / 2, &ve), 0);
		assert_int_equal(vhd_close(v, &ve), 0);
		if (t[i].length)
			assert_int_equal(ftruncate(fd, t[i].length), 0);
		if (t[i].n_zeros)
			assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
						   t[i].zeros, t[i].n_zeros),
					 0);
		assert_int_equal(fstat(fd, &st), 0);
		fd_drop(&fd);
		e.msg[0] = '\0';
		assert_true(disk_layer_open(temp_dir.fd, "layer", &none, &e) < 0);
		if (!strstr(e.msg, t[i].text) || !strstr(e.msg, temp_dir.path))
			fail_msg("row %zu: %s", i, e.msg);
		assert_int_equal(disk_layer_is_blank(temp_dir.fd, "layer"), t[i].is_blank);
		assert_int_equal(fstatat(temp_dir.fd, "layer", &st, 0), 0);
		assert_int_equal(st.st_size, t[i].length ? t[i].length : st.st_size);
	}
}

/* A template's layer and the machine's that begins with its bytes. */
static void layer_copied(void **state)
{
	auto_fd parent = vhd_parent_make();
	auto_fd from = -1, to = -1;
	struct vhd_info a, b;
	struct err e = { 0 };
	struct vhd_err ve;
	struct vhd *v;
	char got[8];

	(void)state;
	assert_int_equal(disk_layer_create(temp_dir.fd, "template", parent, -1, &from, &e), 0);
	v = layer_read("template", VHD_OPEN_WRITE);
	assert_int_equal(vhd_write(v, "template", 8, SIZE / 2, &ve), 0);
	assert_int_equal(vhd_info_get(v, 0, &a, &ve), 0);
	assert_int_equal(vhd_close(v, &ve), 0);
	assert_int_equal(disk_layer_create(temp_dir.fd, "layer", parent, from, &to, &e), 0);
	v = layer_read("layer", 0);
	assert_int_equal(vhd_read(v, got, 8, SIZE / 2, &ve), 0);
	assert_memory_equal(got, "template", 8);
	assert_int_equal(vhd_info_get(v, 0, &b, &ve), 0);
	assert_int_equal(b.problems, 0);
	assert_memory_not_equal(&a.id, &b.id, sizeof(a.id));
	assert_memory_equal(&a.parent_id, &b.parent_id, sizeof(a.id));
	assert_int_equal(vhd_close(v, &ve), 0);
	/* what is no VHD is not copied */
	fd_drop(&from);
	from = parent_make();
	assert_true(disk_layer_create(temp_dir.fd, "other", parent, from, &to, &e) < 0);
}

/* The maker is killed (by its limit for files) when it has made a file and not yet filled it. */
static void killed_maker_leaves_nothing(void **state)
{
	auto_fd parent = vhd_parent_make();
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
		_exit(disk_layer_create(temp_dir.fd, "layer", parent, -1, &fd, &e) < 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ);
	d = opendir(temp_dir.path);
	while ((de = readdir(d)))
		assert_true(strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0 ||
			    strcmp(de->d_name, "parent.vhd") == 0);
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

		assert_int_equal(disk_parent_open(temp_dir.fd, sizes[i], &fd, &e), -EINVAL);
	}
}

/* The journal grows with the disk: none is too large for its disk. */
static void parent_sizes_taken(void **state)
{
	static const uint64_t sizes[] = { DISK_SIZE_MIN, (32U << 20) - 4096, 32U << 20,
					  (128U << 20) - 4096, 128U << 20 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		auto_fd fd = -1;
		struct err e = { 0 };

		if (disk_parent_open(temp_dir.fd, sizes[i], &fd, &e) < 0)
			fail_msg("%llu: %s", (unsigned long long)sizes[i], e.msg);
	}
}

static void parent_is_made_once(void **state)
{
	auto_fd first = -1, second = -1;
	struct err e = { 0 };
	struct vhd_err ve;
	struct vhd_info info;
	struct stat a, b;
	char path[96], magic[2];
	struct vhd *v;

	(void)state;
	if (disk_parent_open(temp_dir.fd, 64 << 20, &first, &e) < 0) {
		print_message("%s\n", e.msg);
		skip(); /* no mkfs.ext4 here */
	}
	assert_int_equal(disk_parent_open(temp_dir.fd, 64 << 20, &second, &e), 0);
	assert_int_equal(fstat(first, &a), 0);
	assert_int_equal(fstat(second, &b), 0);
	assert_true(a.st_ino == b.st_ino);
	assert_true(a.st_blocks * 512 < 1 << 20);
	snprintf(path, sizeof(path), "%s/ext4-67108864.vhd", temp_dir.path);
	assert_int_equal(vhd_open(path, NULL, &v, &ve), 0);
	assert_int_equal(vhd_info_get(v, 0, &info, &ve), 0);
	assert_int_equal(info.problems, 0);
	assert_int_equal(vhd_size(v), 64 << 20);
	assert_int_equal(vhd_read(v, magic, 2, 1024 + 56, &ve), 0);
	assert_int_equal(vhd_close(v, &ve), 0);
	assert_memory_equal(magic, "\x53\xef", 2);
	assert_true(write(first, "x", 1) < 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, temp_dir_setup, temp_dir_teardown)
	const struct CMUnitTest tests[] = {
		TEST(copy_keeps_holes),
		TEST(copy_refused),
		TEST(layer_made_and_opened),
		TEST(broken_layer_told),
		TEST(layer_copied),
		TEST(killed_maker_leaves_nothing),
		TEST(parent_sizes_refused),
		TEST(parent_sizes_taken),
		TEST(parent_is_made_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
