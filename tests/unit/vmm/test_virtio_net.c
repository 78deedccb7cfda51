/* SPDX-License-Identifier: MIT */
/* test_virtio_net.c - frames between a guest and its peer */
#include "net_fixture.h"

#include <time.h>

static void test_config(void **state)
{
	struct setup *s = *state;
	uint8_t raw[8];

	for (uint32_t i = 0; i < NET_MAC_SIZE; i++) {
		virtio_mmio_read(&s->g.t, REG_CONFIG + i, raw, 1);
		assert_int_equal(raw[0], GUEST_MAC[i]);
	}
	assert_true(is_up(s));
	virtio_mmio_read(&s->g.t, REG_CONFIG + 0x40, raw, 8);
	assert_memory_equal(raw, "\0\0\0\0\0\0\0\0", 8);
	/* offloads are for who can take them */
	assert_int_equal(s->g.features & 0x1fffULL, 1 << 5);
	assert_int_equal(s->g.features & MRG, MRG);
}

static void test_stream_out(void **state)
{
	static const struct {
		size_t len, piece;
	} rows[] = { { 14, 14 }, { 60, 1 }, { 1514, 1514 }, { 2000, 700 } };
	struct setup *s = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t len = rows[i].len;

		guest_sends(s, len, rows[i].piece);
		assert_int_equal(used_count(s, TX), 1);
		assert_int_equal(read(s->peer, s->got, sizeof(s->got)), 4 + len);
		assert_memory_equal(s->got, ((uint8_t[]){ 0, 0, len >> 8, len & 0xff }), 4);
		assert_memory_equal(s->got + 4, s->frame, len);
	}
	assert_int_equal(guest_driver_interrupts(&s->g), 1);
}

static void test_out_dropped(void **state)
{
	static const size_t lens[] = { 1, 13, BIG_MAX + 1 };
	struct setup *s = *state;
	struct iovec v = { NULL, 5 };

	guest_driver_add(&s->g, TX, &v, 1, NULL, 0); /* not even a header */
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++)
		guest_sends(s, lens[i], lens[i]);
	v.iov_len = HDR;
	guest_driver_add(&s->g, TX, &v, 1, NULL, 0);
	guest_driver_add(&s->g, TX, NULL, 0, &v, 1);
	guest_driver_kick(&s->g, TX);
	assert_int_equal(used_count(s, TX), ARRAY_SIZE(lens) + 3);
	assert_int_equal(read(s->peer, s->got, sizeof(s->got)), -1);
	assert_int_equal(status_of(s), STATUS_RUNNING);
}

static size_t peer_reads(struct setup *s, size_t at, size_t most)
{
	size_t got = 0;
	ssize_t n;

	while (got < most && (n = read(s->peer, s->got + at + got, MIN_OF(most - got, 500U))) > 0)
		got += (size_t)n;
	return got;
}

/* A peer that reads slowly: a frame's rest is kept, the next ones wait in the ring. */
static void test_peer_slow(void **state)
{
	struct setup *s = *state;
	unsigned int sent = 8, used;
	size_t got = 0, len = 14000;

	for (unsigned int i = 0; i < sent; i++)
		guest_sends(s, len, 1000);
	used = used_count(s, TX);
	assert_true(used < sent);
	for (int i = 0; i < 2000 && got < sent * (4 + len); i++) {
		got += peer_reads(s, got, 1500);
		loop_turns(s->loop);
		used += used_count(s, TX);
	}
	assert_int_equal(used, sent);
	assert_int_equal(got, sent * (4 + len));
	for (unsigned int i = 0; i < sent; i++) {
		const uint8_t *p = s->got + i * (4 + len);

		assert_memory_equal(p, ((uint8_t[]){ 0, 0, len >> 8, len & 0xff }), 4);
		assert_memory_equal(p + 4, s->frame, len);
	}
}

static void test_stream_in(void **state)
{
	static const size_t lens[] = { 14, 1514, 2036, 14 };
	struct setup *s = *state;

	add_in(s, 2048, 8);
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++)
		peer_sends(s, (uint32_t)lens[i], lens[i]);
	loop_turns(s->loop);
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++)
		guest_has(s, lens[i], 1);
	assert_int_equal(used_count(s, RX), 0);
	assert_int_equal(guest_driver_interrupts(&s->g), 1);
}

