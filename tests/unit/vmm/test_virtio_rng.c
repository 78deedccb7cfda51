/* SPDX-License-Identifier: MIT */
/* test_virtio_rng.c - random bytes, and no more work at a time than there should be */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "guest_driver.h"
#include "loop_turns.h"
#include "virtio_rng.h"

struct fixture {
	struct loop *loop;
	struct guest_driver g;
};

static void start(struct fixture *f)
{
	struct virtio_device *dev;
	struct err e;

	memset(f, 0, sizeof(*f));
	assert_int_equal(loop_new(&f->loop, &e), 0);
	assert_int_equal(virtio_rng_new(f->loop, &dev, &e), 0);
	guest_driver_start(&f->g, dev);
}

static void stop(struct fixture *f)
{
	guest_driver_stop(&f->g);
	loop_free(f->loop);
}

/* How many of the bytes are as the model filled them. */
static size_t untouched(const uint8_t *p, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += p[i] == 0xa5;
	return n;
}

static void test_requests(void **state)
{
	static const struct {
		const char *what;
		uint32_t in[3];
		unsigned int n_in, n_out;
		uint32_t used;
	} t[] = {
		{ "one", { 64 }, 1, 0, 64 },
		{ "a byte", { 1 }, 1, 0, 1 },
		{ "three", { 1, 4097, 100 }, 3, 0, 4198 },
		{ "the most", { 65536 }, 1, 0, 65536 },
		{ "more than the most", { 65537 }, 1, 0, 65536 },
		{ "far more", { 60000, 60000, 60000 }, 3, 0, 65536 },
		{ "with bytes to read", { 32 }, 1, 1, 32 },
		{ "nothing to write", { 0 }, 0, 1, 0 },
		{ "an empty buffer", { 0 }, 1, 0, 0 },
	};
	struct iovec out = { NULL, 100 }, in[3];
	struct fixture f;

	(void)state;
	start(&f);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		uint32_t used, left;
		uint16_t head, got;

		for (unsigned int k = 0; k < t[i].n_in; k++)
			in[k] = (struct iovec){ NULL, t[i].in[k] };
		head = guest_driver_add(&f.g, 0, &out, t[i].n_out, in, t[i].n_in);
		guest_driver_kick(&f.g, 0);
		if (!guest_driver_used(&f.g, 0, &got, &used) || got != head || used != t[i].used)
			fail_msg("%s", t[i].what);
		left = used;
		for (unsigned int k = 0; k < t[i].n_in; k++) {
			uint32_t part = MIN_OF(left, t[i].in[k]), rest = t[i].in[k] - part;
			uint8_t *p = guest_driver_data(&f.g, 0, head, t[i].n_out + k);

			assert_true(untouched(p, part) <= part / 64 + 2);
			assert_int_equal(untouched(p + part, rest), rest);
			left -= part;
		}
	}
	assert_int_equal(guest_driver_get(&f.g, REG_CONFIG), 0);
	stop(&f);
}

static unsigned int used_count(struct fixture *f)
{
	unsigned int n = 0;
	uint32_t used;
	uint16_t head;

	while (guest_driver_used(&f->g, 0, &head, &used)) {
		assert_int_equal(used, 8);
		n++;
	}
	return n;
}

static void add(struct fixture *f, unsigned int n)
{
	while (n-- > 0)
		(void)guest_driver_add(&f->g, 0, NULL, 0, &(struct iovec){ NULL, 8 }, 1);
}

static void test_turns(void **state)
{
	struct fixture f;

	(void)state;
	start(&f);
	add(&f, 40);
	guest_driver_kick(&f.g, 0);
	assert_int_equal(used_count(&f), 16);
	loop_turn(f.loop, 5);
	assert_int_equal(used_count(&f), 24);
	assert_int_equal(guest_driver_interrupts(&f.g), 1);
	/* It waits for kicks again. */
	(void)guest_driver_kick_wanted(&f.g, 0);
	add(&f, 1);
	assert_true(guest_driver_kick_wanted(&f.g, 0));
	guest_driver_kick(&f.g, 0);
	assert_int_equal(used_count(&f), 1);
	stop(&f);
}

static void test_pause(void **state)
{
	struct fixture f;

	(void)state;
	start(&f);
	add(&f, 20);
	guest_driver_kick(&f.g, 0);
	virtio_mmio_pause(&f.g.t); /* the timer runs */
	loop_turn(f.loop, 5);
	assert_int_equal(used_count(&f), 16);
	add(&f, 1);
	guest_driver_kick(&f.g, 0);
	loop_turn(f.loop, 5);
	assert_int_equal(used_count(&f), 0);
	virtio_mmio_resume(&f.g.t);
	assert_int_equal(used_count(&f), 5);
	/* A reset while work is left. */
	add(&f, 20);
	guest_driver_kick(&f.g, 0);
	assert_int_equal(guest_driver_negotiate(&f.g, f.g.features, 16), STATUS_RUNNING);
	loop_turn(f.loop, 5);
	assert_int_equal(used_count(&f), 0);
	add(&f, 1);
	guest_driver_kick(&f.g, 0);
	assert_int_equal(used_count(&f), 1);
	stop(&f);
}

static void test_broken(void **state)
{
	struct fixture f;

	(void)state;
	start(&f);
	guest_driver_poke(&f.g, f.g.queues[0].avail + 2, 1000, 2);
	guest_driver_kick(&f.g, 0);
	assert_true(guest_driver_get(&f.g, REG_STATUS) & STATUS_NEEDS_RESET);
	assert_int_equal(guest_driver_interrupts(&f.g), 2);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_turns),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_broken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
