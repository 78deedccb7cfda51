/* SPDX-License-Identifier: MIT */
/* test_virtio_mmio.c - the registers' state machine, with a toy device behind it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "guest_driver.h"
#include "toy_device.h"

#define IN_DRIVER   (STATUS_ACK | STATUS_DRIVER)
#define IN_FEATURES (IN_DRIVER | STATUS_FEATURES_OK)

static struct toy_device *toy_of(struct guest_driver *g)
{
	return (struct toy_device *)g->t.dev;
}

static void attach(struct guest_driver *g)
{
	*g = (struct guest_driver){ 0 };
	guest_driver_attach(g, &toy_device_new()->dev);
}

static void features_set(struct guest_driver *g, uint64_t features)
{
	for (uint32_t i = 0; i < 2; i++) {
		guest_driver_set(g, REG_DRIVER_FEATURES_SEL, i);
		guest_driver_set(g, REG_DRIVER_FEATURES, (uint32_t)(features >> (32 * i)));
	}
}

/* Step by step to `status`, a state on the right way, without queues. */
static void go_to(struct guest_driver *g, uint32_t status)
{
	static const uint32_t way[] = { STATUS_ACK, IN_DRIVER, IN_FEATURES, STATUS_RUNNING };

	for (size_t i = 0; i < ARRAY_SIZE(way) && way[i] <= status; i++) {
		if (way[i] == IN_FEATURES)
			features_set(g, TOY_FEATURES);
		guest_driver_set(g, REG_STATUS, way[i]);
	}
	assert_int_equal(guest_driver_get(g, REG_STATUS), status);
}

static void queue_set(struct guest_driver *g, uint32_t queue, uint32_t size)
{
	guest_driver_set(g, REG_QUEUE_SEL, queue);
	guest_driver_set(g, REG_QUEUE_NUM, size);
	guest_driver_set64(g, REG_QUEUE_DESC, GUEST_DRIVER_BASE);
	guest_driver_set64(g, REG_QUEUE_DRIVER, GUEST_DRIVER_BASE + 0x1000);
	guest_driver_set64(g, REG_QUEUE_DEVICE, GUEST_DRIVER_BASE + 0x2000);
}

static const struct {
	uint32_t reg, want;
} constants[] = {
	{ REG_MAGIC, 0x74726976 },
	{ REG_VERSION, 2 },
	{ REG_DEVICE_ID, VIRTIO_ID_RNG },
	{ REG_QUEUE_NUM_MAX, TOY_QUEUE_SIZE },
	{ REG_QUEUE_READY, 0 },
	{ REG_SHM_LEN, UINT32_MAX },
	{ REG_SHM_LEN + 4, UINT32_MAX },
	{ REG_SHM_BASE, UINT32_MAX },
	{ REG_SHM_BASE + 4, UINT32_MAX },
	{ REG_QUEUE_RESET, 0 },
	{ REG_QUEUE_NOTIFY, 0 },
	{ REG_DRIVER_FEATURES, 0 }, /* those that are only written */
	{ REG_QUEUE_NUM, 0 },
	{ REG_QUEUE_DESC, 0 },
	{ 0x28, 0 }, /* of version 1: the guest's page size */
	{ 0x40, 0 }, /* of version 1: the queue's page */
	{ 0xf8, 0 },
};

static void test_constants(void **state)
{
	struct guest_driver g;

	(void)state;
	attach(&g);
	for (size_t i = 0; i < ARRAY_SIZE(constants); i++) {
		if (guest_driver_get(&g, constants[i].reg) != constants[i].want)
			fail_msg("register 0x%x", constants[i].reg);
		guest_driver_set(&g, constants[i].reg, 1); /* in this state that does nothing */
		if (guest_driver_get(&g, constants[i].reg) != constants[i].want)
			fail_msg("register 0x%x after a write", constants[i].reg);
	}
	guest_driver_set(&g, REG_QUEUE_SEL, TOY_QUEUES);
	assert_int_equal(guest_driver_get(&g, REG_QUEUE_NUM_MAX), 0);
	guest_driver_set(&g, REG_QUEUE_SEL, UINT32_MAX);
	assert_int_equal(guest_driver_get(&g, REG_QUEUE_NUM_MAX), 0);
	guest_driver_set(&g, REG_DEVICE_FEATURES_SEL, 1);
	assert_int_equal(guest_driver_get(&g, REG_DEVICE_FEATURES), TOY_FEATURES >> 32);
	guest_driver_set(&g, REG_DEVICE_FEATURES_SEL, 2);
	assert_int_equal(guest_driver_get(&g, REG_DEVICE_FEATURES), 0);
	guest_driver_stop(&g);
}

