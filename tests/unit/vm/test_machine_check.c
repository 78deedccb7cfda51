/* SPDX-License-Identifier: MIT */
/* test_machine_check.c - what a user may ask for */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "disk.h"
#include "machine.h"
#include "vm_spec.h"

static char run[] = "run", *args[] = { run, NULL };

static struct machine_config good(void)
{
	struct machine_config c = {
		.name = "ok", .cmd = { args, 1 }, .has_network = true, .stop_timeout_s = -1
	};

	memset(c.id, 'a', MACHINE_ID_LEN);
	return c;
}

static void check(const struct machine_config *c, const char *why, const char *row)
{
	struct err e = { 0 };
	int rc = machine_config_check(c, &e);

	if (why ? rc >= 0 || !strstr(e.msg, why) : rc < 0)
		fail_msg("%s: %d \"%s\"", row, rc, e.msg);
}

static void names(void **state)
{
	static const struct {
		const char *name;
		bool ok;
	} t[] = { { "ab", true },   { "a.b-c_D9", true }, { "0a", true },   { "", false },
		  { "a", false },   { "-ab", false },     { ".ab", false }, { "_ab", false },
		  { "a b", false }, { "a/b", false },     { "a\n", false }, { "\xc3\xa4", false } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct machine_config c = good();

		snprintf(c.name, sizeof(c.name), "%s", t[i].name);
		check(&c, t[i].ok ? NULL : "Invalid container name", t[i].name);
	}
}

static void texts(void **state)
{
	static char long_label[65], long_path[5000];
	static const struct {
		const char *hostname, *cwd;
		const char *why;
	} t[] = {
		{ "host", "/w", NULL },
		{ "a.b-c", "", NULL },
		{ "", NULL, NULL },
		{ "-a", NULL, "hostname" },
		{ "a..b", NULL, "hostname" },
		{ ".a", NULL, "hostname" },
		{ "a.", NULL, "hostname" },
		{ "a b", NULL, "hostname" },
		{ "a/b", NULL, "hostname" },
		{ long_label, NULL, "hostname" },
		{ NULL, "w", "working directory" },
		{ NULL, "./w", "working directory" },
		{ NULL, long_path, "working directory" },
		{ NULL, "/proc/self/fd/3", "not allowed" },
	};
	struct machine_config c;

	(void)state;
	memset(long_label, 'a', sizeof(long_label) - 1);
	memset(long_path, '/', sizeof(long_path) - 1);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		c = good();
		c.hostname = (char *)t[i].hostname; /* only read */
		c.cwd = (char *)t[i].cwd;
		check(&c, t[i].why, t[i].hostname ? t[i].hostname : t[i].cwd);
	}
	c = good();
	c.vsock = (char[]){ "/dir" };
	check(&c, NULL, "vsock");
	c.vsock = (char[]){ "dir" };
	check(&c, "--vsock", "vsock");
	c.vsock = long_path;
	check(&c, "--vsock", "vsock");
	c = good();
	c.id[3] = 'X';
	check(&c, "machine id", "id");
	c = good();
	c.id[60] = '\0';
	check(&c, "machine id", "short id");
}

