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
	struct virtio_device dev; /* first */
	struct loop_timer *timer;
	uint32_t waiting; /* bit per queue: may have work */
	struct virtq_chain chain;
};

/* As virtio_device_new(), `size` bytes, of which the first are a struct virtio_serve. `loop` is
 * borrowed. */
void *virtio_serve_new(size_t size, const struct virtio_device_ops *ops, uint64_t features,
		       struct loop *loop, struct err *e);

/* For a device's ops; on the loop's thread. A queue that is not ready has no work. */
void virtio_serve_kick(struct virtio_device *d, unsigned int queue);
void virtio_serve_resume(struct virtio_device *d);
void virtio_serve_free(struct virtio_device *d);

#endif
