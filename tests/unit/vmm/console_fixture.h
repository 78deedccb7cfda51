/* SPDX-License-Identifier: MIT */
/* console_fixture.h - a console with two ports, its guest's driver and its hosts */
#ifndef CONSOLE_FIXTURE_H
#define CONSOLE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "guest_driver.h"
#include "loop_turns.h"
#include "virtio_console.h"

#define CONTROL_RX 2U
#define CONTROL_TX 3U
#define AGENT_RX   4U
#define AGENT_TX   5U
#define BIG        4096U
#define MULTIPORT  (1ULL << 1)

enum { DEVICE_READY = 0, PORT_ADD = 1, PORT_READY = 3, CONSOLE_PORT = 4, PORT_OPEN = 6, NAME = 7 };

struct setup {
	struct loop *loop;
	struct guest_driver g;
	int console, agent; /* the host's ends */
};

/* The device's end, which takes little at once. */
static inline int socket_pair(int *ret_end)
{
	int fds[2], small = 1;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
			 0);
	assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	*ret_end = fds[1];
	return fds[0];
}

static inline struct virtio_device *console_make(struct setup *s, bool has_hosts)
{
	struct console_port_spec ports[2] = { { .fd = -1, .is_console = true },
					      { .name = "caisson.agent", .fd = -1 } };
	struct virtio_device *d;
	struct err e = { 0 };

	if (has_hosts) {
		ports[0].fd = socket_pair(&s->console);
		ports[1].fd = socket_pair(&s->agent);
	}
	assert_int_equal(virtio_console_new(s->loop, ports, 2, &d, &e), 0);
	return d;
}

static inline struct setup *setup_new(bool has_hosts)
{
	struct setup *s = calloc(1, sizeof(*s));
	struct err e = { 0 };

	assert_non_null(s);
	s->console = s->agent = -1;
	assert_int_equal(loop_new(&s->loop, &e), 0);
	guest_driver_start(&s->g, console_make(s, has_hosts));
	return s;
}

static inline int with_hosts(void **state)
{
	*state = setup_new(true);
	return 0;
}

static inline int without_hosts(void **state)
{
	*state = setup_new(false);
	return 0;
}

static inline int tear_down(void **state)
{
	struct setup *s = *state;

	guest_driver_stop(&s->g);
	loop_free(s->loop);
	fd_drop(&s->console);
	fd_drop(&s->agent);
	free(s);
	return 0;
}

static inline void add_in(struct setup *s, unsigned int queue, size_t len, unsigned int n)
{
	struct iovec v = { NULL, len };

	for (unsigned int i = 0; i < n; i++)
		guest_driver_add(&s->g, queue, NULL, 0, &v, 1);
	guest_driver_kick(&s->g, queue);
}

static inline void send_out(struct setup *s, unsigned int queue, const void *data, size_t len)
{
	struct iovec v = { (void *)data, len };

	guest_driver_add(&s->g, queue, &v, 1, NULL, 0);
	guest_driver_kick(&s->g, queue);
}

static inline unsigned int used_count(struct setup *s, unsigned int queue)
{
	unsigned int n = 0;
	uint32_t len;
	uint16_t head;

	while (guest_driver_used(&s->g, queue, &head, &len))
		n++;
	return n;
}

static inline void control_send(struct setup *s, uint32_t id, uint16_t event, uint16_t value)
{
	uint8_t raw[8];

	put_le32(raw, id);
	put_le16(raw + 4, event);
	put_le16(raw + 6, value);
	send_out(s, CONTROL_TX, raw, sizeof(raw));
	assert_int_equal(used_count(s, CONTROL_TX), 1);
}

/* The next message to the guest is this one. */
static inline void control_wants(struct setup *s, uint32_t id, uint16_t event, uint16_t value)
{
	uint32_t len;
	uint16_t head;
	const uint8_t *raw;

	if (!guest_driver_used(&s->g, CONTROL_RX, &head, &len))
		fail_msg("no message; port %u event %u is missing", id, event);
	raw = guest_driver_data(&s->g, CONTROL_RX, head, 0);
	assert_int_equal(get_le32(raw), id);
	assert_int_equal(get_le16(raw + 4), event);
	assert_int_equal(get_le16(raw + 6), value);
	assert_int_equal(len, event == NAME ? 8 + strlen("caisson.agent") : 8);
	if (event == NAME)
		assert_memory_equal(raw + 8, "caisson.agent\xa5", 14);
}

/* As Linux's driver does it. */
static inline void bring_up(struct setup *s)
{
	add_in(s, CONTROL_RX, 128, 16);
	control_send(s, 0, DEVICE_READY, 1);
	for (uint32_t id = 0; id < 2; id++) {
		control_wants(s, id, PORT_ADD, 1);
		control_send(s, id, PORT_READY, 1);
	}
	(void)used_count(s, CONTROL_RX);
	control_send(s, 0, PORT_OPEN, 1);
	control_send(s, 1, PORT_OPEN, 1);
	(void)guest_driver_interrupts(&s->g);
}

/* One buffer's worth from the host: its length; -1: none. */
static inline int received(struct setup *s, unsigned int queue, char *data, size_t size)
{
	uint32_t len;
	uint16_t head;

	if (!guest_driver_used(&s->g, queue, &head, &len))
		return -1;
	assert_true(len < size);
	memcpy(data, guest_driver_data(&s->g, queue, head, 0), len);
	data[len] = '\0';
	return (int)len;
}

static inline uint32_t status_of(struct setup *s)
{
	return guest_driver_get(&s->g, REG_STATUS);
}

static inline uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 7 + i / 251);
}

/* Add big requests until the host's socket is full; returns how many. */
static inline unsigned int fill(struct setup *s)
{
	static uint8_t data[BIG];
	unsigned int n = 0;

	for (; n < 32; n++) {
		for (size_t i = 0; i < BIG; i++)
			data[i] = pattern(n * BIG + i);
		send_out(s, AGENT_TX, data, BIG);
	}
	return n;
}

static inline size_t host_reads(int fd, size_t at, size_t most)
{
	uint8_t data[1000];
	size_t got = 0;
	ssize_t n;

	while (got < most && (n = read(fd, data, MIN_OF(sizeof(data), most - got))) > 0) {
		for (size_t i = 0; i < (size_t)n; i++)
			assert_int_equal(data[i], pattern(at + got + i));
		got += (size_t)n;
	}
	return got;
}

#define HOSTS_TEST(f)    cmocka_unit_test_setup_teardown(f, with_hosts, tear_down)
#define NO_HOSTS_TEST(f) cmocka_unit_test_setup_teardown(f, without_hosts, tear_down)

#endif
