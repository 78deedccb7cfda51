/* SPDX-License-Identifier: MIT */
/* test_virtio_mem.c - what a guest may take and give back, and what is there then */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "guest_driver.h"
#include "virtio_mem.h"

#define BLOCK     GUEST_BLOCK
#define BLOCKS    8U
#define AREA      (1ULL << 32)
#define AREA_SIZE (BLOCKS * BLOCK)
#define MAX       (6 * BLOCK)

enum { PLUG, UNPLUG, UNPLUG_ALL, STATE };
enum { ACK, NACK, BUSY, ERROR };
enum { IN, OUT, MIXED };

struct fixture {
	struct loop *loop;
	struct virtio_device *dev;
	struct guest_driver g;
	bool is_used; /* what is_used() says, besides of rings */
	uint64_t asked_gpa, asked_len;
};

static bool is_used(void *arg, uint64_t gpa, uint64_t len)
{
	struct fixture *f = arg;

	f->asked_gpa = gpa;
	f->asked_len = len;
	assert_null(guest_span(&f->g.mem, gpa, 1)); /* spans are gone by then */
	return f->is_used || virtq_uses(&f->dev->queues[0], gpa, len);
}

static void start(struct fixture *f, uint64_t requested)
{
	const struct virtio_mem_spec spec = { &f->g.mem, MAX, is_used, f };
	struct err e;

	memset(f, 0, sizeof(*f));
	assert_int_equal(loop_new(&f->loop, &e), 0);
	assert_int_equal(virtio_mem_new(f->loop, &spec, &f->dev, &e), 0);
	f->g.mem.area = (struct guest_slot){ .gpa = AREA, .size = AREA_SIZE };
	guest_driver_start(&f->g, f->dev);
	virtio_mem_request(f->dev, requested);
	(void)guest_driver_interrupts(&f->g);
}

static void stop(struct fixture *f)
{
	guest_driver_stop(&f->g);
	loop_free(f->loop);
}

struct answer {
	uint32_t used;
	uint16_t type, state;
};

static struct answer send(struct fixture *f, const void *raw, size_t len, size_t room)
{
	struct answer a = { 0 };
	uint16_t head, got;
	uint8_t *data;

	head = guest_driver_add(&f->g, 0, &(struct iovec){ (void *)(uintptr_t)raw, len }, 1,
				&(struct iovec){ NULL, room }, 1);
	guest_driver_kick(&f->g, 0);
	assert_true(guest_driver_used(&f->g, 0, &got, &a.used));
	assert_int_equal(got, head);
	assert_true(a.used <= room);
	data = guest_driver_data(&f->g, 0, head, 1);
	if (a.used >= 2)
		a.type = get_le16(data);
	if (a.used >= 10)
		a.state = get_le16(data + 8);
	return a;
}

static struct answer ask(struct fixture *f, uint16_t type, uint64_t addr, uint16_t n)
{
	uint8_t raw[24] = { 0 };
	struct answer a;

	put_le16(raw, type);
	put_le64(raw + 8, addr);
	put_le16(raw + 16, n);
	a = send(f, raw, sizeof(raw), 10);
	assert_int_equal(a.used, 10);
	return a;
}

static uint64_t block(uint64_t i)
{
	return AREA + i * BLOCK;
}

/* Which blocks spans have, as bits; the count agrees. */
static uint32_t in(struct fixture *f)
{
	uint32_t bits = 0, n = 0;

	for (uint32_t i = 0; i < BLOCKS; i++) {
		const bool is_in = guest_span(&f->g.mem, block(i), BLOCK);

		assert_true(is_in == (guest_span(&f->g.mem, block(i) + 7, 1) != NULL));
		assert_int_equal(ask(f, STATE, block(i), 1).state, is_in ? IN : OUT);
		bits |= (uint32_t)is_in << i;
		n += is_in;
	}
	assert_int_equal(virtio_mem_plugged(f->dev), n * BLOCK);
	return bits;
}

static uint64_t config(struct fixture *f, uint32_t off)
{
	return guest_driver_get(&f->g, REG_CONFIG + off) |
	       (uint64_t)guest_driver_get(&f->g, REG_CONFIG + off + 4) << 32;
}

/* Whether the process itself could store there: a call that says so instead of a signal. */
static bool can_store(struct fixture *f, uint64_t i)
{
	struct iovec to = { f->g.mem.area.hva + i * BLOCK, 1 },
		     from = { (void *)(uintptr_t) "", 1 };

	return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == 1;
}

