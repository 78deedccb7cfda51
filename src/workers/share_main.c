/* SPDX-License-Identifier: MIT */
/*
 * share_main.c - caisson-share: one directory of the host for one guest
 *
 *	caisson-share ro|rw		3 stream socket to the VMM, 4 directory
 *
 * Ends when the VMM hangs up. Errors go to stderr.
 *
 * Started by root, it shows owners as they are and gives new files to whom the guest says. Started
 * by another user, all that it makes is that user's, who is shown to the guest as root.
 */
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "log.h"
#include "sandbox.h"
#include "share_serve.h"

#define SOCKET_FD   3
#define ROOT_FD     4
#define INODES_MAX  (1U << 18) /* each holds about a KiB of the kernel's memory */
#define HANDLES_MAX 8192U

/* As many descriptors as there may be, of which a quarter at most for open files. */
static int limits_take(struct share_options *o, struct err *e)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return err_set(e, errno, "getrlimit");
	r.rlim_cur = r.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &r) < 0)
		return err_set(e, errno, "setrlimit");
	o->max_inodes = INODES_MAX;
	o->max_handles = (uint32_t)MIN_OF(r.rlim_max / 4, HANDLES_MAX);
	return 0;
}

static void owners_take(struct share_options *o)
{
	if (geteuid() == 0)
		return;
	o->owners = SHARE_OWNERS_MAPPED;
	o->uids = (struct share_ids){ .host_base = geteuid(), .count = 1 };
	o->gids = (struct share_ids){ .host_base = getegid(), .count = 1 };
}

static int serve(bool is_readonly, struct err *e)
{
	const int root_fd = ROOT_FD;
	struct share_options o = { .root_fd = root_fd, .is_readonly = is_readonly };
	struct sandbox_policy policy = { .kind = SANDBOX_SHARE };
	struct share *s = NULL;
	int rc;

	if (is_readonly) {
		policy.read_fds = &root_fd;
		policy.n_read_fds = 1;
	} else {
		policy.dir_fds = &root_fd;
		policy.n_dir_fds = 1;
	}
	owners_take(&o);
	if (limits_take(&o, e) < 0 || share_new(&o, &s, e) < 0)
		return -e->code;
	rc = sandbox_enter(&policy, e);
	if (rc == 0)
		rc = share_serve(s, SOCKET_FD, e);
	share_free(s);
	return rc;
}

int main(int argc, char **argv)
{
	struct err e = { 0 };
	int rc;

	log_init("caisson-share", LOG_LEVEL_WARN, STDERR_FILENO);
	umask(0);                 /* the guest has applied its own */
	signal(SIGPIPE, SIG_IGN); /* the VMM's end is seen by write() */
	signal(SIGXFSZ, SIG_IGN); /* the guest gets EFBIG */
	if (argc == 2 && strcmp(argv[1], "ro") == 0)
		rc = serve(true, &e);
	else if (argc == 2 && strcmp(argv[1], "rw") == 0)
		rc = serve(false, &e);
	else
		rc = err_plain(&e, EINVAL, "usage: caisson-share ro|rw");
	if (rc == 0)
		return 0;
	log_error("%s", e.msg);
	return 1;
}
