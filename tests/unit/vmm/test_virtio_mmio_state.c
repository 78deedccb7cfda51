/* SPDX-License-Identifier: MIT */
/* test_virtio_mmio_state.c - saved transports: loaded again, and refused when they cannot be */
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

/* Where things are in what is saved. */
#define AT_ID         0U
#define AT_N_QUEUES   4U
#define AT_STATUS     8U
#define AT_QUEUE_SEL  20U
#define AT_FEATURES   24U
#define AT_INTERRUPT  32U
#define AT_GENERATION 36U
#define AT_QUEUE      40U /* the first one */
#define QUEUE_BYTES   33U
#define AT_DEVICE     (AT_QUEUE + TOY_QUEUES * QUEUE_BYTES)
#define SAVED_BYTES   (AT_DEVICE + 4)

static struct toy_device *toy_of(struct guest_driver *g)
{
	return (struct toy_device *)g->t.dev;
}

static void save(struct guest_driver *g, uint8_t raw[SAVED_BYTES])
{
	auto_buf b = { 0 };
	struct state_out s = { .b = &b };

	virtio_mmio_save(&g->t, &s);
	assert_false(s.has_failed);
	assert_int_equal(b.len, SAVED_BYTES);
	memcpy(raw, b.data, SAVED_BYTES);
}

static int load(struct guest_driver *g, const uint8_t *raw, size_t len)
{
	struct state_in s = { .p = raw, .left = len };
	struct err e = { 0 };
	int rc = virtio_mmio_load(&g->t, &s, &e);

	assert_int_equal(!rc, !e.msg[0]);
	assert_true(rc < 0 || s.left == 0);
	return rc;
}

/* A running device; one request of queue 0 was served, and one of queue 1 waits. */
static void running(struct guest_driver *g)
{
	struct iovec out = { (char *)"hello", 5 }, in = { NULL, 8 };
	uint32_t len;
	uint16_t head;

	*g = (struct guest_driver){ 0 };
	guest_driver_start(g, &toy_device_new()->dev);
	guest_driver_add(g, 0, &out, 1, &in, 1);
	guest_driver_kick(g, 0);
	assert_true(guest_driver_used(g, 0, &head, &len));
	guest_driver_add(g, 1, &out, 1, &in, 1);
	g->t.dev->signal.config(g->t.dev->signal.arg);
	toy_of(g)->memory = 0x1234;
}

/* A new device takes over the guest's memory and state. */
static void replace(struct guest_driver *g)
{
	virtio_mmio_done(&g->t);
	virtio_mmio_init(&g->t, &toy_device_new()->dev, &g->mem, g->irq_fd);
}

static void test_running(void **state)
{
	uint8_t raw[SAVED_BYTES], again[SAVED_BYTES];
	struct guest_driver g;
	uint64_t n_interrupts;
	uint16_t head;
	uint32_t len;

	(void)state;
	running(&g);
	save(&g, raw);
	replace(&g);
	g.t.dev->queues[1].only_names = true; /* the device's own: no state has it */
	assert_int_equal(load(&g, raw, sizeof(raw)), 0);
	assert_true(g.t.dev->queues[1].only_names && !g.t.dev->queues[0].only_names);
	save(&g, again);
	assert_memory_equal(raw, again, sizeof(raw));
	assert_int_equal(toy_of(&g)->memory, 0x1234);
	assert_true(g.t.dev->is_active && g.t.dev->agreed == TOY_FEATURES);
	/* What was pending is told again. */
	assert_int_equal(guest_driver_interrupts(&g), 3);
	n_interrupts = g.n_interrupts;
	g.t.dev->signal.queue(g.t.dev->signal.arg);
	virtio_mmio_kick_all(&g.t);
	assert_int_equal(guest_driver_interrupts(&g), 1);
	assert_true(g.n_interrupts >= n_interrupts + 2);
	assert_true(guest_driver_used(&g, 1, &head, &len));
	assert_int_equal(len, 5);
	assert_memory_equal(guest_driver_data(&g, 1, head, 1), "hello", 5);
	guest_driver_stop(&g);
}