/* Length and frame come in any pieces. */
static void test_in_pieces(void **state)
{
	struct setup *s = *state;

	add_in(s, 2048, 4);
	memcpy(s->got, "\0\0\0\x40", 4);
	memcpy(s->got + 4, s->frame, 64);
	memcpy(s->got + 68, s->got, 68);
	for (size_t i = 0; i < 2 * 68; i++) {
		assert_int_equal(write(s->peer, s->got + i, 1), 1);
		loop_turn(s->loop, 0);
		loop_turn(s->loop, 0);
	}
	guest_has(s, 64, 1);
	guest_has(s, 64, 1);
}

static void test_in_many_buffers(void **state)
{
	struct setup *s = *state;

	add_in(s, 1526, 50);
	peer_sends(s, BIG_MAX, BIG_MAX);
	peer_sends(s, 3 * 1526 - HDR, 3 * 1526 - HDR);
	loop_turns(s->loop);
	guest_has(s, BIG_MAX, 43);
	guest_has(s, 3 * 1526 - HDR, 3);
	assert_int_equal(used_count(s, RX), 0);
	add_in(s, HDR, 1); /* the header alone in the first, and an empty one */
	add_in(s, 0, 1);
	add_in(s, 100, 1);
	assert_int_equal(used_count(s, RX), 0);
	peer_sends(s, 1500, 1500);
	loop_turns(s->loop);
	guest_has(s, 1500, 1);
}

/* Frames wait until the guest has given enough; it is asked for a kick. */
static void test_guest_slow(void **state)
{
	struct setup *s = *state;

	peer_sends(s, 3000, 3000);
	loop_turns(s->loop);
	add_in(s, 1024, 2);
	loop_turns(s->loop);
	assert_int_equal(used_count(s, RX), 0);
	(void)guest_driver_kick_wanted(&s->g, RX);
	guest_driver_add(&s->g, RX, NULL, 0, &(struct iovec){ NULL, 1024 }, 1);
	assert_true(guest_driver_kick_wanted(&s->g, RX));
	guest_driver_kick(&s->g, RX);
	guest_has(s, 3000, 3);
	peer_sends(s, 20, 20);
	loop_turns(s->loop);
	add_in(s, 1024, 1);
	guest_has(s, 20, 1);
}

/* Without many buffers for a frame one that is too long is dropped, and takes no buffer. */
static void test_in_one_buffer(void **state)
{
	struct setup *s = *state;

	assert_int_equal(guest_driver_negotiate(&s->g, s->g.features & ~MRG, 16), STATUS_RUNNING);
	add_in(s, 1526, 1);
	peer_sends(s, 1515, 1515);
	peer_sends(s, 1514, 1514);
	loop_turns(s->loop);
	guest_has(s, 1514, 1);
}

/* Longer than all buffers of the ring together. */
static void test_in_never_fits(void **state)
{
	struct setup *s = *state;

	assert_int_equal(guest_driver_negotiate(&s->g, s->g.features, 4), STATUS_RUNNING);
	peer_sends(s, 500, 500);
	peer_sends(s, 300, 300);
	add_in(s, 100, 4);
	loop_turns(s->loop);
	guest_has(s, 300, 4);
}

