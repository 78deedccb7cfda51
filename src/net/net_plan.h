/* SPDX-License-Identifier: MIT */
/*
 * net_plan.h - addresses of a machine: pure
 *
 * On passt's network every machine is alone, so all have the same address there; the MAC is its
 * own.
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

#define NET_DNS_MAX    3U

struct net_plan {       /* of the guest's interface; addresses as numbers, 0: none */
	uint8_t mac[6]; /* zeros: no interface */
	uint32_t ip;    /* not on a tap without --ip: DHCP says it */
	uint32_t gateway;
	uint8_t prefix_len;
	uint32_t mtu;
	uint32_t dns[NET_DNS_MAX]; /* if there are none: the host's */
};

/* `tap_mtu` is that of the host's interface. The config was checked. */
void net_plan_make(const struct machine_config *c, uint32_t tap_mtu, struct net_plan *ret);

/* A locally administered MAC from a machine's id (hex digits). */
void net_mac(const char *id, uint8_t ret[6]);
/* "10.0.2.15" */
void net_ip_text(uint32_t ip, char ret[16]);

#endif
