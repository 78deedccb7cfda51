/* SPDX-License-Identifier: MIT */
/* net_fixture.h - a network device, its guest's driver and its peer */
#ifndef NET_FIXTURE_H
#define NET_FIXTURE_H

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
#include "virtio_net.h"

#define RX        0U
#define TX        1U
#define HDR       12U
#define MRG       (1ULL << 15)
#define BIG_MAX   65550U

#define GUEST_MAC ((const uint8_t[NET_MAC_SIZE]){ 2, 0xca, 0x15, 0, 0, 7 })

struct setup {
	struct loop *loop;
	struct guest_driver g;
	int peer;
	uint8_t frame[BIG_MAX + 1], got[2 * BIG_MAX];
};

static inline int peer_pair(enum net_kind kind, int *ret_end)
{
	int fds[2], small = 1, type = kind == NET_STREAM ? SOCK_STREAM : SOCK_SEQPACKET;

	assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	if (kind == NET_STREAM)
		assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)),
				 0);
	*ret_end = fds[1];
	return fds[0];
}

static inline struct virtio_device *net_make(struct setup *s, struct net_spec *spec)
{
	struct virtio_device *d;
	struct err e = { 0 };

	memcpy(spec->mac, GUEST_MAC, NET_MAC_SIZE);
	assert_int_equal(virtio_net_new(s->loop, spec, &d, &e), 0);
	return d;
}

static inline struct setup *setup_new(struct net_spec spec, bool has_peer)
{
	struct setup *s = calloc(1, sizeof(*s));
	struct err e = { 0 };

	assert_non_null(s);
	assert_int_equal(loop_new(&s->loop, &e), 0);
	s->peer = spec.fd = -1;
	if (has_peer)
		spec.fd = peer_pair(spec.kind, &s->peer);
	for (size_t i = 0; i < sizeof(s->frame); i++)
		s->frame[i] = (uint8_t)(i * 7 + i / 251);
	guest_driver_start(&s->g, net_make(s, &spec));
	return s;
}

static inline int with_stream(void **state)
{
	*state = setup_new((struct net_spec){ .kind = NET_STREAM }, true);
	return 0;
}

static inline int with_tap(void **state)
{
	*state = setup_new((struct net_spec){ .kind = NET_TAP }, true);
	return 0;
}

static inline int without_peer(void **state)
{
	*state = setup_new((struct net_spec){ .kind = NET_STREAM }, false);
	return 0;
}

static inline int with_limits(void **state)
{
	struct rate_limit_options o = { .ops_per_s = 100, .ops_burst = 2 };

	*state = setup_new((struct net_spec){ .to_guest = o, .from_guest = o }, true);
	return 0;
}

static inline int tear_down(void **state)
{
	struct setup *s = *state;

	guest_driver_stop(&s->g);
	loop_free(s->loop);
	fd_drop(&s->peer);
	free(s);
	return 0;
}

/* From the guest: header and frame in buffers of at most `piece`. */
static inline void guest_sends(struct setup *s, size_t len, size_t piece)
{
	struct iovec v[64] = { { NULL, HDR } };
	unsigned int n = 1;

	for (size_t at = 0; at < len; at += piece)
		v[n++] = (struct iovec){ s->frame + at, MIN_OF(piece, len - at) };
	guest_driver_add(&s->g, TX, v, n, NULL, 0);
	guest_driver_kick(&s->g, TX);
}

static inline void peer_sends(struct setup *s, uint32_t length, size_t len)
{
	uint8_t raw[4] = { (uint8_t)(length >> 24), (uint8_t)(length >> 16), (uint8_t)(length >> 8),
			   (uint8_t)length };

	assert_int_equal(write(s->peer, raw, sizeof(raw)), sizeof(raw));
	assert_int_equal(write(s->peer, s->frame, len), len);
}

static inline void add_in(struct setup *s, size_t len, unsigned int n)
{
	struct iovec v = { NULL, len };

	for (unsigned int i = 0; i < n; i++)
		guest_driver_add(&s->g, RX, NULL, 0, &v, 1);
	guest_driver_kick(&s->g, RX);
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

/* The next frame that the guest has got is this long, over this many buffers, and right. */
static inline void guest_has(struct setup *s, size_t len, unsigned int want_buffers)
{
	unsigned int n = 1;
	size_t done = 0;

	for (unsigned int i = 0; i < n; i++) {
		const uint8_t *p;
		uint32_t part;
		uint16_t head;

		if (!guest_driver_used(&s->g, RX, &head, &part))
			fail_msg("no frame, or not all of its %u buffers", n);
		p = guest_driver_data(&s->g, RX, head, 0);
		if (i == 0) {
			assert_memory_equal(p, "\0\0\0\0\0\0\0\0\0\0", 10);
			n = get_le16(p + 10);
			assert_int_equal(n, want_buffers);
			p += HDR;
			part -= HDR;
		}
		assert_memory_equal(p, s->frame + done, part);
		done += part;
	}
	assert_int_equal(done, len);
}

static inline bool is_up(struct setup *s)
{
	uint8_t raw[2];

	virtio_mmio_read(&s->g.t, REG_CONFIG + 6, raw, 2);
	return get_le16(raw) & 1;
}

static inline uint32_t status_of(struct setup *s)
{
	return guest_driver_get(&s->g, REG_STATUS);
}

#define STREAM_TEST(f)  cmocka_unit_test_setup_teardown(f, with_stream, tear_down)
#define TAP_TEST(f)     cmocka_unit_test_setup_teardown(f, with_tap, tear_down)
#define NO_PEER_TEST(f) cmocka_unit_test_setup_teardown(f, without_peer, tear_down)

#endif
