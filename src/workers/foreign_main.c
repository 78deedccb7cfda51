/* SPDX-License-Identifier: MIT */
/*
 * foreign_main.c - caisson-foreign: qemu-img on one image, in a sandbox
 *
 *	caisson-foreign info FORMAT		3 image
 *	caisson-foreign to-raw FORMAT		3 image, 4 raw file out
 *	caisson-foreign from-raw FORMAT		3 raw file, 4 image out
 *
 * Images come by descriptor. qemu-img opens its files by itself, so it gets the names in /proc of
 * its descriptors, and Landlock lets it open what these are and no other file of the user's: what
 * an image says of backing files, data files and extents leads nowhere. The format is told, never
 * guessed, and nothing of the user's (names, environment) reaches qemu-img.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "log.h"
#include "sandbox.h"

#define IN_FD      3
#define OUT_FD     4
#define IN_NAME    "/proc/self/fd/3" /* foreign_info.c knows it */
#define OUT_NAME   "/proc/self/fd/4"
#define INFO_CPU_S 60U /* headers and tables only; a conversion is as long as its image */
#define PROGRAM    "qemu-img"
#define SOURCE(format, more)                                                                       \
	"json:{\"driver\":\"" format "\"," more                                                    \
	"\"file\":{\"driver\":\"file\",\"filename\":\"" IN_NAME "\"}}"

static const struct {
	const char *name, *source;
} formats[] = {
	{ "qcow2", SOURCE("qcow2", "\"backing\":null,") },
	{ "vmdk", SOURCE("vmdk", "\"backing\":null,") },
	{ "vhdx", SOURCE("vhdx", "") },
};

/* As a shell would, so that the program that Landlock is told is the one that runs. */
static int program_find(char *ret, size_t len, int *ret_fd, struct err *e)
{
	const char *dir = getenv("PATH");

	if (!dir || !*dir)
		dir = "/usr/bin:/bin";
	for (; *dir; dir += *dir == ':') {
		int n = (int)strcspn(dir, ":");
		auto_fd fd = -1;
		struct stat st;

		if (n > 0 && snprintf(ret, len, "%.*s/" PROGRAM, n, dir) < (int)len &&
		    access(ret, X_OK) == 0)
			fd = open(ret, O_PATH | O_CLOEXEC);
		dir += n;
		if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
			continue;
		*ret_fd = TAKE_FD(fd);
		return 0;
	}
	return err_plain(e, ENOENT,
			 PROGRAM " is not installed (qemu-utils); without it only raw and VHD are "
				 "converted");
}

static int program_become(const struct sandbox_policy *p, const char *path, const char *const *argv,
			  struct err *e)
{
	static const char *const env[] = { "LC_ALL=C", "MALLOC_ARENA_MAX=2", NULL };

	if (sandbox_enter(p, e) < 0)
		return -e->code;
	(void)execve(path, (char *const *)argv, (char *const *)env);
	return err_set(e, errno, "start %s", path);
}

static int run(const char *what, const char *format, struct err *e)
{
	static const int in_fd = IN_FD, out_fd = OUT_FD;
	struct sandbox_policy p = { .kind = SANDBOX_PROGRAM,
				    .read_fds = &in_fd,
				    .n_read_fds = 1,
				    .dir_fds = &out_fd,
				    .n_dir_fds = strcmp(what, "info") != 0 };
	const char *source = NULL;
	char path[4096];

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (strcmp(format, formats[i].name) == 0)
			source = formats[i].source;
	if (!source)
		return err_plain(e, EINVAL, "unknown format");
	if (program_find(path, sizeof(path), &p.program_fd, e) < 0)
		return -e->code;
	if (strcmp(what, "info") == 0) {
		const char *const argv[] = { PROGRAM, "info", "--output=json", source, NULL };

		p.cpu_s = INFO_CPU_S;
		return program_become(&p, path, argv, e);
	}
	if (strcmp(what, "to-raw") == 0) {
		const char *const argv[] = {
			PROGRAM, "convert", "-O", "raw", source, OUT_NAME, NULL
		};

		return program_become(&p, path, argv, e);
	}
	if (strcmp(what, "from-raw") == 0) {
		const char *const argv[] = { PROGRAM,           "convert", "-O", format,
					     SOURCE("raw", ""), OUT_NAME,  NULL };

		return program_become(&p, path, argv, e);
	}
	return err_plain(e, EINVAL, "unknown work");
}

int main(int argc, char **argv)
{
	struct err e = { 0 };

	log_init("caisson-foreign", LOG_LEVEL_WARN, STDERR_FILENO);
	if (argc != 3)
		err_plain(&e, EINVAL, "usage: caisson-foreign info|to-raw|from-raw FORMAT");
	else if (run(argv[1], argv[2], &e) == 0)
		return 0;
	fprintf(stderr, "%s\n", e.msg);
	return 1;
}