static void test_tap(void **state)
{
	struct setup *s = *state;
	struct iovec v[2] = { { (uint8_t[HDR]){ 1, 2, 3 }, HDR }, { s->frame, 64 } };
	struct msghdr m = { .msg_iov = v, .msg_iovlen = 2 };
	const uint8_t *p;
	uint32_t len;
	uint16_t head;

	assert_int_equal(s->g.features & 0x1fffULL, 0x19a3);
	guest_driver_add(&s->g, TX, v, 2, NULL, 0);
	guest_driver_kick(&s->g, TX);
	assert_int_equal(read(s->peer, s->got, sizeof(s->got)), HDR + 64);
	assert_memory_equal(s->got, "\1\2\3", 4);
	assert_memory_equal(s->got + HDR, s->frame, 64);
	add_in(s, 60, 4);
	assert_int_equal(write(s->peer, "short", 5), 5);
	assert_int_equal(sendmsg(s->peer, &m, 0), HDR + 64);
	v[1].iov_len = 20;
	assert_int_equal(sendmsg(s->peer, &m, 0), HDR + 20);
	loop_turns(s->loop);
	assert_true(guest_driver_used(&s->g, RX, &head, &len));
	assert_int_equal(len, 60);
	p = guest_driver_data(&s->g, RX, head, 0);
	assert_memory_equal(p, "\1\2\3\0\0\0\0\0\0\0\2\0", HDR);
	assert_memory_equal(p + HDR, s->frame, 48);
	assert_true(guest_driver_used(&s->g, RX, &head, &len));
	assert_int_equal(len, 16);
	assert_memory_equal(guest_driver_data(&s->g, RX, head, 0), s->frame + 48, 16);
	assert_true(guest_driver_used(&s->g, RX, &head, &len));
	assert_int_equal(len, HDR + 20);
	assert_false(guest_driver_used(&s->g, RX, &head, &len));
}

static void test_tap_full(void **state)
{
	struct setup *s = *state;
	unsigned int used = 0, got = 0;

	for (int i = 0; i < 120; i++)
		guest_sends(s, 14000, 14000);
	used = used_count(s, TX);
	assert_true(used < 120);
	for (int i = 0; i < 1000 && got < 120; i++) {
		while (read(s->peer, s->got, sizeof(s->got)) == HDR + 14000)
			got++;
		loop_turns(s->loop);
		used += used_count(s, TX);
	}
	assert_int_equal(got, 120);
	assert_int_equal(used, 120);
}

/* Frames that are none are not read without an end in one wake. */
static void test_tap_bounded_wake(void **state)
{
	struct setup *s = *state;
	struct iovec v[2] = { { (uint8_t[HDR]){ 0 }, HDR }, { s->frame, 64 } };
	struct msghdr m = { .msg_iov = v, .msg_iovlen = 2 };
	unsigned int n = 0;

	for (; n < 150 && write(s->peer, "short", 5) == 5; n++)
		;
	assert_int_equal(n, 150);
	assert_int_equal(sendmsg(s->peer, &m, 0), HDR + 64);
	add_in(s, 2048, 1);
	assert_int_equal(used_count(s, RX), 0);
	loop_turns(s->loop);
	assert_int_equal(used_count(s, RX), 1);
}

static int64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* A peer that hung up while the guest gives no buffers must not keep the loop busy. */
static void test_no_spin(void **state)
{
	struct setup *s = *state;
	int64_t begin;

	peer_sends(s, 64, 64);
	loop_turns(s->loop);
	fd_drop(&s->peer);
	begin = cpu_ns();
	loop_turn(s->loop, 200);
	assert_true(cpu_ns() - begin < 100000000);
	add_in(s, 2048, 1);
	guest_has(s, 64, 1);
}

/* Two at once, then one in 10 ms. */
static void test_limits(void **state)
{
	struct setup *s = *state;
	unsigned int sent, got;

	add_in(s, 2048, 8);
	for (int i = 0; i < 5; i++) {
		peer_sends(s, 64, 64);
		guest_sends(s, 64, 64);
	}
	sent = used_count(s, TX);
	loop_turn(s->loop, 1);
	got = used_count(s, RX);
	assert_true(sent >= 2 && sent < 5 && got >= 2 && got < 5);
	for (int i = 0; i < 40 && (sent < 5 || got < 5); i++) {
		loop_turn(s->loop, 10);
		sent += used_count(s, TX);
		got += used_count(s, RX);
	}
	assert_int_equal(sent, 5);
	assert_int_equal(got, 5);
}

