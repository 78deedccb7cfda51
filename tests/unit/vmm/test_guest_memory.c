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
	char text[8] = "1234567";

	(void)state;
	two_slots(&m);
	assert_int_equal(guest_memory_map(&m, GUEST_MEMORY_ANON, -1, &e), 0);
	assert_int_equal(guest_write(&m, 64 * KIB - 8, "abcdefg", 8), 0);
	assert_int_equal(guest_read(&m, 64 * KIB - 8, text, 8), 0);
	assert_string_equal(text, "abcdefg");
	assert_int_equal(guest_read(&m, 64 * KIB - 7, text, 8), -EFAULT);
	assert_int_equal(guest_write(&m, 64 * KIB - 7, "1234567", 8), -EFAULT);
	assert_int_equal(guest_write(&m, 4 * GIB - 1, text, 1), -EFAULT);
	assert_string_equal(text, "abcdefg");
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spans),         cmocka_unit_test(test_copies),
		cmocka_unit_test(test_wrong_layouts), cmocka_unit_test(test_wrong_areas),
		cmocka_unit_test(test_no_file),       cmocka_unit_test(test_files),
		cmocka_unit_test(test_guards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
