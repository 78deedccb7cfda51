/* SPDX-License-Identifier: MIT */
/*
 * kernel_modules.c - collect modules with their dependencies
 *
 * A module names what it needs in its .modinfo section ("depends=a,b"); a package that was only
 * unpacked has no modules.dep. Names use '-' in files and '_' inside: both are compared as '_'.
 */
#include "kernel_modules.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "child.h"
#include "cpio.h"
#include "fdio.h"

#define NAME_LEN  64
#define PATH_LEN  512
#define FILES_MAX 8192U
#define DEPTH_MAX 16U

/* What a machine has or an image may need: devices first, then file systems. */
static const char *const wanted[] = {
	"virtio_mmio", "virtio_console", "virtio_blk",
	"virtio_net",  "virtio_rng",     "virtio_balloon",
	"virtio_mem",  "virtio_pmem",    "nd_pmem",
	"erofs",       "ext4",           "overlay",
	"virtiofs",    "fuse",           "af_packet",
	"ipv6",        "unix",           "vmw_vsock_virtio_transport",
};

/* What a machine of somebody else's may have between the firmware and the root: buses, disks,
 * network, the power button. The first that matters is Hyper-V's, the rest stand for QEMU and Xen.
 */
static const char *const wanted_disk[] = {
	"hv_vmbus",       "hv_storvsc",      "hv_netvsc",    "hv_utils",
	"hv_balloon",     "hyperv_keyboard", "xen_blkfront", "xen_netfront",
	"virtio_pci",     "virtio_blk",      "virtio_scsi",  "virtio_net",
	"virtio_rng",     "ata_piix",        "ata_generic",  "ahci",
	"nvme",           "sd_mod",          "e1000",        "e1000e",
	"8139cp",         "vmxnet3",         "button",       "evdev",
	"crc32c_generic", "crc32c_intel",    "erofs",        "ext4",
	"overlay",        "af_packet",       "ipv6",         "unix",
};

struct module_file {
	char name[NAME_LEN]; /* with '_' */
	char *path;          /* relative to the tree */
	bool is_packed;
};

struct module_tree {
	int dir_fd;
	struct module_file *files;
	size_t n;
};

static void tree_done(struct module_tree *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->files[i].path);
	free(t->files);
}

/* "virtio-ring.ko.xz" -> "virtio_ring"; false when it is no module. */
static bool module_name(const char *file, char name[NAME_LEN])
{
	const char *ko = strstr(file, ".ko");
	size_t len = ko ? (size_t)(ko - file) : 0;

	if (!len || len >= NAME_LEN || (strcmp(ko, ".ko") != 0 && strcmp(ko, ".ko.xz") != 0))
		return false;
	for (size_t i = 0; i < len; i++)
		name[i] = file[i] == '-' ? '_' : file[i];
	name[len] = '\0';
	return true;
}

static int tree_add(struct module_tree *t, const char *path, const char *name, struct err *e)
{
	struct module_file *f;

	if (t->n == FILES_MAX)
		return err_plain(e, E2BIG, "more than %u kernel modules", FILES_MAX);
	f = reallocarray(t->files, t->n + 1, sizeof(*f));
	if (!f)
		return err_set(e, ENOMEM, "module list");
	t->files = f;
	f = &t->files[t->n];
	*f = (struct module_file){ .path = strdup(path) };
	if (!f->path)
		return err_set(e, ENOMEM, "module list");
	snprintf(f->name, sizeof(f->name), "%s", name);
	t->n++;
	return 0;
}

static int tree_walk(struct module_tree *t, const char *path, unsigned depth, struct err *e)
{
	auto_dir d = dir_open_at(t->dir_fd, *path ? path : ".", O_NOFOLLOW);
	struct dirent *de;

	if (!d)
		return err_set(e, errno, "list modules in %s", path);
	while ((de = readdir(d))) {
		char sub[PATH_LEN], name[NAME_LEN];

		if (de->d_name[0] == '.')
			continue;
		if (snprintf(sub, sizeof(sub), "%s%s%s", path, *path ? "/" : "", de->d_name) >=
		    (int)sizeof(sub))
			continue;
		if (de->d_type == DT_DIR && depth < DEPTH_MAX &&
		    tree_walk(t, sub, depth + 1, e) < 0)
			return -e->code;
		if (de->d_type == DT_REG && module_name(de->d_name, name) &&
		    tree_add(t, sub, name, e) < 0)
			return -e->code;
	}
	return 0;
}

