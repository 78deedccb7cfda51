/* SPDX-License-Identifier: MIT */
/* test_x86_cpuid.c - which CPU a guest gets from a host, and which host can run a saved one */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "x86_cpuid.h"

#define B(n)  (1U << (n))
#define INDEX KVM_CPUID_FLAG_SIGNIFCANT_INDEX
#define V3_ECX                                                                                     \
	0x34d83201U /* what baseline-v3 has of leaf 1, x2APIC and TSC deadline not counted         \
		     */

enum { EAX, EBX, ECX, EDX };

/* A server of 2016 as KVM shows it: AVX-512, nested virtualisation, a PMU. */
static const struct kvm_cpuid_entry2 intel[] = {
	{ 0x0, 0, 0, 0x1f, 0x756e6547, 0x6c65746e, 0x49656e69 },
	{ 0x1, 0, 0, 0x50654, 0x07100800, 0x77faba3f | B(15), 0x0f8bfbff },
	{ 0x2, 0, 0, 0x76036301, 0xf0b5ff, 0, 0xc30000 },
	{ 0x4, 0, INDEX, 0x7c004121, 0x1c0003f, 0x3f, 0 },
	{ 0x4, 2, INDEX, 0x7c004143, 0x3c0003f, 0x3ff, 0 },
	{ 0x4, 3, INDEX, 0x7c0fc163, 0x280003f, 0x9fff, 4 },
	{ 0x4, 4, INDEX, 0, 0, 0, 0 },
	{ 0x5, 0, 0, 0x40, 0x40, 3, 0x2020 },
	{ 0x6, 0, 0, 0x6, 0, 0x8, 0 },
	{ 0x7, 0, INDEX, 1, 0xd19f4fbb & ~(B(6) | B(13)), 0x18 | B(5), 0xbc000400 | B(24) },
	{ 0x7, 1, INDEX, 0x20, 0, 0, 0 },
	{ 0xa, 0, 0, 0x7300402, 0, 0, 0x603 },
	{ 0xb, 0, INDEX, 0, 0, 0, 0 },
	{ 0xd, 0, INDEX, 0x2e7, 0xa80, 0xa80, 0 },
	{ 0xd, 1, INDEX, 0xf, 0x980, 0, 0 },
	{ 0xd, 2, INDEX, 0x100, 0x240, 0, 0 },
	{ 0xd, 5, INDEX, 0x40, 0x440, 0, 0 },
	{ 0xd, 9, INDEX, 8, 0xa80, 0, 0 },
	{ 0x14, 0, INDEX, 0, 0, 0, 0 },
	{ 0x1f, 0, INDEX, 0, 0, 0, 0 },
	{ 0x40000000, 0, 0, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d },
	{ 0x40000001, 0, 0, 0x1007efb, 0, 0, 0 },
	{ 0x80000000, 0, 0, 0x80000008, 0, 0, 0 },
	{ 0x80000001, 0, 0, 0x50654, 0, 0x121, 0x2c100800 },
	{ 0x80000002, 0, 0, 0x65746e49, 0x2952286c, 0x6f655820, 0x2952286e },
	{ 0x80000003, 0, 0, 1, 2, 3, 4 },
	{ 0x80000004, 0, 0, 1, 2, 3, 4 },
	{ 0x80000006, 0, 0, 0, 0, 0x1006040, 0 },
	{ 0x80000007, 0, 0, 0, 0, 0, 0x100 },
	{ 0x80000008, 0, 0, 0x302e, 0x100d000, 0, 0 },
	{ 0xc0000000, 0, 0, 0, 0, 0, 0 },
};

