/* SPDX-License-Identifier: MIT */
/* disk_arguments.c - words about the parents of a disk */
#include "disk_arguments.h"

#include <string.h>

const char *disk_argument_value(const char *arg, const char *key)
{
	const size_t len = strlen(key);

	return strncmp(arg, key, len) == 0 && arg[len] == '=' ? arg + len + 1 : NULL;
}

int disk_argument_take(struct disk_arguments *a, const char *arg, struct err *e)
{
	const char *value;

	if (strcmp(arg, "any-parent") == 0)
		a->open.flags |= VHD_OPEN_ANY_PARENT;
	else if ((value = disk_argument_value(arg, "parent")))
		a->open.parent = value;
	else if ((value = disk_argument_value(arg, "windows-root")))
		a->open.windows_root = value;
	else if ((value = disk_argument_value(arg, "root")) && a->open.n_roots < DISK_ROOTS_MAX)
		a->roots[a->open.n_roots++] = value;
	else
		return err_plain(e, EINVAL, "bad argument: %.100s", arg);
	if (a->open.n_roots)
		a->open.roots = a->roots;
	return 0;
}
