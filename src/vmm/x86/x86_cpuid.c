/* SPDX-License-Identifier: MIT */
/*
 * x86_cpuid.c - which CPU a guest sees
 *
 * A plan is made in three steps: the model takes features away (x86_cpuid_model.c), then what KVM
 * leaves to us is put right, then the topology of vCPU 0 is written. Only the last is per vCPU.
 */
#include "x86_cpuid_internal.h"

#include <assert.h>
#include <string.h>

#define BRAND_SIZE 48U /* the leaves 0x80000002 to 4 */

const char *const cpuid_reg_names[] = { "eax", "ebx", "ecx", "edx" };

const struct kvm_cpuid_entry2 *cpuid_find(const struct kvm_cpuid_entry2 *e, size_t n, uint32_t leaf,
					  uint32_t index)
{
	for (size_t i = 0; i < n; i++)
		if (e[i].function == leaf && e[i].index == index)
			return &e[i];
	return NULL;
}

uint32_t cpuid_reg_get(const struct kvm_cpuid_entry2 *e, enum cpuid_reg reg)
{
	const uint32_t regs[] = { e->eax, e->ebx, e->ecx, e->edx };

	return regs[reg];
}

void cpuid_reg_set(struct kvm_cpuid_entry2 *e, enum cpuid_reg reg, uint32_t v)
{
	uint32_t *const regs[] = { &e->eax, &e->ebx, &e->ecx, &e->edx };

	*regs[reg] = v;
}

void cpuid_drop(struct cpuid_list *l, uint32_t first, uint32_t last)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->n; i++)
		if (l->e[i].function < first || l->e[i].function > last)
			l->e[kept++] = l->e[i];
	l->n = kept;
}

/* How many bits APIC ids below `cpus` take. */
static uint32_t id_bits(uint32_t cpus)
{
	uint32_t n = 0;

	while (1U << n < cpus)
		n++;
	return n;
}

/* Leaf 1: CLFLUSH of 64 bytes, how many ids the package has, the APIC id, and "more than one". */
static void leaf1_topology(struct kvm_cpuid_entry2 *c, uint32_t id, uint32_t cpus)
{
	c->ebx = (c->ebx & 0xffU) | 8U << 8 | 1U << id_bits(cpus) << 16 | id << 24;
	c->edx &= ~CPUID_BIT(28);
	if (cpus > 1)
		c->edx |= CPUID_BIT(28);
}

/* Leaves 4 and 0x8000001d: all vCPUs share the third-level cache, and no other. */
static void cache_topology(struct kvm_cpuid_entry2 *c, uint32_t cpus)
{
	uint32_t ids = (1U << id_bits(cpus)) - 1, level = c->eax >> 5 & 7;

	if (!(c->eax & 0x1f))
		return; /* no cache: the end of the list */
	c->eax &= 0x3fffU;
	if (level >= 3)
		c->eax |= ids << 14;
	if (c->function == 4)
		c->eax |= MIN_OF(ids, 63U) << 26;
}

/* Leaves 0xb and 0x1f: a level of threads, one per core, a level of cores, the end. */
static void levels_topology(struct kvm_cpuid_entry2 *c, uint32_t id, uint32_t cpus)
{
	c->eax = c->ebx = 0;
	c->ecx = c->index & 0xffU;
	c->edx = id;
	if (c->index == 0) {
		c->ebx = 1;
		c->ecx |= 1U << 8;
	} else if (c->index == 1) {
		c->eax = id_bits(cpus);
		c->ebx = cpus;
		c->ecx |= 2U << 8;
	}
}

void x86_cpuid_for_vcpu(struct kvm_cpuid_entry2 *entries, size_t n, uint32_t index, uint32_t cpus)
{
	assert(index < cpus && cpus <= X86_CPUS_MAX);
	for (struct kvm_cpuid_entry2 *c = entries; c < entries + n; c++) {
		switch (c->function) {
		case 0x1:
			leaf1_topology(c, index, cpus);
			break;
		case 0x4:
		case 0x8000001d:
			cache_topology(c, cpus);
			break;
		case 0xb:
		case 0x1f:
			levels_topology(c, index, cpus);
			break;
		case 0x80000008: /* how many cores, and bits of their ids */
			c->ecx = (c->ecx & ~0xf0ffU) | (cpus - 1) | id_bits(cpus) << 12;
			break;
		case 0x8000001e: /* APIC id, core id, one thread per core, node 0 of 1 */
			c->eax = c->ebx = index;
			c->ecx = c->edx = 0;
			break;
		default:
			break;
		}
	}
}

/* Leaf 7: no WAITPKG, nor AMX unless leaf 0xd lets it be saved (KVM may list it all the same).
 * EBX 6 and 13 say that the FPU no longer keeps certain pointers, which is safe to say always. */