/* Each state on the way, with and without FAILED, comes back as it was. */
static void test_states(void **state)
{
	static const uint32_t way[] = { 0, STATUS_ACK, IN_DRIVER, IN_FEATURES, STATUS_RUNNING };

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_SIZE(way); i++) {
		uint8_t raw[SAVED_BYTES], again[SAVED_BYTES];
		struct guest_driver g = { 0 };

		guest_driver_attach(&g, &toy_device_new()->dev);
		for (size_t k = 0; k <= i / 2; k++) {
			guest_driver_set(&g, REG_STATUS, way[k]);
			guest_driver_set(&g, REG_DRIVER_FEATURES_SEL, 1);
			guest_driver_set(&g, REG_DRIVER_FEATURES, 1);
			guest_driver_set(&g, REG_QUEUE_SEL, 1);
			guest_driver_set(&g, REG_QUEUE_NUM, 16);
			guest_driver_set64(&g, REG_QUEUE_DESC, UINT64_MAX);
		}
		if (i % 2)
			guest_driver_set(&g, REG_STATUS, way[i / 2] | STATUS_FAILED);
		save(&g, raw);
		assert_int_equal(get_le32(raw + AT_STATUS),
				 way[i / 2] | (i % 2 ? STATUS_FAILED : 0));
		replace(&g);
		assert_int_equal(load(&g, raw, sizeof(raw)), 0);
		save(&g, again);
		assert_memory_equal(raw, again, sizeof(raw));
		assert_int_equal(g.t.dev->is_active, way[i / 2] == STATUS_RUNNING);
		guest_driver_stop(&g);
	}
}

