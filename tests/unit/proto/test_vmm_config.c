/* SPDX-License-Identifier: MIT */
/* test_vmm_config.c - configurations of the VMM, there and back, cut, wrong and changed at random
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "bytes.h"
#include "vmm_config.h"

#define MIB    (1ULL << 20)
#define N_FDS  40U
#define LENGTH 12U /* where the length is */

static struct vmm_config conf; /* what a test changes and encodes */

static void disks_fill(void)
{
	conf.disks[0] = (struct vmm_disk){
		.kind = VMM_DISK_CONCAT, .is_readonly = true, .size = 64 * MIB + 512, .n_parts = 3
	};
	conf.disks[1] =
		(struct vmm_disk){ .kind = VMM_DISK_RAW, .size = MIB, .fds = { 10 }, .n_fds = 1 };
	conf.disks[2] = (struct vmm_disk){
		.kind = VMM_DISK_VHD, .size = 3 * MIB, .fds = { 13, 12, 11 }, .n_fds = 3
	};
	conf.disks[3] = (struct vmm_disk){ .kind = VMM_DISK_EMPTY };
	conf.disks[4] = (struct vmm_disk){ .kind = VMM_DISK_CONCAT,
					   .is_readonly = true,
					   .size = 4096,
					   .first_part = 3,
					   .n_parts = 1 };
	conf.n_disks = 5;
	conf.parts[0] = (struct vmm_part){ 20, 0, 4096, 8192 };
	conf.parts[1] = (struct vmm_part){ 21, 8192, 0, MIB };
	conf.parts[2] = (struct vmm_part){ 20, 32 * MIB, 0, 32 * MIB };
	conf.parts[3] = (struct vmm_part){ 21, 0, 0, 4096 };
	conf.n_parts = 4;
}

static void base_fill(void)
{
	vmm_config_init(&conf);
	conf.cpus = 4;
	conf.mem_bytes = 512 * MIB;
	memcpy(conf.cpu_model, "baseline-v2", 12);
	disks_fill();
	conf.has_net = true;
	conf.net = VMM_NET_TAP;
	conf.net_fd = 14;
	memcpy(conf.mac, "\x02\x01\x02\x03\x04\x05", VMM_MAC_SIZE);
	conf.has_vsock = true;
	conf.vsock_listen_fd = 16;
	conf.vsock_broker_fd = 17;
	conf.net_limit = (struct vmm_limit){ .bytes_per_s = 1000000 };
	conf.disks[1].limit = (struct vmm_limit){ 1, 2, 3, UINT64_MAX };
	conf.ctl_fd = 4;
	conf.agent_fd = 5;
	conf.console_fd = 6;
	conf.mem_max_bytes = 514 * MIB;
}

static void cold_fill(void)
{
	base_fill();
	conf.mem = VMM_MEM_SHARED;
	conf.mem_fd = 7;
	conf.kernel_fd = 8;
	conf.initrd_fd = 9;
	memcpy(conf.cmdline, "console=hvc0 quiet", 19);
	conf.shares[0] = (struct vmm_share){ "home", 30 };
	conf.shares[1] = (struct vmm_share){ "m1", 4 + N_FDS - 1 };
	conf.n_shares = 2;
}

static void restore_fill(void)
{
	base_fill();
	conf.mem = VMM_MEM_PRIVATE;
	conf.mem_fd = 7;
	conf.boot = VMM_BOOT_RESTORE;
	conf.state_fd = 8;
}

static void none_fill(void) /* as little as there can be */
{
	vmm_config_init(&conf);
	conf.cpus = 1;
	conf.mem_bytes = VMM_MEM_MIN;
	conf.kernel_fd = 4;
	memcpy(conf.cmdline, "a", 2);
	memcpy(conf.cpu_model, "host", 5);
	conf.ctl_fd = 6;
	conf.agent_fd = 5;
}

static void same_check(const struct buf *b, const struct vmm_config *c)
{
	auto_buf again = { 0 };

	assert_int_equal(vmm_config_put(c, &again), 0);
	assert_int_equal(again.len, b->len);
	assert_memory_equal(again.data, b->data, b->len);
}

/* What `conf` becomes. */
static int there_and_back(uint32_t n_fds, struct vmm_config *ret, struct err *e)
{
	auto_buf b = { 0 };
	int rc;

	assert_int_equal(vmm_config_put(&conf, &b), 0);
	rc = vmm_config_parse(b.data, b.len, n_fds, ret, e);
	if (rc == 0)
		same_check(&b, ret);
	return rc;
}

