/* SPDX-License-Identifier: MIT */
/*
 * vhd_chain.c - [U] from a path to an image with all its parents
 *
 * Hostile: the locators of images say where parents are. A path from an image is joined with the
 * image's directory and made plain ("..", "." taken out) as text, must then lie beneath one of the
 * allowed roots, and is opened from that root with openat2(RESOLVE_BENEATH): no symbolic link leads
 * out. What is opened must be a regular file, a VHD with the id that the child names, and not in
 * the chain already (device and inode); the chain has a greatest depth. A raw file is taken for a
 * parent only when the caller names it.
 *
 * Locks are OFD locks on the file's first byte: the topmost image's for writing or reading, the
 * parents' for reading.
 */
#include "vhd_internal.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

struct seen {
	dev_t dev;
	ino_t ino;
};

struct chain {
	const struct vhd_open_options *o;
	const char *root_default; /* directory of the topmost image */
	struct seen seen[VHD_DEPTH_MAX];
	unsigned int n_seen, depth_max;
};

int vhd_file_lock(int fd, const char *path, bool for_writing, struct vhd_err *e)
{
	struct flock lock = {
		.l_type = for_writing ? F_WRLCK : F_RDLCK,
		.l_whence = SEEK_SET,
		.l_len = 1,
	};

	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return vhd_err_set(e, EBUSY, "%s: in use by another process", path);
	return vhd_err_sys(e, errno, "%s: lock", path);
}

/* The image of an open file becomes part of the chain. Takes the descriptor. */
static int chain_add(struct chain *c, int fd, const char *path, uint32_t flags, struct vhd **ret,
		     struct vhd_err *e)
{
	struct vhd_open_options o = { .flags = flags, .cache_max = c->o->cache_max };
	auto_fd owned = fd;
	struct vhd_io *io;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return vhd_err_sys(e, errno, "%s", path);
	for (unsigned int i = 0; i < c->n_seen; i++)
		if (c->seen[i].dev == st.st_dev && c->seen[i].ino == st.st_ino)
			return vhd_err_set(e, ELOOP, "%s is in the chain of its own parents", path);
	if (c->n_seen >= c->depth_max)
		return vhd_err_set(e, ELOOP, "%s: more than %u images in the chain", path,
				   c->depth_max);
	if (vhd_io_file(TAKE_FD(owned), path, &io, e) < 0)
		return -e->code;
	if ((!(flags & VHD_OPEN_NO_LOCK) &&
	     vhd_file_lock(fd, path, flags & VHD_OPEN_WRITE, e) < 0) ||
	    vhd_image_open(io, &o, ret, e) < 0) {
		vhd_io_close(io);
		return -e->code;
	}
	c->seen[c->n_seen++] = (struct seen){ .dev = st.st_dev, .ino = st.st_ino };
	return 0;
}

/* "/a/b" + "../c/./d" = "/a/c/d"; an absolute `path` stands for itself. -ENAMETOOLONG. */
static int path_plain(const char *dir, const char *path, char ret[PATH_MAX])
{
	char joined[PATH_MAX + VHD_PATH_MAX];
	size_t len = 0;
	char *part, *rest = joined;

	snprintf(joined, sizeof(joined), "%s/%s", path[0] == '/' ? "" : dir, path);
	ret[0] = '\0';
	while ((part = strsep(&rest, "/"))) {
		size_t n = strlen(part);

		if (n == 0 || strcmp(part, ".") == 0)
			continue;
		if (strcmp(part, "..") == 0) {
			while (len > 0 && ret[--len] != '/')
				;
			ret[len] = '\0';
			continue;
		}
		if (len + n + 2 > PATH_MAX)
			return -ENAMETOOLONG;
		ret[len++] = '/';
		memcpy(ret + len, part, n + 1);
		len += n;
	}
	return len ? 0 : -EINVAL;
}

