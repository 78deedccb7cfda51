/* SPDX-License-Identifier: MIT */
/*
 * share_attr.c - [U] GETATTR, SETATTR, STATFS
 *
 * Hostile: values that are set; times and sizes out of range are refused here.
 */
#include <fcntl.h>
#include <sys/vfs.h>

#include "share_ops.h"

#define ATTR_VALID_S 1U
#define NS_PER_S     1000000000U

int share_stat(int fd, struct statx *ret)
{
	struct statx st = { 0 };

	if (statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_MNT_ID,
		  &st) < 0)
		return -errno;
	*ret = st;
	return 0;
}

/* As the kernel packs a device's number in 32 bits. */
static uint32_t rdev_pack(uint32_t major, uint32_t minor)
{
	return (minor & 0xff) | major << 8 | (minor & ~0xffU) << 12;
}

void share_attr_fill(const struct share *s, const struct statx *st, struct fuse_attr *ret)
{
	*ret = (struct fuse_attr){
		.ino = st->stx_ino,
		.size = st->stx_size,
		.blocks = st->stx_blocks,
		.atime = (uint64_t)st->stx_atime.tv_sec,
		.mtime = (uint64_t)st->stx_mtime.tv_sec,
		.ctime = (uint64_t)st->stx_ctime.tv_sec,
		.atimensec = st->stx_atime.tv_nsec,
		.mtimensec = st->stx_mtime.tv_nsec,
		.ctimensec = st->stx_ctime.tv_nsec,
		.mode = st->stx_mode,
		.nlink = st->stx_nlink,
		.uid = share_uid_shown(s, st->stx_uid),
		.gid = share_gid_shown(s, st->stx_gid),
		.rdev = rdev_pack(st->stx_rdev_major, st->stx_rdev_minor),
		.blksize = st->stx_blksize,
	};
}

static int attr_put(struct share *s, struct share_call *c)
{
	struct fuse_attr_out out = { .attr_valid = ATTR_VALID_S };
	struct statx st = { 0 };
	int rc = share_stat(c->inode->fd, &st);

	if (rc < 0)
		return rc;
	share_attr_fill(s, &st, &out.attr);
	share_put(c, &out, sizeof(out));
	return 0;
}

int share_op_getattr(struct share *s, struct share_call *c)
{
	return attr_put(s, c);
}

/* ---- SETATTR ---- */

static int mode_set(struct share *s, const struct share_inode *i, uint32_t mode)
{
	if (i->type == S_IFLNK)
		return -EOPNOTSUPP;
	return fchmodat(s->proc_fd, share_fd_name(i->fd).text, mode & 07777, 0) < 0 ? -errno : 0;
}

static int owner_set(struct share *s, const struct share_inode *i, const struct fuse_setattr_in *in)
{
	uid_t uid = (uid_t)-1;
	gid_t gid = (gid_t)-1;

	if ((in->valid & FATTR_UID) && share_uid_of(s, in->uid, &uid) < 0)
		return -EPERM;
	if ((in->valid & FATTR_GID) && share_gid_of(s, in->gid, &gid) < 0)
		return -EPERM;
	if (uid == (uid_t)-1 && gid == (gid_t)-1)
		return 0;
	return fchownat(i->fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int size_set(struct share *s, struct share_call *c, const struct fuse_setattr_in *in)
{
	struct share_file *f;
	int fd, rc;

	if (in->size > INT64_MAX)
		return -EINVAL;
	if (in->valid & FATTR_FH) {
		f = share_file_get(s, c, in->fh, false);
		if (!f)
			return -EBADF;
		return ftruncate(f->fd, (off_t)in->size) < 0 ? -errno : 0;
	}
	if (c->inode->type != S_IFREG)
		return c->inode->type == S_IFDIR ? -EISDIR : -EINVAL;
	fd = share_open_inode(s, c->inode, O_WRONLY);
	if (fd < 0)
		return fd;
	rc = ftruncate(fd, (off_t)in->size) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

static struct timespec time_of(bool is_set, bool is_now, uint64_t s, uint32_t ns)
{
	if (!is_set)
		return (struct timespec){ .tv_nsec = UTIME_OMIT };
	if (is_now)
		return (struct timespec){ .tv_nsec = UTIME_NOW };
	return (struct timespec){ (time_t)s, ns };
}

static int times_set(const struct share_inode *i, const struct fuse_setattr_in *in)
{
	const struct timespec times[2] = {
		time_of(in->valid & FATTR_ATIME, in->valid & FATTR_ATIME_NOW, in->atime,
			in->atimensec),
		time_of(in->valid & FATTR_MTIME, in->valid & FATTR_MTIME_NOW, in->mtime,
			in->mtimensec),
	};

	if (in->atimensec >= NS_PER_S || in->mtimensec >= NS_PER_S)
		return -EINVAL; /* some have a meaning */
	return utimensat(i->fd, "", times, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

int share_op_setattr(struct share *s, struct share_call *c)
{
	struct fuse_setattr_in in;
	int rc = 0;

	share_arg(c, &in, sizeof(in));
	if (in.valid & FATTR_MODE)
		rc = mode_set(s, c->inode, in.mode);
	if (rc == 0 && (in.valid & (FATTR_UID | FATTR_GID)))
		rc = owner_set(s, c->inode, &in);
	if (rc == 0 && (in.valid & FATTR_SIZE))
		rc = size_set(s, c, &in);
	if (rc == 0 && (in.valid & (FATTR_ATIME | FATTR_MTIME)))
		rc = times_set(c->inode, &in);
	return rc < 0 ? rc : attr_put(s, c);
}

int share_op_statfs(struct share *s, struct share_call *c)
{
	struct fuse_statfs_out out = { 0 };
	struct statfs st;

	(void)s;
	if (fstatfs(c->inode->fd, &st) < 0)
		return -errno;
	out.st = (struct fuse_kstatfs){
		.blocks = st.f_blocks,
		.bfree = st.f_bfree,
		.bavail = st.f_bavail,
		.files = st.f_files,
		.ffree = st.f_ffree,
		.bsize = (uint32_t)st.f_bsize,
		.frsize = (uint32_t)st.f_frsize,
		.namelen = SHARE_NAME_MAX,
	};
	share_put(c, &out, sizeof(out));
	return 0;
}
