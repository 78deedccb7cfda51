/* SPDX-License-Identifier: MIT */
/*
 * disk_server.h - who reads and writes a VHD for a VMM that does not know the format: nbdkit with
 * our plugin, on one end of a socket
 *
 * It ends by itself when the other end is closed, and has made everything durable then. It is not
 * killed with its starter: a VMM that is killed closes its end.
 */
#ifndef DISK_SERVER_H
#define DISK_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

#include "err.h"

#define DISK_SERVER_FILES_MAX 32U
#define DISK_SERVER_PLUGIN    "nbdkit-caisson-vhd-plugin.so" /* beside our programs */

struct disk_server {
	pid_t pid; /* 0: none */
	int pidfd;
	int errs; /* its stderr */
};
#define DISK_SERVER_NONE                                                                           \
	{                                                                                          \
		.pidfd = -1, .errs = -1                                                            \
	}

struct disk_server_files {
	const int *fds; /* the image, then what it stands on, and so on; borrowed */
	size_t n;
	bool is_readonly; /* the image too */
};

/*
 * Serve `f`. `plugin` is its path; with uid not 0 it runs as that user. Returns at once; *ret_sock
 * is the VMM's end, for NBD.
 */
must_check int disk_server_start(const char *plugin, const struct disk_server_files *f, uid_t uid,
				 gid_t gid, struct disk_server *ret, int *ret_sock, struct err *e);
/* Wait for its end, whose socket's other end is closed; it is killed after `timeout_ms`. An error
 * says what it said. */
must_check int disk_server_wait(struct disk_server *s, int timeout_ms, struct err *e);
/* What it had is of no interest. NONE is fine. */
void disk_server_kill(struct disk_server *s);

#endif
