/* SPDX-License-Identifier: MIT */
/*
 * share_create.c - [U] files that are opened: OPEN, CREATE, TMPFILE, RELEASE
 *
 * Hostile: flags and modes. Of the flags those are taken that say what the guest will do with the
 *   file; how it is found is not the guest's to say.
 */
#include <fcntl.h>

#include "share_ops.h"

static int flags_of(uint32_t guest)
{
	return (int)guest & (O_ACCMODE | O_APPEND | O_TRUNC | O_DSYNC | O_SYNC);
}

static bool flags_write(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
}

/* Takes `fd`. */
static int file_put(struct share *s, struct share_call *c, uint64_t nodeid, int fd, int flags)
{
	const struct share_file f = { .is_append = flags & O_APPEND, .nodeid = nodeid };
	struct fuse_open_out out = { 0 };
	int rc = share_file_enter(s, fd, &f, &out.fh);

	if (rc == 0)
		share_put(c, &out, sizeof(out));
	return rc;
}

int share_op_open(struct share *s, struct share_call *c)
{
	struct fuse_open_in in;
	int flags, fd;

	share_arg(c, &in, sizeof(in));
	flags = flags_of(in.flags);
	if (s->is_readonly && flags_write(flags))
		return -EROFS;
	if (c->inode->type == S_IFDIR)
		return -EISDIR;
	fd = share_open_inode(s, c->inode, flags);
	return fd < 0 ? fd : file_put(s, c, c->in.nodeid, fd, flags);
}

int share_op_release(struct share *s, struct share_call *c)
{
	struct fuse_release_in in;
	struct share_file *f;

	share_arg(c, &in, sizeof(in));
	f = share_file_get(s, c, in.fh, false);
	if (!f)
		return -EBADF;
	share_file_close(s, f);
	return 0;
}

/* The guest learns of an inode and gets it open: both or none. Takes `fd`. */
static int created_put(struct share *s, struct share_call *c, const struct fuse_entry_out *entry,
		       int fd, int flags)
{
	int rc;

	share_put(c, entry, sizeof(*entry));
	rc = file_put(s, c, entry->nodeid, fd, flags);
	if (rc < 0)
		share_entry_undo(s, entry);
	return rc;
}

/* Takes `fd`, a file that was made just now. */
static int made_file_put(struct share *s, struct share_call *c, const struct share_owner *o, int fd,
			 int flags)
{
	struct fuse_entry_out entry = { 0 };
	int path_fd, rc = share_owner_give(s, fd, S_IFREG, o);

	if (rc == 0) {
		path_fd = share_open_path(s, fd);
		rc = path_fd < 0 ? path_fd : share_entry_of(s, path_fd, &entry);
	}
	if (rc < 0) {
		close(fd);
		return rc;
	}
	return created_put(s, c, &entry, fd, flags);
}

/* It was there before. */
static int found_put(struct share *s, struct share_call *c, const char *name, int flags)
{
	struct fuse_entry_out entry = { 0 };
	const struct share_inode *i;
	int fd, rc = share_entry(s, c->inode, name, &entry);

	if (rc < 0)
		return rc;
	i = share_inode_get(s, entry.nodeid);
	fd = !i ? -ESTALE : i->type == S_IFDIR ? -EISDIR : share_open_inode(s, i, flags);
	if (fd < 0) {
		share_entry_undo(s, &entry);
		return fd;
	}
	return created_put(s, c, &entry, fd, flags);
}

int share_op_create(struct share *s, struct share_call *c)
{
	struct fuse_create_in in;
	struct share_owner owner;
	const char *name;
	size_t off = sizeof(in);
	int flags, fd, rc;

	share_arg(c, &in, sizeof(in));
	flags = flags_of(in.flags);
	rc = share_arg_name(c, &off, &name);
	if (rc == 0)
		rc = share_owner_new(s, c, &owner);
	if (rc < 0)
		return rc;
	fd = share_open_beneath(c->inode->fd, name, flags | O_CREAT | O_EXCL | O_NOFOLLOW,
				in.mode & 01777); /* I3 */
	if (fd == -EEXIST && !(in.flags & O_EXCL))
		return found_put(s, c, name, flags);
	if (fd < 0)
		return fd;
	rc = made_file_put(s, c, &owner, fd, flags);
	if (rc < 0)
		(void)unlinkat(c->inode->fd, name, 0); /* rc is the one to tell */
	return rc;
}

/* The name is none: "/". */
int share_op_tmpfile(struct share *s, struct share_call *c)
{
	struct fuse_create_in in;
	struct share_owner owner;
	int flags, fd, rc;

	share_arg(c, &in, sizeof(in));
	flags = flags_of(in.flags) & ~O_TRUNC;
	rc = share_owner_new(s, c, &owner);
	if (rc < 0)
		return rc;
	fd = share_open_beneath(c->inode->fd, ".", flags | O_TMPFILE, in.mode & 01777);
	return fd < 0 ? fd : made_file_put(s, c, &owner, fd, flags);
}
