/* SPDX-License-Identifier: MIT */
/*
 * share_open.c - the only places that open anything of a share
 *
 * A name is looked up in its directory and nowhere else. An inode that is known is opened through
 * its descriptor's entry of /proc/self/fd: its type was seen when it was found, and cannot change
 * while the descriptor holds it, so that no device, FIFO or socket of the host is ever opened.
 */
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

#include "share_internal.h"

int share_open_beneath(int dir_fd, const char *name, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(uint32_t)(flags | O_CLOEXEC),
		.mode = mode,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
	};
	long fd = syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

struct share_fd_name share_fd_name(int fd)
{
	struct share_fd_name n;

	snprintf(n.text, sizeof(n.text), "%d", fd);
	return n;
}

static int open_by_fd(struct share *s, int fd, int flags)
{
	int opened = openat(s->proc_fd, share_fd_name(fd).text, flags | O_CLOEXEC);

	return opened < 0 ? -errno : opened;
}

int share_open_inode(struct share *s, const struct share_inode *i, int flags)
{
	if (i->type != S_IFREG && i->type != S_IFDIR)
		return -ENXIO;
	return open_by_fd(s, i->fd, flags | O_NONBLOCK | O_NOCTTY);
}

int share_open_path(struct share *s, int fd)
{
	return open_by_fd(s, fd, O_PATH);
}
