/* SPDX-License-Identifier: MIT */
/*
 * x86_boot.c - what a kernel finds in memory and registers when it starts
 *
 * Two protocols: PVH (Xen's docs/misc/pvh.pandoc, public/arch-x86/hvm/start_info.h) for a vmlinux
 * and Linux's own 64-bit entry (Documentation/arch/x86/boot.rst, zero-page.rst) for a bzImage.
 */
#include "x86_boot.h"

#include <assert.h>
#include <string.h>

#include "bytes.h"

#define PVH_MAGIC         0x336ec578U
#define PVH_INFO_SIZE     56U
#define PVH_MODULE_SIZE   32U
#define PVH_MEMMAP_SIZE   24U
#define E820_SIZE         20U
#define GDT_COUNT         4U

#define PTE_PRESENT_WRITE 3U
#define PTE_LARGE_PAGE    0x80U
#define PAGE_ENTRIES      512U

/* Offsets in the zero page. */
enum {
	ZP_ACPI_RSDP = 0x070,
	ZP_EXT_RAMDISK_IMAGE = 0x0c0,
	ZP_EXT_RAMDISK_SIZE = 0x0c4,
	ZP_E820_ENTRIES = 0x1e8,
	ZP_TYPE_OF_LOADER = 0x210,
	ZP_LOADFLAGS = 0x211,
	ZP_RAMDISK_IMAGE = 0x218,
	ZP_RAMDISK_SIZE = 0x21c,
	ZP_CMD_LINE_PTR = 0x228,
	ZP_E820_TABLE = 0x2d0,
};

#define LOADER_UNDEFINED 0xffU
#define LOADED_HIGH      0x01U

uint32_t x86_e820_table(const struct guest_memory *m, struct x86_e820 ret[X86_E820_MAX])
{
	uint32_t n = 0;

	ret[n++] = (struct x86_e820){ 0, X86_SYSTEM_START, X86_E820_RAM };
	ret[n++] = (struct x86_e820){ X86_SYSTEM_START, X86_SYSTEM_END - X86_SYSTEM_START,
				      X86_E820_RESERVED };
	ret[n++] = (struct x86_e820){ X86_HIGH_MEMORY, m->slots[0].size - X86_HIGH_MEMORY,
				      X86_E820_RAM };
	for (uint32_t i = 1; i < m->n_slots; i++)
		ret[n++] = (struct x86_e820){ m->slots[i].gpa, m->slots[i].size, X86_E820_RAM };
	return n;
}

static int put(const struct guest_memory *m, uint64_t gpa, const void *data, size_t len,
	       struct err *e)
{
	int rc = guest_write(m, gpa, data, len);

	return rc < 0 ? err_set(e, -rc, "boot data at %#llx", (unsigned long long)gpa) : 0;
}

/* A descriptor of base 0; `flags` are its bits 40 to 55, those of the limit left out. */
static uint64_t gdt_entry(uint16_t flags, uint32_t limit)
{
	return (uint64_t)(flags & 0xf0ffU) << 40 | (uint64_t)(limit & 0xf0000U) << 32 |
	       (limit & 0xffffU);
}

static int gdt_write(const struct guest_memory *m, bool is_long_mode, struct err *e)
{
	const uint64_t gdt[GDT_COUNT] = {
		0,
		gdt_entry(is_long_mode ? 0xa09b : 0xc09b, 0xfffff),
		gdt_entry(0xc093, 0xfffff),
		is_long_mode ? gdt_entry(0x808b, 0xfffff) : gdt_entry(0x008b, 0x67),
	};
	uint8_t raw[sizeof(gdt) + 8] = { 0 }; /* the IDT follows: one empty entry */

	static_assert(X86_GDT + sizeof(gdt) == X86_IDT && sizeof(gdt) == X86_GDT_LIMIT + 1,
		      "GDT and IDT are written as one");
	for (size_t i = 0; i < GDT_COUNT; i++)
		put_le64(raw + 8 * i, gdt[i]);
	return put(m, X86_GDT, raw, sizeof(raw), e);
}

/* Map the first 4 GiB to themselves, in pages of 2 MiB. */
static int page_tables_write(const struct guest_memory *m, struct err *e)
{
	uint8_t page[X86_PAGE] = { 0 };
	int rc;

	put_le64(page, X86_PDPT | PTE_PRESENT_WRITE);
	rc = put(m, X86_PML4, page, sizeof(page), e);
	for (uint32_t i = 0; i < X86_PD_COUNT; i++)
		put_le64(page + 8 * i, (X86_PD + i * X86_PAGE) | PTE_PRESENT_WRITE);
	if (rc == 0)
		rc = put(m, X86_PDPT, page, sizeof(page), e);
	for (uint32_t i = 0; rc == 0 && i < X86_PD_COUNT; i++) {
		for (uint64_t j = 0; j < PAGE_ENTRIES; j++)
			put_le64(page + 8 * j,
				 (i * PAGE_ENTRIES + j) << 21 | PTE_LARGE_PAGE | PTE_PRESENT_WRITE);
		rc = put(m, X86_PD + i * X86_PAGE, page, sizeof(page), e);
	}
	return rc;
}

