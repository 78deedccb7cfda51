/* SPDX-License-Identifier: MIT */
/*
 * test_virtio_break.c - a driver that breaks a rule of one queue is served in none, until it resets
 *
 * Each device has more to do than one turn allows when the rule is broken: timers, answers of a
 * server or of a disk, pauses and kicks must not go on with it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>

#include "blk_fixture.h"
#include "disk_driver.h"
#include "guest_driver.h"
#include "loop_turns.h"
#include "virtio_balloon.h"
#include "virtio_console.h"
#include "virtio_fs.h"
#include "virtio_net.h"
#include "virtio_rng.h"

#define FRAME   60U
#define REQUEST 40U /* of FUSE: a header */

struct fixture {
	struct loop *loop;
	struct guest_driver g;
	struct guest_memory mem;
	int peer; /* -1: none */
	struct gate_back *gate;
};

static int peer_make(struct fixture *f)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
			 0);
	f->peer = fds[1];
	return fds[0];
}

static int rng_make(struct fixture *f, struct virtio_device **ret, struct err *e)
{
	return virtio_rng_new(f->loop, ret, e);
}

static int balloon_make(struct fixture *f, struct virtio_device **ret, struct err *e)
{
	return virtio_balloon_new(f->loop, &f->mem, ret, e);
}

static int console_make(struct fixture *f, struct virtio_device **ret, struct err *e)
{
	static const struct console_port_spec ports[] = { { .fd = -1, .is_console = true },
							  { .name = "agent", .fd = -1 } };

	return virtio_console_new(f->loop, ports, 2, ret, e);
}

static int net_make(struct fixture *f, struct virtio_device **ret, struct err *e)
{
	const struct net_spec spec = { .kind = NET_STREAM, .fd = peer_make(f), .mac = { 2 } };

	return virtio_net_new(f->loop, &spec, ret, e);
}

static int fs_make(struct fixture *f, struct virtio_device **ret, struct err *e)
{
	return virtio_fs_new(f->loop, "tag", peer_make(f), ret, e);
}

static int blk_make(struct fixture *f, struct virtio_device **ret, struct err *e)
{
	static const struct virtio_blk_options none;

	f->gate = gate_new(1U << 20, false);
	return virtio_blk_new(f->loop, &f->gate->back, &none, ret, e);
}

/* A frame for the guest. */
static void net_comes(struct fixture *f)
{
	static const uint8_t raw[4 + FRAME] = { [3] = FRAME };

	assert_int_equal(send(f->peer, raw, sizeof(raw), 0), sizeof(raw));
}

/* The server answers the first request, the next time the second... */
static void fs_comes(struct fixture *f)
{
	uint8_t raw[4 + 16] = { 0 };

	put_le32(raw, 16);
	put_le32(raw + 4, 16);
	assert_int_equal(send(f->peer, raw, sizeof(raw), 0), sizeof(raw));
}

static void blk_comes(struct fixture *f)
{
	gate_open(f->gate);
}

struct kind {
	const char *name;
	int (*make)(struct fixture *f, struct virtio_device **ret, struct err *e);
	unsigned int bad, other; /* queues: a rule of the one is broken, the other has work */
	uint32_t out, in;        /* bytes of a request there */
	unsigned int n;          /* requests: more than a turn's, or that wait for an answer */
	void (*comes)(struct fixture *f); /* what also makes the device work; NULL: nothing */
};

static const struct kind kinds[] = {
	{ "rng", rng_make, 0, 0, 0, 8, 40, NULL },
	{ "balloon", balloon_make, 0, 1, 4, 0, 40, NULL },
	{ "console", console_make, 3, 5, 8, 0, 30, NULL },
	{ "console, to the guest", console_make, 5, 3, 8, 0, 30, NULL },
	{ "net", net_make, 1, 0, 0, 12 + FRAME, 100, net_comes },
	{ "fs", fs_make, 0, 1, REQUEST, 16, 1, fs_comes },
	{ "blk", blk_make, 0, 0, 16, 1, 10, blk_comes },
};

static void start(struct fixture *f, const struct kind *k)
{
	struct virtio_device *d = NULL;
	struct err e = { 0 };

	*f = (struct fixture){ .peer = -1 };
	assert_int_equal(loop_new(&f->loop, &e), 0);
	if (k->make(f, &d, &e) < 0)
		fail_msg("%s", e.msg);
	guest_driver_start(&f->g, d);
	f->mem = f->g.mem;
}

