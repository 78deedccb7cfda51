/* SPDX-License-Identifier: MIT */
/*
 * share_xattr.c - [U] extended attributes, of users only
 *
 * What has a meaning to the host's kernel (security.*, system.*, trusted.*) is neither shown nor
 * set. Those of users exist on regular files and directories, which are opened for it: an O_PATH
 * descriptor has no attributes.
 *
 * Hostile: names, sizes.
 */
#include <fcntl.h>
#include <linux/limits.h>
#include <string.h>
#include <sys/xattr.h>

#include "share_ops.h"

static bool is_users(const char *name)
{
	return strncmp(name, "user.", 5) == 0 && name[5];
}

static int xattr_name(const struct share_call *c, size_t *io_off, const char **ret)
{
	const char *name;
	int rc = share_arg_text(c, io_off, &name);

	if (rc < 0)
		return rc;
	if (strlen(name) > XATTR_NAME_MAX)
		return -ERANGE;
	if (!is_users(name))
		return -EOPNOTSUPP;
	*ret = name;
	return 0;
}

static int xattr_open(struct share *s, const struct share_call *c)
{
	int fd = share_open_inode(s, c->inode, O_RDONLY);

	return fd == -ENXIO ? -EOPNOTSUPP : fd;
}

int share_op_setxattr(struct share *s, struct share_call *c)
{
	struct fuse_setxattr_in in = { 0 };
	size_t off = FUSE_COMPAT_SETXATTR_IN_SIZE;
	const char *name;
	int fd, rc;

	share_arg(c, &in, off);
	rc = xattr_name(c, &off, &name);
	if (rc < 0)
		return rc;
	if (in.size > c->arg_len - off || in.size > XATTR_SIZE_MAX ||
	    (in.flags & ~(uint32_t)(XATTR_CREATE | XATTR_REPLACE)))
		return -EINVAL;
	fd = xattr_open(s, c);
	if (fd < 0)
		return fd;
	rc = fsetxattr(fd, name, c->arg + off, in.size, (int)in.flags) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

int share_op_removexattr(struct share *s, struct share_call *c)
{
	const char *name;
	size_t off = 0;
	int fd, rc = xattr_name(c, &off, &name);

	if (rc < 0)
		return rc;
	fd = xattr_open(s, c);
	if (fd < 0)
		return fd;
	rc = fremovexattr(fd, name) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

/* A guest that asks for no bytes asks how many there are. */
static void size_put(struct share_call *c, size_t size)
{
	const struct fuse_getxattr_out out = { .size = (uint32_t)size };

	share_put(c, &out, sizeof(out));
}

int share_op_getxattr(struct share *s, struct share_call *c)
{
	struct fuse_getxattr_in in;
	size_t off = sizeof(in);
	const char *name;
	ssize_t n;
	int fd, rc;

	share_arg(c, &in, sizeof(in));
	rc = xattr_name(c, &off, &name);
	if (rc < 0)
		return rc;
	fd = xattr_open(s, c);
	if (fd < 0)
		return fd;
	n = fgetxattr(fd, name, in.size ? c->out : NULL, MIN_OF(in.size, XATTR_SIZE_MAX));
	rc = n < 0 ? -errno : 0;
	close(fd);
	if (rc == 0 && in.size)
		c->out_len = (size_t)n;
	else if (rc == 0)
		size_put(c, (size_t)n);
	return rc;
}

/* Take the others out of a list of names; what is left of its length. */
static size_t list_filter(char *list, size_t len)
{
	size_t kept = 0, size;

	for (size_t off = 0; off < len; off += size) {
		size = strnlen(list + off, len - off - 1) + 1;
		if (!is_users(list + off))
			continue;
		memmove(list + kept, list + off, size);
		kept += size;
	}
	return kept;
}

int share_op_listxattr(struct share *s, struct share_call *c)
{
	struct fuse_getxattr_in in;
	size_t size;
	ssize_t n;
	int fd, rc;

	share_arg(c, &in, sizeof(in));
	fd = xattr_open(s, c);
	if (fd < 0)
		return fd;
	n = flistxattr(fd, s->list, sizeof(s->list));
	rc = n < 0 ? -errno : 0;
	close(fd);
	if (rc < 0)
		return rc;
	size = list_filter(s->list, (size_t)n);
	if (in.size == 0)
		size_put(c, size);
	else if (size > in.size)
		return -ERANGE;
	else
		share_put(c, s->list, size);
	return 0;
}
