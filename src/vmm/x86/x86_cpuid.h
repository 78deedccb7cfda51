/* SPDX-License-Identifier: MIT */
/*
 * x86_cpuid.h - which CPU a guest sees
 *
 * Pure, on the arrays that KVM_GET_SUPPORTED_CPUID gives and KVM_SET_CPUID2 takes. Set CPUID before
 * any MSR. Leaves and bits are those of Intel SDM volume 2 (CPUID) and AMD APM volume 3 appendix E.
 *
 * The guest has one package of cores with one thread each; APIC ids are 0, 1, ... It never has a
 * PMU, nested virtualisation or WAITPKG.
 */
#ifndef X86_CPUID_H
#define X86_CPUID_H

#include <linux/kvm.h>
#include <stddef.h>

#include "x86_layout.h"

#define X86_CPUID_MAX 128U /* entries */

struct x86_cpuid_spec {
	uint32_t cpus; /* 1 to X86_CPUS_MAX */
	/*
	 * "host": what KVM supports here. "baseline-v2", "baseline-v3": the features of the x86-64
	 * psABI's level and what a virtual machine needs, no others, so that a saved machine runs
	 * on any host that has them. For v3 with FSGSBASE and SMEP, which all such CPUs have.
	 */
	const char *model;
};

/*
 * Make the entries of vCPU 0 from what KVM supports. `ret` has room for X86_CPUID_MAX.
 * -ENOENT: no such model; -ENOTSUP: the host lacks a feature of the model, the text says which;
 * -EINVAL: cpus; -E2BIG: too many entries.
 */
must_check int x86_cpuid_plan(const struct kvm_cpuid_entry2 *supported, size_t n,
			      const struct x86_cpuid_spec *spec, struct kvm_cpuid_entry2 *ret,
			      size_t *ret_n, struct err *e);

/* Make planned or checked entries those of vCPU `index` of `cpus`: index < cpus <= X86_CPUS_MAX. */
void x86_cpuid_for_vcpu(struct kvm_cpuid_entry2 *entries, size_t n, uint32_t index, uint32_t cpus);

/*
 * Whether a machine that was saved with `saved` can run on a host that supports `supported`.
 * -ENOTSUP: another vendor's CPU, wider addresses, or features that are missing: the text has leaf,
 * register and bits. -E2BIG: more than X86_CPUID_MAX saved entries. -EINVAL: malformed.
 */
must_check int x86_cpuid_check(const struct kvm_cpuid_entry2 *saved, size_t n_saved,
			       const struct kvm_cpuid_entry2 *supported, size_t n, struct err *e);

#endif
