/* SPDX-License-Identifier: MIT */
/*
 * x86_vm.h - a KVM virtual machine: memory, interrupt controllers, clock
 *
 * Made in this order: create, memory, vCPUs (x86_vcpu.h). Linux Documentation/virt/kvm/api.rst.
 */
#ifndef X86_VM_H
#define X86_VM_H

#include "state_bytes.h"
#include "x86_cpuid.h"

#define X86_MSRS_MAX 256U

union x86_cpuid_room { /* entries follow the head */
	struct kvm_cpuid2 head;
	uint8_t bytes[sizeof(struct kvm_cpuid2) + X86_CPUID_MAX * sizeof(struct kvm_cpuid_entry2)];
};

struct x86_vm {
	int kvm_fd, fd; /* kvm_fd is borrowed; -1: none */
	struct kvm_cpuid_entry2 supported[X86_CPUID_MAX];
	size_t n_supported;
	uint32_t msrs[X86_MSRS_MAX]; /* those that are saved */
	uint32_t n_msrs;
	uint32_t xsave_size; /* bytes of a vCPU's XSAVE area */
	uint32_t run_size;   /* of a vCPU's shared page */
	bool has_log_clear;  /* KVM's log is cleared apart from being read */
};

/* With the interrupt controllers in the kernel. -ENOTSUP: a KVM without what is needed, by name. */
must_check int x86_vm_create(int kvm_fd, struct x86_vm *ret, struct err *e);
void x86_vm_done(struct x86_vm *vm);

must_check int x86_vm_memory(struct x86_vm *vm, const struct guest_memory *m, struct err *e);
/* Memory that the guest cannot write to: each write is an exit. -ENOTSUP: not on this host. */
must_check int x86_vm_rom(struct x86_vm *vm, const struct guest_slot *s, struct err *e);

/* What processors write, and KVM for them, is logged from here on, in all slots; on failure in
 * none. The processors may run. */
must_check int x86_vm_log_start(struct x86_vm *vm, const struct guest_memory *m, struct err *e);
must_check int x86_vm_log_stop(struct x86_vm *vm, const struct guest_memory *m, struct err *e);
/* The pages of slot `i` that were written since the last time: a bit each, in words that are all
 * written here, x86_vm_log_words() of them. */
must_check int x86_vm_log_take(struct x86_vm *vm, const struct guest_memory *m, uint32_t i,
			       uint64_t *words, struct err *e);

static inline uint64_t x86_vm_log_words(const struct guest_slot *s)
{
	return align_up(s->size / GUEST_PAGE, 64) / 64;
}

/* Writing to `event_fd` raises the edge interrupt `gsi`. */
must_check int x86_vm_irq(struct x86_vm *vm, int event_fd, uint32_t gsi, struct err *e);
/* A 4-byte store to `gpa` writes to `event_fd`, without an exit to us. */
must_check int x86_vm_doorbell(struct x86_vm *vm, int event_fd, uint64_t gpa, struct err *e);

/* vCPUs are paused. Load after they are loaded. */
must_check int x86_vm_save(struct x86_vm *vm, struct state_out *s, struct err *e);
must_check int x86_vm_load(struct x86_vm *vm, struct state_in *s, struct err *e);

/* A kernel struct with its length before it; of another length it is refused. */
static inline void state_put_struct(struct state_out *s, const void *data, uint32_t len)
{
	state_put_u32(s, len);
	state_put(s, data, len);
}

static inline void state_get_struct(struct state_in *s, void *data, uint32_t len)
{
	if (state_get_u32(s) != len)
		s->has_failed = true;
	state_get(s, data, len);
}

#endif
