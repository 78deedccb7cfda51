/* SPDX-License-Identifier: MIT */
/*
 * vsock_fixture.h - a socket device, its guest's driver, callers of the host, and a broker by hand
 *
 * Time is the real one plus `skew_ms`.
 */
#ifndef VSOCK_FIXTURE_H
#define VSOCK_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>

#include "cleanup.h"
#include "fdio.h"
#include "guest_driver.h"
#include "loop_turns.h"
#include "virtio_vsock.h"
#include "vsock_broker.h"

#define RX         0U
#define TX         1U
#define EVENT      2U
#define HDR        44U
#define PAYLOAD    4096U
#define STREAM     1U
#define N_EVENTS   8U
#define GUEST_PORT 1000U

enum { REQUEST = 1, RESPONSE, RST, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST };

struct packet {
	uint64_t src_cid, dst_cid;
	uint32_t src_port, dst_port, len;
	uint16_t type, op;
	uint32_t flags, size, taken;
	const uint8_t *data;
	uint32_t n_data; /* of it there; len may say something else */
};

struct setup {
	struct loop *loop;
	struct guest_driver g;
	struct sockaddr_un at; /* where the device listens */
	socklen_t at_len;
	int broker; /* the keeper's end */
	uint8_t bytes[128U << 10], got[256U << 10];
};

static int64_t skew_ms;

int clock_gettime(clockid_t id, struct timespec *ret)
{
	if (syscall(SYS_clock_gettime, id, ret) < 0)
		return -1;
	ret->tv_sec += skew_ms / 1000;
	return 0;
}

static inline struct virtio_device *vsock_make(struct setup *s)
{
	int fds[2], listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct virtio_device *d;
	struct err e = { 0 };

	s->at = (struct sockaddr_un){ .sun_family = AF_UNIX };
	s->at_len = sizeof(s->at);
	assert_int_equal(bind(listener, (struct sockaddr *)&s->at, sizeof(sa_family_t)), 0);
	assert_int_equal(listen(listener, 128), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&s->at, &s->at_len), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
			 0);
	fd_drop(&s->broker);
	s->broker = fds[1];
	assert_int_equal(virtio_vsock_new(s->loop, listener, fds[0], &d, &e), 0);
	return d;
}

static inline void rx_add(struct setup *s, unsigned int n)
{
	struct iovec v[] = { { NULL, HDR }, { NULL, PAYLOAD } };

	for (unsigned int i = 0; i < n; i++)
		guest_driver_add(&s->g, RX, NULL, 0, v, 2);
	guest_driver_kick(&s->g, RX);
}

static inline void events_add(struct setup *s, unsigned int n)
{
	struct iovec v = { NULL, 4 };

	for (unsigned int i = 0; i < n; i++)
		guest_driver_add(&s->g, EVENT, NULL, 0, &v, 1);
}

static inline int setup_new(void **state)
{
	struct setup *s = calloc(1, sizeof(*s));
	struct err e = { 0 };

	assert_non_null(s);
	skew_ms = 0;
	s->broker = -1;
	assert_int_equal(loop_new(&s->loop, &e), 0);
	for (size_t i = 0; i < sizeof(s->bytes); i++)
		s->bytes[i] = (uint8_t)(i * 7 + i / 251);
	guest_driver_start(&s->g, vsock_make(s));
	events_add(s, N_EVENTS);
	guest_driver_kick(&s->g, EVENT);
	*state = s;
	return 0;
}

static inline int tear_down(void **state)
{
	struct setup *s = *state;

	guest_driver_stop(&s->g);
	loop_free(s->loop);
	fd_drop(&s->broker);
	free(s);
	return 0;
}

/* ---- the guest ---- */

static inline void raw_add(struct setup *s, const struct packet *p)
{
	uint8_t raw[HDR];
	const struct iovec v[] = { { raw, 20 },
				   { raw + 20, HDR - 20 },
				   { (void *)(uintptr_t)p->data, p->n_data } };

	put_le64(raw, p->src_cid);
	put_le64(raw + 8, p->dst_cid);
	put_le32(raw + 16, p->src_port);
	put_le32(raw + 20, p->dst_port);
	put_le32(raw + 24, p->len);
	put_le16(raw + 28, p->type);
	put_le16(raw + 30, p->op);
	put_le32(raw + 32, p->flags);
	put_le32(raw + 36, p->size);
	put_le32(raw + 40, p->taken);
	guest_driver_add(&s->g, TX, v, p->n_data ? 3 : 2, NULL, 0);
}

static inline void raw_send(struct setup *s, const struct packet *p)
{
	raw_add(s, p);
	guest_driver_kick(&s->g, TX);
}

static inline struct packet packet_of(uint16_t op, uint32_t host_port)
{
	return (struct packet){ .src_cid = 3,
				.dst_cid = 2,
				.src_port = GUEST_PORT,
				.dst_port = host_port,
				.type = STREAM,
				.op = op,
				.size = 256U << 10 };
}

static inline void guest_sends(struct setup *s, uint16_t op, uint32_t host_port, uint32_t flags)
{
	struct packet p = packet_of(op, host_port);

	p.flags = flags;
	raw_send(s, &p);
}