/* Open `path` (absolute, plain) beneath `root`; -EXDEV when it is not beneath it. */
static int open_beneath(const char *root, const char *path)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	char real[PATH_MAX];
	auto_fd root_fd = -1;
	size_t len;
	long fd;

	if (!realpath(root, real))
		return -errno;
	len = strcmp(real, "/") == 0 ? 0 : strlen(real);
	if (strncmp(path, real, len) != 0 || path[len] != '/')
		return -EXDEV;
	root_fd = open(real, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return -errno;
	fd = syscall(SYS_openat2, root_fd, path + len + 1, &how, sizeof(how));
	return fd < 0 ? -errno : (int)fd;
}

static int open_allowed(const struct chain *c, const char *path, int *ret_fd, struct vhd_err *e)
{
	const char *const *roots = c->o->roots ? c->o->roots : &c->root_default;
	size_t n = c->o->roots ? c->o->n_roots : 1;
	struct stat st;
	int rc = -EXDEV;

	for (size_t i = 0; i < n && rc == -EXDEV; i++)
		rc = open_beneath(roots[i], path);
	if (rc == -EXDEV)
		return vhd_err_set(e, EXDEV, "%s lies in no directory that is allowed for parents",
				   path);
	if (rc < 0)
		return vhd_err_sys(e, -rc, "%s", path);
	if (fstat(rc, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(rc);
		return vhd_err_set(e, EINVAL, "%s is not a regular file", path);
	}
	*ret_fd = rc;
	return 0;
}

/* Try one path for the parent of `v`; `dir` becomes the parent's directory. */
static int parent_try(struct chain *c, struct vhd *v, char dir[PATH_MAX], const char *path,
		      struct vhd_err *e)
{
	uint32_t keep = c->o->flags & (VHD_OPEN_NO_LOCK | VHD_OPEN_DAMAGED);
	char plain[PATH_MAX];
	struct vhd *parent;
	int fd;

	if (path_plain(dir, path, plain) < 0)
		return vhd_err_set(e, EINVAL, "%s: no path of a parent", path);
	if (open_allowed(c, plain, &fd, e) < 0 || chain_add(c, fd, plain, keep, &parent, e) < 0)
		return -e->code;
	if (vhd_image_attach(v, parent, c->o->flags, e) < 0) {
		c->n_seen--;
		vhd_free(parent);
		return -e->code;
	}
	*strrchr(plain, '/') = '\0';
	memcpy(dir, plain, sizeof(plain));
	return 0;
}

/* The path that the first locator of that code holds, or the name of the header ("NAME"). */
static int path_said(const struct vhd *v, const char *code, char path[VHD_PATH_MAX])
{
	uint8_t raw[VHD_LOCATOR_MAX];
	char *slash;

	for (size_t i = 0; strcmp(code, "NAME") && i < VHD_PARENTS_MAX; i++) {
		const struct vhd_locator *l = &v->header.locators[i];
		int rc;

		if (memcmp(l->code, code, sizeof(l->code)) || l->length > sizeof(raw))
			continue;
		rc = vhd_pread(v->io, raw, l->length, l->offset);
		return rc < 0 ? rc : vhd_locator_path(l, raw, l->length, path);
	}
	if (strcmp(code, "NAME") != 0 ||
	    vhd_utf16_decode(v->header.parent_name, VHD_NAME_BYTES, VHD_BE, path, VHD_PATH_MAX) < 0)
		return -ENOENT;
	/* some write a whole path here; only its last part is meant for the image's directory */
	for (char *p = path; *p; p++)
		if (*p == '\\')
			*p = '/';
	slash = strrchr(path, '/');
	if (slash)
		memmove(path, slash + 1, strlen(slash));
	return path[0] ? 0 : -ENOENT;
}

/* C:/x/y.vhd beneath windows_root. */
static int windows_path(const struct chain *c, char path[VHD_PATH_MAX])
{
	char old[VHD_PATH_MAX];

	if (!c->o->windows_root)
		return -ENOENT;
	memcpy(old, path, sizeof(old));
	if (snprintf(path, VHD_PATH_MAX, "%s/%s", c->o->windows_root,
		     old[0] && old[1] == ':' ? old + 2 : old) >= (int)VHD_PATH_MAX)
		return -ENAMETOOLONG;
	return 0;
}

/* All places that an image names, in the order of vhd.h; the last error that says something. */
static int parent_find(struct chain *c, struct vhd *v, char dir[PATH_MAX], struct vhd_err *e)
{
	static const char *const codes[] = { "W2ru", "NAME", "MacX", "W2ku" };
	char path[VHD_PATH_MAX];
	bool has_tried = false;

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		struct vhd_err last;
		int rc;

		if (path_said(v, codes[i], path) < 0 ||
		    (strcmp(codes[i], "W2ku") == 0 && windows_path(c, path) < 0))
			continue;
		rc = parent_try(c, v, dir, path, &last);
		if (rc == 0)
			return 0;
		if (!has_tried || rc != -ENOENT)
			*e = last;
		has_tried = true;
	}
	if (!has_tried)
		return vhd_err_set(e, ENOENT, "%s: names no parent", v->io->name);
	return vhd_err_wrap(e, "%s: parent", v->io->name);
}

