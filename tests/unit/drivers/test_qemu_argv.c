/* SPDX-License-Identifier: MIT */
/* test_qemu_argv.c - from a spec to a command line */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "qemu_argv.h"

static const struct vm_driver_info tcg = { .accel = "tcg", .tsc_khz = 2500000 };
static const struct vm_driver_info kvm = { .accel = "kvm", .tsc_khz = 2500000 };
static const struct qemu_extra extra = {
	.qmp_fd = 101, .idle_net_fd = 102, .zero_fd = 103, .concat_fd = 104
};

static struct vm_spec cold(void)
{
	return (struct vm_spec){
		.id = "0123456789abcdef",
		.cpus = 2,
		.mem_bytes = 512 << 20,
		.boot = VM_BOOT_COLD,
		.kernel_fd = 10,
		.initrd_fd = 11,
		.cmdline = "quiet",
		.state_fd = -1,
		.mem_fd = -1,
		.net_fd = -1,
		.agent_fd = 12,
		.console_fd = -1,
	};
}

/* All arguments, each in brackets. */
static void build(const struct vm_spec *s, const struct vm_driver_info *i, struct qemu_argv *a,
		  struct buf *text)
{
	struct err e = { 0 };

	buf_clear(text);
	if (qemu_argv_build(s, i, &extra, a, &e) < 0)
		fail_msg("%s", e.msg);
	assert_null(a->v[a->n]);
	for (unsigned k = 0; k < a->n; k++)
		assert_int_equal(buf_addf(text, "[%s]", a->v[k]), 0);
}

static void has(const struct buf *text, const char *what)
{
	if (!strstr(text->data, what))
		fail_msg("no %s in %s", what, text->data);
}

static void has_not(const struct buf *text, const char *what)
{
	if (strstr(text->data, what))
		fail_msg("%s in %s", what, text->data);
}

static int fd_after(const struct qemu_argv *a, const struct buf *text, const char *prefix)
{
	const char *p = strstr(text->data, prefix);
	long n;

	if (!p)
		fail_msg("no %s in %s", prefix, text->data);
	n = strtol(p + strlen(prefix), NULL, 10);
	assert_true(n >= 0 && (unsigned)n < a->n_fds);
	return a->fds[n];
}

static void cold_boot(void **state)
{
	struct vm_spec s = cold();
	struct qemu_argv a;
	auto_buf text = { 0 };

	(void)state;
	build(&s, &tcg, &a, &text);
	assert_string_equal(a.v[0], "qemu-system-x86_64");
	has(&text, "[-name][caisson-0123456789ab]");
	has(&text, "[-accel][tcg,tb-size=64]");
	has(&text, "[-m][512M][-smp][2]");
	has(&text, "memory-backend-ram,id=ram0,size=536870912]");
	has(&text, "[-append][quiet tsc_early_khz=2500000 tsc=reliable no_timer_check]");
	has(&text, "spawn=deny");
	has_not(&text, "-incoming");
	has_not(&text, "-netdev");
	has_not(&text, "[-serial]");
	assert_int_equal(fd_after(&a, &text, "[-kernel][/proc/self/fd/"), 10);
	assert_int_equal(fd_after(&a, &text, "[-initrd][/proc/self/fd/"), 11);
	assert_int_equal(fd_after(&a, &text, "socket,id=qmp,fd="), 101);
	assert_int_equal(fd_after(&a, &text, "socket,id=agent,fd="), 12);
	assert_int_equal(a.fds[0], -1);
	assert_int_equal(a.fds[2], -1); /* where its pipe goes */
	qemu_argv_done(&a);
	s.initrd_fd = -1;
	build(&s, &kvm, &a, &text);
	has(&text, "[-accel][kvm]");
	has(&text, "[-append][quiet]");
	has_not(&text, "-initrd");
	qemu_argv_done(&a);
	qemu_argv_done(&a);
}

static void restored(void **state)
{
	struct vm_spec s = cold();
	struct qemu_argv a;
	auto_buf text = { 0 };

	(void)state;
	s.boot = VM_BOOT_RESTORE;
	s.mem = VM_MEM_PRIVATE;
	s.mem_fd = 20;
	s.state_fd = 21;
	s.has_net = true;
	s.console_fd = 22;
	build(&s, &tcg, &a, &text);
	has_not(&text, "-kernel");
	has_not(&text, "-append");
	has(&text, ",share=off]");
	assert_int_equal(fd_after(&a, &text, "mem-path=/proc/self/fd/"), 20);
	assert_int_equal(fd_after(&a, &text, "[-incoming][fd:"), 21);
	assert_int_equal(fd_after(&a, &text, "addr.str="), 102); /* a network that goes nowhere */
	assert_int_equal(fd_after(&a, &text, "path=/dev/fdset/"), 22);
	qemu_argv_done(&a);
	s.net_fd = 23;
	s.mem = VM_MEM_SHARED;
	build(&s, &tcg, &a, &text);
	assert_int_equal(fd_after(&a, &text, "addr.str="), 23);
	has(&text, ",share=on]");
	qemu_argv_done(&a);
	s.net_is_tap = true;
	build(&s, &tcg, &a, &text);
	assert_int_equal(fd_after(&a, &text, "[tap,id=net0,vhost=off,fd="), 23);
	has_not(&text, "addr.str=");
	qemu_argv_done(&a);
}

