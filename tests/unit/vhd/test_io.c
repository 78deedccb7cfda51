/* SPDX-License-Identifier: MIT */
/* test_io.c - stores of bytes: memory and file keep one contract, and memory is sparse */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "vhd.h"

#define KIB 1024ULL
#define MIB (1ULL << 20)
#define TIB (1ULL << 40)

static int io_read(struct vhd_io *io, void *buf, size_t len, uint64_t off)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };

	return io->ops->preadv(io, &iov, 1, off);
}

static int io_write(struct vhd_io *io, const char *buf, size_t len, uint64_t off)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };

	return io->ops->pwritev(io, &iov, 1, off);
}

static uint64_t io_size(struct vhd_io *io)
{
	uint64_t size = 0;

	assert_int_equal(io->ops->get_size(io, &size), 0);
	return size;
}

static struct vhd_io *memory(uint64_t max)
{
	struct vhd_err e = { 0 };
	struct vhd_io *io = NULL;

	assert_int_equal(vhd_io_memory("mem", max, &io, &e), 0);
	assert_string_equal(io->name, "mem");
	assert_false(io->is_read_only);
	return io;
}

static struct vhd_io *file(void)
{
	int fd = memfd_create("vhd-io", MFD_CLOEXEC);
	struct vhd_err e = { 0 };
	struct vhd_io *io = NULL;

	assert_true(fd >= 0);
	assert_int_equal(vhd_io_file(fd, "file", &io, &e), 0);
	assert_false(io->is_read_only);
	return io;
}

static void all_zeros(struct vhd_io *io, uint64_t off, size_t len)
{
	auto_free uint8_t *buf = malloc(len);
	auto_free uint8_t *zeros = calloc(1, len);

	assert_true(buf && zeros);
	memset(buf, 0xee, len);
	assert_int_equal(io_read(io, buf, len, off), 0);
	assert_memory_equal(buf, zeros, len);
}

/* Ends, gaps, vectors over page borders, cuts and holes. */
static void contract(struct vhd_io *io)
{
	char a[6] = "abcdef", b[3] = "", c[5] = "", buf[16];
	struct iovec w[3] = { { a, 6 }, { NULL, 0 }, { a, 3 } };
	struct iovec r[3] = { { b, 3 }, { NULL, 0 }, { c, 5 } };

	assert_int_equal(io_size(io), 0);
	assert_int_equal(io_read(io, buf, 1, 0), -ENODATA);
	assert_int_equal(io->ops->pwritev(io, w, 3, 64 * KIB - 4), 0);
	assert_int_equal(io_size(io), 64 * KIB + 5);
	all_zeros(io, 0, 64 * KIB - 4);
	assert_int_equal(io->ops->preadv(io, r, 3, 64 * KIB - 4), 0);
	assert_memory_equal(b, "abc", 3);
	assert_memory_equal(c, "defab", 5);
	assert_int_equal(io_read(io, buf, 10, 64 * KIB - 4), -ENODATA);

	assert_int_equal(io->ops->set_size(io, 64 * KIB + 1), 0);
	assert_int_equal(io_size(io), 64 * KIB + 1);
	assert_int_equal(io->ops->set_size(io, MIB), 0);
	all_zeros(io, 64 * KIB + 1, MIB - 64 * KIB - 1); /* what was cut off does not come back */
	assert_int_equal(io_read(io, buf, 5, 64 * KIB - 4), 0);
	assert_memory_equal(buf, "abcde", 5);

	assert_int_equal(io_write(io, "xyz", 3, 300 * KIB), 0);
	assert_int_equal(io->ops->punch(io, 64 * KIB - 2, 236 * KIB + 3), 0);
	all_zeros(io, 64 * KIB - 2, 236 * KIB + 3);
	assert_int_equal(io_read(io, buf, 2, 300 * KIB + 1), 0);
	assert_memory_equal(buf, "yz", 2);
	assert_int_equal(io_read(io, buf, 2, 64 * KIB - 4), 0);
	assert_memory_equal(buf, "ab", 2);
	assert_int_equal(io_size(io), MIB);
	assert_int_equal(io->ops->flush(io), 0);
}

