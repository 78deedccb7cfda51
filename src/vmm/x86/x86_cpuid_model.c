/* SPDX-License-Identifier: MIT */
/*
 * x86_cpuid_model.c - the CPU models: which of the host's features a guest gets
 *
 * A baseline has each of its features, or is refused: two hosts that can run it show the same CPU
 * to a guest, but for its vendor, family and caches.
 */
#include "x86_cpuid_internal.h"

#include <string.h>

#define B(n) CPUID_BIT(n)

/* FPU to SSE2, with all that a kernel takes for granted; of 16-bit times' only VME is left out,
 * which emulated hosts lack. */
#define BASICS 0x078bfbfdU

enum level { LEVEL_V2, LEVEL_V3, LEVEL_COUNT_ };

/* The feature words that a baseline has; all others are 0. */
static const struct feature_word {
	uint32_t leaf, index;
	enum cpuid_reg reg;
	uint32_t bits[LEVEL_COUNT_];
} words[] = {
	{ 0x1, 0, REG_EDX, { BASICS, BASICS } },
	{ 0x1,
	  0,
	  REG_ECX,
	  { B(0) | B(9) | B(13) | B(19) | B(20) | B(23),
	    B(0) | B(9) | B(12) | B(13) | B(19) | B(20) | B(22) | B(23) | B(26) | B(28) | B(29) } },
	{ 0x7, 0, REG_EBX, { 0, B(0) | B(3) | B(5) | B(7) | B(8) } },
	{ 0xd, 0, REG_EAX, { 0, B(0) | B(1) | B(2) } },
	{ 0x80000001, 0, REG_ECX, { B(0), B(0) | B(5) } },
	{ 0x80000001, 0, REG_EDX, { B(11) | B(20) | B(29), B(11) | B(20) | B(29) } },
};

/* Names for messages, of those that a host may well lack. */
static const struct {
	uint32_t leaf;
	enum cpuid_reg reg;
	uint32_t bit;
	const char *name;
} names[] = {
	{ 0x1, REG_ECX, 0, "SSE3" },         { 0x1, REG_ECX, 9, "SSSE3" },
	{ 0x1, REG_ECX, 12, "FMA" },         { 0x1, REG_ECX, 13, "CMPXCHG16B" },
	{ 0x1, REG_ECX, 19, "SSE4.1" },      { 0x1, REG_ECX, 20, "SSE4.2" },
	{ 0x1, REG_ECX, 22, "MOVBE" },       { 0x1, REG_ECX, 23, "POPCNT" },
	{ 0x1, REG_ECX, 26, "XSAVE" },       { 0x1, REG_ECX, 28, "AVX" },
	{ 0x1, REG_ECX, 29, "F16C" },        { 0x7, REG_EBX, 0, "FSGSBASE" },
	{ 0x7, REG_EBX, 3, "BMI1" },         { 0x7, REG_EBX, 5, "AVX2" },
	{ 0x7, REG_EBX, 7, "SMEP" },         { 0x7, REG_EBX, 8, "BMI2" },
	{ 0xd, REG_EAX, 2, "AVX state" },    { 0x80000001, REG_ECX, 0, "LAHF" },
	{ 0x80000001, REG_ECX, 5, "LZCNT" }, { 0x80000001, REG_EDX, 20, "NX" },
};

static int lacks(const char *model, const struct feature_word *w, uint32_t missing, struct err *e)
{
	uint32_t bit = (uint32_t)__builtin_ctz(missing);

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].leaf == w->leaf && names[i].reg == w->reg && names[i].bit == bit)
			return err_plain(e, ENOTSUP, "CPU model %s: this host lacks %s", model,
					 names[i].name);
	return err_plain(e, ENOTSUP, "CPU model %s: this host lacks CPUID leaf %#x %s bit %u",
			 model, w->leaf, cpuid_reg_names[w->reg], bit);
}

static int words_check(const struct cpuid_list *l, const char *model, enum level level,
		       struct err *e)
{
	for (const struct feature_word *w = words; w < words + ARRAY_SIZE(words); w++) {
		const struct kvm_cpuid_entry2 *c = cpuid_find(l->e, l->n, w->leaf, w->index);
		uint32_t missing = w->bits[level] & ~(c ? cpuid_reg_get(c, w->reg) : 0);

		if (missing)
			return lacks(model, w, missing, e);
	}
	return 0;
}

/* XSAVE of x87, SSE and AVX in the standard format, whose offsets are fixed (SDM 1, 13.4). */
static void xsave_set(struct kvm_cpuid_entry2 *c)
{
	c->ecx = c->edx = 0;
	if (c->index == 0) {
		c->ebx = c->ecx = 576 + 256;
	} else if (c->index == 2) {
		c->eax = 256;
		c->ebx = 576;
	} else {
		c->eax = c->ebx = 0;
	}
}

/* What is neither a feature word nor kept as it is. */
static void entry_mask(struct kvm_cpuid_entry2 *c)
{
	switch (c->function) {
	case 0x0:
		c->eax = MIN_OF(c->eax, 0xdU);
		break;
	case 0x5: /* MONITOR */
		c->eax = c->ebx = c->ecx = c->edx = 0;
		break;
	case 0x6: /* the APIC timer never stops */
		c->eax &= B(2);
		c->ebx = c->ecx = c->edx = 0;
		break;
	case 0x7: /* one subleaf */
		c->eax = c->ecx = c->edx = 0;
		break;
	case 0xd:
		xsave_set(c);
		break;
	case CPUID_EXT:
		c->eax = MIN_OF(c->eax, 0x80000008U);
		break;
	case 0x80000007: /* the TSC of another host may have another rate */
		c->eax = c->ebx = c->ecx = c->edx = 0;
		break;
	case 0x80000008: /* as few address bits as any host has: see X86_MEMORY_MAX */
		c->eax = MIN_OF(c->eax & 0xffU, 39U) | 48U << 8;
		c->ebx = c->edx = 0;
		break;
	default:
		break;
	}
}

static bool is_kept(const struct kvm_cpuid_entry2 *c, enum level level)
{
	if (c->function == 0x7)
		return c->index == 0;
	if (c->function == 0xd)
		return level >= LEVEL_V3 && c->index <= 2;
	return c->function <= 0xd || c->function == CPUID_KVM ||
	       c->function == CPUID_KVM_FEATURES ||
	       (c->function >= CPUID_EXT && c->function <= 0x80000008);
}

static void words_set(struct kvm_cpuid_entry2 *c, enum level level)
{
	for (const struct feature_word *w = words; w < words + ARRAY_SIZE(words); w++)
		if (c->function == w->leaf && c->index == w->index)
			cpuid_reg_set(c, w->reg, w->bits[level]);
}

static void baseline_mask(struct cpuid_list *l, enum level level)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->n; i++) {
		if (!is_kept(&l->e[i], level))
			continue;
		l->e[kept] = l->e[i];
		entry_mask(&l->e[kept]);
		words_set(&l->e[kept++], level);
	}
	l->n = kept;
}

int cpuid_model_apply(struct cpuid_list *l, const char *model, struct err *e)
{
	static const char *const models[] = {
		[LEVEL_V2] = "baseline-v2",
		[LEVEL_V3] = "baseline-v3",
	};
	int rc;

	if (!strcmp(model, "host"))
		return 0;
	for (enum level i = 0; i < LEVEL_COUNT_; i++) {
		if (strcmp(model, models[i]) != 0)
			continue;
		rc = words_check(l, model, i, e);
		if (rc == 0)
			baseline_mask(l, i);
		return rc;
	}
	return err_plain(e, ENOENT, "no CPU model \"%.32s\"", model);
}
