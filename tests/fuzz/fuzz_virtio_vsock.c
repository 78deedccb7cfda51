/* SPDX-License-Identifier: MIT */
/*
 * fuzz_virtio_vsock.c - a driver that sends what it likes, callers and a broker of all kinds
 *
 * Each step is three bytes: what, and two numbers. Ports are few, so that packets find connections.
 * What the guest gets is looked at: its form, and that no more data comes than it said it takes.
 */
#include "fuzz_input.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "bytes.h"
#include "fdio.h"
#include "guest_driver.h"
#include "log.h"
#include "loop.h"
#include "virtio_vsock.h"
#include "vsock_broker.h"

#define STEPS_MAX   96
#define STEP_SIZE   3U
#define RX          0U
#define TX          1U
#define EVENT       2U
#define HEADER_SIZE 44U
#define PAYLOAD     200U
#define PEERS       4U
#define OP_RW       5U

enum step {
	STEP_PACKET,
	STEP_RAW,
	STEP_BUFFERS,
	STEP_CALL,
	STEP_HOST,
	STEP_BROKER,
	STEP_TURN,
	STEP_DRIVER,
	STEP_COUNT_
};

struct world {
	struct guest_driver g;
	struct loop *loop;
	struct loop_timer *timer;
	struct sockaddr_un at;
	socklen_t at_len;
	int broker, peers[PEERS];
};

static void quit(void *arg)
{
	loop_quit(arg, 0);
}

static void turn(struct world *w)
{
	struct err e = { 0 };

	loop_timer_arm(w->timer, 0);
	MUST(loop_run(w->loop, &e) == 0);
}

static struct virtio_device *device_make(struct world *w)
{
	int fds[2], listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct virtio_device *d = NULL;
	struct err e = { 0 };

	w->at = (struct sockaddr_un){ .sun_family = AF_UNIX };
	w->at_len = sizeof(w->at);
	MUST(bind(listener, (struct sockaddr *)&w->at, sizeof(sa_family_t)) == 0);
	MUST(listen(listener, 8) == 0);
	MUST(getsockname(listener, (struct sockaddr *)&w->at, &w->at_len) == 0);
	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
	fd_drop(&w->broker);
	w->broker = fds[1];
	MUST(virtio_vsock_new(w->loop, listener, fds[0], &d, &e) == 0);
	return d;
}

static void chain_add(struct world *w, unsigned int queue, const void *data, size_t len)
{
	const struct iovec v = { (void *)(uintptr_t)data, len };

	if (w->g.queues[queue].n_free == 0)
		return;
	(void)guest_driver_add(&w->g, queue, &v, queue == TX, &v, queue != TX);
	guest_driver_kick(&w->g, queue);
}

/* One that has a chance: right addresses, and ports of few. */
static void packet_add(struct world *w, const uint8_t *data, size_t len, uint8_t a, uint8_t b)
{
	uint8_t raw[HEADER_SIZE + 255] = { 3, [8] = 2, [28] = 1 };
	size_t n = MIN_OF(len, (size_t)b);

	put_le32(raw + 16, 1000U + (a & 1));
	put_le32(raw + 20, a & 2 ? 0x40000000U + (a >> 6) : 5U + (a >> 6));
	put_le16(raw + 30, (uint16_t)(a >> 2 & 7));
	put_le32(raw + 24, (uint32_t)n);
	put_le32(raw + 32, b & 3U);
	put_le32(raw + 36, b);
	memcpy(raw + HEADER_SIZE, data, n);
	chain_add(w, TX, raw, HEADER_SIZE + n);
}

static void call(struct world *w, uint8_t a, uint8_t b)
{
	int *fd = &w->peers[a % PEERS];

	fd_drop(fd);
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (connect(*fd, (struct sockaddr *)&w->at, w->at_len) < 0)
		fd_drop(fd);
	else if (b & 1)
		(void)!send(*fd, b & 2 ? "CONNECT 1000\nx" : "CONNECT 1001\n", 13U + (b >> 1 & 1U),
			    MSG_NOSIGNAL);
}

static void host_do(struct world *w, const uint8_t *data, size_t len, uint8_t a, uint8_t b)
{
	int *fd = &w->peers[a % PEERS];
	uint8_t got[512];

	if (*fd < 0)
		return;
	if (b & 1)
		(void)!send(*fd, data, MIN_OF(len, (size_t)(b >> 1)), MSG_NOSIGNAL | MSG_DONTWAIT);
	else if (b & 2)
		(void)!recv(*fd, got, sizeof(got), MSG_DONTWAIT);
	else if (b & 4)
		shutdown(*fd, b >> 3 & 1);
	else
		fd_drop(fd);
}