static void memory_keeps_contract(void **state)
{
	struct vhd_io *io = memory(MIB);

	(void)state;
	contract(io);
	vhd_io_close(io);
	vhd_io_close(NULL);
}

static void file_keeps_contract(void **state)
{
	struct vhd_io *io = file();

	(void)state;
	contract(io);
	vhd_io_close(io);
}

static void file_refused(void **state)
{
	char zero[1] = "";
	struct vhd_err e = { 0 };
	struct vhd_io *io = NULL;
	int p[2], fd;

	(void)state;
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(vhd_io_file(p[0], "pipe", &io, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "pipe"));
	assert_int_equal(fcntl(p[0], F_GETFD), -1); /* taken, also on failure */
	close(p[1]);
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_int_equal(vhd_io_file(fd, "null", &io, &e), -EINVAL);
	assert_int_equal(vhd_io_file(open("/", O_RDONLY | O_CLOEXEC), "root", &io, &e), -EINVAL);
	assert_int_equal(vhd_io_file(-1, "none", &io, &e), -EBADF);

	assert_int_equal(vhd_io_file(open("/proc/self/exe", O_RDONLY | O_CLOEXEC), "exe", &io, &e),
			 0);
	assert_true(io->is_read_only);
	assert_true(io_write(io, zero, 1, 0) < 0);
	vhd_io_close(io);
}

struct run {
	uint64_t len;
	bool is_data;
};

static void extents_are(struct vhd_io *io, const struct run *want, size_t n)
{
	uint64_t off = 0, len = 0;
	bool is_data = false;

	for (size_t i = 0; i < n; i++) {
		assert_int_equal(io->ops->extent(io, off, &len, &is_data), 0);
		assert_int_equal(len, want[i].len);
		assert_int_equal(is_data, want[i].is_data);
		off += len;
	}
	assert_int_equal(off, io_size(io));
	assert_int_equal(io->ops->extent(io, off, &len, &is_data), -ENODATA);
}

/* Holes of 2 TiB, a byte at the end, extents that step over them in one. */
static void memory_is_sparse(void **state)
{
	static const struct run want[] = { { 64 * KIB, true },
					   { 2 * TIB - 128 * KIB, false },
					   { 64 * KIB, true } };
	static const struct run punched[] = { { 2 * TIB, false } };
	static const struct run none[] = { { 5, false } };
	struct vhd_io *io = memory(128 * KIB);
	char buf[2];

	(void)state;
	assert_int_equal(io_write(io, "z", 1, 2 * TIB - 1), 0);
	assert_int_equal(io_write(io, "a", 1, 0), 0);
	extents_are(io, want, ARRAY_SIZE(want));
	assert_int_equal(io_read(io, buf, 2, 2 * TIB - 2), 0);
	assert_memory_equal(buf, "\0z", 2);
	assert_int_equal(io->ops->punch(io, 0, 2 * TIB), 0);
	extents_are(io, punched, 1);
	assert_int_equal(io->ops->set_size(io, 5), 0);
	extents_are(io, none, 1);
	vhd_io_close(io);
}

/* The bound is of pages, holds for each write as a whole, and is given back. */
static void memory_is_bounded(void **state)
{
	struct vhd_io *io = memory(2 * 64 * KIB - 1); /* two pages */
	char buf[4] = "";

	(void)state;
	assert_int_equal(io_write(io, "one", 3, 64 * KIB - 2), 0);
	assert_int_equal(io_write(io, "two", 3, 128 * KIB - 2), -ENOSPC);
	assert_int_equal(io_size(io), 64 * KIB + 1);
	assert_int_equal(io_write(io, "x", 1, 1 * TIB), -ENOSPC);
	assert_int_equal(io->ops->set_size(io, 1 * TIB), 0);
	all_zeros(io, 128 * KIB - 2, 4);
	assert_int_equal(io->ops->punch(io, 0, 64 * KIB), 0);
	assert_int_equal(io_write(io, "two", 3, 128 * KIB - 2), 0);
	assert_int_equal(io_read(io, buf, 3, 128 * KIB - 2), 0);
	assert_memory_equal(buf, "two", 3);
	assert_int_equal(io->ops->set_size(io, 100 * KIB), 0);
	assert_int_equal(io_write(io, "y", 1, 200 * KIB), 0);
	assert_int_equal(io->ops->set_size(io, 1ULL << 60), -EFBIG);
	assert_int_equal(io_write(io, "y", 1, 1ULL << 60), -EFBIG);
	assert_int_equal(io_write(io, "y", 1, UINT64_MAX), -EFBIG);
	assert_int_equal(io_read(io, buf, 2, UINT64_MAX), -ENODATA);
	assert_int_equal(io->ops->punch(io, UINT64_MAX, 2), -EINVAL);
	vhd_io_close(io);
}

