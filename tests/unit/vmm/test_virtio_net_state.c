/* SPDX-License-Identifier: MIT */
/* test_virtio_net_state.c - peers that come, go and lie; saving, loading, reset, bad input */
#include "net_fixture.h"

#include <fcntl.h>

static void test_peer_lies(void **state)
{
	static const uint32_t lengths[] = { 0, 1, 13, BIG_MAX + 1, 0x10000000, UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct setup *s;
		void *p;

		with_stream(&p);
		s = p;
		add_in(s, 2048, 2);
		peer_sends(s, 64, 64);
		peer_sends(s, lengths[i], 100);
		loop_turns(s->loop);
		guest_has(s, 64, 1);
		assert_int_equal(used_count(s, RX), 0);
		assert_false(is_up(s));
		assert_int_equal(guest_driver_interrupts(&s->g), 3);
		errno = 0; /* closed, with or without bytes that were not read */
		assert_true(read(s->peer, s->got, 1) <= 0 && errno != EAGAIN);
		guest_sends(s, 64, 64);
		assert_int_equal(used_count(s, TX), 1);
		tear_down(&p);
	}
}

static void test_peer_hangs_up(void **state)
{
	struct setup *s = *state;
	struct err e = { 0 };
	int fd;

	add_in(s, 2048, 4);
	peer_sends(s, 64, 64);
	assert_int_equal(write(s->peer, "\0\0\0\x40 and then", 13), 13);
	fd_drop(&s->peer);
	loop_turns(s->loop);
	guest_has(s, 64, 1);
	assert_false(is_up(s));
	assert_int_equal(guest_driver_interrupts(&s->g) & 2, 2);
	guest_sends(s, 64, 64);
	assert_int_equal(used_count(s, TX), 1);
	/* another one */
	fd = peer_pair(NET_STREAM, &s->peer);
	assert_int_equal(virtio_net_attach(s->g.t.dev, fd, &e), 0);
	assert_true(is_up(s));
	assert_int_equal(guest_driver_interrupts(&s->g) & 2, 2);
	peer_sends(s, 100, 100);
	loop_turns(s->loop);
	guest_has(s, 100, 1);
}

/* The peer goes in the middle of a frame of the guest's: nothing of it gets to the next peer. */
static void test_hang_up_when_full(void **state)
{
	struct setup *s = *state;
	struct err e = { 0 };
	unsigned int used;

	for (unsigned int i = 0; i < 4; i++)
		guest_sends(s, 14000, 14000);
	used = used_count(s, TX);
	assert_true(used < 4);
	fd_drop(&s->peer);
	loop_turns(s->loop);
	assert_int_equal(used + used_count(s, TX), 4);
	assert_false(is_up(s));
	assert_int_equal(virtio_net_attach(s->g.t.dev, peer_pair(NET_STREAM, &s->peer), &e), 0);
	guest_sends(s, 20, 20);
	assert_int_equal(read(s->peer, s->got, sizeof(s->got)), 24);
}

/* The peer will send no more, and has not read what waits for it: nobody kicks for that again. */
static void test_end_when_full(void **state)
{
	struct setup *s = *state;
	unsigned int used;

	add_in(s, 2048, 4);
	for (unsigned int i = 0; i < 4; i++)
		guest_sends(s, 14000, 14000);
	used = used_count(s, TX);
	assert_true(used < 4);
	assert_int_equal(shutdown(s->peer, SHUT_WR), 0);
	loop_turns(s->loop);
	assert_false(is_up(s));
	assert_int_equal(used + used_count(s, TX), 4);
}

static void test_attach(void **state)
{
	struct setup *s = *state;
	struct err e = { 0 };
	auto_fd wrong = open("/dev/null", O_RDWR | O_CLOEXEC);
	int fd, old;

	assert_true(is_up(s));
	for (int i = 0; i < 200; i++) {
		guest_sends(s, 64, 64);
		assert_int_equal(used_count(s, TX), 1);
	}
	add_in(s, 2048, 4);
	assert_int_equal(virtio_net_attach(s->g.t.dev, wrong, &e), -EINVAL);
	assert_int_equal(virtio_net_attach(s->g.t.dev, 1000000, &e), -EINVAL);
	assert_true(is_up(s));
	fd = peer_pair(NET_STREAM, &old);
	assert_int_equal(virtio_net_attach(s->g.t.dev, fd, &e), 0);
	assert_int_equal(guest_driver_interrupts(&s->g) & 2, 0);
	fd = peer_pair(NET_STREAM, &s->peer);
	assert_int_equal(virtio_net_attach(s->g.t.dev, fd, &e), 0);
	assert_int_equal(read(old, s->got, 1), 0);
	fd_drop(&old);
	peer_sends(s, 100, 100);
	loop_turns(s->loop);
	guest_has(s, 100, 1);
	guest_sends(s, 64, 64);
	assert_int_equal(read(s->peer, s->got, sizeof(s->got)), 68);
}

static void test_pause(void **state)
{
	struct setup *s = *state;

	add_in(s, 2048, 2);
	virtio_mmio_pause(&s->g.t);
	peer_sends(s, 64, 64);
	guest_sends(s, 64, 64);
	loop_turns(s->loop);
	assert_int_equal(used_count(s, RX) + used_count(s, TX), 0);
	virtio_mmio_resume(&s->g.t);
	guest_has(s, 64, 1);
	assert_int_equal(used_count(s, TX), 1);
	assert_int_equal(read(s->peer, s->got, sizeof(s->got)), 68);
}

