/* SPDX-License-Identifier: MIT */
/* test_blk_back.c - what a disk keeps its bytes in, compared with a plain array */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "../vhd/prng.h"
#include "blk_calls.h"
#include "vhd.h"

#define SIZE     (64U << 10)
#define STEPS    3000U
#define IOV_MOST 9

static int file_of(const void *data, size_t len)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, data, len, 0), len);
	return fd;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static struct blk_back *raw_of(const void *data, size_t len)
{
	struct blk_back *b;
	struct err e;

	assert_int_equal(blk_back_raw(file_of(data, len), len, false, &b, &e), 0);
	return b;
}

static struct blk_back *vhd_of(uint64_t size)
{
	struct vhd_create_options o = { .type = VHD_TYPE_DYNAMIC, .size = size };
	struct vhd_open_options open = { .flags = VHD_OPEN_WRITE };
	struct vhd_err ve;
	struct blk_back *b;
	struct vhd_io *io;
	struct vhd *v;
	struct err e;

	assert_int_equal(vhd_io_memory("v", 16U << 20, &io, &ve), 0);
	assert_int_equal(vhd_create_io(io, NULL, &o, &ve), 0);
	assert_int_equal(vhd_open_io(io, NULL, &open, &v, &ve), 0);
	assert_int_equal(blk_back_vhd(v, false, &b, &e), 0);
	return b;
}

/* Random buffers, together of `len` bytes, over `mem`. */
static int iov_make(uint64_t *seed, uint8_t *mem, size_t len, struct iovec *iov)
{
	int n = 0;

	while (len > 0) {
		size_t part = n == IOV_MOST - 1 ? len : prng_below(seed, len + 1);

		iov[n++] = (struct iovec){ mem, part }; /* also empty ones */
		mem += part;
		len -= part;
	}
	return n;
}

static void step(uint64_t *seed, struct blk_back *b, uint8_t *model)
{
	static uint8_t buf[SIZE];
	uint64_t off = prng_below(seed, SIZE), len = prng_below(seed, MIN_OF(SIZE - off, 9000) + 1);
	struct iovec iov[IOV_MOST];
	int n = iov_make(seed, buf, len, iov);

	switch (b->is_readonly ? 0 : prng_below(seed, 6)) {
	case 0:
	case 1:
		assert_int_equal(blk_read(b, iov, n, off), 0);
		assert_memory_equal(buf, model + off, len);
		return;
	case 2:
	case 3:
		prng_fill(seed, buf, len);
		assert_int_equal(blk_write(b, iov, n, off), 0);
		memcpy(model + off, buf, len);
		return;
	case 4:
		assert_int_equal(blk_zero(b, off, len, prng_below(seed, 2)), 0);
		memset(model + off, 0, len);
		return;
	default:
		assert_int_equal(blk_discard(b, off, len), 0);
		iov[0] = (struct iovec){ buf, len };
		assert_int_equal(blk_read(b, iov, 1, off), 0);
		for (size_t i = 0; i < len; i++)
			assert_true(buf[i] == 0 || buf[i] == model[off + i]);
		memcpy(model + off, buf, len);
		return;
	}
}

static void steps(uint64_t seed, struct blk_back *b, uint8_t *model)
{
	for (unsigned int i = 0; i < STEPS; i++)
		step(&seed, b, model);
	assert_int_equal(blk_flush(b), 0);
	blk_back_free(b);
}

static void test_random_raw(void **state)
{
	static uint8_t model[SIZE];
	uint64_t seed = 1;

	(void)state;
	prng_fill(&seed, model, sizeof(model));
	steps(2, raw_of(model, sizeof(model)), model);
}

static void test_random_vhd(void **state)
{
	static uint8_t model[SIZE];

	(void)state;
	steps(3, vhd_of(sizeof(model)), model);
}

/* Two files in five parts, gaps before, between and behind them, one file shorter than said. */
static void test_random_concat(void **state)
{
	static uint8_t model[SIZE], a[20000], c[3000];
	struct vmm_part parts[] = {
		{ 0, 512, 100, 5000 },    { 0, 5512, 6000, 1 },   { 0, 6000, 0, 20000 },
		{ 0, 26000, 1000, 4096 }, { 0, 40000, 12, 9999 },
	};
	int fd_a, fd_c;
	struct blk_back *b;
	uint64_t seed = 4;
	struct err e;

	(void)state;
	prng_fill(&seed, a, sizeof(a));
	prng_fill(&seed, c, sizeof(c));
	fd_a = file_of(a, sizeof(a));
	fd_c = file_of(c, sizeof(c));
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		parts[i].fd = i < 3 ? fd_a : fd_c;
	memcpy(model + 512, a + 100, 5000);
	memcpy(model + 5512, a + 6000, 1);
	memcpy(model + 6000, a, 20000);
	memcpy(model + 26000, c + 1000, 2000); /* and 2096 zeros */
	memcpy(model + 40000, c + 12, 2988);
	assert_int_equal(blk_back_concat(parts, ARRAY_SIZE(parts), SIZE, &b, &e), 0);
	assert_true(b->is_readonly);
	steps(5, b, model);
	assert_false(is_open(fd_a));
	assert_false(is_open(fd_c));
}

