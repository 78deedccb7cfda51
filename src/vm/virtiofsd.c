/* SPDX-License-Identifier: MIT */
/*
 * virtiofsd.c - starting virtiofsd
 *
 * Between fork and exec the child leaves the host's mounts: new mount namespace (as an ordinary
 * user: and new user namespace, in which it is root), everything private, the source bound to the
 * share's directory by the descriptor that was opened before, never by a path again.
 */
#include "virtiofsd.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "child.h"
#include "fdio.h"

#define LISTEN_FD 3 /* in the child */
#define SOURCE_FD 4 /* until the share is bound */

static const char *const programs[] = { "/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd" };

struct share_setup {
	const char *path; /* of the source, for share_reopen() */
	char source[32], target[PATH_MAX], dir[PATH_MAX], uid_map[64], gid_map[64];
	bool is_readonly, is_user, is_fuse;
};

static int text_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, text, strlen(text));
	close(fd);
	return n < 0 ? -EIO : 0;
}

/*
 * An ordinary user's namespace cannot drop supplementary groups, and virtiofsd gives up when that
 * fails. They are the user's own: it is told that they are gone.
 */
static int setgroups_pretend(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_setgroups, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { .len = ARRAY_SIZE(code), .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0)
		return -errno;
	return 0;
}

/*
 * A descriptor from before unshare() belongs to a mount of the old namespace, which cannot be bound
 * in the new one. So the source is opened anew, and must be what was checked.
 */
static int share_reopen(const char *path)
{
	int fd = open(path, O_PATH | O_CLOEXEC);
	struct stat was, is;

	if (fd < 0 || fstat(SOURCE_FD, &was) < 0 || fstat(fd, &is) < 0)
		return -errno;
	if (was.st_dev != is.st_dev || was.st_ino != is.st_ino)
		return -ESTALE;
	return dup2(fd, SOURCE_FD) < 0 ? -errno : 0;
}

/* In the child, with its descriptors in their places. */
static int share_enter(void *arg)
{
	const struct share_setup *s = arg;
	int rc;

	if (unshare(CLONE_NEWNS | (s->is_user ? CLONE_NEWUSER : 0)) < 0)
		return -errno;
	if (s->is_user && (text_write("/proc/self/setgroups", "deny") < 0 ||
			   text_write("/proc/self/uid_map", s->uid_map) < 0 ||
			   text_write("/proc/self/gid_map", s->gid_map) < 0))
		return -EPERM;
	rc = share_reopen(s->path);
	if (rc < 0)
		return rc;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(s->source, s->target, NULL, MS_BIND, NULL) < 0)
		return -errno;
	if (s->is_readonly &&
	    mount(NULL, s->target, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV,
		  NULL) < 0)
		return -errno;
	close(SOURCE_FD);
	if (s->is_fuse) { /* what it serves, as it is seen here */
		int fd = open(s->dir, O_PATH | O_DIRECTORY);

		if (fd < 0 || (fd != SOURCE_FD && dup2(fd, SOURCE_FD) < 0))
			return -errno;
	}
	rc = s->is_user && !s->is_fuse ? setgroups_pretend() : 0;
	if (rc < 0)
		return rc;
	return prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ? -errno : 0;
}

