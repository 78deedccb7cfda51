/* SPDX-License-Identifier: MIT */
/* libexec.c - see libexec.h */
#include "libexec.h"

#include <limits.h>
#include <string.h>

#include "cleanup.h"

/*
 * Programs of the build find each other: build/src/cli/caisson has build/libexec two levels up,
 * which holds links to all of them, and build.ninja beside that.
 */
char *libexec_dir(const char *given)
{
	char exe[PATH_MAX], path[PATH_MAX + 32];
	const char *env = getenv("CAISSON_LIBEXEC");
	ssize_t n;

	if (given && *given)
		return strdup(given);
	if (env && *env)
		return strdup(env);
	n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	for (int up = 0; n > 0 && up < 3; up++) { /* the program, its folder, src */
		while (n > 0 && exe[n - 1] != '/')
			n--;
		if (n > 0)
			n--;
	}
	if (n > 0) {
		exe[n] = '\0';
		snprintf(path, sizeof(path), "%s/build.ninja", exe);
		if (access(path, F_OK) == 0) {
			snprintf(path, sizeof(path), "%s/libexec", exe);
			return strdup(path);
		}
	}
	return strdup(CAISSON_LIBEXECDIR);
}
