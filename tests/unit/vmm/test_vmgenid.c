/* SPDX-License-Identifier: MIT */
/* test_vmgenid.c - a new generation identifier */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/eventfd.h>

#include "cleanup.h"
#include "guest_memory.h"
#include "vmgenid.h"

#define MEM_SIZE 8192U

static void test_renew(void **state)
{
	static const struct {
		uint64_t gpa;
		int rc;
	} rows[] = {
		{ 0x10000, 0 },
		{ 0x10000 + MEM_SIZE - VMGENID_SIZE, 0 },
		{ 0x10000 + MEM_SIZE - VMGENID_SIZE + 1, -EFAULT },
		{ 0x10000 + MEM_SIZE, -EFAULT },
		{ 0xffff, -EFAULT },
		{ 0, -EFAULT },
		{ UINT64_MAX, -EFAULT },
		{ UINT64_MAX - VMGENID_SIZE + 1, -EFAULT },
	};
	uint8_t ram[MEM_SIZE] = { 0 };
	struct guest_memory mem = { .slots = { { .gpa = 0x10000, .size = MEM_SIZE, .hva = ram } },
				    .n_slots = 1 };
	auto_fd irq = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err e = { 0 };
		uint64_t n;

		assert_int_equal(vmgenid_renew(&mem, rows[i].gpa, irq, &e), rows[i].rc);
		assert_int_equal(read(irq, &n, sizeof(n)) == (ssize_t)sizeof(n), rows[i].rc == 0);
		assert_int_equal(e.msg[0] != '\0', rows[i].rc != 0);
	}
}

static void test_fresh(void **state)
{
	static const uint8_t zeros[VMGENID_SIZE];
	uint8_t ram[4096] = { 0 }, first[VMGENID_SIZE];
	struct guest_memory mem = { .slots = { { .size = sizeof(ram), .hva = ram } },
				    .n_slots = 1 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(vmgenid_renew(&mem, 64, -1, &e), 0);
	memcpy(first, ram + 64, sizeof(first));
	assert_memory_not_equal(first, zeros, sizeof(first));
	assert_int_equal(vmgenid_renew(&mem, 64, -1, &e), 0);
	assert_memory_not_equal(first, ram + 64, sizeof(first));
	assert_memory_equal(ram, zeros, sizeof(zeros));
	assert_memory_equal(ram + 80, zeros, sizeof(zeros));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_renew),
		cmocka_unit_test(test_fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
