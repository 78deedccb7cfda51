/* SPDX-License-Identifier: MIT */
/*
 * test_fault.c - every call of the store fails once, or from then on
 *
 * The error is told, with a text; nothing that was flushed is lost; the image opens again, and can
 * be written.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "disk_model.h"
#include "io_fault.h"

#define KIB 1024U
#define MIB (1U << 20)

/* No reopening: closing may fail too, which disk_model_close() takes for a defect. */
static const struct disk_weights steps = {
	{ [DISK_WRITE] = 40, [DISK_ZERO] = 12, [DISK_DISCARD] = 12, [DISK_FLUSH] = 20 },
};

struct failing {
	const char *name;
	struct io_fault_plan plan;
};

static const struct failing ways[] = {
	{ "once, no space", { .code = ENOSPC, .is_for_all = true } },
	{ "from then on, no space", { .code = ENOSPC, .is_for_all = true, .is_lasting = true } },
	{ "once, torn", { .code = EIO, .is_for_all = true, .is_torn = true } },
	{ "from then on, torn",
	  { .code = EIO, .is_for_all = true, .is_torn = true, .is_lasting = true } },
	{ "writes", { .code = ENOSPC, .call = IO_WRITE, .is_lasting = true, .is_torn = true } },
	{ "flush once", { .code = EIO, .call = IO_FLUSH } },
	{ "holes, never", { .code = EIO, .call = IO_PUNCH, .is_lasting = true } },
	{ "zeros for holes", { .code = EIO, .call = IO_WRITE, .no_punch = true } },
};

static struct vhd_io *faulty(void *ctx, struct vhd_io *store)
{
	return io_fault_new(store, ctx);
}

static size_t calls(void *ctx)
{
	const struct io_fault_plan *plan = ctx;

	return plan->total;
}

static void scene_make(struct disk_model *m, unsigned int depth, enum vhd_type type, uint64_t seed)
{
	struct vhd_create_options o = { .type = type,
					.size = 2 * MIB + 512,
					.block_size = type == VHD_TYPE_FIXED ? 0 : 512 * KIB };

	disk_model_init(m, seed, &o);
	for (unsigned int i = 0; i < depth; i++) {
		disk_model_run(m, &disk_weights_usual, 8);
		if (i + 1 < depth)
			disk_model_snapshot(m, 0);
	}
	disk_model_close(m);
}

static void told(const struct vhd_err *e, int rc, const struct io_fault_plan *plan)
{
	assert_int_equal(rc, -e->code);
	assert_int_equal(e->code, plan->code);
	assert_non_null(strstr(e->msg, "store")); /* the io's name */
}

/* Steps until one fails; then closing, which may fail too. */
static void steps_run(struct disk_model *m, struct io_fault_plan *plan, unsigned int n)
{
	struct vhd_err e = { 0 };
	bool is_flush_lost = false;
	int rc;

	for (unsigned int i = 0; i < n; i++) {
		uint64_t failed = plan->failed, flushes = plan->counts[IO_FLUSH];

		rc = disk_model_step(m, &steps, &e);
		if (is_flush_lost && rc == 0)
			assert_int_equal(flushes, plan->counts[IO_FLUSH]);
		if (rc == 0)
			continue;
		if (!is_flush_lost)
			assert_true(plan->failed > failed);
		told(&e, rc, plan);
		is_flush_lost = is_flush_lost || vhd_flush(m->v, &e) < 0;
		break;
	}
	rc = vhd_close(m->v, &e);
	if (is_flush_lost)
		assert_true(rc < 0);
	m->v = NULL;
}

/* One way of failing at call `at`; false: it was never reached. */
static bool fault_run(const struct failing *way, unsigned int depth, enum vhd_type type,
		      uint64_t at)
{
	struct io_fault_plan plan = { 0 };
	struct vhd_err e = { 0 };
	struct disk_model m;
	char what[128];
	bool has_failed;

	scene_make(&m, depth, type, 77);
	m.wrap = faulty;
	m.calls = calls;
	m.ctx = &plan;
	disk_model_log(&m);
	disk_model_open(&m);
	plan = way->plan;
	plan.fail_at = at;
	steps_run(&m, &plan, 25);
	has_failed = plan.failed > 0;
	plan.code = 0;

	snprintf(what, sizeof(what), "%s at call %llu, depth %u", way->name, (unsigned long long)at,
		 depth);
	disk_model_open(&m);
	disk_model_check_crash(&m, SIZE_MAX - 1, m.v, what);
	disk_model_adopt(&m);
	assert_int_equal(disk_model_write(&m, 100, 700 * KIB, &e), 0);
	assert_int_equal(disk_model_flush(&m, &e), 0);
	disk_model_compare(&m);
	disk_model_close(&m);
	disk_model_done(&m);
	return has_failed;
}

