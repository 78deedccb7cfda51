/* SPDX-License-Identifier: MIT */
/* test_virtio_console.c - a console's ports, as a guest and a host see them */
#include "console_fixture.h"

#include <fcntl.h>
#include <time.h>

static void test_hello(void **state)
{
	struct setup *s = *state;
	uint8_t config[12];

	virtio_mmio_read(&s->g.t, REG_CONFIG + 4, config, 4);
	assert_int_equal(get_le32(config), 2);
	virtio_mmio_read(&s->g.t, REG_CONFIG + 0x20, config, 4);
	assert_int_equal(get_le32(config), 0);
	control_send(s, 0, DEVICE_READY, 1); /* there are no buffers for the answers yet */
	assert_int_equal(used_count(s, CONTROL_RX), 0);
	add_in(s, CONTROL_RX, 128, 1);
	control_wants(s, 0, PORT_ADD, 1);
	assert_int_equal(guest_driver_interrupts(&s->g) & 1, 1);
	add_in(s, CONTROL_RX, 128, 10);
	control_wants(s, 1, PORT_ADD, 1);
	assert_int_equal(used_count(s, CONTROL_RX), 0);
	control_send(s, 1, PORT_READY, 1);
	control_wants(s, 1, NAME, 1);
	control_wants(s, 1, PORT_OPEN, 1);
	control_send(s, 0, PORT_READY, 1);
	control_wants(s, 0, CONSOLE_PORT, 1);
	control_wants(s, 0, PORT_OPEN, 1);
	assert_int_equal(used_count(s, CONTROL_RX), 0);
}

static void test_no_host(void **state)
{
	struct setup *s = *state;

	add_in(s, CONTROL_RX, 128, 16);
	control_send(s, 0, DEVICE_READY, 1);
	control_wants(s, 0, PORT_ADD, 1);
	control_wants(s, 1, PORT_ADD, 1);
	control_send(s, 0, PORT_READY, 1);
	control_wants(s, 0, CONSOLE_PORT, 1);
	control_wants(s, 0, PORT_OPEN, 1); /* a console can be written to all the same */
	control_send(s, 1, PORT_READY, 1);
	control_wants(s, 1, NAME, 1);
	assert_int_equal(used_count(s, CONTROL_RX), 0);
	send_out(s, 1, "lost", 4);
	assert_int_equal(used_count(s, 1), 1);
	for (int i = 0; i < 32; i++)
		send_out(s, AGENT_TX, "lost", 4);
	assert_int_equal(used_count(s, AGENT_TX), 32);
}

static void test_bytes(void **state)
{
	struct setup *s = *state;
	struct iovec out[3] = { { (char[]){ "one " }, 4 },
				{ (char[]){ "two " }, 4 },
				{ (char[]){ "three" }, 5 } };
	char data[64];

	bring_up(s);
	guest_driver_add(&s->g, AGENT_TX, out, 3, NULL, 0);
	guest_driver_kick(&s->g, AGENT_TX);
	assert_int_equal(read(s->agent, data, sizeof(data)), 13);
	assert_memory_equal(data, "one two three", 13);
	assert_int_equal(used_count(s, AGENT_TX), 1);
	send_out(s, 1, "login: ", 7);
	assert_int_equal(read(s->console, data, sizeof(data)), 7);
	add_in(s, 0, 8, 2);
	add_in(s, AGENT_RX, 32, 2);
	assert_int_equal(write(s->console, "root\nsecret\n", 12), 12);
	assert_int_equal(write(s->agent, "agent", 5), 5);
	loop_turns(s->loop);
	assert_int_equal(received(s, 0, data, sizeof(data)), 8);
	assert_string_equal(data, "root\nsec");
	assert_int_equal(received(s, 0, data, sizeof(data)), 4);
	assert_string_equal(data, "ret\n");
	assert_int_equal(received(s, AGENT_RX, data, sizeof(data)), 5);
	assert_string_equal(data, "agent");
	assert_int_equal(received(s, AGENT_RX, data, sizeof(data)), -1);
	assert_int_equal(guest_driver_interrupts(&s->g) & 1, 1);
}

