/* SPDX-License-Identifier: MIT */
/* test_vm_spec.c - what a VMM may be asked to run */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "vm_spec.h"

static const struct vm_disk_part parts[] = { { 5, 0, 0, 4096 }, { 6, 8192, 4096, 8192 } };

static struct vm_spec good(void)
{
	return (struct vm_spec){
		.id = "abc-1",
		.cpus = 1,
		.mem_bytes = VM_MEM_MIN,
		.boot = VM_BOOT_COLD,
		.kernel_fd = 3,
		.initrd_fd = -1,
		.cmdline = "quiet",
		.state_fd = -1,
		.mem_fd = -1,
		.disks = { { .kind = VM_DISK_EMPTY, .fd = -1 },
			   { .kind = VM_DISK_RAW, .fd = 4, .size = 512 },
			   { .kind = VM_DISK_CONCAT,
			     .is_readonly = true,
			     .fd = -1,
			     .size = 16384,
			     .parts = parts,
			     .n_parts = 2 } },
		.n_disks = 3,
		.net_fd = -1,
		.agent_fd = 7,
		.console_fd = -1,
	};
}

static void expect(const struct vm_spec *s, const char *why)
{
	struct err e = { 0 };
	int rc = vm_spec_check(s, &e);

	if (why ? rc != -EINVAL || !strstr(e.msg, why) : rc < 0)
		fail_msg("%s: %d \"%s\"", why ? why : "good", rc, e.msg);
}

/* A good spec with a change, and what is said of it. */
#define BAD(change, why)                                                                           \
	do {                                                                                       \
		struct vm_spec s = good();                                                         \
                                                                                                   \
		change;                                                                            \
		expect(&s, why);                                                                   \
	} while (0)

static void numbers(void **state)
{
	(void)state;
	BAD((void)s, NULL);
	BAD(s.id[0] = '\0', "machine id");
	BAD(s.id[1] = '/', "machine id");
	BAD(s.id[1] = ',', "machine id");
	BAD(s.cpus = 0, "processors");
	BAD(s.cpu_model = "baseline-v2", NULL);
	BAD(s.cpu_model = "baseline-v4", "no processor model \"baseline-v4\"");
	BAD(s.cpus = VM_CPUS_MAX + 1, "processors");
	BAD(s.mem_bytes = VM_MEM_MIN - (2 << 20), "memory");
	BAD(s.mem_bytes = VM_MEM_MAX + (2 << 20), "memory");
	BAD(s.mem_bytes += 4096, "memory");
	BAD(s.mem_max_bytes = VM_MEM_MIN + (2 << 20), NULL);
	BAD(s.mem_max_bytes = VM_MEM_MAX, NULL);
	BAD(s.mem_max_bytes = VM_MEM_MIN, "grows");
	BAD(s.mem_max_bytes = 1, "grows");
	BAD(s.mem_max_bytes = VM_MEM_MIN + (1 << 20), "grows");
	BAD(s.mem_max_bytes = VM_MEM_MAX + (2 << 20), "grows");
	BAD(s.agent_fd = -1, "agent");
}

static void vhd_set(struct vm_spec *s, uint32_t n)
{
	s->disks[1].kind = VM_DISK_VHD;
	s->disks[1].n_layers = n;
}

static void disks(void **state)
{
	struct vm_disk_part p[2];

	(void)state;
	BAD(s.n_disks = VM_DISKS_MAX + 1, "more than");
	BAD(s.disks[1].size = 0, "disk 1: size");
	BAD(s.disks[1].size = 513, "disk 1: size");
	BAD(s.disks[1].fd = -1, "disk 1 has no descriptor");
	BAD(s.disks[1].kind = (enum vm_disk_kind)9, "disk 1: bad kind");
	BAD(vhd_set(&s, 1), NULL);
	BAD(vhd_set(&s, VM_LAYERS_MAX), NULL);
	BAD(vhd_set(&s, 0), "of 0 images");
	BAD(vhd_set(&s, VM_LAYERS_MAX + 1), "images");
	BAD((vhd_set(&s, 2), s.disks[1].layers[1] = -1), "image 1 is not open");
	BAD(s.disks[2].is_readonly = false, "disk 2: bad kind");
	BAD(s.disks[2].n_parts = 0, "number of parts");
	BAD(s.disks[2].n_parts = VM_PARTS_MAX + 1, "number of parts");
	BAD(s.disks[2].size = 8192, "part 1 does not fit");
#define PART(i, change)                                                                            \
	memcpy(p, parts, sizeof(p));                                                               \
	p[i] change;                                                                               \
	BAD(s.disks[2].parts = p, "does not fit")
	PART(0, .fd = -1);
	PART(0, .len = 0);
	PART(0, .len = 512);
	PART(0, .len = 12288);
	PART(0, .file_off = 512);
	PART(1, .disk_off = 0);
	PART(1, .disk_off = 8704);
	PART(1, .disk_off = UINT64_MAX - 4095);
	PART(1, .len = UINT64_MAX - 4095);
}

