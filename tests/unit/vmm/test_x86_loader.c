/* SPDX-License-Identifier: MIT */
/* test_x86_loader.c - kernels that load, and files that must not */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <string.h>
#include <sys/mman.h>

#include "bytes.h"
#include "x86_loader.h"

#define MEMORY     (32U << 20)
#define FILE_SIZE  0x2000U
#define KERNEL_AT  0x1000000U
#define PHDR(i)    (0x40 + (i)*56)
#define NOTES_AT   0x300U
#define MAX_CHANGE 3

static struct guest_memory mem;
static uint8_t file[FILE_SIZE];

struct change {
	uint32_t off, size;
	uint64_t value;
};

struct row {
	const char *what;
	int rc;
	struct change
		change[MAX_CHANGE]; /* size 0: the file's length is `value`, if that is not 0 */
};

static void set(uint32_t off, uint32_t size, uint64_t v)
{
	uint8_t raw[8];

	put_le64(raw, v);
	memcpy(file + off, raw, size);
}

static void phdr_set(uint32_t i, const Elf64_Phdr *ph)
{
	memcpy(file + PHDR(i), ph, sizeof(*ph));
}

/* Two segments, the first with 0x2800 zeros behind it, and two notes. */
static void elf_make(void)
{
	const Elf64_Ehdr eh = {
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_phoff = 0x40,
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 3,
	};

	memset(file, 0, sizeof(file));
	memcpy(file, &eh, sizeof(eh));
	phdr_set(0, &(Elf64_Phdr){ .p_type = PT_LOAD,
				   .p_offset = 0x1000,
				   .p_filesz = 0x800,
				   .p_memsz = 0x3000,
				   .p_paddr = KERNEL_AT });
	phdr_set(1, &(Elf64_Phdr){ .p_type = PT_LOAD,
				   .p_offset = 0x1800,
				   .p_filesz = 0x800,
				   .p_memsz = 0x800,
				   .p_paddr = KERNEL_AT + 0x4000 });
	phdr_set(2, &(Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = NOTES_AT, .p_filesz = 40 });
	set(NOTES_AT, 4, 4); /* "Xen", 4 bytes, some other type */
	set(NOTES_AT + 4, 4, 3);
	set(NOTES_AT + 8, 4, 5);
	memcpy(file + NOTES_AT + 12, "Xen", 4);
	set(NOTES_AT + 20, 4, 4); /* the entry; its padding is behind the notes' end */
	set(NOTES_AT + 24, 4, 4);
	set(NOTES_AT + 28, 4, 18);
	memcpy(file + NOTES_AT + 32, "Xen", 4);
	set(NOTES_AT + 36, 4, KERNEL_AT + 0x100);
	memset(file + 0x1000, 0xaa, 0x800);
	memset(file + 0x1800, 0xbb, 0x800);
}

static void bzimage_make(void)
{
	memset(file, 0xcc, sizeof(file));
	memset(file + 0x1f1, 0, 0x20f);
	file[0x1f1] = 1;
	set(0x1fe, 2, 0xaa55);
	set(0x200, 2, 0x66eb); /* the header ends at 0x268 */
	memcpy(file + 0x202, "HdrS", 4);
	set(0x206, 2, 0x20f);
	file[0x211] = 1;
	set(0x22c, 4, 0x7fffffff);
	set(0x236, 2, 0x7f);
	set(0x238, 4, 2047);
	set(0x258, 8, KERNEL_AT);
	set(0x260, 4, 0x300000);
}

/* What the file says now goes to a memfd and through the loader. */
static int load(uint32_t len, struct x86_kernel *k, struct err *e)
{
	auto_fd fd = memfd_create("kernel", MFD_CLOEXEC);

	assert_int_equal(write(fd, file, len), len);
	return x86_kernel_load(&mem, fd, k, e);
}

static void rows_run(void (*make)(void), const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct x86_kernel k = { .entry = 77 };
		struct err e = { 0 };
		uint32_t len = FILE_SIZE;
		int rc;

		make();
		for (size_t j = 0; j < MAX_CHANGE; j++) {
			const struct change *c = &rows[i].change[j];

			if (c->size)
				set(c->off, c->size, c->value);
			else if (c->value)
				len = (uint32_t)c->value;
		}
		rc = load(len, &k, &e);
		if (rc != rows[i].rc)
			fail_msg("%s: %d, %s", rows[i].what, rc, e.msg);
		if (rc < 0 && (k.entry != 77 || e.code != -rc || !e.msg[0]))
			fail_msg("%s: no error, or a result with it", rows[i].what);
	}
}