static inline void guest_writes(struct setup *s, uint32_t host_port, const uint8_t *data,
				uint32_t len)
{
	struct packet p = packet_of(RW, host_port);

	p.len = p.n_data = len;
	p.data = data;
	raw_send(s, &p);
}

/* How many of what it sent were taken. */
static inline unsigned int tx_used(struct setup *s)
{
	unsigned int n = 0;
	uint32_t len;
	uint16_t head;

	while (guest_driver_used(&s->g, TX, &head, &len))
		n++;
	return n;
}

/* The next packet that the guest has got, checked as far as all are alike. */
static inline bool guest_gets(struct setup *s, struct packet *ret)
{
	const uint8_t *raw;
	uint32_t len;
	uint16_t head;

	*ret = (struct packet){ 0 };
	loop_turns(s->loop);
	if (!guest_driver_used(&s->g, RX, &head, &len))
		return false;
	raw = guest_driver_data(&s->g, RX, head, 0);
	*ret = (struct packet){ get_le64(raw),
				get_le64(raw + 8),
				get_le32(raw + 16),
				get_le32(raw + 20),
				get_le32(raw + 24),
				get_le16(raw + 28),
				get_le16(raw + 30),
				get_le32(raw + 32),
				get_le32(raw + 36),
				get_le32(raw + 40),
				NULL,
				0 };
	ret->data = guest_driver_data(&s->g, RX, head, 1);
	assert_int_equal(len, HDR + ret->len);
	assert_true(ret->src_cid == 2 && ret->dst_cid == 3);
	assert_true(ret->len == 0 || ret->op == RW);
	return true;
}

static inline void guest_is_quiet(struct setup *s)
{
	struct packet p;

	if (guest_gets(s, &p))
		fail_msg("the guest gets operation %u", p.op);
}

static inline struct packet guest_wants(struct setup *s, uint16_t op, uint32_t host_port)
{
	struct packet p;

	if (!guest_gets(s, &p))
		fail_msg("the guest does not get operation %u", op);
	assert_int_equal(p.op, op);
	assert_int_equal(p.src_port, host_port);
	assert_int_equal(p.dst_port, GUEST_PORT);
	return p;
}

/* ---- the host ---- */

static inline int caller_new(const struct setup *s, const char *text)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_int_equal(connect(fd, (const struct sockaddr *)&s->at, s->at_len), 0);
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	loop_turns(s->loop);
	return fd;
}

static inline bool is_closed(struct setup *s, int fd)
{
	loop_turns(s->loop);
	errno = 0;
	return recv(fd, s->got, 1, MSG_DONTWAIT | MSG_PEEK) <= 0 && errno != EAGAIN;
}

static inline void host_gets(struct setup *s, int fd, const void *want, size_t len)
{
	size_t done = 0;

	for (int i = 0; done < len && i < 100; i++) {
		ssize_t n = recv(fd, s->got + done, sizeof(s->got) - done, MSG_DONTWAIT);

		if (n > 0)
			done += (size_t)n;
		loop_turns(s->loop);
	}
	assert_int_equal(done, len);
	assert_memory_equal(s->got, want, len);
}

/* A caller of the guest, which has accepted: its descriptor, and its port. */
static inline int call_open(struct setup *s, uint32_t *ret_port)
{
	int fd = caller_new(s, "CONNECT 1000\n");
	struct packet p;
	char ok[32];

	assert_true(guest_gets(s, &p));
	assert_true(p.op == REQUEST && p.type == STREAM && p.dst_port == GUEST_PORT);
	*ret_port = p.src_port;
	guest_sends(s, RESPONSE, p.src_port, 0);
	snprintf(ok, sizeof(ok), "OK %u\n", p.src_port);
	host_gets(s, fd, ok, strlen(ok));
	return fd;
}

static inline struct vsock_broker_request broker_asked(struct setup *s)
{
	uint8_t raw[VSOCK_BROKER_SIZE + 1];

	loop_turns(s->loop);
	assert_int_equal(recv(s->broker, raw, sizeof(raw), 0), VSOCK_BROKER_SIZE);
	return vsock_broker_request(raw);
}

static inline void broker_answers(struct setup *s, uint32_t cookie, uint32_t error, int fd)
{
	uint8_t raw[VSOCK_BROKER_SIZE];

	vsock_broker_put(raw, cookie, error);
	assert_int_equal(fd_send(s->broker, raw, sizeof(raw), &fd, fd >= 0), sizeof(raw));
	loop_turns(s->loop);
}

/* The other end of a connection that the guest makes, which the device's takes little at once. */
static inline int guest_open(struct setup *s, uint32_t port)
{
	struct vsock_broker_request r;
	int fds[2], small = 1;

	guest_sends(s, REQUEST, port, 0);
	r = broker_asked(s);
	assert_int_equal(r.port, port);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
			 0);
	assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	broker_answers(s, r.cookie, 0, fds[0]);
	close(fds[0]);
	(void)guest_wants(s, RESPONSE, port);
	return fds[1];
}

static inline uint32_t status_of(struct setup *s)
{
	return guest_driver_get(&s->g, REG_STATUS);
}

#define VSOCK_TEST(f) cmocka_unit_test_setup_teardown(f, setup_new, tear_down)

#endif
