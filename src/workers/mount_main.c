/* SPDX-License-Identifier: MIT */
/*
 * mount_main.c - caisson-mount: a disk as a raw file, by FUSE
 *
 *	caisson-mount IMAGE DIR [readonly] [report] [any-parent] [parent=IMAGE] [root=DIR]...
 *		[windows-root=DIR]
 *
 * Two processes. The server opens the image, mounts, shuts itself into a sandbox and serves. The
 * watcher, its parent, never sees a byte of the image; it waits, unmounts on SIGINT, SIGTERM and
 * SIGHUP, and removes the dead mount if the server was killed.
 *
 * With "report", descriptor 3 gets one '+' when DIR is mounted; an error before that goes there as
 * text. Else errors go to stderr.
 */
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "child.h"
#include "disk_arguments.h"
#include "fdio.h"
#include "log.h"
#include "mount_serve.h"

#define REPORT_FD 3

struct request {
	const char *image, *dir;
	struct disk_arguments parents;
	bool is_readonly, has_report;
};

static int argument_take(struct request *r, const char *arg, struct err *e)
{
	if (strcmp(arg, "readonly") == 0)
		r->is_readonly = true;
	else if (strcmp(arg, "report") == 0)
		r->has_report = true;
	else
		return disk_argument_take(&r->parents, arg, e);
	return 0;
}

static int request_parse(int argc, char **argv, struct request *r, struct err *e)
{
	if (argc < 3)
		return err_plain(e, EINVAL, "usage: caisson-mount IMAGE DIR [OPTION...]");
	r->image = argv[1];
	r->dir = argv[2];
	for (int i = 3; i < argc; i++)
		if (argument_take(r, argv[i], e) < 0)
			return -e->code;
	if (!r->is_readonly)
		r->parents.open.flags |= VHD_OPEN_WRITE;
	return 0;
}

static int fail(const struct request *r, const struct err *e)
{
	if (r->has_report)
		(void)!fd_write_full(REPORT_FD, e->msg, strlen(e->msg)); /* nobody else listens */
	else
		fprintf(stderr, "caisson: %s\n", e->msg);
	return 1;
}

/* ---- the server ---- */

static int server_run(const struct request *r, struct err *e)
{
	struct vhd_err v = { 0 };
	struct mount *m;
	struct vhd *disk;

	if (vhd_open(r->image, &r->parents.open, &disk, &v) < 0)
		return err_plain(e, v.code, "%s", v.msg);
	if (mount_open(disk, r->dir, r->is_readonly, &m, e) < 0)
		return -e->code;
	if (r->has_report) {
		if (fd_write_full(REPORT_FD, "+", 1) < 0)
			log_debug("nobody waits for the mount");
		close(REPORT_FD);
	}
	return mount_serve(m, e);
}

/* ---- the watcher ---- */

/* The server holds nothing of it in its hands: the kernel ends the connection. */
static void unmount(const char *dir)
{
	const char *const argv[] = { "fusermount3", "-u", "-z", "--", dir, NULL };
	struct err e = { 0 };
	int status;

	if (geteuid() == 0)
		(void)umount2(dir, MNT_DETACH | UMOUNT_NOFOLLOW); /* not mounted: as wanted */
	else if (child_run(argv, NULL, &status, &e) < 0)
		log_warn("%s", e.msg);
}

/* Attributes would come from the kernel's cache; this is asked of the server. */
static bool is_dead(const char *dir)
{
	char c;

	return getxattr(dir, MOUNT_XATTR, &c, 1) < 0 && errno == ENOTCONN;
}

static int watch(const struct request *r, pid_t server, const sigset_t *set)
{
	int status = 0, sig;

	for (;;) {
		if (sigwait(set, &sig) != 0)
			continue;
		if (sig != SIGCHLD)
			unmount(r->dir);
		else if (waitpid(server, &status, WNOHANG) == server)
			break;
	}
	if (is_dead(r->dir))
		unmount(r->dir);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int argc, char **argv)
{
	struct request r = { 0 };
	struct err e = { 0 };
	sigset_t set;
	pid_t server;

	log_init("caisson-mount", LOG_LEVEL_WARN, STDERR_FILENO);
	if (request_parse(argc, argv, &r, &e) < 0)
		return fail(&r, &e);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL); /* the server's too: it ends when it is unmounted */
	server = fork();
	if (server < 0) {
		err_set(&e, errno, "fork");
		return fail(&r, &e);
	}
	if (server == 0)
		return server_run(&r, &e) < 0 ? fail(&r, &e) : 0;
	if (r.has_report)
		close(REPORT_FD);
	return watch(&r, server, &set);
}
