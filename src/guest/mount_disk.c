/* SPDX-License-Identifier: MIT */
/*
 * mount_disk.c - volumes and disks of the user's in the app's tree
 *
 * A disk is found by its slot, and mounted by this kernel, never by the host's. The app's /dev has
 * no such devices: a node is there for as long as the mount takes.
 *
 * A volume is one directory of its file system, so that the app sees no "lost+found". It is filled
 * with the image's content beside that and renamed over it: a machine that is killed meanwhile
 * leaves an empty volume.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "fdio.h"
#include "mounts_internal.h"

#define ATTRIBUTE_MAX   4096
#define FILESYSTEMS_MAX 65536
#define COPY_NAME       ".copy"

struct disk {
	char name[24];   /* "vdc", or "vdc1" for its first partition */
	char parent[16]; /* "vdc" */
	bool is_readonly;
};

static int attribute(const char *path, char *ret, size_t len, struct err *e)
{
	auto_buf b = { 0 };

	if (file_read_at(AT_FDCWD, path, ATTRIBUTE_MAX, &b, e) < 0)
		return -e->code;
	snprintf(ret, len, "%s", b.data ? b.data : "");
	ret[strcspn(ret, "\n")] = '\0';
	return 0;
}

static int node_make(const struct disk *d, char path[32], struct err *e)
{
	bool is_part = strcmp(d->name, d->parent) != 0;
	unsigned major_no, minor_no;
	char file[80], text[32];

	snprintf(file, sizeof(file), "/sys/block/%s%s%s/dev", d->parent, is_part ? "/" : "",
		 is_part ? d->name : "");
	if (attribute(file, text, sizeof(text), e) < 0)
		return -e->code;
	if (sscanf(text, "%u:%u", &major_no, &minor_no) != 2)
		return err_plain(e, EIO, "%s: no device number", file);
	snprintf(path, 32, "/dev/%s", d->name);
	if (mknod(path, S_IFBLK | 0600, makedev(major_no, minor_no)) < 0)
		return err_set(e, errno, "mknod %s", path);
	return 0;
}

/*
 * A slot that was empty in the template has a disk now, and the kernel heard of its size only: it
 * is told to look for partitions. That it finds none is no error.
 */
static int partitions_look(const struct disk *d, struct err *e)
{
	char path[32];
	auto_fd fd = -1;

	if (node_make(d, path, e) < 0)
		return -e->code;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		(void)ioctl(fd, BLKRRPART);
	(void)unlink(path); /* in a tmpfs of ours */
	return 0;
}

static int disk_open(uint32_t slot, struct disk *ret, struct err *e)
{
	char path[80], text[32];

	if (disks_find(slot, ret->parent, e) < 0)
		return -e->code;
	snprintf(ret->name, sizeof(ret->name), "%s", ret->parent);
	if (partitions_look(ret, e) < 0)
		return -e->code;
	snprintf(path, sizeof(path), "/sys/block/%s/%s1", ret->parent, ret->parent);
	snprintf(ret->name, sizeof(ret->name), "%s%s", ret->parent,
		 access(path, F_OK) == 0 ? "1" : "");
	snprintf(path, sizeof(path), "/sys/block/%s/ro", ret->parent);
	if (attribute(path, text, sizeof(text), e) < 0)
		return -e->code;
	ret->is_readonly = strcmp(text, "0") != 0;
	return 0;
}

