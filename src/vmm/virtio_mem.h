/* SPDX-License-Identifier: MIT */
/*
 * virtio_mem.h - memory that a guest takes and gives back while it runs [virtio 1.2, 5.15]
 *
 * The device has the area of blocks of guest_memory.h. The host says how much of it the guest shall
 * have; the guest takes and gives back blocks, when and which it likes, and never has more than it
 * was last told, but what it had before. A driver that is reset keeps its blocks.
 */
#ifndef VIRTIO_MEM_H
#define VIRTIO_MEM_H

#include "loop.h"
#include "virtio_device.h"

struct virtio_mem_spec {
	struct guest_memory *mem; /* with an area, mapped by the time that the driver comes */
	uint64_t max;             /* bytes that the guest may ever have of it */
	/* Whether a device has a ring or a request in flight there: such blocks stay. On the loop's
	 * thread, with the lock of this device and no other. */
	bool (*is_used)(void *arg, uint64_t gpa, uint64_t len);
	void *arg;
};

/* `loop` and what is in `spec` are borrowed and outlive the device; made, freed, paused and resumed
 * on the loop's thread. */
must_check int virtio_mem_new(struct loop *loop, const struct virtio_mem_spec *spec,
			      struct virtio_device **ret, struct err *e);

/* How many bytes the guest shall have: whole blocks of that, and at most `max`. Any thread, without
 * the device's lock. */
void virtio_mem_request(struct virtio_device *d, uint64_t bytes);
/* How many it has. On the loop's thread. */
uint64_t virtio_mem_plugged(const struct virtio_device *d);

#endif
