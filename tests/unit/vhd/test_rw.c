/* SPDX-License-Identifier: MIT */
/* test_rw.c - what is written is read, through chains, at any offset, after closing too */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vhd_internal.h"

#define SIZE  (9U << 20) /* not a multiple of a block */
#define DEPTH 5

static char dir[64];
static struct vhd_err e;

#define OK(call)                                                                                   \
	do {                                                                                       \
		if ((call) < 0)                                                                    \
			fail_msg("%s: %s", #call, e.msg);                                          \
	} while (0)

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/caisson-vhd-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	char path[PATH_MAX];

	(void)state;
	for (int i = 0; i < DEPTH; i++) {
		snprintf(path, sizeof(path), "%s/%d.vhd", dir, i);
		(void)unlink(path);
	}
	return rmdir(dir);
}

static const char *path_of(int i)
{
	static char path[2][128];
	static int turn;

	turn = !turn;
	snprintf(path[turn], sizeof(path[turn]), "%s/%d.vhd", dir, i);
	return path[turn];
}

static struct vhd *open_image(int i, uint32_t flags)
{
	struct vhd_open_options o = { .flags = flags };
	struct vhd *v = NULL;

	OK(vhd_open(path_of(i), &o, &v, &e));
	return v;
}

static uint64_t random_next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* One random operation on image and model alike. */
static void step(struct vhd *v, uint8_t *model, uint64_t *seed)
{
	static uint8_t data[300000], got[300000];
	uint64_t what = random_next(seed) % 16, off = random_next(seed) % SIZE;
	size_t len = (size_t)(random_next(seed) % (what & 1 ? sizeof(data) : 3000)) + 1;

	len = MIN_OF(len, SIZE - off);
	if (what & 2) {
		off &= ~511ULL;
		len = MAX_OF(len & ~511ULL, 512);
	}
	if (what < 6) {
		memset(data, (int)(random_next(seed) | 1), len);
		OK(vhd_write(v, data, len, off, &e));
		memcpy(model + off, data, len);
	} else if (what < 8) {
		OK(vhd_zero(v, len, off, &e));
		memset(model + off, 0, len);
	} else if (what == 8) {
		OK(vhd_flush(v, &e));
	} else {
		OK(vhd_read(v, got, len, off, &e));
		assert_memory_equal(got, model + off, len);
	}
}

static void same_all(int i, const uint8_t *model)
{
	uint8_t *got = malloc(SIZE);
	struct vhd *v = open_image(i, 0);

	OK(vhd_read(v, got, SIZE, 0, &e));
	assert_memory_equal(got, model, SIZE);
	OK(vhd_close(v, &e));
	free(got);
}

static void chain_run(enum vhd_type base, uint32_t block_size)
{
	struct vhd_create_options o = { .type = base, .size = SIZE, .block_size = block_size };
	uint8_t *model = calloc(1, SIZE);
	uint64_t seed = 88172645463325252ULL + block_size;

	for (int i = 0; i < DEPTH; i++) {
		struct vhd *v;

		OK(vhd_create(path_of(i), &o, &e));
		v = open_image(i, VHD_OPEN_WRITE);
		assert_int_equal(vhd_size(v), SIZE);
		assert_int_equal(vhd_depth(v), i + 1);
		for (int n = 0; n < 150; n++)
			step(v, model, &seed);
		OK(vhd_close(v, &e));
		same_all(i, model);
		o = (struct vhd_create_options){ .type = VHD_TYPE_DIFFERENCING,
						 .parent = path_of(i) };
	}
	free(model);
	teardown(NULL);
	assert_int_equal(mkdir(dir, 0700), 0);
}

static void test_chains(void **state)
{
	(void)state;
	chain_run(VHD_TYPE_FIXED, 0);
	chain_run(VHD_TYPE_DYNAMIC, 0);
	chain_run(VHD_TYPE_DYNAMIC, 512 << 10);
}

