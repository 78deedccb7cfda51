/* SPDX-License-Identifier: MIT */
/* disk_words.c - see disk_words.h */
#include "disk_words.h"

#define ROOTS_MAX 64U
_Static_assert(ROOTS_MAX + 16 < DISK_WORDS_MAX, "roots, and what else is said of a disk");

int disk_words_pair(struct disk_words *w, const char *key, const char *value, struct err *e)
{
	char *text;

	if (!value)
		return 0;
	if (asprintf(&text, "%s=%s", key, value) < 0)
		return err_set(e, ENOMEM, "command line of a worker");
	w->owned[w->n_owned++] = text;
	w->v[w->n++] = text;
	return 0;
}

int disk_words_parents(struct disk_words *w, const struct vhd_open_options *o, struct err *e)
{
	if (o->n_roots > ROOTS_MAX)
		return err_plain(e, EINVAL, "--parent-root: at most %u", ROOTS_MAX);
	if (o->flags & VHD_OPEN_ANY_PARENT)
		w->v[w->n++] = "any-parent";
	if (disk_words_pair(w, "parent", o->parent, e) < 0 ||
	    disk_words_pair(w, "windows-root", o->windows_root, e) < 0)
		return -e->code;
	for (size_t i = 0; i < o->n_roots; i++)
		if (disk_words_pair(w, "root", o->roots[i], e) < 0)
			return -e->code;
	return 0;
}

void disk_words_done(struct disk_words *w)
{
	for (size_t i = 0; i < w->n_owned; i++)
		free(w->owned[i]);
}
