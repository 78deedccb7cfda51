/* SPDX-License-Identifier: MIT */
/* cmd_disk_mount.c - disk mount, umount: a disk as a raw file, served by caisson-mount */
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "child.h"
#include "cmd_disk.h"
#include "disk_words.h"
#include "fdio.h"

#define WORKER           "caisson-mount"
#define ANSWER_MAX       4096U
#define MOUNT_XATTR      "user.caisson.watcher" /* mount_serve.c answers it */
#define CLOSE_TIMEOUT_MS 120000

static int line_make(struct disk_words *l, const struct disk_flags *o, const char *image,
		     const char *dir, struct err *e)
{
	struct vhd_open_options parents;

	*l = (struct disk_words){ .v = { WORKER, image, dir }, .n = 3 };
	if (o->is_readonly)
		l->v[l->n++] = "readonly";
	if (!o->is_foreground)
		l->v[l->n++] = "report";
	disk_open_options(o, 0, &parents);
	return disk_words_parents(l, &parents, e);
}

/* '+' when it is mounted; else why not, or nothing when the worker died. */
static int answer_get(int fd, struct err *e)
{
	auto_buf b = BUF_LIMIT(ANSWER_MAX);

	if (fd_read_all(fd, &b) < 0 || b.len == 0)
		return err_plain(e, EIO, WORKER " ended without a word");
	return *b.data == '+' ? 0 : err_plain(e, EIO, "%s", b.data);
}

static int background_start(const char *path, const struct disk_words *l, struct err *e)
{
	int report[2], rc;
	pid_t pid;

	if (pipe2(report, O_CLOEXEC) < 0)
		return err_set(e, errno, "pipe");
	rc = child_spawn(&(struct child_spec){ .path = path,
					       .argv = l->v,
					       .fds = (int[]){ -1, -1, STDERR_FILENO, report[1] },
					       .n_fds = 4,
					       .flags = CHILD_NEW_SESSION },
			 &pid, NULL, e);
	close(report[1]);
	if (rc == 0)
		rc = answer_get(report[0], e);
	close(report[0]);
	return rc;
}

static int mount_start(struct cli *c, const struct disk_flags *o, const struct args *a,
		       struct err *e)
{
	struct disk_words l = { 0 };
	char path[PATH_MAX], dir[PATH_MAX];
	struct engine *g;
	struct stat st;
	int rc;

	if (!realpath(a->v[1], dir) || stat(dir, &st) < 0)
		return err_set(e, errno, "%.300s", a->v[1]);
	if (!S_ISDIR(st.st_mode))
		return err_set(e, ENOTDIR, "%.300s", a->v[1]);
	if (cli_engine(c, &g, e) < 0)
		return -e->code;
	if ((size_t)snprintf(path, sizeof(path), "%s/" WORKER, engine_libexec(g)) >= sizeof(path))
		return err_set(e, ENAMETOOLONG, "%s", engine_libexec(g));
	rc = line_make(&l, o, a->v[0], dir, e);
	if (rc == 0 && o->is_foreground) {
		(void)execv(path, (char *const *)l.v);
		rc = err_set(e, errno, "start %s", path);
	} else if (rc == 0) {
		rc = background_start(path, &l, e);
	}
	disk_words_done(&l);
	return rc;
}

int cmd_disk_mount(struct cli *c, const void *options, const struct args *a)
{
	struct err e = { 0 };

	return mount_start(c, options, a, &e) < 0 ? cli_fail(&e, 1) : 0;
}

/* The process that looks after a mount of ours; 0: it is dead. */
static int watcher_get(const char *dir, pid_t *ret, struct err *e)
{
	char text[24] = "";
	ssize_t n = getxattr(dir, MOUNT_XATTR, text, sizeof(text) - 1);
	long pid = n > 0 ? strtol(text, NULL, 10) : 0;

	*ret = 0;
	if (n < 0 && errno == ENOTCONN)
		return 0;
	if (n < 0 && errno != ENODATA && errno != ENOTSUP)
		return err_set(e, errno, "%.300s", dir);
	if (pid <= 0 || pid > INT_MAX)
		return err_plain(e, EINVAL, "%.300s: nothing that caisson mounted", dir);
	*ret = (pid_t)pid;
	return 0;
}

static int unmount(const char *dir, struct err *e)
{
	const char *const argv[] = { "fusermount3", "-u", "--", dir, NULL };
	int status;

	if (geteuid() == 0)
		return umount2(dir, UMOUNT_NOFOLLOW) < 0 ? err_set(e, errno, "%.300s", dir) : 0;
	if (child_run(argv, NULL, &status, e) < 0)
		return -e->code;
	return status ? err_plain(e, EIO, "%.300s: could not be unmounted", dir) : 0;
}

/* Returns when the image is flushed and closed, so that it can be used at once. */
int cmd_disk_umount(struct cli *c, const void *options, const struct args *a)
{
	struct err e = { 0 };
	auto_fd pidfd = -1;
	pid_t watcher;

	(void)c;
	(void)options;
	if (watcher_get(a->v[0], &watcher, &e) < 0)
		return cli_fail(&e, 1);
	if (watcher > 0)
		pidfd = (int)syscall(SYS_pidfd_open, watcher, 0);
	if (unmount(a->v[0], &e) < 0)
		return cli_fail(&e, 1);
	if (pidfd >= 0 &&
	    poll(&(struct pollfd){ .fd = pidfd, .events = POLLIN }, 1, CLOSE_TIMEOUT_MS) == 0) {
		err_plain(&e, ETIMEDOUT, "%.300s: unmounted, but the image is still being written",
			  a->v[0]);
		return cli_fail(&e, 1);
	}
	return 0;
}