/* An interrupt that was not acknowledged may not have reached the driver. */
static void test_interrupt_again(void **state)
{
	uint8_t raw[SAVED_BYTES];
	struct guest_driver g;
	uint64_t count;

	(void)state;
	running(&g);
	virtio_mmio_kick_all(&g.t);
	save(&g, raw);
	replace(&g);
	assert_int_equal(read(g.irq_fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(load(&g, raw, sizeof(raw)), 0);
	virtio_mmio_kick_all(&g.t);
	assert_int_equal(read(g.irq_fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(guest_driver_interrupts(&g), 3);
	virtio_mmio_kick_all(&g.t); /* acknowledged: no more of them */
	assert_int_equal(read(g.irq_fd, &count, sizeof(count)), -1);
	guest_driver_stop(&g);
}

/* Before there is a driver, nothing of one can be there. */
static const struct {
	const char *what;
	uint32_t state, at;
	uint8_t v;
} early[] = {
	{ "fresh, to be reset", 0, AT_STATUS, 0x40 },
	{ "acknowledged, to be reset", STATUS_ACK, AT_STATUS, 0x41 },
	{ "driver, to be reset", IN_DRIVER, AT_STATUS, 0x43 },
	{ "failed, to be reset", IN_DRIVER, AT_STATUS, 0xc3 },
	{ "fresh, with a feature", 0, AT_FEATURES, 8 },
	{ "acknowledged, with a feature", STATUS_ACK, AT_FEATURES + 4, 1 },
	{ "features without a version", IN_DRIVER, AT_STATUS, 0xb },
	{ "running without a version", IN_DRIVER, AT_STATUS, 0xf },
	{ "a queue's size", IN_DRIVER, AT_QUEUE, 8 },
	{ "a queue's descriptors", IN_DRIVER, AT_QUEUE + 2, 16 },
	{ "a queue's driver ring", STATUS_ACK, AT_QUEUE + 10, 16 },
	{ "a queue's device ring", 0, AT_QUEUE + QUEUE_BYTES + 18, 16 },
	{ "a queue's index", 0, AT_QUEUE + 26, 1 },
};

static void test_early(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(early); i++) {
		uint8_t raw[SAVED_BYTES];
		struct guest_driver g = { 0 };

		guest_driver_attach(&g, &toy_device_new()->dev);
		guest_driver_set(&g, REG_STATUS, early[i].state & STATUS_ACK);
		guest_driver_set(&g, REG_STATUS, early[i].state);
		save(&g, raw);
		assert_int_equal(load(&g, raw, sizeof(raw)), 0);
		raw[early[i].at] = early[i].v;
		if (load(&g, raw, sizeof(raw)) != -EINVAL)
			fail_msg("%s", early[i].what);
		guest_driver_stop(&g);
	}
}

/* A running state in which one number is another. */
static const struct {
	const char *what;
	uint32_t at, bytes;
	uint64_t v;
	int want;
} changes[] = {
	{ "selected queue", AT_QUEUE_SEL, 4, UINT32_MAX, 0 },
	{ "generation", AT_GENERATION, 4, UINT32_MAX, 0 },
	{ "failed", AT_STATUS, 4, 0x8f, 0 },
	{ "no interrupt", AT_INTERRUPT, 4, 0, 0 },
	{ "fewer features", AT_FEATURES, 8, TOY_FEATURES & ~TOY_FEATURE, 0 },
	{ "to be reset, with queues that work", AT_STATUS, 4, 0x4f, -EINVAL },
	{ "and failed", AT_STATUS, 4, 0xcf, -EINVAL },
	{ "other device", AT_ID, 4, VIRTIO_ID_NET, -EINVAL },
	{ "fewer queues", AT_N_QUEUES, 4, 1, -EINVAL },
	{ "more queues", AT_N_QUEUES, 4, 3, -EINVAL },
	{ "queues without end", AT_N_QUEUES, 4, UINT32_MAX, -EINVAL },
	{ "fresh, with features", AT_STATUS, 4, 0, -EINVAL },
	{ "driver, with queues", AT_STATUS, 4, 3, -EINVAL },
	{ "features, with requests done", AT_STATUS, 4, 0xb, -EINVAL },
	{ "no state", AT_STATUS, 4, 7, -EINVAL },
	{ "unknown bit", AT_STATUS, 4, 0x1f, -EINVAL },
	{ "more than a byte", AT_STATUS, 4, 0x10f, -EINVAL },
	{ "fresh, to be reset", AT_STATUS, 4, 0x40, -EINVAL },
	{ "driver, to be reset", AT_STATUS, 4, 0x43, -EINVAL },
	{ "unknown interrupt", AT_INTERRUPT, 4, 4, -EINVAL },
	{ "features that are not offered", AT_FEATURES, 8, TOY_FEATURES | 1, -EINVAL },
	{ "old version", AT_FEATURES, 8, TOY_FEATURE | VIRTIO_F_EVENT_IDX, -EINVAL },
	{ "no features", AT_FEATURES, 8, 0, -EINVAL },
	{ "no events, but in queues", AT_FEATURES, 8, VIRTIO_F_VERSION_1, -EINVAL },
	{ "larger queue than offered", AT_QUEUE, 2, 32, -EINVAL },
	{ "rings outside memory", AT_QUEUE + 2, 8, 0, -EINVAL },
	{ "ring over the end", AT_QUEUE + 18, 8, GUEST_DRIVER_BASE + GUEST_DRIVER_SIZE - 4,
	  -EINVAL },
	{ "taken without end", AT_QUEUE + 26, 2, 0x8000, -EINVAL },
	{ "unknown flag of a queue", AT_QUEUE + 32, 1, 0xb, -EINVAL },
	{ "second queue", AT_QUEUE + QUEUE_BYTES + 10, 8, UINT64_MAX - 1, -EINVAL },
	{ "what the device refuses", AT_DEVICE, 4, 1, -EINVAL },
};

/* Refused, a device is as after a reset, and takes a right state, or a driver, afterwards. */
static void check_is_reset(struct guest_driver *g)
{
	assert_int_equal(guest_driver_get(g, REG_STATUS), 0);
	assert_false(g->t.dev->is_active);
	assert_true(g->t.dev->agreed == 0);
	for (uint32_t i = 0; i < TOY_QUEUES; i++)
		assert_true(g->t.dev->queues[i].size == 0 && !g->t.dev->queues[i].is_ready);
}

static void test_changes(void **state)
{
	uint8_t raw[SAVED_BYTES];
	struct guest_driver g;

	(void)state;
	running(&g);
	save(&g, raw);
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		uint8_t bad[SAVED_BYTES], v[8];

		memcpy(bad, raw, sizeof(bad));
		put_le64(v, changes[i].v);
		memcpy(bad + changes[i].at, v, changes[i].bytes);
		if (load(&g, bad, sizeof(bad)) != changes[i].want)
			fail_msg("%s", changes[i].what);
		if (changes[i].want < 0)
			check_is_reset(&g);
	}
	for (size_t len = 0; len < sizeof(raw); len++) {
		assert_int_equal(load(&g, raw, len), -EINVAL);
		check_is_reset(&g);
	}
	assert_int_equal(load(&g, raw, sizeof(raw)), 0);
	assert_true(g.t.dev->is_active);
	guest_driver_stop(&g);
}

/* Each byte with each value: what is not refused can be used, and saved as it was. */
static void test_mangled(void **state)
{
	uint8_t raw[SAVED_BYTES], again[SAVED_BYTES];
	unsigned int n_taken = 0;
	struct guest_driver g;

	(void)state;
	running(&g);
	save(&g, raw);
	for (size_t i = 0; i < sizeof(raw) * 256; i++) {
		uint8_t bad[SAVED_BYTES];

		memcpy(bad, raw, sizeof(bad));
		bad[i / 256] = (uint8_t)i;
		if (load(&g, bad, sizeof(bad)) < 0) {
			check_is_reset(&g);
			continue;
		}
		n_taken++;
		save(&g, again);
		assert_memory_equal(bad, again, sizeof(bad));
		virtio_mmio_kick_all(&g.t);
	}
	assert_true(n_taken > 256);
	guest_driver_stop(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_running),         cmocka_unit_test(test_states),
		cmocka_unit_test(test_interrupt_again), cmocka_unit_test(test_early),
		cmocka_unit_test(test_changes),         cmocka_unit_test(test_mangled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
