/* SPDX-License-Identifier: MIT */
/*
 * disks.c - from the machine's disks to the root file system
 *
 * A disk is known by its serial ("disk0", "disk1", as the driver names its slots), not by the order
 * in which the kernel found it. A clone's disks have other sizes than the template's empty slots:
 * such a disk is taken from its driver and given back, which reads the size again. An image that is
 * mapped into memory is the one pmem disk, and its template's is smaller as well.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>

#include "fdio.h"
#include "guest_internal.h"

#define DISKS_MAX     8
#define DRIVER_DIR    "/sys/bus/virtio/drivers/virtio_blk"
#define MAPPED_DIR    "/sys/bus/virtio/drivers/virtio_pmem"
#define BIND_WAIT_MS  3000
#define ATTRIBUTE_MAX 4096
#define EMPTY_SIZE    512

int disks_find(uint32_t slot, char name[16], struct err *e)
{
	auto_dir d = opendir("/sys/block");
	char want[16];
	struct dirent *de;

	snprintf(want, sizeof(want), "disk%u", slot);
	while (d && (de = readdir(d))) {
		auto_buf serial = { 0 };
		struct err ignored;
		char path[300];

		if (strncmp(de->d_name, "vd", 2) != 0)
			continue;
		snprintf(path, sizeof(path), "/sys/block/%s/serial", de->d_name);
		if (file_read_at(AT_FDCWD, path, ATTRIBUTE_MAX, &serial, &ignored) < 0 ||
		    !serial.data)
			continue;
		serial.data[strcspn(serial.data, "\n")] = '\0';
		if (!strcmp(serial.data, want)) {
			snprintf(name, 16, "%.15s", de->d_name);
			return 0;
		}
	}
	return err_plain(e, ENOENT, "the machine has no disk %u", slot);
}

static int disk_size(const char *name, uint64_t *ret, struct err *e)
{
	auto_buf b = { 0 };
	char path[64];

	snprintf(path, sizeof(path), "/sys/block/%s/size", name);
	if (file_read_at(AT_FDCWD, path, ATTRIBUTE_MAX, &b, e) < 0)
		return -e->code;
	*ret = strtoull(b.data ? b.data : "0", NULL, 10) * 512;
	return 0;
}

static int attribute_write(const char *path, const char *value, struct err *e)
{
	auto_fd fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		return err_set(e, errno, "write %s to %s", value, path);
	return 0;
}

static int driver_rebind(const char *dir, const char *device, struct err *e)
{
	char unbind[64], bind[64];

	snprintf(unbind, sizeof(unbind), "%s/unbind", dir);
	snprintf(bind, sizeof(bind), "%s/bind", dir);
	return attribute_write(unbind, device, e) < 0 ? -e->code : attribute_write(bind, device, e);
}

static int disk_rebind(const char *name, struct err *e)
{
	char link[64], target[256];
	const char *device;
	ssize_t n;

	snprintf(link, sizeof(link), "/sys/block/%s/device", name);
	n = readlink(link, target, sizeof(target) - 1);
	if (n < 0)
		return err_set(e, errno, "read %s", link);
	target[n] = '\0';
	device = strrchr(target, '/');
	return driver_rebind(DRIVER_DIR, device ? device + 1 : target, e);
}

static bool step_wait(int *io_waited)
{
	nanosleep(&(struct timespec){ .tv_nsec = 1000000L }, NULL);
	return (*io_waited)++ < BIND_WAIT_MS;
}

static int node_wait(const char *path, struct err *e)
{
	int waited = 0;

	while (access(path, F_OK) < 0)
		if (!step_wait(&waited))
			return err_set(e, errno, "wait for %s", path);
	return 0;
}

/* The device node of a slot, with the size that the host says it has now. */
static int disk_ready(uint32_t slot, uint64_t len, char path[32], struct err *e)
{
	char name[16];
	uint64_t size = 0;

	if (disks_find(slot, name, e) < 0 || disk_size(name, &size, e) < 0)
		return -e->code;
	if (len && size != len) {
		if (disk_rebind(name, e) < 0 || disks_find(slot, name, e) < 0 ||
		    disk_size(name, &size, e) < 0)
			return -e->code;
		if (size != len)
			return err_plain(e, EIO, "disk %u has %llu bytes", slot,
					 (unsigned long long)size);
	}
	snprintf(path, 32, "/dev/%s", name);
	return node_wait(path, e);
}

/* ---- an image that is mapped ---- */

/* The first name in `dir` that begins with `prefix` and a digit. */
static bool name_find(const char *dir, const char *prefix, char name[16])
{
	auto_dir d = opendir(dir);
	const size_t n = strlen(prefix);
	struct dirent *de;

	while (d && (de = readdir(d))) {
		if (strncmp(de->d_name, prefix, n) != 0 || !strchr("0123456789", de->d_name[n]))
			continue;
		snprintf(name, 16, "%.15s", de->d_name);
		return true;
	}
	return false;
}

/* The driver makes it in the background. */
static int mapped_find(char name[16], uint64_t *ret_size, struct err *e)
{
	int waited = 0;

	while (!name_find("/sys/block", "pmem", name))
		if (!step_wait(&waited))
			return err_plain(e, ENOENT,
					 "no image in memory: the kernel lacks virtio_pmem or "
					 "nd_pmem, or the machine memory to describe it");
	return disk_size(name, ret_size, e);
}

