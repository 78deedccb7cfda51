/* SPDX-License-Identifier: MIT */
/*
 * disk.c - writable layers as differencing VHDs on empty ext4 parents
 *
 * A layer is a few sectors: footer, header, table. One that begins where a template is (the guest
 * has mounted it already) is a copy of the template's layer, which holds no more than what mounting
 * has written; so a machine never needs the template's file again.
 *
 * A file gets its name when it is whole: a maker that is killed leaves nothing, and nobody takes a
 * part of a disk for one.
 */
#include "disk.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>

#include "disk_internal.h"

#define LOCK_STEP_MS 20
#define LOCK_WAIT_MS 10000

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

int disk_nameless_open(int dir_fd, int *ret_fd, struct err *e)
{
	*ret_fd = openat(dir_fd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	return *ret_fd < 0 ? err_set(e, errno, "create a disk") : 0;
}

int disk_name_give(int fd, int dir_fd, const char *name, struct err *e)
{
	char self[64];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, self, dir_fd, name, AT_SYMLINK_FOLLOW) < 0
		       ? err_set(e, errno, "create %s", name)
		       : 0;
}

int disk_vhd_failed(const struct vhd_err *ve, struct err *e)
{
	return err_plain(e, ve->code, "%s", ve->msg);
}

int disk_io_of(int fd, const char *name, struct vhd_io **ret, struct err *e)
{
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	struct vhd_err ve;

	if (own < 0)
		return err_set(e, errno, "%s", name);
	return vhd_io_file(own, name, ret, &ve) < 0 ? disk_vhd_failed(&ve, e) : 0;
}

int disk_image_open(int fd, const char *name, uint32_t flags, struct vhd **ret, struct err *e)
{
	const struct vhd_open_options o = { .flags = flags };
	struct vhd_io *io;
	struct vhd_err ve;

	if (disk_io_of(fd, name, &io, e) < 0)
		return -e->code;
	if (vhd_open_io(io, NULL, &o, ret, &ve) < 0) {
		vhd_io_close(io);
		return disk_vhd_failed(&ve, e);
	}
	return 0;
}

int disk_layer_make(int parent_fd, int fd, struct err *e)
{
	struct vhd_create_options o = { .type = VHD_TYPE_DIFFERENCING };
	char path[sizeof(DISK_PARENTS_PATH) + DISK_PARENT_NAME];
	struct vhd_err ve, ignored;
	auto_io io = NULL;
	struct vhd *parent;
	int rc;

	if (disk_image_open(parent_fd, "parent of a writable layer", 0, &parent, e) < 0)
		return -e->code;
	snprintf(path, sizeof(path), DISK_PARENTS_PATH DISK_PARENT_FORMAT, vhd_size(parent));
	o.parent_name = path;
	rc = disk_io_of(fd, "writable layer", &io, e);
	if (rc == 0 && vhd_create_io(io, parent, &o, &ve) < 0)
		rc = disk_vhd_failed(&ve, e);
	(void)vhd_close(parent, &ignored); /* only read */
	return rc;
}

int disk_layer_copy(int from_fd, int fd, struct err *e)
{
	auto_io from = NULL;
	auto_io to = NULL;
	struct vhd_err ve;

	if (disk_io_of(from_fd, "writable layer of the template", &from, e) < 0 ||
	    disk_io_of(fd, "writable layer", &to, e) < 0)
		return -e->code;
	return vhd_clone(from, to, &ve) < 0 ? disk_vhd_failed(&ve, e) : 0;
}

