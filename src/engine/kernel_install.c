/* SPDX-License-Identifier: MIT */
/*
 * kernel_install.c - the distribution's kernel package as a guest kernel
 *
 * The package is downloaded (apt checks its signature) and unpacked, never installed: nothing of
 * the host changes. Needs no root.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "engine.h"
#include "fdio.h"
#include "kernel_internal.h"
#include "kernel_modules.h"

#if defined(__x86_64__)
#define DISTRIBUTION_KERNEL "linux-image-cloud-amd64"
#else
#define DISTRIBUTION_KERNEL "linux-image-cloud-arm64"
#endif
#define IMAGE_PREFIX "linux-image-"

/* A meta package depends on the real one: "  Depends: linux-image-6.1.0-56-cloud-amd64". */
static int package_resolve(int dir_fd, const char *package, char ret[128], struct err *e)
{
	auto_buf out = BUF_LIMIT(1U << 20);
	static const char key[] = "Depends: " IMAGE_PREFIX;
	const char *p;
	size_t n;

	snprintf(ret, 128, "%s", package);
	if (strncmp(package, IMAGE_PREFIX, strlen(IMAGE_PREFIX)) != 0)
		return err_plain(e, EINVAL, "%s is not a kernel package (" IMAGE_PREFIX "...)",
				 package);
	if (kernel_tool(
		    dir_fd,
		    (const char *const[]){ "apt-cache", "depends", "--important", package, NULL },
		    &out, e) < 0)
		return err_wrap(e, "look up package %s (is \"apt-get update\" needed?)", package);
	p = out.data ? strstr(out.data, key) : NULL;
	if (!p)
		return 0;
	p += strlen("Depends: ");
	n = strcspn(p, " \n");
	if (n >= 128)
		return err_plain(e, ENAMETOOLONG, "package %s depends on an endless name", package);
	memcpy(ret, p, n);
	ret[n] = '\0';
	return 0;
}

/* The one entry of directory `path` that begins with `prefix`. */
static int entry_find(int dir_fd, const char *path, const char *prefix, char ret[256],
		      struct err *e)
{
	auto_dir d = dir_open_at(dir_fd, path, 0);
	struct dirent *de;

	while (d && (de = readdir(d))) {
		if (de->d_name[0] == '.' || strncmp(de->d_name, prefix, strlen(prefix)) != 0)
			continue;
		snprintf(ret, 256, "%s", de->d_name);
		return 0;
	}
	return err_plain(e, ENOENT, "the package has no %s/%s*", path, prefix);
}

static int package_fetch(struct kernel_scratch *s, const char *package, struct err *e)
{
	auto_buf ignored = BUF_LIMIT(1U << 20);
	char deb[256];

	if (mkdirat(s->fd, "x", 0700) < 0)
		return err_set(e, errno, "mkdir");
	if (kernel_tool(s->fd,
			(const char *const[]){ "apt-get", "download", "-q", "-o",
					       "APT::Sandbox::User=root", package, NULL },
			&ignored, e) < 0)
		return err_wrap(e, "download %s", package);
	if (entry_find(s->fd, ".", IMAGE_PREFIX, deb, e) < 0)
		return -e->code;
	return kernel_tool(s->fd, (const char *const[]){ "dpkg-deb", "-x", deb, "x", NULL }, NULL,
			   e);
}

static int package_take(struct kernel_scratch *s, char version[256], struct err *e)
{
	auto_buf modules = { 0 };
	auto_buf drivers = { 0 };
	auto_fd tree = -1;
	char path[600];

	if (entry_find(s->fd, "x/boot", "vmlinuz-", version, e) < 0)
		return -e->code;
	snprintf(path, sizeof(path), "x/boot/%s", version);
	if (renameat(s->fd, path, s->fd, "kernel") < 0)
		return err_set(e, errno, "take %s", path);
	memmove(version, version + strlen("vmlinuz-"), strlen(version + strlen("vmlinuz-")) + 1);
	snprintf(path, sizeof(path), "x/lib/modules/%s/kernel", version);
	tree = openat(s->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (tree < 0) {
		snprintf(path, sizeof(path), "x/usr/lib/modules/%s/kernel", version);
		tree = openat(s->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (tree < 0)
		return err_set(e, errno, "open modules of %s", version);
	if (kernel_modules_pack(tree, KERNEL_MODULES_VM, &modules, e) < 0 ||
	    kernel_modules_pack(tree, KERNEL_MODULES_DISK, &drivers, e) < 0 ||
	    file_write_atomic_at(s->fd, "modules", 0600, modules.data, modules.len, e) < 0)
		return -e->code;
	return file_write_atomic_at(s->fd, KERNEL_DRIVERS_FILE, 0600, drivers.data, drivers.len, e);
}

static int scratch_tidy(struct kernel_scratch *s, struct err *e)
{
	char deb[256];

	if (tree_remove_at(s->fd, "x", e) < 0 || entry_find(s->fd, ".", IMAGE_PREFIX, deb, e) < 0)
		return -e->code;
	return tree_remove_at(s->fd, deb, e);
}

int engine_kernel_install(struct engine *g, const char *package, const struct progress_ops *p,
			  char **ret_name, struct err *e)
{
	struct kernel_scratch s = { .kernels_fd = -1, .fd = -1 };
	char real[128], version[256];
	int rc = kernel_scratch_make(g, &s, e);

	if (rc < 0)
		return rc;
	rc = package_resolve(s.fd, package ? package : DISTRIBUTION_KERNEL, real, e);
	if (rc == 0) {
		kernel_say(p, "Downloading %s", real);
		rc = package_fetch(&s, real, e);
	}
	if (rc == 0) {
		kernel_say(p, "Packing kernel and modules");
		rc = package_take(&s, version, e);
	}
	if (rc == 0)
		rc = scratch_tidy(&s, e);
	if (rc == 0)
		rc = kernel_keep(g, &s, version, version, real, e);
	if (rc == 0) {
		*ret_name = strdup(version);
		rc = *ret_name ? 0 : err_set(e, ENOMEM, "kernel name");
	}
	kernel_scratch_drop(&s);
	return rc;
}