static void cold_both_ways(void **state)
{
	struct vmm_config got;
	struct err e = { 0 };

	(void)state;
	cold_fill();
	if (there_and_back(N_FDS, &got, &e) < 0)
		fail_msg("%s", e.msg);
	assert_true(got.cpus == 4 && got.mem_bytes == 512 * MIB);
	assert_true(got.mem == VMM_MEM_SHARED && got.mem_fd == 7);
	assert_true(got.boot == VMM_BOOT_COLD && got.kernel_fd == 8 && got.initrd_fd == 9);
	assert_true(got.state_fd == -1);
	assert_string_equal(got.cmdline, "console=hvc0 quiet");
	assert_string_equal(got.cpu_model, "baseline-v2");
	assert_true(got.n_disks == 5 && got.n_parts == 4 && got.n_shares == 2);
	assert_true(got.disks[2].kind == VMM_DISK_VHD && got.disks[2].size == 3 * MIB);
	assert_true(got.disks[2].fds[0] == 13 && got.disks[2].fds[2] == 11);
	assert_true(got.disks[2].fds[3] == -1 && !got.disks[2].is_readonly);
	assert_true(got.disks[4].is_readonly && got.disks[4].first_part == 3);
	assert_true(got.parts[1].fd == 21 && got.parts[1].disk_off == 8192);
	assert_true(got.parts[0].file_off == 4096 && got.parts[2].len == 32 * MIB);
	assert_string_equal(got.shares[0].tag, "home");
	assert_true(got.shares[1].sock_fd == 43);
	assert_true(got.has_net && got.net == VMM_NET_TAP && got.net_fd == 14);
	assert_true(got.net_limit.bytes_per_s == 1000000 && got.net_limit.ops_per_s == 0);
	assert_true(got.disks[1].limit.bytes_per_s == 1 && got.disks[1].limit.ops_per_s == 2 &&
		    got.disks[1].limit.bytes_burst == 3 &&
		    got.disks[1].limit.ops_burst == UINT64_MAX);
	assert_memory_equal(got.mac, "\x02\x01\x02\x03\x04\x05", 6);
	assert_true(got.has_vsock && got.vsock_listen_fd == 16 && got.vsock_broker_fd == 17);
	assert_true(got.ctl_fd == 4 && got.agent_fd == 5 && got.console_fd == 6);
	assert_true(got.mem_max_bytes == 514 * MIB);
}

static void restore_both_ways(void **state)
{
	struct vmm_config got;
	struct err e = { 0 };

	(void)state;
	restore_fill();
	if (there_and_back(N_FDS, &got, &e) < 0)
		fail_msg("%s", e.msg);
	assert_true(got.boot == VMM_BOOT_RESTORE && got.state_fd == 8 && got.kernel_fd == -1);
	assert_true(got.mem == VMM_MEM_PRIVATE && got.cmdline[0] == '\0');
	conf.mem = VMM_MEM_SHARED;
	conf.net_fd = -1; /* nowhere yet */
	conf.console_fd = -1;
	assert_int_equal(there_and_back(N_FDS, &got, &e), 0);
}

static const uint8_t least[] = {
	'C', 'S', 'N', 'V', 'M', 'M', 1,   0,   1,   0,   0,   0,   153, 0, 0, 0, /* head */
	1,   0,   0,   0,                                                         /* cpus */
	0,   0,   0,   4,   0,   0,   0,   0,                                     /* memory */
	0,   0,   0,   0,   255, 255, 255, 255,                                   /* fresh */
	0,   0,   0,   0,   4,   0,   0,   0,                                     /* cold, kernel */
	255, 255, 255, 255, 255, 255, 255, 255,                          /* initrd, state */
	1,   0,   0,   0,   'a', 4,   0,   0,   0,   'h', 'o', 's', 't', /* texts */
	0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,        /* disks, parts, shares */
	0,   0,   0,   0,   0,   255, 255, 255, 255, 0,   0,   0,   0,   0, 0,    /* network */
	0,   255, 255, 255, 255, 255, 255, 255, 255,                              /* vsock */
	0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0, 0, 0, /* its limits */
	0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0, 0, 0,
	6,   0,   0,   0,   5,   0,   0,   0,   255, 255, 255, 255, /* ctl, agent, console */
	0,   0,   0,   0,   0,   0,   0,   0,                       /* growing memory */
};