static int pvh_memmap_write(const struct guest_memory *m, uint32_t *ret_n, struct err *e)
{
	uint8_t raw[X86_E820_MAX * PVH_MEMMAP_SIZE] = { 0 };
	struct x86_e820 map[X86_E820_MAX];
	uint32_t n = x86_e820_table(m, map);

	for (uint32_t i = 0; i < n; i++) {
		uint8_t *p = raw + i * PVH_MEMMAP_SIZE;

		put_le64(p, map[i].addr);
		put_le64(p + 8, map[i].size);
		put_le32(p + 16, map[i].type);
	}
	*ret_n = n;
	return put(m, X86_PVH_MEMMAP, raw, n * PVH_MEMMAP_SIZE, e);
}

static int pvh_write(const struct guest_memory *m, const struct x86_boot_spec *s, struct err *e)
{
	uint8_t info[PVH_INFO_SIZE] = { 0 }, module[PVH_MODULE_SIZE] = { 0 };
	uint32_t n_map = 0;
	int rc = pvh_memmap_write(m, &n_map, e);

	put_le32(info, PVH_MAGIC);
	put_le32(info + 4, 1); /* version: has a memory map */
	if (s->initrd_size) {
		put_le64(module, s->initrd);
		put_le64(module + 8, s->initrd_size);
		put_le32(info + 12, 1);
		put_le64(info + 16, X86_PVH_MODULES);
	}
	put_le64(info + 24, X86_CMDLINE);
	put_le64(info + 32, X86_RSDP);
	put_le64(info + 40, X86_PVH_MEMMAP);
	put_le32(info + 48, n_map);
	if (rc == 0)
		rc = put(m, X86_PVH_INFO, info, sizeof(info), e);
	return rc < 0 ? rc : put(m, X86_PVH_MODULES, module, sizeof(module), e);
}

static int zero_page_write(const struct guest_memory *m, const struct x86_boot_spec *s,
			   struct err *e)
{
	uint8_t zp[X86_PAGE] = { 0 };
	struct x86_e820 map[X86_E820_MAX];
	uint32_t n = x86_e820_table(m, map);

	memcpy(zp + X86_SETUP_START, s->kernel->setup, s->kernel->setup_len);
	put_le64(zp + ZP_ACPI_RSDP, X86_RSDP);
	zp[ZP_TYPE_OF_LOADER] = LOADER_UNDEFINED;
	zp[ZP_LOADFLAGS] |= LOADED_HIGH;
	put_le32(zp + ZP_RAMDISK_IMAGE, (uint32_t)s->initrd);
	put_le32(zp + ZP_RAMDISK_SIZE, (uint32_t)s->initrd_size);
	put_le32(zp + ZP_EXT_RAMDISK_IMAGE, (uint32_t)(s->initrd >> 32));
	put_le32(zp + ZP_EXT_RAMDISK_SIZE, (uint32_t)(s->initrd_size >> 32));
	put_le32(zp + ZP_CMD_LINE_PTR, X86_CMDLINE);
	zp[ZP_E820_ENTRIES] = (uint8_t)n;
	for (uint32_t i = 0; i < n; i++) {
		uint8_t *p = zp + ZP_E820_TABLE + i * E820_SIZE;

		put_le64(p, map[i].addr);
		put_le64(p + 8, map[i].size);
		put_le32(p + 16, map[i].type);
	}
	return put(m, X86_ZERO_PAGE, zp, sizeof(zp), e);
}

static int cmdline_write(const struct guest_memory *m, const struct x86_boot_spec *s, struct err *e)
{
	size_t len = strlen(s->cmdline);

	if (len > MIN_OF(s->kernel->cmdline_max, X86_CMDLINE_MAX - 1))
		return err_plain(e, E2BIG, "the kernel's command line is longer than %u bytes",
				 MIN_OF(s->kernel->cmdline_max, X86_CMDLINE_MAX - 1));
	return put(m, X86_CMDLINE, s->cmdline, len + 1, e);
}

int x86_boot_write(const struct guest_memory *m, const struct x86_boot_spec *spec,
		   struct x86_boot_regs *ret, struct err *e)
{
	bool is_pvh = spec->kernel->kind == X86_KERNEL_PVH;
	int rc;

	if (!x86_low_end(m))
		return err_plain(e, EINVAL, "the memory does not begin at 0 or is too small");
	rc = cmdline_write(m, spec, e);
	if (rc == 0)
		rc = gdt_write(m, !is_pvh, e);
	if (rc == 0)
		rc = is_pvh ? pvh_write(m, spec, e) : zero_page_write(m, spec, e);
	if (rc == 0 && !is_pvh)
		rc = page_tables_write(m, e);
	if (rc < 0)
		return rc;
	*ret = (struct x86_boot_regs){
		.rip = spec->kernel->entry,
		.rsp = X86_BOOT_STACK,
		.rbx = is_pvh ? X86_PVH_INFO : 0,
		.rsi = is_pvh ? 0 : X86_ZERO_PAGE,
		.is_long_mode = !is_pvh,
	};
	return 0;
}
