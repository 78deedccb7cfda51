/* SPDX-License-Identifier: MIT */
/*
 * share_make.c - [U] names that are made: MKNOD, MKDIR, SYMLINK, LINK
 *
 * Hostile: names and modes. What another puts in the place of what was made, before it is looked
 *   at, lies in the share too; it is given to nobody (share_owner_give).
 */
#include <fcntl.h>

#include "share_ops.h"

/* `name` was made: give it its owner and tell the guest. */
static int made_put(struct share *s, struct share_call *c, const char *name, uint32_t type,
		    const struct share_owner *o)
{
	struct fuse_entry_out out = { 0 };
	int fd = share_open_beneath(c->inode->fd, name, O_PATH | O_NOFOLLOW, 0);
	int rc;

	if (fd < 0)
		return fd;
	rc = share_owner_give(s, fd, type, o);
	if (rc < 0) {
		close(fd);
		if (rc != -ESTALE)
			(void)unlinkat(c->inode->fd, name, type == S_IFDIR ? AT_REMOVEDIR : 0);
		return rc; /* that of the owner is the one to tell */
	}
	rc = share_entry_of(s, fd, &out);
	if (rc == 0)
		share_put(c, &out, sizeof(out));
	return rc;
}

int share_op_mknod(struct share *s, struct share_call *c)
{
	struct fuse_mknod_in in;
	struct share_owner owner;
	const char *name;
	size_t off = sizeof(in);
	uint32_t type;
	int rc;

	share_arg(c, &in, sizeof(in));
	type = in.mode & S_IFMT ? in.mode & S_IFMT : S_IFREG;
	if (type == S_IFCHR || type == S_IFBLK)
		return -EPERM;
	if (type != S_IFREG && type != S_IFIFO && type != S_IFSOCK)
		return -EINVAL;
	rc = share_arg_name(c, &off, &name);
	if (rc == 0)
		rc = share_owner_new(s, c, &owner);
	if (rc < 0)
		return rc;
	if (mknodat(c->inode->fd, name, type | (in.mode & 01777), 0) < 0) /* I3 */
		return -errno;
	return made_put(s, c, name, type, &owner);
}

int share_op_mkdir(struct share *s, struct share_call *c)
{
	struct fuse_mkdir_in in;
	struct share_owner owner;
	const char *name;
	size_t off = sizeof(in);
	int rc;

	share_arg(c, &in, sizeof(in));
	rc = share_arg_name(c, &off, &name);
	if (rc == 0)
		rc = share_owner_new(s, c, &owner);
	if (rc < 0)
		return rc;
	if (mkdirat(c->inode->fd, name, in.mode & 01777) < 0)
		return -errno;
	return made_put(s, c, name, S_IFDIR, &owner);
}

/* The target is the guest's business: nothing here ever follows it. */
int share_op_symlink(struct share *s, struct share_call *c)
{
	const char *name, *target;
	struct share_owner owner;
	size_t off = 0;
	int rc = share_arg_name(c, &off, &name);

	if (rc == 0)
		rc = share_arg_text(c, &off, &target);
	if (rc == 0)
		rc = share_owner_new(s, c, &owner);
	if (rc < 0)
		return rc;
	if (symlinkat(target, c->inode->fd, name) < 0)
		return -errno;
	return made_put(s, c, name, S_IFLNK, &owner);
}

/* By the descriptor's entry in /proc: an empty path would need a capability. */
int share_op_link(struct share *s, struct share_call *c)
{
	const struct share_owner nobody = { (uid_t)-1, (gid_t)-1 };
	const struct share_inode *old;
	struct fuse_link_in in;
	const char *name;
	size_t off = sizeof(in);
	int rc;

	share_arg(c, &in, sizeof(in));
	rc = share_arg_name(c, &off, &name);
	if (rc < 0)
		return rc;
	old = share_inode_get(s, in.oldnodeid);
	if (!old)
		return -ESTALE;
	if (linkat(s->proc_fd, share_fd_name(old->fd).text, c->inode->fd, name, AT_SYMLINK_FOLLOW) <
	    0)
		return -errno;
	return made_put(s, c, name, old->type, &nobody);
}