static bool is_resident(struct fixture *f, uint64_t i)
{
	unsigned char pages[BLOCK / 4096];

	assert_int_equal(mincore(f->g.mem.area.hva + i * BLOCK, BLOCK, pages), 0);
	for (size_t k = 0; k < sizeof(pages); k++)
		if (pages[k] & 1)
			return true;
	return false;
}

static void test_config(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, 0);
	assert_int_equal(config(&f, 0), BLOCK);
	assert_int_equal(config(&f, 8), 0); /* node */
	assert_int_equal(config(&f, 16), AREA);
	assert_int_equal(config(&f, 24), AREA_SIZE);
	assert_int_equal(config(&f, 32), AREA_SIZE);
	assert_int_equal(config(&f, 40), 0);
	assert_int_equal(config(&f, 48), 0);
	assert_int_equal(config(&f, 56), 0);
	virtio_mem_request(f.dev, 3 * BLOCK - 1);
	assert_int_equal(guest_driver_interrupts(&f.g), 2);
	assert_int_equal(config(&f, 48), 2 * BLOCK);
	virtio_mem_request(f.dev, UINT64_MAX);
	assert_int_equal(config(&f, 48), MAX);
	guest_driver_set(&f.g, REG_CONFIG + 48, 0); /* the host's */
	guest_driver_set(&f.g, REG_CONFIG + 40, 77);
	assert_int_equal(config(&f, 48), MAX);
	assert_int_equal(ask(&f, PLUG, block(1), 2).type, ACK);
	assert_int_equal(config(&f, 40), 2 * BLOCK);
	stop(&f);
}

/* One after the other, on a device of 8 blocks that shall have 4. */
static void test_requests(void **state)
{
	static const struct {
		const char *what;
		uint16_t type;
		uint64_t addr;
		uint16_t n, answer;
		uint32_t in;
	} t[] = {
		{ "nothing is in", UNPLUG, AREA, 1, ERROR, 0 },
		{ "no blocks", PLUG, AREA, 0, ERROR, 0 },
		{ "one in", PLUG, AREA, 1, ACK, 0x01 },
		{ "twice", PLUG, AREA, 1, ERROR, 0x01 },
		{ "over one that is in", PLUG, AREA, 2, ERROR, 0x01 },
		{ "up to one that is in", PLUG, AREA - BLOCK, 2, ERROR, 0x01 },
		{ "two at the end", PLUG, AREA + 6 * BLOCK, 2, ACK, 0xc1 },
		{ "beyond the end", PLUG, AREA + 7 * BLOCK, 2, ERROR, 0xc1 },
		{ "at the end", PLUG, AREA + 8 * BLOCK, 1, ERROR, 0xc1 },
		{ "before the start", PLUG, AREA - BLOCK, 1, ERROR, 0xc1 },
		{ "at 0", PLUG, 0, 1, ERROR, 0xc1 },
		{ "wraps", PLUG, UINT64_MAX - BLOCK + 1, 2, ERROR, 0xc1 },
		{ "wraps into it", PLUG, UINT64_MAX - BLOCK + 1, UINT16_MAX, ERROR, 0xc1 },
		{ "all of the number", PLUG, AREA, UINT16_MAX, ERROR, 0xc1 },
		{ "not a block's start", PLUG, AREA + BLOCK + 4096, 1, ERROR, 0xc1 },
		{ "one byte off", PLUG, AREA + BLOCK + 1, 1, ERROR, 0xc1 },
		{ "more than it shall have", PLUG, AREA + BLOCK, 2, NACK, 0xc1 },
		{ "the last one", PLUG, AREA + 2 * BLOCK, 1, ACK, 0xc5 },
		{ "one too many", PLUG, AREA + 3 * BLOCK, 1, NACK, 0xc5 },
		{ "unknown type", 4, AREA, 1, ERROR, 0xc5 },
		{ "unknown type", UINT16_MAX, AREA, 1, ERROR, 0xc5 },
		{ "out: some are out", UNPLUG, AREA, 2, ERROR, 0xc5 },
		{ "out: beyond the end", UNPLUG, AREA + 7 * BLOCK, 2, ERROR, 0xc5 },
		{ "out: none", UNPLUG, AREA, 0, ERROR, 0xc5 },
		{ "out: one byte off", UNPLUG, AREA + 1, 1, ERROR, 0xc5 },
		{ "out", UNPLUG, AREA + 6 * BLOCK, 2, ACK, 0x05 },
		{ "out twice", UNPLUG, AREA + 6 * BLOCK, 1, ERROR, 0x05 },
		{ "in again", PLUG, AREA + 3 * BLOCK, 2, ACK, 0x1d },
		{ "all out", UNPLUG_ALL, 0, 0, ACK, 0 },
		{ "all out again", UNPLUG_ALL, 1, UINT16_MAX, ACK, 0 },
	};
	struct fixture f;

	(void)state;
	start(&f, 4 * BLOCK);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct answer a = ask(&f, t[i].type, t[i].addr, t[i].n);
		uint32_t is = in(&f);

		if (a.type != t[i].answer || is != t[i].in)
			fail_msg("%s: %u, 0x%x", t[i].what, a.type, is);
	}
	stop(&f);
}

