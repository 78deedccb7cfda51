/* SPDX-License-Identifier: MIT */
/*
 * passt.h - a machine's network through the program passt: no privilege, no tap, no bridge
 *
 * Packets go over a stream socket; passt turns them into ordinary sockets of the host. The guest
 * reaches what the host reaches, but for the host's own loopback.
 */
#ifndef PASST_H
#define PASST_H

#include "machine.h"

struct passt {
	pid_t pid; /* 0: none */
	int pidfd;
	int errs; /* its stderr */
};
#define PASST_NONE                                                                                 \
	{                                                                                          \
		.pidfd = -1, .errs = -1                                                            \
	}

/*
 * Choose host ports where 0 was asked for and check that all are free: -EADDRINUSE "... port is
 * already allocated". `ports` is changed in place.
 */
must_check int passt_ports_choose(struct machine_port *ports, uint32_t n, struct err *e);

/*
 * Start it on its end of the VMM's socket (borrowed); returns at once. Not before the guest has its
 * address: a connection to a published port that nobody answers is not tried again, but stalls.
 */
must_check int passt_start(const struct machine_port *ports, uint32_t n, int sock,
			   struct passt *ret, struct err *e);
/* Its end is an error of the network: why, for people. */
void passt_end_reason(struct passt *p, char *buf, size_t len);
void passt_stop(struct passt *p);

#endif
