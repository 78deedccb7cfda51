/* SPDX-License-Identifier: MIT */
/*
 * engine_doctor.c - looks at the host and says, for each thing a machine needs, what to do
 */
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

#include "driver.h"
#include "engine.h"
#include "fdio.h"
#include "json_text.h"
#include "kernel.h"
#include "shape.h"

#define DISK_WARN_BYTES (5ULL << 30)
#define DISK_FAIL_BYTES (1ULL << 30)

enum finding { FINDING_OK, FINDING_WARN, FINDING_FAIL };

static void finding_add(json_t *list, const char *check, enum finding f, const char *advice,
			const char *fmt, ...) printf_like(5, 6);

static void finding_add(json_t *list, const char *check, enum finding f, const char *advice,
			const char *fmt, ...)
{
	static const char *const words[] = { "ok", "warn", "fail" };
	char detail[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	/* json_build_end() tells whether all are there */
	(void)json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}", "check", check,
						    "status", words[f], "detail", detail, "advice",
						    advice ? advice : ""));
}

/* A program in PATH or at an absolute path; the first of a NULL-terminated list that is there. */
static const char *program_find(const char *const *names, char path[512])
{
	const char *dirs = getenv("PATH") ?: "/usr/local/bin:/usr/bin:/bin";

	for (; *names; names++) {
		if (**names == '/') {
			if (access(*names, X_OK) == 0)
				return *names;
			continue;
		}
		for (const char *d = dirs; *d; d += strcspn(d, ":"), d += *d == ':') {
			snprintf(path, 512, "%.*s/%s", (int)strcspn(d, ":"), d, *names);
			if (access(path, X_OK) == 0)
				return path;
		}
		snprintf(path, 512, "/usr/sbin/%s", *names);
		if (access(path, X_OK) == 0)
			return path;
	}
	return NULL;
}

static void check_programs(json_t *list)
{
	static const struct {
		const char *check;
		const char *names[4];
		enum finding missing;
		const char *advice;
	} programs[] = {
		{ "disks (nbdkit)", { "nbdkit" }, FINDING_FAIL, "install the package nbdkit" },
		{ "network (passt)",
		  { "passt" },
		  FINDING_FAIL,
		  "install the package passt, or run with --network none" },
		{ "bind mounts (virtiofsd)",
		  { "/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd", "virtiofsd" },
		  FINDING_WARN,
		  "install the package qemu-system-common (or virtiofsd) to use -v" },
		{ "writable layers (mkfs.ext4)",
		  { "mkfs.ext4" },
		  FINDING_FAIL,
		  "install the package e2fsprogs" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		char path[512];
		const char *found = program_find(programs[i].names, path);

		if (found)
			finding_add(list, programs[i].check, FINDING_OK, NULL, "%s", found);
		else
			finding_add(list, programs[i].check, programs[i].missing,
				    programs[i].advice, "not found");
	}
}

static void check_vmm(struct engine *g, json_t *list)
{
	const struct vm_driver_ops *d;
	struct vm_driver_info info;
	struct err e = { 0 };

	if (shape_driver(g, SHAPE_DRIVER_AUTO, &d, &e) < 0 || d->probe(&info, &e) < 0) {
		finding_add(list, "virtual machine monitor", FINDING_FAIL,
			    "install the package qemu-system-x86", "%s", e.msg);
		return;
	}
	finding_add(list, "virtual machine monitor", FINDING_OK, NULL, "%s", info.version);
	if (!strcmp(info.accel, "kvm"))
		finding_add(list, "hardware virtualisation (KVM)", FINDING_OK, NULL, "%s",
			    info.accel_reason);
	else
		finding_add(
			list, "hardware virtualisation (KVM)", FINDING_WARN,
			"machines run emulated: slower, and the wall is the sandboxed emulator process (see SECURITY.md)",
			"%s", info.accel_reason);
}

static void check_helpers(struct engine *g, json_t *list)
{
	static const char *const names[] = { "caisson-keeper",   "caisson-fetch", "caisson-unpack",
					     "caisson-template", "caisson-mount", "caisson-foreign",
					     "caisson-import",   "caisson-vmm",   "caisson-share",
					     "caisson-init" };
	char missing[256] = "";

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char path[4096];
		size_t n = strlen(missing);

		snprintf(path, sizeof(path), "%s/%s", engine_libexec(g), names[i]);
		if (access(path, X_OK) < 0)
			snprintf(missing + n, sizeof(missing) - n, "%s%s", n ? ", " : "", names[i]);
	}
	if (*missing)
		finding_add(list, "caisson's own programs", FINDING_FAIL,
			    "install caisson again, whole", "missing in %s: %s", engine_libexec(g),
			    missing);
	else
		finding_add(list, "caisson's own programs", FINDING_OK, NULL, "%s",
			    engine_libexec(g));
}

