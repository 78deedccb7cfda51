/* SPDX-License-Identifier: MIT */
/*
 * disk_volume.c - volumes, and chains of VHDs of the user's
 *
 * Images are read by libcaisson-vhd, which takes them for hostile. Of what a guest wrote to its
 * volume only three bytes at fixed places are looked at, and they choose no more than how the next
 * guest gets the disk.
 */
#include "disk_volume.h"

#include <fcntl.h>
#include <string.h>

#include "disk_internal.h"

#define SUPER_OFF         1024U /* of ext4, in the disk */
#define SUPER_LEN         256U
#define SUPER_MAGIC       0xef53U
#define SUPER_MAGIC_AT    0x38U
#define SUPER_INCOMPAT_AT 0x60U
#define INCOMPAT_RECOVER  0x04U

static int file_lock(int fd, const char *name, enum disk_access access, struct err *e)
{
	const struct flock lock = { .l_type = access == DISK_READ_WRITE ? F_WRLCK : F_RDLCK,
				    .l_whence = SEEK_SET,
				    .l_len = 1 };

	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return err_plain(e, EBUSY, "%s is in use", name);
	return err_set(e, errno, "lock %s", name);
}

static int access_flags(enum disk_access access)
{
	return (access == DISK_READ_WRITE ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
}

/* ---- volumes ---- */

int disk_volume_open(int dir_fd, int parent_fd, enum disk_access access, int *ret_fd, struct err *e)
{
	const int flags = access_flags(access) | O_NOFOLLOW;
	auto_fd fd = openat(dir_fd, DISK_VOLUME_NAME, flags);
	auto_fd made = -1;

	if (fd < 0 && errno == ENOENT) {
		if (disk_layer_create(dir_fd, DISK_VOLUME_NAME, parent_fd, -1, &made, e) < 0 &&
		    e->code != EEXIST)
			return -e->code;
		fd_drop(&made); /* with its lock, which is not the one that is asked for */
		fd = openat(dir_fd, DISK_VOLUME_NAME, flags);
	}
	if (fd < 0)
		return err_set(e, errno, "open " DISK_VOLUME_NAME);
	if (file_lock(fd, "the volume", access, e) < 0 || disk_layer_check(fd, e) < 0)
		return -e->code;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int volume_image_open(int fd, int parent_fd, struct vhd **ret, struct err *e)
{
	struct vhd_err ve, ignored;
	struct vhd *parent;
	struct vhd_io *io;

	if (disk_image_open(parent_fd, "parent of a volume", 0, &parent, e) < 0)
		return -e->code;
	if (disk_io_of(fd, DISK_VOLUME_NAME, &io, e) < 0) {
		(void)vhd_close(parent, &ignored); /* only read */
		return -e->code;
	}
	io->is_read_only = true;
	if (vhd_open_io(io, parent, NULL, ret, &ve) < 0) {
		vhd_io_close(io);
		(void)vhd_close(parent, &ignored);
		return disk_vhd_failed(&ve, e);
	}
	return 0;
}

static bool journal_is_open(const uint8_t *super)
{
	unsigned magic = super[SUPER_MAGIC_AT] | (unsigned)super[SUPER_MAGIC_AT + 1] << 8;

	return magic == SUPER_MAGIC && (super[SUPER_INCOMPAT_AT] & INCOMPAT_RECOVER);
}

int disk_volume_wants_writer(int fd, int parent_fd, bool *ret, struct err *e)
{
	struct vhd_info *info = malloc(sizeof(*info));
	uint8_t super[SUPER_LEN];
	struct vhd_err ve, ignored;
	struct vhd *v;
	int rc;

	if (!info)
		return err_set(e, ENOMEM, "volume");
	rc = volume_image_open(fd, parent_fd, &v, e);
	if (rc == 0) {
		if (vhd_info_get(v, 0, info, &ve) < 0 ||
		    vhd_read(v, super, sizeof(super), SUPER_OFF, &ve) < 0)
			rc = disk_vhd_failed(&ve, e);
		else
			*ret = info->blocks_present == 0 || journal_is_open(super);
		(void)vhd_close(v, &ignored); /* only read */
	}
	free(info);
	return rc;
}

/* ---- chains ---- */

void disk_chain_done(struct disk_chain *c)
{
	for (size_t i = 0; i < c->n; i++)
		fd_drop(&c->fds[i]);
	c->n = 0;
}

static int chain_add(struct disk_chain *c, const char *path, enum disk_access access, struct err *e)
{
	int fd;

	if (c->n == DISK_SERVER_FILES_MAX)
		return err_plain(e, E2BIG, "%s: more than %u images in a chain", path,
				 DISK_SERVER_FILES_MAX);
	fd = open(path, access_flags(access));
	if (fd < 0)
		return err_set(e, errno, "%s", path);
	c->fds[c->n++] = fd;
	return file_lock(fd, path, access, e);
}

/* The server opens them again by what they say of each other, so one that was exchanged meanwhile
 * is refused. */
static int parents_add(struct disk_chain *c, struct vhd *v, struct err *e)
{
	struct vhd_info *info = malloc(sizeof(*info));
	struct vhd_err ve;
	int rc = 0;

	if (!info)
		return err_set(e, ENOMEM, "disk");
	for (unsigned i = 1; rc == 0 && i < vhd_depth(v); i++) {
		if (vhd_info_get(v, i, info, &ve) < 0)
			rc = disk_vhd_failed(&ve, e);
		else
			rc = chain_add(c, info->name, DISK_READ_ONLY, e);
	}
	free(info);
	return rc;
}

int disk_chain_open(const char *path, enum disk_access access, struct disk_chain *ret,
		    struct err *e)
{
	const struct vhd_open_options o = { .flags = VHD_OPEN_NO_LOCK };
	struct disk_chain c = { 0 };
	struct vhd_err ve, ignored;
	struct vhd *v;
	int rc = chain_add(&c, path, access, e);

	if (rc == 0 && vhd_open(path, &o, &v, &ve) < 0)
		rc = disk_vhd_failed(&ve, e);
	else if (rc == 0) {
		c.size = vhd_size(v);
		rc = parents_add(&c, v, e);
		(void)vhd_close(v, &ignored); /* only read */
	}
	if (rc < 0)
		disk_chain_done(&c);
	else
		*ret = c;
	return rc;
}