static void every_call(unsigned int depth, enum vhd_type type)
{
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		uint64_t at = 0;

		while (at < 400 && fault_run(&ways[i], depth, type, at))
			at++;
		print_message("%s, depth %u: %llu calls\n", ways[i].name, depth,
			      (unsigned long long)at);
		assert_true(type == VHD_TYPE_FIXED || at > 2); /* or it showed nothing */
	}
}

static void fixed(void **state)
{
	(void)state;
	every_call(1, VHD_TYPE_FIXED);
}

static void dynamic(void **state)
{
	(void)state;
	every_call(1, VHD_TYPE_DYNAMIC);
}

static void child(void **state)
{
	(void)state;
	every_call(2, VHD_TYPE_DYNAMIC);
}

/* What the kernel could not write it may have dropped: no later flush may say that all is well. */
static void failed_flush_stays(void **state)
{
	struct io_fault_plan plan = { .code = EIO, .call = IO_FLUSH };
	struct vhd_err e = { 0 };
	struct disk_model m;

	(void)state;
	scene_make(&m, 1, VHD_TYPE_DYNAMIC, 3);
	m.wrap = faulty;
	m.ctx = &plan;
	disk_model_open(&m);
	assert_int_equal(disk_model_write(&m, 0, MIB, &e), 0);
	assert_int_equal(vhd_flush(m.v, &e), -EIO);
	assert_int_equal(plan.failed, 1);
	assert_int_equal(vhd_flush(m.v, &e), -EIO);
	assert_non_null(strstr(e.msg, "earlier flush"));
	assert_int_equal(vhd_write(m.v, "x", 1, 5, &e), -EIO);
	assert_int_equal(vhd_zero(m.v, 512, 0, &e), -EIO);
	assert_int_equal(vhd_discard(m.v, 512, 0, &e), -EIO);
	disk_model_compare(&m); /* reading goes on */
	assert_int_equal(vhd_close(m.v, &e), -EIO);
	m.v = NULL;
	disk_model_open(&m);
	disk_model_close(&m);
	disk_model_done(&m);
}

/* The file system takes no byte past a size: what fits is kept, the rest is told. */
static void file_size_limit(void **state)
{
	(void)state;
	for (uint64_t limit = 4096; limit < 5 * MIB; limit += 300 * KIB + 1000) {
		struct io_fault_plan plan = { 0 };
		struct vhd_create_options o = { .type = VHD_TYPE_DYNAMIC,
						.size = 5 * MIB,
						.block_size = 512 * KIB };
		struct vhd_err e = { 0 };
		struct disk_model m;
		unsigned int n_failed = 0;

		disk_model_init(&m, limit, &o);
		disk_model_close(&m);
		m.wrap = faulty;
		m.calls = calls;
		m.ctx = &plan;
		disk_model_log(&m);
		disk_model_open(&m);
		plan.size_max = limit;
		for (uint64_t off = 0; off < 5 * MIB; off += 512 * KIB) {
			int rc = disk_model_write(&m, off + 1000, 3000, &e);

			assert_true(rc == 0 || rc == -ENOSPC);
			n_failed += rc < 0;
			/* a write that found no space is no failed flush: the rest goes on */
			assert_int_equal(disk_model_flush(&m, &e), 0);
		}
		assert_true(n_failed > 0);
		disk_model_compare(&m);
		plan.size_max = 0;
		disk_model_close(&m);
		disk_model_open(&m);
		disk_model_check_crash(&m, SIZE_MAX - 1, m.v, "limit");
		disk_model_compare(&m);
		disk_model_close(&m);
		disk_model_done(&m);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(fixed),           cmocka_unit_test(dynamic),
		cmocka_unit_test(child),           cmocka_unit_test(failed_flush_stays),
		cmocka_unit_test(file_size_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