static void memory_is_copied(void **state)
{
	struct vhd_io *io = memory(MIB), *copy = NULL, *f = file();
	struct vhd_err e = { 0 };
	char buf[3];

	(void)state;
	assert_int_equal(io_write(io, "end", 3, 1 * TIB), 0);
	assert_int_equal(io_write(io, "mid", 3, 100), 0);
	assert_int_equal(vhd_io_memory_copy(io, &copy, &e), 0);
	assert_int_equal(io_write(io, "new", 3, 100), 0);
	vhd_io_close(io);
	assert_int_equal(io_size(copy), 1 * TIB + 3);
	assert_int_equal(io_read(copy, buf, 3, 100), 0);
	assert_memory_equal(buf, "mid", 3);
	assert_int_equal(io_read(copy, buf, 3, 1 * TIB), 0);
	assert_memory_equal(buf, "end", 3);
	assert_string_equal(copy->name, "mem");
	assert_int_equal(io_write(copy, "!", 1, MIB), 0);
	vhd_io_close(copy);
	assert_int_equal(vhd_io_memory_copy(f, &copy, &e), -EINVAL);
	vhd_io_close(f);
}

static void memory_read_only(void **state)
{
	struct vhd_io *io = memory(MIB);

	(void)state;
	assert_int_equal(io_write(io, "a", 1, 0), 0);
	io->is_read_only = true;
	assert_int_equal(io_write(io, "b", 1, 0), -EBADF);
	assert_int_equal(io->ops->set_size(io, 0), -EBADF);
	assert_int_equal(io->ops->punch(io, 0, 1), -EBADF);
	vhd_io_close(io);
}

struct writer {
	struct vhd_io *io;
	char letter;
	int rc;
};

static void *writer_run(void *arg)
{
	struct writer *w = arg;
	char buf[1000];

	for (uint64_t i = 0; i < 200 && w->rc == 0; i++) {
		uint64_t off = i * 4000 + (uint64_t)(w->letter - 'a') * 1000;

		memset(buf, w->letter, sizeof(buf));
		w->rc = io_write(w->io, buf, sizeof(buf), off);
		memset(buf, 0, sizeof(buf));
		if (w->rc == 0)
			w->rc = io_read(w->io, buf, sizeof(buf), off);
		if (w->rc == 0 && (buf[0] != w->letter || buf[999] != w->letter))
			w->rc = 1;
	}
	return NULL;
}

static void memory_of_many_threads(void **state)
{
	struct vhd_io *io = memory(MIB);
	struct writer w[4];
	pthread_t t[4];

	(void)state;
	for (int i = 0; i < 4; i++) {
		w[i] = (struct writer){ io, (char)('a' + i), 0 };
		assert_int_equal(pthread_create(&t[i], NULL, writer_run, &w[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(w[i].rc, 0);
	}
	for (uint64_t off = 0; off < 200 * 4000ULL; off += 1000) {
		char c = 0;

		assert_int_equal(io_read(io, &c, 1, off + 500), 0);
		assert_int_equal(c, 'a' + (int)(off / 1000 % 4));
	}
	vhd_io_close(io);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_keeps_contract), cmocka_unit_test(file_keeps_contract),
		cmocka_unit_test(file_refused),          cmocka_unit_test(memory_is_sparse),
		cmocka_unit_test(memory_is_bounded),     cmocka_unit_test(memory_is_copied),
		cmocka_unit_test(memory_read_only),      cmocka_unit_test(memory_of_many_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
