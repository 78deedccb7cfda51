/* SPDX-License-Identifier: MIT */
/*
 * dhcp_message.c - [U] what a DHCP server says, and what it is asked
 *
 * Anybody on the network may send it. Options are {code, length, bytes}, in one area: options that
 * overflow into the fields of the file and server names are not read, nobody needs them here.
 */
#include "dhcp_message.h"

#include <stdbool.h>
#include <string.h>

#define HEAD_LEN     240U
#define OPTIONS_OFF  HEAD_LEN
#define REPLY        2U
#define BROADCAST    0x8000U
#define LEASE_LEAST  60U
#define PREFIX_LEAST 1U

enum option {
	OPTION_PAD = 0,
	OPTION_NETMASK = 1,
	OPTION_ROUTER = 3,
	OPTION_DNS = 6,
	OPTION_MTU = 26,
	OPTION_ADDRESS = 50,
	OPTION_LEASE = 51,
	OPTION_TYPE = 53,
	OPTION_SERVER = 54,
	OPTION_WANTED = 55,
	OPTION_END = 255,
};

static const uint8_t cookie[4] = { 99, 130, 83, 99 };

static uint32_t get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put_be32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static size_t option_put_u32(uint8_t *p, enum option code, uint32_t v)
{
	p[0] = (uint8_t)code;
	p[1] = 4;
	put_be32(p + 2, v);
	return 6;
}

size_t dhcp_message_make(uint8_t ret[DHCP_MESSAGE_MAX], enum dhcp_type type, uint32_t xid,
			 const uint8_t mac[6], const struct dhcp_lease *want)
{
	static const uint8_t wanted[] = { OPTION_WANTED, 5,          OPTION_NETMASK, OPTION_ROUTER,
					  OPTION_DNS,    OPTION_MTU, OPTION_LEASE };
	uint8_t *p = ret + OPTIONS_OFF;

	memset(ret, 0, DHCP_MESSAGE_MAX);
	ret[0] = 1; /* request */
	ret[1] = 1; /* Ethernet */
	ret[2] = 6;
	put_be32(ret + 4, xid);
	ret[10] = BROADCAST >> 8; /* a host without address cannot take a packet for one */
	memcpy(ret + 28, mac, 6);
	memcpy(ret + 236, cookie, sizeof(cookie));
	*p++ = OPTION_TYPE;
	*p++ = 1;
	*p++ = (uint8_t)type;
	if (type == DHCP_REQUEST) {
		p += option_put_u32(p, OPTION_ADDRESS, want->ip);
		p += option_put_u32(p, OPTION_SERVER, want->server);
	}
	memcpy(p, wanted, sizeof(wanted));
	p += sizeof(wanted);
	*p++ = OPTION_END;
	return (size_t)MAX_OF(p - ret, (ptrdiff_t)300); /* the least of BOOTP */
}

/* Ones, then zeros; at least one. */
static bool prefix_of(uint32_t mask, uint8_t *ret)
{
	uint8_t n = 0;

	while (n < 32 && mask & 1U << (31 - n))
		n++;
	if (n < PREFIX_LEAST || (n < 32 && mask << n))
		return false;
	*ret = n;
	return true;
}

/* False: malformed. Options that are not known, or too long for us, are passed over. */
static bool option_take(struct dhcp_lease *l, uint8_t *type, uint8_t code, const uint8_t *p,
			size_t len)
{
	switch (code) {
	case OPTION_TYPE:
		*type = len == 1 ? p[0] : 0;
		return len == 1;
	case OPTION_NETMASK:
		return len == 4 && prefix_of(get_be32(p), &l->prefix_len);
	case OPTION_LEASE:
		l->seconds = len == 4 ? get_be32(p) : 0;
		return len == 4;
	case OPTION_SERVER:
		l->server = len == 4 ? get_be32(p) : 0;
		return len == 4;
	case OPTION_MTU:
		l->mtu = len == 2 ? (uint16_t)(p[0] << 8 | p[1]) : 0;
		return len == 2;
	case OPTION_ROUTER:
		l->gateway = len >= 4 ? get_be32(p) : 0;
		return len >= 4 && len % 4 == 0;
	case OPTION_DNS:
		l->n_dns = 0;
		for (size_t i = 0; i + 4 <= len && l->n_dns < DHCP_SERVERS_MAX; i += 4)
			l->dns[l->n_dns++] = get_be32(p + i);
		return len >= 4 && len % 4 == 0;
	default:
		return true;
	}
}

static bool options_take(struct dhcp_lease *l, uint8_t *type, const uint8_t *p, size_t len)
{
	size_t at = 0;

	while (at < len && p[at] != OPTION_END) {
		if (p[at] == OPTION_PAD) {
			at++;
			continue;
		}
		if (len - at < 2 || p[at + 1] > len - at - 2 ||
		    !option_take(l, type, p[at], p + at + 2, p[at + 1]))
			return false;
		at += 2U + p[at + 1];
	}
	return true;
}

static bool is_unicast(uint32_t ip)
{
	return ip >> 24 != 0 && ip >> 24 != 127 && ip >> 24 < 224;
}

static uint8_t class_prefix(uint32_t ip)
{
	return ip >> 31 == 0 ? 8 : ip >> 30 == 2 ? 16 : 24;
}

int dhcp_message_parse(const uint8_t *p, size_t len, uint32_t xid, const uint8_t mac[6],
		       enum dhcp_type *ret_type, struct dhcp_lease *ret, struct err *e)
{
	struct dhcp_lease l = { 0 };
	uint8_t type = 0;

	if (len < HEAD_LEN || p[0] != REPLY || p[1] != 1 || p[2] != 6 || get_be32(p + 4) != xid ||
	    memcmp(p + 28, mac, 6) != 0 || memcmp(p + 236, cookie, sizeof(cookie)) != 0)
		return err_plain(e, EBADMSG, "dhcp: no answer to us");
	if (!options_take(&l, &type, p + OPTIONS_OFF, len - OPTIONS_OFF))
		return err_plain(e, EBADMSG, "dhcp: malformed options");
	l.ip = get_be32(p + 16);
	if (type != DHCP_OFFER && type != DHCP_ACK && type != DHCP_NAK)
		return err_plain(e, EBADMSG, "dhcp: an answer of type %u", type);
	if (type != DHCP_NAK && !is_unicast(l.ip))
		return err_plain(e, EBADMSG, "dhcp: no usable address");
	if (!is_unicast(l.gateway))
		l.gateway = 0;
	if (!l.prefix_len)
		l.prefix_len = class_prefix(l.ip);
	if (l.mtu < 576)
		l.mtu = 0;
	if (l.seconds < LEASE_LEAST)
		l.seconds = LEASE_LEAST;
	*ret_type = (enum dhcp_type)type;
	*ret = l;
	return 0;
}