static void stop(struct fixture *f)
{
	if (f->gate)
		gate_open(f->gate);
	guest_driver_stop(&f->g);
	loop_free(f->loop);
	fd_drop(&f->peer);
}

static void add(struct fixture *f, const struct kind *k)
{
	uint8_t raw[100] = { 4 }; /* of a disk: a flush */
	const struct iovec out = { raw, k->out }, in = { NULL, k->in };

	guest_driver_add(&f->g, k->other, &out, k->out > 0, &in, k->in > 0);
}

static unsigned int used_count(struct fixture *f, unsigned int queue)
{
	unsigned int n = 0;
	uint32_t len;
	uint16_t head;

	while (guest_driver_used(&f->g, queue, &head, &len))
		n++;
	return n;
}

/* The queue's index says that more waits than it has room for. */
static void rule_break(struct fixture *f, unsigned int queue)
{
	const struct guest_driver_queue *q = &f->g.queues[queue];

	guest_driver_poke(&f->g, q->avail + 2, (uint16_t)(q->avail_idx + q->size + 1), 2);
	guest_driver_kick(&f->g, queue);
}

static size_t peer_bytes(struct fixture *f)
{
	uint8_t raw[4096];
	size_t all = 0;
	ssize_t n;

	while (f->peer >= 0 && (n = recv(f->peer, raw, sizeof(raw), MSG_DONTWAIT)) > 0)
		all += (size_t)n;
	return all;
}

/* Everything that makes a device look at its queues. */
static void all_try(struct fixture *f, const struct kind *k)
{
	if (k->comes)
		k->comes(f);
	loop_turn(f->loop, 20);
	loop_turns(f->loop);
	virtio_mmio_pause(&f->g.t);
	virtio_mmio_resume(&f->g.t);
	virtio_mmio_kick_all(&f->g.t);
	add(f, k);
	guest_driver_kick(&f->g, k->other);
	loop_turns(f->loop);
}

static void one_is_broken(const struct kind *k)
{
	struct fixture f;
	unsigned int served;

	print_message("%s\n", k->name);
	start(&f, k);
	if (k->make == net_make)
		net_comes(&f);
	for (unsigned int i = 0; i < k->n; i++)
		add(&f, k);
	guest_driver_kick(&f.g, k->other);
	served = used_count(&f, k->other);
	assert_true(served < k->n);
	(void)guest_driver_interrupts(&f.g);
	rule_break(&f, k->bad);
	assert_int_equal(guest_driver_get(&f.g, REG_STATUS), STATUS_RUNNING | STATUS_NEEDS_RESET);
	assert_int_equal(guest_driver_interrupts(&f.g), 2);
	(void)peer_bytes(&f);
	assert_int_equal(used_count(&f, k->other), 0);
	all_try(&f, k);
	assert_int_equal(used_count(&f, k->other), 0);
	assert_int_equal(peer_bytes(&f), 0);
	assert_int_equal(guest_driver_interrupts(&f.g), 0);
	assert_int_equal(guest_driver_get(&f.g, REG_STATUS), STATUS_RUNNING | STATUS_NEEDS_RESET);

	/* and a driver that resets it is served */
	assert_int_equal(guest_driver_negotiate(&f.g, f.g.t.dev->features, 256), STATUS_RUNNING);
	if (k->make != fs_make) { /* whose server has other answers to give first */
		add(&f, k);
		guest_driver_kick(&f.g, k->other);
		loop_turn(f.loop, 20);
		assert_int_equal(used_count(&f, k->other), 1);
	}
	stop(&f);
}

static void one_queue_is_all(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		one_is_broken(&kinds[i]);
}

/* A saved device that waits for its reset still does when it is loaded; another one is refused. */
static void loaded(void **state)
{
	const struct kind *k = &kinds[1];
	struct fixture f, to;
	struct err e = { 0 };

	(void)state;
	start(&f, k);
	start(&to, k);
	rule_break(&f, k->bad);
	for (int i = 0; i < 2; i++) {
		auto_buf b = { 0 };
		struct state_out out = { &b, false };
		struct state_in in;

		f.g.t.dev->queues[k->other].is_broken = i == 0;
		virtio_mmio_save(&f.g.t, &out);
		in = (struct state_in){ (const uint8_t *)b.data, b.len, false };
		assert_int_equal(virtio_mmio_load(&to.g.t, &in, &e), i == 0 ? 0 : -EINVAL);
		if (i == 0)
			all_try(&to, k);
		assert_int_equal(used_count(&to, k->other), 0);
	}
	stop(&to);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(one_queue_is_all),
					    cmocka_unit_test(loaded) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