static const struct {
	uint32_t off, len;
	bool is_fine;
} accesses[] = {
	{ 0, 4, true },
	{ 0, 1, false },
	{ 0, 2, false },
	{ 0, 8, false },
	{ 1, 4, false },
	{ 2, 4, false },
	{ 0xfe, 4, false },
	{ REG_CONFIG, 1, true },
	{ REG_CONFIG, 2, true },
	{ REG_CONFIG, 4, true },
	{ REG_CONFIG, 8, true },
	{ REG_CONFIG + 3, 1, true },
	{ REG_CONFIG + 6, 2, true },
	{ REG_CONFIG, 3, false },
	{ REG_CONFIG, 0, false },
	{ REG_CONFIG + 1, 2, false },
	{ REG_CONFIG + 2, 4, false },
	{ REG_CONFIG + 4, 8, false },
	{ VIRTIO_MMIO_SIZE, 4, false },
	{ UINT32_MAX - 3, 4, false },
};

static void test_accesses(void **state)
{
	struct guest_driver g;

	(void)state;
	attach(&g);
	memset(toy_of(&g)->config, 0xee, TOY_CONFIG);
	for (size_t i = 0; i < ARRAY_SIZE(accesses); i++) {
		uint8_t data[8];
		bool has_some = false;

		memset(data, 0x77, sizeof(data));
		virtio_mmio_read(&g.t, accesses[i].off, data, accesses[i].len);
		for (uint32_t k = 0; k < sizeof(data); k++) {
			if (k < accesses[i].len)
				has_some |= data[k] != 0;
			else
				assert_int_equal(data[k], 0x77);
		}
		if (has_some != accesses[i].is_fine)
			fail_msg("0x%x, %u", accesses[i].off, accesses[i].len);
	}
	guest_driver_stop(&g);
}

/* A status is written in the state `from`. */
static const struct {
	uint32_t from, write, want;
} steps[] = {
	{ 0, 1, 1 },         { 0, 0x80, 0x80 },  { 0, 2, 0 },
	{ 0, 3, 0 },         { 0, 4, 0 },        { 0, 8, 0 },
	{ 0, 0xf, 0 },       { 0, 0x10, 0 },     { 0, 0x40, 0 },
	{ 0, 0x41, 0 },      { 0, 0x81, 0 }, /* one bit at a time, FAILED too */
	{ 0, 0x101, 0 },     { 1, 3, 3 },        { 1, 1, 1 },
	{ 1, 0, 0 },         { 1, 0x81, 0x81 },  { 1, 2, 1 }, /* clears a bit */
	{ 1, 0x80, 1 },      { 1, 7, 1 },        { 1, 9, 1 },
	{ 1, 0xb, 1 },       { 1, 0x83, 1 },     { 3, 0xb, 0xb },
	{ 3, 0, 0 },         { 3, 1, 3 },        { 3, 8, 3 },
	{ 3, 7, 3 },         { 3, 0xf, 3 },      { 3, 0x43, 3 },
	{ 3, 0x4b, 3 },      { 3, 0x83, 0x83 },  { 3, 0xffffffff, 3 },
	{ 0xb, 0xf, 0xf },   { 0xb, 0, 0 },      { 0xb, 3, 0xb },
	{ 0xb, 4, 0xb },     { 0xb, 0x4f, 0xb }, { 0xb, 0x1f, 0xb },
	{ 0xb, 0x8b, 0x8b }, { 0xb, 0x8f, 0xb }, { 0xf, 0, 0 },
	{ 0xf, 0xf, 0xf },   { 0xf, 0xb, 0xf },  { 0xf, 0x4f, 0xf },
	{ 0xf, 0x8f, 0x8f }, { 0xf, 0x1f, 0xf }, { 0xf, 0x8000000f, 0xf },
};

