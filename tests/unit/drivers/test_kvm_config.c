/* SPDX-License-Identifier: MIT */
/* test_kvm_config.c - a spec as caisson-vmm is told it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "kvm_config.h"

static const struct vm_disk_part parts[] = { { 20, 0, 0, 4096 },
					     { 21, 2097152, 4096, 8192 },
					     { 20, 4194304, 0, 4096 } };

static struct vm_spec spec(void)
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
		.mem = VM_MEM_SHARED,
		.mem_fd = 13,
		.disks = { { .kind = VM_DISK_CONCAT,
			     .is_readonly = true,
			     .fd = -1,
			     .size = 4194304 + 4096,
			     .parts = parts,
			     .n_parts = 3 },
			   { .kind = VM_DISK_VHD,
			     .fd = -1,
			     .size = 8192,
			     .layers = { 14, 15 },
			     .n_layers = 2,
			     .limit = { 7, 8 } },
			   { .kind = VM_DISK_EMPTY, .fd = -1, .size = 512 },
			   { .kind = VM_DISK_RAW, .fd = 16, .size = 512 } },
		.n_disks = 4,
		.shares = { { .tag = "share0", .sock_fd = 17 } },
		.n_shares = 1,
		.has_net = true,
		.net_fd = 18,
		.has_vsock = true,
		.vsock_listen_fd = 20,
		.vsock_broker_fd = 21,
		.net_limit = { .bytes_per_s = 9 },
		.agent_fd = 12,
		.console_fd = 19,
	};
}

/* What is made passes caisson-vmm's own reading, and each descriptor is the one that was meant. */
static void round_trip(void **state)
{
	static struct kvm_config k;
	static struct vmm_config c;
	const struct vm_spec s = spec();
	auto_buf b = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(kvm_config_make(&s, 9, &k, &e), 0);
	assert_int_equal(vmm_config_put(&k.c, &b), 0);
	if (vmm_config_parse(b.data, b.len, (uint32_t)k.n_fds - VMM_FD_FIRST, &c, &e) < 0)
		fail_msg("%s", e.msg);
	assert_true(c.cpus == 2 && c.mem == VMM_MEM_SHARED && k.fds[c.mem_fd] == 13);
	assert_true(c.boot == VMM_BOOT_COLD && k.fds[c.kernel_fd] == 10 &&
		    k.fds[c.initrd_fd] == 11);
	assert_string_equal(c.cmdline, "quiet");
	assert_int_equal(c.n_disks, 4);
	assert_true(c.disks[0].kind == VMM_DISK_CONCAT && c.disks[0].n_parts == 3);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(k.fds[c.parts[i].fd], parts[i].fd);
	assert_int_equal(c.parts[0].fd, c.parts[2].fd); /* passed once */
	assert_true(c.disks[1].kind == VMM_DISK_VHD && c.disks[1].n_fds == 2);
	assert_true(k.fds[c.disks[1].fds[0]] == 14 && k.fds[c.disks[1].fds[1]] == 15);
	assert_true(c.disks[2].kind == VMM_DISK_EMPTY && c.disks[2].size == 0);
	assert_true(c.disks[3].kind == VMM_DISK_RAW && k.fds[c.disks[3].fds[0]] == 16);
	assert_true(k.fds[c.shares[0].sock_fd] == 17 && strcmp(c.shares[0].tag, "share0") == 0);
	assert_true(c.has_net && c.net == VMM_NET_STREAM && k.fds[c.net_fd] == 18);
	assert_true(c.has_vsock && k.fds[c.vsock_listen_fd] == 20 &&
		    k.fds[c.vsock_broker_fd] == 21);
	assert_true(k.fds[c.ctl_fd] == 9 && k.fds[c.agent_fd] == 12 && k.fds[c.console_fd] == 19);
	assert_true(c.mem_bytes == 512 << 20 && c.mem_max_bytes == 0);
	for (size_t i = 0; i < VMM_FD_FIRST; i++)
		assert_int_equal(k.fds[i], -1);
	assert_true(c.disks[1].limit.bytes_per_s == 7 && c.disks[1].limit.ops_per_s == 8);
	assert_true(c.net_limit.bytes_per_s == 9 && c.net_limit.bytes_burst == 0);
}

