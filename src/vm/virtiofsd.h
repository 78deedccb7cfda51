/* SPDX-License-Identifier: MIT */
/*
 * virtiofsd.h - one directory or file of the host, shared with a guest by the program virtiofsd, or
 * by our own for a VMM that has virtio-fs itself
 *
 * The server sees nothing but what it shares: it gets a mount namespace of its own, in which that
 * is bound to an empty directory (read-only where asked), and makes that its root. So a guest
 * that lies about paths stays inside, and one that ignores "ro" cannot write.
 */
#ifndef VIRTIOFSD_H
#define VIRTIOFSD_H

#include <stdbool.h>
#include <sys/types.h>

#include "err.h"

#define VIRTIOFSD_FILE "f" /* the name of a shared single file in its share */

struct virtiofsd {
	pid_t pid; /* 0: none */
	int pidfd;
	int sock; /* for the VMM; owned, may be taken */
	bool is_file;
};
#define VIRTIOFSD_NONE                                                                             \
	{                                                                                          \
		.pidfd = -1, .sock = -1                                                            \
	}

struct virtiofsd_spec {
	const char *source; /* absolute; links are followed once, now */
	bool is_readonly;
	const char *fuse_program; /* path of caisson-share: serve FUSE messages; NULL: vhost-user,
				     by virtiofsd */
	int dir_fd;               /* a private directory, in which `name` and its socket are made */
	const char *dir_path, *name;
};
/* Returns when the server listens, or will as soon as it has started. */
must_check int virtiofsd_start(const struct virtiofsd_spec *s, struct virtiofsd *ret,
			       struct err *e);
bool virtiofsd_has_ended(const struct virtiofsd *v);
void virtiofsd_stop(struct virtiofsd *v);

#endif
