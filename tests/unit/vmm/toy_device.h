/* SPDX-License-Identifier: MIT */
/*
 * toy_device.h - a virtio device that gives back what it is sent
 *
 * Each queue: what a request's out buffers hold is written to its in buffers. Counts what the
 * transport does with it.
 */
#ifndef TOY_DEVICE_H
#define TOY_DEVICE_H

#include "virtio_device.h"

#define TOY_QUEUES     2U
#define TOY_QUEUE_SIZE 16U
#define TOY_CONFIG     12U
#define TOY_FEATURE    (1ULL << 3)
#define TOY_FEATURES   (TOY_FEATURE | VIRTIO_F_EVENT_IDX | VIRTIO_F_VERSION_1)

struct toy_device {
	struct virtio_device dev;
	uint8_t config[TOY_CONFIG];
	uint32_t memory; /* saved and loaded; odd is refused by load */
	unsigned int n_reset, n_kick, n_pause, n_resume;
	unsigned int n_broken; /* of virtq_pop() */
	unsigned int *n_free;  /* counts free(); NULL: nobody does */
};

struct toy_device *toy_device_new(void);

#endif