/* A template's device is of the kind that its clones need; they alone have the tap. */
static void tap(void **state)
{
	static struct kvm_config k;
	struct vm_spec s = spec();
	struct err e = { 0 };

	(void)state;
	s.net_is_tap = true;
	assert_int_equal(kvm_config_make(&s, 9, &k, &e), 0);
	assert_true(k.c.net == VMM_NET_TAP && k.fds[k.c.net_fd] == 18);
	s.net_fd = -1;
	assert_int_equal(kvm_config_make(&s, 9, &k, &e), 0);
	assert_true(k.c.has_net && k.c.net == VMM_NET_TAP && k.c.net_fd == -1);
}

/* A kernel that is to grow is told what to do with it; a template's has been told. */
static void grows(void **state)
{
	static struct kvm_config k;
	struct vm_spec s = spec();
	struct err e = { 0 };

	(void)state;
	s.mem_max_bytes = 1ULL << 30;
	assert_int_equal(kvm_config_make(&s, 9, &k, &e), 0);
	assert_true(k.c.mem_bytes == 512 << 20 && k.c.mem_max_bytes == 1ULL << 30);
	assert_string_equal(k.c.cmdline, "quiet memhp_default_state=online "
					 "memory_hotplug.online_policy=auto-movable");
	s.boot = VM_BOOT_RESTORE;
	assert_int_equal(kvm_config_make(&s, 9, &k, &e), 0);
	assert_true(k.c.mem_max_bytes == 1ULL << 30);
	assert_string_equal(k.c.cmdline, "");
}

static void restored(void **state)
{
	static struct kvm_config k;
	static struct vmm_config c;
	struct vm_spec s = spec();
	auto_buf b = { 0 };
	struct err e = { 0 };

	(void)state;
	s.boot = VM_BOOT_RESTORE;
	s.kernel_fd = s.initrd_fd = s.console_fd = s.net_fd = -1;
	s.vsock_listen_fd = s.vsock_broker_fd = -1;
	s.state_fd = 22;
	s.mem = VM_MEM_PRIVATE;
	s.n_shares = 0;
	assert_int_equal(kvm_config_make(&s, 9, &k, &e), 0);
	assert_int_equal(vmm_config_put(&k.c, &b), 0);
	if (vmm_config_parse(b.data, b.len, (uint32_t)k.n_fds - VMM_FD_FIRST, &c, &e) < 0)
		fail_msg("%s", e.msg);
	assert_true(c.boot == VMM_BOOT_RESTORE && k.fds[c.state_fd] == 22 && c.kernel_fd == -1);
	assert_true(c.mem == VMM_MEM_PRIVATE && c.net_fd == -1 && c.console_fd == -1);
	assert_true(c.has_vsock && c.vsock_listen_fd == -1 && c.vsock_broker_fd == -1);
	assert_string_equal(c.cmdline, "");
}

/* A template has slots for directories that nobody serves; a clone has the same, and servers. */
static void share_slots(void **state)
{
	static struct kvm_config k;
	static struct vmm_config c;
	struct err e = { 0 };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct vm_spec s = spec();
		auto_buf b = { 0 };

		s.n_shares = 2;
		s.shares[0].sock_fd = i ? 30 : -1;
		s.shares[1] = (struct vm_share){ "share1", -1 };
		if (i) {
			s.boot = VM_BOOT_RESTORE;
			s.state_fd = 22;
			s.mem = VM_MEM_PRIVATE;
		}
		assert_int_equal(kvm_config_make(&s, 9, &k, &e), 0);
		assert_int_equal(vmm_config_put(&k.c, &b), 0);
		if (vmm_config_parse(b.data, b.len, (uint32_t)k.n_fds - VMM_FD_FIRST, &c, &e) < 0)
			fail_msg("%s", e.msg);
		assert_true(c.n_shares == 2 && strcmp(c.shares[1].tag, "share1") == 0);
		assert_true(i ? k.fds[c.shares[0].sock_fd] == 30 : c.shares[0].sock_fd == -1);
		assert_int_equal(c.shares[1].sock_fd, -1);
	}
}

