/* SPDX-License-Identifier: MIT */
/* fuzz_virtio_console.c - a console's rings, and its hosts */
#include "fuzz_rings.h"

#include <sys/socket.h>

#include "virtio_console.h"

struct host {
	struct loop *loop;
	struct guest_driver g;
	int fds[2];
};

static void host_start(struct host *h)
{
	struct console_port_spec ports[2] = { { .is_console = true }, { .name = "agent" } };
	struct virtio_device *d;
	struct err e = { 0 };

	MUST(loop_new(&h->loop, &e) == 0);
	for (int i = 0; i < 2; i++) {
		int pair[2];

		MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
		ports[i].fd = pair[0];
		h->fds[i] = pair[1];
	}
	MUST(virtio_console_new(h->loop, ports, 2, &d, &e) == 0);
	guest_driver_start(&h->g, d);
}

static void op(struct host *h, struct rings_input *in)
{
	unsigned int what = (unsigned int)take(in, 1);
	int *fd = &h->fds[what >> 7];
	static char sink[1 << 16];
	const uint8_t *data;
	size_t len;

	switch (what % 10) {
	case 7:
		len = take_bytes(in, &data);
		(void)!send(*fd, data, len, MSG_NOSIGNAL);
		loop_turn(h->loop, 0);
		break;
	case 8:
		while (read(*fd, sink, sizeof(sink)) > 0)
			;
		loop_turn(h->loop, 0);
		break;
	case 9:
		fd_drop(fd);
		break;
	default:
		rings_op(&h->g, h->loop, in, what % 10);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct rings_input in = { data, len };
	struct host h = { 0 };

	host_start(&h);
	for (unsigned int i = 0; i < 256 && in.left > 0; i++) {
		op(&h, &in);
		rings_check(&h.g);
	}
	loop_turn(h.loop, 0);
	guest_driver_stop(&h.g);
	loop_free(h.loop);
	fd_drop(&h.fds[0]);
	fd_drop(&h.fds[1]);
	return 0;
}