static void test_steps(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		struct guest_driver g;

		attach(&g);
		go_to(&g, steps[i].from);
		if (steps[i].from == IN_DRIVER)
			features_set(&g, TOY_FEATURES);
		guest_driver_set(&g, REG_STATUS, steps[i].write);
		if (guest_driver_get(&g, REG_STATUS) != steps[i].want)
			fail_msg("0x%x to 0x%x", steps[i].from, steps[i].write);
		assert_int_equal(g.t.dev->is_active, (steps[i].want & STATUS_DRIVER_OK) != 0);
		assert_int_equal(toy_of(&g)->n_reset, steps[i].write == 0);
		/* After FAILED nothing but a reset. */
		if (steps[i].want & STATUS_FAILED) {
			for (uint32_t v = 1; v < 0x200; v++)
				guest_driver_set(&g, REG_STATUS, v);
			assert_int_equal(guest_driver_get(&g, REG_STATUS), steps[i].want);
			guest_driver_set(&g, REG_STATUS, 0);
			assert_int_equal(guest_driver_get(&g, REG_STATUS), 0);
		}
		guest_driver_stop(&g);
	}
}

static const struct {
	uint64_t features;
	bool is_fine;
} agreements[] = {
	{ TOY_FEATURES, true },
	{ VIRTIO_F_VERSION_1, true },
	{ VIRTIO_F_VERSION_1 | TOY_FEATURE, true },
	{ 0, false },
	{ TOY_FEATURES & ~VIRTIO_F_VERSION_1, false },
	{ TOY_FEATURES | 1, false },
	{ TOY_FEATURES | 1ULL << 28, false }, /* indirect descriptors */
	{ TOY_FEATURES | 1ULL << 40, false }, /* the reset of one queue */
	{ TOY_FEATURES | 1ULL << 63, false },
	{ UINT64_MAX, false },
};

static void test_agreements(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(agreements); i++) {
		struct guest_driver g;
		uint64_t want = agreements[i].is_fine ? agreements[i].features : 0;

		attach(&g);
		features_set(&g, agreements[i].features); /* too early: nothing */
		go_to(&g, IN_DRIVER);
		guest_driver_set(&g, REG_STATUS, IN_FEATURES);
		assert_int_equal(guest_driver_get(&g, REG_STATUS), IN_DRIVER);
		features_set(&g, agreements[i].features);
		guest_driver_set(&g, REG_DRIVER_FEATURES_SEL, 2);
		guest_driver_set(&g, REG_DRIVER_FEATURES, UINT32_MAX);
		guest_driver_set(&g, REG_STATUS, IN_FEATURES);
		if (guest_driver_get(&g, REG_STATUS) != (want ? IN_FEATURES : IN_DRIVER) ||
		    g.t.dev->agreed != want)
			fail_msg("row %zu", i);
		if (want)
			features_set(&g, VIRTIO_F_VERSION_1); /* too late */
		guest_driver_set(&g, REG_STATUS, STATUS_RUNNING);
		assert_true(g.t.dev->agreed == want);
		assert_int_equal(g.t.dev->is_active, want != 0);
		guest_driver_stop(&g);
	}
}

/* Queues can be set up in one state only. */
static void test_queue_states(void **state)
{
	static const uint32_t states[] = { 0, STATUS_ACK, IN_DRIVER, IN_FEATURES, STATUS_RUNNING };

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_SIZE(states); i++) {
		uint32_t status = states[i / 2];
		bool is_fine = status == IN_FEATURES && i % 2 == 0;
		struct guest_driver g;

		attach(&g);
		go_to(&g, status);
		if (i % 2)
			guest_driver_set(&g, REG_STATUS, status | STATUS_FAILED);
		queue_set(&g, 1, 8);
		guest_driver_set(&g, REG_QUEUE_READY, 1);
		assert_int_equal(guest_driver_get(&g, REG_QUEUE_READY), is_fine);
		assert_int_equal(g.t.dev->queues[1].size, is_fine ? 8 : 0);
		assert_true(g.t.dev->queues[1].used == (is_fine ? GUEST_DRIVER_BASE + 0x2000 : 0));
		assert_int_equal(g.t.dev->queues[0].size, 0);
		guest_driver_stop(&g);
	}
}

