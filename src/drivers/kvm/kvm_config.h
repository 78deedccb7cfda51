/* SPDX-License-Identifier: MIT */
/*
 * kvm_config.h - what a machine is, as caisson-vmm is told. Pure.
 */
#ifndef KVM_CONFIG_H
#define KVM_CONFIG_H

#include "vm_spec.h"
#include "vmm_config.h"

struct kvm_config {
	struct vmm_config c;
	int fds[VMM_FD_FIRST + VMM_FDS_MAX]; /* of the new process: [0] KVM, [3] the configuration;
						borrowed */
	size_t n_fds;
};

/* `ctl_fd` is the process's end of the control socket. -E2BIG: too many descriptors or devices;
 * -EINVAL: a disk that caisson-vmm cannot have. */
must_check int kvm_config_make(const struct vm_spec *s, int ctl_fd, struct kvm_config *ret,
			       struct err *e);

#endif