/* What AMD's has besides: extended topology, SVM, memory encryption. */
static const struct kvm_cpuid_entry2 amd[] = {
	{ 0x0, 0, 0, 0x10, 0x68747541, 0x444d4163, 0x69746e65 },
	{ 0x1, 0, 0, 0x830f10, 0x800, 0xfed83203, 0x178bfbff },
	{ 0x7, 0, INDEX, 0, 0x219c91a9, 0x400004, 0 },
	{ 0xd, 0, INDEX, 0x207, 0x340, 0x380, 0 },
	{ 0xd, 1, INDEX, 0xf, 0, 0, 0 },
	{ 0xd, 2, INDEX, 0x100, 0x240, 0, 0 },
	{ 0x80000000, 0, 0, 0x80000021, 0, 0, 0 },
	{ 0x80000001, 0, 0, 0x830f10, 0, 0x4003f7, 0x2fd3fbff },
	{ 0x80000008, 0, 0, 0x3030, 0x1007200, 0x703f, 0 },
	{ 0x8000000a, 0, 0, 1, 8, 0, 0x1001 },
	{ 0x8000001d, 0, INDEX, 0x4121, 0x1c0003f, 0x3f, 0 },
	{ 0x8000001d, 3, INDEX, 0x1c163, 0x3c0003f, 0x3fff, 1 },
	{ 0x8000001e, 0, 0, 0, 0, 0, 0 },
	{ 0x8000001f, 0, 0, 0x1000f, 0x16f, 0x1fd, 0x1 },
};

static struct kvm_cpuid_entry2 out[X86_CPUID_MAX];
static size_t n_out;

static uint32_t reg_of(const struct kvm_cpuid_entry2 *c, int reg)
{
	const uint32_t regs[] = { c->eax, c->ebx, c->ecx, c->edx };

	return regs[reg];
}

static struct kvm_cpuid_entry2 *entry(struct kvm_cpuid_entry2 *e, size_t n, uint32_t leaf,
				      uint32_t index)
{
	for (size_t i = 0; i < n; i++)
		if (e[i].function == leaf && e[i].index == index)
			return &e[i];
	return NULL;
}

static void reg_set(struct kvm_cpuid_entry2 *c, int reg, uint32_t v)
{
	uint32_t *regs[] = { &c->eax, &c->ebx, &c->ecx, &c->edx };

	*regs[reg] = v;
}

/* A register of the plan; a leaf that is not there reads as 0. */
static uint32_t got(uint32_t leaf, uint32_t index, int reg)
{
	const struct kvm_cpuid_entry2 *c = entry(out, n_out, leaf, index);

	return c ? reg_of(c, reg) : 0;
}

static void plan(const struct kvm_cpuid_entry2 *host, size_t n, const char *model, uint32_t cpus)
{
	const struct x86_cpuid_spec spec = { .cpus = cpus, .model = model };
	struct err e = { 0 };

	if (x86_cpuid_plan(host, n, &spec, out, &n_out, &e) < 0)
		fail_msg("%s: %s", model, e.msg);
	assert_true(n_out <= X86_CPUID_MAX);
}

struct want {
	uint32_t leaf, index;
	int reg;
	uint32_t value;
};

static void want_all(const struct want *w, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (got(w[i].leaf, w[i].index, w[i].reg) != w[i].value)
			fail_msg("leaf %#x.%u register %d is %#x, not %#x", w[i].leaf, w[i].index,
				 w[i].reg, got(w[i].leaf, w[i].index, w[i].reg), w[i].value);
}