static int target_make(int dir_fd, const char *name, bool is_file, struct err *e)
{
	char file[NAME_MAX];
	auto_fd fd = -1;

	if (mkdirat(dir_fd, name, 0700) < 0 && errno != EEXIST)
		return err_set(e, errno, "mkdir %s", name);
	if (!is_file)
		return 0;
	snprintf(file, sizeof(file), "%s/" VIRTIOFSD_FILE, name);
	fd = openat(dir_fd, file, O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? err_set(e, errno, "create %s", file) : 0;
}

static const char *program_find(struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
		if (access(programs[i], X_OK) == 0)
			return programs[i];
	(void)err_plain(
		e, ENOENT,
		"bind mounts need the program virtiofsd: install the package qemu-system-common");
	return NULL;
}

static int server_spawn(const struct share_setup *s, const char *share, int listen_fd,
			int source_fd, struct virtiofsd *ret, struct err *e)
{
	const char *path = program_find(e);
	char source_arg[PATH_MAX + 16];
	const char *const argv[] = { "virtiofsd", "--fd=3",     "-o", source_arg,
				     "-o",        "cache=auto", "-o", "log_level=err",
				     "-o",        "xattr",      NULL };
	struct child_spec spec = { .path = path,
				   .argv = argv,
				   .fds = (const int[]){ -1, -1, STDERR_FILENO, listen_fd,
							 source_fd },
				   .n_fds = SOURCE_FD + 1,
				   .flags = CHILD_DIE_WITH_PARENT,
				   .setup = share_enter,
				   .setup_arg = (void *)(uintptr_t)s };

	if (!path)
		return -e->code;
	snprintf(source_arg, sizeof(source_arg), "source=%s", share);
	return child_spawn(&spec, &ret->pid, &ret->pidfd, e);
}

/* Our own: descriptor 3 is the socket, 4 what it serves. */
static int fuse_spawn(const struct share_setup *s, const char *program, int source_fd,
		      struct virtiofsd *ret, struct err *e)
{
	const char *const argv[] = { "caisson-share", s->is_readonly ? "ro" : "rw", NULL };
	struct child_spec spec = { .path = program,
				   .argv = argv,
				   .n_fds = SOURCE_FD + 1,
				   .flags = CHILD_DIE_WITH_PARENT | CHILD_NO_NEW_PRIVS,
				   .setup = share_enter,
				   .setup_arg = (void *)(uintptr_t)s };
	int pair[2], rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(e, errno, "socket");
	ret->sock = pair[0];
	spec.fds = (const int[]){ -1, -1, STDERR_FILENO, pair[1], source_fd };
	rc = child_spawn(&spec, &ret->pid, &ret->pidfd, e);
	close(pair[1]);
	return rc;
}

static int vhost_spawn(const struct share_setup *s, const struct virtiofsd_spec *v, int source_fd,
		       struct virtiofsd *ret, struct err *e)
{
	auto_fd listener = -1;
	char sock[64];

	snprintf(sock, sizeof(sock), "%s.sock", v->name);
	(void)unlinkat(v->dir_fd, sock, 0); /* of an earlier start */
	if (unix_listen_at(v->dir_fd, sock, &listener, e) < 0 ||
	    unix_connect_at(v->dir_fd, sock, &ret->sock, e) < 0 ||
	    server_spawn(s, s->dir, listener, source_fd, ret, e) < 0)
		return -e->code;
	(void)unlinkat(v->dir_fd, sock, 0);
	return 0;
}

static int setup_fill(struct share_setup *s, const struct virtiofsd_spec *v, bool is_file,
		      struct err *e)
{
	*s = (struct share_setup){ .path = v->source,
				   .is_readonly = v->is_readonly,
				   .is_user = geteuid() != 0,
				   .is_fuse = v->fuse_program != NULL };
	if (snprintf(s->dir, sizeof(s->dir), "%s/%s", v->dir_path, v->name) >=
	    (int)sizeof(s->dir) - 4)
		return err_set(e, ENAMETOOLONG, "%s", v->dir_path);
	snprintf(s->target, sizeof(s->target), "%.4000s%s", s->dir,
		 is_file ? "/" VIRTIOFSD_FILE : "");
	snprintf(s->source, sizeof(s->source), "/proc/self/fd/%d", SOURCE_FD);
	snprintf(s->uid_map, sizeof(s->uid_map), "0 %u 1", geteuid());
	snprintf(s->gid_map, sizeof(s->gid_map), "0 %u 1", getegid());
	return 0;
}

int virtiofsd_start(const struct virtiofsd_spec *spec, struct virtiofsd *ret, struct err *e)
{
	struct virtiofsd v = VIRTIOFSD_NONE;
	auto_fd fd = open(spec->source, O_PATH | O_CLOEXEC);
	struct share_setup s;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(e, errno, "bind source path %s", spec->source);
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return err_plain(e, EINVAL, "bind source path %s is neither file nor directory",
				 spec->source);
	v.is_file = S_ISREG(st.st_mode);
	if (target_make(spec->dir_fd, spec->name, v.is_file, e) < 0 ||
	    setup_fill(&s, spec, v.is_file, e) < 0)
		return -e->code;
	if ((spec->fuse_program ? fuse_spawn(&s, spec->fuse_program, fd, &v, e)
				: vhost_spawn(&s, spec, fd, &v, e)) < 0) {
		virtiofsd_stop(&v);
		return err_wrap(e, "share %s", spec->source);
	}
	*ret = v;
	return 0;
}

bool virtiofsd_has_ended(const struct virtiofsd *v)
{
	struct pollfd p = { .fd = v->pidfd, .events = POLLIN };

	return v->pid > 0 && poll(&p, 1, 0) > 0;
}

void virtiofsd_stop(struct virtiofsd *v)
{
	if (v->pid > 0) {
		kill(v->pid, SIGKILL);
		while (waitpid(v->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	v->pid = 0;
	fd_drop(&v->pidfd);
	fd_drop(&v->sock);
}
