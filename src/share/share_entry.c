/* SPDX-License-Identifier: MIT */
/*
 * share_entry.c - [U] names that are there: LOOKUP, FORGET, READLINK, UNLINK, RMDIR, RENAME
 *
 * Hostile: names, numbers of the other directory, counts.
 */
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "share_ops.h"

#define ENTRY_VALID_S 1U

int share_entry_of(struct share *s, int fd, struct fuse_entry_out *ret)
{
	struct fuse_entry_out out = { .entry_valid = ENTRY_VALID_S, .attr_valid = ENTRY_VALID_S };
	struct share_inode *i;
	struct statx st = { 0 };
	int rc = share_stat(fd, &st);

	if (rc < 0) {
		close(fd);
		return rc;
	}
	rc = share_inode_enter(s, fd, &st, &i);
	if (rc < 0)
		return rc;
	out.nodeid = share_inode_id(s, i);
	share_attr_fill(s, &st, &out.attr);
	*ret = out;
	return 0;
}

int share_entry(struct share *s, const struct share_inode *dir, const char *name,
		struct fuse_entry_out *ret)
{
	int fd = share_open_beneath(dir->fd, name, O_PATH | O_NOFOLLOW, 0);

	return fd < 0 ? fd : share_entry_of(s, fd, ret);
}

void share_entry_undo(struct share *s, const struct fuse_entry_out *entry)
{
	struct share_inode *i = share_inode_get(s, entry->nodeid);

	if (i)
		share_inode_forget(s, i, 1);
}

int share_op_lookup(struct share *s, struct share_call *c)
{
	struct fuse_entry_out out = { 0 };
	const char *name;
	size_t off = 0;
	int rc = share_arg_name(c, &off, &name);

	if (rc == 0)
		rc = share_entry(s, c->inode, name, &out);
	if (rc == 0)
		share_put(c, &out, sizeof(out));
	return rc;
}

int share_op_forget(struct share *s, struct share_call *c)
{
	struct fuse_forget_in in;

	share_arg(c, &in, sizeof(in));
	share_inode_forget(s, c->inode, in.nlookup);
	return 0;
}

int share_op_batch_forget(struct share *s, struct share_call *c)
{
	struct fuse_batch_forget_in in;
	struct fuse_forget_one one;
	const uint8_t *p = c->arg + sizeof(in);
	size_t n = (c->arg_len - sizeof(in)) / sizeof(one);

	share_arg(c, &in, sizeof(in));
	for (n = MIN_OF(n, in.count); n > 0; n--, p += sizeof(one)) {
		struct share_inode *i;

		memcpy(&one, p, sizeof(one));
		i = share_inode_get(s, one.nodeid);
		if (i)
			share_inode_forget(s, i, one.nlookup);
	}
	return 0;
}

int share_op_readlink(struct share *s, struct share_call *c)
{
	char text[PATH_MAX];
	ssize_t n;

	(void)s;
	if (c->inode->type != S_IFLNK)
		return -EINVAL;
	n = readlinkat(c->inode->fd, "", text, sizeof(text));
	if (n < 0)
		return -errno;
	share_put(c, text, (size_t)n);
	return 0;
}

static int name_remove(const struct share_call *c, int flags)
{
	const char *name;
	size_t off = 0;
	int rc = share_arg_name(c, &off, &name);

	if (rc < 0)
		return rc;
	return unlinkat(c->inode->fd, name, flags) < 0 ? -errno : 0;
}

int share_op_unlink(struct share *s, struct share_call *c)
{
	(void)s;
	return name_remove(c, 0);
}

int share_op_rmdir(struct share *s, struct share_call *c)
{
	(void)s;
	return name_remove(c, AT_REMOVEDIR);
}

static int name_move(struct share *s, const struct share_call *c, size_t off, uint64_t newdir,
		     uint32_t flags)
{
	const struct share_inode *to = share_inode_get(s, newdir);
	const char *old_name, *new_name;
	int rc = share_arg_name(c, &off, &old_name);

	if (rc == 0)
		rc = share_arg_name(c, &off, &new_name);
	if (rc < 0)
		return rc;
	if (!to)
		return -ESTALE;
	if (flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	return renameat2(c->inode->fd, old_name, to->fd, new_name, flags) < 0 ? -errno : 0;
}

int share_op_rename(struct share *s, struct share_call *c)
{
	struct fuse_rename_in in;

	share_arg(c, &in, sizeof(in));
	return name_move(s, c, sizeof(in), in.newdir, 0);
}

int share_op_rename2(struct share *s, struct share_call *c)
{
	struct fuse_rename2_in in;

	share_arg(c, &in, sizeof(in));
	return name_move(s, c, sizeof(in), in.newdir, in.flags);
}