static void test_host(void **state)
{
	static const struct want want[] = {
		{ 0x0, 0, EAX, 0x1f },
		{ 0x1, 0, EAX, 0x50654 },
		{ 0x1, 0, EBX, 4 << 16 | 8 << 8 },
		{ 0x1, 0, ECX, (0x77faba3f & ~(B(5) | B(15) | B(27))) | B(21) | B(24) | B(31) },
		{ 0x1, 0, EDX, 0x1f8bfbff },
		{ 0x4, 0, EAX, 0x121 | 3U << 26 },
		{ 0x4, 2, EAX, 0x143 | 3U << 26 },
		{ 0x4, 3, EAX, 0x163 | 3U << 26 | 3 << 14 },
		{ 0x4, 4, EAX, 0 },
		{ 0x6, 0, EAX, 4 },
		{ 0x6, 0, ECX, 0 },
		{ 0x7, 0, EBX, 0xd19f4fbb | B(6) | B(13) },
		{ 0x7, 0, ECX, 0x18 },
		{ 0x7, 0, EDX, 0xbc000400 & ~B(24) }, /* no AMX: leaf 0xd has no tiles */
		{ 0x7, 1, EAX, 0x20 },
		{ 0xa, 0, EAX, 0 },
		{ 0xa, 0, EDX, 0 },
		{ 0xb, 0, EAX, 0 },
		{ 0xb, 0, EBX, 1 },
		{ 0xb, 0, ECX, 0x100 },
		{ 0xb, 1, EAX, 2 },
		{ 0xb, 1, EBX, 3 },
		{ 0xb, 1, ECX, 0x201 },
		{ 0xb, 2, EBX, 0 },
		{ 0xb, 2, ECX, 2 },
		{ 0x1f, 1, EBX, 3 },
		{ 0xd, 0, EAX, 0x2e7 },
		{ 0xd, 9, EAX, 8 },
		{ 0x40000000, 0, EBX, 0x4b4d564b },
		{ 0x40000001, 0, EAX, 0x1007efb },
		{ 0x80000002, 0, EAX, 0x73696163 }, /* "cais" */
		{ 0x80000004, 0, EDX, 0 },
		{ 0x80000007, 0, EDX, 0x100 },
		{ 0x80000008, 0, EAX, 0x302e },
		{ 0x80000008, 0, ECX, 2 | 2 << 12 },
	};

	(void)state;
	plan(intel, ARRAY_SIZE(intel), "host", 3);
	want_all(want, ARRAY_SIZE(want));
}

static void test_amd(void **state)
{
	static const struct want want[] = {
		{ 0x1, 0, EBX, 8 << 16 | 8 << 8 },
		{ 0xb, 1, EAX, 3 },
		{ 0x1f, 0, EBX, 0 }, /* its leaves end at 0x10 */
		{ 0x80000001, 0, ECX, 0x4003f7 & ~B(2) },
		{ 0x80000008, 0, ECX, 7 | 3 << 12 },
		{ 0x8000000a, 0, EDX, 0 },
		{ 0x8000001d, 0, EAX, 0x121 },
		{ 0x8000001d, 3, EAX, 0x163 | 7 << 14 },
		{ 0x8000001f, 0, EAX, 0 },
	};
	struct want last[] = { { 0x8000001e, 0, EAX, 7 },
			       { 0x8000001e, 0, EBX, 7 },
			       { 0x1, 0, EBX, 7U << 24 | 8 << 16 | 8 << 8 } };

	(void)state;
	plan(amd, ARRAY_SIZE(amd), "host", 8);
	want_all(want, ARRAY_SIZE(want));
	x86_cpuid_for_vcpu(out, n_out, 7, 8);
	want_all(last, ARRAY_SIZE(last));
}

static void test_per_vcpu(void **state)
{
	static const uint32_t counts[] = { 1, 2, 3, 64, X86_CPUS_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		plan(intel, ARRAY_SIZE(intel), "host", counts[i]);
		assert_int_equal(got(1, 0, EDX) >> 28 & 1, counts[i] > 1);
		for (uint32_t id = 0; id < counts[i]; id++) {
			x86_cpuid_for_vcpu(out, n_out, id, counts[i]);
			assert_int_equal(got(1, 0, EBX) >> 24, id);
			assert_true((got(1, 0, EBX) >> 16 & 0xff) >= counts[i]);
			for (uint32_t level = 0; level < 3; level++)
				assert_int_equal(got(0xb, level, EDX), id);
			assert_int_equal(id >> got(0xb, 1, EAX), 0);
			assert_int_equal(got(0xb, 1, EBX), counts[i]);
		}
	}
}

