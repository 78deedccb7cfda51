/* SPDX-License-Identifier: MIT */
/*
 * x86_boot.h - what a kernel finds in memory and registers when it starts
 *
 * Once per machine, after the kernel was loaded and before its first instruction.
 */
#ifndef X86_BOOT_H
#define X86_BOOT_H

#include <stdbool.h>

#include "x86_loader.h"

struct x86_boot_spec {
	const struct x86_kernel *kernel;
	const char *cmdline;
	uint64_t initrd, initrd_size; /* from x86_initrd_load(); size 0: none */
};

/*
 * Registers of the first vCPU. The rest follows from is_long_mode and x86_layout.h, in the order
 * of the GDT's selectors 8 (code), 0x10 (data, stack), 0x18 (TSS):
 *   false: CR0 = PE|ET, CR4 = EFER = 0, flat 32-bit segments, TSS limit 0x67;
 *   true:  CR0 = PE|ET|PG, CR4 = PAE, EFER = LME|LMA, CR3 = X86_PML4, 64-bit code segment.
 * Both: RFLAGS = 2, RBP = RSP, GDT limit X86_GDT_LIMIT, IDT limit X86_IDT_LIMIT, all else 0.
 */
struct x86_boot_regs {
	uint64_t rip, rsp, rbx, rsi;
	bool is_long_mode;
};

#define X86_GDT_LIMIT 31U
#define X86_IDT_LIMIT 7U

/* Write the boot data. -E2BIG: the command line is too long for us or the kernel; -EINVAL: the
 * memory is not laid out by x86_memory_layout(). */
must_check int x86_boot_write(const struct guest_memory *m, const struct x86_boot_spec *spec,
			      struct x86_boot_regs *ret, struct err *e);

/* The memory map; types as in ACPI's "System Address Map Interfaces". */
enum x86_e820_type { X86_E820_RAM = 1, X86_E820_RESERVED = 2 };

struct x86_e820 {
	uint64_t addr, size;
	enum x86_e820_type type;
};

#define X86_E820_MAX (GUEST_SLOTS_MAX + 2U)

/* Ascending, without overlaps; returns how many entries. Slot 0 is as x86_low_end() wants it. */
uint32_t x86_e820_table(const struct guest_memory *m, struct x86_e820 ret[X86_E820_MAX]);

#endif
