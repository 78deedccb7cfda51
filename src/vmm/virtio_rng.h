/* SPDX-License-Identifier: MIT */
/*
 * virtio_rng.h - random bytes for a guest [virtio 1.2, 5.4], from getrandom()
 */
#ifndef VIRTIO_RNG_H
#define VIRTIO_RNG_H

#include "loop.h"
#include "virtio_device.h"

#define VIRTIO_RNG_REQUEST_MAX                                                                     \
	(64U << 10) /* bytes given for one request; the rest stays as it is */

/* `loop` is borrowed; made, freed, paused and resumed on its thread. */
must_check int virtio_rng_new(struct loop *loop, struct virtio_device **ret, struct err *e);

#endif
