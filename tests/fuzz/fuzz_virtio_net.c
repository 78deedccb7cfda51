/* SPDX-License-Identifier: MIT */
/*
 * fuzz_virtio_net.c - a network device's rings, and the bytes of its peer
 *
 * The lowest bit of the last byte says whether that is a stream or a tap, in whose place is a
 * socket that keeps messages apart.
 */
#include "fuzz_rings.h"

#include <sys/socket.h>

#include "virtio_net.h"

struct host {
	struct loop *loop;
	struct guest_driver g;
	bool is_tap;
	int fd;
	/* What the peer has got: it is always frames, whatever the guest does. */
	uint8_t head[4];
	size_t n_head, left;
};

static int peer_pair(struct host *h)
{
	int pair[2], small = 1;

	MUST(socketpair(AF_UNIX,
			(h->is_tap ? SOCK_SEQPACKET : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK,
			0, pair) == 0);
	MUST(h->is_tap || setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)) == 0);
	h->fd = pair[1];
	h->n_head = h->left = 0;
	return pair[0];
}

static void host_start(struct host *h)
{
	struct net_spec spec = { .mac = { 2, 1 }, .kind = h->is_tap ? NET_TAP : NET_STREAM };
	struct virtio_device *d;
	struct err e = { 0 };

	MUST(loop_new(&h->loop, &e) == 0);
	spec.fd = peer_pair(h);
	MUST(virtio_net_new(h->loop, &spec, &d, &e) == 0);
	guest_driver_start(&h->g, d);
}

static void frames_check(struct host *h, const uint8_t *data, size_t len)
{
	while (len > 0) {
		size_t n = MIN_OF(h->left, len);

		h->left -= n;
		data += n;
		len -= n;
		if (h->left > 0 || len == 0)
			continue;
		h->head[h->n_head++] = *data++;
		len--;
		if (h->n_head < sizeof(h->head))
			continue;
		h->n_head = 0;
		h->left =
			(size_t)h->head[0] << 24 | h->head[1] << 16 | h->head[2] << 8 | h->head[3];
		MUST(h->left >= 14 && h->left <= 65550);
	}
}

static void peer_reads(struct host *h)
{
	static uint8_t data[1 << 12];
	ssize_t n;

	while ((n = read(h->fd, data, sizeof(data))) > 0) {
		if (!h->is_tap)
			frames_check(h, data, (size_t)n);
		loop_turn(h->loop, 0);
	}
}

static void frame_send(struct host *h, struct rings_input *in)
{
	const uint8_t *data;
	size_t len = take_bytes(in, &data);
	uint8_t raw[4 + 255] = { 0, 0, 0, (uint8_t)len };

	memcpy(raw + 4, data, len);
	(void)!send(h->fd, raw + (h->is_tap ? 4 : 0), len + (h->is_tap ? 0 : 4), MSG_NOSIGNAL);
	loop_turn(h->loop, 0);
}

static void op(struct host *h, struct rings_input *in)
{
	unsigned int what = (unsigned int)take(in, 1) % 12;
	struct err e = { 0 };
	const uint8_t *data;
	size_t len;

	switch (what) {
	case 7:
		len = take_bytes(in, &data);
		(void)!send(h->fd, data, len, MSG_NOSIGNAL);
		break;
	case 8:
		frame_send(h, in);
		break;
	case 9:
		peer_reads(h);
		break;
	case 10:
		fd_drop(&h->fd);
		break;
	case 11:
		fd_drop(&h->fd);
		MUST(virtio_net_attach(h->g.t.dev, peer_pair(h), &e) == 0);
		break;
	default:
		rings_op(&h->g, h->loop, in, what);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct rings_input in = { data, len };
	struct host h = { .is_tap = len > 0 && data[len - 1] & 1 };

	host_start(&h);
	for (unsigned int i = 0; i < 256 && in.left > 0; i++) {
		op(&h, &in);
		rings_check(&h.g);
	}
	if (h.fd >= 0)
		peer_reads(&h);
	guest_driver_stop(&h.g);
	loop_free(h.loop);
	fd_drop(&h.fd);
	return 0;
}
