/* SPDX-License-Identifier: MIT */
/*
 * test_crash.c - the power is cut after every call, with every kind of loss
 *
 * An image lives on a recording store while random operations are done to it. Then, for every
 * number of calls, what the disk could hold after a power cut there is rebuilt in several ways,
 * opened for writing, and compared: each byte is as of the last flush or one of those written
 * since.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "disk_model.h"
#include "err.h"
#include "fdio.h"
#include "io_record.h"
#include "prng.h"

#define KIB 1024U
#define MIB (1U << 20)

static const struct disk_weights busy = {
	{ [DISK_WRITE] = 40, [DISK_ZERO] = 12, [DISK_DISCARD] = 15, [DISK_FLUSH] = 25 },
};
static const struct disk_weights lazy = {
	{ [DISK_WRITE] = 40, [DISK_ZERO] = 5, [DISK_DISCARD] = 12, [DISK_FLUSH] = 4 },
};

static const struct disk_weights small = { { [DISK_WRITE] = 60, [DISK_FLUSH] = 40 } };

struct scene {
	const char *name;
	enum vhd_type type; /* of the lowest */
	unsigned int depth;
	uint64_t size;
	unsigned int before, ops; /* operations on each image below; on the recorded one */
	const struct disk_weights *w;
	uint64_t seed;
	bool is_busy_in_flush; /* as if another thread wrote while one flushes */
};

static const struct scene scenes[] = {
	{ "dynamic, written while flushed", VHD_TYPE_DYNAMIC, 1, MIB + 512, 0, 40, &small, 8,
	  true },
	{ "child, written while flushed", VHD_TYPE_DYNAMIC, 2, MIB + 512, 20, 40, &small, 9, true },
	{ "fixed", VHD_TYPE_FIXED, 1, MIB, 0, 25, &busy, 1 },
	{ "dynamic, from empty", VHD_TYPE_DYNAMIC, 1, 2 * MIB + 512, 0, 45, &busy, 2 },
	{ "dynamic, few flushes", VHD_TYPE_DYNAMIC, 1, 2 * MIB + 512, 0, 45, &lazy, 3 },
	{ "child, from empty", VHD_TYPE_DYNAMIC, 2, 2 * MIB + 512, 20, 45, &busy, 4 },
	{ "child, few flushes", VHD_TYPE_DYNAMIC, 2, 2 * MIB + 512, 20, 45, &lazy, 5 },
	{ "child of a fixed one", VHD_TYPE_FIXED, 2, MIB + 512, 10, 40, &busy, 6 },
	{ "grandchild", VHD_TYPE_DYNAMIC, 3, MIB + 512, 10, 45, &busy, 7 },
};

static struct vhd_io *recorded(void *ctx, struct vhd_io *store)
{
	(void)store;
	return io_record_io(ctx);
}

static size_t calls(void *ctx)
{
	return io_record_count(ctx);
}

/* ---- what is left opens, holds what it must, and can be used ------------------------------ */

struct cut {
	struct disk_model *m;
	const char *scene;
	size_t calls;
	enum io_crash kind;
	uint64_t seed;
};

static void fail_cut(const struct cut *c, const char *what, const char *text)
{
	fail_msg("%s, cut after %zu calls (%s, seed %llu): %s: %s", c->scene, c->calls,
		 io_crash_name(c->kind), (unsigned long long)c->seed, what, text);
}

/* Every block is written, flushed, closed and read again. */
static void use(const struct cut *c, struct vhd_io *io)
{
	auto_free uint8_t *want = malloc(c->m->size);
	auto_free uint8_t *got = malloc(c->m->size);
	uint64_t seed = c->seed;
	struct vhd_err e = { 0 };
	struct vhd *v = NULL;

	assert_true(want && got);
	if (disk_model_open_on(c->m, io, VHD_OPEN_WRITE, &v, &e) < 0)
		fail_cut(c, "open to use", e.msg);
	if (vhd_read(v, want, c->m->size, 0, &e) < 0)
		fail_cut(c, "read", e.msg);
	for (uint64_t off = 0; off + 5000 < c->m->size; off += 300 * KIB) {
		prng_fill(&seed, want + off, 5000);
		if (vhd_write(v, want + off, 5000, off, &e) < 0)
			fail_cut(c, "write", e.msg);
	}
	if (vhd_flush(v, &e) < 0 || vhd_read(v, got, c->m->size, 0, &e) < 0)
		fail_cut(c, "flush", e.msg);
	if (memcmp(got, want, c->m->size) != 0)
		fail_cut(c, "read after writing", "differs");
	if (vhd_close(v, &e) < 0)
		fail_cut(c, "close", e.msg);
}

/* ---- check, which takes paths --------------------------------------------------------------- */

static char dir[64];

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/caisson-crash-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	struct err e;

	(void)state;
	return tree_remove_at(AT_FDCWD, dir, &e);
}

