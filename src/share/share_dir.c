/* SPDX-License-Identifier: MIT */
/*
 * share_dir.c - [U] OPENDIR, READDIR, READDIRPLUS, RELEASEDIR
 *
 * Each request lists from the place that the guest says, so that nothing of a listing is kept here.
 * The places are the host's file system's, which judges those that the guest made up.
 *
 * Hostile: offsets, sizes.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>

#include "share_ops.h"

#define LIST_MIN 1024U /* has room for the longest name */

int share_op_opendir(struct share *s, struct share_call *c)
{
	const struct share_file f = { .is_dir = true, .nodeid = c->in.nodeid };
	struct fuse_open_out out = { 0 };
	int rc, fd;

	if (c->inode->type != S_IFDIR)
		return -ENOTDIR;
	fd = share_open_inode(s, c->inode, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	rc = share_file_enter(s, fd, &f, &out.fh);
	if (rc == 0)
		share_put(c, &out, sizeof(out));
	return rc;
}

int share_op_releasedir(struct share *s, struct share_call *c)
{
	struct fuse_release_in in;
	struct share_file *f;

	share_arg(c, &in, sizeof(in));
	f = share_file_get(s, c, in.fh, true);
	if (!f)
		return -EBADF;
	share_file_close(s, f);
	return 0;
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Whether the entry fits into `max` bytes of reply, in which case it is there. */
static bool dirent_put(struct share *s, struct share_call *c, const struct dirent64 *d, size_t max,
		       bool is_plus)
{
	size_t name_len = strlen(d->d_name), head = is_plus ? sizeof(struct fuse_entry_out) : 0;
	size_t size = FUSE_DIRENT_ALIGN(head + FUSE_NAME_OFFSET + name_len);
	struct fuse_dirent out = {
		.ino = d->d_ino,
		.off = (uint64_t)d->d_off,
		.namelen = (uint32_t)name_len,
		.type = d->d_type,
	};
	struct fuse_entry_out entry = { 0 };
	uint8_t *p = c->out + c->out_len;

	if (size > max - c->out_len)
		return false;
	/* Without an inode (zeros), because it has gone or there are too many, it is a name. */
	if (is_plus && !is_dots(d->d_name) && share_entry(s, c->inode, d->d_name, &entry) < 0)
		memset(&entry, 0, sizeof(entry));
	memset(p, 0, size);
	memcpy(p, &entry, head);
	memcpy(p + head, &out, FUSE_NAME_OFFSET);
	memcpy(p + head + FUSE_NAME_OFFSET, d->d_name, name_len);
	c->out_len += size;
	return true;
}

/* ".." of the root is the root: what is above is nobody's business. */
static ino64_t ino_shown(struct share *s, const struct share_call *c, const struct dirent64 *d)
{
	return c->in.nodeid == FUSE_ROOT_ID && strcmp(d->d_name, "..") == 0 ? s->inodes.at[0].ino
									    : d->d_ino;
}

static int dir_read(struct share *s, struct share_call *c, bool is_plus)
{
	struct fuse_read_in in;
	struct share_file *f;
	size_t max, size;
	long n;

	share_arg(c, &in, sizeof(in));
	f = share_file_get(s, c, in.fh, true);
	if (!f)
		return -EBADF;
	if (in.offset > INT64_MAX)
		return -EINVAL;
	if (lseek(f->fd, (off_t)in.offset, SEEK_SET) < 0)
		return -errno;
	max = MIN_OF(in.size, SHARE_DATA_MAX);
	size = is_plus ? max / 4 : max; /* about as many as will fit */
	n = syscall(SYS_getdents64, f->fd, s->list,
		    MAX_OF(MIN_OF(size, sizeof(s->list)), LIST_MIN));
	if (n < 0)
		return -errno;
	for (long off = 0; off < n;) {
		struct dirent64 *d = (struct dirent64 *)(void *)(s->list + off);

		d->d_ino = ino_shown(s, c, d);
		if (!dirent_put(s, c, d, max, is_plus))
			return c->out_len ? 0 : -EINVAL;
		off += d->d_reclen;
	}
	return 0;
}

int share_op_readdir(struct share *s, struct share_call *c)
{
	return dir_read(s, c, false);
}

int share_op_readdirplus(struct share *s, struct share_call *c)
{
	return dir_read(s, c, true);
}