static const struct want v2_want[] = {
	{ 0x0, 0, EAX, 0xd },
	{ 0x1, 0, ECX, 0x81b82201 | B(21) },
	{ 0x1, 0, EDX, 0x178bfbfd },
	{ 0x5, 0, EAX, 0 },
	{ 0x6, 0, EAX, 4 },
	{ 0x7, 0, EAX, 0 },
	{ 0x7, 0, EBX, B(6) | B(13) },
	{ 0x7, 0, ECX, 0 },
	{ 0x7, 0, EDX, 0 },
	{ 0x7, 1, EAX, 0 },
	{ 0xb, 1, EBX, 2 },
	{ 0xd, 0, EAX, 0 },
	{ 0x1f, 1, EBX, 0 },
	{ 0x40000001, 0, EAX, 0x1007efb },
	{ 0x80000000, 0, EAX, 0x80000008 },
	{ 0x80000001, 0, ECX, 1 },
	{ 0x80000001, 0, EDX, 0x20100800 },
	{ 0x80000007, 0, EDX, 0 },
	{ 0x80000008, 0, EAX, 0x3027 },
	{ 0x80000008, 0, EBX, 0 },
};

static const struct want v3_want[] = {
	{ 0x1, 0, ECX, V3_ECX | B(21) | B(24) | B(31) },
	{ 0x7, 0, EBX, B(6) | B(13) | B(0) | B(3) | B(5) | B(7) | B(8) },
	{ 0xd, 0, EAX, 7 },
	{ 0xd, 0, EBX, 832 },
	{ 0xd, 0, ECX, 832 },
	{ 0xd, 1, EAX, 0 },
	{ 0xd, 2, EAX, 256 },
	{ 0xd, 2, EBX, 576 },
	{ 0xd, 5, EAX, 0 },
	{ 0x80000001, 0, ECX, 0x21 },
};

static void test_baselines(void **state)
{
	static struct kvm_cpuid_entry2 saved[X86_CPUID_MAX];
	struct err e;

	(void)state;
	plan(intel, ARRAY_SIZE(intel), "baseline-v2", 2);
	want_all(v2_want, ARRAY_SIZE(v2_want));
	plan(intel, ARRAY_SIZE(intel), "baseline-v3", 2);
	want_all(v3_want, ARRAY_SIZE(v3_want));
	plan(amd, ARRAY_SIZE(amd), "baseline-v3", 2);
	want_all(v3_want, ARRAY_SIZE(v3_want));
	assert_int_equal(got(0x80000000, 0, EAX), 0x80000008);
	assert_int_equal(got(0x8000001d, 0, EAX), 0);
	/* a plan of a plan is the same, so what was saved runs where it was made */
	memcpy(saved, out, sizeof(saved));
	assert_int_equal(x86_cpuid_check(saved, n_out, amd, ARRAY_SIZE(amd), &e), 0);
	plan(saved, n_out, "baseline-v3", 2);
	assert_memory_equal(saved, out, n_out * sizeof(*out));
}

/* One register of the Intel host changed: can the baselines be had? */
static void test_baseline_lacks(void **state)
{
	static const struct {
		uint32_t leaf, index;
		int reg;
		uint32_t cleared;
		int v2, v3;
		const char *text;
	} rows[] = {
		{ 0x1, 0, ECX, B(20), -ENOTSUP, -ENOTSUP, "SSE4.2" },
		{ 0x1, 0, ECX, B(0), -ENOTSUP, -ENOTSUP, "SSE3" },
		{ 0x1, 0, ECX, B(28), 0, -ENOTSUP, "AVX" },
		{ 0x1, 0, ECX, B(26), 0, -ENOTSUP, "XSAVE" },
		{ 0x1, 0, ECX, B(1) | B(25) | B(30), 0, 0, NULL }, /* PCLMUL, AES, RDRAND */
		{ 0x1, 0, ECX, B(21) | B(24) | B(31), 0, 0, NULL },
		{ 0x1, 0, EDX, B(1), 0, 0, NULL }, /* VME */
		{ 0x1, 0, EDX, B(26), -ENOTSUP, -ENOTSUP, "leaf 0x1 edx bit 26" },
		{ 0x7, 0, EBX, B(5), 0, -ENOTSUP, "AVX2" },
		{ 0x7, 0, EBX, B(7), 0, -ENOTSUP, "SMEP" },
		{ 0x7, 0, EBX, B(16) | B(20), 0, 0, NULL }, /* AVX-512, SMAP */
		{ 0xd, 0, EAX, B(2), 0, -ENOTSUP, "AVX state" },
		{ 0xd, 0, EAX, 0xe0, 0, 0, NULL },
		{ 0x80000001, 0, ECX, B(5), 0, -ENOTSUP, "LZCNT" },
		{ 0x80000001, 0, EDX, B(20), -ENOTSUP, -ENOTSUP, "NX" },
		{ 0x80000001, 0, EDX, B(29), -ENOTSUP, -ENOTSUP, "leaf 0x80000001 edx bit 29" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows) * 2; i++) {
		const bool is_v3 = i & 1;
		const int want = is_v3 ? rows[i / 2].v3 : rows[i / 2].v2;
		const struct x86_cpuid_spec spec = { 1, is_v3 ? "baseline-v3" : "baseline-v2" };
		struct kvm_cpuid_entry2 host[ARRAY_SIZE(intel)], *c;
		struct err e = { 0 };
		size_t n = 77;

		memcpy(host, intel, sizeof(host));
		c = entry(host, ARRAY_SIZE(host), rows[i / 2].leaf, rows[i / 2].index);
		reg_set(c, rows[i / 2].reg, reg_of(c, rows[i / 2].reg) & ~rows[i / 2].cleared);
		assert_int_equal(x86_cpuid_plan(host, ARRAY_SIZE(host), &spec, out, &n, &e), want);
		if (want && (n != 77 || !strstr(e.msg, rows[i / 2].text)))
			fail_msg("row %zu: %s", i / 2, e.msg);
	}
}