/* A parent that was made anew is another one than the layer was made on. */
static int layer_stands_on(int fd, int parent_fd, struct err *e)
{
	const struct vhd_open_options o = { .flags = VHD_OPEN_NO_LOCK };
	struct vhd_err ve, ignored;
	struct vhd *parent, *v;
	struct vhd_io *io;

	if (disk_image_open(parent_fd, "parent of a writable layer", VHD_OPEN_NO_LOCK, &parent, e) <
	    0)
		return -e->code;
	if (disk_io_of(fd, "writable layer", &io, e) < 0) {
		(void)vhd_close(parent, &ignored); /* only read, here and below */
		return -e->code;
	}
	if (vhd_open_io(io, parent, &o, &v, &ve) < 0) {
		vhd_io_close(io);
		(void)vhd_close(parent, &ignored);
		return disk_vhd_failed(&ve, e);
	}
	(void)vhd_close(v, &ignored);
	return 0;
}

/* Of its one writer, until the last descriptor of this open file is closed. */
static int layer_lock(int fd, const char *name, struct err *e)
{
	const struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
	const struct timespec wait = { .tv_nsec = LOCK_STEP_MS * 1000000L };

	/* the last run's server may still be making durable what it has */
	for (int waited = 0; fcntl(fd, F_OFD_SETLK, &lock) < 0; waited += LOCK_STEP_MS) {
		if (errno != EAGAIN && errno != EACCES)
			return err_set(e, errno, "lock %s", name);
		if (waited >= LOCK_WAIT_MS)
			return err_plain(e, EBUSY, "%s is in use", name);
		nanosleep(&wait, NULL);
	}
	return 0;
}

int disk_layer_create(int dir_fd, const char *name, int parent_fd, int from_fd, int *ret_fd,
		      struct err *e)
{
	auto_fd fd = -1;

	if (disk_nameless_open(dir_fd, &fd, e) < 0)
		return err_wrap(e, "%s", name);
	if (from_fd < 0
		    ? disk_layer_make(parent_fd, fd, e) < 0
		    : disk_layer_copy(from_fd, fd, e) < 0 || layer_stands_on(fd, parent_fd, e) < 0)
		return err_wrap(e, "%s", name);
	if (layer_lock(fd, name, e) < 0 || disk_name_give(fd, dir_fd, name, e) < 0)
		return -e->code;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* For messages: where the file is, or at least that there is one. */
static void path_of(int fd, char path[PATH_MAX])
{
	char self[64];
	ssize_t n;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	n = readlink(self, path, PATH_MAX - 1);
	if (n > 0)
		path[n] = '\0';
	else
		snprintf(path, PATH_MAX, "disk");
}

int disk_layer_check(int fd, struct err *e)
{
	const uint32_t fatal =
		VHD_PROBLEM_HEAD_LOST | VHD_PROBLEM_FOOTERS_DIFFER | VHD_PROBLEM_BAT_ENTRY;
	auto_free struct vhd_info *info = malloc(sizeof(*info));
	struct vhd_err ve, ignored;
	char path[PATH_MAX];
	struct vhd *v;
	int rc = 0;

	if (!info)
		return err_set(e, ENOMEM, "disk");
	path_of(fd, path);
	if (disk_image_open(fd, path, VHD_OPEN_NO_PARENT, &v, e) < 0)
		return -e->code;
	if (vhd_info_get(v, 0, info, &ve) < 0)
		rc = disk_vhd_failed(&ve, e);
	else if (info->problems & fatal)
		rc = err_plain(e, EUCLEAN, "%.150s is damaged: see caisson disk check", path);
	(void)vhd_close(v, &ignored); /* only read */
	return rc;
}

bool disk_layer_is_blank(int dir_fd, const char *name)
{
	auto_fd fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	return fd >= 0 && lseek(fd, 0, SEEK_DATA) < 0 && errno == ENXIO;
}

int disk_layer_open(int dir_fd, const char *name, int *ret_fd, struct err *e)
{
	auto_fd fd = openat(dir_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return err_set(e, errno, "open %s", name);
	if (layer_lock(fd, name, e) < 0 || disk_layer_check(fd, e) < 0)
		return -e->code;
	*ret_fd = TAKE_FD(fd);
	return 0;
}
