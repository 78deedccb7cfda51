/* SPDX-License-Identifier: MIT */
/*
 * x86_vcpu.h - one vCPU: its registers at boot, saved and loaded
 *
 * Order of calls and reasons: Linux Documentation/virt/kvm/api.rst; what must precede what is at
 * the head of x86_vcpu.c.
 */
#ifndef X86_VCPU_H
#define X86_VCPU_H

#include "x86_boot.h"
#include "x86_vm.h"

struct x86_vcpu {
	int fd;
	uint32_t index;
	struct kvm_run *run; /* shared with the kernel */
	uint32_t run_size;
};

must_check int x86_vcpu_create(struct x86_vm *vm, uint32_t index, struct x86_vcpu *ret,
			       struct err *e);
void x86_vcpu_done(struct x86_vcpu *v);

/* For a boot: CPUID (planned; made this vCPU's here), MSRs, local APIC; and registers where `regs`
 * is not NULL: of the first one. The others wait for its signal. */
must_check int x86_vcpu_boot(struct x86_vcpu *v, const struct kvm_cpuid_entry2 *cpuid, size_t n,
			     uint32_t cpus, const struct x86_boot_regs *regs, struct err *e);

/* It is not running, and what it last asked for has been completed. */
must_check int x86_vcpu_save(struct x86_vcpu *v, const struct x86_vm *vm, struct state_out *s,
			     struct err *e);
/*
 * Into one that was just created, before the machine's own state. -ENOTSUP: another CPU or KVM,
 * with what is missing; -EBADMSG: no state of a vCPU.
 */
must_check int x86_vcpu_load(struct x86_vcpu *v, const struct x86_vm *vm, struct state_in *s,
			     struct err *e);

#endif