/* -errno of the kernel. option NULL: none. */
static int type_try(const char *type, const char *path, bool is_readonly, const char *option)
{
	auto_fd fs = fsopen(type, FSOPEN_CLOEXEC);
	int fd;

	if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "source", path, 0) < 0 ||
	    (is_readonly && fsconfig(fs, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0) ||
	    (option && fsconfig(fs, FSCONFIG_SET_FLAG, option, NULL, 0) < 0) ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	fd = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

/* A read-only disk that was cut off has a journal that nobody can play back: as it stands, then. */
static int ext4_try(const char *path, bool is_readonly)
{
	int fd = type_try("ext4", path, is_readonly, NULL);

	return fd == -EROFS && is_readonly ? type_try("ext4", path, true, "noload") : fd;
}

/* Each type that the kernel says it has for devices. */
static int types_try(const char *path, bool is_readonly)
{
	auto_buf list = { 0 };
	struct err ignored = { 0 };
	int fd = ext4_try(path, is_readonly);

	if (fd >= 0 ||
	    file_read_at(AT_FDCWD, "/proc/filesystems", FILESYSTEMS_MAX, &list, &ignored) < 0)
		return fd;
	for (char *l = list.data, *next; l && fd < 0; l = next) {
		next = strchr(l, '\n');
		if (next)
			*next++ = '\0';
		if (*l == '\t' && strcmp(l + 1, "ext4") != 0)
			fd = type_try(l + 1, path, is_readonly, NULL);
	}
	return fd;
}

static int disk_mount(const struct disk *d, int *ret, struct err *e)
{
	char path[32];
	int fd;

	if (node_make(d, path, e) < 0)
		return -e->code;
	fd = types_try(path, d->is_readonly);
	(void)unlink(path); /* in a tmpfs of ours */
	if (fd < 0)
		return err_plain(e, EINVAL,
				 "the disk has no file system that the machine's kernel knows");
	*ret = fd;
	return 0;
}

/* ---- a directory of it ---- */

static bool is_empty(int fs, const char *name)
{
	auto_dir d = dir_open_at(fs, name, O_NOFOLLOW);
	const struct dirent *de;

	while (d && (de = readdir(d)))
		if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
			return false;
	return d != NULL;
}

/* What the image has at the target, if that is a directory. */
static int fill(const struct mounts *m, int fs, const char *name, const char *target, struct err *e)
{
	auto_fd from = mounts_open_beneath(m->root, target, O_RDONLY | O_DIRECTORY, 0);
	auto_fd to = -1;

	if (from < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : err_set(e, errno, "%s", target);
	if (tree_remove_at(fs, COPY_NAME, e) < 0)
		return -e->code;
	if (mkdirat(fs, COPY_NAME, 0700) < 0)
		return err_set(e, errno, "mkdir in the volume");
	to = openat(fs, COPY_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (to < 0)
		return err_set(e, errno, "open a directory of the volume");
	if (copy_up(from, to, e) < 0)
		return -e->code;
	if (syncfs(to) < 0 || renameat(fs, COPY_NAME, fs, name) < 0)
		return err_set(e, errno, "fill the volume");
	return 0;
}

static int part_make(const struct mounts *m, int fs, const char *name, const struct agent_mount *a,
		     struct err *e)
{
	if (mkdirat(fs, name, 0755) < 0 && errno != EEXIST)
		return err_set(e, errno, "mkdir in the volume");
	if (!strstr(a->options, "copy") || !is_empty(fs, name))
		return 0;
	return fill(m, fs, name, a->target, e);
}

/* "ro" of the mount, where the file system was needed with writes. */
static int part_attach(struct mounts *m, int fs, const char *name, const struct agent_mount *a,
		       struct err *e)
{
	struct mount_attr ro = { .attr_set = MOUNT_ATTR_RDONLY };
	bool is_readonly = strncmp(a->options, "ro", 2) == 0;
	auto_fd sub = mounts_open_beneath(fs, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
	auto_fd part = -1;

	if (sub < 0)
		return err_set(e, errno, "open a directory of the volume");
	part = open_tree(sub, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (part < 0 ||
	    (is_readonly && mount_setattr(part, "", AT_EMPTY_PATH, &ro, sizeof(ro)) < 0))
		return err_set(e, errno, "take a directory of the volume");
	return mounts_attach(m, part, a->target, e);
}

int mounts_disk(struct mounts *m, const struct agent_mount *a, struct err *e)
{
	struct disk d = { .is_readonly = true };
	const char *slash = strchr(a->source, '/');
	auto_fd fs = -1;

	if (disk_open((uint32_t)strtoul(a->source + 4, NULL, 10), &d, e) < 0 ||
	    disk_mount(&d, &fs, e) < 0)
		return err_wrap(e, "mount %s", a->target);
	if (mounts_stash(m, fs, e) < 0)
		return -e->code;
	if (slash && !d.is_readonly && part_make(m, fs, slash + 1, a, e) < 0)
		return err_wrap(e, "mount %s", a->target);
	return part_attach(m, fs, slash ? slash + 1 : ".", a, e);
}