/* Template and clone must have the same devices, in the same order. */
static void devices_do_not_depend_on_the_boot(void **state)
{
	struct vm_spec s = cold();
	auto_buf text = { 0 }, cold_devices = { 0 }, restored_devices = { 0 };
	struct buf *devices[] = { &cold_devices, &restored_devices };

	(void)state;
	s.has_net = true;
	s.n_disks = 2;
	s.disks[0] = (struct vm_disk){ .kind = VM_DISK_EMPTY, .fd = -1 };
	s.disks[1] = (struct vm_disk){ .kind = VM_DISK_RAW, .fd = 30, .size = 4096 };
	for (int k = 0; k < 2; k++) {
		struct qemu_argv a;

		build(&s, &tcg, &a, &text);
		for (unsigned i = 1; i < a.n; i++)
			if (strcmp(a.v[i - 1], "-device") == 0)
				assert_int_equal(buf_addf(devices[k], "%s ", a.v[i]), 0);
		qemu_argv_done(&a);
		s.boot = VM_BOOT_RESTORE;
		s.state_fd = 21;
		s.mem = VM_MEM_PRIVATE;
		s.mem_fd = 20;
	}
	assert_string_equal(cold_devices.data, restored_devices.data);
	has(&cold_devices,
	    "virtio-blk-device,drive=n0,serial=disk0,werror=report virtio-blk-device,drive=n1");
}

/* Only caisson-vmm shows a disk as memory. */
static void mapped_disk_is_refused(void **state)
{
	struct vm_spec s = cold();
	struct qemu_argv a;
	struct err e = { 0 };

	(void)state;
	s.n_disks = 1;
	s.disks[0] = (struct vm_disk){ .kind = VM_DISK_EMPTY, .is_readonly = true, .fd = -1 };
	s.disks[0].is_mapped = true;
	assert_int_equal(qemu_argv_build(&s, &tcg, &extra, &a, &e), -ENOTSUP);
}

static void concatenated_disk(void **state)
{
	static const struct vm_disk_part parts[] = { { 40, 0, 4096, 8192 },
						     { 41, 4 << 20, 0, 4096 } };
	struct vm_spec s = cold();
	struct qemu_argv a;
	auto_buf text = { 0 };
	uint64_t sectors = 0;

	(void)state;
	s.n_disks = 1;
	s.disks[0] = (struct vm_disk){ .kind = VM_DISK_CONCAT,
				       .is_readonly = true,
				       .fd = -1,
				       .size = (4 << 20) + 8192,
				       .parts = parts,
				       .n_parts = 2 };
	build(&s, &tcg, &a, &text);
	assert_int_equal(fd_after(&a, &text,
				  "driver=vmdk,node-name=n0,read-only=on,file.driver=file,"
				  "file.filename=/dev/fdset/"),
			 104);
	has(&a.concat, "createType=\"twoGbMaxExtentFlat\"");
	for (const char *p = a.concat.data; (p = strstr(p, "RW ")); p += 3)
		sectors += strtoull(p + 3, NULL, 10);
	assert_int_equal(sectors * 512, s.disks[0].size); /* gaps and tail are there too */
	has(&a.concat, "RW 16 FLAT");
	assert_int_equal(fd_after(&a, &a.concat, "RW 16 FLAT \"/dev/fdset/"), 40);
	has(&a.concat, "\" 8\n"); /* from the second block of its file */
	qemu_argv_done(&a);
}

static void shares(void **state)
{
	struct vm_spec s = cold();
	struct qemu_argv a;
	auto_buf text = { 0 };

	(void)state;
	s.mem = VM_MEM_SHARED;
	s.mem_fd = 20;
	s.n_shares = VM_SHARES_MAX;
	for (unsigned i = 0; i < s.n_shares; i++) {
		snprintf(s.shares[i].tag, sizeof(s.shares[i].tag), "mount%u", i);
		s.shares[i].sock_fd = 50 + (int)i;
	}
	build(&s, &tcg, &a, &text);
	has(&text, ",ioapic2=on"); /* more devices than one has lines for */
	has(&text, "[vhost-user-fs-device,chardev=fs15,tag=mount15]");
	assert_int_equal(fd_after(&a, &text, "socket,id=fs15,fd="), 65);
	qemu_argv_done(&a);
	s.n_shares = 1;
	build(&s, &tcg, &a, &text);
	has_not(&text, "ioapic2");
	qemu_argv_done(&a);
}

static void too_many_parts(void **state)
{
	static struct vm_disk_part parts[QEMU_FDS_MAX];
	struct vm_spec s = cold();
	struct qemu_argv a;
	struct err e = { 0 };

	(void)state;
	for (uint32_t i = 0; i < ARRAY_SIZE(parts); i++)
		parts[i] = (struct vm_disk_part){ 40, i * 4096ULL, 0, 4096 };
	s.n_disks = 1;
	s.disks[0] = (struct vm_disk){ .kind = VM_DISK_CONCAT,
				       .is_readonly = true,
				       .fd = -1,
				       .size = ARRAY_SIZE(parts) * 4096ULL,
				       .parts = parts,
				       .n_parts = ARRAY_SIZE(parts) };
	assert_true(qemu_argv_build(&s, &tcg, &extra, &a, &e) < 0);
	assert_non_null(strstr(e.msg, "command line of QEMU"));
	/* an image of as many layers as there may be is taken */
	s.disks[0].n_parts = VM_PARTS_MAX;
	s.disks[0].size = VM_PARTS_MAX * 4096ULL;
	if (qemu_argv_build(&s, &tcg, &extra, &a, &e) < 0)
		fail_msg("%u parts: %s", VM_PARTS_MAX, e.msg);
	qemu_argv_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cold_boot),
		cmocka_unit_test(restored),
		cmocka_unit_test(devices_do_not_depend_on_the_boot),
		cmocka_unit_test(mapped_disk_is_refused),
		cmocka_unit_test(concatenated_disk),
		cmocka_unit_test(shares),
		cmocka_unit_test(too_many_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