static void test_state(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, MAX);
	assert_int_equal(ask(&f, PLUG, block(2), 2).type, ACK);
	assert_int_equal(ask(&f, STATE, block(2), 2).state, IN);
	assert_int_equal(ask(&f, STATE, block(0), 2).state, OUT);
	assert_int_equal(ask(&f, STATE, block(0), BLOCKS).state, MIXED);
	assert_int_equal(ask(&f, STATE, block(1), 2).state, MIXED);
	assert_int_equal(ask(&f, STATE, block(1), BLOCKS).type, ERROR);
	assert_int_equal(ask(&f, STATE, block(0), 0).type, ERROR);
	stop(&f);
}

/* A request that is cut short, or whose answer has no room, does nothing. */
static void test_short(void **state)
{
	uint8_t raw[24] = { 0 };
	struct fixture f;

	(void)state;
	start(&f, MAX);
	put_le64(raw + 8, AREA);
	put_le16(raw + 16, 1);
	for (size_t len = 1; len < sizeof(raw); len++) {
		struct answer a = send(&f, raw, len, 10);

		assert_true(a.used == 10 && a.type == ERROR);
	}
	for (size_t room = 1; room < 10; room++) {
		struct answer a = send(&f, raw, sizeof(raw), room);

		assert_true(a.used == room && (room < 2 || a.type == ERROR));
	}
	assert_int_equal(in(&f), 0);
	assert_int_equal(send(&f, raw, sizeof(raw), 100).type, ACK);
	assert_int_equal(in(&f), 1);
	stop(&f);
}

/* What is out has no memory and takes none; what comes in again is zeros. */
static void test_memory(void **state)
{
	struct fixture f;
	uint8_t *p;

	(void)state;
	start(&f, MAX);
	assert_false(can_store(&f, 0));
	assert_int_equal(f.g.mem.area.hva[0], 0); /* may be looked at */
	assert_int_equal(ask(&f, PLUG, block(0), 2).type, ACK);
	assert_true(can_store(&f, 0));
	p = guest_span(&f.g.mem, block(0), 2 * BLOCK); /* over the border of two blocks */
	assert_non_null(p);
	memset(p, 0x5a, 2 * BLOCK);
	assert_null(guest_span(&f.g.mem, block(0), 2 * BLOCK + 1));
	assert_null(guest_span(&f.g.mem, block(0), 0));
	assert_null(guest_span(&f.g.mem, block(0) - 1, 2));
	assert_null(guest_span(&f.g.mem, block(0), UINT64_MAX));
	assert_int_equal(ask(&f, UNPLUG, block(1), 1).type, ACK);
	assert_null(guest_span(&f.g.mem, block(0), BLOCK + 1));
	assert_false(can_store(&f, 1));
	assert_true(can_store(&f, 0));
	assert_false(is_resident(&f, 1));
	assert_true(is_resident(&f, 0));
	assert_int_equal(p[BLOCK], 0);
	assert_int_equal(p[BLOCK - 1], 0x5a);
	assert_int_equal(ask(&f, PLUG, block(1), 1).type, ACK);
	assert_int_equal(p[BLOCK], 0);
	assert_int_equal(memcmp(p + BLOCK, p + BLOCK + 1, BLOCK - 1), 0);
	stop(&f);
}

static void test_less_wanted(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, 4 * BLOCK);
	assert_int_equal(ask(&f, PLUG, block(0), 4).type, ACK);
	virtio_mem_request(f.dev, BLOCK);
	assert_int_equal(ask(&f, PLUG, block(5), 1).type, NACK);
	assert_int_equal(in(&f), 0xf); /* nothing is taken away from it */
	assert_int_equal(ask(&f, UNPLUG, block(0), 3).type, ACK);
	assert_int_equal(ask(&f, PLUG, block(5), 1).type, NACK);
	assert_int_equal(ask(&f, UNPLUG, block(3), 1).type, ACK);
	assert_int_equal(ask(&f, PLUG, block(5), 1).type, ACK);
	assert_int_equal(in(&f), 0x20);
	stop(&f);
}

