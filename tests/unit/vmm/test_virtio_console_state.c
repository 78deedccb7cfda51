/* SPDX-License-Identifier: MIT */
/* test_virtio_console_state.c - a console that is saved, loaded and reset, and bad input to it */
#include "console_fixture.h"

#include <fcntl.h>

/* Into a new device, with new hosts, over the same memory: as a clone. */
static void reload(struct setup *s, bool has_hosts)
{
	auto_buf b = { 0 };
	struct state_out out = { .b = &b };
	struct err e = { 0 };

	virtio_mmio_pause(&s->g.t);
	virtio_mmio_save(&s->g.t, &out);
	assert_false(out.has_failed);
	virtio_mmio_done(&s->g.t);
	fd_drop(&s->console);
	fd_drop(&s->agent);
	virtio_mmio_init(&s->g.t, console_make(s, has_hosts), &s->g.mem, s->g.irq_fd);
	struct state_in in = { .p = (const uint8_t *)b.data, .left = b.len };
	assert_int_equal(virtio_mmio_load(&s->g.t, &in, &e), 0);
	assert_int_equal(in.left, 0);
}

static void test_clone(void **state)
{
	struct setup *s = *state;
	char data[64];

	bring_up(s);
	add_in(s, AGENT_RX, 32, 2);
	reload(s, true);
	assert_int_equal(write(s->agent, "hello", 5), 5);
	virtio_mmio_kick_all(&s->g.t);
	loop_turns(s->loop);
	assert_int_equal(received(s, AGENT_RX, data, sizeof(data)), 5);
	assert_int_equal(used_count(s, CONTROL_RX), 0); /* it is open as it was */
	send_out(s, AGENT_TX, "hi", 2);
	assert_int_equal(read(s->agent, data, sizeof(data)), 2);
	reload(s, false);
	virtio_mmio_kick_all(&s->g.t);
	control_wants(s, 1, PORT_OPEN, 0);
	reload(s, true);
	virtio_mmio_kick_all(&s->g.t);
	control_wants(s, 1, PORT_OPEN, 1);
}

/* A request that was sent in part goes on where it stopped. */
static void test_clone_when_full(void **state)
{
	struct setup *s = *state;
	unsigned int sent, used;
	size_t got;

	bring_up(s);
	sent = fill(s);
	used = used_count(s, AGENT_TX);
	got = host_reads(s->agent, 0, SIZE_MAX);
	assert_true(used < sent && got < sent * BIG);
	reload(s, true);
	virtio_mmio_kick_all(&s->g.t);
	for (int i = 0; i < 1000 && got < sent * BIG; i++) {
		got += host_reads(s->agent, got, SIZE_MAX);
		loop_turns(s->loop);
	}
	assert_int_equal(got, sent * BIG);
	assert_int_equal(used + used_count(s, AGENT_TX), sent);
}

static void test_reset_forgets(void **state)
{
	struct setup *s = *state;

	bring_up(s);
	add_in(s, AGENT_RX, 32, 2);
	assert_int_equal(guest_driver_negotiate(&s->g, s->g.features, 16), STATUS_RUNNING);
	add_in(s, AGENT_RX, 32, 2);
	assert_int_equal(write(s->agent, "hello", 5), 5);
	loop_turns(s->loop);
	assert_int_equal(used_count(s, AGENT_RX), 0); /* not opened again yet */
	add_in(s, CONTROL_RX, 128, 8);
	assert_int_equal(used_count(s, CONTROL_RX), 0);
	control_send(s, 1, PORT_OPEN, 1);
	loop_turns(s->loop);
	assert_int_equal(used_count(s, AGENT_RX), 1);
	guest_driver_set(&s->g, REG_STATUS, 0);
	assert_int_equal(write(s->agent, "hello", 5), 5);
	loop_turns(s->loop);
}

