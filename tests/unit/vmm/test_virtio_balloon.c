/* SPDX-License-Identifier: MIT */
/* test_virtio_balloon.c - which pages are dropped, and which are not */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>

#include "guest_driver.h"
#include "virtio_balloon.h"

#define PAGE        BALLOON_PAGE
#define FIRST_PFN   (GUEST_DRIVER_BASE / PAGE)
#define PAGES       (GUEST_DRIVER_SIZE / PAGE)
#define AREA        160U /* pages that the model does not use yet: from here */
#define AREA_PAGES  64U
#define F_REPORTING (1ULL << 5)

struct fixture {
	struct loop *loop;
	struct guest_memory mem; /* as the model's, once that is mapped */
	struct virtio_device *dev;
	struct guest_driver g;
};

static uint8_t *page(struct fixture *f, unsigned int i)
{
	return f->g.mem.slots[0].hva + (size_t)(AREA + i) * PAGE;
}

static void start(struct fixture *f, uint64_t without)
{
	struct err e;

	memset(f, 0, sizeof(*f));
	assert_int_equal(loop_new(&f->loop, &e), 0);
	assert_int_equal(virtio_balloon_new(f->loop, &f->mem, &f->dev, &e), 0);
	guest_driver_attach(&f->g, f->dev);
	f->mem = f->g.mem;
	assert_int_equal(guest_driver_negotiate(&f->g, f->dev->features & ~without, 128),
			 STATUS_RUNNING);
	memset(page(f, 0), 0x5a, (size_t)AREA_PAGES * PAGE);
}

static void stop(struct fixture *f)
{
	guest_driver_stop(&f->g);
	loop_free(f->loop);
}

/* Pages of the area that read as zeros, as bits. */
static uint64_t dropped(struct fixture *f)
{
	uint64_t bits = 0;

	for (unsigned int i = 0; i < AREA_PAGES; i++) {
		const uint8_t *p = page(f, i);

		assert_true(p[0] == 0 || p[0] == 0x5a);
		assert_int_equal(memcmp(p, p + 1, PAGE - 1), 0);
		bits |= (uint64_t)(p[0] == 0) << i;
	}
	return bits;
}

static void send_pfns(struct fixture *f, unsigned int queue, const void *raw, size_t len)
{
	uint16_t head, got;
	uint32_t used;

	head = guest_driver_add(&f->g, queue, &(struct iovec){ (void *)(uintptr_t)raw, len }, 1,
				NULL, 0);
	guest_driver_kick(&f->g, queue);
	assert_true(guest_driver_used(&f->g, queue, &got, &used));
	assert_int_equal(got, head);
	assert_int_equal(used, 0);
}

#define PFN(i) (FIRST_PFN + AREA + (i))