/* Into a device with another address, over the same memory: as a clone. */
static void reload(struct setup *s, struct net_spec spec)
{
	auto_buf b = { 0 };
	struct state_out out = { .b = &b };
	struct err e = { 0 };
	struct virtio_device *d;

	virtio_mmio_pause(&s->g.t);
	virtio_mmio_save(&s->g.t, &out);
	assert_false(out.has_failed);
	virtio_mmio_done(&s->g.t);
	fd_drop(&s->peer);
	assert_int_equal(virtio_net_new(s->loop, &spec, &d, &e), 0);
	virtio_mmio_init(&s->g.t, d, &s->g.mem, s->g.irq_fd);
	struct state_in in = { .p = (const uint8_t *)b.data, .left = b.len };
	assert_int_equal(virtio_mmio_load(&s->g.t, &in, &e), 0);
	assert_int_equal(in.left, 0);
	virtio_mmio_kick_all(&s->g.t);
}

static void test_clone(void **state)
{
	struct setup *s = *state;
	struct err e = { 0 };
	uint8_t raw[8];

	add_in(s, 2048, 4);
	guest_sends(s, 64, 64);
	(void)guest_driver_interrupts(&s->g);
	reload(s, (struct net_spec){ .mac = { 6, 5, 4, 3, 2, 1 }, .fd = -1 });
	virtio_mmio_read(&s->g.t, REG_CONFIG, raw, 4);
	assert_memory_equal(raw, "\6\5\4\3", 4);
	assert_int_equal(guest_driver_interrupts(&s->g) & 2, 0);
	assert_int_equal(virtio_net_attach(s->g.t.dev, peer_pair(NET_STREAM, &s->peer), &e), 0);
	peer_sends(s, 64, 64);
	loop_turns(s->loop);
	guest_has(s, 64, 1);
	fd_drop(&s->peer);
	loop_turns(s->loop);
	assert_false(is_up(s));
	(void)guest_driver_interrupts(&s->g);
	reload(s, (struct net_spec){ .fd = -1 });
	assert_true(is_up(s));
	assert_int_equal(guest_driver_interrupts(&s->g) & 2, 2);
}

static void test_reset(void **state)
{
	struct setup *s = *state;

	add_in(s, 2048, 4);
	guest_driver_set(&s->g, REG_STATUS, 0);
	peer_sends(s, 64, 64);
	loop_turns(s->loop);
	assert_int_equal(guest_driver_negotiate(&s->g, s->g.features, 64), STATUS_RUNNING);
	loop_turns(s->loop);
	assert_int_equal(used_count(s, RX), 0);
	add_in(s, 2048, 4);
	guest_has(s, 64, 1);
}

static void test_broken_rules(void **state)
{
	struct setup *s = *state;

	for (int i = 0; i < 4; i++) {
		assert_int_equal(guest_driver_negotiate(&s->g, s->g.features, 16), STATUS_RUNNING);
		peer_sends(s, 64, 64);
		if (i == 0) { /* no room for a header */
			add_in(s, HDR - 1, 1);
		} else if (i == 1) { /* nothing to write to */
			guest_driver_add(&s->g, RX, &(struct iovec){ NULL, 100 }, 1, NULL, 0);
			guest_driver_kick(&s->g, RX);
		} else { /* a head that is none */
			guest_driver_poke(&s->g, s->g.queues[i - 2].avail + 4, 99, 2);
			guest_driver_poke(&s->g, s->g.queues[i - 2].avail + 2, 1, 2);
			guest_driver_kick(&s->g, (unsigned int)i - 2);
		}
		loop_turn(s->loop, 5);
		assert_int_equal(status_of(s), STATUS_RUNNING | STATUS_NEEDS_RESET);
	}
}

static void test_new_bad(void **state)
{
	static const struct {
		enum net_kind kind;
		int is_open;
	} rows[] = { { NET_STREAM, 1 }, { NET_STREAM, 0 }, { NET_TAP, 1 }, { NET_TAP, 0 } };
	auto_fd file = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct loop *l;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(loop_new(&l, &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct net_spec spec = { .kind = rows[i].kind,
					 .fd = rows[i].is_open ? file : 1000000 };
		struct virtio_device *d;

		e = (struct err){ 0 };
		assert_true(virtio_net_new(l, &spec, &d, &e) < 0);
		assert_true(e.msg[0]);
	}
	assert_true(fcntl(file, F_GETFD) >= 0);
	loop_free(l);
}

static void test_load_bad(void **state)
{
	struct setup *s = *state;

	for (size_t cut = 0; cut < 8; cut++) {
		auto_buf b = { 0 };
		struct state_out out = { .b = &b };
		struct err e = { 0 };

		virtio_mmio_save(&s->g.t, &out);
		if (cut == 0)
			b.data[b.len - 1] = 2;
		struct state_in in = { .p = (const uint8_t *)b.data, .left = b.len - cut };
		assert_true(virtio_mmio_load(&s->g.t, &in, &e) < 0);
		assert_true(e.msg[0]);
		assert_int_equal(status_of(s), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_peer_lies),
		STREAM_TEST(test_peer_hangs_up),
		STREAM_TEST(test_hang_up_when_full),
		STREAM_TEST(test_end_when_full),
		NO_PEER_TEST(test_attach),
		STREAM_TEST(test_pause),
		STREAM_TEST(test_clone),
		STREAM_TEST(test_reset),
		STREAM_TEST(test_broken_rules),
		STREAM_TEST(test_load_bad),
		cmocka_unit_test(test_new_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