/* The bytes themselves, as doc/format/vmm.md has them. */
static void least_is_these_bytes(void **state)
{
	auto_buf b = { 0 };
	struct vmm_config got;
	struct err e = { 0 };

	(void)state;
	none_fill();
	assert_int_equal(buf_add(&b, "before", 6), 0); /* is left alone */
	assert_int_equal(vmm_config_put(&conf, &b), 0);
	assert_int_equal(b.len, 6 + sizeof(least));
	assert_memory_equal(b.data, "before", 6);
	assert_memory_equal(b.data + 6, least, sizeof(least));
	if (vmm_config_parse(b.data + 6, b.len - 6, 3, &got, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(vmm_config_parse(b.data + 6, b.len - 6, 2, &got, &e), -EINVAL);
	assert_int_equal(vmm_config_parse(b.data + 6, b.len - 6, 0, &got, &e), -EINVAL);
	assert_int_equal(vmm_config_parse(b.data + 6, b.len - 6, VMM_FDS_MAX, &got, &e), 0);
	assert_int_equal(vmm_config_parse(b.data + 6, b.len - 6, VMM_FDS_MAX + 1, &got, &e),
			 -EINVAL);
}

/* As much as there can be fits, with a descriptor of its own for everything. */
static void most_fits(void **state)
{
	struct vmm_config got;
	struct err e = { 0 };
	int fd = 10;
	auto_buf b = { 0 };

	(void)state;
	cold_fill();
	conf.cpus = VMM_CPUS_MAX;
	conf.mem_bytes = VMM_MEM_MAX - VMM_MEM_UNIT;
	conf.mem_max_bytes = VMM_MEM_MAX;
	memset(conf.cmdline, 'c', sizeof(conf.cmdline) - 1);
	memset(conf.cpu_model, 'm', sizeof(conf.cpu_model) - 1);
	conf.n_disks = VMM_DISKS_MAX;
	for (uint32_t i = 0; i < VMM_DISKS_MAX - 1; i++) {
		conf.disks[i] = (struct vmm_disk){ .kind = VMM_DISK_VHD,
						   .size = VMM_DISK_SIZE_MAX,
						   .n_fds = VMM_LAYERS_MAX };
		for (uint32_t j = 0; j < VMM_LAYERS_MAX; j++)
			conf.disks[i].fds[j] = fd++;
	}
	conf.disks[VMM_DISKS_MAX - 1] = (struct vmm_disk){ .kind = VMM_DISK_CONCAT,
							   .is_readonly = true,
							   .size = VMM_PARTS_MAX * 4096ULL,
							   .n_parts = VMM_PARTS_MAX };
	conf.n_parts = VMM_PARTS_MAX;
	for (uint32_t i = 0; i < VMM_PARTS_MAX; i++)
		conf.parts[i] = (struct vmm_part){ fd++, i * 4096ULL, 0, 4096 };
	conf.n_shares = VMM_SHARES_MAX;
	for (uint32_t i = 0; i < VMM_SHARES_MAX; i++) {
		conf.shares[i].sock_fd = fd++;
		memset(conf.shares[i].tag, 'a' + (int)i, sizeof(conf.shares[i].tag) - 1);
	}
	conf.net_fd = fd++;
	conf.vsock_listen_fd = fd++;
	conf.vsock_broker_fd = fd++;
	assert_int_equal(vmm_config_put(&conf, &b), 0);
	assert_true(b.len <= VMM_CONFIG_SIZE_MAX);
	if (there_and_back((uint32_t)fd - VMM_FD_FIRST, &got, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(there_and_back((uint32_t)fd - VMM_FD_FIRST - 1, &got, &e), -EINVAL);
}

/* Each cut, in a block of its size so that a byte read past it is seen, and with the length told
 * right as well. */
static void each_cut(void **state)
{
	auto_buf b = { 0 };
	struct vmm_config got = { 0 };
	struct err e = { 0 };

	(void)state;
	cold_fill();
	assert_int_equal(vmm_config_put(&conf, &b), 0);
	for (size_t n = 0; n < b.len; n++) {
		auto_free uint8_t *p = malloc(n ? n : 1);

		assert_non_null(p);
		memcpy(p, b.data, n);
		assert_int_equal(vmm_config_parse(p, n, N_FDS, &got, &e), -EBADMSG);
		if (n >= LENGTH + 4)
			put_le32(p + LENGTH, (uint32_t)n);
		assert_int_equal(vmm_config_parse(p, n, N_FDS, &got, &e), -EBADMSG);
	}
	assert_int_equal(buf_add(&b, "\0", 1), 0);
	assert_int_equal(vmm_config_parse(b.data, b.len, N_FDS, &got, &e), -EBADMSG);
	put_le32(b.data + LENGTH, (uint32_t)b.len);
	assert_int_equal(vmm_config_parse(b.data, b.len, N_FDS, &got, &e), -EBADMSG);
	assert_non_null(strstr(e.msg, "after its end"));
	assert_int_equal(got.cpus, 0); /* nothing was given */
	assert_int_equal(vmm_config_parse(NULL, 0, N_FDS, &got, &e), -EBADMSG);
}

/* Bytes that no configuration is encoded to. */
static void bad_bytes(void **state)
{
	static const struct {
		uint32_t at;
		uint8_t value;
		const char *why;
	} t[] = {
		{ 0, 'c', "no configuration" },
		{ 6, 2, "no configuration" },
		{ 7, 1, "no configuration" },
		{ 8, 0, "version 0" },
		{ 8, 2, "version 2" },
		{ 11, 1, "version" },
		{ LENGTH, 152, "152 bytes" },
		{ LENGTH, 154, "154 bytes" },
		{ LENGTH + 3, 1, "here are" },
		{ 28, 3, "kind of memory" },
		{ 31, 128, "kind of memory" },
		{ 36, 2, "kind of boot" },
		{ 52, 255, "cut off" },
		{ 53, 8, "too long" },
		{ 55, 255, "too long" },
		{ 56, 0, "NUL" },
		{ 57, 32, "too long" },
		{ 58, 1, "too long" },
		{ 61, 0, "NUL" },
		{ 65, 9, "too many disks" },
		{ 68, 255, "too many disks" },
		{ 65, 1, "too many files" },
		{ 70, 3, "too many parts" },
		{ 69, 3, "cut off" },
		{ 73, 17, "shared directories" },
		{ 77, 2, "neither 0 nor 1" },
		{ 77, 255, "neither 0 nor 1" },
		{ 78, 2, "kind of network" },
		{ 92, 2, "neither 0 nor 1" },
		{ 117, 1, "burst of what has no limit" },
		{ 128, 255, "burst of what has no limit" },
	};
	struct vmm_config got;
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_buf b = { 0 };

		none_fill();
		assert_int_equal(vmm_config_put(&conf, &b), 0);
		b.data[t[i].at] = (char)t[i].value;
		if (vmm_config_parse(b.data, b.len, N_FDS, &got, &e) != -EBADMSG ||
		    !strstr(e.msg, t[i].why))
			fail_msg("row %zu: %s", i, e.msg);
	}
}

struct change {
	void *field;
	size_t size;
	uint64_t value;
};

#define SET(field, value)                                                                          \
	{                                                                                          \
		&conf.field, sizeof(conf.field), (uint64_t)(value)                                 \
	}

static void change_do(const struct change *c)
{
	uint8_t raw[8];

	if (!c->field)
		return;
	put_le64(raw, c->value);
	memcpy(c->field, raw, c->size);
}

struct rule {
	struct change first, second;
	int rc;
	const char *why;
};

static void rules_try(void (*fill)(void), const struct rule *t, size_t n)
{
	struct vmm_config got;

	for (size_t i = 0; i < n; i++) {
		struct err e = { 0 };
		int rc;

		fill();
		change_do(&t[i].first);
		change_do(&t[i].second);
		rc = there_and_back(N_FDS, &got, &e);
		if (rc != t[i].rc || !strstr(e.msg, t[i].why ? t[i].why : ""))
			fail_msg("row %zu (%s): %d %s", i, t[i].why, rc, e.msg);
	}
}

#define BAD -EINVAL
#define NO                                                                                         \
	{                                                                                          \
		NULL, 0, 0                                                                         \
	}

static void machine_rules(void **state)
{
	static const struct rule t[] = {
		{ SET(cpus, 1), NO, 0, NULL },
		{ SET(cpus, 0), NO, BAD, "0 processors" },
		{ SET(cpus, 33), NO, BAD, "33 processors" },
		{ SET(cpus, UINT32_MAX), NO, BAD, "processors" },
		{ SET(mem_bytes, VMM_MEM_MAX), SET(mem_max_bytes, 0), 0, NULL },
		{ SET(mem_max_bytes, 0), NO, 0, NULL },
		{ SET(mem_max_bytes, VMM_MEM_MAX), NO, 0, NULL },
		{ SET(mem_max_bytes, 1), NO, BAD, "grows to 1" },
		{ SET(mem_max_bytes, 512 * MIB), NO, BAD, "grows to" },
		{ SET(mem_max_bytes, 510 * MIB), NO, BAD, "grows to" },
		{ SET(mem_max_bytes, 515 * MIB), NO, BAD, "grows to" },
		{ SET(mem_max_bytes, VMM_MEM_MAX + VMM_MEM_UNIT), NO, BAD, "grows to" },
		{ SET(mem_max_bytes, UINT64_MAX), NO, BAD, "grows to" },
		{ SET(mem_bytes, 514 * MIB), NO, BAD, "grows to" },
		{ SET(mem_bytes, 0), NO, BAD, "memory of 0" },
		{ SET(mem_bytes, 62 * MIB), NO, BAD, "memory of" },
		{ SET(mem_bytes, 65 * MIB), NO, BAD, "memory of" },
		{ SET(mem_bytes, 512 * MIB + 1), NO, BAD, "memory of" },
		{ SET(mem_bytes, VMM_MEM_MAX + VMM_MEM_UNIT), NO, BAD, "memory of" },
		{ SET(mem_bytes, UINT64_MAX), NO, BAD, "memory of" },
		{ SET(cpu_model[0], 0), NO, BAD, "model" },
		{ SET(cpu_model[0], 'B'), NO, BAD, "model" },
		{ SET(cpu_model[3], ' '), NO, BAD, "model" },
		{ SET(cpu_model[3], '/'), NO, BAD, "model" },
		{ SET(cpu_model[3], 0x80), NO, BAD, "model" },
		{ SET(mem, VMM_MEM_ANON), SET(mem_fd, -1), 0, NULL },
		{ SET(mem, VMM_MEM_ANON), NO, BAD, "memory: descriptor 7 is for nothing" },
		{ SET(mem, VMM_MEM_PRIVATE), NO, BAD, "private memory" },
		{ SET(mem_fd, -1), NO, BAD, "memory: there is no descriptor -1" },
		{ SET(mem_fd, -2), NO, BAD, "memory: there is no descriptor -2" },
		{ SET(mem_fd, 3), NO, BAD, "memory: there is no descriptor 3" },
		{ SET(mem_fd, 4 + N_FDS), NO, BAD, "memory: there is no descriptor 44" },
		{ SET(mem_fd, INT32_MAX), NO, BAD, "memory: there is no" },
		{ SET(mem_fd, INT32_MIN), NO, BAD, "memory: there is no" },
		{ SET(kernel_fd, -1), NO, BAD, "kernel: there is no" },
		{ SET(kernel_fd, 0), NO, BAD, "kernel: there is no" },
		{ SET(kernel_fd, 7), NO, BAD, "kernel: descriptor 7 serves" },
		{ SET(initrd_fd, -1), NO, 0, NULL },
		{ SET(initrd_fd, -3), NO, BAD, "initrd: there is no" },
		{ SET(initrd_fd, 8), NO, BAD, "initrd: descriptor 8 serves" },
		{ SET(state_fd, 15), NO, BAD, "state: descriptor 15 is for nothing" },
		{ SET(cmdline[0], 0), NO, BAD, "command line" },
		{ SET(cmdline[3], '\n'), NO, BAD, "control byte" },
		{ SET(cmdline[3], 0x7f), NO, BAD, "control byte" },
		{ SET(cmdline[3], 0xc3), NO, 0, NULL },
		{ SET(ctl_fd, -1), NO, BAD, "control socket: there is no" },
		{ SET(ctl_fd, 5), NO, BAD, "descriptor 5 serves" },
		{ SET(ctl_fd, 3), NO, BAD, "control socket: there is no" },
		{ SET(agent_fd, -1), NO, BAD, "agent's socket: there is no" },
		{ SET(agent_fd, 44), NO, BAD, "agent's socket: there is no" },
		{ SET(agent_fd, 20), NO, BAD, "descriptor 20 serves" },
		{ SET(console_fd, -1), NO, 0, NULL },
		{ SET(console_fd, -2), NO, BAD, "console: there is no" },
		{ SET(console_fd, 4), NO, BAD, "console: descriptor 4 serves" },
	};

	(void)state;
	rules_try(cold_fill, t, ARRAY_SIZE(t));
}

static void restore_rules(void **state)
{
	static const struct rule t[] = {
		{ SET(mem, VMM_MEM_SHARED), NO, 0, NULL },
		{ SET(mem, VMM_MEM_ANON), NO, BAD, "has memory" },
		{ SET(mem, VMM_MEM_ANON), SET(mem_fd, -1), BAD, "has memory" },
		{ SET(mem_fd, -1), NO, BAD, "memory: there is no" },
		{ SET(state_fd, -1), NO, BAD, "state: there is no" },
		{ SET(state_fd, 7), NO, BAD, "state: descriptor 7 serves" },
		{ SET(kernel_fd, 15), NO, BAD, "kernel: descriptor 15 is for nothing" },
		{ SET(initrd_fd, 15), NO, BAD, "initrd: descriptor 15 is for nothing" },
		{ SET(cmdline[0], 'a'), NO, BAD, "command line" },
		{ SET(n_shares, 1), SET(shares[0].tag[0], 'a'), 0, NULL },
		{ SET(n_shares, 1), NO, BAD, "bad tag" },
		{ SET(boot, VMM_BOOT_COLD), NO, BAD, "private memory" },
	};

	(void)state;
	rules_try(restore_fill, t, ARRAY_SIZE(t));
}

static void disk_rules(void **state)
{
	static const struct rule t[] = {
		{ SET(n_disks, 4), SET(n_parts, 3), 0, NULL },
		{ SET(n_disks, 4), NO, BAD, "1 parts that are no disk's" },
		{ SET(n_disks, 0), NO, BAD, "4 parts that are no disk's" },
		{ SET(n_parts, 5), NO, BAD, "1 parts that are no disk's" },
		{ SET(n_parts, 3), NO, BAD, "disk 4: parts 3 and on, 1" },
		{ SET(n_parts, 0), NO, BAD, "disk 0: parts" },
		{ SET(disks[1].size, VMM_DISK_SIZE_MAX), NO, 0, NULL },
		{ SET(disks[1].size, 0), NO, BAD, "disk 1: 0 bytes" },
		{ SET(disks[1].size, 511), NO, BAD, "disk 1: 511 bytes" },
		{ SET(disks[1].size, 513), NO, BAD, "disk 1: 513 bytes" },
		{ SET(disks[1].size, VMM_DISK_SIZE_MAX + 512), NO, BAD, "bytes" },
		{ SET(disks[1].size, ~511ULL), NO, BAD, "bytes" },
		{ SET(disks[1].n_fds, 0), NO, BAD, "disk 1: 0 files" },
		{ SET(disks[1].n_fds, 2), SET(disks[1].fds[1], 15), BAD, "disk 1: 2 files" },
		{ SET(disks[1].fds[0], -1), NO, BAD, "disk 1: file: there is no descriptor -1" },
		{ SET(disks[1].fds[0], 44), NO, BAD, "disk 1: file: there is no descriptor 44" },
		{ SET(disks[1].fds[0], 7), NO, BAD, "disk 1: file: descriptor 7 serves" },
		{ SET(disks[1].fds[0], 20), NO, BAD, "disk 1: file: descriptor 20 serves" },
		{ SET(disks[1].n_parts, 1), NO, BAD, "disk 1: parts 0 and on, 1" },
		{ SET(disks[1].first_part, 3), NO, BAD, "disk 1: parts 3 and on, 0" },
		{ SET(disks[1].is_readonly, 1), NO, 0, NULL },
		{ SET(disks[1].limit.bytes_per_s, 1), SET(disks[1].limit.bytes_burst, 2), 0, NULL },
		{ SET(disks[1].limit.bytes_per_s, 0), NO, -EBADMSG, "burst" },
		{ SET(disks[3].limit.bytes_per_s, 1), SET(disks[3].limit.ops_burst, 2), -EBADMSG,
		  "burst" },
		{ SET(disks[2].n_fds, 1), NO, 0, NULL },
		{ SET(disks[2].n_fds, 0), NO, BAD, "disk 2: 0 files" },
		{ SET(disks[2].n_fds, 32), NO, BAD, "disk 2: file: there is no" },
		{ SET(disks[2].size, 0), NO, BAD, "disk 2: 0 bytes" },
		{ SET(disks[2].fds[2], 13), NO, BAD, "disk 2: file: descriptor 13 serves" },
		{ SET(disks[2].fds[1], 10), NO, BAD, "disk 2: file: descriptor 10 serves" },
		{ SET(disks[2].first_part, 1), NO, BAD, "disk 2: parts" },
		{ SET(disks[3].is_readonly, 1), NO, 0, NULL },
		{ SET(disks[3].size, 512), NO, BAD, "disk 3: 512 bytes" },
		{ SET(disks[3].n_fds, 1), SET(disks[3].fds[0], 15), BAD, "disk 3: 1 files" },
		{ SET(disks[3].n_parts, 1), NO, BAD, "disk 3: parts" },
		{ SET(disks[3].kind, VMM_DISK_RAW), NO, BAD, "disk 3: 0 files" },
		{ SET(disks[2].kind, VMM_DISK_EMPTY), NO, BAD, "disk 2: 3 files" },
		{ SET(disks[2].kind, VMM_DISK_RAW), NO, BAD, "disk 2: 3 files" },
		{ SET(disks[2].kind, VMM_DISK_CONCAT), NO, BAD, "disk 2: 3 files" },
	};

	(void)state;
	rules_try(cold_fill, t, ARRAY_SIZE(t));
}

/* The first disk becomes the mapped one: as much as it had parts for. */
static void mapped_fill(void)
{
	cold_fill();
	conf.disks[0].is_mapped = true;
	conf.disks[0].size = 64 * MIB;
}

static void mapped_rules(void **state)
{
	static const struct rule t[] = {
		{ NO, NO, 0, NULL },
		{ SET(disks[0].size, VMM_MAPPED_MAX), NO, 0, NULL },
		{ SET(disks[0].size, VMM_MAPPED_MAX + 2 * MIB), NO, BAD, "disk 0: mapped, of" },
		{ SET(disks[0].size, VMM_DISK_SIZE_MAX & ~(2 * MIB - 1)), NO, BAD, "mapped, of" },
		{ SET(disks[0].size, 65 * MIB), NO, BAD, "disk 0: mapped, of" },
		{ SET(disks[0].size, 64 * MIB + 512), NO, BAD, "disk 0: mapped, of" },
		{ SET(disks[0].is_mapped, 0), SET(disks[3].is_mapped, 1), BAD,
		  "disk 3: mapped, but of another kind" },
		{ SET(disks[0].is_mapped, 0), SET(disks[1].is_mapped, 1), BAD,
		  "disk 1: mapped, but of another kind" },
		{ SET(disks[1].is_mapped, 1), SET(disks[1].is_readonly, 1), BAD,
		  "disk 1: mapped, but of another kind" },
		{ SET(disks[2].is_mapped, 1), SET(disks[2].is_readonly, 1), BAD,
		  "disk 2: mapped, but of another kind" },
		{ SET(disks[4].is_mapped, 1), NO, BAD, "disk 4: mapped, of 4096 bytes" },
		{ SET(disks[4].is_mapped, 1), SET(disks[4].size, 2 * MIB), BAD,
		  "disk 4: mapped, of 2097152 bytes" },
		{ SET(disks[4].is_mapped, 1), SET(disks[4].size, 4 * MIB), BAD, "2 mapped disks" },
		{ SET(disks[3].is_mapped, 1), SET(disks[3].is_readonly, 1), BAD, "2 mapped disks" },
	};
	struct vmm_config got;
	struct err e = { 0 };

	(void)state;
	rules_try(mapped_fill, t, ARRAY_SIZE(t));
	/* one that is empty yet */
	cold_fill();
	conf.disks[3].is_mapped = conf.disks[3].is_readonly = true;
	assert_int_equal(there_and_back(N_FDS, &got, &e), 0);
	assert_true(got.disks[3].is_mapped && got.disks[3].size == 0 && !got.disks[0].is_mapped);
}

static void part_rules(void **state)
{
	static const struct rule t[] = {
		{ SET(parts[1].disk_off, 12288), NO, 0, NULL }, /* a gap */
		{ SET(parts[2].len, 32 * MIB - 4096), NO, 0, NULL },
		{ SET(parts[1].fd, 15), NO, 0, NULL },
		{ SET(disks[0].is_readonly, 0), NO, BAD, "disk 0: disks of parts" },
		{ SET(disks[0].n_parts, 0), SET(disks[4].first_part, 0), BAD, "disk 0: disks of" },
		{ SET(disks[0].n_parts, 2), NO, BAD, "disk 4: parts 3 and on" },
		{ SET(disks[0].n_parts, 5), NO, BAD, "disk 0: parts 0 and on, 5" },
		{ SET(disks[0].n_parts, UINT32_MAX), NO, BAD, "disk 0: parts 0 and on" },
		{ SET(disks[0].first_part, 1), NO, BAD, "disk 0: parts 1 and on, 3" },
		{ SET(disks[4].first_part, 0), NO, BAD, "disk 4: parts 0 and on" }, /* shared */
		{ SET(disks[4].first_part, UINT32_MAX), NO, BAD, "disk 4: parts" },
		{ SET(disks[4].n_parts, 2), NO, BAD, "disk 4: parts 3 and on, 2" },
		{ SET(disks[4].size, 512), NO, BAD, "disk 4: part 0: does not fit" },
		{ SET(disks[0].size, 0), NO, BAD, "disk 0: 0 bytes" },
		{ SET(parts[1].disk_off, 4096), NO, BAD, "disk 0: part 1: does not fit" },
		{ SET(parts[1].disk_off, 0), NO, BAD, "disk 0: part 1: does not fit" },
		{ SET(parts[1].disk_off, 32 * MIB), NO, BAD, "disk 0: part 2: does not fit" },
		{ SET(parts[1].disk_off, 8704), NO, BAD, "part 1: not in units" },
		{ SET(parts[2].disk_off, 33 * MIB), NO, BAD, "part 2: does not fit" },
		{ SET(parts[2].disk_off, 0ULL - 4096), NO, BAD, "part 2: does not fit" },
		{ SET(parts[2].len, 32 * MIB + 4096), NO, BAD, "part 2: does not fit" },
		{ SET(parts[2].len, 0ULL - 4096), NO, BAD, "part 2: does not fit" },
		{ SET(parts[0].len, 0), NO, BAD, "part 0: not in units" },
		{ SET(parts[0].len, 512), NO, BAD, "part 0: not in units" },
		{ SET(parts[0].file_off, 512), NO, BAD, "part 0: not in units" },
		{ SET(parts[0].file_off, INT64_MAX & ~4095LL), NO, BAD, "part 0: does not fit" },
		{ SET(parts[0].file_off, 0ULL - 8192), NO, BAD, "part 0: does not fit" },
		{ SET(parts[0].fd, -1), NO, BAD, "part 0: file: there is no" },
		{ SET(parts[3].fd, 44), NO, BAD, "disk 4: part 0: file: there is no" },
		{ SET(parts[3].fd, 10), NO, BAD, "disk 4: part 0: file: descriptor 10 serves" },
		{ SET(parts[0].fd, 8), NO, BAD, "disk 0: part 0: file: descriptor 8 serves" },
	};

	(void)state;
	rules_try(cold_fill, t, ARRAY_SIZE(t));
}

static void share_and_net_rules(void **state)
{
	static const struct rule t[] = {
		{ SET(n_shares, 0), NO, 0, NULL },
		{ SET(n_shares, 3), NO, BAD, "shared directory 2: bad tag" },
		{ SET(shares[0].tag[0], 0), NO, BAD, "shared directory 0: bad tag" },
		{ SET(shares[0].tag[1], 'O'), NO, BAD, "shared directory 0: bad tag" },
		{ SET(shares[0].tag[1], '-'), NO, BAD, "shared directory 0: bad tag" },
		{ SET(shares[0].tag[1], '/'), NO, BAD, "shared directory 0: bad tag" },
		{ SET(shares[0].tag[0], 'm'), SET(shares[0].tag[1], '1'), 0, NULL },
		{ SET(shares[0].sock_fd, -1), NO, 0, NULL },
		{ SET(shares[0].sock_fd, -2), NO, BAD, "home: there is no descriptor -2" },
		{ SET(shares[0].sock_fd, 43), NO, BAD, "m1: descriptor 43 serves" },
		{ SET(shares[1].sock_fd, 44), NO, BAD, "m1: there is no descriptor 44" },
		{ SET(shares[1].sock_fd, 21), NO, BAD, "m1: descriptor 21 serves" },
		{ SET(net, VMM_NET_STREAM), NO, 0, NULL },
		{ SET(net_fd, -1), NO, 0, NULL },
		{ SET(net_fd, -2), NO, BAD, "network: there is no" },
		{ SET(net_fd, 3), NO, BAD, "network: there is no" },
		{ SET(net_fd, 13), NO, BAD, "network: descriptor 13 serves" },
		{ SET(mac[0], 3), NO, BAD, "one station's" },
		{ SET(mac[0], 255), NO, BAD, "one station's" },
		{ SET(net_limit.bytes_per_s, UINT64_MAX), SET(net_limit.bytes_burst, 1), 0, NULL },
		{ SET(net_limit.ops_per_s, 1), SET(net_limit.ops_burst, UINT64_MAX), 0, NULL },
		{ SET(net_limit.ops_per_s, 0), SET(net_limit.ops_burst, 1), -EBADMSG, "burst" },
		{ SET(has_net, 0), NO, BAD, "no network" },
		{ SET(has_net, 0), SET(net, 0), BAD, "no network" },
		{ SET(vsock_listen_fd, -1), NO, 0, NULL },
		{ SET(vsock_listen_fd, -1), SET(vsock_broker_fd, -1), 0, NULL },
		{ SET(vsock_listen_fd, 44), NO, BAD, "vsock: there is no" },
		{ SET(vsock_listen_fd, 17), NO, BAD, "broker of vsock: descriptor 17 serves" },
		{ SET(vsock_broker_fd, 14), NO, BAD, "broker of vsock: descriptor 14 serves" },
		{ SET(has_vsock, 0), NO, BAD, "vsock: descriptor 16 is for nothing" },
		{ SET(has_vsock, 0), SET(vsock_listen_fd, -1), BAD,
		  "broker of vsock: descriptor 17 is for nothing" },
	};

	(void)state;
	rules_try(cold_fill, t, ARRAY_SIZE(t));
}

/* What takes more than two changes. */
static void other_rules(void **state)
{
	struct vmm_config got;
	struct err e = { 0 };

	(void)state;
	cold_fill();
	memset(conf.mac, 0, sizeof(conf.mac));
	assert_int_equal(there_and_back(N_FDS, &got, &e), -EINVAL);
	conf.has_net = false;
	conf.net = VMM_NET_STREAM;
	conf.net_limit.bytes_per_s = 0;
	assert_int_equal(there_and_back(N_FDS, &got, &e), -EINVAL); /* has a peer */
	assert_non_null(strstr(e.msg, "network: descriptor 14 is for nothing"));
	conf.net_fd = -1;
	assert_int_equal(there_and_back(N_FDS, &got, &e), 0);
	conf.net_limit.ops_per_s = 1;
	assert_int_equal(there_and_back(N_FDS, &got, &e), -EINVAL);
	conf.net_limit.ops_per_s = 0;
	memcpy(conf.shares[1].tag, conf.shares[0].tag, sizeof(conf.shares[1].tag));
	assert_int_equal(there_and_back(N_FDS, &got, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "two shared directories home"));
}

/* What does not fit its array is never read. */
static void not_to_be_written(void **state)
{
	static const struct change t[] = {
		SET(n_disks, VMM_DISKS_MAX + 1),   SET(n_disks, UINT32_MAX),
		SET(n_parts, VMM_PARTS_MAX + 1),   SET(n_parts, UINT32_MAX),
		SET(n_shares, VMM_SHARES_MAX + 1), SET(disks[1].n_fds, VMM_LAYERS_MAX + 1),
		SET(disks[4].n_fds, UINT32_MAX),
	};
	struct buf small = BUF_LIMIT(200);
	auto_buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		cold_fill();
		change_do(&t[i]);
		assert_int_equal(vmm_config_put(&conf, &b), -EINVAL);
		assert_int_equal(b.len, 0);
	}
	cold_fill();
	memset(conf.cmdline, 'c', sizeof(conf.cmdline));
	assert_int_equal(vmm_config_put(&conf, &b), -EINVAL);
	cold_fill();
	memset(conf.cpu_model, 'c', sizeof(conf.cpu_model));
	assert_int_equal(vmm_config_put(&conf, &b), -EINVAL);
	cold_fill();
	memset(conf.shares[1].tag, 'c', sizeof(conf.shares[1].tag));
	assert_int_equal(vmm_config_put(&conf, &b), -EINVAL);
	cold_fill();
	assert_int_equal(vmm_config_put(&conf, &small), -EFBIG);
	assert_int_equal(small.len, 0);
	buf_done(&small);
}

static uint32_t next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(*seed >> 33);
}

/* Changed bytes are refused with a reason, or are another configuration's only encoding. */
static void changed_at_random(void **state)
{
	auto_buf good = { 0 }, b = { 0 };
	struct vmm_config got;
	uint64_t seed = 1;

	(void)state;
	cold_fill();
	assert_int_equal(vmm_config_put(&conf, &good), 0);
	for (unsigned i = 0; i < 30000; i++) {
		unsigned n = 1 + next_random(&seed) % 4;
		struct err e = { 0 };
		int rc;

		buf_clear(&b);
		assert_int_equal(buf_add(&b, good.data, good.len), 0);
		for (unsigned j = 0; j < n; j++)
			b.data[next_random(&seed) % b.len] ^= (char)(1 << next_random(&seed) % 8);
		rc = vmm_config_parse(b.data, b.len, N_FDS, &got, &e);
		if (rc == 0)
			same_check(&b, &got);
		else
			assert_true((rc == -EINVAL || rc == -EBADMSG) && e.msg[0]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cold_both_ways),
		cmocka_unit_test(restore_both_ways),
		cmocka_unit_test(least_is_these_bytes),
		cmocka_unit_test(most_fits),
		cmocka_unit_test(each_cut),
		cmocka_unit_test(bad_bytes),
		cmocka_unit_test(machine_rules),
		cmocka_unit_test(restore_rules),
		cmocka_unit_test(disk_rules),
		cmocka_unit_test(mapped_rules),
		cmocka_unit_test(part_rules),
		cmocka_unit_test(share_and_net_rules),
		cmocka_unit_test(other_rules),
		cmocka_unit_test(not_to_be_written),
		cmocka_unit_test(changed_at_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