static const struct row elf_rows[] = {
	{ "as it is", 0 },
	{ "entry of 8 bytes",
	  0,
	  { { PHDR(2) + 32, 8, 44 }, { NOTES_AT + 24, 4, 8 }, { NOTES_AT + 36, 8, KERNEL_AT } } },
	{ "an empty segment anywhere",
	  0,
	  { { PHDR(0) + 32, 8, 0 },
	    { PHDR(0) + 40, 8, 0 },
	    { NOTES_AT + 36, 4, KERNEL_AT + 0x4000 } } },
	{ "no bytes", -ENOEXEC, { { 0, 0, 1 } } },
	{ "magic only", -ENOEXEC, { { 0, 0, 4 } } },
	{ "header only", -ENOEXEC, { { 0, 0, 64 } } },
	{ "no magic", -ENOEXEC, { { 0, 4, 0 } } },
	{ "32 bits", -ENOEXEC, { { 4, 1, 1 } } },
	{ "big-endian", -ENOEXEC, { { 5, 1, 2 } } },
	{ "arm64", -ENOEXEC, { { 18, 2, 183 } } },
	{ "no program headers", -ENOEXEC, { { 56, 2, 0 } } },
	{ "too many of them", -ENOEXEC, { { 56, 2, 65 } } },
	{ "as many as can be", -ENOEXEC, { { 56, 2, 65535 } } },
	{ "of another size", -ENOEXEC, { { 54, 2, 32 } } },
	{ "of no size", -ENOEXEC, { { 54, 2, 0 } } },
	{ "they begin at the end", -ENOEXEC, { { 32, 8, FILE_SIZE } } },
	{ "they end behind it", -ENOEXEC, { { 32, 8, FILE_SIZE - 167 } } },
	{ "their offset wraps", -ENOEXEC, { { 32, 8, UINT64_MAX - 8 } } },
	{ "no segments", -ENOEXEC, { { PHDR(0), 4, 6 }, { PHDR(1), 4, 6 } } },
	{ "segment cut off", -ENOEXEC, { { 0, 0, FILE_SIZE - 1 } } },
	{ "segment's offset wraps", -ENOEXEC, { { PHDR(0) + 8, 8, UINT64_MAX } } },
	{ "more in the file than in memory", -ENOEXEC, { { PHDR(0) + 40, 8, 0x7ff } } },
	{ "in the file only", -ENOEXEC, { { PHDR(0) + 40, 8, 0 } } },
	{ "below 1 MiB", -ENOEXEC, { { PHDR(0) + 24, 8, 0xfffff } } },
	{ "at 0", -ENOEXEC, { { PHDR(0) + 24, 8, 0 } } },
	{ "in the gap", -ENOEXEC, { { PHDR(1) + 24, 8, 0xc0000000 } } },
	{ "above the gap", -ENOEXEC, { { PHDR(1) + 24, 8, 0x100000000 } } },
	{ "address wraps", -ENOEXEC, { { PHDR(1) + 24, 8, UINT64_MAX - 0x3ff } } },
	{ "size wraps", -ENOEXEC, { { PHDR(1) + 40, 8, UINT64_MAX } } },
	{ "behind the memory", -ENOMEM, { { PHDR(1) + 24, 8, MEMORY - 0x7ff } } },
	{ "up to its end", 0, { { PHDR(1) + 24, 8, MEMORY - 0x800 } } },
	{ "larger than the memory", -ENOMEM, { { PHDR(1) + 40, 8, MEMORY } } },
	{ "segments overlap", -ENOEXEC, { { PHDR(1) + 24, 8, KERNEL_AT + 0x2fff } } },
	{ "segments descend", -ENOEXEC, { { PHDR(1) + 24, 8, KERNEL_AT - 0x1000 } } },
	{ "no notes", -ENOEXEC, { { PHDR(2), 4, 6 } } },
	{ "notes of 0 bytes", -ENOEXEC, { { PHDR(2) + 32, 8, 0 } } },
	{ "notes too long", -ENOEXEC, { { PHDR(2) + 32, 8, 8193 } } },
	{ "notes behind the end", -ENOEXEC, { { PHDR(2) + 8, 8, FILE_SIZE - 39 } } },
	{ "notes' offset wraps", -ENOEXEC, { { PHDR(2) + 8, 8, UINT64_MAX - 20 } } },
	{ "note's name wraps", -ENOEXEC, { { NOTES_AT, 4, UINT32_MAX } } },
	{ "note's size wraps", -ENOEXEC, { { NOTES_AT + 4, 4, UINT32_MAX } } },
	{ "note of nothing, over and over",
	  -ENOEXEC,
	  { { NOTES_AT, 8, 0 }, { NOTES_AT + 12, 8, 0 }, { NOTES_AT + 24, 8, 0 } } },
	{ "entry cut off", -ENOEXEC, { { PHDR(2) + 32, 8, 39 } } },
	{ "entry of 6 bytes", -ENOEXEC, { { NOTES_AT + 24, 4, 6 } } },
	{ "of another owner", -ENOEXEC, { { NOTES_AT + 32, 4, 0x58 } } },
	{ "entry 0", -ENOEXEC, { { NOTES_AT + 36, 4, 0 } } },
	{ "entry below the kernel", -ENOEXEC, { { NOTES_AT + 36, 4, KERNEL_AT - 1 } } },
	{ "entry behind the kernel", -ENOEXEC, { { NOTES_AT + 36, 4, KERNEL_AT + 0x4800 } } },
};

