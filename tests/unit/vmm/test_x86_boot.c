/* SPDX-License-Identifier: MIT */
/* test_x86_boot.c - memory and registers that a kernel starts with */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "bytes.h"
#include "x86_boot.h"

#define LOW (16U << 20)

static struct guest_memory mem;

static const struct x86_kernel pvh = {
	.kind = X86_KERNEL_PVH,
	.entry = 0x1000850,
	.cmdline_max = 2047,
};

static const struct x86_kernel linux64 = {
	.kind = X86_KERNEL_LINUX64,
	.entry = 0x1000200,
	.cmdline_max = 255,
	.setup_len = 0x268 - 0x1f1,
	.setup = { [0x1f1 - 0x1f1] = 27,
		   [0x1fe - 0x1f1] = 0x55,
		   [0x1ff - 0x1f1] = 0xaa,
		   [0x202 - 0x1f1] = 'H',
		   [0x211 - 0x1f1] = 0x40,
		   [0x260 - 0x1f1] = 0x12 },
};

static const uint8_t *at(uint64_t gpa)
{
	return guest_span(&mem, gpa, 1);
}

static uint64_t u64(uint64_t gpa)
{
	return get_le64(at(gpa));
}

static uint32_t u32(uint64_t gpa)
{
	return get_le32(at(gpa));
}

/* The memory map at `gpa`, of entries of `size` bytes. */
static void map_check(uint64_t gpa, uint32_t size)
{
	static const struct x86_e820 want[] = {
		{ 0, 0x9fc00, X86_E820_RAM },
		{ 0x9fc00, 0x60400, X86_E820_RESERVED },
		{ 0x100000, LOW - 0x100000, X86_E820_RAM },
		{ 0x100000000, 0x200000, X86_E820_RAM },
	};

	for (size_t i = 0; i < ARRAY_SIZE(want); i++, gpa += size) {
		assert_int_equal(u64(gpa), want[i].addr);
		assert_int_equal(u64(gpa + 8), want[i].size);
		assert_int_equal(u32(gpa + 16), want[i].type);
	}
}

static void test_pvh(void **state)
{
	const struct x86_boot_spec spec = { &pvh, "quiet", 0xff0000, 0x1234 };
	const struct x86_boot_spec alone = { &pvh, "", 0, 0 };
	struct x86_boot_regs regs;
	struct err e;

	(void)state;
	assert_int_equal(x86_boot_write(&mem, &spec, &regs, &e), 0);
	assert_int_equal(regs.rip, 0x1000850);
	assert_int_equal(regs.rbx, 0x6000);
	assert_int_equal(regs.rsi, 0);
	assert_int_equal(regs.rsp, 0x8ff0);
	assert_false(regs.is_long_mode);
	assert_int_equal(u32(0x6000), 0x336ec578);
	assert_int_equal(u32(0x6004), 1);
	assert_int_equal(u32(0x6008), 0);
	assert_int_equal(u32(0x600c), 1);
	assert_int_equal(u64(0x6010), 0x6040);
	assert_int_equal(u64(0x6018), 0x20000);
	assert_int_equal(u64(0x6020), 0xe0000);
	assert_int_equal(u64(0x6028), 0x7000);
	assert_int_equal(u32(0x6030), 4);
	assert_int_equal(u64(0x6040), 0xff0000);
	assert_int_equal(u64(0x6048), 0x1234);
	assert_int_equal(u64(0x6050), 0);
	assert_string_equal((const char *)at(0x20000), "quiet");
	map_check(0x7000, 24);
	assert_int_equal(u64(0x500), 0);
	assert_int_equal(u64(0x508), 0x00cf9b000000ffff);
	assert_int_equal(u64(0x510), 0x00cf93000000ffff);
	assert_int_equal(u64(0x518), 0x00008b0000000067);
	assert_int_equal(u64(0x520), 0);

	assert_int_equal(x86_boot_write(&mem, &alone, &regs, &e), 0);
	assert_int_equal(u32(0x600c), 0);
	assert_int_equal(u64(0x6010), 0);
	assert_int_equal(u64(0x6040), 0);
	assert_string_equal((const char *)at(0x20000), "");
}