static void numbers(void **state)
{
	static const struct {
		uint64_t mem, disk;
		uint32_t cpus;
		int32_t stop;
		const char *why;
	} t[] = {
		{ VM_MEM_MIN, DISK_SIZE_MIN, 1, 0, NULL },
		{ VM_MEM_MAX, DISK_SIZE_MAX, 0, 100, NULL },
		{ VM_MEM_MIN - 1, 0, 0, 0, "memory limit" },
		{ VM_MEM_MAX + 1, 0, 0, 0, "memory limit" },
		{ UINT64_MAX, 0, 0, 0, "memory limit" },
		{ 0, DISK_SIZE_MIN - 1, 0, 0, "size=" },
		{ 0, DISK_SIZE_MAX + 1, 0, 0, "size=" },
		{ 0, 0, VM_CPUS_MAX + 1, 0, "CPUs" },
		{ 0, 0, UINT32_MAX, 0, "CPUs" },
		{ 0, 0, 0, -2, "stop timeout" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct machine_config c = good();

		c.mem_bytes = t[i].mem;
		c.disk_bytes = t[i].disk;
		c.cpus = t[i].cpus;
		c.stop_timeout_s = t[i].stop;
		check(&c, t[i].why, t[i].why ? t[i].why : "numbers");
	}
}

static void models(void **state)
{
	struct machine_config c = good();

	(void)state;
	snprintf(c.cpu_model, sizeof(c.cpu_model), "baseline-v3");
	check(&c, NULL, "model");
	snprintf(c.cpu_model, sizeof(c.cpu_model), "Baseline-v3");
	check(&c, "no processor model", "model");
}

static void memory_max(void **state)
{
	static const struct {
		uint64_t mem, max;
		const char *why;
	} t[] = {
		{ 0, VM_MEM_MIN, NULL },
		{ VM_MEM_MIN, VM_MEM_MIN, NULL },
		{ VM_MEM_MIN, VM_MEM_MAX, NULL },
		{ 0, VM_MEM_MIN - 1, "--memory-max" },
		{ 512 << 20, (512 << 20) - 1, "--memory-max" },
		{ 0, VM_MEM_MAX + 1, "--memory-max" },
		{ 0, UINT64_MAX, "--memory-max" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct machine_config c = good();

		c.mem_bytes = t[i].mem;
		c.mem_max_bytes = t[i].max;
		check(&c, t[i].why, t[i].why ? t[i].why : "memory");
	}
}

enum list { ENV, DNS, HOSTS, NOTHING };

static void lists(void **state)
{
	static const struct {
		enum list list;
		const char *text;
		const char *why;
	} t[] = {
		{ ENV, "A=1", NULL },
		{ ENV, "A=", NULL },
		{ ENV, "A", "environment" },
		{ ENV, "=1", "environment" },
		{ ENV, "", "environment" },
		{ DNS, "1.1.1.1", NULL },
		{ DNS, "::1", NULL },
		{ DNS, "dns.example", "--dns" },
		{ DNS, "1.1.1", "--dns" },
		{ DNS, "1.1.1.1\nnameserver 2.2.2.2", "--dns" },
		{ HOSTS, "h:1.2.3.4", NULL },
		{ HOSTS, "h:::1", NULL },
		{ HOSTS, "h", "add-host" },
		{ HOSTS, ":1.2.3.4", "add-host" },
		{ HOSTS, "h:", "add-host" },
		{ HOSTS, "h:x", "add-host" },
		{ NOTHING, NULL, "No command" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct machine_config c = good();
		char *v[] = { (char *)t[i].text, NULL };
		struct strv list = { v, 1 };

		if (t[i].list == ENV)
			c.env = list;
		else if (t[i].list == DNS)
			c.dns = list;
		else if (t[i].list == HOSTS)
			c.extra_hosts = list;
		else
			c.cmd.n = 0;
		check(&c, t[i].why, t[i].text ? t[i].text : "nothing");
	}
}

static void ports(void **state)
{
	static const struct {
		struct machine_port p;
		bool no_network;
		const char *why;
	} t[] = {
		{ { "", 0, 80, false }, false, NULL },
		{ { "::1", 1, 65535, true }, false, NULL },
		{ { "localhost", 1, 80, false }, false, "IP address" },
		{ { "1.2.3.4.5", 1, 80, false }, false, "IP address" },
		{ { "", 1, 0, false }, false, "port 0" },
		{ { "", 1, 80, false }, true, "--network none" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct machine_config c = good();
		struct machine_port p = t[i].p;

		c.has_network = !t[i].no_network;
		c.ports = &p;
		c.n_ports = 1;
		check(&c, t[i].why, p.host_ip);
		c.n_ports = 1025;
		check(&c, "at most", "many ports");
	}
}

static void networks(void **state)
{
	static const struct {
		const char *tap, *ip, *gateway, *mac, *why;
	} t[] = {
		{ "tap0", "", "", "", NULL },
		{ "tap0", "192.0.2.7/24", "", "", NULL },
		{ "tap0", "192.0.2.7/24", "192.0.2.1", "02:00:00:12:34:56", NULL },
		{ "a-name.of_15_bi", "10.0.0.0/31", "10.0.0.1", "aA-bB-cC-00-11-22", NULL },
		{ "tap0", "10.1.2.3/32", "", "", NULL },
		{ "", "", "", "02:00:00:12:34:56", NULL },
		{ ".", "", "", "", "name of a tap" },
		{ "..", "", "", "", "name of a tap" },
		{ "a/b", "", "", "", "name of a tap" },
		{ "a b", "", "", "", "name of a tap" },
		{ "a:b", "", "", "", "name of a tap" },
		{ "tap%d", "", "", "", "name of a tap" },
		{ "t\x7f", "", "", "", "name of a tap" },
		{ "", "192.0.2.7/24", "", "", "need --network tap" },
		{ "", "", "192.0.2.1", "", "need --network tap" },
		{ "tap0", "", "192.0.2.1", "", "needs --ip" },
		{ "tap0", "192.0.2.7", "", "", "ADDRESS/PREFIX" },
		{ "tap0", "192.0.2.7/", "", "", "ADDRESS/PREFIX" },
		{ "tap0", "192.0.2.7/ 24", "", "", "ADDRESS/PREFIX" },
		{ "tap0", "192.0.2.7/024", "", "", "ADDRESS/PREFIX" },
		{ "tap0", "192.0.2.7/-1", "", "", "ADDRESS/PREFIX" },
		{ "tap0", "192.0.2.7/0", "", "", "no address of a machine" },
		{ "tap0", "192.0.2.7/33", "", "", "no address of a machine" },
		{ "tap0", "192.0.2.0/24", "", "", "no address of a machine" },
		{ "tap0", "192.0.2.255/24", "", "", "no address of a machine" },
		{ "tap0", "0.0.0.1/8", "", "", "no address of a machine" },
		{ "tap0", "127.0.0.1/8", "", "", "no address of a machine" },
		{ "tap0", "224.0.0.1/4", "", "", "no address of a machine" },
		{ "tap0", "240.0.0.1/8", "", "", "no address of a machine" },
		{ "tap0", "192.0.2/24", "", "", "--ip: invalid IPv4 address" },
		{ "tap0", "::1/64", "", "", "--ip: invalid IPv4 address" },
		{ "tap0", "192.0.2.7/24", "192.0.3.1", "", "not a neighbour" },
		{ "tap0", "192.0.2.7/24", "192.0.2.7", "", "not a neighbour" },
		{ "tap0", "10.1.2.3/32", "10.1.2.4", "", "not a neighbour" },
		{ "tap0", "192.0.2.7/24", "router", "", "--gateway: invalid IPv4" },
		{ "tap0", "", "", "03:00:00:12:34:56", "no address of a machine" },
		{ "tap0", "", "", "00:00:00:00:00:00", "no address of a machine" },
		{ "tap0", "", "", "02:00:00:12:34", "invalid MAC" },
		{ "tap0", "", "", "02:00:00:12:34:5", "invalid MAC" },
		{ "tap0", "", "", "02:00:00:12:34:5g", "invalid MAC" },
		{ "tap0", "", "", "020000123456", "invalid MAC" },
		{ "tap0", "", "", "2", "invalid MAC" },
	};
	struct machine_port p = { "", 1, 80, false };
	struct machine_config c = good();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		c = good();
		snprintf(c.tap, sizeof(c.tap), "%s", t[i].tap);
		snprintf(c.ip, sizeof(c.ip), "%s", t[i].ip);
		snprintf(c.gateway, sizeof(c.gateway), "%s", t[i].gateway);
		snprintf(c.mac, sizeof(c.mac), "%s", t[i].mac);
		check(&c, t[i].why, t[i].ip);
	}
	c = good();
	snprintf(c.tap, sizeof(c.tap), "tap0");
	c.publish_all = true;
	check(&c, "ports cannot be published with --network tap", "-P");
	c.publish_all = false;
	c.ports = &p;
	c.n_ports = 1;
	check(&c, "ports cannot be published with --network tap", "-p");
	c.n_ports = 0;
	c.has_network = false;
	check(&c, "invalid name of a tap", "a tap, but no network");
	c.tap[0] = '\0';
	snprintf(c.mac, sizeof(c.mac), "02:00:00:12:34:56");
	check(&c, "--mac-address is of no use", "a MAC, but no network");
	c.mac[0] = '\0';
	c.net_bps = 1U << 20;
	check(&c, "--net-bps is of no use", "a limit, but no network");
}

static void limits(void **state)
{
	struct machine_config c = good();

	(void)state;
	c.disk_bps = c.net_bps = 4096;
	c.disk_iops = 1;
	check(&c, NULL, "the least");
	c.disk_bps = c.net_bps = c.disk_iops = UINT64_MAX;
	check(&c, NULL, "the most");
	c.disk_bps = 4095;
	check(&c, "from 4096 bytes", "disk");
	c.disk_bps = 0;
	c.net_bps = 1;
	check(&c, "from 4096 bytes", "net");
}

/* The texts are only read. */
static struct machine_mount mount_of(enum machine_mount_kind kind, const char *source,
				     const char *target)
{
	return (struct machine_mount){ kind, (char *)source, (char *)target, NULL, false };
}

static void mounts(void **state)
{
	static const struct {
		enum machine_mount_kind kind;
		const char *source, *target, *why;
	} t[] = {
		{ MACHINE_MOUNT_BIND, "/s", "/t", NULL },
		{ MACHINE_MOUNT_TMPFS, NULL, "/t", NULL },
		{ MACHINE_MOUNT_BIND, "s", "/t", "mount source" },
		{ MACHINE_MOUNT_BIND, NULL, "/t", "mount source" },
		{ MACHINE_MOUNT_BIND, "/s", "t", "mount target" },
		{ MACHINE_MOUNT_BIND, "/s", "/", "mount target" },
		{ MACHINE_MOUNT_BIND, "/s", "", "mount target" },
		{ MACHINE_MOUNT_TMPFS, NULL, NULL, "mount target" },
		{ MACHINE_MOUNT_TMPFS, NULL, "/first", "Duplicate" },
		{ MACHINE_MOUNT_VOLUME, "v1", "/t", NULL },
		{ MACHINE_MOUNT_VOLUME, "v1", "/first", "Duplicate" },
		{ MACHINE_MOUNT_VOLUME, "v", "/t", "too short" },
		{ MACHINE_MOUNT_VOLUME, "", "/t", "invalid characters" },
		{ MACHINE_MOUNT_VOLUME, NULL, "/t", "invalid characters" },
		{ MACHINE_MOUNT_VOLUME, "..", "/t", "invalid characters" },
		{ MACHINE_MOUNT_VOLUME, "a/b", "/t", "invalid characters" },
		{ MACHINE_MOUNT_DISK, "/d.vhd", "/t", NULL },
		{ MACHINE_MOUNT_DISK, "d.vhd", "/t", "mount source" },
	};
	char targets[VM_SHARES_MAX + 1][8];
	struct machine_mount many[VM_SHARES_MAX + 1];
	struct machine_config c = good();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct machine_mount m[2] = { mount_of(MACHINE_MOUNT_TMPFS, NULL, "/first"),
					      mount_of(t[i].kind, t[i].source, t[i].target) };

		c.mounts = m;
		c.n_mounts = 2;
		check(&c, t[i].why, t[i].target ? t[i].target : "no target");
	}
	for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
		snprintf(targets[i], sizeof(targets[i]), "/%zu", i);
		many[i] = mount_of(MACHINE_MOUNT_BIND, "/s", targets[i]);
	}
	c.mounts = many;
	c.n_mounts = VM_SHARES_MAX;
	check(&c, NULL, "as many as may be");
	c.n_mounts++;
	check(&c, "bind mounts", "one more");
	for (size_t i = 0; i < VM_DISKS_EXTRA_MAX; i++)
		many[i].kind = i % 2 ? MACHINE_MOUNT_DISK : MACHINE_MOUNT_VOLUME;
	for (size_t i = 0; i < VM_DISKS_EXTRA_MAX; i++)
		many[i].source = (char *)(i % 2 ? "/d" : "v1");
	c.n_mounts = VM_DISKS_EXTRA_MAX;
	check(&c, NULL, "as many disks as may be");
	many[VM_DISKS_EXTRA_MAX].kind = MACHINE_MOUNT_DISK;
	c.n_mounts++;
	check(&c, "volumes and disks", "one disk more");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),  cmocka_unit_test(texts),      cmocka_unit_test(numbers),
		cmocka_unit_test(models), cmocka_unit_test(memory_max), cmocka_unit_test(lists),
		cmocka_unit_test(ports),  cmocka_unit_test(networks),   cmocka_unit_test(limits),
		cmocka_unit_test(mounts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
