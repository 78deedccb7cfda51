/* SPDX-License-Identifier: MIT */
/*
 * share_io.c - [U] what is done with open files
 *
 * Hostile: offsets and lengths. None indexes memory but READ's and WRITE's, which are cut to the
 *   reply and compared with the request; the host's kernel judges the others.
 */
#include <fcntl.h>
#include <string.h>

#include "share_ops.h"

/* So that one request does not keep the next waiting for long. */
#define COPY_MAX (16U << 20)

/* The request's argument, and the open file that it is about, whose number each begins with. */
static struct share_file *file_take(struct share *s, const struct share_call *c, void *ret_in,
				    size_t size, bool is_dir)
{
	uint64_t fh;

	share_arg(c, ret_in, size);
	memcpy(&fh, ret_in, sizeof(fh));
	return share_file_get(s, c, fh, is_dir);
}

int share_op_read(struct share *s, struct share_call *c)
{
	struct fuse_read_in in;
	struct share_file *f = file_take(s, c, &in, sizeof(in), false);
	ssize_t n;

	if (!f)
		return -EBADF;
	if (in.offset > INT64_MAX)
		return -EINVAL;
	n = pread(f->fd, c->out, MIN_OF(in.size, SHARE_DATA_MAX), (off_t)in.offset);
	if (n < 0)
		return -errno;
	c->out_len = (size_t)n;
	return 0;
}

/* Pages of a mapping go where they belong, with whatever open file the guest found for it. */
static ssize_t pages_write(struct share_file *f, const void *data, size_t len, off_t off)
{
	int flags = f->is_append ? fcntl(f->fd, F_GETFL) : 0;
	ssize_t n;

	if (flags < 0 || (f->is_append && fcntl(f->fd, F_SETFL, flags & ~O_APPEND) < 0))
		return -1;
	n = pwrite(f->fd, data, len, off);
	if (f->is_append && fcntl(f->fd, F_SETFL, flags) < 0)
		return -1;
	return n;
}

int share_op_write(struct share *s, struct share_call *c)
{
	struct fuse_write_out out = { 0 };
	struct fuse_write_in in;
	const uint8_t *data = c->arg + sizeof(in);
	struct share_file *f = file_take(s, c, &in, sizeof(in), false);
	ssize_t n;

	if (!f)
		return -EBADF;
	if (in.size > c->arg_len - sizeof(in) || in.size > SHARE_DATA_MAX || in.offset > INT64_MAX)
		return -EINVAL;
	n = in.write_flags & FUSE_WRITE_CACHE ? pages_write(f, data, in.size, (off_t)in.offset)
					      : pwrite(f->fd, data, in.size, (off_t)in.offset);
	if (n < 0)
		return -errno;
	out.size = (uint32_t)n;
	share_put(c, &out, sizeof(out));
	return 0;
}

/* The guest closes it, or one of several: some file systems have errors to tell only now. */
int share_op_flush(struct share *s, struct share_call *c)
{
	struct fuse_flush_in in;
	struct share_file *f = file_take(s, c, &in, sizeof(in), false);
	int fd;

	if (!f)
		return -EBADF;
	fd = dup(f->fd);
	if (fd < 0)
		return -errno;
	return close(fd) < 0 && errno != EINTR ? -errno : 0;
}

static int file_sync(struct share *s, struct share_call *c, bool is_dir)
{
	struct fuse_fsync_in in;
	struct share_file *f = file_take(s, c, &in, sizeof(in), is_dir);
	int rc;

	if (!f)
		return -EBADF;
	rc = in.fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(f->fd) : fsync(f->fd);
	return rc < 0 ? -errno : 0;
}

int share_op_fsync(struct share *s, struct share_call *c)
{
	return file_sync(s, c, false);
}

int share_op_fsyncdir(struct share *s, struct share_call *c)
{
	return file_sync(s, c, true);
}

int share_op_fallocate(struct share *s, struct share_call *c)
{
	const uint32_t allowed = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
	struct fuse_fallocate_in in;
	struct share_file *f = file_take(s, c, &in, sizeof(in), false);

	if (!f)
		return -EBADF;
	if (in.mode & ~allowed)
		return -EOPNOTSUPP;
	if (in.offset > INT64_MAX || in.length > INT64_MAX)
		return -EINVAL;
	if (fallocate(f->fd, (int)in.mode, (off_t)in.offset, (off_t)in.length) < 0)
		return -errno;
	return 0;
}

/* The guest knows by itself where its other whences lead. */
int share_op_lseek(struct share *s, struct share_call *c)
{
	struct fuse_lseek_out out = { 0 };
	struct fuse_lseek_in in;
	struct share_file *f = file_take(s, c, &in, sizeof(in), false);
	off_t off;

	if (!f)
		return -EBADF;
	if ((in.whence != SEEK_DATA && in.whence != SEEK_HOLE) || in.offset > INT64_MAX)
		return -EINVAL;
	off = lseek(f->fd, (off_t)in.offset, (int)in.whence);
	if (off < 0)
		return -errno;
	out.offset = (uint64_t)off;
	share_put(c, &out, sizeof(out));
	return 0;
}

int share_op_copy(struct share *s, struct share_call *c)
{
	struct fuse_copy_file_range_in in;
	struct fuse_write_out out = { 0 };
	const struct share_file *from = file_take(s, c, &in, sizeof(in), false);
	const struct share_file *to = share_file_find(s, in.nodeid_out, in.fh_out, false);
	off_t off_in, off_out;
	ssize_t n;

	if (!from || !to)
		return -EBADF;
	if (in.flags || in.off_in > INT64_MAX || in.off_out > INT64_MAX)
		return -EINVAL;
	off_in = (off_t)in.off_in;
	off_out = (off_t)in.off_out;
	n = copy_file_range(from->fd, &off_in, to->fd, &off_out, MIN_OF(in.len, COPY_MAX), 0);
	if (n < 0)
		return -errno;
	out.size = (uint32_t)n;
	share_put(c, &out, sizeof(out));
	return 0;
}
