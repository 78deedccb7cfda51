/* SPDX-License-Identifier: MIT */
/* plugin_image.c - the image that the plugin serves: from its parameters to a struct vhd */
#include "plugin_image.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"

static int fail(struct vhd_err *e, int code, const char *name, const char *what)
{
	e->code = code;
	snprintf(e->msg, sizeof(e->msg), "%.300s: %s", name, what);
	return -code;
}

int image_fd_number(const char *path)
{
	static const char *const folders[] = { "/proc/self/fd/", "/dev/fd/" };

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		size_t len = strlen(folders[i]);
		long n;
		char *end;

		if (strncmp(path, folders[i], len) != 0 || path[len] < '0' || path[len] > '9')
			continue;
		n = strtol(path + len, &end, 10);
		return *end || n > INT_MAX ? -1 : (int)n;
	}
	return -1;
}

static int file_open(const char *path, bool is_write, int *ret_fd, struct vhd_err *e)
{
	int n = image_fd_number(path), fd;

	if (n >= 0)
		fd = fcntl(n, F_DUPFD_CLOEXEC, 3);
	else
		fd = open(path, (is_write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return fail(e, errno, path, strerror(errno));
	*ret_fd = fd;
	return 0;
}

/*
 * The lock that vhd_open() takes. It is of the open file: who gave us a descriptor may have locked
 * it for writing, which a lock for reading would undo.
 */
static int file_lock(int fd, const char *path, bool is_write, struct vhd_err *e)
{
	bool is_given = image_fd_number(path) >= 0;
	struct flock lock = { .l_type = is_write ? F_WRLCK : F_RDLCK,
			      .l_whence = SEEK_SET,
			      .l_len = 1 };

	if (is_given && !is_write && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY)
		return 0;
	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return fail(e, EBUSY, path, "in use by another process");
	return fail(e, errno, path, strerror(errno));
}

static int level_open(const struct image_config *c, const char *path, uint32_t flags,
		      struct vhd **io_top, struct vhd_err *e)
{
	const struct vhd_open_options o = { .flags = flags, .cache_max = c->cache_max };
	struct vhd_io *io;
	struct vhd *v;
	int fd = -1;

	if (file_open(path, flags & VHD_OPEN_WRITE, &fd, e) < 0 ||
	    vhd_io_file(fd, path, &io, e) < 0)
		return -e->code;
	if (file_lock(fd, path, flags & VHD_OPEN_WRITE, e) < 0) {
		vhd_io_close(io);
		return -e->code;
	}
	if (!(flags & VHD_OPEN_WRITE))
		io->is_read_only = true;
	if (vhd_open_io(io, *io_top, &o, &v, e) < 0) {
		vhd_io_close(io);
		return -e->code;
	}
	*io_top = v;
	return 0;
}

/* As vhd_open() has it: a child that names no id stands on a raw file. */
static int names_no_id(const struct image_config *c, const char *path, bool *ret, struct vhd_err *e)
{
	static const struct vhd_uuid none;
	auto_free struct vhd_info *info = calloc(1, sizeof(*info));
	struct image_config alone = { .cache_max = c->cache_max };
	struct vhd_err ignored = { 0 };
	struct vhd *v = NULL;
	int rc;

	if (!info)
		return fail(e, ENOMEM, path, strerror(ENOMEM));
	if (level_open(&alone, path, VHD_OPEN_NO_PARENT, &v, e) < 0)
		return -e->code;
	rc = vhd_info_get(v, 0, info, e);
	*ret = info->type == VHD_TYPE_DIFFERENCING &&
	       memcmp(&info->parent_id, &none, sizeof(none)) == 0;
	(void)!vhd_close(v, &ignored); /* only read from */
	return rc;
}

/* The image above the lowest. */
static const char *lowest_child(const struct image_config *c)
{
	return c->n_parents > 1 ? c->parents[c->n_parents - 2] : c->file;
}

/* Bottom up, since each image takes its parent. */
static int list_open(const struct image_config *c, uint32_t flags, struct vhd **ret,
		     struct vhd_err *e)
{
	uint32_t parent_flags = flags & ~(uint32_t)VHD_OPEN_WRITE;
	struct vhd_err ignored = { 0 };
	struct vhd *top = NULL;
	bool is_raw = false;
	int rc = c->n_parents > 0 ? names_no_id(c, lowest_child(c), &is_raw, e) : 0;

	for (size_t i = c->n_parents; rc == 0 && i > 0; i--, is_raw = false)
		rc = level_open(c, c->parents[i - 1], parent_flags | (is_raw ? VHD_OPEN_RAW : 0U),
				&top, e);
	if (rc == 0)
		rc = level_open(c, c->file, flags, &top, e);
	if (rc < 0) {
		(void)!vhd_close(top, &ignored); /* the first error is told */
		return rc;
	}
	*ret = top;
	return 0;
}

int image_open(const struct image_config *c, enum image_use use, struct vhd **ret,
	       struct vhd_err *e)
{
	const struct vhd_open_options o = {
		.flags = use == IMAGE_WRITE ? VHD_OPEN_WRITE : 0U,
		.roots = c->n_roots ? (const char *const *)c->roots : NULL,
		.n_roots = c->n_roots,
		.cache_max = c->cache_max,
	};

	if (c->n_parents > 0 || image_fd_number(c->file) >= 0)
		return list_open(c, o.flags, ret, e);
	return vhd_open(c->file, &o, ret, e);
}

bool image_is_given(const struct image_config *c)
{
	for (size_t i = 0; i < c->n_parents; i++)
		if (image_fd_number(c->parents[i]) < 0)
			return false;
	return image_fd_number(c->file) >= 0;
}

bool image_can_punch(const struct image_config *c)
{
	struct vhd_err ignored = { 0 };
	struct stat st;
	auto_fd fd = -1;

	if (file_open(c->file, true, &fd, &ignored) < 0 || fstat(fd, &st) < 0)
		return false;
	if (!S_ISREG(st.st_mode))
		return false;
	/* far behind the end, where there is nothing to lose */
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 (st.st_size / 4096 + 1024) * 4096, 4096) == 0;
}

void image_config_done(struct image_config *c)
{
	free(c->file);
	for (size_t i = 0; i < c->n_parents; i++)
		free(c->parents[i]);
	for (size_t i = 0; i < c->n_roots; i++)
		free(c->roots[i]);
	*c = (struct image_config){ 0 };
}
