/* SPDX-License-Identifier: MIT */
/* fuzz_dhcp.c - an answer of a DHCP server to transaction 0x01020304 of 02:00:00:00:00:01 */
#include "fuzz_input.h"

#include "dhcp_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
	auto_free uint8_t *p = copy_of(data, len);
	struct dhcp_lease l = { 0 };
	struct err e = { 0 };
	enum dhcp_type type;

	if (dhcp_message_parse(p, len, 0x01020304, mac, &type, &l, &e) < 0) {
		MUST(e.code == EBADMSG);
		return 0;
	}
	MUST(type == DHCP_OFFER || type == DHCP_ACK || type == DHCP_NAK);
	MUST(l.n_dns <= DHCP_SERVERS_MAX && l.prefix_len >= 1 && l.prefix_len <= 32);
	MUST(l.seconds >= 60 && (l.mtu == 0 || l.mtu >= 576));
	MUST(type == DHCP_NAK || (l.ip >> 24 != 0 && l.ip >> 24 != 127 && l.ip >> 24 < 224));
	return 0;
}