/* What is written there is lost, and the driver knows nothing of that: let it say so. */
static int readonly_set(const char *path, struct err *e)
{
	auto_fd fd = open(path, O_RDONLY | O_CLOEXEC);
	const int yes = 1;

	return fd < 0 || ioctl(fd, BLKROSET, &yes) < 0 ? err_set(e, errno, "%s", path) : 0;
}

static int mapped_ready(uint64_t len, char path[32], struct err *e)
{
	char name[16], device[16];
	uint64_t size = 0;

	if (mapped_find(name, &size, e) < 0)
		return -e->code;
	if (len && size != len) {
		if (!name_find(MAPPED_DIR, "virtio", device))
			return err_plain(e, ENOENT, "no device in " MAPPED_DIR);
		if (driver_rebind(MAPPED_DIR, device, e) < 0 || mapped_find(name, &size, e) < 0)
			return -e->code;
		if (size != len)
			return err_plain(e, EIO, "the mapped image has %llu bytes",
					 (unsigned long long)size);
	}
	snprintf(path, 32, "/dev/%s", name);
	return node_wait(path, e) < 0 ? -e->code : readonly_set(path, e);
}

/* ---- the root ---- */

static int directory(const char *path, struct err *e)
{
	return mkdir(path, 0755) < 0 && errno != EEXIST ? err_set(e, errno, "mkdir %s", path) : 0;
}

static int writable_mount(const struct agent_root *r, struct err *e)
{
	char path[32];

	if (r->flags & AGENT_ROOT_SCRATCH) {
		if (mount("tmpfs", WRITABLE_DIR, "tmpfs", 0, "mode=755") < 0)
			return err_set(e, errno, "mount the writable layer in memory");
	} else {
		if (disk_ready(r->writable_slot, r->writable_len, path, e) < 0)
			return -e->code;
		if (mount(path, WRITABLE_DIR, "ext4", MS_NOATIME, "errors=remount-ro") < 0)
			return err_set(e, errno, "mount the writable layer");
	}
	return 0;
}

static int overlay_mount(struct err *e)
{
	static const char options[] = "lowerdir=" IMAGE_DIR ",upperdir=" WRITABLE_DIR
				      "/upper,workdir=" WRITABLE_DIR "/work";

	if (directory(WRITABLE_DIR "/upper", e) < 0 || directory(WRITABLE_DIR "/work", e) < 0)
		return -e->code;
	return mount("overlay", ROOT_DIR, "overlay", 0, options) < 0
		       ? err_set(e, errno, "mount the root")
		       : 0;
}

int disks_mount_devices(const char *image, const char *writable, struct err *e)
{
	if (directory(IMAGE_DIR, e) < 0 || directory(WRITABLE_DIR, e) < 0 ||
	    directory(ROOT_DIR, e) < 0)
		return -e->code;
	if (mount(image, IMAGE_DIR, "erofs", MS_RDONLY | MS_NOATIME, NULL) < 0)
		return err_set(e, errno, "mount the image");
	if (mount(writable, WRITABLE_DIR, "ext4", MS_NOATIME, "errors=remount-ro") < 0)
		return err_set(e, errno, "mount the writable layer");
	return overlay_mount(e);
}

static int image_mount(const struct agent_root *r, struct err *e)
{
	const bool is_mapped = r->flags & AGENT_ROOT_MAPPED;
	const char *options = is_mapped ? "dax=always" : NULL;
	char path[32];
	int rc = is_mapped ? mapped_ready(r->image_len, path, e)
			   : disk_ready(r->image_slot, r->image_len, path, e);

	if (rc < 0)
		return rc;
	if (mount(path, IMAGE_DIR, "erofs", MS_RDONLY | MS_NOATIME, options) < 0)
		return err_set(e, errno, "mount the image%s", is_mapped ? " (dax)" : "");
	return 0;
}

int disks_mount_root(const struct agent_root *r, struct err *e)
{
	if (directory(IMAGE_DIR, e) < 0 || directory(WRITABLE_DIR, e) < 0 ||
	    directory(ROOT_DIR, e) < 0 || image_mount(r, e) < 0)
		return -e->code;
	return writable_mount(r, e) < 0 ? -e->code : overlay_mount(e);
}

/* A slot of a template is one sector: this kernel has not seen yet what is in it now. */
static int slot_refresh(uint32_t slot, struct err *e)
{
	char name[16];
	uint64_t size = 0;

	if (disks_find(slot, name, e) < 0 || disk_size(name, &size, e) < 0)
		return -e->code;
	return size > EMPTY_SIZE ? 0 : disk_rebind(name, e);
}

int disks_refresh(const struct agent_run *r, struct err *e)
{
	for (uint32_t i = 0; i < r->n_mounts; i++) {
		const struct agent_mount *m = &r->mounts[i];

		if (m->kind == AGENT_MOUNT_DISK && /* "disk2/..." of the parser */
		    slot_refresh((uint32_t)strtoul(m->source + 4, NULL, 10), e) < 0)
			return -e->code;
	}
	return 0;
}

void disks_unmount_root(void)
{
	(void)umount2(ROOT_DIR, MNT_DETACH); /* may not be there: nothing ran yet */
	if (umount2(WRITABLE_DIR, 0) < 0) /* somebody holds it: at least nothing more is written */
		(void)mount(NULL, WRITABLE_DIR, NULL, MS_REMOUNT | MS_RDONLY, NULL);
}
