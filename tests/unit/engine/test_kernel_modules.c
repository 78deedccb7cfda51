/* SPDX-License-Identifier: MIT */
/* test_kernel_modules.c - a module tree packed with its dependencies */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>

#include "cpio_fixture.h"
#include "fdio.h"
#include "kernel_modules.h"
#include "temp_dir.h"

/* A "module": some bytes, and what it depends on. */
static void module_put(const char *path, const char *depends)
{
	char folder[200], text[300];
	const char *slash = strrchr(path, '/');
	struct err e = { 0 };
	int n, fd;

	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path) : 0, path);
	if (*folder)
		assert_int_equal(dir_make_at(temp_dir.fd, folder, 0700, &e), 0);
	n = snprintf(text, sizeof(text), "ELF of %s%cdepends=%s%cend", path, 0,
		     depends ? depends : "", 0);
	fd = openat(temp_dir.fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(fd_write_full(fd, text, (size_t)n), 0);
	close(fd);
}

/* The paths in modules.list, and whether each is in the archive. */
static void pack_for(enum kernel_modules_for what, char list[500])
{
	auto_buf b = { 0 };
	struct cpio_entry x;
	struct err e = { 0 };
	size_t at = 0, listed = 0, n = 0;

	list[0] = '\0';
	if (kernel_modules_pack(temp_dir.fd, what, &b, &e) < 0)
		fail_msg("%s", e.msg);
	while (cpio_next(&b, &at, &x)) {
		if (strcmp(x.path, "modules.list") == 0) {
			snprintf(list, 500, "%.*s", (int)x.len, x.data);
			for (const char *p = list; (p = strchr(p, '\n')); p++)
				listed++;
		} else if (strncmp(x.path, "modules/", 8) == 0) {
			assert_memory_equal(x.data, "ELF of ", 7);
			n++;
		}
	}
	assert_int_equal(at, b.len);
	assert_int_equal(listed, n);
}

static void pack(char list[500])
{
	pack_for(KERNEL_MODULES_VM, list);
}

static void dependencies_first(void **state)
{
	char list[500];

	(void)state;
	module_put("kernel/drivers/block/virtio_blk.ko", "virtio-ring,virtio");
	module_put("kernel/drivers/virtio/virtio-ring.ko", "virtio");
	module_put("kernel/drivers/virtio/virtio.ko", NULL);
	module_put("kernel/fs/erofs.ko", "built_in_or_missing,,lz4");
	module_put("kernel/lib/lz4.ko", "");
	module_put("kernel/sound/unwanted.ko", NULL);
	module_put("kernel/fs/erofs.txt", NULL);
	module_put("kernel/.hidden/ext4.ko", NULL);
	pack(list);
	assert_string_equal(list,
			    "/modules/virtio.ko\n/modules/virtio_ring.ko\n/modules/virtio_blk.ko\n"
			    "/modules/lz4.ko\n/modules/erofs.ko\n");
}

/* What a disk needs on each kind of machine, before the root and for it; not what only ours have.
 */