static void store_save(struct vhd_io *io, const char *path)
{
	auto_fd fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	static uint8_t buf[65536];
	uint64_t size = 0, len;
	bool is_data;

	assert_true(fd >= 0);
	assert_int_equal(io->ops->get_size(io, &size), 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	for (uint64_t off = 0; off < size; off += len) {
		struct iovec iov = { .iov_base = buf };

		assert_int_equal(io->ops->extent(io, off, &len, &is_data), 0);
		len = MIN_OF(len, sizeof(buf));
		iov.iov_len = len;
		if (!is_data)
			continue;
		assert_int_equal(io->ops->preadv(io, &iov, 1, off), 0);
		assert_int_equal(pwrite(fd, buf, len, (off_t)off), len);
	}
}

/* The stores of a chain as the files that their children name. */
static const char *store_path(unsigned int i)
{
	static char path[96];

	snprintf(path, sizeof(path), "%s/%u.vhd", dir, i);
	return path;
}

static void found(void *ctx, const char *file, const struct vhd_finding *f)
{
	(void)file;
	if (f->severity == VHD_ERROR)
		fail_cut(ctx, f->field, f->text);
}

static void check(const struct cut *c, struct vhd_io *io)
{
	struct cut copy = *c;
	struct vhd_err e = { 0 };

	store_save(io, store_path(c->m->depth - 1));
	if (vhd_check(store_path(c->m->depth - 1), NULL, found, &copy, NULL, &e) != 0)
		fail_cut(c, "check", e.msg);
}

static void cut_check(const struct cut *c, struct io_record *r)
{
	struct vhd_io *io = io_record_rebuild(r, c->calls, c->kind, c->seed), *again = NULL;
	bool is_used = (c->calls + c->kind) % 7 == 0;
	struct vhd_err e = { 0 };
	struct vhd *v = NULL;
	char what[128];

	if (is_used)
		assert_int_equal(vhd_io_memory_copy(io, &again, &e), 0);
	if (is_used)
		check(c, again);
	if (disk_model_open_on(c->m, io, VHD_OPEN_WRITE, &v, &e) < 0)
		fail_cut(c, "open", e.msg);
	snprintf(what, sizeof(what), "%s (%s, seed %llu)", c->scene, io_crash_name(c->kind),
		 (unsigned long long)c->seed);
	disk_model_check_crash(c->m, c->calls, v, what);
	if (vhd_close(v, &e) < 0)
		fail_cut(c, "close", e.msg);
	if (is_used)
		use(c, again);
}

/* Not a discard: a block that goes and comes back within a flush is test_threads.c's. */
static void write_in_flush(void *ctx)
{
	struct disk_model *m = ctx;
	uint64_t off = prng_below(&m->seed, m->size - 3000);
	struct vhd_err e = { 0 };

	if (prng_below(&m->seed, 3) == 0)
		return;
	assert_int_equal(disk_model_write(m, off, prng_below(&m->seed, 3000), &e), 0);
}

static void scene_run(const struct scene *s)
{
	struct vhd_create_options o = { .type = s->type,
					.size = s->size,
					.block_size = s->type == VHD_TYPE_FIXED ? 0 : 512 * KIB };
	struct io_record *r;
	struct disk_model m;
	size_t n;

	disk_model_init(&m, s->seed, &o);
	for (unsigned int i = 1; i < s->depth; i++) {
		disk_model_run(&m, &disk_weights_usual, s->before);
		disk_model_snapshot(&m, 0);
	}
	disk_model_close(&m);
	r = io_record_new(m.stores[m.depth - 1]);
	m.wrap = recorded;
	m.calls = calls;
	m.ctx = r;
	m.len_max = s->w == &small ? 2048 : 128 * KIB;
	disk_model_log(&m);
	disk_model_open(&m);
	if (s->is_busy_in_flush)
		io_record_on_flush(r, write_in_flush, &m);
	disk_model_run(&m, s->w, s->ops);
	io_record_on_flush(r, NULL, NULL);
	disk_model_close(&m);
	n = io_record_count(r);
	print_message("%s: %zu calls\n", s->name, n);
	for (unsigned int i = 0; i + 1 < m.depth; i++)
		store_save(m.stores[i], store_path(i));
	for (size_t i = 0; i <= n; i++)
		for (enum io_crash c = 0; c < IO_CRASH_COUNT_; c++)
			for (uint64_t k = 0; k < (c > IO_CRASH_CALLS ? 2 : 1); k++)
				cut_check(&(struct cut){ &m, s->name, i, c, i * 10 + k }, r);
	io_record_free(r);
	disk_model_done(&m);
}

static void power_cuts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(scenes); i++)
		scene_run(&scenes[i]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(
		power_cuts, setup, teardown) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
