/* SPDX-License-Identifier: MIT */
/*
 * disk_parent.c - the empty file systems that layers stand on, made once per size
 *
 * Formatted as a raw file without a name, then written as a dynamic VHD. Two makers do no harm: the
 * first one wins, the other's file goes.
 *
 * All machines of a size stand on it, and each would be lost with it, so it is durable before it is
 * used: the file before it has its name, then the directory, and the entry of that.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "buf.h"
#include "child.h"
#include "disk_internal.h"

#define CHUNK 65536U
#define PAGE  4096U

/* A small disk has no room for a large one; with blocks of 1 KiB the least is 1 MiB. */
static unsigned journal_mib(uint64_t size)
{
	return size >= 128U << 20 ? 16 : size >= 32U << 20 ? 4 : 1;
}

/*
 * A journal, so that what the guest has synced survives the end of its VMM; no background
 * initialisation, no reserved blocks, no checksums of metadata (an emulated guest pays for them).
 */
static int parent_format(int fd, uint64_t size, struct err *e)
{
	char path[64], journal[24];
	auto_buf out = { 0 };
	const char *argv[] = { "mkfs.ext4",
			       "-q",
			       "-F",
			       "-m",
			       "0",
			       "-J",
			       journal,
			       "-O",
			       "^metadata_csum,^resize_inode,uninit_bg",
			       "-E",
			       "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0",
			       path,
			       NULL };
	int status = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)getpid(), fd);
	snprintf(journal, sizeof(journal), "size=%u", journal_mib(size));
	if (child_run(argv, &out, &status, e) < 0)
		return err_wrap(e, "is the package e2fsprogs installed?");
	return status ? err_plain(e, EIO, "mkfs.ext4 failed with exit code %d", status) : 0;
}

static bool is_zero(const char *p, size_t n)
{
	return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

/* What of a chunk is not zero, in pages. */
static int chunk_write(struct vhd *v, const char *data, size_t len, uint64_t off, struct err *e)
{
	struct vhd_err ve;

	for (size_t i = 0; i < len; i += PAGE) {
		size_t n = MIN_OF(len - i, PAGE);

		if (!is_zero(data + i, n) && vhd_write(v, data + i, n, off + i, &ve) < 0)
			return disk_vhd_failed(&ve, e);
	}
	return 0;
}

static int raw_copy(int raw, struct vhd *v, struct err *e)
{
	char data[CHUNK];
	off_t at = 0, end;

	while ((at = lseek(raw, at, SEEK_DATA)) >= 0) {
		end = lseek(raw, at, SEEK_HOLE);
		while (at < end) {
			ssize_t n = pread(raw, data, MIN_OF((size_t)(end - at), CHUNK), at);

			if (n <= 0)
				return err_set(e, n < 0 ? errno : EIO, "read a file system");
			if (chunk_write(v, data, (size_t)n, (uint64_t)at, e) < 0)
				return -e->code;
			at += n;
		}
	}
	return errno == ENXIO ? 0 : err_set(e, errno, "find data of a file system");
}

static int vhd_make(int raw, int fd, const char *name, uint64_t size, struct err *e)
{
	const struct vhd_create_options o = { .type = VHD_TYPE_DYNAMIC, .size = size };
	struct vhd_err ve;
	auto_io io = NULL;
	struct vhd *v;
	int rc;

	if (disk_io_of(fd, name, &io, e) < 0)
		return -e->code;
	if (vhd_create_io(io, NULL, &o, &ve) < 0)
		return disk_vhd_failed(&ve, e);
	if (disk_image_open(fd, name, VHD_OPEN_WRITE, &v, e) < 0)
		return -e->code;
	rc = raw_copy(raw, v, e);
	if (vhd_close(v, &ve) < 0 && rc == 0)
		rc = disk_vhd_failed(&ve, e);
	return rc;
}

/* Also by a maker that came too late: the first one may not have got so far. */
static int name_sync(int parents_fd, const char *name, struct err *e)
{
	auto_fd above = openat(parents_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (above < 0 || fsync(parents_fd) < 0 || fsync(above) < 0)
		return err_set(e, errno, "sync the directory of %s", name);
	return 0;
}

static int parent_make(int parents_fd, const char *name, uint64_t size, struct err *e)
{
	auto_fd raw = -1;
	auto_fd fd = -1;

	if (disk_nameless_open(parents_fd, &raw, e) < 0 ||
	    disk_nameless_open(parents_fd, &fd, e) < 0)
		return err_wrap(e, "%s", name);
	if (ftruncate(raw, (off_t)size) < 0)
		return err_set(e, errno, "size of %s", name);
	if (parent_format(raw, size, e) < 0 || vhd_make(raw, fd, name, size, e) < 0)
		return -e->code;
	if (fsync(fd) < 0 || fchmod(fd, 0400) < 0)
		return err_set(e, errno, "make %s", name);
	if (disk_name_give(fd, parents_fd, name, e) < 0 && e->code != EEXIST)
		return -e->code;
	return name_sync(parents_fd, name, e);
}

int disk_parent_open(int parents_fd, uint64_t size, int *ret_fd, struct err *e)
{
	char name[DISK_PARENT_NAME];

	if (size < DISK_SIZE_MIN || size > DISK_SIZE_MAX || size % 4096)
		return err_plain(e, EINVAL,
				 "a writable layer of %" PRIu64 " bytes (from 16 MiB to 2040 GiB)",
				 size);
	snprintf(name, sizeof(name), DISK_PARENT_FORMAT, size);
	*ret_fd = openat(parents_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (*ret_fd >= 0)
		return 0;
	if (parent_make(parents_fd, name, size, e) < 0)
		return -e->code;
	*ret_fd = openat(parents_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return *ret_fd < 0 ? err_set(e, errno, "open %s", name) : 0;
}
