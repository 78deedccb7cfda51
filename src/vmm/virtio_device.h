/* SPDX-License-Identifier: MIT */
/*
 * virtio_device.h - a virtio device without its transport
 *
 * A device embeds `struct virtio_device` as its first member. The transport (virtio_mmio) calls the
 * ops; the device serves its queues and says through `signal` that it did.
 *
 * Threads: registers are accessed on vCPU threads, queues are served on the event thread. All ops
 * are called with `lock` held; what a device does by itself (a descriptor is readable, a request
 * has ended) takes it. Allocates nothing after it was made.
 */
#ifndef VIRTIO_DEVICE_H
#define VIRTIO_DEVICE_H

#include <pthread.h>

#include "virtq.h"

#define VIRTIO_QUEUES_MAX 8U
#define VIRTIO_CONFIG_MAX 64U /* bytes of configuration space; behind them are zeros */

enum virtio_id {
	VIRTIO_ID_NET = 1,
	VIRTIO_ID_BLK = 2,
	VIRTIO_ID_CONSOLE = 3,
	VIRTIO_ID_RNG = 4,
	VIRTIO_ID_BALLOON = 5,
	VIRTIO_ID_VSOCK = 19,
	VIRTIO_ID_MEM = 24,
	VIRTIO_ID_FS = 26,
	VIRTIO_ID_PMEM = 27,
};

#define VIRTIO_F_EVENT_IDX (1ULL << 29)
#define VIRTIO_F_VERSION_1 (1ULL << 32)

struct virtio_device;

struct virtio_device_ops {
	enum virtio_id id;
	const char *name;    /* for messages */
	uint32_t n_queues;   /* unless it is set later */
	uint16_t queue_size; /* largest, of each */
	/* Fill in configuration space, VIRTIO_CONFIG_MAX zeros. NULL: nothing in it. */
	void (*config_read)(const struct virtio_device *d, uint8_t *raw);
	/* The driver writes configuration; NULL: ignored. */
	void (*config_write)(struct virtio_device *d, uint32_t off, const void *data, uint32_t len);
	/* Forget the driver. Nothing of its requests is used after it returns: what is in flight
	 * has ended. Queues are reset by the caller, afterwards. NULL: nothing to do. */
	void (*reset)(struct virtio_device *d);
	/* Queue `queue` may have work; on the event thread; not called before DRIVER_OK. */
	void (*kick)(struct virtio_device *d, unsigned int queue);
	/* No request is in flight when it returns, and none is begun until resume(): before a
	 * snapshot. NULL: there never are any. */
	void (*pause)(struct virtio_device *d);
	void (*resume)(struct virtio_device *d);
	/* Whether a request that is in flight has a buffer in these bytes of guest memory, which
	 * are to be taken away. NULL: it keeps no chain between two ops. */
	bool (*uses)(const struct virtio_device *d, const void *p, size_t len);
	/* What the device itself must remember (not queues, not features). NULL: nothing. */
	void (*save)(struct virtio_device *d, struct state_out *s);
	must_check int (*load)(struct virtio_device *d, struct state_in *s, struct err *e);
	/* Release what is the device's own; accepts half-made ones. NULL: nothing. */
	void (*free)(struct virtio_device *d);
	/* Of those that virtio_serve.h serves: do what the chain, just taken from `queue`, asks;
	 * returns how many bytes it wrote to it. Of a queue `turn` of them at a time. */
	uint32_t (*one)(struct virtio_device *d, unsigned int queue, const struct virtq_chain *c);
	uint32_t turn;
};

/* What the transport does for its device. Safe on any thread, with or without the lock. */
struct virtio_signal {
	void (*queue)(void *arg);  /* used buffers: interrupt, status bit 0 */
	void (*config)(void *arg); /* configuration changed: status bit 1, generation */
	void (*broken)(void *arg); /* the driver broke a rule: NEEDS_RESET, config interrupt */
	void *arg;
};

struct virtio_device {
	const struct virtio_device_ops *ops;
	uint64_t features; /* offered, with VERSION_1 and EVENT_IDX */
	uint64_t agreed;   /* by the driver; 0 until FEATURES_OK */
	struct virtq queues[VIRTIO_QUEUES_MAX];
	uint32_t n_queues;
	uint16_t queue_size; /* largest, of each */
	bool is_active;      /* from DRIVER_OK on: features and queues are settled; until reset() */
	bool is_paused;      /* set before pause(), cleared before resume() */
	struct virtio_signal signal;
	pthread_mutex_t lock;
};

/* `size` bytes, of which the first are a device with `ops`, that offers `features`, VERSION_1 and
 * EVENT_IDX; the rest is zeros. NULL, and *e, without memory. */
void *virtio_device_new(size_t size, const struct virtio_device_ops *ops, uint64_t features,
			struct err *e);
void virtio_device_free(struct virtio_device *d); /* NULL is fine */

/* No queue is served until the driver resets the device [2.1.1]: each yields nothing, and takes
 * nothing back. */
static inline void virtio_device_break(struct virtio_device *d)
{
	for (uint32_t i = 0; i < d->n_queues; i++)
		d->queues[i].is_broken = d->queues[i].is_ready;
}

/* After pushes: interrupt the driver if it wants that; or say that it broke a rule, of whichever
 * queue. With the lock. */
static inline void virtio_device_tell(struct virtio_device *d, struct virtq *q)
{
	if (q->is_broken) {
		virtio_device_break(d);
		d->signal.broken(d->signal.arg);
	} else if (virtq_needs_signal(q)) {
		d->signal.queue(d->signal.arg);
	}
}

#endif