static void test_linux64(void **state)
{
	const struct x86_boot_spec spec = { &linux64, "root=/dev/vda ro", 0xff0000, 0x1234 };
	struct x86_boot_regs regs;
	struct err e;

	(void)state;
	assert_int_equal(x86_boot_write(&mem, &spec, &regs, &e), 0);
	assert_int_equal(regs.rip, 0x1000200);
	assert_int_equal(regs.rsi, 0x7000);
	assert_int_equal(regs.rbx, 0);
	assert_int_equal(regs.rsp, 0x8ff0);
	assert_true(regs.is_long_mode);
	assert_int_equal(u64(0x7070), 0xe0000);
	assert_int_equal(*at(0x71e8), 4);
	assert_int_equal(*at(0x71f1), 27); /* from the kernel's file, as is 0x7260 */
	assert_int_equal(u32(0x71fe) & 0xffff, 0xaa55);
	assert_int_equal(*at(0x7202), 'H');
	assert_int_equal(*at(0x7210), 0xff);
	assert_int_equal(*at(0x7211), 0x41);
	assert_int_equal(u32(0x7218), 0xff0000);
	assert_int_equal(u32(0x721c), 0x1234);
	assert_int_equal(u32(0x7228), 0x20000);
	assert_int_equal(u32(0x7260), 0x12);
	assert_int_equal(u32(0x70c0) | u32(0x70c4) | u32(0x70c8), 0);
	assert_string_equal((const char *)at(0x20000), "root=/dev/vda ro");
	map_check(0x72d0, 20);
	assert_int_equal(u64(0x508), 0x00af9b000000ffff);
	assert_int_equal(u64(0x510), 0x00cf93000000ffff);
	assert_int_equal(u64(0x518), 0x008f8b000000ffff);
}

/* Walk the page tables as a CPU does; UINT64_MAX: not mapped, or not writable. */
static uint64_t walk(uint64_t va)
{
	uint64_t pml4 = u64(0x9000 + (va >> 39 & 511) * 8), pdpt, pd;

	if ((pml4 & 3) != 3)
		return UINT64_MAX;
	pdpt = u64((pml4 & ~0xfffULL) + (va >> 30 & 511) * 8);
	if ((pdpt & 0x83) != 3)
		return UINT64_MAX;
	pd = u64((pdpt & ~0xfffULL) + (va >> 21 & 511) * 8);
	return (pd & 0x83) == 0x83 ? (pd & ~0x1fffffULL) + (va & 0x1fffff) : UINT64_MAX;
}

static void test_page_tables(void **state)
{
	static const uint64_t mapped[] = { 0,          0x7000,     0x1fffff,   0x200000,
					   0x1000200,  0x3fffffff, 0x40000000, 0x7fffffff,
					   0xbfffffff, 0xffffffff };
	static const uint64_t not_mapped[] = { 0x100000000, 1ULL << 39, 1ULL << 47 };
	const struct x86_boot_spec spec = { &linux64, "", 0, 0 };
	struct x86_boot_regs regs;
	struct err e;

	(void)state;
	assert_int_equal(x86_boot_write(&mem, &spec, &regs, &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(mapped); i++)
		assert_int_equal(walk(mapped[i]), mapped[i]);
	for (size_t i = 0; i < ARRAY_SIZE(not_mapped); i++)
		assert_int_equal(walk(not_mapped[i]), UINT64_MAX);
}

static void test_cmdline_length(void **state)
{
	static const struct {
		const struct x86_kernel *k;
		size_t len;
		int rc;
	} rows[] = {
		{ &pvh, 2047, 0 },    { &pvh, 2048, -E2BIG },    { &pvh, 9999, -E2BIG },
		{ &linux64, 255, 0 }, { &linux64, 256, -E2BIG },
	};
	static char line[10000];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct x86_boot_spec spec = { rows[i].k, line, 0, 0 };
		struct x86_boot_regs regs;
		struct err e;

		memset(line, 'a', sizeof(line));
		line[rows[i].len] = '\0';
		memset(guest_span(&mem, 0x20000, 4096), 'z', 4096);
		assert_int_equal(x86_boot_write(&mem, &spec, &regs, &e), rows[i].rc);
		assert_int_equal(*at(0x20000), rows[i].rc ? 'z' : 'a');
		assert_int_equal(*at(0x20800), 'z');
		if (!rows[i].rc)
			assert_int_equal(*at(0x20000 + rows[i].len), 0);
	}
}

static void test_bad_memory(void **state)
{
	const struct x86_boot_spec spec = { &pvh, "", 0, 0 };
	struct guest_memory none = { 0 }, moved = mem, small = mem;
	struct x86_boot_regs regs;
	struct err e;

	(void)state;
	moved.slots[0].gpa = 0x1000;
	small.slots[0].size = 0x100000;
	assert_int_equal(x86_boot_write(&none, &spec, &regs, &e), -EINVAL);
	assert_int_equal(x86_boot_write(&moved, &spec, &regs, &e), -EINVAL);
	assert_int_equal(x86_boot_write(&small, &spec, &regs, &e), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pvh),         cmocka_unit_test(test_linux64),
		cmocka_unit_test(test_page_tables), cmocka_unit_test(test_cmdline_length),
		cmocka_unit_test(test_bad_memory),
	};
	struct err e;
	int rc;

	mem = (struct guest_memory){
		.n_slots = 2,
		.slots = { { .size = LOW }, { .gpa = X86_GAP_END, .size = 0x200000 } },
	};
	if (guest_memory_map(&mem, GUEST_MEMORY_ANON, -1, &e) < 0)
		return 1;
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	guest_memory_unmap(&mem);
	return rc;
}