static void test_used(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, MAX);
	assert_int_equal(ask(&f, PLUG, block(1), 2).type, ACK);
	assert_int_equal(ask(&f, PLUG, block(4), 1).type, ACK);
	((uint8_t *)guest_span(&f.g.mem, block(1), 1))[0] = 0x5a;
	f.is_used = true;
	assert_int_equal(ask(&f, UNPLUG, block(1), 2).type, BUSY);
	assert_true(f.asked_gpa == block(1) && f.asked_len == 2 * BLOCK);
	assert_int_equal(ask(&f, UNPLUG_ALL, 0, 0).type, BUSY);
	assert_int_equal(in(&f), 0x16);
	assert_int_equal(((uint8_t *)guest_span(&f.g.mem, block(1), 1))[0], 0x5a);
	f.is_used = false;
	assert_int_equal(ask(&f, UNPLUG_ALL, 0, 0).type, ACK);
	assert_true(f.asked_gpa == block(4) && f.asked_len == BLOCK); /* the last run */
	assert_int_equal(in(&f), 0);
	stop(&f);
}

/* A ring in the area: the block stays for as long as the queue is ready. */
static void test_ring(void **state)
{
	struct guest_driver_queue *q;
	struct fixture f;

	(void)state;
	start(&f, MAX);
	assert_int_equal(ask(&f, PLUG, block(0), 2).type, ACK);
	(void)guest_driver_get(&f.g, REG_STATUS);
	guest_driver_set(&f.g, REG_STATUS, 0); /* a reset: what is in stays */
	guest_driver_set(&f.g, REG_STATUS, STATUS_ACK);
	guest_driver_set(&f.g, REG_STATUS, STATUS_ACK | STATUS_DRIVER);
	guest_driver_set(&f.g, REG_DRIVER_FEATURES_SEL, 1);
	guest_driver_set(&f.g, REG_DRIVER_FEATURES, 1);
	guest_driver_set(&f.g, REG_STATUS, STATUS_ACK | STATUS_DRIVER | STATUS_FEATURES_OK);
	guest_driver_queue_lay(&f.g, 0, 16);
	q = &f.g.queues[0];
	q->used = block(1) + BLOCK - 4096; /* in the second block */
	f.g.features = VIRTIO_F_VERSION_1;
	guest_driver_set(&f.g, REG_QUEUE_NUM, 16);
	guest_driver_set64(&f.g, REG_QUEUE_DESC, q->desc);
	guest_driver_set64(&f.g, REG_QUEUE_DRIVER, q->avail);
	guest_driver_set64(&f.g, REG_QUEUE_DEVICE, block(2)); /* out */
	guest_driver_set(&f.g, REG_QUEUE_READY, 1);
	assert_int_equal(guest_driver_get(&f.g, REG_QUEUE_READY), 0);
	assert_true(guest_driver_get(&f.g, REG_STATUS) & STATUS_NEEDS_RESET);

	guest_driver_set(&f.g, REG_STATUS, 0);
	guest_driver_set(&f.g, REG_STATUS, STATUS_ACK);
	guest_driver_set(&f.g, REG_STATUS, STATUS_ACK | STATUS_DRIVER);
	guest_driver_set(&f.g, REG_DRIVER_FEATURES_SEL, 1);
	guest_driver_set(&f.g, REG_DRIVER_FEATURES, 1);
	guest_driver_set(&f.g, REG_STATUS, STATUS_ACK | STATUS_DRIVER | STATUS_FEATURES_OK);
	guest_driver_set(&f.g, REG_QUEUE_NUM, 16);
	guest_driver_set64(&f.g, REG_QUEUE_DESC, q->desc);
	guest_driver_set64(&f.g, REG_QUEUE_DRIVER, q->avail);
	guest_driver_set64(&f.g, REG_QUEUE_DEVICE, q->used);
	guest_driver_set(&f.g, REG_QUEUE_READY, 1);
	assert_int_equal(guest_driver_get(&f.g, REG_QUEUE_READY), 1);
	guest_driver_set(&f.g, REG_STATUS, STATUS_RUNNING);

	assert_int_equal(ask(&f, UNPLUG, block(1), 1).type, BUSY);
	assert_int_equal(ask(&f, UNPLUG, block(0), 2).type, BUSY);
	assert_int_equal(in(&f), 3);
	assert_int_equal(ask(&f, UNPLUG_ALL, 0, 0).type, BUSY);
	assert_int_equal(in(&f), 2); /* what was before it is out */
	guest_driver_set(&f.g, REG_STATUS, 0);
	assert_int_equal(virtio_mem_plugged(f.dev), BLOCK);
	assert_int_equal(guest_driver_negotiate(&f.g, f.dev->features, 16), STATUS_RUNNING);
	assert_int_equal(ask(&f, UNPLUG, block(1), 1).type, ACK);
	stop(&f);
}