/* What the guest has no buffers for, or has not opened, waits in the socket. */
static void test_guest_slow(void **state)
{
	struct setup *s = *state;
	char data[64];

	bring_up(s);
	control_send(s, 1, PORT_OPEN, 0);
	assert_int_equal(write(s->agent, "early", 5), 5);
	add_in(s, AGENT_RX, 3, 1);
	loop_turns(s->loop);
	assert_int_equal(received(s, AGENT_RX, data, sizeof(data)), -1);
	control_send(s, 1, PORT_OPEN, 1);
	loop_turns(s->loop);
	assert_int_equal(received(s, AGENT_RX, data, sizeof(data)), 3);
	loop_turns(s->loop);
	assert_int_equal(received(s, AGENT_RX, data, sizeof(data)), -1);
	assert_true(guest_driver_kick_wanted(&s->g, AGENT_RX) == false);
	guest_driver_add(&s->g, AGENT_RX, NULL, 0, &(struct iovec){ NULL, 8 }, 1);
	assert_true(guest_driver_kick_wanted(&s->g, AGENT_RX));
	guest_driver_kick(&s->g, AGENT_RX);
	assert_int_equal(received(s, AGENT_RX, data, sizeof(data)), 2);
	assert_string_equal(data, "ly");
}

/* A host that reads slowly: requests wait, none is lost, none is sent twice. */
static void test_host_slow(void **state)
{
	struct setup *s = *state;
	unsigned int sent, used;
	size_t got = 0;

	bring_up(s);
	sent = fill(s);
	used = used_count(s, AGENT_TX);
	assert_true(used < sent);
	for (int i = 0; i < 200 && got < sent * BIG; i++) {
		got += host_reads(s->agent, got, 700);
		loop_turns(s->loop);
		used += used_count(s, AGENT_TX);
		assert_true((size_t)used * BIG <= got + 65536);
	}
	while (got < sent * BIG) {
		size_t n = host_reads(s->agent, got, BIG);

		assert_true(n > 0);
		got += n;
		loop_turns(s->loop);
	}
	used += used_count(s, AGENT_TX);
	assert_int_equal(used, sent);
	assert_int_equal(host_reads(s->agent, got, 1), 0);
}

static void test_host_hangs_up(void **state)
{
	struct setup *s = *state;
	char data[64];

	bring_up(s);
	add_in(s, AGENT_RX, 32, 4);
	assert_int_equal(write(s->agent, "bye", 3), 3);
	fd_drop(&s->agent);
	loop_turns(s->loop);
	assert_int_equal(received(s, AGENT_RX, data, sizeof(data)), 3);
	control_wants(s, 1, PORT_OPEN, 0);
	assert_int_equal(used_count(s, CONTROL_RX), 0);
	send_out(s, AGENT_TX, "anyone?", 7);
	assert_int_equal(used_count(s, AGENT_TX), 1);
	assert_int_equal(status_of(s), STATUS_RUNNING);
}

/* The host closes while the guest's requests wait for it: they are thrown away, and what the host
 * had said is still heard. */
static void test_hang_up_when_full(void **state)
{
	struct setup *s = *state;
	unsigned int sent, used;
	char data[64];

	bring_up(s);
	sent = fill(s);
	assert_int_equal(write(s->agent, "bye", 3), 3);
	used = used_count(s, AGENT_TX);
	assert_true(used < sent);
	fd_drop(&s->agent);
	loop_turns(s->loop);
	assert_int_equal(used + used_count(s, AGENT_TX), sent);
	assert_int_equal(used_count(s, CONTROL_RX), 0);
	add_in(s, AGENT_RX, 32, 4);
	assert_int_equal(received(s, AGENT_RX, data, sizeof(data)), 3);
	control_wants(s, 1, PORT_OPEN, 0);
}

/* The host will send no more, and has not read what waits for it: nobody kicks for that again. */
static void test_end_when_full(void **state)
{
	struct setup *s = *state;
	unsigned int sent, used;

	bring_up(s);
	add_in(s, AGENT_RX, 32, 4);
	sent = fill(s);
	used = used_count(s, AGENT_TX);
	assert_true(used < sent);
	assert_int_equal(shutdown(s->agent, SHUT_WR), 0);
	loop_turns(s->loop);
	control_wants(s, 1, PORT_OPEN, 0);
	assert_int_equal(used + used_count(s, AGENT_TX), sent);
}

