/* SPDX-License-Identifier: MIT */
/*
 * share_file.c - [U] the files and directories that a guest has open
 *
 * As with inodes, a number is a place and how often it was used before.
 *
 * Hostile: numbers.
 */
#include "share_internal.h"

#define GEN_SHIFT 32

int share_files_init(struct share_files *t, uint32_t max, struct err *e)
{
	t->at = calloc(max, sizeof(*t->at));
	if (!t->at)
		return err_set(e, ENOMEM, "share: %u open files", max);
	t->max = max;
	return 0;
}

void share_files_done(struct share_files *t)
{
	for (uint32_t k = 0; k < t->n_touched; k++)
		fd_drop(&t->at[k].fd);
	free(t->at);
}

static struct share_file *place_take(struct share_files *t)
{
	struct share_file *f;

	if (t->free) {
		f = &t->at[t->free - 1];
		t->free = f->next;
		return f;
	}
	return t->n_touched < t->max ? &t->at[t->n_touched++] : NULL;
}

int share_file_enter(struct share *s, int fd, const struct share_file *f, uint64_t *ret_fh)
{
	struct share_file *place = place_take(&s->files);
	uint32_t gen;

	if (!place) {
		close(fd);
		return -ENFILE;
	}
	gen = place->gen;
	*place = *f;
	place->fd = fd;
	place->gen = gen;
	*ret_fh = (uint64_t)gen << GEN_SHIFT | (uint64_t)(place - s->files.at);
	return 0;
}

struct share_file *share_file_find(struct share *s, uint64_t nodeid, uint64_t fh, bool is_dir)
{
	struct share_file *f;

	if ((fh & UINT32_MAX) >= s->files.n_touched)
		return NULL;
	f = &s->files.at[fh & UINT32_MAX];
	if (f->fd < 0 || f->gen != fh >> GEN_SHIFT || f->nodeid != nodeid || f->is_dir != is_dir)
		return NULL;
	return f;
}

struct share_file *share_file_get(struct share *s, const struct share_call *c, uint64_t fh,
				  bool is_dir)
{
	return share_file_find(s, c->in.nodeid, fh, is_dir);
}

void share_file_close(struct share *s, struct share_file *f)
{
	fd_drop(&f->fd);
	f->gen++;
	f->next = s->files.free;
	s->files.free = (uint32_t)(f - s->files.at) + 1;
}

void share_files_close(struct share *s)
{
	for (uint32_t k = 0; k < s->files.n_touched; k++)
		if (s->files.at[k].fd >= 0)
			share_file_close(s, &s->files.at[k]);
}
