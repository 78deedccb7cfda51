/* SPDX-License-Identifier: MIT */
/*
 * kernel_build.c - the small kernel, from the distribution's source package
 *
 * The configuration (kernel/x86_64.config) is part of this binary. Builds aside in the store's file
 * system; the ELF vmlinux is kept, stripped: it is entered through PVH, with no decompressor to
 * run.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "cpio.h"
#include "engine.h"
#include "fdio.h"
#include "kernel_internal.h"

static const char kernel_config[] =
#include "kernel_config.inc" /* made from the configuration by the build */
	;

#define SOURCE_DIR    "/usr/src"
#define SOURCE_PREFIX "linux-source-"
#define SOURCE_SUFFIX ".tar.xz"

static int source_find(char ret[512], struct err *e)
{
	auto_dir d = opendir(SOURCE_DIR);
	struct dirent *de;
	char best[256] = "";

	while (d && (de = readdir(d))) {
		size_t n = strlen(de->d_name);

		if (strncmp(de->d_name, SOURCE_PREFIX, strlen(SOURCE_PREFIX)) != 0 ||
		    n < strlen(SOURCE_SUFFIX) ||
		    strcmp(de->d_name + n - strlen(SOURCE_SUFFIX), SOURCE_SUFFIX) != 0)
			continue;
		if (strverscmp(de->d_name, best) > 0)
			snprintf(best, sizeof(best), "%s", de->d_name);
	}
	if (!*best)
		return err_plain(e, ENOENT,
				 "no kernel source in " SOURCE_DIR
				 ": install the packages linux-source, gcc, make, "
				 "flex, bison, bc and libelf-dev");
	snprintf(ret, 512, SOURCE_DIR "/%s", best);
	return 0;
}

static int source_unpack(struct kernel_scratch *s, const char *tarball, struct err *e)
{
	if (mkdirat(s->fd, "src", 0700) < 0 || mkdirat(s->fd, "obj", 0700) < 0)
		return err_set(e, errno, "mkdir");
	return kernel_tool(s->fd,
			   (const char *const[]){ "tar", "-x", "-f", tarball, "-C", "src",
						  "--strip-components=1", NULL },
			   NULL, e);
}

static int make_run(struct kernel_scratch *s, const char *target, const char *extra,
		    struct buf *out, struct err *e)
{
	auto_buf ignored = { 0 };
	char jobs[32];

	snprintf(jobs, sizeof(jobs), "-j%ld", sysconf(_SC_NPROCESSORS_ONLN));
	return kernel_tool(s->fd,
			   (const char *const[]){ "make", "-s", "-C", "src", "O=../obj", jobs,
						  target, extra, NULL },
			   out ? out : &ignored, e);
}

/* All that is not the result goes: sources and objects are a gigabyte. */
static int result_take(struct kernel_scratch *s, struct err *e)
{
	auto_buf modules = { 0 };

	if (cpio_add(&modules, "modules.list", S_IFREG | 0444, NULL, 0) < 0 ||
	    cpio_end(&modules) < 0)
		return err_set(e, ENOMEM, "initrd");
	if (kernel_tool(s->fd,
			(const char *const[]){ "strip", "-o", "kernel", "obj/vmlinux", NULL }, NULL,
			e) < 0)
		return -e->code;
	if (tree_remove_at(s->fd, "src", e) < 0 || tree_remove_at(s->fd, "obj", e) < 0 ||
	    tree_remove_at(s->fd, "config", e) < 0)
		return -e->code;
	return file_write_atomic_at(s->fd, "modules", 0600, modules.data, modules.len, e);
}

static int kernel_compile(struct kernel_scratch *s, const struct progress_ops *p, char version[128],
			  struct err *e)
{
	auto_buf release = { 0 };
	char tarball[512], path[64];
	size_t n;

	if (source_find(tarball, e) < 0)
		return -e->code;
	kernel_say(p, "Unpacking %s", tarball);
	if (source_unpack(s, tarball, e) < 0 ||
	    file_write_atomic_at(s->fd, "config", 0600, kernel_config, sizeof(kernel_config) - 1,
				 e) < 0)
		return -e->code;
	kernel_say(p, "Building (a few minutes)");
	snprintf(path, sizeof(path), "KCONFIG_ALLCONFIG=../config");
	if (make_run(s, "allnoconfig", path, NULL, e) < 0 ||
	    make_run(s, "vmlinux", NULL, NULL, e) < 0 ||
	    make_run(s, "kernelrelease", NULL, &release, e) < 0)
		return -e->code;
	n = release.data ? strcspn(release.data, "\n ") : 0;
	snprintf(version, 128, "%.*s", (int)MIN_OF(n, (size_t)100),
		 release.data ? release.data : "");
	return result_take(s, e);
}

int engine_kernel_build(struct engine *g, const struct progress_ops *p, char **ret_name,
			struct err *e)
{
	struct kernel_scratch s = { .kernels_fd = -1, .fd = -1 };
	char version[128] = "", name[160];
	int rc = kernel_scratch_make(g, &s, e);

	if (rc < 0)
		return rc;
	rc = kernel_compile(&s, p, version, e);
	snprintf(name, sizeof(name), "small-%.50s", version);
	if (rc == 0)
		rc = kernel_keep(g, &s, name, version, "linux-source", e);
	if (rc == 0) {
		*ret_name = strdup(name);
		rc = *ret_name ? 0 : err_set(e, ENOMEM, "kernel name");
	}
	kernel_scratch_drop(&s);
	return rc;
}