static void test_discard(void **state)
{
	struct vhd_create_options o = { .type = VHD_TYPE_DYNAMIC, .size = SIZE };
	static uint8_t data[2 << 20], got[2 << 20];
	struct vhd_info info;
	struct vhd *v;

	(void)state;
	OK(vhd_create(path_of(0), &o, &e));
	v = open_image(0, VHD_OPEN_WRITE);
	memset(data, 7, sizeof(data));
	for (int round = 0; round < 3; round++) {
		for (uint64_t at = 0; at + sizeof(data) <= SIZE; at += sizeof(data))
			OK(vhd_write(v, data, sizeof(data), at, &e));
		OK(vhd_flush(v, &e));
		OK(vhd_discard(v, 4 << 20, 0, &e));
		OK(vhd_read(v, got, sizeof(got), 2 << 20, &e));
		for (size_t i = 0; i < sizeof(got); i++)
			assert_int_equal(got[i], 0);
		OK(vhd_flush(v, &e));
	}
	OK(vhd_info_get(v, 0, &info, &e));
	assert_int_equal(info.blocks_present, 2);
	OK(vhd_close(v, &e));
	v = open_image(0, 0);
	OK(vhd_info_get(v, 0, &info, &e));
	assert_int_equal(info.problems, 0);
	/* the places of the freed blocks were used again */
	assert_true(info.file_size < 10 << 20);
	OK(vhd_close(v, &e));
}

static void test_refused(void **state)
{
	struct vhd_create_options o = { .type = VHD_TYPE_DYNAMIC, .size = SIZE };
	struct vhd_open_options writing = { .flags = VHD_OPEN_WRITE };
	struct vhd *v, *other;
	char byte = 1;

	(void)state;
	OK(vhd_create(path_of(0), &o, &e));
	assert_int_equal(vhd_create(path_of(0), &o, &e), -EEXIST);
	v = open_image(0, VHD_OPEN_WRITE);
	assert_int_equal(vhd_open(path_of(0), &writing, &other, &e), -EBUSY);
	assert_int_equal(vhd_open(path_of(0), NULL, &other, &e), -EBUSY);
	assert_int_equal(vhd_write(v, &byte, 1, SIZE, &e), -ENOSPC);
	assert_int_equal(vhd_read(v, &byte, 1, UINT64_MAX, &e), -EINVAL);
	OK(vhd_close(v, &e));
	v = open_image(0, 0);
	assert_int_equal(vhd_write(v, &byte, 1, 0, &e), -EROFS);
	OK(vhd_close(v, &e));
	o.size = 513;
	assert_int_equal(vhd_create(path_of(1), &o, &e), -EINVAL);
	o.size = VHD_SIZE_MAX + 512;
	assert_int_equal(vhd_create(path_of(1), &o, &e), -EINVAL);
	o.size = VHD_SIZE_MAX;
	o.block_size = 512 << 10; /* 4177920 of 1032 sectors: more than 32 bits number */
	assert_int_equal(vhd_create(path_of(1), &o, &e), -EFBIG);
	assert_non_null(strstr(e.msg, "in blocks of 524288"));
	assert_int_equal(access(path_of(1), F_OK), -1);
}

/* A new child never takes the place of what it stands on, however far down and by any name. */
static void test_replacing(void **state)
{
	struct vhd_create_options o = { .type = VHD_TYPE_DYNAMIC, .size = SIZE };
	const char *const roots[] = { "/" };
	const struct vhd_open_options anywhere = { .roots = roots, .n_roots = 1 };
	char link_path[96], moved[96], parent[128];

	(void)state;
	for (int i = 0; i < 4; i++) {
		OK(vhd_create(path_of(i), &o, &e));
		snprintf(parent, sizeof(parent), "%s", path_of(i));
		o = (struct vhd_create_options){ .type = VHD_TYPE_DIFFERENCING,
						 .parent = parent,
						 .is_replacing = true };
	}
	snprintf(link_path, sizeof(link_path), "%s/link", dir);
	snprintf(moved, sizeof(moved), "%s/moved", dir);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(vhd_create(path_of(i), &o, &e), -EINVAL);
		assert_non_null(strstr(e.msg, i < 3 ? "stands on it" : "own parent"));
		assert_int_equal(link(path_of(i), link_path), 0);
		assert_int_equal(vhd_create(link_path, &o, &e), -EINVAL);
		assert_int_equal(unlink(link_path), 0);
	}
	OK(vhd_create(path_of(4), &o, &e));
	OK(vhd_create(path_of(4), &o, &e)); /* no parent of any */

	assert_int_equal(rename(path_of(0), moved), 0);
	assert_int_equal(vhd_create(path_of(4), &o, &e), -ENOENT);
	assert_non_null(strstr(e.msg, "may be one of the parents"));
	OK(vhd_create(link_path, &o, &e)); /* replaces nothing */
	assert_int_equal(unlink(link_path), 0);
	assert_int_equal(rename(moved, path_of(0)), 0);
	o.parent_options = &anywhere;
	OK(vhd_create(path_of(4), &o, &e));
	assert_int_equal(vhd_create(path_of(0), &o, &e), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_chains, setup, teardown),
		cmocka_unit_test_setup_teardown(test_discard, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replacing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
