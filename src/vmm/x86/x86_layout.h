/* SPDX-License-Identifier: MIT */
/*
 * x86_layout.h - where things are in an x86-64 guest's physical memory
 *
 * One table for loader, boot data, ACPI and devices, so that none of them can overlap another. All
 * addresses are guest-physical. A saved machine depends on them: do not change one lightly.
 */
#ifndef X86_LAYOUT_H
#define X86_LAYOUT_H

#include <errno.h>

#include "bytes.h"
#include "cleanup.h"
#include "guest_memory.h"

#define X86_PAGE 0x1000U

/* RAM below 640 KiB: what the kernel finds when it starts. It is free once the kernel has read it.
 */
#define X86_GDT         0x500U /* 4 entries of 8 bytes */
#define X86_IDT         0x520U /* 8 bytes of zeros */
#define X86_PVH_INFO    0x6000U
#define X86_PVH_MODULES 0x6040U
#define X86_PVH_MEMMAP  0x7000U /* PVH, or */
#define X86_ZERO_PAGE   0x7000U /* the Linux boot protocol */
#define X86_BOOT_STACK  0x8ff0U
#define X86_PML4        0x9000U
#define X86_PDPT        0xa000U
#define X86_PD          0xb000U /* 4 pages: the first 4 GiB map to themselves */
#define X86_PD_COUNT    4U
#define X86_CMDLINE     0x20000U
#define X86_CMDLINE_MAX 2048U /* with its NUL */

/* Reserved (e820 type 2): tables and pages that stay valid while the guest runs. */
#define X86_SYSTEM_START 0x9fc00U
#define X86_ACPI         0xa0000U /* DSDT, FADT, MADT, XSDT */
#define X86_ACPI_END     X86_VMGENID
#define X86_VMGENID      0xd0000U /* one page; the GUID is its first 16 bytes */
#define X86_RSDP         0xe0000U /* where the firmware scan looks */
#define X86_SYSTEM_END   0x100000U

#define X86_HIGH_MEMORY  0x100000U /* kernel and initrd are above this */

/* No RAM in the last GiB below 4 GiB. */
#define X86_GAP_START    0xc0000000ULL
#define X86_GAP_END      0x100000000ULL
#define X86_VIRTIO_BASE  0xc0001000U /* device i is at base + i * size, and has GSI first + i */
#define X86_VIRTIO_SIZE  0x1000U
#define X86_VIRTIO_GSI   5U
#define X86_VIRTIO_COUNT 18U /* the last has GSI 22 */
#define X86_GED_GSI      23U /* the last pin of the one I/O APIC */
#define X86_IOAPIC       0xfec00000U
#define X86_LAPIC        0xfee00000U
#define X86_KVM_TSS      0xfffbd000U /* 3 pages, for KVM_SET_TSS_ADDR */

/* I/O ports, and COM1's GSI. */
#define X86_COM1_PORT  0x3f8U
#define X86_COM1_GSI   4U
#define X86_PM_PORT    0x600U /* one byte: sleep control, sleep status, reset */

#define X86_CPUS_MAX   128U
#define X86_MEMORY_MIN (2ULL << 20)
/* Memory above the gap, plugged in later or not, must stay below X86_ROM. */
#define X86_MEMORY_MAX (256ULL << 30)
#define X86_AREA_ALIGN (2ULL << 30)

/* A mapped disk: from 384 GiB up, always there, so that it does not depend on how much memory a
 * machine has. Ends below 2^39, what the smallest of processors that are not very old address. */
#define X86_ROM           (384ULL << 30)
#define X86_ROM_MAX       (128ULL << 30)
#define X86_ROM_ADDR_BITS 39U

/* Set gpa, size and file_off of the slots of a machine with `bytes` of memory, nothing else.
 * -EINVAL: not a multiple of 4 KiB, or not in [X86_MEMORY_MIN, X86_MEMORY_MAX]. */
static inline must_check int x86_memory_layout(uint64_t bytes, struct guest_memory *m)
{
	uint64_t low = MIN_OF(bytes, X86_GAP_START);

	if (bytes < X86_MEMORY_MIN || bytes > X86_MEMORY_MAX || bytes % X86_PAGE)
		return -EINVAL;
	*m = (struct guest_memory){ .n_slots = 1, .slots[0] = { .size = low } };
	if (bytes > low) {
		m->slots[1] = (struct guest_slot){
			.gpa = X86_GAP_END,
			.size = bytes - low,
			.file_off = low,
		};
		m->n_slots = 2;
	}
	return 0;
}

/* Lay out an area in which the memory may grow by `bytes` beyond the slots, which are laid out:
 * behind all of them, with a gap, and aligned to the largest piece in which Linux adds memory. It
 * ends below 2^39, too. */
static inline void x86_area_layout(struct guest_memory *m, uint64_t bytes)
{
	const struct guest_slot *last = &m->slots[m->n_slots - 1];
	const uint64_t end = MAX_OF(last->gpa + last->size + 1, X86_GAP_END);

	m->area = (struct guest_slot){
		.gpa = align_up(end, X86_AREA_ALIGN),
		.size = align_up(bytes, X86_AREA_ALIGN),
	};
}

/* The end of the RAM that begins at 0; 0 when the memory is not laid out as above. */
static inline uint64_t x86_low_end(const struct guest_memory *m)
{
	if (!m->n_slots || m->slots[0].gpa || m->slots[0].size < X86_MEMORY_MIN)
		return 0;
	return MIN_OF(m->slots[0].size, X86_GAP_START);
}

#endif
