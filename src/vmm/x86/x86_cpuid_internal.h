/* SPDX-License-Identifier: MIT */
/* x86_cpuid_internal.h - shared by x86_cpuid*.c: entries as a list, and the models */
#ifndef X86_CPUID_INTERNAL_H
#define X86_CPUID_INTERNAL_H

#include <stdbool.h>

#include "x86_cpuid.h"

#define CPUID_BIT(n)       (1U << (n))

#define CPUID_KVM          0x40000000U /* KVM's own leaves: signature, features */
#define CPUID_KVM_FEATURES 0x40000001U
#define CPUID_EXT          0x80000000U

enum cpuid_reg { REG_EAX, REG_EBX, REG_ECX, REG_EDX };

extern const char *const cpuid_reg_names[4];

struct cpuid_list {
	struct kvm_cpuid_entry2 *e;
	size_t n; /* at most X86_CPUID_MAX */
};

/* NULL: there is no such entry, which reads as zeros. */
const struct kvm_cpuid_entry2 *cpuid_find(const struct kvm_cpuid_entry2 *e, size_t n, uint32_t leaf,
					  uint32_t index);
uint32_t cpuid_reg_get(const struct kvm_cpuid_entry2 *e, enum cpuid_reg reg);
void cpuid_reg_set(struct kvm_cpuid_entry2 *e, enum cpuid_reg reg, uint32_t v);

/* Take out the entries of leaves [first, last]. */
void cpuid_drop(struct cpuid_list *l, uint32_t first, uint32_t last);

/* Leave of what is in `l`, straight from KVM, what the model has. -ENOENT; -ENOTSUP. */
must_check int cpuid_model_apply(struct cpuid_list *l, const char *model, struct err *e);

#endif
