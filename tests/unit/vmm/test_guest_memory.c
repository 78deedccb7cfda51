/* SPDX-License-Identifier: MIT */
/* test_guest_memory.c - which addresses of a guest's are memory, and which layouts can be */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>

#include "guest_memory.h"
#include "vmm_config.h"

#define KIB 1024ULL
#define GIB (1ULL << 30)

/* Memory as a machine has it: low, and from 4 GiB. */
static void two_slots(struct guest_memory *m)
{
	*m = (struct guest_memory){
		.slots = { { .gpa = 0, .size = 64 * KIB },
			   { .gpa = 4 * GIB, .size = 16 * KIB, .file_off = 64 * KIB } },
		.n_slots = 2
	};
}

static int file_of(size_t len)
{
	int fd = memfd_create("memory", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)len), 0);
	return fd;
}

static const struct {
	uint64_t gpa, len;
	int slot; /* -1: none */
} spans[] = {
	{ 0, 1, 0 },
	{ 0, 64 * KIB, 0 },
	{ 64 * KIB - 1, 1, 0 },
	{ 4 * GIB, 16 * KIB, 1 },
	{ 4 * GIB + 16 * KIB - 8, 8, 1 },
	{ 0, 0, -1 },
	{ 4 * GIB, 0, -1 },
	{ 0, 64 * KIB + 1, -1 },
	{ 64 * KIB - 1, 2, -1 },
	{ 64 * KIB, 1, -1 },
	{ 64 * KIB, 0, -1 },
	{ 2 * GIB, 8, -1 },
	{ 4 * GIB - 1, 1, -1 },
	{ 4 * GIB - 1, 2, -1 },
	{ 4 * GIB + 16 * KIB, 1, -1 },
	{ 4 * GIB + 16 * KIB - 8, 9, -1 },
	{ 4 * GIB + 16 * KIB - 8, UINT64_MAX, -1 },
	{ 4 * GIB, UINT64_MAX - 4 * GIB + 1, -1 },
	{ 8, UINT64_MAX, -1 },
	{ 8, UINT64_MAX - 7, -1 },
	{ UINT64_MAX, 1, -1 },
	{ UINT64_MAX, UINT64_MAX, -1 },
	{ 0, UINT64_MAX, -1 },
	{ 0, 4 * GIB + 16 * KIB, -1 }, /* from one slot to the other's end */
};

static void test_spans(void **state)
{
	struct guest_memory m;
	struct err e = { 0 };

	(void)state;
	two_slots(&m);
	assert_int_equal(guest_memory_map(&m, GUEST_MEMORY_ANON, -1, &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(spans); i++) {
		const uint8_t *p = guest_span(&m, spans[i].gpa, spans[i].len);
		const struct guest_slot *s = spans[i].slot < 0 ? NULL : &m.slots[spans[i].slot];

		if (p != (s ? s->hva + (spans[i].gpa - s->gpa) : NULL))
			fail_msg("row %zu", i);
	}
	guest_memory_unmap(&m);
	guest_memory_unmap(&m);
}

static void test_copies(void **state)
{
	struct guest_memory m;
	struct err e = { 0 };

	(void)state;
	two_slots(&m);
	assert_int_equal(guest_memory_map(&m, GUEST_MEMORY_ANON, -1, &e), 0);
	assert_int_equal(guest_write(&m, 64 * KIB - 8, "abcdefg", 8), 0);
	assert_int_equal(guest_write(&m, 64 * KIB - 7, "1234567", 8), -EFAULT);
	assert_int_equal(guest_write(&m, 4 * GIB - 1, "x", 1), -EFAULT);
	assert_memory_equal(guest_span(&m, 64 * KIB - 8, 8), "abcdefg", 8);
	guest_memory_unmap(&m);
}

static const struct {
	const char *what;
	struct guest_memory m;
	size_t file_len;
} wrong[] = {
	{ "no slots", { .n_slots = 0 }, 64 * KIB },
	{ "too many slots", { .n_slots = GUEST_SLOTS_MAX + 1 }, 64 * KIB },
	{ "empty", { { { 0, 0, 0, NULL } }, 1 }, 64 * KIB },
	{ "address inside a page", { { { 8, 4096, 0, NULL } }, 1 }, 64 * KIB },
	{ "half a page", { { { 0, 2048, 0, NULL } }, 1 }, 64 * KIB },
	{ "file offset inside a page", { { { 0, 4096, 1, NULL } }, 1 }, 64 * KIB },
	{ "past the last address", { { { 0 - 4096ULL, 8192, 0, NULL } }, 1 }, 64 * KIB },
	{ "up to the last address", { { { 0 - 4096ULL, 4096, 0, NULL } }, 1 }, 64 * KIB },
	{ "everything", { { { 0, 0 - 4096ULL, 0, NULL } }, 1 }, 64 * KIB },
	{ "overlap", { { { 0, 8192, 0, NULL }, { 4096, 4096, 8192, NULL } }, 2 }, 64 * KIB },
	{ "touch", { { { 0, 4096, 0, NULL }, { 4096, 4096, 4096, NULL } }, 2 }, 64 * KIB },
	{ "descend", { { { 8192, 4096, 0, NULL }, { 0, 4096, 4096, NULL } }, 2 }, 64 * KIB },
	{ "file too short", { { { 0, 8192, 0, NULL } }, 1 }, 8191 },
	{ "file too short for the second",
	  { { { 0, 4096, 0, NULL }, { 8192, 8192, 4096, NULL } }, 2 },
	  8192 },
	{ "offset past the file", { { { 0, 4096, 1 << 20, NULL } }, 1 }, 8192 },
	{ "offset and size wrap", { { { 0, 8192, 0 - 4096ULL, NULL } }, 1 }, 8192 },
	{ "empty file", { { { 0, 4096, 0, NULL } }, 1 }, 0 },
};

static void test_wrong_layouts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct guest_memory m = wrong[i].m;
		auto_fd fd = file_of(wrong[i].file_len);
		struct err e = { 0 };

		m.slots[3].hva = (uint8_t *)1; /* what was there is not looked at */
		if (guest_memory_map(&m, GUEST_MEMORY_PRIVATE, fd, &e) != -EINVAL || !e.msg[0])
			fail_msg("%s", wrong[i].what);
		for (uint32_t k = 0; k < GUEST_SLOTS_MAX; k++)
			assert_null(m.slots[k].hva);
		guest_memory_unmap(&m);
	}
}

