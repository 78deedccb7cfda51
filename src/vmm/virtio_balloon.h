/* SPDX-License-Identifier: MIT */
/*
 * virtio_balloon.h - memory that a guest gives back [virtio 1.2, 5.5]
 *
 * The guest gives up pages when the host asks for them (inflate) and takes them back (deflate), and
 * tells of pages that it does not use just now (free page reporting). Offers DEFLATE_ON_OOM and
 * REPORTING; no statistics.
 */
#ifndef VIRTIO_BALLOON_H
#define VIRTIO_BALLOON_H

#include "loop.h"
#include "virtio_device.h"

#define BALLOON_PAGE     4096U
#define BALLOON_PFNS_MAX 1024U /* of one request that are looked at; Linux sends 256 */

/* `loop` and `mem` are borrowed and outlive the device; made, freed, paused and resumed on the
 * loop's thread. */
must_check int virtio_balloon_new(struct loop *loop, const struct guest_memory *mem,
				  struct virtio_device **ret, struct err *e);

/* How many pages of BALLOON_PAGE the guest shall have given up; more than it has are as many as it
 * has. Any thread, without the device's lock. */
void virtio_balloon_set_target(struct virtio_device *d, uint32_t pages);
/* How many it says it has given up: its own word. */
uint32_t virtio_balloon_actual(struct virtio_device *d);

#endif
