/* SPDX-License-Identifier: MIT */
#include "net_plan.h"

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