/* The request itself in a block that it gives back: the answer has nowhere to go, and it stays. */
static void test_buffer(void **state)
{
	struct fixture f;
	uint16_t head, got;
	uint32_t used;
	uint8_t *p;

	(void)state;
	start(&f, MAX);
	assert_int_equal(ask(&f, PLUG, block(0), 2).type, ACK);
	p = guest_span(&f.g.mem, block(0), 64);
	put_le16(p, UNPLUG);
	put_le64(p + 8, block(1));
	put_le16(p + 16, 1);
	head = guest_driver_add(&f.g, 0, &(struct iovec){ NULL, 24 }, 1,
				&(struct iovec){ NULL, 10 }, 1);
	guest_driver_poke(&f.g, f.g.queues[0].desc + 16ULL * head, block(0), 8);
	guest_driver_kick(&f.g, 0);
	assert_true(guest_driver_used(&f.g, 0, &got, &used));
	assert_int_equal(in(&f), 1);
	stop(&f);
}

static void test_save(void **state)
{
	struct buf b = { 0 };
	struct state_out out = { .b = &b };
	struct state_in s;
	struct fixture f, to;
	struct err e = { 0 };

	(void)state;
	start(&f, 4 * BLOCK);
	virtio_mmio_pause(&f.g.t);
	virtio_mmio_save(&f.g.t, &out);
	assert_false(out.has_failed);
	start(&to, 0);
	for (size_t len = 0; len <= b.len; len++) {
		s = (struct state_in){ (const uint8_t *)b.data, len, false };
		assert_int_equal(virtio_mmio_load(&to.g.t, &s, &e), len < b.len ? -EINVAL : 0);
	}
	assert_int_equal(config(&to, 48), 4 * BLOCK);
	put_le64(b.data + b.len - 8, MAX + BLOCK);
	s = (struct state_in){ (const uint8_t *)b.data, b.len, false };
	assert_int_equal(virtio_mmio_load(&to.g.t, &s, &e), -EINVAL);
	put_le64(b.data + b.len - 8, BLOCK + 1);
	s = (struct state_in){ (const uint8_t *)b.data, b.len, false };
	assert_int_equal(virtio_mmio_load(&to.g.t, &s, &e), -EINVAL);
	put_le64(b.data + b.len - 8, BLOCK);
	put_le64(b.data + b.len - 16, AREA_SIZE + BLOCK);
	s = (struct state_in){ (const uint8_t *)b.data, b.len, false };
	assert_int_equal(virtio_mmio_load(&to.g.t, &s, &e), -EINVAL);

	/* with memory in it, there is no saving and no loading */
	virtio_mmio_resume(&f.g.t);
	assert_int_equal(ask(&f, PLUG, block(0), 1).type, ACK);
	virtio_mmio_save(&f.g.t, &out);
	assert_true(out.has_failed);
	put_le64(b.data + b.len - 16, AREA_SIZE);
	s = (struct state_in){ (const uint8_t *)b.data, b.len, false };
	assert_int_equal(virtio_mmio_load(&f.g.t, &s, &e), -EINVAL);
	buf_done(&b);
	stop(&f);
	stop(&to);
}

/* A pause holds requests back. */
static void test_pause(void **state)
{
	uint8_t raw[24] = { 0 };
	struct fixture f;
	uint16_t got;
	uint32_t used;

	(void)state;
	start(&f, MAX);
	put_le64(raw + 8, AREA);
	put_le16(raw + 16, 1);
	virtio_mmio_pause(&f.g.t);
	(void)guest_driver_add(&f.g, 0, &(struct iovec){ raw, 24 }, 1, &(struct iovec){ NULL, 10 },
			       1);
	guest_driver_kick(&f.g, 0);
	assert_false(guest_driver_used(&f.g, 0, &got, &used));
	assert_int_equal(virtio_mem_plugged(f.dev), 0);
	virtio_mmio_resume(&f.g.t);
	assert_true(guest_driver_used(&f.g, 0, &got, &used));
	assert_int_equal(virtio_mem_plugged(f.dev), BLOCK);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config), cmocka_unit_test(test_requests),
		cmocka_unit_test(test_state),  cmocka_unit_test(test_short),
		cmocka_unit_test(test_memory), cmocka_unit_test(test_less_wanted),
		cmocka_unit_test(test_used),   cmocka_unit_test(test_ring),
		cmocka_unit_test(test_buffer), cmocka_unit_test(test_save),
		cmocka_unit_test(test_pause),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
