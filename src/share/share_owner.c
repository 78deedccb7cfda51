/* SPDX-License-Identifier: MIT */
/*
 * share_owner.c - [U] owners in the guest and owners on the host
 *
 * A server that is root gives new files to whom the guest says, after they were made: it never
 * acts as that user, so a moment of being root's is all there is to see. Another one owns them.
 *
 * Hostile: all numbers of owners.
 */
#include <fcntl.h>

#include "share_internal.h"

#define NOBODY 65534U

static uint32_t id_shown(const struct share *s, const struct share_ids *ids, uint32_t id)
{
	if (s->owners == SHARE_OWNERS_SAME)
		return id;
	if (s->owners == SHARE_OWNERS_SQUASHED)
		return ids->guest_base;
	if (id < ids->host_base || id - ids->host_base >= ids->count)
		return NOBODY;
	return ids->guest_base + (id - ids->host_base);
}

/* UINT32_MAX, which no one is, and which chown takes for "leave it": leave it. */
static int id_of(const struct share *s, const struct share_ids *ids, uint32_t shown, uint32_t *ret)
{
	if (shown == UINT32_MAX)
		return -EPERM;
	if (s->owners == SHARE_OWNERS_SAME) {
		*ret = shown;
		return 0;
	}
	if (s->owners == SHARE_OWNERS_SQUASHED) {
		*ret = UINT32_MAX;
		return shown == ids->guest_base ? 0 : -EPERM;
	}
	if (shown < ids->guest_base || shown - ids->guest_base >= ids->count)
		return -EPERM;
	*ret = ids->host_base + (shown - ids->guest_base);
	return 0;
}

uint32_t share_uid_shown(const struct share *s, uint32_t uid)
{
	return id_shown(s, &s->uids, uid);
}

uint32_t share_gid_shown(const struct share *s, uint32_t gid)
{
	return id_shown(s, &s->gids, gid);
}

int share_uid_of(const struct share *s, uint32_t shown, uid_t *ret)
{
	return id_of(s, &s->uids, shown, ret);
}

int share_gid_of(const struct share *s, uint32_t shown, gid_t *ret)
{
	return id_of(s, &s->gids, shown, ret);
}

int share_owner_new(const struct share *s, const struct share_call *c, struct share_owner *ret)
{
	struct share_owner o = { (uid_t)-1, (gid_t)-1 };
	struct statx dir = { 0 };
	int rc;

	if (s->gives_owner) {
		rc = share_stat(c->inode->fd, &dir);
		if (rc < 0)
			return rc;
		if (share_uid_of(s, c->in.uid, &o.uid) < 0 ||
		    share_gid_of(s, c->in.gid, &o.gid) < 0)
			return -EOVERFLOW;
		if (dir.stx_mode & S_ISGID) /* the host gives its group */
			o.gid = (gid_t)-1;
	}
	*ret = o;
	return 0;
}

int share_owner_give(const struct share *s, int fd, uint32_t type, const struct share_owner *o)
{
	struct statx st = { 0 };
	int rc;

	if (o->uid == (uid_t)-1 && o->gid == (gid_t)-1)
		return 0;
	rc = share_stat(fd, &st);
	if (rc < 0)
		return rc;
	/* Another has put something of his in its place. */
	if ((st.stx_mode & S_IFMT) != type || st.stx_uid != s->uid)
		return -ESTALE;
	if (fchownat(fd, "", o->uid, o->gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	/* On a file system that has no owners, or not these, it stays the server's. */
	return errno == EPERM || errno == EINVAL ? 0 : -errno;
}