static struct module_file *tree_find(struct module_tree *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (!strcmp(t->files[i].name, name))
			return &t->files[i];
	return NULL;
}

static int module_read(struct module_tree *t, const struct module_file *f, struct buf *b,
		       struct err *e)
{
	char path[PATH_LEN + 32];
	const char *argv[] = { "xz", "-dc", path, NULL };
	int status = 0;

	b->max = MODULE_SIZE_MAX;
	if (!strstr(f->path, ".ko.xz"))
		return file_read_at(t->dir_fd, f->path, MODULE_SIZE_MAX, b, e);
	snprintf(path, sizeof(path), "/proc/%d/fd/%d/%s", (int)getpid(), t->dir_fd, f->path);
	if (child_run(argv, b, &status, e) < 0)
		return -e->code;
	return status ? err_plain(e, EIO, "unpack %s: xz failed", f->path) : 0;
}

static int module_pack(struct module_tree *t, const char *name, unsigned depth, struct buf *out,
		       struct buf *list, struct err *e);

/* Pack what "depends=a,b,c" of the module names. */
static int depends_pack(struct module_tree *t, const struct buf *ko, unsigned depth,
			struct buf *out, struct buf *list, struct err *e)
{
	static const char key[] = "\0depends=";
	const char *p = memmem(ko->data, ko->len, key, sizeof(key) - 1);
	const char *end = ko->data + ko->len;

	if (!p)
		return 0;
	p += sizeof(key) - 1;
	while (p < end && *p) {
		size_t n = 0;
		char name[NAME_LEN];

		while (p + n < end && p[n] && p[n] != ',')
			n++;
		if (n && n < sizeof(name)) {
			memcpy(name, p, n);
			name[n] = '\0';
			for (char *c = name; *c; c++)
				*c = *c == '-' ? '_' : *c;
			if (module_pack(t, name, depth + 1, out, list, e) < 0)
				return -e->code;
		}
		p += n;
		if (p < end && *p == ',')
			p++;
	}
	return 0;
}

static int module_pack(struct module_tree *t, const char *name, unsigned depth, struct buf *out,
		       struct buf *list, struct err *e)
{
	struct module_file *f = tree_find(t, name);
	auto_buf ko = { 0 };
	char path[NAME_LEN + 16];

	if (!f || f->is_packed)
		return 0; /* built in, or there already */
	if (depth > DEPTH_MAX)
		return err_plain(e, ELOOP, "module %s: dependencies too deep", name);
	f->is_packed = true;
	if (module_read(t, f, &ko, e) < 0 || depends_pack(t, &ko, depth, out, list, e) < 0)
		return -e->code;
	snprintf(path, sizeof(path), "modules/%s.ko", name);
	if (cpio_add(out, path, S_IFREG | 0444, ko.data, ko.len) < 0 ||
	    buf_addf(list, "/%s\n", path) < 0)
		return err_plain(e, ENOMEM, "module %s does not fit", name);
	return 0;
}

int kernel_modules_pack(int dir_fd, enum kernel_modules_for what, struct buf *out, struct err *e)
{
	const char *const *names = what == KERNEL_MODULES_DISK ? wanted_disk : wanted;
	size_t n = what == KERNEL_MODULES_DISK ? ARRAY_SIZE(wanted_disk) : ARRAY_SIZE(wanted);
	struct module_tree t = { .dir_fd = dir_fd };
	auto_buf list = { 0 };
	int rc = tree_walk(&t, "", 0, e);

	if (rc == 0 && (cpio_add(out, "modules", S_IFDIR | 0755, NULL, 0) < 0))
		rc = err_set(e, ENOMEM, "initrd");
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = module_pack(&t, names[i], 0, out, &list, e);
	if (rc == 0 && (cpio_add(out, "modules.list", S_IFREG | 0444, list.data, list.len) < 0 ||
			cpio_end(out) < 0))
		rc = err_set(e, ENOMEM, "initrd");
	tree_done(&t);
	return rc;
}