static void test_refused(void **state)
{
	static const struct kvm_cpuid_entry2 full[X86_CPUID_MAX + 1] = { { 0, 0, 0, 0x1f } };
	static const struct {
		size_t n;
		struct x86_cpuid_spec spec;
		int rc;
	} rows[] = {
		{ 1, { 1, "" }, -ENOENT },
		{ 1, { 1, "Host" }, -ENOENT },
		{ 1, { 1, "baseline-v4" }, -ENOENT },
		{ 1, { 1, "baseline-v2 " }, -ENOENT },
		{ 1, { 0, "host" }, -EINVAL },
		{ 1, { X86_CPUS_MAX + 1, "host" }, -EINVAL },
		{ X86_CPUID_MAX + 1, { 1, "host" }, -E2BIG },
		{ X86_CPUID_MAX, { 1, "host" }, -E2BIG }, /* no room for leaf 0xb */
		{ X86_CPUID_MAX - 5, { 1, "host" }, -E2BIG },
		{ X86_CPUID_MAX - 6, { 1, "host" }, 0 },
		{ 0, { 1, "host" }, 0 },
		{ 0, { 1, "baseline-v2" }, -ENOTSUP },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err e = { 0 };
		size_t n = 0;

		assert_int_equal(x86_cpuid_plan(full, rows[i].n, &rows[i].spec, out, &n, &e),
				 rows[i].rc);
		assert_int_equal(e.code, -rows[i].rc);
	}
}