static void check_kernel(struct engine *g, json_t *list)
{
	struct kernel k;
	struct err e = { 0 };

	if (kernel_open(g, NULL, &k, &e) < 0) {
		finding_add(list, "guest kernel", FINDING_FAIL, "run \"caisson kernel install\"",
			    "%s", e.msg);
		return;
	}
	finding_add(list, "guest kernel", FINDING_OK, NULL, "%s", k.name);
	kernel_done(&k);
}

/* The number in a /proc/sys file; -1 when it is not there. */
static long sysctl_read(const char *path)
{
	auto_buf b = { 0 };
	struct err ignored;

	if (file_read_at(AT_FDCWD, path, 64, &b, &ignored) < 0 || !b.len)
		return -1;
	return strtol(b.data, NULL, 10);
}

static void check_namespaces(json_t *list)
{
	long max = sysctl_read("/proc/sys/user/max_user_namespaces");
	long allowed = sysctl_read("/proc/sys/kernel/unprivileged_userns_clone");

	if (geteuid() == 0)
		finding_add(list, "user namespaces", FINDING_OK, NULL, "not needed as root");
	else if (max == 0 || allowed == 0)
		finding_add(
			list, "user namespaces", FINDING_WARN,
			"sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=15000 (for -v and the "
			"tightest sandbox)",
			"not allowed for ordinary users");
	else
		finding_add(list, "user namespaces", FINDING_OK, NULL, "allowed");
}

static void check_cgroups(json_t *list)
{
	if (access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0)
		finding_add(list, "control groups", FINDING_OK, NULL, "version 2");
	else
		finding_add(
			list, "control groups", FINDING_OK, NULL,
			"version 1 or none: not needed, a machine's memory and processors are its own");
}

static void check_space(struct engine *g, json_t *list)
{
	struct store *s = engine_store(g);
	struct statvfs v;
	unsigned long long left;
	enum finding f;

	if (!s || fstatvfs(store_root_fd(s), &v) < 0) {
		finding_add(list, "store", FINDING_FAIL, "check the permissions of its directory",
			    "cannot be opened");
		return;
	}
	left = (unsigned long long)v.f_bavail * v.f_frsize;
	f = left < DISK_FAIL_BYTES   ? FINDING_FAIL
	    : left < DISK_WARN_BYTES ? FINDING_WARN
				     : FINDING_OK;
	finding_add(list, "store", f,
		    f == FINDING_OK ? NULL : "free some space (\"caisson image prune\")",
		    "%s, %.1f GB free", store_root_path(s), (double)left / 1e9);
}

int engine_doctor(struct engine *g, json_t **ret, struct err *e)
{
	json_t *list;

	json_build_begin();
	list = json_array();
	check_vmm(g, list);
	check_kernel(g, list);
	check_helpers(g, list);
	check_programs(list);
	check_namespaces(list);
	check_cgroups(list);
	check_space(g, list);
	*ret = json_build_end(list);
	return *ret ? 0 : err_set(e, ENOMEM, "doctor");
}

int engine_version(struct engine *g, json_t **ret, struct err *e)
{
	struct vm_driver_info info = { .accel = "none" };
	const struct vm_driver_ops *d;
	char kernel[KERNEL_NAME_MAX + 1] = "", digest[65];
	struct err ignored = { 0 };
	struct utsname u;

	if (shape_driver(g, SHAPE_DRIVER_AUTO, &d, e) < 0)
		return -e->code;
	if (d->probe(&info, &ignored) < 0)
		snprintf(info.accel_reason, sizeof(info.accel_reason), "%.150s", ignored.msg);
	if (kernel_digest(g, NULL, kernel, digest, &ignored) < 0)
		*kernel = '\0'; /* none installed: shown as such */
	uname(&u);
	*ret = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "version", CAISSON_VERSION,
			 "driver", d->name, "accelerator", info.accel, "accelerator_reason",
			 info.accel_reason, "vmm_version", info.version, "kernel", kernel, "os",
			 "linux", "arch", u.machine);
	return *ret ? 0 : err_set(e, ENOMEM, "version");
}
