/* SPDX-License-Identifier: MIT */
/*
 * mount_serve.c - a disk as the one file of a FUSE file system
 *
 * Two inodes: the directory and "disk.raw", whose size never changes. A few threads take requests
 * from /dev/fuse; the library may be called by all at once. They end when the kernel says ENODEV:
 * it was unmounted and nobody has the file open any more. Nothing is mounted or unmounted in here,
 * since by then no program can be run.
 */
#define FUSE_USE_VERSION 312
#include <fuse3/fuse_lowlevel.h>

#include "mount_serve.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "sandbox.h"

#define THREADS     4U
#define FILE_NAME   "disk.raw"
#define FILE_INO    2U
#define REQUEST_MAX (1U << 20)
#define VALID_S     3600.0 /* names and attributes do not change */

struct mount {
	struct vhd *disk;
	struct fuse_session *session;
	bool is_readonly;
	uint64_t size, blocks; /* of 512 bytes, as stat has them */
	time_t started;
	uid_t uid; /* asked before the sandbox, where nobody has a name */
	gid_t gid;
	char watcher[24]; /* process id of the one that started us */
	int error;        /* of a thread */
};

static struct mount *mount_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static void attr_fill(const struct mount *m, fuse_ino_t ino, struct stat *st)
{
	bool is_dir = ino == FUSE_ROOT_ID;

	*st = (struct stat){
		.st_ino = ino,
		.st_mode = is_dir ? S_IFDIR | 0500 : S_IFREG | (m->is_readonly ? 0400 : 0600),
		.st_nlink = is_dir ? 2 : 1,
		.st_uid = m->uid,
		.st_gid = m->gid,
		.st_size = is_dir ? 0 : (off_t)m->size,
		.st_blocks = is_dir ? 0 : (blkcnt_t)m->blocks,
		.st_blksize = 4096,
		.st_atime = m->started,
		.st_mtime = m->started,
		.st_ctime = m->started,
	};
}

static void on_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	/* pipes for splice() are more than the sandbox has */
	conn->want &= ~(unsigned int)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
				      FUSE_CAP_SPLICE_MOVE);
	conn->max_write = REQUEST_MAX;
}

static void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry = { .ino = FILE_INO,
					  .attr_timeout = VALID_S,
					  .entry_timeout = VALID_S };

	if (parent != FUSE_ROOT_ID || strcmp(name, FILE_NAME) != 0) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	attr_fill(mount_of(req), FILE_INO, &entry.attr);
	fuse_reply_entry(req, &entry);
}

static void on_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	(void)fi;
	attr_fill(mount_of(req), ino, &st);
	fuse_reply_attr(req, &st, VALID_S);
}

/* Times are nobody's business; all else is as it is. */
static void on_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int what,
		       struct fuse_file_info *fi)
{
	const struct mount *m = mount_of(req);
	bool changes_size = what & FUSE_SET_ATTR_SIZE && (uint64_t)attr->st_size != m->size;

	if (changes_size || what & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) {
		fuse_reply_err(req, EPERM);
		return;
	}
	on_getattr(req, ino, fi);
}

static void on_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (ino != FILE_INO) {
		fuse_reply_err(req, EISDIR);
		return;
	}
	if (mount_of(req)->is_readonly && (fi->flags & O_ACCMODE) != O_RDONLY) {
		fuse_reply_err(req, EROFS);
		return;
	}
	fi->keep_cache = 1; /* nobody else changes the disk */
	fuse_reply_open(req, fi);
}

static void on_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	static const struct {
		const char *name;
		fuse_ino_t ino;
	} entries[] = { { ".", FUSE_ROOT_ID }, { "..", FUSE_ROOT_ID }, { FILE_NAME, FILE_INO } };
	char buf[512];
	size_t used = 0;

	(void)fi;
	if (ino != FUSE_ROOT_ID) {
		fuse_reply_err(req, ENOTDIR);
		return;
	}
	size = MIN_OF(size, sizeof(buf));
	for (size_t i = (size_t)off; i < ARRAY_SIZE(entries); i++) {
		size_t need;
		struct stat st;

		attr_fill(mount_of(req), entries[i].ino, &st);
		need = fuse_add_direntry(req, buf + used, size - used, entries[i].name, &st,
					 (off_t)i + 1);
		if (need > size - used)
			break;
		used += need;
	}
	fuse_reply_buf(req, buf, used);
}