static const struct row bzimage_rows[] = {
	{ "as it is", 0 },
	{ "4 sectors, if it says 0", 0, { { 0x1f1, 1, 0 } } },
	{ "the longest header", 0, { { 0x201, 1, 255 } } },
	{ "no boot flag", -ENOEXEC, { { 0x1fe, 2, 0 } } },
	{ "no magic", -ENOEXEC, { { 0x202, 4, 0 } } },
	{ "protocol 2.11", -ENOEXEC, { { 0x206, 2, 0x20b } } },
	{ "header too short", -ENOEXEC, { { 0x201, 1, 0x65 } } },
	{ "zImage", -ENOEXEC, { { 0x211, 1, 0 } } },
	{ "32-bit kernel", -ENOEXEC, { { 0x236, 2, 0x7e } } },
	{ "cut off in the header", -ENOEXEC, { { 0, 0, 0x28f } } },
	{ "no protected-mode part", -ENOEXEC, { { 0, 0, 0x400 } } },
	{ "ends at the entry", -ENOEXEC, { { 0, 0, 0x600 } } },
	{ "one byte of code", 0, { { 0, 0, 0x601 } } },
	{ "setup longer than the file", -ENOEXEC, { { 0x1f1, 1, 255 } } },
	{ "needs less than it has", -ENOEXEC, { { 0x260, 4, 0x1bff } } },
	{ "needs just that", 0, { { 0x260, 4, 0x1c00 } } },
	{ "needs nothing", -ENOEXEC, { { 0x260, 4, 0 } } },
	{ "needs 4 GiB", -ENOEXEC, { { 0x260, 4, UINT32_MAX } } },
	{ "needs all memory but a byte", 0, { { 0x260, 4, MEMORY - KERNEL_AT } } },
	{ "needs a byte more", -ENOMEM, { { 0x260, 4, MEMORY - KERNEL_AT + 1 } } },
	{ "at 0", -ENOEXEC, { { 0x258, 8, 0 } } },
	{ "below 1 MiB", -ENOEXEC, { { 0x258, 8, 0xff000 } } },
	{ "at 1 MiB", 0, { { 0x258, 8, 0x100000 } } },
	{ "not on a page", -ENOEXEC, { { 0x258, 8, KERNEL_AT + 1 } } },
	{ "in the gap", -ENOEXEC, { { 0x258, 8, 0xc0000000 } } },
	{ "address wraps", -ENOEXEC, { { 0x258, 8, UINT64_MAX - 0xfff } } },
	{ "behind the memory", -ENOMEM, { { 0x258, 8, MEMORY } } },
};

static void test_elf_rows(void **state)
{
	(void)state;
	rows_run(elf_make, elf_rows, ARRAY_SIZE(elf_rows));
}

static void test_bzimage_rows(void **state)
{
	(void)state;
	rows_run(bzimage_make, bzimage_rows, ARRAY_SIZE(bzimage_rows));
}