static void map(struct vm_spec *s, uint32_t slot, uint64_t size)
{
	s->disks[slot].is_mapped = s->disks[slot].is_readonly = true;
	s->disks[slot].size = size;
}

static void mapped(void **state)
{
	static const struct {
		uint64_t len, want;
	} t[] = { { 0, 4 << 20 },
		  { 1, 4 << 20 },
		  { 4 << 20, 4 << 20 },
		  { (4 << 20) + 1, 6 << 20 },
		  { (6 << 20) - 1, 6 << 20 },
		  { 1ULL << 40, 1ULL << 40 } };
	struct vm_spec big = good();
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		assert_int_equal(vm_mapped_size(t[i].len), t[i].want);
	BAD(map(&s, 0, 0), NULL);
	BAD(map(&s, 2, 4 << 20), NULL);
	BAD(map(&s, 2, VM_MAPPED_MAX), NULL);
	BAD(map(&s, 1, 4 << 20), "disk 1 cannot be mapped");
	BAD((map(&s, 2, 4 << 20), s.disks[2].is_readonly = false), "disk 2 cannot be mapped");
	BAD(map(&s, 2, 2 << 20), "disk 2: mapped size");
	BAD(map(&s, 2, 16384), "disk 2: mapped size");
	BAD(map(&s, 2, 5 << 20), "disk 2: mapped size");
	map(&big, 2, VM_MAPPED_MAX + VM_MAPPED_UNIT);
	assert_int_equal(vm_spec_check(&big, &e), -E2BIG);
	assert_non_null(strstr(e.msg, "--dax"));
}

static void boots(void **state)
{
	static char line[VM_CMDLINE_MAX + 2];

	(void)state;
	BAD((s.mem = VM_MEM_SHARED, s.mem_fd = 8), NULL);
	BAD((s.boot = VM_BOOT_RESTORE, s.state_fd = 9, s.mem = VM_MEM_PRIVATE, s.mem_fd = 8), NULL);
	BAD((s.boot = VM_BOOT_RESTORE, s.mem = VM_MEM_PRIVATE, s.mem_fd = 8), "device state");
	BAD((s.boot = VM_BOOT_RESTORE, s.state_fd = 9), "without memory");
	BAD((s.boot = VM_BOOT_RESTORE, s.state_fd = 9, s.mem = VM_MEM_PRIVATE), "no descriptor");
	BAD((s.mem = VM_MEM_PRIVATE, s.mem_fd = 8), "needs a template");
	BAD(s.mem = VM_MEM_SHARED, "no descriptor");
	BAD(s.kernel_fd = -1, "needs a kernel");
	BAD(s.cmdline = NULL, "needs a kernel");
	BAD(s.boot = (enum vm_boot)7, "needs a kernel");
	memset(line, 'x', sizeof(line) - 1);
	BAD(s.cmdline = line, "too long");
}

static void share_add(struct vm_spec *s, const char *tag)
{
	s->mem = VM_MEM_SHARED;
	s->mem_fd = 8;
	s->n_shares = 1;
	s->shares[0].sock_fd = 9;
	snprintf(s->shares[0].tag, sizeof(s->shares[0].tag), "%s", tag);
}

static void shares(void **state)
{
	(void)state;
	BAD(share_add(&s, "mount0"), NULL);
	BAD(share_add(&s, ""), "no tag");
	BAD(share_add(&s, "a,b"), "no tag");
	BAD((share_add(&s, "a"), s.shares[0].sock_fd = -1), NULL); /* nobody serves it */
	BAD((share_add(&s, "a"), s.shares[0].sock_fd = -2), "no socket");
	BAD((share_add(&s, "a"), s.mem = VM_MEM_ANON), NULL);
	BAD((share_add(&s, "a"), s.boot = VM_BOOT_RESTORE, s.state_fd = 9), NULL);
	BAD((share_add(&s, "a"), s.n_shares = VM_SHARES_MAX + 1), "more than");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers), cmocka_unit_test(disks),  cmocka_unit_test(mapped),
		cmocka_unit_test(boots),   cmocka_unit_test(shares),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
