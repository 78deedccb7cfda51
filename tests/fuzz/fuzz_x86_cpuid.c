/* SPDX-License-Identifier: MIT */
/*
 * fuzz_x86_cpuid.c - saved CPUID entries against a host's
 *
 * The input is entries of 28 bytes; a byte in front says how many of them are the host's. What is
 * let through has no feature in leaf 7 that the host lacks, but those that are ours to give.
 */
#include "fuzz_input.h"

#include "x86_cpuid.h"

#include "bytes.h"

#define ENTRY_SIZE 28U
#define ENTRIES    256U

static struct kvm_cpuid_entry2 all[ENTRIES], out[X86_CPUID_MAX];

static size_t entries_read(const uint8_t *p, size_t len)
{
	size_t n = MIN_OF(len / ENTRY_SIZE, ENTRIES);

	for (size_t i = 0; i < n; i++, p += ENTRY_SIZE)
		all[i] = (struct kvm_cpuid_entry2){
			.function = get_le32(p),
			.index = get_le32(p + 4),
			.flags = get_le32(p + 8),
			.eax = get_le32(p + 12),
			.ebx = get_le32(p + 16),
			.ecx = get_le32(p + 20),
			.edx = get_le32(p + 24),
		};
	return n;
}

static void plan(size_t n_host)
{
	static const char *const models[] = { "host", "baseline-v2", "baseline-v3" };
	struct err e = { 0 };
	size_t n;

	for (size_t i = 0; i < ARRAY_SIZE(models); i++) {
		const struct x86_cpuid_spec spec = { .cpus = 3, .model = models[i] };

		if (x86_cpuid_plan(all, n_host, &spec, out, &n, &e) < 0)
			continue;
		MUST(n <= X86_CPUID_MAX);
		x86_cpuid_for_vcpu(out, n, 2, 3);
	}
}

static void passed_check(size_t n_host, size_t n)
{
	const struct kvm_cpuid_entry2 *host = NULL;

	for (size_t i = n_host; i-- > 0;)
		if (all[i].function == 7 && all[i].index == 0)
			host = &all[i];
	for (size_t i = n_host; i < n; i++)
		if (all[i].function == 7 && all[i].index == 0)
			MUST(!(all[i].ebx & ~(1U << 6 | 1U << 13) & ~(host ? host->ebx : 0)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct err e = { 0 };
	size_t n, n_host;

	if (!len)
		return 0;
	n = entries_read(data + 1, len - 1);
	n_host = MIN_OF(data[0], n);
	plan(n_host);
	if (x86_cpuid_check(all + n_host, n - n_host, all, n_host, &e) == 0)
		passed_check(n_host, n);
	else
		MUST(e.code && e.msg[0]);
	return 0;
}
