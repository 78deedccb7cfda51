/* SPDX-License-Identifier: MIT */
/*
 * vhd_io_file.c - images in files and on block devices
 */
#include "vhd_internal.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

struct io_file {
	struct vhd_io io;
	int fd;
	bool is_device;
	char name[];
};

static struct io_file *file_of(struct vhd_io *io)
{
	return (struct io_file *)io;
}

/* Take `n` bytes off the front of a vector; the number of entries that are used up. */
static int iov_advance(struct iovec *iov, int n_iov, size_t n)
{
	int used = 0;

	while (used < n_iov && n >= iov[used].iov_len)
		n -= iov[used++].iov_len;
	if (used < n_iov) {
		iov[used].iov_base = (char *)iov[used].iov_base + n;
		iov[used].iov_len -= n;
	}
	return used;
}

typedef ssize_t vector_call(int fd, const struct iovec *iov, int n,
			    off_t off); /* preadv or pwritev */

static int transfer(vector_call *call, int fd, struct iovec *iov, int n, uint64_t off)
{
	while (n > 0) {
		ssize_t done = call(fd, iov, n, (off_t)off);
		int used;

		if (done < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		used = iov_advance(iov, n, (size_t)done);
		if (done == 0 && used == 0)
			return -ENODATA;
		iov += used;
		n -= used;
		off += (uint64_t)done;
	}
	return 0;
}

static int file_preadv(struct vhd_io *io, struct iovec *iov, int n, uint64_t off)
{
	/* the usual case costs least; what is short or fails is done again with all care */
	if (n == 1 && pread(file_of(io)->fd, iov->iov_base, iov->iov_len, (off_t)off) ==
			      (ssize_t)iov->iov_len)
		return 0;
	return transfer(preadv, file_of(io)->fd, iov, n, off);
}

static int file_pwritev(struct vhd_io *io, struct iovec *iov, int n, uint64_t off)
{
	if (n == 1 && pwrite(file_of(io)->fd, iov->iov_base, iov->iov_len, (off_t)off) ==
			      (ssize_t)iov->iov_len)
		return 0;
	return transfer(pwritev, file_of(io)->fd, iov, n, off);
}

static int file_flush(struct vhd_io *io)
{
	return fdatasync(file_of(io)->fd) < 0 ? -errno : 0;
}

static int file_get_size(struct vhd_io *io, uint64_t *ret_size)
{
	struct io_file *f = file_of(io);
	struct stat st;

	if (f->is_device)
		return ioctl(f->fd, BLKGETSIZE64, ret_size) < 0 ? -errno : 0;
	if (fstat(f->fd, &st) < 0)
		return -errno;
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

static int file_set_size(struct vhd_io *io, uint64_t size)
{
	struct io_file *f = file_of(io);

	if (f->is_device)
		return -EOPNOTSUPP;
	return ftruncate(f->fd, (off_t)size) < 0 ? -errno : 0;
}

static int file_punch(struct vhd_io *io, uint64_t off, uint64_t len)
{
	int rc;

	do
		rc = fallocate(file_of(io)->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			       (off_t)off, (off_t)len);
	while (rc < 0 && errno == EINTR);
	if (rc < 0)
		return errno == ENOTSUP || errno == ENOSYS || errno == ENODEV ? -EOPNOTSUPP
									      : -errno;
	return 0;
}

static int file_extent(struct vhd_io *io, uint64_t off, uint64_t *ret_len, bool *ret_is_data)
{
	int fd = file_of(io)->fd;
	off_t data = lseek(fd, (off_t)off, SEEK_DATA), end;

	if (data < 0 && errno != ENXIO)
		return -errno;
	*ret_is_data = data == (off_t)off;
	if (*ret_is_data)
		end = lseek(fd, (off_t)off, SEEK_HOLE);
	else
		end = data < 0 ? lseek(fd, 0, SEEK_END) : data;
	if (end < 0)
		return -errno;
	if ((uint64_t)end <= off) /* at or past the end */
		return -ENODATA;
	*ret_len = (uint64_t)end - off;
	return 0;
}

static void file_close(struct vhd_io *io)
{
	fd_drop(&file_of(io)->fd);
	free(io);
}

static const struct vhd_io_ops file_ops = {
	.preadv = file_preadv,
	.pwritev = file_pwritev,
	.flush = file_flush,
	.get_size = file_get_size,
	.set_size = file_set_size,
	.punch = file_punch,
	.extent = file_extent,
	.close = file_close,
};

bool vhd_io_is_file(const struct vhd_io *io, const struct stat *st)
{
	struct stat x;

	return io->ops == &file_ops && fstat(((const struct io_file *)io)->fd, &x) == 0 &&
	       x.st_dev == st->st_dev && x.st_ino == st->st_ino;
}

bool vhd_io_is_same(const struct vhd_io *a, const struct vhd_io *b)
{
	struct stat st;

	if (a == b)
		return true;
	return a->ops == &file_ops && fstat(((const struct io_file *)a)->fd, &st) == 0 &&
	       vhd_io_is_file(b, &st);
}

int vhd_io_file(int fd, const char *name, struct vhd_io **ret_io, struct vhd_err *e)
{
	auto_fd owned = fd;
	size_t name_size = strlen(name) + 1;
	int access = fcntl(fd, F_GETFL);
	struct io_file *f;
	struct stat st;

	if (access < 0 || fstat(fd, &st) < 0)
		return vhd_err_sys(e, errno, "%s", name);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return vhd_err_set(e, EINVAL, "%s: neither a file nor a block device", name);
	f = calloc(1, sizeof(*f) + name_size);
	if (!f)
		return vhd_err_sys(e, ENOMEM, "%s", name);
	memcpy(f->name, name, name_size);
	f->io.ops = &file_ops;
	f->io.name = f->name;
	f->io.is_read_only = (access & O_ACCMODE) == O_RDONLY;
	f->is_device = S_ISBLK(st.st_mode);
	f->fd = TAKE_FD(owned);
	*ret_io = &f->io;
	return 0;
}