/* The parent that the caller names: any place, also a raw file if he says so. */
static int parent_given(struct chain *c, struct vhd *v, char dir[PATH_MAX], struct vhd_err *e)
{
	uint32_t keep = c->o->flags & (VHD_OPEN_NO_LOCK | VHD_OPEN_DAMAGED);
	auto_fd fd = open(c->o->parent, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char real[PATH_MAX];
	struct vhd *parent;

	if (fd < 0 || !realpath(c->o->parent, real))
		return vhd_err_sys(e, errno, "%s", c->o->parent);
	if (vhd_uuid_is_zero(&v->header.parent_id))
		keep |= VHD_OPEN_RAW;
	if (chain_add(c, TAKE_FD(fd), c->o->parent, keep, &parent, e) < 0)
		return -e->code;
	if (vhd_image_attach(v, parent, c->o->flags, e) < 0) {
		vhd_free(parent);
		return -e->code;
	}
	*strrchr(real, '/') = '\0';
	memcpy(dir, real, sizeof(real));
	return 0;
}

static int chain_open(struct chain *c, struct vhd *v, const char *top_dir, struct vhd_err *e)
{
	char dir[PATH_MAX];
	bool is_top = true;

	snprintf(dir, sizeof(dir), "%s", top_dir);
	for (; v->type == VHD_TYPE_DIFFERENCING; v = v->parent, is_top = false) {
		int rc = is_top && c->o->parent ? parent_given(c, v, dir, e)
						: parent_find(c, v, dir, e);

		if (rc < 0)
			return rc;
	}
	return 0;
}

int vhd_open(const char *path, const struct vhd_open_options *o, struct vhd **ret,
	     struct vhd_err *e)
{
	static const struct vhd_open_options defaults;
	struct chain c = { .o = o ? o : &defaults };
	uint32_t flags = c.o->flags;
	auto_fd fd = open(path, (flags & VHD_OPEN_WRITE ? O_RDWR : O_RDONLY) | O_CLOEXEC |
					O_NONBLOCK | O_NOCTTY);
	char dir[PATH_MAX], *slash;
	struct vhd *v;

	if (fd < 0 || !realpath(path, dir))
		return vhd_err_sys(e, errno, "%s", path);
	slash = strrchr(dir, '/');
	slash[slash == dir] = '\0';
	c.root_default = dir;
	c.depth_max = MIN_OF(c.o->depth_max ? c.o->depth_max : VHD_DEPTH_MAX, VHD_DEPTH_MAX);
	if (chain_add(&c, TAKE_FD(fd), path, flags, &v, e) < 0)
		return -e->code;
	if ((!(flags & VHD_OPEN_NO_PARENT) && chain_open(&c, v, dir, e) < 0) ||
	    vhd_levels_attach(v, c.o->cache_max, e) < 0) {
		vhd_free(v);
		return -e->code;
	}
	*ret = v;
	return 0;
}
