/* SPDX-License-Identifier: MIT */
/*
 * disk.c - writable layers as sparse files
 *
 * A file gets its name when it is whole: a maker that is killed leaves nothing, and nobody takes a
 * part of a disk for one. Two makers of a parent do no harm, the first one wins with the same
 * content.
 */
#include "disk.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "buf.h"
#include "child.h"

static int extent_copy(int from, int to, off_t at, off_t end)
{
	while (at < end) {
		loff_t in = at, out = at;
		ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(end - at), 0);
		char data[65536];

		if (n <= 0) { /* another file system, or none of the kernel's copies: by hand */
			n = pread(from, data, MIN_OF(sizeof(data), (size_t)(end - at)), at);
			if (n <= 0 || pwrite(to, data, (size_t)n, at) != n)
				return n == 0 ? -EIO : -errno;
		}
		at += n;
	}
	return 0;
}

int disk_copy_sparse(int from, int to, struct err *e)
{
	struct stat st;
	off_t at = 0;

	if (fstat(from, &st) < 0 || ftruncate(to, st.st_size) < 0)
		return err_set(e, errno, "size of a disk");
	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	while (at < st.st_size) {
		off_t data = lseek(from, at, SEEK_DATA), hole;
		int rc;

		if (data < 0)
			return errno == ENXIO ? 0 : err_set(e, errno, "find data of a disk");
		hole = lseek(from, data, SEEK_HOLE);
		if (hole < 0)
			return err_set(e, errno, "find data of a disk");
		rc = extent_copy(from, to, data, hole);
		if (rc < 0)
			return err_set(e, -rc, "copy a disk");
		at = hole;
	}
	return 0;
}

/* A file without a name, which goes with its last descriptor. */
static int nameless_open(int dir_fd, int *ret_fd, struct err *e)
{
	*ret_fd = openat(dir_fd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	return *ret_fd < 0 ? err_set(e, errno, "create a disk") : 0;
}

static int name_give(int fd, int dir_fd, const char *name, struct err *e)
{
	char self[64];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, self, dir_fd, name, AT_SYMLINK_FOLLOW) < 0
		       ? err_set(e, errno, "create %s", name)
		       : 0;
}

static int raw_create(int dir_fd, const char *name, int parent_fd, int *ret_fd, struct err *e)
{
	auto_fd fd = -1;

	if (nameless_open(dir_fd, &fd, e) < 0)
		return err_wrap(e, "%s", name);
	if (disk_copy_sparse(parent_fd, fd, e) < 0)
		return err_wrap(e, "%s", name);
	if (name_give(fd, dir_fd, name, e) < 0)
		return -e->code;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int raw_open(int dir_fd, const char *name, int *ret_fd, struct err *e)
{
	*ret_fd = openat(dir_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	return *ret_fd < 0 ? err_set(e, errno, "open %s", name) : 0;
}

const struct disk_ops disk_raw = { .name = "raw", .create = raw_create, .open = raw_open };

/*
 * A journal, so that what the guest has synced survives the end of its VMM; no background
 * initialisation, no reserved blocks, no checksums of metadata (an emulated guest pays for them).
 */
static int parent_format(int fd, struct err *e)
{
	char path[64];
	auto_buf out = { 0 };
	const char *argv[] = { "mkfs.ext4",
			       "-q",
			       "-F",
			       "-m",
			       "0",
			       "-J",
			       "size=16",
			       "-O",
			       "^metadata_csum,^resize_inode,uninit_bg",
			       "-E",
			       "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0",
			       path,
			       NULL };
	int status = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)getpid(), fd);
	if (child_run(argv, &out, &status, e) < 0)
		return err_wrap(e, "is the package e2fsprogs installed?");
	return status ? err_plain(e, EIO, "mkfs.ext4 failed with exit code %d", status) : 0;
}

static int parent_make(int parents_fd, const char *name, uint64_t size, struct err *e)
{
	auto_fd fd = -1;

	if (nameless_open(parents_fd, &fd, e) < 0)
		return err_wrap(e, "%s", name);
	if (ftruncate(fd, (off_t)size) < 0)
		return err_set(e, errno, "size of %s", name);
	if (parent_format(fd, e) < 0)
		return -e->code;
	if (fsync(fd) < 0 || fchmod(fd, 0400) < 0)
		return err_set(e, errno, "make %s", name);
	return name_give(fd, parents_fd, name, e) < 0 && e->code != EEXIST ? -e->code : 0;
}

int disk_parent_open(int parents_fd, uint64_t size, int *ret_fd, struct err *e)
{
	char name[48];

	if (size < DISK_SIZE_MIN || size > DISK_SIZE_MAX || size % 4096)
		return err_plain(e, EINVAL,
				 "a writable layer of %" PRIu64 " bytes (from 16 MiB to 2040 GiB)",
				 size);
	snprintf(name, sizeof(name), "ext4-%" PRIu64, size);
	*ret_fd = openat(parents_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (*ret_fd >= 0)
		return 0;
	if (parent_make(parents_fd, name, size, e) < 0)
		return -e->code;
	*ret_fd = openat(parents_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return *ret_fd < 0 ? err_set(e, errno, "open %s", name) : 0;
}