static void test_wrong_areas(void **state)
{
	static const struct {
		const char *what;
		uint64_t gpa, size;
	} t[] = {
		{ "below the last slot", 2 * GIB, GUEST_BLOCK },
		{ "in the last slot", 4 * GIB, GUEST_BLOCK },
		{ "not at a block", 8 * GIB + 4096, GUEST_BLOCK },
		{ "half a block", 8 * GIB, GUEST_BLOCK / 2 },
		{ "too large", 8 * GIB, GUEST_BLOCK * (GUEST_BLOCKS_MAX + 1ULL) },
		{ "past the last address", 0 - GUEST_BLOCK, 2 * GUEST_BLOCK },
		{ "up to the last address", 0 - GUEST_BLOCK, GUEST_BLOCK },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct guest_memory m;
		struct err e = { 0 };

		two_slots(&m);
		m.area = (struct guest_slot){ .gpa = t[i].gpa, .size = t[i].size };
		if (guest_memory_map(&m, GUEST_MEMORY_ANON, -1, &e) != -EINVAL)
			fail_msg("%s", t[i].what);
		guest_memory_unmap(&m);
		assert_null(m.area.hva);
	}
	{ /* one that touches a slot, as a span could run over that border */
		struct guest_memory m = { .slots = { { .gpa = 0, .size = GUEST_BLOCK } },
					  .n_slots = 1,
					  .area = { .gpa = GUEST_BLOCK, .size = GUEST_BLOCK } };
		struct err e = { 0 };

		assert_int_equal(guest_memory_map(&m, GUEST_MEMORY_ANON, -1, &e), -EINVAL);
	}
}

static void test_no_file(void **state)
{
	struct guest_memory m;
	struct err e = { 0 };

	(void)state;
	two_slots(&m);
	assert_int_equal(guest_memory_map(&m, GUEST_MEMORY_SHARED, -1, &e), -EBADF);
	/* More than there are addresses: fails in the second slot, and leaves nothing. */
	m.slots[1].size = 1ULL << 62;
	assert_int_equal(guest_memory_map(&m, GUEST_MEMORY_ANON, -1, &e), -ENOMEM);
	assert_null(m.slots[0].hva);
	assert_null(m.slots[1].hva);
}

/* What is written reaches the file when it is shared, and only then. */
static void file_kind(enum guest_memory_kind kind, const char *want)
{
	auto_fd fd = file_of(80 * KIB);
	struct guest_memory m;
	struct err e = { 0 };
	char text[8] = "";

	two_slots(&m);
	assert_int_equal(pwrite(fd, "before", 7, (off_t)(68 * KIB)), 7);
	assert_int_equal(guest_memory_map(&m, kind, fd, &e), 0);
	assert_string_equal(guest_span(&m, 4 * GIB + 4 * KIB, 7), "before");
	assert_int_equal(guest_write(&m, 4 * GIB + 4 * KIB, "after!", 7), 0);
	assert_int_equal(pread(fd, text, 7, (off_t)(68 * KIB)), 7);
	assert_string_equal(text, want);
	guest_memory_unmap(&m);
}