/* What was checked does not change: not while ready, not while running (CVE-2026-5747). */
static void test_queue_is_fixed(void **state)
{
	struct guest_driver g;
	struct virtq *q;

	(void)state;
	attach(&g);
	go_to(&g, IN_FEATURES);
	q = &g.t.dev->queues[1];
	for (int i = 0; i < 2; i++) {
		queue_set(&g, 1, 8);
		guest_driver_set(&g, REG_QUEUE_READY, 1);
		guest_driver_set(&g, REG_QUEUE_READY, 2); /* neither 0 nor 1 */
		guest_driver_set(&g, REG_QUEUE_NUM, 16);
		guest_driver_set64(&g, REG_QUEUE_DESC, 0);
		guest_driver_set64(&g, REG_QUEUE_DRIVER, UINT64_MAX);
		guest_driver_set64(&g, REG_QUEUE_DEVICE, 1);
		assert_true(q->is_ready && q->has_event_idx && q->size == 8);
		assert_true(q->desc == GUEST_DRIVER_BASE && q->avail == q->desc + 0x1000 &&
			    q->used == q->desc + 0x2000);
		if (i == 0) /* taken back, it may be laid out anew */
			guest_driver_set(&g, REG_QUEUE_READY, 0);
	}
	guest_driver_set(&g, REG_STATUS, STATUS_RUNNING);
	guest_driver_set(&g, REG_QUEUE_READY, 0);
	queue_set(&g, 1, 16);
	assert_int_equal(guest_driver_get(&g, REG_QUEUE_READY), 1);
	assert_true(q->is_ready && q->size == 8);
	guest_driver_stop(&g);
}

static const struct {
	uint32_t size;
	uint64_t desc, avail, used;
} wrong_queues[] = {
	{ 0, GUEST_DRIVER_BASE, GUEST_DRIVER_BASE, GUEST_DRIVER_BASE },
	{ 5, GUEST_DRIVER_BASE, GUEST_DRIVER_BASE, GUEST_DRIVER_BASE },
	{ TOY_QUEUE_SIZE * 2, GUEST_DRIVER_BASE, GUEST_DRIVER_BASE, GUEST_DRIVER_BASE },
	{ 0x10008, GUEST_DRIVER_BASE, GUEST_DRIVER_BASE, GUEST_DRIVER_BASE },
	{ 8, GUEST_DRIVER_BASE + 8, GUEST_DRIVER_BASE, GUEST_DRIVER_BASE },
	{ 8, GUEST_DRIVER_BASE, 0, GUEST_DRIVER_BASE },
	{ 8, GUEST_DRIVER_BASE, GUEST_DRIVER_BASE, 1ULL << 32 | GUEST_DRIVER_BASE },
	{ 8, UINT64_MAX - 15, GUEST_DRIVER_BASE, GUEST_DRIVER_BASE },
};

static void test_wrong_queues(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong_queues); i++) {
		struct guest_driver g;

		attach(&g);
		go_to(&g, IN_FEATURES);
		guest_driver_set(&g, REG_QUEUE_NUM, wrong_queues[i].size);
		guest_driver_set64(&g, REG_QUEUE_DESC, wrong_queues[i].desc);
		guest_driver_set64(&g, REG_QUEUE_DRIVER, wrong_queues[i].avail);
		guest_driver_set64(&g, REG_QUEUE_DEVICE, wrong_queues[i].used);
		guest_driver_set(&g, REG_QUEUE_READY, 1);
		if (guest_driver_get(&g, REG_QUEUE_READY) != 0 ||
		    guest_driver_get(&g, REG_STATUS) != (IN_FEATURES | STATUS_NEEDS_RESET))
			fail_msg("row %zu", i);
		assert_int_equal(guest_driver_interrupts(&g), 2);
		/* Nothing is taken any more, also from a driver that has seen the bit. */
		queue_set(&g, 0, 8);
		guest_driver_set(&g, REG_QUEUE_READY, 1);
		assert_int_equal(guest_driver_get(&g, REG_QUEUE_READY), 0);
		guest_driver_set(&g, REG_STATUS, STATUS_RUNNING | STATUS_NEEDS_RESET);
		guest_driver_set(&g, REG_STATUS, STATUS_RUNNING);
		assert_false(g.t.dev->is_active);
		guest_driver_set(&g, REG_STATUS, IN_FEATURES | STATUS_FAILED);
		assert_int_equal(guest_driver_get(&g, REG_STATUS),
				 IN_FEATURES | STATUS_NEEDS_RESET | STATUS_FAILED);
		assert_int_equal(guest_driver_negotiate(&g, TOY_FEATURES, 8), STATUS_RUNNING);
		guest_driver_stop(&g);
	}
}

