/* SPDX-License-Identifier: MIT */
#include "net_plan.h"

#include "machine_net.h"

static uint8_t hex_value(char c)
{
	return (uint8_t)(c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 0);
}

void net_mac(const char *id, uint8_t ret[6])
{
	ret[0] = 0x02; /* locally administered, unicast */
	for (int i = 1; i < 6; i++) {
		uint8_t high = *id ? hex_value(*id++) : 0;
		uint8_t low = *id ? hex_value(*id++) : 0;

		ret[i] = (uint8_t)(high << 4 | low);
	}
}

void net_ip_text(uint32_t ip, char ret[16])
{
	snprintf(ret, 16, "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
}

void net_plan_make(const struct machine_config *c, uint32_t tap_mtu, struct net_plan *ret)
{
	struct net_plan p = { 0 };
	struct err ignored;

	if (c->has_network && (!*c->mac || machine_mac_parse(c->mac, p.mac, &ignored) < 0))
		net_mac(c->id, p.mac);
	if (c->has_network && !*c->tap) {
		p.ip = NET_GUEST_IP;
		p.gateway = NET_GATEWAY_IP;
		p.prefix_len = NET_PREFIX_LEN;
		p.mtu = NET_MTU;
		p.dns[0] = NET_DNS_IP;
	} else if (c->has_network) {
		p.mtu = tap_mtu;
		if (*c->ip && machine_cidr_parse(c->ip, &p.ip, &p.prefix_len, &ignored) < 0)
			p.ip = 0; /* a checked one is never bad */
		if (*c->gateway && machine_ip_parse(c->gateway, &p.gateway, &ignored) < 0)
			p.gateway = 0;
	}
	*ret = p;
}
