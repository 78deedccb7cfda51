/* SPDX-License-Identifier: MIT */
/* guest_dhcp.h - dhcp.c: a lease for eth0, which is up */
#ifndef GUEST_DHCP_H
#define GUEST_DHCP_H

#include "dhcp_message.h"

/* *io of zeros: any; else that one again. */
must_check int dhcp_obtain(const uint8_t mac[6], struct dhcp_lease *io, struct err *e);

#endif
