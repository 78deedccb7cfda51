/* SPDX-License-Identifier: MIT */
/* guest_dhcp.h - dhcp.c: a lease for eth0, which is up; lease.c: a process that keeps one */
#ifndef GUEST_DHCP_H
#define GUEST_DHCP_H

#include "dhcp_message.h"

/* *io of zeros: any; else that one again. */
must_check int dhcp_obtain(const uint8_t mac[6], struct dhcp_lease *io, struct err *e);

#define LEASE_TEXT_MAX 200U

struct lease_news { /* from that process, over its pipe: whole, or not at all */
	int code;   /* errno, and why, of the first lease: there is none, and no more news */
	char text[LEASE_TEXT_MAX];
	struct dhcp_lease lease; /* that eth0 has now */
};

/* A process asks, configures and renews as long as the machine lives; *ret_fd: a message for the
 * first lease, and for each that differs from the one before. */
must_check int lease_start(const uint8_t mac[6], uint32_t mtu, int *ret_fd, struct err *e);

#endif
