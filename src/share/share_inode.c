/* SPDX-License-Identifier: MIT */
/*
 * share_inode.c - [U] the inodes that a guest knows
 *
 * A table of fixed size; a node's number is its place + 1 and, above 32 bits, how often the place
 * was used before: a number of the past finds nothing. An inode is in one place only, found by
 * device, number and mount.
 *
 * Hostile: numbers, and counts that are forgotten, which may be more than were given.
 */
#include "share_internal.h"

#define GEN_SHIFT 32

static uint32_t chain_of(const struct share_inodes *t, uint64_t dev, uint64_t ino, uint64_t mnt)
{
	uint64_t h = (ino ^ dev << 40 ^ mnt << 52) * 0x9e3779b97f4a7c15ULL;

	return (uint32_t)(h >> 32) & (t->n_chains - 1);
}

int share_inodes_init(struct share_inodes *t, uint32_t max, struct err *e)
{
	t->n_chains = 1;
	while (t->n_chains < max)
		t->n_chains *= 2;
	t->at = calloc(max, sizeof(*t->at));
	t->chains = calloc(t->n_chains, sizeof(*t->chains));
	if (!t->at || !t->chains)
		return err_set(e, ENOMEM, "share: %u inodes", max);
	t->max = max;
	return 0;
}

void share_inodes_done(struct share_inodes *t)
{
	for (uint32_t k = 0; k < t->n_touched; k++)
		fd_drop(&t->at[k].fd);
	free(t->at);
	free(t->chains);
}

struct share_inode *share_inode_get(struct share *s, uint64_t nodeid)
{
	struct share_inodes *t = &s->inodes;
	uint64_t place = (nodeid & UINT32_MAX) - 1; /* 0 wraps to far beyond the end */
	struct share_inode *i;

	if (place >= t->n_touched)
		return NULL;
	i = &t->at[place];
	return i->fd >= 0 && i->gen == nodeid >> GEN_SHIFT ? i : NULL;
}

uint64_t share_inode_id(const struct share *s, const struct share_inode *i)
{
	return (uint64_t)i->gen << GEN_SHIFT | (uint64_t)(i - s->inodes.at + 1);
}

static struct share_inode *inode_find(struct share_inodes *t, const struct share_inode *like)
{
	uint32_t k = t->chains[chain_of(t, like->dev, like->ino, like->mnt)];

	for (; k; k = t->at[k - 1].next) {
		struct share_inode *i = &t->at[k - 1];

		if (i->ino == like->ino && i->dev == like->dev && i->mnt == like->mnt)
			return i;
	}
	return NULL;
}

static struct share_inode *place_take(struct share_inodes *t)
{
	struct share_inode *i;

	if (t->free) {
		i = &t->at[t->free - 1];
		t->free = i->next;
		return i;
	}
	return t->n_touched < t->max ? &t->at[t->n_touched++] : NULL;
}

int share_inode_enter(struct share *s, int fd, const struct statx *st, struct share_inode **ret)
{
	struct share_inodes *t = &s->inodes;
	struct share_inode new = {
		.fd = fd,
		.type = st->stx_mode & S_IFMT,
		.dev = (uint64_t)st->stx_dev_major << 32 | st->stx_dev_minor,
		.ino = st->stx_ino,
		.mnt = st->stx_mask & STATX_MNT_ID ? st->stx_mnt_id : 0,
		.n_lookups = 1,
	};
	struct share_inode *i = inode_find(t, &new);
	uint32_t *chain = &t->chains[chain_of(t, new.dev, new.ino, new.mnt)];

	if (i) {
		close(fd);
		i->n_lookups++;
		*ret = i;
		return 0;
	}
	i = place_take(t);
	if (!i) {
		close(fd);
		return -ENFILE;
	}
	new.gen = i->gen;
	new.next = *chain;
	*i = new;
	*chain = (uint32_t)(i - t->at) + 1;
	*ret = i;
	return 0;
}

static void inode_drop(struct share_inodes *t, struct share_inode *i)
{
	uint32_t *link = &t->chains[chain_of(t, i->dev, i->ino, i->mnt)];
	uint32_t number = (uint32_t)(i - t->at) + 1;

	while (*link != number)
		link = &t->at[*link - 1].next;
	*link = i->next;
	fd_drop(&i->fd);
	i->gen++;
	i->next = t->free;
	t->free = number;
}

void share_inode_forget(struct share *s, struct share_inode *i, uint64_t n_lookups)
{
	if (i == s->inodes.at) /* the root */
		return;
	i->n_lookups -= MIN_OF(i->n_lookups, n_lookups);
	if (i->n_lookups == 0)
		inode_drop(&s->inodes, i);
}

void share_inodes_forget(struct share *s)
{
	for (uint32_t k = 1; k < s->inodes.n_touched; k++)
		if (s->inodes.at[k].fd >= 0)
			inode_drop(&s->inodes, &s->inodes.at[k]);
}