static void leaf7_normalise(struct kvm_cpuid_entry2 *c, uint32_t xcr0)
{
	const uint32_t amx_state = CPUID_BIT(17) | CPUID_BIT(18);
	const uint32_t amx = CPUID_BIT(22) | CPUID_BIT(24) | CPUID_BIT(25);

	if (c->index)
		return;
	c->ebx |= CPUID_BIT(6) | CPUID_BIT(13);
	c->ecx &= ~CPUID_BIT(5);
	if ((xcr0 & amx_state) != amx_state)
		c->edx &= ~amx;
}

static void brand_set(struct kvm_cpuid_entry2 *c)
{
	static const char brand[BRAND_SIZE] = "caisson virtual CPU";
	const char *p = brand + (c->function - 0x80000002U) * 16;

	memcpy(&c->eax, p, 4);
	memcpy(&c->ebx, p + 4, 4);
	memcpy(&c->ecx, p + 8, 4);
	memcpy(&c->edx, p + 12, 4);
}

static void entry_normalise(struct kvm_cpuid_entry2 *c, uint32_t xcr0)
{
	switch (c->function) {
	case 0x1: /* no VMX, no PDCM; OSXSAVE is KVM's to set; x2APIC, TSC deadline, hypervisor */
		c->ecx &= ~(CPUID_BIT(5) | CPUID_BIT(15) | CPUID_BIT(27));
		c->ecx |= CPUID_BIT(21) | CPUID_BIT(24) | CPUID_BIT(31);
		break;
	case 0x6: /* no turbo, no energy bias */
		c->eax &= ~CPUID_BIT(1);
		c->ecx &= ~CPUID_BIT(3);
		break;
	case 0x7:
		leaf7_normalise(c, xcr0);
		break;
	case 0xa: /* no PMU */
		c->eax = c->ebx = c->ecx = c->edx = 0;
		break;
	case 0x80000001: /* no SVM */
		c->ecx &= ~CPUID_BIT(2);
		break;
	case 0x80000002:
	case 0x80000003:
	case 0x80000004:
		brand_set(c);
		break;
	default:
		break;
	}
}

/* KVM lists one level at most: list ours, all that for_vcpu() fills. */
static int levels_add(struct cpuid_list *l, uint32_t leaf, struct err *e)
{
	const struct kvm_cpuid_entry2 *first = cpuid_find(l->e, l->n, 0, 0);

	cpuid_drop(l, leaf, leaf);
	if (!first || first->eax < leaf)
		return 0;
	for (uint32_t i = 0; i < 3; i++) {
		if (l->n == X86_CPUID_MAX)
			return err_plain(e, E2BIG, "more than %u CPUID entries", X86_CPUID_MAX);
		l->e[l->n++] = (struct kvm_cpuid_entry2){
			.function = leaf,
			.index = i,
			.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		};
	}
	return 0;
}

static int normalise(struct cpuid_list *l, struct err *e)
{
	const struct kvm_cpuid_entry2 *xsave = cpuid_find(l->e, l->n, 0xd, 0);
	uint32_t xcr0 = xsave ? xsave->eax : 0;
	int rc;

	for (size_t i = 0; i < l->n; i++)
		entry_normalise(&l->e[i], xcr0);
	cpuid_drop(l, 0x8000000a, 0x8000000a); /* SVM */
	cpuid_drop(l, 0x8000001f, 0x8000001f); /* memory encryption */
	rc = levels_add(l, 0xb, e);
	return rc < 0 ? rc : levels_add(l, 0x1f, e);
}

int x86_cpuid_plan(const struct kvm_cpuid_entry2 *supported, size_t n,
		   const struct x86_cpuid_spec *spec, struct kvm_cpuid_entry2 *ret, size_t *ret_n,
		   struct err *e)
{
	struct kvm_cpuid_entry2 work[X86_CPUID_MAX];
	struct cpuid_list l = { work, n };
	int rc;

	if (!spec->cpus || spec->cpus > X86_CPUS_MAX)
		return err_plain(e, EINVAL, "%u vCPUs, not 1 to %u", spec->cpus, X86_CPUS_MAX);
	if (n > X86_CPUID_MAX)
		return err_plain(e, E2BIG, "more than %u CPUID entries", X86_CPUID_MAX);
	if (n)
		memcpy(work, supported, n * sizeof(*work));
	rc = cpuid_model_apply(&l, spec->model, e);
	if (rc == 0)
		rc = normalise(&l, e);
	if (rc < 0)
		return rc;
	x86_cpuid_for_vcpu(l.e, l.n, 0, spec->cpus);
	memcpy(ret, l.e, l.n * sizeof(*work));
	*ret_n = l.n;
	return 0;
}
