/* SPDX-License-Identifier: MIT */
/*
 * keeper_vsock.h - the directory of a machine's socket device: DIR/connect, and DIR/PORT
 *
 * Who connects to DIR/connect calls the guest: the VMM listens there. What the guest calls on the
 * host is connected to DIR/PORT here, and handed to the VMM, which can open nothing
 * (vsock_broker.h).
 */
#ifndef KEEPER_VSOCK_H
#define KEEPER_VSOCK_H

#include <stdint.h>

#include "err.h"

struct loop;
struct loop_watch;

struct vsock_dir {
	int dir_fd;    /* -1: none; locked */
	int broker_fd; /* our end */
	struct loop_watch *watch;
};
#define VSOCK_DIR_NONE                                                                             \
	{                                                                                          \
		-1, -1, NULL                                                                       \
	}

/*
 * Take the directory `path`, which no other machine may have meanwhile, make DIR/connect, and
 * answer from `loop`. The descriptors are the VMM's. -EBUSY: another machine has it; -EADDRINUSE:
 * others listen at DIR/connect; -EEXIST: that is no socket.
 */
must_check int vsock_dir_open(struct vsock_dir *d, const char *path, struct loop *loop,
			      int *ret_listen_fd, int *ret_broker_fd, struct err *e);
/* DIR/connect is removed; others may have the directory. What is connected stays so. */
void vsock_dir_close(struct vsock_dir *d);

#endif