static void test_reset(void **state)
{
	struct guest_driver g = { 0 };
	unsigned int n_free = 0;
	uint32_t generation;

	(void)state;
	guest_driver_start(&g, &toy_device_new()->dev);
	toy_of(&g)->n_free = &n_free;
	assert_int_equal(toy_of(&g)->n_reset, 1); /* of a driver that begins */
	g.t.dev->signal.config(g.t.dev->signal.arg);
	generation = guest_driver_get(&g, REG_GENERATION);
	guest_driver_set(&g, REG_STATUS, 0);
	assert_int_equal(toy_of(&g)->n_reset, 2);
	assert_int_equal(guest_driver_get(&g, REG_STATUS), 0);
	assert_int_equal(guest_driver_get(&g, REG_INTERRUPT_STATUS), 0);
	assert_int_equal(guest_driver_get(&g, REG_GENERATION), generation);
	assert_true(!g.t.dev->is_active && g.t.dev->agreed == 0);
	for (uint32_t i = 0; i < TOY_QUEUES; i++) {
		guest_driver_set(&g, REG_QUEUE_SEL, i);
		assert_int_equal(guest_driver_get(&g, REG_QUEUE_READY), 0);
		assert_int_equal(g.t.dev->queues[i].size, 0);
	}
	g.t.dev->signal.broken(g.t.dev->signal.arg); /* late */
	assert_int_equal(guest_driver_get(&g, REG_STATUS), 0);
	guest_driver_kick(&g, 0);
	assert_int_equal(toy_of(&g)->n_kick, 0);
	guest_driver_stop(&g);
	assert_int_equal(n_free, 1);
}

static void test_configuration(void **state)
{
	static const uint32_t states[] = { 0, STATUS_ACK, IN_DRIVER, IN_FEATURES, STATUS_RUNNING };
	uint8_t data[8] = { 1, 2, 3, 4, 5, 6, 7, 8 }, got[8];

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_SIZE(states); i++) {
		uint32_t status = states[i / 2];
		bool is_fine = status & STATUS_DRIVER && i % 2 == 0;
		struct guest_driver g;

		attach(&g);
		go_to(&g, status);
		if (i % 2)
			guest_driver_set(&g, REG_STATUS, status | STATUS_FAILED);
		virtio_mmio_write(&g.t, REG_CONFIG + 8, data, 8);
		virtio_mmio_write(&g.t, REG_CONFIG + 4, data, 3); /* of no such length */
		virtio_mmio_read(&g.t, REG_CONFIG + 8, got, 8);
		assert_int_equal(get_le32(got), is_fine ? 0x04030201 : 0);
		assert_int_equal(get_le32(got + 4), 0); /* past the end */
		virtio_mmio_read(&g.t, REG_CONFIG, got, 8);
		assert_int_equal(get_le64(got), 0);
		virtio_mmio_read(&g.t, VIRTIO_MMIO_SIZE - 8, got, 8);
		assert_int_equal(get_le64(got), 0);
		guest_driver_stop(&g);
	}
}

