/* SPDX-License-Identifier: MIT */
/*
 * virtio_mmio.h - virtio over MMIO, version 2 [virtio 1.2, 4.2], a strict state machine
 *
 * One transport has one device. Register accesses come from vCPU threads, kicks from the event
 * thread.
 */
#ifndef VIRTIO_MMIO_H
#define VIRTIO_MMIO_H

#include "virtio_device.h"

#define VIRTIO_MMIO_SIZE   0x1000U
#define VIRTIO_MMIO_NOTIFY 0x50U

struct virtio_mmio {
	struct virtio_device *dev; /* owned */
	const struct guest_memory *mem;
	int irq_fd; /* borrowed: an eventfd; written to, to interrupt */
	uint32_t status;
	uint32_t features_sel, driver_sel, queue_sel;
	uint64_t driver_features;
	uint32_t interrupt_status; /* atomic: signals come from any thread */
	uint32_t generation;       /* atomic */
};

/* Takes `dev`. `irq_fd` may be -1 (tests). */
void virtio_mmio_init(struct virtio_mmio *t, struct virtio_device *dev,
		      const struct guest_memory *mem, int irq_fd);
void virtio_mmio_done(struct virtio_mmio *t); /* frees the device */

/* An access at `off` < VIRTIO_MMIO_SIZE of `len` 1, 2, 4 or 8. Not allowed ones read as zeros and
 * write nothing. */
void virtio_mmio_read(struct virtio_mmio *t, uint32_t off, void *data, uint32_t len);
void virtio_mmio_write(struct virtio_mmio *t, uint32_t off, const void *data, uint32_t len);

/* The driver has kicked queue `queue`: event thread. A kick of a queue that is not ready, or of a
 * device that is not active, is nothing. */
void virtio_mmio_kick(struct virtio_mmio *t, unsigned int queue);
void virtio_mmio_kick_all(struct virtio_mmio *t); /* after a restore: notifications may be lost */

void virtio_mmio_pause(struct virtio_mmio *t);
void virtio_mmio_resume(struct virtio_mmio *t);

/* Paused, or before the machine runs. Load refuses (-EINVAL) what is no state of this device: other
 * id, features that are not offered, queues outside memory. An active device is activated. */
void virtio_mmio_save(struct virtio_mmio *t, struct state_out *s);
must_check int virtio_mmio_load(struct virtio_mmio *t, struct state_in *s, struct err *e);

#endif
