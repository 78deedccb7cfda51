/* SPDX-License-Identifier: MIT */
/* test_virtio_pmem.c - where the memory is, flushes that are right and wrong, and saved states */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "guest_driver.h"
#include "loop_turns.h"
#include "virtio_pmem.h"

#define START 0x6000000000ULL
#define SIZE  0x40000000ULL
#define AS_IS 0xa5a5a5a5U /* as the model filled it */

struct fixture {
	struct loop *loop;
	struct guest_driver g;
};

static void start(struct fixture *f, uint64_t size)
{
	struct virtio_device *dev;
	struct err e;

	memset(f, 0, sizeof(*f));
	assert_int_equal(loop_new(&f->loop, &e), 0);
	assert_int_equal(virtio_pmem_new(f->loop, START, size, &dev, &e), 0);
	guest_driver_start(&f->g, dev);
}

static void stop(struct fixture *f)
{
	guest_driver_stop(&f->g);
	loop_free(f->loop);
}

static void test_config(void **state)
{
	static const uint32_t want[] = { (uint32_t)START, START >> 32, (uint32_t)SIZE, SIZE >> 32 };
	struct fixture f;

	(void)state;
	start(&f, SIZE);
	assert_int_equal(guest_driver_get(&f.g, REG_DEVICE_ID), 27);
	for (uint32_t i = 0; i < 64; i++)
		assert_int_equal(guest_driver_get(&f.g, REG_CONFIG + 4 * i),
				 i < ARRAY_SIZE(want) ? want[i] : 0);
	guest_driver_set(&f.g, REG_CONFIG, 7); /* it is not the driver's to say */
	assert_int_equal(guest_driver_get(&f.g, REG_CONFIG), want[0]);
	stop(&f);
}

static const struct {
	const char *what;
	uint32_t type, out[2], in[2]; /* buffers; the first 4 bytes of out are the type */
	unsigned int n_out, n_in;
	uint32_t used, answer;
} requests[] = {
	{ "flush", 0, { 4 }, { 4 }, 1, 1, 4, 0 },
	{ "with more behind", 0, { 4, 100 }, { 4, 100 }, 2, 2, 4, 0 },
	{ "a longer one", 0, { 512 }, { 512 }, 1, 1, 4, 0 },
	{ "in two", 0, { 1, 3 }, { 4 }, 2, 1, 4, 0 },
	{ "another type", 1, { 4 }, { 4 }, 1, 1, 4, 1 },
	{ "all ones", UINT32_MAX, { 4 }, { 4 }, 1, 1, 4, 1 },
	{ "the other byte order", 1U << 24, { 4 }, { 4 }, 1, 1, 4, 1 },
	{ "cut short", 0, { 3 }, { 4 }, 1, 1, 4, 1 },
	{ "no request", 0, { 0 }, { 4 }, 0, 1, 4, 1 },
	{ "no room", 0, { 4 }, { 0 }, 1, 0, 0, 0 },
	{ "room for half", 0, { 4 }, { 2 }, 1, 1, 2, 0 },
	{ "an answer in two", 1, { 4 }, { 1, 3 }, 1, 2, 4, 1 },
};

static void test_requests(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, SIZE);
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		uint8_t raw[512] = { 0 }, got[4] = { 0 };
		struct iovec out[2], in[2];
		uint32_t used, at = 0;
		uint16_t head, done;

		put_le32(raw, requests[i].type);
		for (unsigned int k = 0; k < 2; k++) {
			out[k] = (struct iovec){ raw + (k ? requests[i].out[0] : 0),
						 requests[i].out[k] };
			in[k] = (struct iovec){ NULL, requests[i].in[k] };
		}
		head = guest_driver_add(&f.g, 0, out, requests[i].n_out, in, requests[i].n_in);
		guest_driver_kick(&f.g, 0);
		if (!guest_driver_used(&f.g, 0, &done, &used) || done != head ||
		    used != requests[i].used)
			fail_msg("%s: %u bytes", requests[i].what, used);
		for (unsigned int k = 0; k < requests[i].n_in; k++) {
			const uint8_t *p = guest_driver_data(&f.g, 0, head, requests[i].n_out + k);

			for (uint32_t b = 0; b < requests[i].in[k]; b++, at++)
				if (at < 4)
					got[at] = p[b];
				else if (p[b] != (uint8_t)AS_IS)
					fail_msg("%s: byte %u", requests[i].what, at);
		}
		if (get_le32(got) != requests[i].answer)
			fail_msg("%s: answer %u", requests[i].what, get_le32(got));
	}
	stop(&f);
}

