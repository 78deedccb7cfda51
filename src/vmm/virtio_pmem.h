/* SPDX-License-Identifier: MIT */
/*
 * virtio_pmem.h - memory that is there when the machine starts [virtio 1.2, 5.19]
 *
 * The device says where the memory is, and that what was written to it is kept. Here nothing can
 * be written (guest_rom_map()), so that all is kept at once.
 */
#ifndef VIRTIO_PMEM_H
#define VIRTIO_PMEM_H

#include "loop.h"
#include "virtio_device.h"

/* [start, start + size) is there for as long as the device. `loop` is borrowed; made, freed, paused
 * and resumed on its thread. */
must_check int virtio_pmem_new(struct loop *loop, uint64_t start, uint64_t size,
			       struct virtio_device **ret, struct err *e);

#endif
