/* SPDX-License-Identifier: MIT */
/*
 * tap.h - a tap of the host: an interface that its administrator made and gave to a user
 *
 * It is only opened: its other side, addresses, bridges and rules, are the administrator's.
 */
#ifndef TAP_H
#define TAP_H

#include <stdint.h>

#include "err.h"

/*
 * Frames come and go after a header of virtio's (IFF_VNET_HDR) and nothing else. ret_mtu: the
 * interface's. What is wrong with it is said for people: -ENODEV not there, -EBUSY in use, -EPERM
 * another user's, -EINVAL no tap.
 */
must_check int tap_open(const char *name, int *ret_fd, uint32_t *ret_mtu, struct err *e);

#endif