/* A plan of the Intel host's, one register of it (or of a new entry) changed, on that host. */
static void test_check(void **state)
{
	static const struct {
		uint32_t leaf, index, flags;
		int reg;
		uint32_t value; /* set bits; all of the register for leaves 0 and 0x80000008 */
		int rc;
		const char *text;
	} rows[] = {
		{ 0x1, 0, 0, ECX, 0, 0, NULL },
		{ 0x1, 0, 0, ECX, B(21) | B(24) | B(27) | B(31), 0, NULL },
		{ 0x1, 0, 0, ECX, B(10), -ENOTSUP, "leaf 0x1.0 ecx bits 0x400" },
		{ 0x1, 0, 0, EDX, B(28), 0, NULL },
		{ 0x1, 0, 0, EDX, B(30), -ENOTSUP, "leaf 0x1.0 edx" },
		{ 0x1, 5, INDEX, ECX, B(10), 0, NULL }, /* nobody reads it */
		{ 0x1, 5, 0, ECX, B(10), -EINVAL, "0x1 has an index" },
		{ 0x7, 0, INDEX, EBX, B(6) | B(13), 0, NULL },
		{ 0x7, 0, INDEX, EBX, B(2), -ENOTSUP, "leaf 0x7.0 ebx bits 0x4" },
		{ 0x7, 0, INDEX, ECX, B(4), 0, NULL },
		{ 0x7, 0, INDEX, ECX, B(22), -ENOTSUP, "leaf 0x7.0 ecx" },
		{ 0x7, 1, INDEX, EAX, B(4), -ENOTSUP, "leaf 0x7.1 eax bits 0x10" },
		{ 0x7, 2, INDEX, EDX, B(0), -ENOTSUP, "leaf 0x7.2 edx" },
		{ 0xd, 0, INDEX, EAX, B(18), -ENOTSUP, "leaf 0xd.0 eax bits 0x40000" },
		{ 0xd, 1, INDEX, EAX, B(4), -ENOTSUP, "leaf 0xd.1 eax" },
		{ 0x40000001, 0, 0, EAX, B(8), -ENOTSUP, "leaf 0x40000001.0 eax bits 0x100" },
		{ 0x80000001, 0, 0, ECX, B(2), -ENOTSUP, "leaf 0x80000001.0 ecx" },
		{ 0x80000008, 0, 0, EAX, 0x302e, 0, NULL },
		{ 0x80000008, 0, 0, EAX, 0x3027, 0, NULL },
		{ 0x80000008, 0, 0, EAX, 0x302f, -ENOTSUP, "addresses of 47 and 48" },
		{ 0x80000008, 0, 0, EAX, 0x392e, -ENOTSUP, "addresses of 46 and 57" },
		{ 0x80000021, 0, 0, EAX, B(0), -ENOTSUP, "leaf 0x80000021.0 eax" },
		{ 0x0, 0, 0, EBX, 0x68747541, -ENOTSUP, "vendor" },
		{ 0x0, 0, 0, EAX, 0xffff, 0, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows) * 2; i++) {
		const bool is_twice = i & 1; /* a second entry of the leaf, behind the others */
		struct kvm_cpuid_entry2 *c;
		struct err e = { 0 };
		uint32_t was;
		int rc;

		plan(intel, ARRAY_SIZE(intel), "host", 2);
		c = entry(out, n_out, rows[i / 2].leaf, rows[i / 2].index);
		if (is_twice || !c) {
			out[n_out] = c ? *c : (struct kvm_cpuid_entry2){ 0 };
			c = &out[n_out++];
		}
		c->function = rows[i / 2].leaf;
		c->index = rows[i / 2].index;
		c->flags = rows[i / 2].flags;
		was = c->function == 0 || c->function == 0x80000008 ? 0
								    : reg_of(c, rows[i / 2].reg);
		reg_set(c, rows[i / 2].reg, was | rows[i / 2].value);
		rc = x86_cpuid_check(out, n_out, intel, ARRAY_SIZE(intel), &e);
		if (rc != rows[i / 2].rc || (rc && !strstr(e.msg, rows[i / 2].text)))
			fail_msg("row %zu: %d, %s", i / 2, rc, e.msg);
	}
}

static void test_check_refused(void **state)
{
	static struct kvm_cpuid_entry2 many[X86_CPUID_MAX + 1];
	struct err e;

	(void)state;
	memcpy(many, intel, sizeof(intel));
	assert_int_equal(x86_cpuid_check(many, ARRAY_SIZE(many), intel, ARRAY_SIZE(intel), &e),
			 -E2BIG);
	assert_int_equal(x86_cpuid_check(many, 0, intel, ARRAY_SIZE(intel), &e), -EINVAL);
	assert_int_equal(x86_cpuid_check(many + 1, 3, intel, ARRAY_SIZE(intel), &e), -EINVAL);
	assert_int_equal(x86_cpuid_check(many, 3, intel, 0, &e), -ENOTSUP);
	assert_int_equal(x86_cpuid_check(many, 3, amd, ARRAY_SIZE(amd), &e), -ENOTSUP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_host),           cmocka_unit_test(test_amd),
		cmocka_unit_test(test_per_vcpu),       cmocka_unit_test(test_baselines),
		cmocka_unit_test(test_baseline_lacks), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_check),          cmocka_unit_test(test_check_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