static void test_elf(void **state)
{
	struct x86_kernel k;
	struct err e;

	(void)state;
	elf_make();
	assert_int_equal(load(FILE_SIZE, &k, &e), 0);
	assert_int_equal(k.kind, X86_KERNEL_PVH);
	assert_int_equal(k.entry, KERNEL_AT + 0x100);
	assert_int_equal(k.start, KERNEL_AT);
	assert_int_equal(k.end, KERNEL_AT + 0x4800);
	assert_int_equal(k.setup_len, 0);
	assert_memory_equal(guest_span(&mem, KERNEL_AT, 0x800), file + 0x1000, 0x800);
	assert_memory_equal(guest_span(&mem, KERNEL_AT + 0x4000, 0x800), file + 0x1800, 0x800);
}

static void test_bzimage(void **state)
{
	struct x86_kernel k;
	struct err e;

	(void)state;
	bzimage_make();
	assert_int_equal(load(FILE_SIZE, &k, &e), 0);
	assert_int_equal(k.kind, X86_KERNEL_LINUX64);
	assert_int_equal(k.entry, KERNEL_AT + 0x200);
	assert_int_equal(k.start, KERNEL_AT);
	assert_int_equal(k.end, KERNEL_AT + 0x300000);
	assert_int_equal(k.initrd_end, 0x80000000);
	assert_int_equal(k.cmdline_max, 2047);
	assert_int_equal(k.setup_len, 0x268 - 0x1f1);
	assert_memory_equal(k.setup, file + 0x1f1, k.setup_len);
	assert_memory_equal(guest_span(&mem, KERNEL_AT, 0x1c00), file + 0x400, 0x1c00);

	file[0x201] = 255;
	set(0x22c, 4, UINT32_MAX);
	set(0x238, 4, 0xffffffff);
	assert_int_equal(load(FILE_SIZE, &k, &e), 0);
	assert_int_equal(k.setup_len, sizeof(k.setup));
	assert_int_equal(k.initrd_end, 0xc0000000);
	assert_int_equal(k.cmdline_max, 2047);
}

static void test_no_file(void **state)
{
	struct x86_kernel k;
	int fds[2];
	struct err e;

	(void)state;
	assert_int_equal(x86_kernel_load(&mem, -1, &k, &e), -EBADF);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(x86_kernel_load(&mem, fds[0], &k, &e), -EINVAL);
	close(fds[0]);
	close(fds[1]);
}