static void test_interrupts(void **state)
{
	struct guest_driver g = { 0 };
	const struct virtio_signal *s;
	uint32_t generation;

	(void)state;
	guest_driver_start(&g, &toy_device_new()->dev);
	s = &g.t.dev->signal;
	generation = guest_driver_get(&g, REG_GENERATION);
	s->queue(s->arg);
	assert_int_equal(guest_driver_get(&g, REG_INTERRUPT_STATUS), 1);
	assert_int_equal(guest_driver_get(&g, REG_GENERATION), generation);
	s->config(s->arg);
	assert_int_equal(guest_driver_get(&g, REG_INTERRUPT_STATUS), 3);
	assert_int_equal(guest_driver_get(&g, REG_GENERATION), generation + 1);
	guest_driver_set(&g, REG_INTERRUPT_ACK, 1);
	guest_driver_set(&g, REG_INTERRUPT_STATUS, 0); /* read only */
	guest_driver_set(&g, REG_GENERATION, 9);
	assert_int_equal(guest_driver_get(&g, REG_GENERATION), generation + 1);
	assert_int_equal(guest_driver_interrupts(&g), 2);
	assert_int_equal(g.n_interrupts, 2);
	assert_int_equal(guest_driver_interrupts(&g), 0);
	s->broken(s->arg);
	s->broken(s->arg); /* says it once */
	assert_int_equal(guest_driver_get(&g, REG_STATUS), STATUS_RUNNING | STATUS_NEEDS_RESET);
	assert_int_equal(guest_driver_interrupts(&g), 2);
	assert_int_equal(g.n_interrupts, 3);
	guest_driver_stop(&g);
}

static void test_kicks(void **state)
{
	struct iovec out = { (char *)"hello", 5 }, in = { NULL, 16 };
	struct guest_driver g = { 0 };
	uint16_t head, got;
	uint32_t len;

	(void)state;
	attach(&g);
	assert_int_equal(guest_driver_negotiate(&g, TOY_FEATURES, 8), STATUS_RUNNING);
	head = guest_driver_add(&g, 1, &out, 1, &in, 1);
	guest_driver_set(&g, REG_QUEUE_NOTIFY, 1); /* that is the VMM's business */
	guest_driver_kick(&g, TOY_QUEUES);
	guest_driver_kick(&g, UINT32_MAX);
	assert_int_equal(toy_of(&g)->n_kick, 0);
	guest_driver_kick(&g, 1);
	assert_true(guest_driver_used(&g, 1, &got, &len));
	assert_true(got == head && len == 5);
	assert_memory_equal(guest_driver_data(&g, 1, head, 1), "hello\xa5", 6);
	assert_false(guest_driver_used(&g, 1, &got, &len));
	assert_int_equal(guest_driver_interrupts(&g), 1);
	virtio_mmio_kick_all(&g.t);
	assert_int_equal(toy_of(&g)->n_kick, 3);
	assert_int_equal(g.n_interrupts, 1);
	/* A broken rule: said once, and no kick comes through. */
	guest_driver_poke(&g, g.queues[1].avail + 2, 500, 2);
	guest_driver_kick(&g, 1);
	guest_driver_kick(&g, 1);
	guest_driver_kick(&g, 0);
	assert_int_equal(toy_of(&g)->n_kick, 4);
	assert_int_equal(toy_of(&g)->n_broken, 1);
	assert_int_equal(guest_driver_get(&g, REG_STATUS), STATUS_RUNNING | STATUS_NEEDS_RESET);
	assert_int_equal(guest_driver_interrupts(&g), 2);
	guest_driver_stop(&g);
}

/* Nor of a device that was given up, nor one whose queues are not there. */
static void test_kicks_for_nobody(void **state)
{
	struct guest_driver g = { 0 };

	(void)state;
	guest_driver_start(&g, &toy_device_new()->dev);
	guest_driver_set(&g, REG_STATUS, STATUS_RUNNING | STATUS_FAILED);
	virtio_mmio_kick_all(&g.t);
	guest_driver_set(&g, REG_STATUS, 0);
	go_to(&g, STATUS_RUNNING);
	virtio_mmio_kick_all(&g.t);
	assert_int_equal(toy_of(&g)->n_kick, 0);
	virtio_mmio_pause(&g.t);
	virtio_mmio_resume(&g.t);
	assert_true(toy_of(&g)->n_pause == 1 && toy_of(&g)->n_resume == 1);
	guest_driver_stop(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_constants),     cmocka_unit_test(test_accesses),
		cmocka_unit_test(test_steps),         cmocka_unit_test(test_agreements),
		cmocka_unit_test(test_queue_states),  cmocka_unit_test(test_queue_is_fixed),
		cmocka_unit_test(test_wrong_queues),  cmocka_unit_test(test_reset),
		cmocka_unit_test(test_configuration), cmocka_unit_test(test_interrupts),
		cmocka_unit_test(test_kicks),         cmocka_unit_test(test_kicks_for_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
