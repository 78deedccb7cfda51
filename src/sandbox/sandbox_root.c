/* SPDX-License-Identifier: MIT */
/*
 * sandbox_root.c - namespaces of its own, and for a VMM a root directory with nothing in it
 *
 * Nothing is mapped into the user namespace, nothing is routed in the network's. Not for downloads,
 * which are made through the network; nor for a disk's server, which can make no socket.
 *
 * A share's server stays in the user namespace that it is in: in one of its own it would see
 * everybody else's files as nobody's.
 *
 * A namespace of processes is the starter's business (CHILD_OWN_PIDS): unshare() gives one to
 * children only, of which there are none, and forbids to make threads.
 *
 * A user namespace is for a process with one thread. Of others only root's get the rest, and their
 * older threads stay where they are.
 */
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "log.h"
#include "sandbox_internal.h"

/* A directory that is everywhere; only its own mount namespace sees what is mounted there. */
#define MOUNT_POINT "/proc"

static int flags_of(enum sandbox_kind kind, bool is_root)
{
	const int talk = CLONE_NEWNET | CLONE_NEWIPC;

	switch (kind) {
	case SANDBOX_FETCH:
	case SANDBOX_DISK:
		return 0;
	case SANDBOX_SHARE:
		return is_root ? talk : 0;
	case SANDBOX_PROGRAM: /* in one of its own root has no right to others' files */
		return is_root ? talk : talk | CLONE_NEWUSER;
	case SANDBOX_VMM:
		return talk | CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWUTS;
	default:
		return talk | CLONE_NEWUSER;
	}
}

static int namespaces_leave(int flags)
{
	if (unshare(flags) == 0)
		return 0;
	if ((flags & CLONE_NEWUSER) && unshare(flags & ~CLONE_NEWUSER) == 0)
		return 0;
	return -errno;
}

/*
 * The new root is mounted, entered, and the old one, which pivot_root() puts over it, taken off.
 * Without propagation: what is done here is done here only.
 */
static int root_leave(void)
{
	const unsigned long flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", MOUNT_POINT, "tmpfs", flags, "size=4k,nr_inodes=2,mode=555") < 0 ||
	    chdir(MOUNT_POINT) < 0)
		return -errno;
	/* An initramfs cannot be moved; without capabilities there is no way out of chroot(). */
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		return chroot(".") < 0 ? -errno : 0;
	return umount2(".", MNT_DETACH) < 0 || chdir("/") < 0 ? -errno : 0;
}

void sandbox_namespaces(enum sandbox_kind kind, bool is_root)
{
	const int flags = flags_of(kind, is_root);
	int rc;

	if (flags == 0)
		return;
	rc = namespaces_leave(flags);
	if (rc < 0) {
		log_debug("sandbox: no namespaces of its own: %s", strerror(-rc));
		return;
	}
	if (!(flags & CLONE_NEWNS))
		return;
	rc = root_leave();
	if (rc < 0)
		log_debug("sandbox: no empty root directory: %s", strerror(-rc));
}