static void test_files(void **state)
{
	(void)state;
	file_kind(GUEST_MEMORY_PRIVATE, "before");
	file_kind(GUEST_MEMORY_SHARED, "after!");
}

/* Before and after each slot is nothing: the kernel refuses to read there for us. */
static void test_guards(void **state)
{
	auto_fd fd = file_of(0);
	struct guest_memory m;
	struct err e = { 0 };

	(void)state;
	two_slots(&m);
	assert_int_equal(guest_memory_map(&m, GUEST_MEMORY_ANON, -1, &e), 0);
	for (uint32_t i = 0; i < m.n_slots; i++) {
		const struct guest_slot *s = &m.slots[i];

		assert_int_equal(pwrite(fd, s->hva - 1, 1, 0), -1);
		assert_int_equal(pwrite(fd, s->hva + s->size, 1, 0), -1);
		assert_int_equal(errno, EFAULT);
		assert_int_equal(pwrite(fd, s->hva + s->size - 1, 1, 0), 1);
	}
	guest_memory_unmap(&m);
}

/* ---- parts of files ---- */

#define MIB 1048576ULL
#define ROM (8 * GIB)

static int rom_map(struct guest_memory *m, const struct vmm_part *parts, uint32_t n)
{
	struct err e = { 0 };
	int rc;

	two_slots(m);
	assert_int_equal(guest_memory_map(m, GUEST_MEMORY_ANON, -1, &e), 0);
	rc = guest_rom_map(m, ROM, 4 * MIB, parts, n, &e);
	assert_true((rc < 0) == (m->rom.hva == NULL) && (rc < 0) == (e.msg[0] != '\0'));
	return rc;
}

static int file_marked(size_t len, off_t at, const char *mark)
{
	int fd = file_of(len);

	assert_int_equal(pwrite(fd, mark, strlen(mark), at), strlen(mark));
	return fd;
}

/* Two files at three places, the end of one inside a page; what is between them is zeros. */
static void test_parts(void **state)
{
	int one = file_marked(8 * KIB, 4 * KIB, "one"), two = file_marked(MIB + 3, MIB, "two");
	const struct vmm_part parts[] = { { one, 0, 0, 8 * KIB },
					  { two, 12 * KIB, 4 * KIB, MIB },
					  { one, 2 * MIB, 4 * KIB, 4 * KIB } };
	auto_free uint8_t *zeros = calloc(1, 4 * MIB);
	struct guest_memory m;
	const char *p;

	(void)state;
	assert_int_equal(rom_map(&m, parts, ARRAY_SIZE(parts)), 0);
	assert_int_equal(pwrite(one, "won", 3, 4 * KIB), 3); /* shared, not copied */
	close(one);
	close(two);
	p = guest_span_read(&m, ROM, 4 * MIB);
	assert_non_null(p);
	assert_memory_equal(p + 4 * KIB, "won", 4);
	assert_memory_equal(p + 8 * KIB + MIB, "two", 4); /* 12 KiB + 1 MiB - 4 KiB */
	assert_memory_equal(p + 8 * KIB + MIB + 3, zeros, 4 * KIB - 3);
	assert_memory_equal(p + 8 * KIB, zeros, 4 * KIB);
	assert_memory_equal(p + 12 * KIB + MIB, zeros, 2 * MIB - MIB - 12 * KIB);
	assert_memory_equal(p + 2 * MIB, "won", 4);
	assert_memory_equal(p + 2 * MIB + 4 * KIB, zeros, 2 * MIB - 4 * KIB);
	guest_memory_unmap(&m);
	guest_memory_unmap(&m);
}

static const struct {
	uint64_t gpa, len;
	bool is_there;
} rom_spans[] = {
	{ ROM, 1, true },
	{ ROM, 4 * MIB, true },
	{ ROM + 4 * MIB - 1, 1, true },
	{ ROM, 0, false },
	{ ROM, 4 * MIB + 1, false },
	{ ROM - 1, 2, false },
	{ ROM + 4 * MIB, 1, false },
	{ ROM + 1, UINT64_MAX, false },
	{ ROM, 0 - ROM, false },
	{ UINT64_MAX, 2, false },
	{ 4 * GIB, ROM, false },
};

