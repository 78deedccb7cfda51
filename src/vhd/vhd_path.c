/* SPDX-License-Identifier: MIT */
/*
 * vhd_path.c - new files whole or not at all, and the way from one file to another
 */
#include "vhd_internal.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/random.h>

/* Absolute directory of `path`, which need not exist itself; its last part at *ret_name. */
static int directory_of(const char *path, char dir[PATH_MAX], const char **ret_name,
			struct vhd_err *e)
{
	const char *slash = strrchr(path, '/');
	char parent[PATH_MAX];

	*ret_name = slash ? slash + 1 : path;
	if (snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - path + 1) : 1,
		     slash ? path : ".") >= (int)sizeof(parent))
		return vhd_err_sys(e, ENAMETOOLONG, "%s", path);
	if (!**ret_name)
		return vhd_err_sys(e, EISDIR, "%s", path);
	if (!realpath(parent, dir))
		return vhd_err_sys(e, errno, "%s", parent);
	return 0;
}

int vhd_new_file_begin(const char *path, struct vhd_new_file *ret, int *ret_fd, struct vhd_err *e)
{
	char dir[PATH_MAX];
	const char *name;
	uint64_t tag;
	int fd;

	if (directory_of(path, dir, &name, e) < 0)
		return -e->code;
	if (getrandom(&tag, sizeof(tag), 0) != sizeof(tag))
		return vhd_err_sys(e, errno, "random name");
	*ret = (struct vhd_new_file){ .dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	if (ret->dir_fd < 0)
		return vhd_err_sys(e, errno, "%s", dir);
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	snprintf(ret->temporary, sizeof(ret->temporary), ".%.200s.%08llx", name,
		 (unsigned long long)(tag & 0xffffffff));
	fd = openat(ret->dir_fd, ret->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
		    0644);
	if (fd < 0) {
		fd_drop(&ret->dir_fd);
		return vhd_err_sys(e, errno, "create a file in %s", dir);
	}
	*ret_fd = fd;
	return 0;
}

void vhd_new_file_abort(struct vhd_new_file *f)
{
	if (f->dir_fd < 0)
		return;
	(void)unlinkat(f->dir_fd, f->temporary, 0); /* it may have its final name already */
	fd_drop(&f->dir_fd);
}

static int name_give(const struct vhd_new_file *f, bool is_replacing)
{
	if (is_replacing)
		return renameat(f->dir_fd, f->temporary, f->dir_fd, f->name);
	if (renameat2(f->dir_fd, f->temporary, f->dir_fd, f->name, RENAME_NOREPLACE) == 0 ||
	    (errno != EINVAL && errno != ENOSYS))
		return errno == 0 ? 0 : -1;
	return linkat(f->dir_fd, f->temporary, f->dir_fd, f->name, 0);
}

int vhd_new_file_commit(struct vhd_new_file *f, bool is_replacing, struct vhd_err *e)
{
	errno = 0;
	if (name_give(f, is_replacing) < 0)
		return vhd_err_sys(e, errno, "%s", f->name);
	if (fsync(f->dir_fd) < 0)
		return vhd_err_sys(e, errno, "%s: sync its directory", f->name);
	return 0;
}

int vhd_path_relative(const char *image, const char *to, char path[VHD_PATH_MAX], struct vhd_err *e)
{
	char from[PATH_MAX], target[PATH_MAX];
	size_t common = 0, len = 0;
	const char *name;

	if (directory_of(image, from, &name, e) < 0)
		return -e->code;
	if (!realpath(to, target))
		return vhd_err_sys(e, errno, "%s", to);
	for (size_t i = 0;; i++) { /* up to the last part that both have */
		bool ends = from[i] == '\0' || from[i] == '/';

		if (ends && target[i] == '/')
			common = i;
		if (from[i] == '\0' || from[i] != target[i])
			break;
	}
	path[0] = '\0';
	for (const char *rest = from + common; *rest; rest++)
		if (*rest == '/' && rest[1] && len < VHD_PATH_MAX - 4)
			len += (size_t)snprintf(path + len, VHD_PATH_MAX - len, "../");
	if (len + strlen(target + common + 1) >= VHD_PATH_MAX - 4)
		return vhd_err_sys(e, ENAMETOOLONG, "%s", to);
	snprintf(path + len, VHD_PATH_MAX - len, "%s%s", len ? "" : "./", target + common + 1);
	return 0;
}
