/* SPDX-License-Identifier: MIT */
/*
 * child.h - start a program with exactly the descriptors it is meant to have
 *
 * The child gets descriptors 0..n-1 of `fds` (an entry of -1 becomes /dev/null) and no others; an
 * own process group unless told, default signal actions, an empty signal mask. Failure to exec is
 * reported by child_spawn() itself.
 */
#ifndef CHILD_H
#define CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"

#define CHILD_FDS_MAX 640 /* the merge worker has one per layer */

enum child_flags {
	CHILD_DIE_WITH_PARENT = 1 << 0, /* PR_SET_PDEATHSIG SIGKILL: of the calling thread */
	CHILD_NEW_SESSION = 1 << 1,
	CHILD_NO_NEW_PRIVS = 1 << 2,
	CHILD_SAME_GROUP = 1 << 3, /* stay in the caller's process group */
	CHILD_OWN_PIDS = 1 << 4, /* the first of a namespace of processes, where the kernel lets us;
				    an ordinary user's gets a user namespace with that user */
};

struct child_spec {
	const char *path; /* as execve; searched in PATH when it has no '/' */
	const char *const *argv;
	const char *const *env; /* NULL: the caller's */
	const int *fds;         /* borrowed */
	size_t n_fds;
	uint32_t flags;
	/* Runs in the child before exec, async-signal-safe work only; NULL: nothing. -errno fails
	 * the spawn. It may become a user who cannot reach `path` (but a script's). */
	int (*setup)(void *arg);
	void *setup_arg;
};

/* ret_pidfd (close-on-exec, readable when the child has ended) is owned by the caller. */
must_check int child_spawn(const struct child_spec *s, pid_t *ret_pid, int *ret_pidfd,
			   struct err *e);

/* Wait for the end. The status is as a shell's: exit code, or 128 + signal. */
must_check int child_wait(pid_t pid, int *ret_status, struct err *e);

/* Run to the end with stdin from /dev/null; stdout (at most max_out bytes) into `out` when not
 * NULL. */
struct buf;
must_check int child_run(const char *const *argv, struct buf *out, int *ret_status, struct err *e);

#endif
