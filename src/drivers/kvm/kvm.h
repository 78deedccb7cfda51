/* SPDX-License-Identifier: MIT */
/* kvm.h - the driver that runs machines in caisson-vmm, on KVM */
#ifndef KVM_H
#define KVM_H

#include "driver.h"

#define KVM_PROGRAM "caisson-vmm" /* in libexec */

extern const struct vm_driver_ops kvm_driver;

#endif