static void test_initrd(void **state)
{
	static const struct {
		const char *what;
		uint64_t size, start, end, top; /* of the initrd; of the kernel */
		int rc;
		uint64_t addr;
	} rows[] = {
		{ "one byte", 1, KERNEL_AT, KERNEL_AT + 1, X86_GAP_START, 0, MEMORY - 0x1000 },
		{ "one page", 4096, KERNEL_AT, KERNEL_AT + 1, X86_GAP_START, 0, MEMORY - 0x1000 },
		{ "more", 4097, KERNEL_AT, KERNEL_AT + 1, X86_GAP_START, 0, MEMORY - 0x2000 },
		{ "just above", 0xff0000, KERNEL_AT, 0x1010000, X86_GAP_START, 0, 0x1010000 },
		{ "in the kernel", 0xff0000, KERNEL_AT, 0x1010001, X86_GAP_START, -ENOMEM, 0 },
		{ "below it", 0x1000, KERNEL_AT, MEMORY, KERNEL_AT, 0, KERNEL_AT - 0x1000 },
		{ "limit inside a page", 0x1000, KERNEL_AT, MEMORY, 0x800001, 0, 0x7ff000 },
		{ "limit below 1 MiB", 0x1000, KERNEL_AT, MEMORY, 0xfffff, -ENOMEM, 0 },
		{ "limit 0", 0x1000, KERNEL_AT, MEMORY, 0, -ENOMEM, 0 },
		{ "all memory", MEMORY, KERNEL_AT, MEMORY, X86_GAP_START, -ENOMEM, 0 },
		{ "all above 1 MiB", MEMORY - 0x100000, 0, 0, X86_GAP_START, 0, 0x100000 },
		{ "a byte more", MEMORY - 0xfffff, 0, 0, X86_GAP_START, -ENOMEM, 0 },
		{ "terabytes", 1ULL << 42, KERNEL_AT, MEMORY, X86_GAP_START, -ENOMEM, 0 },
		{ "nothing", 0, KERNEL_AT, MEMORY, X86_GAP_START, -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct x86_kernel k = { .start = rows[i].start,
					.end = rows[i].end,
					.initrd_end = rows[i].top };
		auto_fd fd = memfd_create("initrd", MFD_CLOEXEC);
		uint64_t addr = 0, size = 0;
		struct err e = { 0 };

		assert_int_equal(ftruncate(fd, (off_t)rows[i].size), 0);
		if (rows[i].size)
			assert_int_equal(pwrite(fd, "x", 1, 0), 1);
		if (x86_initrd_load(&mem, fd, &k, &addr, &size, &e) != rows[i].rc)
			fail_msg("%s: %s", rows[i].what, e.msg);
		if (addr != rows[i].addr || size != (rows[i].rc ? 0 : rows[i].size))
			fail_msg("%s: at %#lx", rows[i].what, (unsigned long)addr);
		if (addr)
			assert_memory_equal(guest_span(&mem, addr, 1), "x", 1);
	}
}

static void test_layout(void **state)
{
	static const uint64_t bad[] = {
		0,
		1,
		4096,
		X86_MEMORY_MIN - 4096,
		X86_MEMORY_MIN + 1,
		X86_GAP_START + 512,
		X86_MEMORY_MAX + 4096,
		UINT64_MAX,
		UINT64_MAX - 4095,
	};
	struct guest_memory m = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(x86_memory_layout(bad[i], &m), -EINVAL);
	assert_int_equal(m.n_slots, 0);
	assert_int_equal(x86_low_end(&m), 0);
	assert_int_equal(x86_memory_layout(X86_GAP_START, &m), 0);
	assert_int_equal(m.n_slots, 1);
	assert_int_equal(x86_low_end(&m), X86_GAP_START);
	assert_int_equal(x86_memory_layout(X86_GAP_START + 4096, &m), 0);
	assert_int_equal(m.n_slots, 2);
	assert_int_equal(m.slots[0].size, X86_GAP_START);
	assert_int_equal(m.slots[1].gpa, 1ULL << 32);
	assert_int_equal(m.slots[1].size, 4096);
	assert_int_equal(m.slots[1].file_off, X86_GAP_START);
	m.slots[0].gpa = 4096;
	assert_int_equal(x86_low_end(&m), 0);
}

/* The area of growing memory: above 4 GiB and all slots, apart from them, below 2^39. */
static void test_area(void **state)
{
	static const struct {
		uint64_t mem, more, gpa, size;
	} t[] = {
		{ 64ULL << 20, 2ULL << 20, 4ULL << 30, 2ULL << 30 },
		{ X86_GAP_START, 2ULL << 30, 4ULL << 30, 2ULL << 30 },
		{ X86_GAP_START + 4096, 3ULL << 30, 6ULL << 30, 4ULL << 30 },
		{ 5ULL << 30, 1, 8ULL << 30, 2ULL << 30 }, /* its slot ends at 6 GiB */
		{ X86_MEMORY_MAX - 4096, 4096, 258ULL << 30, 2ULL << 30 },
		{ X86_MEMORY_MIN, X86_MEMORY_MAX - X86_MEMORY_MIN, 4ULL << 30, 256ULL << 30 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct guest_memory m = { 0 };

		assert_int_equal(x86_memory_layout(t[i].mem, &m), 0);
		assert_int_equal(m.area.size, 0);
		x86_area_layout(&m, t[i].more);
		if (m.area.gpa != t[i].gpa || m.area.size != t[i].size)
			fail_msg("row %zu: %llx %llx", i, (unsigned long long)m.area.gpa,
				 (unsigned long long)m.area.size);
		assert_true(m.area.size / GUEST_BLOCK <= GUEST_BLOCKS_MAX);
		assert_true(m.area.gpa + m.area.size <= 1ULL << 39);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_elf_rows), cmocka_unit_test(test_bzimage_rows),
		cmocka_unit_test(test_elf),      cmocka_unit_test(test_bzimage),
		cmocka_unit_test(test_no_file),  cmocka_unit_test(test_initrd),
		cmocka_unit_test(test_layout),   cmocka_unit_test(test_area),
	};
	struct err e;
	int rc;

	if (x86_memory_layout(MEMORY, &mem) < 0 ||
	    guest_memory_map(&mem, GUEST_MEMORY_ANON, -1, &e) < 0)
		return 1;
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	guest_memory_unmap(&mem);
	return rc;
}
