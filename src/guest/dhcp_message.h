/* SPDX-License-Identifier: MIT */
/* dhcp_message.h - the bytes of DHCP (RFC 2131, options of RFC 2132 and RFC 3442's are not used) */
#ifndef DHCP_MESSAGE_H
#define DHCP_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define DHCP_MESSAGE_MAX 1500U
#define DHCP_SERVERS_MAX 3U

enum dhcp_type { DHCP_DISCOVER = 1, DHCP_OFFER, DHCP_REQUEST, DHCP_DECLINE, DHCP_ACK, DHCP_NAK };

struct dhcp_lease { /* addresses in host byte order; 0: not said */
	uint32_t ip, server, gateway;
	uint32_t dns[DHCP_SERVERS_MAX];
	uint32_t n_dns;
	uint32_t seconds; /* UINT32_MAX: for ever */
	uint8_t prefix_len;
	uint16_t mtu;
};

/* DISCOVER, or REQUEST of `want`. Returns the length. */
size_t dhcp_message_make(uint8_t ret[DHCP_MESSAGE_MAX], enum dhcp_type type, uint32_t xid,
			 const uint8_t mac[6], const struct dhcp_lease *want);

/*
 * An answer to `xid` for `mac`: *ret_type and, for OFFER and ACK, a lease with a usable address.
 * -EBADMSG and why for everything else.
 */
must_check int dhcp_message_parse(const uint8_t *p, size_t len, uint32_t xid, const uint8_t mac[6],
				  enum dhcp_type *ret_type, struct dhcp_lease *ret, struct err *e);

#endif