static void flushes_add(struct fixture *f, unsigned int n)
{
	uint8_t raw[4] = { 0 };

	while (n-- > 0)
		(void)guest_driver_add(&f->g, 0, &(struct iovec){ raw, 4 }, 1,
				       &(struct iovec){ NULL, 4 }, 1);
	guest_driver_kick(&f->g, 0);
}

static unsigned int used_count(struct fixture *f)
{
	unsigned int n = 0;
	uint32_t used;
	uint16_t head;

	while (guest_driver_used(&f->g, 0, &head, &used))
		n++;
	return n;
}

static void test_turns_and_pause(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, SIZE);
	flushes_add(&f, 20);
	assert_int_equal(used_count(&f), 16);
	loop_turn(f.loop, 5);
	assert_int_equal(used_count(&f), 4);
	virtio_mmio_pause(&f.g.t);
	flushes_add(&f, 3);
	loop_turn(f.loop, 5);
	assert_int_equal(used_count(&f), 0);
	virtio_mmio_resume(&f.g.t);
	assert_int_equal(used_count(&f), 3);
	guest_driver_poke(&f.g, f.g.queues[0].avail + 2, 1000, 2);
	guest_driver_kick(&f.g, 0);
	assert_true(guest_driver_get(&f.g, REG_STATUS) & STATUS_NEEDS_RESET);
	stop(&f);
}

/* Of `from` bytes, into one of `to`; the last `cut` bytes are missing. */
static int reload(uint64_t from, uint64_t to, size_t cut, uint32_t *ret_interrupts)
{
	auto_buf b = { 0 };
	struct state_out out = { &b, false };
	struct fixture old, new;
	struct state_in in;
	struct err e = { 0 };
	int rc;

	start(&old, from);
	virtio_mmio_save(&old.g.t, &out);
	assert_false(out.has_failed);
	start(&new, to);
	(void)guest_driver_interrupts(&new.g);
	in = (struct state_in){ (const uint8_t *)b.data, b.len - cut, false };
	rc = virtio_mmio_load(&new.g.t, &in, &e);
	assert_true((rc < 0) == (e.msg[0] != '\0') && (rc < 0 || in.left == 0));
	*ret_interrupts = guest_driver_interrupts(&new.g);
	if (rc == 0) {
		flushes_add(&new, 1);
		assert_int_equal(used_count(&new), 1);
		assert_int_equal(guest_driver_get(&new.g, REG_CONFIG + 8), (uint32_t)to);
	}
	stop(&old);
	stop(&new);
	return rc;
}

static void test_state(void **state)
{
	uint32_t interrupts;

	(void)state;
	assert_int_equal(reload(SIZE, SIZE, 0, &interrupts), 0);
	assert_int_equal(interrupts, 0);
	assert_int_equal(reload(2 << 20, SIZE, 0, &interrupts), 0); /* a template's clone */
	assert_int_equal(interrupts, 2);
	assert_int_equal(reload(SIZE, SIZE - (2 << 20), 0, &interrupts), -EINVAL);
	for (size_t cut = 1; cut <= 8; cut++)
		assert_int_equal(reload(SIZE, SIZE, cut, &interrupts), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_turns_and_pause),
		cmocka_unit_test(test_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