static void test_concat_refused(void **state)
{
	static const struct {
		const char *what;
		struct vmm_part parts[2];
		size_t n;
		uint64_t size;
	} rows[] = {
		{ "no bytes", { { 0 } }, 0, 0 },
		{ "half a sector", { { 0 } }, 0, 700 },
		{ "size of everything", { { 0 } }, 0, UINT64_MAX - 511 },
		{ "too many parts", { { 0 } }, VMM_PARTS_MAX + 1, 512 },
		{ "empty part", { { 0, 0, 0, 0 } }, 1, 512 },
		{ "no descriptor", { { -1, 0, 0, 512 } }, 1, 512 },
		{ "longer than the disk", { { 0, 0, 0, 513 } }, 1, 512 },
		{ "behind the disk", { { 0, 512, 0, 1 } }, 1, 512 },
		{ "length that wraps", { { 0, 2, 0, UINT64_MAX } }, 1, 512 },
		{ "file offset that wraps", { { 0, 0, INT64_MAX, 512 } }, 1, 512 },
		{ "overlap", { { 0, 0, 0, 512 }, { 0, 511, 0, 512 } }, 2, 4096 },
		{ "descending", { { 0, 512, 0, 512 }, { 0, 0, 0, 512 } }, 2, 4096 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct blk_back *b;
		struct err e = { 0 };

		if (blk_back_concat(rows[i].parts, rows[i].n, rows[i].size, &b, &e) != -EINVAL ||
		    !e.msg[0])
			fail_msg("%s", rows[i].what);
	}
}

static void test_raw_refused(void **state)
{
	static const uint64_t sizes[] = { 0, 1, 511, 513, 1ULL << 63, UINT64_MAX };
	struct blk_back *b;
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		assert_int_equal(blk_back_raw(0, sizes[i], false, &b, &e), -EINVAL);
	assert_int_equal(blk_back_raw(-1, 512, false, &b, &e), -EINVAL);
}

static void test_ranges(void **state)
{
	static const struct {
		uint64_t off;
		size_t len;
		int rc;
	} rows[] = {
		{ 0, 1024, 0 },
		{ 1024, 0, 0 },
		{ 1023, 1, 0 },
		{ 0, 1025, -EINVAL },
		{ 1024, 1, -EINVAL },
		{ 1025, 0, -EINVAL },
		{ 512, 513, -EINVAL },
		{ UINT64_MAX, 1, -EINVAL },
		{ UINT64_MAX - 511, 512, -EINVAL },
	};
	static uint8_t buf[2048];
	struct blk_back *b = raw_of(buf, 1024);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct iovec iov = { buf, rows[i].len };

		assert_int_equal(blk_read(b, &iov, 1, rows[i].off), rows[i].rc);
		assert_int_equal(blk_write(b, &iov, 1, rows[i].off), rows[i].rc);
		assert_int_equal(blk_zero(b, rows[i].off, rows[i].len, false), rows[i].rc);
		assert_int_equal(blk_discard(b, rows[i].off, rows[i].len), rows[i].rc);
	}
	assert_int_equal(blk_run(b, &(struct blk_io){ .iov = &(struct iovec){ buf, 512 },
						      .n_iov = 1,
						      .len = 1024 }),
			 -EINVAL); /* fewer bytes than it says */
	assert_int_equal(blk_run(b, &(struct blk_io){ .op = (enum blk_op)99, .len = 1 }), -EINVAL);
	blk_back_free(b);
}

