/* SPDX-License-Identifier: MIT */
/*
 * fuzz_x86_loader.c - a hostile kernel file, then the same file as an initrd, into a small memory
 *
 * The memory lies between two pages of a pattern: nothing outside of it may be written.
 */
#include "fuzz_input.h"

#include <sys/mman.h>

#include "x86_boot.h"

#define MEMORY (32U << 20)
#define EDGE   4096U

static uint8_t area[EDGE + MEMORY + EDGE] __attribute__((aligned(4096)));

static void edges_check(void)
{
	for (size_t i = 0; i < EDGE; i++)
		MUST(area[i] == 0x5a && area[EDGE + MEMORY + i] == 0x5a);
}

static void kernel_check(const struct x86_kernel *k)
{
	MUST(k->start >= X86_HIGH_MEMORY && k->start < k->end && k->end <= MEMORY);
	MUST(k->entry >= k->start && k->entry < k->end);
	MUST(k->initrd_end <= X86_GAP_START && k->cmdline_max < X86_CMDLINE_MAX);
	MUST(k->setup_len <= sizeof(k->setup));
}

static void boot(const struct guest_memory *m, int fd, const struct x86_kernel *k)
{
	struct x86_boot_spec spec = { .kernel = k, .cmdline = "quiet" };
	struct x86_boot_regs regs;
	struct err e = { 0 };

	if (x86_initrd_load(m, fd, k, &spec.initrd, &spec.initrd_size, &e) == 0) {
		MUST(spec.initrd >= X86_HIGH_MEMORY);
		MUST(spec.initrd + spec.initrd_size <= MIN_OF(MEMORY, k->initrd_end));
		MUST(spec.initrd >= k->end || spec.initrd + spec.initrd_size <= k->start);
	}
	MUST(x86_boot_write(m, &spec, &regs, &e) == 0 || e.code == E2BIG);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const struct guest_memory m = { .n_slots = 1,
					.slots[0] = { .size = MEMORY, .hva = area + EDGE } };
	auto_fd fd = memfd_create("kernel", MFD_CLOEXEC);
	struct x86_kernel k;
	struct err e = { 0 };

	MUST(fd >= 0 && write(fd, data, len) == (ssize_t)len);
	memset(area, 0x5a, EDGE);
	memset(area + EDGE + MEMORY, 0x5a, EDGE);
	if (x86_kernel_load(&m, fd, &k, &e) == 0) {
		kernel_check(&k);
		boot(&m, fd, &k);
	} else {
		MUST(e.code && e.msg[0]);
	}
	edges_check();
	return 0;
}
