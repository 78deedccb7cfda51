/* SPDX-License-Identifier: MIT */
/* machine_net.c - see machine_net.h */
#include "machine_net.h"

#include <arpa/inet.h>
#include <string.h>

#define PREFIX_DIGITS 2U

int machine_ip_parse(const char *text, uint32_t *ret, struct err *e)
{
	struct in_addr a;

	if (inet_pton(AF_INET, text, &a) != 1)
		return err_plain(e, EINVAL, "invalid IPv4 address: %s", text);
	*ret = ntohl(a.s_addr);
	return 0;
}

static uint32_t mask_of(uint8_t prefix_len)
{
	return prefix_len ? UINT32_MAX << (32 - prefix_len) : 0;
}

/* Not a network's own, broadcast, group, loopback or reserved one. */
static bool is_station(uint32_t ip, uint8_t prefix_len)
{
	const uint32_t host = ip & ~mask_of(prefix_len);

	if (prefix_len < 31 && (host == 0 || host == ~mask_of(prefix_len)))
		return false;
	return ip >> 24 != 0 && ip >> 24 != 127 && ip >> 28 < 14;
}

int machine_cidr_parse(const char *text, uint32_t *ret_ip, uint8_t *ret_prefix_len, struct err *e)
{
	const char *slash = strchr(text, '/');
	char address[INET_ADDRSTRLEN];
	unsigned int prefix_len = 0;
	uint32_t ip;

	if (!slash || (size_t)(slash - text) >= sizeof(address) || !slash[1] ||
	    strspn(slash + 1, "0123456789") != strlen(slash + 1) ||
	    strlen(slash + 1) > PREFIX_DIGITS)
		return err_plain(e, EINVAL, "invalid address %s: ADDRESS/PREFIX is needed", text);
	snprintf(address, sizeof(address), "%.*s", (int)(slash - text), text);
	if (machine_ip_parse(address, &ip, e) < 0)
		return -e->code;
	for (const char *p = slash + 1; *p; p++)
		prefix_len = prefix_len * 10 + (unsigned int)(*p - '0');
	if (prefix_len < 1 || prefix_len > 32 || !is_station(ip, (uint8_t)prefix_len))
		return err_plain(e, EINVAL, "%s is no address of a machine", text);
	*ret_ip = ip;
	*ret_prefix_len = (uint8_t)prefix_len;
	return 0;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int machine_mac_parse(const char *text, uint8_t ret[6], struct err *e)
{
	static const uint8_t zeros[6];
	const char *p = text;
	uint8_t mac[6];

	for (size_t i = 0; i < sizeof(mac); i++, p += 3) {
		const int high = hex_value(p[0]), low = high < 0 ? -1 : hex_value(p[1]);
		const bool is_last = i + 1 == sizeof(mac);

		if (low < 0 || (is_last ? p[2] != '\0' : p[2] != ':' && p[2] != '-'))
			return err_plain(e, EINVAL, "invalid MAC address: %s", text);
		mac[i] = (uint8_t)(high << 4 | low);
	}
	if (mac[0] & 1 || memcmp(mac, zeros, sizeof(mac)) == 0)
		return err_plain(e, EINVAL, "%s is no address of a machine", text);
	memcpy(ret, mac, sizeof(mac));
	return 0;
}

/* As the kernel has it: no white space, ':' or '/', nor a name of a directory. */
static bool tap_is_valid(const char *name)
{
	if (strlen(name) >= sizeof(((struct machine_config *)0)->tap) || !*name ||
	    strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	for (; *name; name++)
		if (*name <= ' ' || *name > '~' || *name == '/' || *name == ':' || *name == '%')
			return false;
	return true;
}

static int addresses_check(const struct machine_config *c, struct err *e)
{
	uint32_t ip = 0, gateway = 0;
	uint8_t prefix_len = 0, mac[6];

	if (*c->mac && machine_mac_parse(c->mac, mac, e) < 0)
		return err_wrap(e, "--mac-address");
	if (*c->ip && machine_cidr_parse(c->ip, &ip, &prefix_len, e) < 0)
		return err_wrap(e, "--ip");
	if (*c->gateway && machine_ip_parse(c->gateway, &gateway, e) < 0)
		return err_wrap(e, "--gateway");
	if (*c->gateway && (gateway == ip || ((gateway ^ ip) & mask_of(prefix_len)) != 0))
		return err_plain(e, EINVAL, "--gateway %s is not a neighbour of %s", c->gateway,
				 c->ip);
	return 0;
}

int machine_net_check(const struct machine_config *c, struct err *e)
{
	if (*c->tap && (!c->has_network || !tap_is_valid(c->tap)))
		return err_plain(e, EINVAL, "invalid name of a tap: %s", c->tap);
	if (!*c->tap && (*c->ip || *c->gateway))
		return err_plain(e, EINVAL, "--ip and --gateway need --network tap:NAME");
	if (*c->gateway && !*c->ip)
		return err_plain(e, EINVAL, "--gateway needs --ip; else DHCP says both");
	if (!c->has_network && (*c->mac || c->net_bps))
		return err_plain(e, EINVAL, "%s is of no use with --network none",
				 *c->mac ? "--mac-address" : "--net-bps");
	if (*c->tap && (c->n_ports || c->publish_all))
		return err_plain(e, EINVAL,
				 "ports cannot be published with --network tap: the machine "
				 "has an address of its own there");
	return addresses_check(c, e);
}