static void test_messages_ignored(void **state)
{
	static const struct {
		uint32_t id;
		uint16_t event, value;
	} rows[] = {
		{ 0, DEVICE_READY, 0 }, { 0, DEVICE_READY, 2 },
		{ 2, PORT_READY, 1 },   { UINT32_MAX, PORT_READY, 1 },
		{ 2, PORT_OPEN, 1 },    { UINT32_MAX, PORT_OPEN, 1 },
		{ 0, PORT_READY, 0 },   { 0, PORT_ADD, 1 },
		{ 0, NAME, 1 },         { 0, 8, 1 },
		{ 0, UINT16_MAX, 1 },   { 0, PORT_OPEN, 1 },
	};
	struct setup *s = *state;

	add_in(s, CONTROL_RX, 128, 8);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		control_send(s, rows[i].id, rows[i].event, rows[i].value);
	for (size_t len = 1; len < 8; len++)
		send_out(s, CONTROL_TX, "\0\0\0\0\0\0\1", len);
	assert_int_equal(used_count(s, CONTROL_TX), 7);
	assert_int_equal(used_count(s, CONTROL_RX), 0);
	assert_int_equal(status_of(s), STATUS_RUNNING);
}

static void test_broken_rules(void **state)
{
	struct setup *s = *state;

	for (int i = 0; i < 3; i++) {
		assert_int_equal(guest_driver_negotiate(&s->g, s->g.features, 16), STATUS_RUNNING);
		if (i == 0) { /* a buffer too small for any message */
			add_in(s, CONTROL_RX, 7, 1);
			control_send(s, 0, DEVICE_READY, 1);
		} else if (i == 1) { /* nothing to write to */
			control_send(s, 1, PORT_OPEN, 1);
			send_out(s, AGENT_RX, "out", 3);
		} else { /* a head that is none */
			guest_driver_poke(&s->g, s->g.queues[1].avail + 4, 99, 2);
			guest_driver_poke(&s->g, s->g.queues[1].avail + 2, 1, 2);
			guest_driver_kick(&s->g, 1);
		}
		loop_turn(s->loop, 5);
		assert_int_equal(status_of(s), STATUS_RUNNING | STATUS_NEEDS_RESET);
		assert_int_equal(guest_driver_interrupts(&s->g) & 2, 2);
	}
}

static void test_new_bad(void **state)
{
	static const struct {
		const char *name;
		int fd;
		uint32_t n;
	} rows[] = {
		{ "no ports", -1, 0 },
		{ "too many", -1, 3 },
		{ "a name that is too long: 3456789012345678901234567890123456789012", -1, 1 },
		{ "not open", 1000000, 2 },
	};
	auto_fd file = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct loop *l;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(loop_new(&l, &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct console_port_spec specs[3] = { { .name = rows[i].name, .fd = rows[i].fd } };
		struct virtio_device *d;

		specs[1].fd = file; /* cannot be watched */
		e = (struct err){ 0 };
		if (virtio_console_new(l, specs, rows[i].n, &d, &e) >= 0 || !e.msg[0])
			fail_msg("%s", rows[i].name);
	}
	assert_true(fcntl(file, F_GETFD) >= 0);
	assert_true(fcntl(0, F_GETFD) >= 0);
	loop_free(l);
}

static void test_load_bad(void **state)
{
	struct setup *s = *state;
	static const struct {
		const char *what;
		size_t back; /* from the end of what was saved */
		uint8_t value;
		size_t cut;
	} rows[] = {
		{ "another number of ports", 11, 1, 0 }, { "flags of port 0", 10, 0x40, 0 },
		{ "flags of port 1", 5, 0x80, 0 },       { "cut", 1, 0, 1 },
		{ "nothing of it", 1, 0, 11 },
	};

	bring_up(s);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_buf b = { 0 };
		struct state_out out = { .b = &b };
		struct err e = { 0 };

		virtio_mmio_save(&s->g.t, &out);
		b.data[b.len - rows[i].back] = (char)rows[i].value;
		struct state_in in = { .p = (const uint8_t *)b.data, .left = b.len - rows[i].cut };
		if (virtio_mmio_load(&s->g.t, &in, &e) >= 0 || !e.msg[0])
			fail_msg("%s", rows[i].what);
		assert_int_equal(status_of(s), 0);
		assert_int_equal(guest_driver_negotiate(&s->g, s->g.features, 32), STATUS_RUNNING);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOSTS_TEST(test_clone),         HOSTS_TEST(test_clone_when_full),
		HOSTS_TEST(test_reset_forgets), HOSTS_TEST(test_messages_ignored),
		HOSTS_TEST(test_broken_rules),  HOSTS_TEST(test_load_bad),
		cmocka_unit_test(test_new_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