static void test_inflate(void **state)
{
	static const struct {
		const char *what;
		uint32_t pfns[8];
		size_t len; /* bytes */
		uint64_t dropped;
	} t[] = {
		{ "one", { PFN(0) }, 4, 1 },
		{ "a run", { PFN(0), PFN(1), PFN(2) }, 12, 7 },
		{ "two runs", { PFN(0), PFN(1), PFN(3), PFN(4) }, 16, 0x1b },
		{ "backwards", { PFN(2), PFN(1), PFN(0) }, 12, 7 },
		{ "twice", { PFN(5), PFN(5), PFN(5) }, 12, 0x20 },
		{ "the last of the area", { PFN(63) }, 4, 1ULL << 63 },
		{ "outside", { FIRST_PFN - 1, FIRST_PFN + PAGES, 0, UINT32_MAX }, 16, 0 },
		{ "one outside between", { PFN(0), FIRST_PFN + PAGES, PFN(1) }, 12, 3 },
		{ "half a number", { PFN(0), PFN(1) }, 7, 1 },
		{ "less than a number", { PFN(0) }, 3, 0 },
		{ "none", { 0 }, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct fixture f;

		start(&f, 0);
		send_pfns(&f, 0, t[i].pfns, t[i].len);
		if (dropped(&f) != t[i].dropped)
			fail_msg("%s: %llx", t[i].what, (unsigned long long)dropped(&f));
		stop(&f);
	}
}

/* Only so many numbers of a request are looked at. */
static void test_inflate_most(void **state)
{
	static uint32_t pfns[BALLOON_PFNS_MAX + 1];
	struct fixture f;

	(void)state;
	start(&f, 0);
	pfns[0] = PFN(0);
	pfns[300] = PFN(1);
	pfns[BALLOON_PFNS_MAX - 1] = PFN(2);
	pfns[BALLOON_PFNS_MAX] = PFN(3);
	send_pfns(&f, 0, pfns, sizeof(pfns));
	assert_int_equal(dropped(&f), 7);
	stop(&f);
}

static void test_deflate(void **state)
{
	uint32_t pfns[] = { PFN(0), PFN(1) };
	struct fixture f;

	(void)state;
	start(&f, 0);
	send_pfns(&f, 1, pfns, sizeof(pfns));
	assert_int_equal(dropped(&f), 0);
	stop(&f);
}

/* What a buffer at `off` in the area, of `len` bytes, drops. */
static void report(struct fixture *f, unsigned int queue, uint64_t off, uint32_t len)
{
	uint16_t head, got;
	uint32_t used;

	head = guest_driver_add(&f->g, queue, NULL, 0, &(struct iovec){ NULL, 1 }, 1);
	guest_driver_poke(&f->g, f->g.queues[queue].desc + 16ULL * head,
			  GUEST_DRIVER_BASE + AREA * PAGE + off, 8);
	guest_driver_poke(&f->g, f->g.queues[queue].desc + 16ULL * head + 8, len, 4);
	guest_driver_kick(&f->g, queue);
	assert_true(guest_driver_used(&f->g, queue, &got, &used));
	assert_int_equal(got, head);
	assert_int_equal(used, 0);
}

/* Whether the dirty log has a page of the area: what is given away needs no copy. */
static bool is_logged(const struct fixture *f)
{
	for (uint64_t page = AREA; page < AREA + AREA_PAGES; page++)
		if (f->g.dirty[page / 64] >> page % 64 & 1)
			return true;
	return false;
}

static void test_report(void **state)
{
	static const struct {
		const char *what;
		unsigned int queue;
		uint64_t without, off;
		uint32_t len;
		uint64_t dropped;
	} t[] = {
		{ "a page", 2, 0, 0, PAGE, 1 },
		{ "a page, queue 3", 3, 0, 0, PAGE, 1 },
		{ "a page, queue 4", 4, 0, 0, PAGE, 1 },
		{ "many", 2, 0, PAGE, 32 * PAGE, 0x1fffffffeULL },
		{ "begins in a page", 2, 0, 1, 2 * PAGE, 2 },
		{ "begins in a page, ends before its end", 2, 0, 1, 2 * PAGE - 2, 0 },
		{ "ends in a page", 2, 0, 0, 2 * PAGE - 1, 1 },
		{ "no whole page", 2, 0, 0, PAGE - 1, 0 },
		{ "two halves", 2, 0, PAGE / 2, PAGE, 0 },
		{ "a byte", 2, 0, 0, 1, 0 },
		{ "not agreed on", 2, F_REPORTING, 0, PAGE, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct fixture f;

		start(&f, t[i].without);
		report(&f, t[i].queue, t[i].off, t[i].len);
		if (dropped(&f) != t[i].dropped)
			fail_msg("%s: %llx", t[i].what, (unsigned long long)dropped(&f));
		assert_false(is_logged(&f));
		stop(&f);
	}
}

/* Numbers in a queue for reports, pages in one for numbers: nothing is dropped by that. */
static void test_wrong_queue(void **state)
{
	uint32_t pfns[] = { PFN(0), PFN(1) };
	struct fixture f;

	(void)state;
	start(&f, 0);
	send_pfns(&f, 2, pfns, sizeof(pfns));
	report(&f, 0, 0, PAGE);
	report(&f, 1, 0, PAGE);
	assert_int_equal(dropped(&f), 0);
	stop(&f);
}

static void test_broken(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, 0);
	(void)guest_driver_add(&f.g, 2, NULL, 0, &(struct iovec){ NULL, 1 }, 1);
	guest_driver_poke(&f.g, f.g.queues[2].desc, GUEST_DRIVER_BASE + GUEST_DRIVER_SIZE, 8);
	guest_driver_kick(&f.g, 2);
	assert_true(guest_driver_get(&f.g, REG_STATUS) & STATUS_NEEDS_RESET);
	stop(&f);
}

static void test_target(void **state)
{
	uint8_t raw[8] = { 0x11, 0x22, 0x33, 0x44 };
	struct fixture f;

	(void)state;
	start(&f, 0);
	assert_int_equal(guest_driver_get(&f.g, REG_CONFIG), 0);
	virtio_balloon_set_target(f.dev, 100);
	assert_int_equal(guest_driver_interrupts(&f.g), 2);
	assert_int_equal(guest_driver_get(&f.g, REG_CONFIG), 100);
	virtio_balloon_set_target(f.dev, UINT32_MAX);
	assert_int_equal(guest_driver_get(&f.g, REG_CONFIG), PAGES);
	guest_driver_set(&f.g, REG_CONFIG + 4, 77);
	assert_int_equal(virtio_balloon_actual(f.dev), 77);
	guest_driver_set(&f.g, REG_CONFIG, 5); /* the host's */
	guest_driver_set(&f.g, REG_CONFIG + 8, 5);
	virtio_mmio_write(&f.g.t, REG_CONFIG, raw, 8);
	virtio_mmio_write(&f.g.t, REG_CONFIG + 4, raw, 2);
	assert_int_equal(guest_driver_get(&f.g, REG_CONFIG), PAGES);
	assert_int_equal(guest_driver_get(&f.g, REG_CONFIG + 4), 77);
	assert_int_equal(guest_driver_get(&f.g, REG_CONFIG + 8), 0);
	assert_int_equal(guest_driver_get(&f.g, REG_CONFIG + 16), 0);
	guest_driver_set(&f.g, REG_STATUS, 0);
	assert_int_equal(virtio_balloon_actual(f.dev), 0);
	stop(&f);
}

static void test_save(void **state)
{
	struct buf b = { 0 };
	struct state_out out = { .b = &b };
	struct state_in in;
	struct fixture f, to;
	struct err e = { 0 };

	(void)state;
	start(&f, 0);
	virtio_balloon_set_target(f.dev, 100);
	guest_driver_set(&f.g, REG_CONFIG + 4, 77);
	virtio_mmio_pause(&f.g.t);
	virtio_mmio_save(&f.g.t, &out);
	start(&to, 0);
	for (size_t len = 0; len <= b.len; len++) {
		in = (struct state_in){ (const uint8_t *)b.data, len, false };
		assert_int_equal(virtio_mmio_load(&to.g.t, &in, &e), len < b.len ? -EINVAL : 0);
	}
	assert_int_equal(guest_driver_get(&to.g, REG_CONFIG), 100);
	assert_int_equal(virtio_balloon_actual(to.dev), 77);
	buf_done(&b);
	stop(&f);
	stop(&to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inflate),     cmocka_unit_test(test_inflate_most),
		cmocka_unit_test(test_deflate),     cmocka_unit_test(test_report),
		cmocka_unit_test(test_wrong_queue), cmocka_unit_test(test_broken),
		cmocka_unit_test(test_target),      cmocka_unit_test(test_save),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