/* More in one wake than its limit: the rest is done without another kick. */
static void test_bounded_wake(void **state)
{
	struct setup *s = *state;
	struct iovec in = { NULL, 100 }, out = { NULL, HDR }; /* which is dropped */

	for (int i = 0; i < 200; i++)
		guest_driver_add(&s->g, RX, NULL, 0, &in, 1);
	for (int i = 0; i < 80; i++)
		peer_sends(s, 14, 14);
	guest_driver_kick(&s->g, RX);
	assert_int_equal(used_count(s, RX), 64);
	loop_turns(s->loop);
	assert_int_equal(used_count(s, RX), 16);
	for (int i = 0; i < 200; i++)
		guest_driver_add(&s->g, TX, &out, 1, NULL, 0);
	guest_driver_kick(&s->g, TX);
	assert_int_equal(used_count(s, TX), 64);
	loop_turns(s->loop);
	assert_int_equal(used_count(s, TX), 136);
}

static void tap_frame(struct setup *s, size_t len)
{
	struct iovec v[2] = { { (uint8_t[HDR]){ 0 }, HDR }, { s->frame, len } };
	struct msghdr m = { .msg_iov = v, .msg_iovlen = 2 };

	assert_int_equal(sendmsg(s->peer, &m, 0), HDR + len);
}

/* Read into the guest's buffers while the longest frame fits, by way of ours else; in order. */
static void test_tap_direct(void **state)
{
	static const struct {
		size_t len;
		unsigned int buffers;
	} t[] = { { 14, 1 },     { 4096 - HDR, 1 }, { 4096 - HDR + 1, 2 }, { 10000, 3 },
		  { 65550, 17 }, { 20, 1 },         { 60000, 15 },         { 1500, 1 } };
	struct setup *s = *state;

	add_in(s, 4096, 50);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		assert_int_equal(write(s->peer, "short", 5), 5); /* of which nothing is seen */
		tap_frame(s, t[i].len);
		loop_turns(s->loop);
		guest_has(s, t[i].len, t[i].buffers);
	}
	assert_int_equal(used_count(s, RX), 0);
	/* 41 of 50 are gone: the next does not fit, and waits for more */
	tap_frame(s, 65550);
	loop_turns(s->loop);
	assert_int_equal(used_count(s, RX), 0);
	add_in(s, 4096, 20);
	loop_turns(s->loop);
	guest_has(s, 65550, 17);
	/* as many again as are there at a time, and they may be of any size */
	for (int i = 0; i < 12; i++)
		tap_frame(s, 100);
	loop_turns(s->loop);
	assert_int_equal(used_count(s, RX), 12);
	add_in(s, 1024, 200);
	tap_frame(s, 65550);
	loop_turns(s->loop);
	guest_has(s, 65550, 65);
}

/* Buffers that are not as Linux makes them are filled all the same. */
static void test_tap_odd_buffers(void **state)
{
	struct iovec two[2] = { { NULL, 5 }, { NULL, 70000 } };
	struct setup *s = *state;
	const uint8_t *p;
	uint16_t head;
	uint32_t len;

	guest_driver_add(&s->g, RX, NULL, 0, two, 2);
	add_in(s, 70000, 1);
	tap_frame(s, 65550);
	tap_frame(s, 64);
	loop_turns(s->loop);
	assert_true(guest_driver_used(&s->g, RX, &head, &len));
	assert_int_equal(len, HDR + 65550);
	p = guest_driver_data(&s->g, RX, head, 1);
	assert_memory_equal(p + HDR - 5, s->frame, 65550);
	guest_has(s, 64, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STREAM_TEST(test_config),
		STREAM_TEST(test_stream_out),
		STREAM_TEST(test_out_dropped),
		STREAM_TEST(test_peer_slow),
		STREAM_TEST(test_stream_in),
		STREAM_TEST(test_in_pieces),
		STREAM_TEST(test_in_many_buffers),
		STREAM_TEST(test_guest_slow),
		STREAM_TEST(test_in_one_buffer),
		STREAM_TEST(test_in_never_fits),
		TAP_TEST(test_tap),
		TAP_TEST(test_tap_full),
		TAP_TEST(test_tap_direct),
		TAP_TEST(test_tap_odd_buffers),
		TAP_TEST(test_tap_bounded_wake),
		STREAM_TEST(test_no_spin),
		cmocka_unit_test_setup_teardown(test_limits, with_limits, tear_down),
		STREAM_TEST(test_bounded_wake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
