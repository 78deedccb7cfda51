/* SPDX-License-Identifier: MIT */
/*
 * virtio_serve.h - queues of devices whose requests are done at once
 *
 * So many requests at a time, that one guest does not keep the event loop for itself; what is left
 * is served at the loop's next turn. Nothing is in flight between two calls. A pause holds kicks
 * back.
 */
#ifndef VIRTIO_SERVE_H
#define VIRTIO_SERVE_H

#include "loop.h"
#include "virtio_device.h"

struct virtio_serve {
	struct virtio_device *dev;
	/* Do what the chain, just taken from `queue`, asks; returns how many bytes it wrote to it.
	 * With the lock held. */
	uint32_t (*one)(struct virtio_device *d, unsigned int queue, const struct virtq_chain *c);
	struct loop_timer *timer;
	uint32_t waiting; /* bit per queue: may have work */
	uint32_t turn;    /* most requests of a queue at a time */
	bool is_paused;
	struct virtq_chain chain;
};

/* Set `dev`, `one` and `turn` before. `loop` is borrowed. */
must_check int virtio_serve_init(struct virtio_serve *s, struct loop *loop, struct err *e);
void virtio_serve_done(struct virtio_serve *s); /* on the loop's thread; half-made is fine */

/* With the device's lock, on the loop's thread; a queue that is not ready has no work. */
void virtio_serve_kick(struct virtio_serve *s, unsigned int queue);
void virtio_serve_pause(struct virtio_serve *s);
void virtio_serve_resume(struct virtio_serve *s);

#endif