static void drivers_of_other_machines(void **state)
{
	static const struct {
		const char *machine, *path;
		bool is_ours;
	} rows[] = {
		{ "Hyper-V: bus", "drivers/hv/hv_vmbus.ko", false },
		{ "Hyper-V: disk", "drivers/scsi/hv_storvsc.ko", false },
		{ "Hyper-V: network", "drivers/net/hyperv/hv_netvsc.ko", false },
		{ "Xen: disk", "drivers/block/xen-blkfront.ko", false },
		{ "Xen: network", "drivers/net/xen-netfront.ko", false },
		{ "QEMU: virtio on PCI", "drivers/virtio/virtio_pci.ko", false },
		{ "QEMU: disk", "drivers/block/virtio_blk.ko", true },
		{ "QEMU: network", "drivers/net/virtio_net.ko", true },
		{ "QEMU: IDE", "drivers/ata/ata_piix.ko", false },
		{ "any: SATA", "drivers/ata/ahci.ko", false },
		{ "any: SCSI disks", "drivers/scsi/sd_mod.ko", false },
		{ "any: network", "drivers/net/e1000/e1000.ko", false },
		{ "any: power button", "drivers/acpi/button.ko", false },
		{ "root: image", "fs/erofs/erofs.ko", true },
		{ "root: what is written", "fs/ext4/ext4.ko", true },
		{ "root: both as one", "fs/overlayfs/overlay.ko", true },
		{ "DHCP", "net/packet/af_packet.ko", true },
	};
	char disk[500], ours[500], line[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		module_put(rows[i].path, NULL);
	module_put("drivers/char/virtio_console.ko",
		   NULL); /* only a machine of ours has an agent */
	pack_for(KERNEL_MODULES_DISK, disk);
	pack_for(KERNEL_MODULES_VM, ours);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		snprintf(line, sizeof(line), "/modules%s\n", strrchr(rows[i].path, '/'));
		for (char *c = line; *c; c++)
			*c = *c == '-' ? '_' : *c;
		if (!strstr(disk, line))
			fail_msg("%s: %s is not on the disk", rows[i].machine, rows[i].path);
		if ((strstr(ours, line) != NULL) != rows[i].is_ours)
			fail_msg("%s: %s in a machine of ours", rows[i].machine, rows[i].path);
	}
	assert_null(strstr(disk, "virtio_console"));
	assert_non_null(strstr(ours, "virtio_console"));
	/* a disk's driver needs its bus, and the root both: who comes first is of use first */
	assert_true(strstr(disk, "hv_vmbus") < strstr(disk, "hv_storvsc"));
	assert_true(strstr(disk, "sd_mod") < strstr(disk, "erofs"));
}

static void nothing_there(void **state)
{
	char list[500];

	(void)state;
	pack(list);
	assert_string_equal(list, "");
}

static void odd_trees(void **state)
{
	char list[500];

	(void)state;
	module_put("overlay.ko", "overlay"); /* of itself */
	module_put("fuse.ko", "virtiofs");   /* in a circle */
	module_put("virtiofs.ko", "fuse");
	assert_int_equal(symlinkat("/etc/passwd", temp_dir.fd, "ext4.ko"), 0);
	assert_int_equal(symlinkat("/", temp_dir.fd, "root"), 0);
	assert_int_equal(mkdirat(temp_dir.fd, "ipv6.ko", 0700), 0);
	pack(list);
	assert_string_equal(list, "/modules/overlay.ko\n/modules/fuse.ko\n/modules/virtiofs.ko\n");
}

static void too_deep(void **state)
{
	auto_buf b = { 0 };
	struct err e = { 0 };

	(void)state;
	module_put("erofs.ko", "m0");
	for (int i = 0; i < 20; i++) {
		char path[20], next[20];

		snprintf(path, sizeof(path), "m%d.ko", i);
		snprintf(next, sizeof(next), "m%d", i + 1);
		module_put(path, next);
	}
	assert_int_equal(kernel_modules_pack(temp_dir.fd, KERNEL_MODULES_VM, &b, &e), -ELOOP);
}

static void refused(void **state)
{
	struct buf small = BUF_LIMIT(300);
	auto_buf b = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_true(kernel_modules_pack(-1, KERNEL_MODULES_VM, &b, &e) < 0);
	module_put("erofs.ko", NULL);
	module_put("ext4.ko", NULL);
	assert_true(kernel_modules_pack(temp_dir.fd, KERNEL_MODULES_VM, &small, &e) < 0);
	buf_done(&small);
	/* a packed one that is none: xz says so, or is not there */
	module_put("overlay.ko.xz", NULL);
	assert_true(kernel_modules_pack(temp_dir.fd, KERNEL_MODULES_VM, &b, &e) < 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, temp_dir_setup, temp_dir_teardown)
	const struct CMUnitTest tests[] = {
		TEST(dependencies_first),
		TEST(drivers_of_other_machines),
		TEST(nothing_there),
		TEST(odd_trees),
		TEST(too_deep),
		TEST(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