static void on_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	struct mount *m = mount_of(req);
	auto_free char *buf = NULL;
	struct vhd_err e = { 0 };

	(void)ino;
	(void)fi;
	if (off < 0 || (uint64_t)off >= m->size) {
		fuse_reply_buf(req, NULL, 0);
		return;
	}
	size = (size_t)MIN_OF((uint64_t)MIN_OF(size, (size_t)REQUEST_MAX), m->size - (uint64_t)off);
	buf = malloc(size);
	if (!buf)
		fuse_reply_err(req, ENOMEM);
	else if (vhd_read(m->disk, buf, size, (uint64_t)off, &e) < 0)
		fuse_reply_err(req, e.code);
	else
		fuse_reply_buf(req, buf, size);
}

static void on_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	struct mount *m = mount_of(req);
	struct vhd_err e = { 0 };

	(void)ino;
	(void)fi;
	if (off < 0 || (uint64_t)off >= m->size) {
		fuse_reply_err(req, ENOSPC);
		return;
	}
	size = (size_t)MIN_OF((uint64_t)size, m->size - (uint64_t)off);
	if (vhd_write(m->disk, buf, size, (uint64_t)off, &e) < 0)
		fuse_reply_err(req, e.code);
	else
		fuse_reply_write(req, size);
}

static void on_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct mount *m = mount_of(req);
	struct vhd_err e = { 0 };

	(void)ino;
	(void)datasync;
	(void)fi;
	fuse_reply_err(req, !m->is_readonly && vhd_flush(m->disk, &e) < 0 ? e.code : 0);
}

static void on_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
			 struct fuse_file_info *fi)
{
	struct mount *m = mount_of(req);
	bool zeroes = mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE);
	struct vhd_err e = { 0 };

	(void)ino;
	(void)fi;
	if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) {
		fuse_reply_err(req, EOPNOTSUPP);
		return;
	}
	if (off < 0 || len <= 0 || (uint64_t)off > m->size ||
	    (uint64_t)len > m->size - (uint64_t)off) {
		fuse_reply_err(req, ENOSPC);
		return;
	}
	if (zeroes && vhd_zero(m->disk, (uint64_t)len, (uint64_t)off, &e) < 0)
		fuse_reply_err(req, e.code);
	else
		fuse_reply_err(req, 0);
}

static void on_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
		     struct fuse_file_info *fi)
{
	struct mount *m = mount_of(req);
	struct vhd_err e = { 0 };
	struct vhd_extent x;
	uint64_t at = (uint64_t)off;

	(void)ino;
	(void)fi;
	while (at < m->size) {
		if (vhd_extent_at(m->disk, at, m->size - at, &x, &e) < 0) {
			fuse_reply_err(req, e.code);
			return;
		}
		if ((x.kind == VHD_EXTENT_DATA) == (whence == SEEK_DATA)) {
			fuse_reply_lseek(req, (off_t)at);
			return;
		}
		at += x.len;
	}
	if (whence == SEEK_HOLE && (uint64_t)off < m->size)
		fuse_reply_lseek(req, (off_t)m->size);
	else
		fuse_reply_err(req, ENXIO);
}

/* Whom "caisson disk umount" waits for, and how it knows that the mount is ours. */
static void on_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	const struct mount *m = mount_of(req);
	size_t len = strlen(m->watcher);

	if (ino != FUSE_ROOT_ID || strcmp(name, MOUNT_XATTR) != 0)
		fuse_reply_err(req, ENODATA);
	else if (size == 0)
		fuse_reply_xattr(req, len);
	else if (size < len)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, m->watcher, len);
}