/* To be read, and never given out for writing. */
static void test_parts_are_read_only(void **state)
{
	auto_fd zero = file_of(8);
	struct guest_memory m;

	(void)state;
	assert_int_equal(rom_map(&m, NULL, 0), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rom_spans); i++) {
		const uint8_t *p = guest_span_read(&m, rom_spans[i].gpa, rom_spans[i].len);

		if (p != (rom_spans[i].is_there ? m.rom.hva + (rom_spans[i].gpa - ROM) : NULL) ||
		    guest_span(&m, rom_spans[i].gpa, rom_spans[i].len))
			fail_msg("row %zu", i);
	}
	assert_ptr_equal(guest_span_read(&m, 4 * GIB, 8), guest_span(&m, 4 * GIB, 8));
	assert_int_equal(guest_write(&m, ROM, "x", 1), -EFAULT);
	assert_null(guest_span(&m, ROM, 1));
	/* nor can the kernel write there for us, nor read beside it */
	assert_int_equal(pread(zero, m.rom.hva, 1, 0), -1);
	assert_int_equal(pwrite(zero, m.rom.hva - 1, 1, 0), -1);
	assert_int_equal(pwrite(zero, m.rom.hva + 4 * MIB, 1, 0), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(pwrite(zero, m.rom.hva + 4 * MIB - 1, 1, 0), 1);
	guest_memory_unmap(&m);
	m.rom.size = 0; /* none */
	assert_null(guest_span_read(&m, ROM, 1));
}

static void test_wrong_parts(void **state)
{
	auto_fd file = file_of(8 * KIB + 1);
	const struct vmm_part t[] = {
		{ file, 0, 0, 16 * KIB },
		{ file, 0, 4 * KIB, 12 * KIB },
		{ file, 0, 12 * KIB, 4 * KIB },
		{ file, 0, 0 - 4 * KIB, 8 * KIB },
		{ file, 4 * MIB - 4 * KIB, 0, 8 * KIB },
		{ file, 0 - 4 * KIB, 0, 8 * KIB },
	};
	struct guest_memory m;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		if (rom_map(&m, &t[i], 1) != -EINVAL)
			fail_msg("row %zu", i);
		guest_memory_unmap(&m);
	}
	assert_int_equal(rom_map(&m, &(struct vmm_part){ file, 0, 0, 12 * KIB }, 1), 0);
	guest_memory_unmap(&m);
	assert_int_equal(rom_map(&m, &(struct vmm_part){ -1, 0, 0, 4 * KIB }, 1), -EBADF);
	guest_memory_unmap(&m);
}

static void test_wrong_places(void **state)
{
	static const struct {
		uint64_t gpa, size;
	} t[] = {
		{ ROM, 0 },
		{ ROM, MIB },
		{ ROM, 3 * MIB },
		{ ROM + MIB, 4 * MIB },
		{ ROM, VMM_MAPPED_MAX + 2 * MIB },
		{ 0 - 2 * MIB, 4 * MIB },
		{ 4 * GIB, 4 * MIB },
		{ 2 * GIB, 4 * MIB },
	};
	struct guest_memory m;
	struct err e = { 0 };

	(void)state;
	two_slots(&m);
	assert_int_equal(guest_memory_map(&m, GUEST_MEMORY_ANON, -1, &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		if (guest_rom_map(&m, t[i].gpa, t[i].size, NULL, 0, &e) != -EINVAL || m.rom.hva)
			fail_msg("row %zu", i);
	guest_memory_unmap(&m);
}

/* A file that is cut short later: the kernel says so, and nobody reads zeros. */
static void test_cut_short(void **state)
{
	auto_fd file = file_of(64 * KIB);
	auto_fd out = file_of(0);
	struct guest_memory m;

	(void)state;
	assert_int_equal(rom_map(&m, &(struct vmm_part){ file, 0, 0, 64 * KIB }, 1), 0);
	assert_int_equal(ftruncate(file, 4 * KIB), 0);
	assert_int_equal(pwrite(out, m.rom.hva, 4 * KIB, 0), 4 * KIB);
	assert_int_equal(pwrite(out, m.rom.hva + 4 * KIB, 4 * KIB, 0), -1);
	assert_int_equal(errno, EFAULT);
	guest_memory_unmap(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spans),
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_wrong_layouts),
		cmocka_unit_test(test_wrong_areas),
		cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_guards),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_parts_are_read_only),
		cmocka_unit_test(test_wrong_parts),
		cmocka_unit_test(test_wrong_places),
		cmocka_unit_test(test_cut_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
