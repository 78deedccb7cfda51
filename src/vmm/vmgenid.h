/* SPDX-License-Identifier: MIT */
/*
 * vmgenid.h - tell the guest that it is another machine now: a new generation identifier
 *
 * The guest's kernel reseeds its random numbers when the identifier changes.
 */
#ifndef VMGENID_H
#define VMGENID_H

#include <stdint.h>

#include "err.h"

struct guest_memory;

#define VMGENID_SIZE 16U

/* Write a fresh identifier at `gpa` and interrupt. For a clone: after the interrupt controller was
 * restored, before a vCPU runs. `irq_fd` is a borrowed eventfd, or -1 (a first boot: the guest
 * finds the identifier by itself). -EFAULT: `gpa` is not in memory; nothing was raised then. */
must_check int vmgenid_renew(const struct guest_memory *mem, uint64_t gpa, int irq_fd,
			     struct err *e);

#endif
