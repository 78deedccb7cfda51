/* SPDX-License-Identifier: MIT */
/*
 * x86_cpuid_check.c - [U] whether a saved machine's CPU can be had on this host
 *
 * Hostile: the saved entries, any of them, in any order, any number of times.
 * Invariants: I1 each saved entry is compared, not only the first of a leaf; and since KVM takes
 *   one without the index flag for any index, such a one has index 0. I2 a leaf that the host does
 *   not list is all zeros there. I3 leaves with features that we do not know are left to
 *   KVM_SET_CPUID2 and are no danger to anyone but the guest.
 */
#include "x86_cpuid_internal.h"

#define B(n) CPUID_BIT(n)

/* Registers of features, and the bits that we give to a guest whatever KVM lists, or KVM keeps up
 * to date by itself. */
static const struct {
	uint32_t leaf, index;
	enum cpuid_reg reg;
	uint32_t ours;
} words[] = {
	{ 0x1, 0, REG_ECX, B(21) | B(24) | B(27) | B(31) },
	{ 0x1, 0, REG_EDX, B(28) },
	{ 0x6, 0, REG_EAX, 0 },
	{ 0x7, 0, REG_EBX, B(6) | B(13) },
	{ 0x7, 0, REG_ECX, B(4) }, /* OSPKE */
	{ 0x7, 0, REG_EDX, 0 },
	{ 0x7, 1, REG_EAX, 0 },
	{ 0x7, 1, REG_EBX, 0 },
	{ 0x7, 1, REG_ECX, 0 },
	{ 0x7, 1, REG_EDX, 0 },
	{ 0x7, 2, REG_EDX, 0 },
	{ 0xd, 0, REG_EAX, 0 },
	{ 0xd, 0, REG_EDX, 0 },
	{ 0xd, 1, REG_EAX, 0 },
	{ 0xd, 1, REG_ECX, 0 },
	{ 0xd, 1, REG_EDX, 0 },
	{ 0x12, 0, REG_EAX, 0 },
	{ 0x14, 0, REG_EBX, 0 },
	{ 0x14, 0, REG_ECX, 0 },
	{ CPUID_KVM_FEATURES, 0, REG_EAX, 0 },
	{ 0x80000001, 0, REG_ECX, 0 },
	{ 0x80000001, 0, REG_EDX, 0 },
	{ 0x80000007, 0, REG_EBX, 0 },
	{ 0x80000007, 0, REG_EDX, 0 },
	{ 0x80000008, 0, REG_EBX, 0 },
	{ 0x8000000a, 0, REG_EDX, 0 },
	{ 0x8000001f, 0, REG_EAX, 0 },
	{ 0x80000021, 0, REG_EAX, 0 },
	{ 0x80000021, 0, REG_ECX, 0 },
};

static int features_check(const struct kvm_cpuid_entry2 *s, const struct kvm_cpuid_entry2 *host,
			  struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		uint32_t missing;

		if (s->function != words[i].leaf || s->index != words[i].index)
			continue;
		missing = cpuid_reg_get(s, words[i].reg) & ~words[i].ours;
		missing &= ~(host ? cpuid_reg_get(host, words[i].reg) : 0);
		if (missing)
			return err_plain(e, ENOTSUP,
					 "the saved CPU has features that this host lacks: CPUID "
					 "leaf %#x.%u %s bits %#x",
					 s->function, s->index, cpuid_reg_names[words[i].reg],
					 missing);
	}
	return 0;
}

/* Physical and linear address bits must not be more than the host's. */
static int widths_check(const struct kvm_cpuid_entry2 *s, const struct kvm_cpuid_entry2 *host,
			struct err *e)
{
	uint32_t have = host ? host->eax : 0;

	if ((s->eax & 0xff) <= (have & 0xff) && (s->eax >> 8 & 0xff) <= (have >> 8 & 0xff))
		return 0;
	return err_plain(e, ENOTSUP,
			 "the saved CPU has addresses of %u and %u bits, this host of %u and %u",
			 s->eax & 0xff, s->eax >> 8 & 0xff, have & 0xff, have >> 8 & 0xff);
}

static int entry_check(const struct kvm_cpuid_entry2 *s, const struct kvm_cpuid_entry2 *host,
		       struct err *e)
{
	if (s->index && !(s->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX))
		return err_plain(e, EINVAL, "saved CPUID leaf %#x has an index without its flag",
				 s->function);
	if (s->function == 0 &&
	    (!host || s->ebx != host->ebx || s->ecx != host->ecx || s->edx != host->edx))
		return err_plain(e, ENOTSUP, "the saved CPU is of another vendor than this host's");
	if (s->function == 0x80000008 && widths_check(s, host, e) < 0)
		return -e->code;
	return features_check(s, host, e);
}

int x86_cpuid_check(const struct kvm_cpuid_entry2 *saved, size_t n_saved,
		    const struct kvm_cpuid_entry2 *supported, size_t n, struct err *e)
{
	if (n_saved > X86_CPUID_MAX)
		return err_plain(e, E2BIG, "%zu saved CPUID entries", n_saved);
	if (!cpuid_find(saved, n_saved, 0, 0))
		return err_plain(e, EINVAL, "the saved CPUID entries have no leaf 0");
	for (const struct kvm_cpuid_entry2 *s = saved; s < saved + n_saved; s++) {
		int rc = entry_check(s, cpuid_find(supported, n, s->function, s->index), e);

		if (rc < 0)
			return rc;
	}
	return 0;
}
