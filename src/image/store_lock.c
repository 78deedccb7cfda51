/* SPDX-License-Identifier: MIT */
/*
 * store_lock.c - locks that die with their holder
 *
 * flock() on files of the root directory. The descriptors are close-on-exec, so that no worker
 * keeps a lock that its engine has lost. Waiting is done by asking again: a signal ends it, and
 * there is no thread to be woken.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "loop.h"
#include "store_internal.h"

#define POLL_MS 20

int store_lock(struct store *s, const char *name, enum store_lock_kind kind, uint32_t wait_ms,
	       int *ret_fd, struct err *e)
{
	const struct timespec pause = { .tv_nsec = POLL_MS * 1000000L };
	int op = (kind == STORE_LOCK_SHARED ? LOCK_SH : LOCK_EX) | LOCK_NB;
	auto_fd fd = openat(s->root_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int64_t until = loop_now_ms() + wait_ms;

	if (fd < 0)
		return err_set(e, errno, "open %s/%s", s->root, name);
	while (flock(fd, op) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_set(e, errno, "lock %s/%s", s->root, name);
		if (loop_now_ms() >= until)
			return err_plain(e, EBUSY, "the store %s is in use by another command",
					 s->root);
		nanosleep(&pause, NULL);
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}