static void test_readonly(void **state)
{
	static uint8_t buf[512];
	struct iovec iov = { buf, sizeof(buf) };
	struct blk_back *backs[2];
	struct err e;

	(void)state;
	assert_int_equal(blk_back_raw(file_of(buf, 512), 512, true, &backs[0], &e), 0);
	assert_int_equal(blk_back_empty(true, &backs[1], &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(backs); i++) {
		memset(buf, 1, sizeof(buf));
		assert_int_equal(blk_write(backs[i], &iov, 1, 0), -EROFS);
		assert_int_equal(blk_zero(backs[i], 0, 512, true), -EROFS);
		assert_int_equal(blk_discard(backs[i], 0, 512), -EROFS);
		assert_int_equal(blk_flush(backs[i]), 0);
		assert_int_equal(blk_read(backs[i], &iov, 1, 0), 0);
		assert_int_equal(buf[0] | buf[511], 0);
		blk_back_free(backs[i]);
	}
	blk_back_free(NULL);
}

/* A drive without a disk, whose disk may be written to. */
static void test_empty(void **state)
{
	static uint8_t buf[512] = { 1 };
	struct iovec iov = { buf, sizeof(buf) };
	struct blk_back *b;
	struct err e;

	(void)state;
	assert_int_equal(blk_back_empty(false, &b, &e), 0);
	assert_true(b->is_instant && !b->is_readonly);
	assert_int_equal(blk_read(b, &iov, 1, 0), 0);
	assert_int_equal(buf[0], 0);
	assert_int_equal(blk_write(b, &iov, 1, 0), -EIO);
	assert_int_equal(blk_zero(b, 0, 512, true), -EIO);
	assert_int_equal(blk_discard(b, 0, 512), -EIO);
	assert_int_equal(blk_flush(b), 0);
	blk_back_free(b);
}

/* A file that somebody cut: an error, not zeros that look like data. */
static void test_cut(void **state)
{
	static uint8_t buf[4096];
	struct iovec iov = { buf, 1024 };
	int fd = file_of(buf, 4096);
	struct blk_back *b;
	struct err e;

	(void)state;
	assert_int_equal(blk_back_raw(fd, 4096, false, &b, &e), 0);
	assert_int_equal(ftruncate(fd, 1000), 0);
	assert_int_equal(blk_read(b, &iov, 1, 0), -EIO);
	assert_int_equal(blk_write(b, &iov, 1, 3072), 0);
	assert_int_equal(blk_read(b, &iov, 1, 0), 0);
	blk_back_free(b);
}

/* Discarded and unmapped space is given back; zeros that may not be unmapped keep it. */
static void test_space(void **state)
{
	static uint8_t buf[SIZE];
	int fd;
	struct blk_back *b;
	struct stat st;
	struct err e;

	(void)state;
	memset(buf, 1, sizeof(buf));
	fd = file_of(buf, sizeof(buf));
	assert_int_equal(blk_back_raw(fd, SIZE, false, &b, &e), 0);
	assert_int_equal(blk_zero(b, 0, SIZE, false), 0);
	fstat(fd, &st);
	assert_int_equal(st.st_blocks, SIZE / 512);
	assert_int_equal(blk_zero(b, 0, SIZE / 2, true), 0);
	assert_int_equal(blk_discard(b, SIZE / 2, SIZE / 4), 0);
	fstat(fd, &st);
	assert_int_equal(st.st_blocks, SIZE / 512 / 4);
	assert_int_equal(st.st_size, SIZE);
	blk_back_free(b);
	assert_false(is_open(fd));
}

static void test_in_file(void **state)
{
	static const struct {
		uint64_t off, len;
		int fd;
		uint64_t file_off;
	} rows[] = {
		{ 512, 512, 1, 7 },  { 600, 8, 1, 95 },     { 1024, 512, 2, 0 },
		{ 1535, 1, 2, 511 }, { 511, 2, -1, 0 },     { 0, 512, -1, 0 },
		{ 512, 513, -1, 0 }, { 1024, 513, -1, 0 },  { 1536, 512, -1, 0 },
		{ 2047, 1, -1, 0 },  { 2048, 0, -1, 0 },    { 512, 0, -1, 0 },
		{ 2048, 1, -1, 0 },  { 512, -1ULL, -1, 0 }, { -1ULL, 1, -1, 0 },
	};
	int fds[] = { -1, dup(0), dup(0) };
	struct vmm_part parts[] = { { fds[1], 512, 7, 512 }, { fds[2], 1024, 0, 512 } };
	struct blk_back *b;
	struct err e;

	(void)state;
	assert_int_equal(blk_back_concat(parts, 2, 2048, &b, &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t file_off = 0;
		int fd = -1;

		assert_int_equal(blk_in_file(b, rows[i].off, rows[i].len, &fd, &file_off),
				 rows[i].fd >= 0);
		assert_int_equal(fd, rows[i].fd < 0 ? -1 : fds[rows[i].fd]);
		assert_int_equal(file_off, rows[i].file_off);
	}
	blk_back_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_raw),    cmocka_unit_test(test_random_vhd),
		cmocka_unit_test(test_random_concat), cmocka_unit_test(test_concat_refused),
		cmocka_unit_test(test_raw_refused),   cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_readonly),      cmocka_unit_test(test_cut),
		cmocka_unit_test(test_space),         cmocka_unit_test(test_in_file),
		cmocka_unit_test(test_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
