/* SPDX-License-Identifier: MIT */
/*
 * fuzz_virtio_fs.c - a driver that adds what it likes, a server that sends what it likes
 *
 * Each step is three bytes: what, and two numbers. The server's bytes are the input's.
 */
#include "fuzz_input.h"

#include <sys/socket.h>

#include "bytes.h"
#include "guest_driver.h"
#include "log.h"
#include "loop.h"
#include "virtio_fs.h"

#define STEPS_MAX 64
#define STEP_SIZE 3U

enum step { STEP_ADD, STEP_SEND, STEP_ANSWER, STEP_TURN, STEP_RESET, STEP_HANG_UP, STEP_COUNT_ };

struct world {
	struct guest_driver g;
	struct loop *loop;
	struct loop_timer *timer;
	int peer;
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

static void chain_add(struct world *w, const uint8_t *data, size_t len, uint8_t a, uint8_t b)
{
	const struct iovec out = { (void *)(uintptr_t)data, MIN_OF(len, (size_t)a) };
	const struct iovec in = { NULL, b };
	unsigned int queue = b & 1;

	if (w->g.queues[queue].n_free < 2)
		return;
	(void)guest_driver_add(&w->g, queue, &out, a & 1 ? 0 : 1, &in, a & 1 || b & 2 ? 1 : 0);
	guest_driver_kick(&w->g, queue);
}

/* A reply with the right number and length, if the request is there. */
static void answer(struct world *w, uint8_t size)
{
	uint8_t raw[4 + 40 + 256] = { 0 }, reply[4 + 16 + 255] = { 0 };
	ssize_t n = recv(w->peer, raw, sizeof(raw), MSG_DONTWAIT | MSG_PEEK);

	if (n < 44 || get_le32(raw) > sizeof(raw) - 4 || (size_t)n < 4 + (size_t)get_le32(raw))
		return;
	MUST(recv(w->peer, raw, 4 + get_le32(raw), MSG_DONTWAIT) == 4 + (ssize_t)get_le32(raw));
	put_le32(reply, 16U + size);
	put_le32(reply + 4, 16U + size);
	memcpy(reply + 12, raw + 12, 8);
	(void)!send(w->peer, reply, 4 + 16 + (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void used_take(struct world *w)
{
	uint32_t len;
	uint16_t head;

	for (unsigned int queue = 0; queue < 2; queue++)
		while (guest_driver_used(&w->g, queue, &head, &len))
			MUST(len <= 255);
}

static void step_do(struct world *w, const uint8_t *data, size_t len)
{
	const uint8_t *rest = data + STEP_SIZE;
	size_t left = len - STEP_SIZE;

	switch (data[0] % STEP_COUNT_) {
	case STEP_ADD:
		chain_add(w, rest, left, data[1], data[2]);
		break;
	case STEP_SEND:
		(void)!send(w->peer, rest, MIN_OF(left, (size_t)data[1]),
			    MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case STEP_ANSWER:
		answer(w, data[1]);
		break;
	case STEP_RESET:
		MUST(guest_driver_negotiate(&w->g, w->g.features, 32) == STATUS_RUNNING);
		break;
	case STEP_HANG_UP:
		shutdown(w->peer, data[1] & 1 ? SHUT_WR : SHUT_RDWR);
		break;
	default:
		turn(w);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct world w = { .peer = -1 };
	struct virtio_device *dev = NULL;
	struct err e = { 0 };
	int fds[2];

	log_init("fuzz", LOG_LEVEL_ERROR, STDERR_FILENO);
	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	w.peer = fds[1];
	MUST(loop_new(&w.loop, &e) == 0);
	MUST(loop_timer_new(w.loop, quit, w.loop, &w.timer, &e) == 0);
	MUST(virtio_fs_new(w.loop, "tag", fds[0], &dev, &e) == 0);
	guest_driver_start(&w.g, dev);
	for (int i = 0; i < STEPS_MAX && len >= STEP_SIZE; i++) {
		step_do(&w, data, len);
		used_take(&w);
		data += STEP_SIZE;
		len -= STEP_SIZE;
	}
	shutdown(w.peer, SHUT_RDWR);
	virtio_mmio_pause(&w.g.t); /* ends all that is in flight */
	used_take(&w);
	for (unsigned int queue = 0; queue < 2; queue++)
		for (unsigned int k = 0; k < w.g.queues[queue].size && w.g.t.dev->is_active; k++)
			MUST(w.g.queues[queue].in_flight[k] == 0 ||
			     virtq_has_work(&dev->queues[queue]));
	guest_driver_stop(&w.g);
	loop_timer_drop(w.timer);
	loop_free(w.loop);
	close(w.peer);
	return 0;
}