static void models(void **state)
{
	static const char *const t[][2] = { { NULL, "host" },
					    { "", "host" },
					    { "host", "host" },
					    { "baseline-v2", "baseline-v2" } };
	static struct kvm_config k;
	struct vm_spec s = spec();
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		s.cpu_model = t[i][0];
		assert_int_equal(kvm_config_make(&s, 9, &k, &e), 0);
		assert_string_equal(k.c.cpu_model, t[i][1]);
	}
}

/* Console, four disks, network, random numbers, balloon: ten are left. */
static void too_many(void **state)
{
	static struct kvm_config k;
	struct vm_spec s = spec();
	struct err e = { 0 };

	(void)state;
	for (uint32_t i = 0; i < VM_SHARES_MAX; i++) {
		snprintf(s.shares[i].tag, sizeof(s.shares[i].tag), "share%u", i);
		s.shares[i].sock_fd = -1;
	}
	s.has_vsock = false;
	s.vsock_listen_fd = s.vsock_broker_fd = -1;
	s.n_shares = 10;
	assert_int_equal(kvm_config_make(&s, 9, &k, &e), 0);
	s.n_shares = 11;
	assert_int_equal(kvm_config_make(&s, 9, &k, &e), -E2BIG);
	assert_non_null(strstr(e.msg, "room for 18 devices, and this machine has 19"));
	s.has_net = false;
	assert_int_equal(kvm_config_make(&s, 9, &k, &e), 0);
	s.has_vsock = true;
	assert_int_equal(kvm_config_make(&s, 9, &k, &e), -E2BIG);
	s.has_vsock = false;
	s.mem_max_bytes = 2 * s.mem_bytes;
	assert_int_equal(kvm_config_make(&s, 9, &k, &e), -E2BIG);
}

static void mapped(void **state)
{
	static struct kvm_config k;
	static struct vmm_config c;
	struct vm_spec s = spec();
	auto_buf b = { 0 };
	struct err e = { 0 };

	(void)state;
	s.disks[0].is_mapped = true;
	s.disks[0].size = vm_mapped_size(s.disks[0].size);
	assert_int_equal(kvm_config_make(&s, 9, &k, &e), 0);
	assert_int_equal(vmm_config_put(&k.c, &b), 0);
	if (vmm_config_parse(b.data, b.len, (uint32_t)k.n_fds - VMM_FD_FIRST, &c, &e) < 0)
		fail_msg("%s", e.msg);
	assert_true(c.disks[0].is_mapped && c.disks[0].size == 6 << 20);
	assert_true(c.disks[0].kind == VMM_DISK_CONCAT && c.disks[0].n_parts == 3);
	assert_false(c.disks[1].is_mapped || c.disks[2].is_mapped || c.disks[3].is_mapped);
}

static void refused(void **state)
{
	static struct kvm_config k;
	struct vm_spec s = spec();
	struct err e = { 0 };

	(void)state;
	s.disks[1].kind = VM_DISK_NBD;
	assert_int_equal(kvm_config_make(&s, 9, &k, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "NBD"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),  cmocka_unit_test(restored),
		cmocka_unit_test(share_slots), cmocka_unit_test(models),
		cmocka_unit_test(grows),       cmocka_unit_test(tap),
		cmocka_unit_test(too_many),    cmocka_unit_test(mapped),
		cmocka_unit_test(refused)
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
