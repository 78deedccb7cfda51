/* SPDX-License-Identifier: MIT */
/*
 * net_plan.h - addresses of a machine: pure
 *
 * Every machine is alone on its network, so all have the same address there; the MAC is its own.
 */
#ifndef NET_PLAN_H
#define NET_PLAN_H

#include <stdint.h>

#include "machine.h"

#define NET_GUEST_IP   0x0a00020fU /* 10.0.2.15 */
#define NET_GATEWAY_IP 0x0a000202U /* 10.0.2.2 */
#define NET_DNS_IP     0x0a000203U /* 10.0.2.3: queries go on to the host's resolver */
#define NET_PREFIX_LEN 24
#define NET_MTU        65520U

/* A locally administered MAC from a machine's id (hex digits). */
void net_mac(const char *id, uint8_t ret[6]);
/* "10.0.2.15" */
void net_ip_text(uint32_t ip, char ret[16]);

#endif