/* A host that hung up while the guest reads nothing must not keep the loop busy. */
static void test_no_spin(void **state)
{
	struct setup *s = *state;
	struct timespec a, b;

	bring_up(s);
	assert_int_equal(write(s->agent, "bye", 3), 3);
	fd_drop(&s->agent);
	fd_drop(&s->console);
	control_send(s, 0, PORT_OPEN, 0);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
	loop_turn(s->loop, 200);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
	assert_true((b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec < 100000000);
	assert_int_equal(used_count(s, CONTROL_RX), 0);
}

static void test_pause(void **state)
{
	struct setup *s = *state;
	char data[64];

	bring_up(s);
	add_in(s, AGENT_RX, 32, 1);
	virtio_mmio_pause(&s->g.t);
	assert_int_equal(write(s->agent, "in", 2), 2);
	send_out(s, AGENT_TX, "out", 3);
	loop_turns(s->loop);
	assert_int_equal(used_count(s, AGENT_RX), 0);
	assert_int_equal(read(s->agent, data, sizeof(data)), -1);
	virtio_mmio_resume(&s->g.t);
	assert_int_equal(received(s, AGENT_RX, data, sizeof(data)), 2);
	assert_int_equal(read(s->agent, data, sizeof(data)), 3);
	assert_int_equal(used_count(s, AGENT_TX), 1);
}

static void test_without_control(void **state)
{
	struct setup *s = *state;
	char data[64];

	assert_int_equal(guest_driver_negotiate(&s->g, s->g.features & ~MULTIPORT, 32),
			 STATUS_RUNNING);
	send_out(s, 1, "plain", 5);
	assert_int_equal(read(s->console, data, sizeof(data)), 5);
	add_in(s, 0, 32, 1);
	add_in(s, AGENT_RX, 32, 1);
	add_in(s, CONTROL_RX, 32, 1);
	assert_int_equal(write(s->console, "in", 2), 2);
	assert_int_equal(write(s->agent, "in", 2), 2);
	loop_turns(s->loop);
	assert_int_equal(used_count(s, 0), 1);
	assert_int_equal(used_count(s, AGENT_RX), 0);
	assert_int_equal(used_count(s, CONTROL_RX), 0);
}

/* More in one wake than its limit: the rest is done in a later turn, without another kick. */
static void test_bounded_wake(void **state)
{
	struct setup *s = *state;
	struct iovec v = { NULL, 1 };

	for (int i = 0; i < 32; i++) {
		guest_driver_add(&s->g, 1, &v, 1, NULL, 0);
		guest_driver_add(&s->g, CONTROL_TX, &v, 1, NULL, 0);
	}
	guest_driver_kick(&s->g, 1);
	guest_driver_kick(&s->g, CONTROL_TX);
	assert_int_equal(used_count(s, 1), 16);
	assert_int_equal(used_count(s, CONTROL_TX), 16);
	loop_turns(s->loop);
	assert_int_equal(used_count(s, 1), 16);
	assert_int_equal(used_count(s, CONTROL_TX), 16);
}

/* A pipe is written to, and never read. */
static void test_pipe(void **state)
{
	int fds[2];
	struct console_port_spec spec = { .is_console = true };
	struct setup s = { .console = -1, .agent = -1 };
	struct virtio_device *d;
	struct err e = { 0 };
	char data[8];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(loop_new(&s.loop, &e), 0);
	spec.fd = fds[1];
	assert_int_equal(virtio_console_new(s.loop, &spec, 1, &d, &e), 0);
	assert_int_equal(d->n_queues, 4);
	guest_driver_start(&s.g, d);
	control_send(&s, 0, PORT_OPEN, 1);
	add_in(&s, 0, 8, 1);
	send_out(&s, 1, "boot", 4);
	loop_turns(s.loop);
	assert_int_equal(read(fds[0], data, sizeof(data)), 4);
	assert_int_equal(used_count(&s, 0), 0);
	guest_driver_stop(&s.g);
	loop_free(s.loop);
	assert_int_equal(read(fds[0], data, sizeof(data)), 0); /* it was closed */
	fd_drop(&fds[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOSTS_TEST(test_hello),
		NO_HOSTS_TEST(test_no_host),
		HOSTS_TEST(test_bytes),
		HOSTS_TEST(test_guest_slow),
		HOSTS_TEST(test_host_slow),
		HOSTS_TEST(test_host_hangs_up),
		HOSTS_TEST(test_hang_up_when_full),
		HOSTS_TEST(test_end_when_full),
		HOSTS_TEST(test_no_spin),
		HOSTS_TEST(test_pause),
		HOSTS_TEST(test_without_control),
		NO_HOSTS_TEST(test_bounded_wake),
		cmocka_unit_test(test_pipe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
