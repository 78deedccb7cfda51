/* SPDX-License-Identifier: MIT */
/*
 * machine_net.h - addresses and taps as users write them: pure
 */
#ifndef MACHINE_NET_H
#define MACHINE_NET_H

#include "machine.h"

/* "192.0.2.7": as a number, most significant byte first. */
must_check int machine_ip_parse(const char *text, uint32_t *ret, struct err *e);
/* "192.0.2.7/24": one station's address, and the length of its network's prefix, 1 to 32. */
must_check int machine_cidr_parse(const char *text, uint32_t *ret_ip, uint8_t *ret_prefix_len,
				  struct err *e);
/* "02:00:00:12:34:56", one station's; ':' or '-'. */
must_check int machine_mac_parse(const char *text, uint8_t ret[6], struct err *e);

/* A part of machine_config_check(): network, tap, addresses. */
must_check int machine_net_check(const struct machine_config *c, struct err *e);

#endif