static void broker_do(struct world *w, const uint8_t *data, size_t len, uint8_t a, uint8_t b)
{
	uint8_t raw[VSOCK_BROKER_SIZE] = { 0 };
	ssize_t n = recv(w->broker, raw, sizeof(raw), MSG_DONTWAIT);
	int fds[2];

	if (b & 1 && n == (ssize_t)sizeof(raw)) {
		MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
		vsock_broker_put(raw, vsock_broker_request(raw).cookie, 0);
		(void)!fd_send(w->broker, raw, sizeof(raw), fds, 1);
		close(fds[0]);
		fd_drop(&w->peers[a % PEERS]);
		w->peers[a % PEERS] = fds[1];
	} else {
		(void)!send(w->broker, data, MIN_OF(len, (size_t)(b & 15)), MSG_NOSIGNAL);
	}
}

/* Saved and loaded, reset, paused. */
static void driver_do(struct world *w, const uint8_t *data, size_t len, uint8_t a, uint8_t b)
{
	auto_buf buf = { 0 };
	struct state_out out = { .b = &buf };
	struct err e = { 0 };

	if (a & 1) {
		MUST(guest_driver_negotiate(&w->g, w->g.features, 16) == STATUS_RUNNING);
		return;
	}
	virtio_mmio_pause(&w->g.t);
	turn(w);
	if (a & 2) {
		virtio_mmio_save(&w->g.t, &out);
		virtio_mmio_done(&w->g.t);
		virtio_mmio_init(&w->g.t, device_make(w), &w->g.mem, w->g.irq_fd);
		if (b < len && a & 4)
			buf.data[buf.len - 1 - b % 6U] = (char)data[b];
		struct state_in in = { .p = (const uint8_t *)buf.data, .left = buf.len };
		if (virtio_mmio_load(&w->g.t, &in, &e) < 0)
			MUST(guest_driver_negotiate(&w->g, w->g.features, 16) == STATUS_RUNNING);
	}
	virtio_mmio_resume(&w->g.t);
	virtio_mmio_kick_all(&w->g.t);
}

static void used_take(struct world *w)
{
	const uint8_t *raw;
	uint32_t len;
	uint16_t head;

	while (guest_driver_used(&w->g, TX, &head, &len))
		MUST(len == 0);
	while (guest_driver_used(&w->g, EVENT, &head, &len)) {
		MUST(len == 4);
		chain_add(w, EVENT, NULL, 4);
	}
	while (guest_driver_used(&w->g, RX, &head, &len)) {
		raw = guest_driver_data(&w->g, RX, head, 0);
		MUST(len >= HEADER_SIZE && len <= HEADER_SIZE + PAYLOAD);
		MUST(get_le64(raw) == 2 && get_le64(raw + 8) == 3);
		MUST(get_le32(raw + 24) == len - HEADER_SIZE);
		MUST(get_le16(raw + 30) > 0 && get_le16(raw + 30) <= 7);
		MUST(len == HEADER_SIZE || get_le16(raw + 30) == OP_RW);
	}
}

static void step_do(struct world *w, const uint8_t *data, size_t len)
{
	const uint8_t *rest = data + STEP_SIZE, a = data[1], b = data[2];
	size_t left = len - STEP_SIZE;

	switch (data[0] % STEP_COUNT_) {
	case STEP_PACKET:
		packet_add(w, rest, left, a, b);
		break;
	case STEP_RAW:
		chain_add(w, TX, rest, MIN_OF(left, (size_t)a));
		break;
	case STEP_BUFFERS:
		for (unsigned int i = 0; i < (a & 7U); i++)
			chain_add(w, a & 8 ? EVENT : RX, NULL,
				  a & 8 ? 4 : HEADER_SIZE + MIN_OF(b, PAYLOAD));
		break;
	case STEP_CALL:
		call(w, a, b);
		break;
	case STEP_HOST:
		host_do(w, rest, left, a, b);
		break;
	case STEP_BROKER:
		broker_do(w, rest, left, a, b);
		break;
	case STEP_DRIVER:
		driver_do(w, rest, left, a, b);
		break;
	default:
		turn(w);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct world w = { .broker = -1, .peers = { -1, -1, -1, -1 } };
	struct err e = { 0 };

	log_init("fuzz", LOG_LEVEL_ERROR, STDERR_FILENO);
	MUST(loop_new(&w.loop, &e) == 0);
	MUST(loop_timer_new(w.loop, quit, w.loop, &w.timer, &e) == 0);
	guest_driver_start(&w.g, device_make(&w));
	for (int i = 0; i < STEPS_MAX && len >= STEP_SIZE; i++) {
		step_do(&w, data, len);
		used_take(&w);
		data += STEP_SIZE;
		len -= STEP_SIZE;
	}
	turn(&w);
	used_take(&w);
	guest_driver_stop(&w.g);
	loop_timer_drop(w.timer);
	loop_free(w.loop);
	fd_drop(&w.broker);
	for (unsigned int i = 0; i < PEERS; i++)
		fd_drop(&w.peers[i]);
	return 0;
}
