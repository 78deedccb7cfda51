/* SPDX-License-Identifier: MIT */
/* qemu.h - the driver that runs machines in QEMU, accelerated where the host can, emulated where
 * not */
#ifndef QEMU_H
#define QEMU_H

#include "driver.h"

extern const struct vm_driver_ops qemu_driver;

#endif