static const struct fuse_lowlevel_ops ops = {
	.init = on_init,
	.lookup = on_lookup,
	.getattr = on_getattr,
	.setattr = on_setattr,
	.open = on_open,
	.readdir = on_readdir,
	.read = on_read,
	.write = on_write,
	.fsync = on_fsync,
	.fallocate = on_fallocate,
	.lseek = on_lseek,
	.getxattr = on_getxattr,
};

/* ---- life ---- */

static void mount_free(struct mount *m)
{
	struct vhd_err ignored = { 0 };

	if (m->session)
		fuse_session_destroy(m->session);
	(void)!vhd_close(m->disk, &ignored); /* after a failure that was told, or NULL */
	free(m);
}

/* What all the chain's files take is what the disk takes, at most. */
static int blocks_count(struct mount *m, struct err *e)
{
	auto_free struct vhd_info *info = calloc(1, sizeof(*info));
	struct vhd_err v = { 0 };

	if (!info)
		return err_set(e, ENOMEM, "mount");
	for (unsigned int depth = 0; depth < vhd_depth(m->disk); depth++) {
		if (vhd_info_get(m->disk, depth, info, &v) < 0)
			return err_plain(e, v.code, "%s", v.msg);
		m->blocks += info->file_size / 512;
	}
	m->blocks = MIN_OF(m->blocks, m->size / 512);
	return 0;
}

int mount_open(struct vhd *disk, const char *dir, bool is_readonly, struct mount **ret,
	       struct err *e)
{
	const char *const words[] = { "caisson", "-o", "fsname=caisson,subtype=vhd", "-o",
				      is_readonly ? "ro,nosuid,nodev" : "rw,nosuid,nodev" };
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct mount *m = calloc(1, sizeof(*m));
	struct vhd_err ignored = { 0 };

	if (!m) {
		(void)!vhd_close(disk, &ignored); /* nothing was written */
		return err_set(e, ENOMEM, "mount");
	}
	*m = (struct mount){ .disk = disk,
			     .is_readonly = is_readonly,
			     .size = vhd_size(disk),
			     .started = time(NULL),
			     .uid = getuid(),
			     .gid = getgid() };
	snprintf(m->watcher, sizeof(m->watcher), "%d", (int)getppid());
	if (blocks_count(m, e) < 0) {
		mount_free(m);
		return -e->code;
	}
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		(void)fuse_opt_add_arg(&args, words[i]); /* out of memory: no session below */
	m->session = fuse_session_new(&args, &ops, sizeof(ops), m);
	fuse_opt_free_args(&args);
	if (!m->session || fuse_session_mount(m->session, dir) < 0) {
		mount_free(m);
		return err_plain(e, EIO, "%.300s: cannot be mounted on", dir);
	}
	*ret = m;
	return 0;
}

static void *thread_main(void *arg)
{
	struct mount *m = arg;
	struct fuse_buf buf = { 0 };

	while (!fuse_session_exited(m->session)) {
		int rc = fuse_session_receive_buf(m->session, &buf);

		if (rc == -EINTR)
			continue;
		if (rc <= 0) {
			if (rc < 0)
				m->error = -rc;
			break;
		}
		fuse_session_process_buf(m->session, &buf);
	}
	free(buf.mem);
	return NULL;
}

int mount_serve(struct mount *m, struct err *e)
{
	const struct sandbox_policy policy = { .kind = SANDBOX_MOUNT };
	pthread_t threads[THREADS];
	struct vhd_err v = { 0 };
	unsigned int n = 0;
	int rc = sandbox_enter(&policy, e), error;

	while (rc == 0 && n < THREADS && pthread_create(&threads[n], NULL, thread_main, m) == 0)
		n++;
	if (rc == 0 && n == 0)
		rc = err_set(e, EAGAIN, "mount: no thread");
	while (n > 0)
		(void)pthread_join(threads[--n], NULL); /* cannot fail: each is joined once */
	error = m->error;
	if (vhd_close(TAKE_PTR(m->disk), &v) < 0 && rc == 0)
		rc = err_plain(e, v.code, "%s", v.msg);
	mount_free(m);
	return rc == 0 && error ? err_set(e, error, "mount: /dev/fuse") : rc;
}
