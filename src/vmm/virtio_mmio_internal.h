/* SPDX-License-Identifier: MIT */
/*
 * virtio_mmio_internal.h - what the registers and the saved state know of each other
 *
 * All functions: with the device's lock.
 */
#ifndef VIRTIO_MMIO_INTERNAL_H
#define VIRTIO_MMIO_INTERNAL_H

#include "virtio_mmio.h"

/* Status bits [2.1], and the states that are reached through them. */
#define S_ACK            0x01U
#define S_DRIVER         0x02U
#define S_DRIVER_OK      0x04U
#define S_FEATURES_OK    0x08U
#define S_NEEDS_RESET    0x40U
#define S_FAILED         0x80U
#define IN_DRIVER        (S_ACK | S_DRIVER)
#define IN_FEATURES      (IN_DRIVER | S_FEATURES_OK)
#define IN_DRIVER_OK     (IN_FEATURES | S_DRIVER_OK)

#define INTERRUPT_QUEUE  1U
#define INTERRUPT_CONFIG 2U

static inline uint32_t mmio_status(const struct virtio_mmio *t)
{
	return __atomic_load_n(&t->status, __ATOMIC_ACQUIRE);
}

/* As after power-on, the device too; but the generation goes on. */
void mmio_reset(struct virtio_mmio *t);
/* Whether a driver may agree on these. */
bool mmio_features_are_fine(const struct virtio_mmio *t, uint64_t features);

#endif
