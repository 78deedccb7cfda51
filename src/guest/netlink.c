/* SPDX-License-Identifier: MIT */
/*
 * netlink.c - the one network interface, by rtnetlink (linux/rtnetlink.h, rtnetlink(7))
 *
 * All requests of a configuration go out in one send; each asks for an acknowledgement, and the
 * first error among them is reported.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#include "fdio.h"
#include "guest_internal.h"

#define BATCH_MAX 4096
#define INTERFACE "eth0"

struct batch {
	char data[BATCH_MAX] __attribute__((aligned(NLMSG_ALIGNTO)));
	size_t len;
	struct nlmsghdr *msg; /* the one being made */
	unsigned n;
};

static void *msg_begin(struct batch *b, uint16_t type, uint16_t flags, size_t body)
{
	b->msg = (struct nlmsghdr *)(b->data + b->len);
	*b->msg = (struct nlmsghdr){ .nlmsg_len = (uint32_t)NLMSG_LENGTH(body),
				     .nlmsg_type = type,
				     .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags),
				     .nlmsg_seq = ++b->n };
	memset(NLMSG_DATA(b->msg), 0, body);
	return NLMSG_DATA(b->msg);
}

static void msg_attr(struct batch *b, uint16_t type, const void *data, size_t len)
{
	struct rtattr *a = (struct rtattr *)((char *)b->msg + NLMSG_ALIGN(b->msg->nlmsg_len));

	a->rta_type = type;
	a->rta_len = (uint16_t)RTA_LENGTH(len);
	memcpy(RTA_DATA(a), data, len);
	b->msg->nlmsg_len = (uint32_t)(NLMSG_ALIGN(b->msg->nlmsg_len) + RTA_ALIGN(a->rta_len));
}

static void msg_end(struct batch *b)
{
	b->len += NLMSG_ALIGN(b->msg->nlmsg_len);
}

static int batch_send(struct batch *b, struct err *e)
{
	auto_fd fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	unsigned acked = 0;

	if (fd < 0 || send(fd, b->data, b->len, 0) < 0)
		return err_set(e, errno, "netlink");
	while (acked < b->n) {
		char in[BATCH_MAX] __attribute__((aligned(NLMSG_ALIGNTO)));
		ssize_t got = recv(fd, in, sizeof(in), 0);
		int n = (int)got;

		if (got <= 0)
			return err_set(e, errno, "netlink answer");
		for (struct nlmsghdr *h = (struct nlmsghdr *)in; NLMSG_OK(h, (unsigned)n);
		     h = NLMSG_NEXT(h, n)) {
			const struct nlmsgerr *ne = NLMSG_DATA(h);

			if (h->nlmsg_type != NLMSG_ERROR)
				continue;
			if (ne->error && ne->error != -EEXIST)
				return err_set(e, -ne->error, "configure the network, step %u",
					       h->nlmsg_seq);
			acked++;
		}
	}
	return 0;
}

static void link_up(struct batch *b, int index, const uint8_t *mac, uint32_t mtu)
{
	struct ifinfomsg *ifi = msg_begin(b, RTM_NEWLINK, 0, sizeof(*ifi));

	ifi->ifi_index = index;
	ifi->ifi_flags = ifi->ifi_change = IFF_UP;
	if (mac)
		msg_attr(b, IFLA_ADDRESS, mac, 6);
	if (mtu)
		msg_attr(b, IFLA_MTU, &mtu, sizeof(mtu));
	msg_end(b);
}

static void address_add(struct batch *b, int index, int family, const void *addr, size_t len,
			uint8_t prefix)
{
	struct ifaddrmsg *ifa =
		msg_begin(b, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, sizeof(*ifa));

	ifa->ifa_family = (uint8_t)family;
	ifa->ifa_prefixlen = prefix;
	ifa->ifa_index = (uint32_t)index;
	ifa->ifa_flags = family == AF_INET6 ? IFA_F_NODAD : 0;
	msg_attr(b, IFA_LOCAL, addr, len);
	msg_attr(b, IFA_ADDRESS, addr, len);
	msg_end(b);
}

static void address_remove(struct batch *b, int index, uint32_t addr, uint8_t prefix)
{
	struct ifaddrmsg *ifa = msg_begin(b, RTM_DELADDR, 0, sizeof(*ifa));

	ifa->ifa_family = AF_INET;
	ifa->ifa_prefixlen = prefix;
	ifa->ifa_index = (uint32_t)index;
	msg_attr(b, IFA_LOCAL, &addr, sizeof(addr));
	msg_end(b);
}

static void route_add(struct batch *b, int index, int family, const void *gateway, size_t len)
{
	struct rtmsg *r = msg_begin(b, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, sizeof(*r));

	r->rtm_family = (uint8_t)family;
	r->rtm_table = RT_TABLE_MAIN;
	r->rtm_protocol = RTPROT_STATIC;
	r->rtm_scope = RT_SCOPE_UNIVERSE;
	r->rtm_type = RTN_UNICAST;
	msg_attr(b, RTA_GATEWAY, gateway, len);
	msg_attr(b, RTA_OIF, &index, sizeof(index));
	msg_end(b);
}

int netlink_loopback_up(struct err *e)
{
	struct batch b = { 0 };

	link_up(&b, 1, NULL, 0);
	return batch_send(&b, e);
}

int netlink_configure(const struct agent_identity *id, struct err *e)
{
	static const uint8_t none[6];
	struct batch b = { 0 };
	uint32_t ip = htonl(id->ip), gateway = htonl(id->gateway);
	int index;

	if (!memcmp(id->mac, none, sizeof(none)))
		return 0;
	index = (int)if_nametoindex(INTERFACE);
	if (!index)
		return err_set(e, errno, "find " INTERFACE);
	/* The address first: the link coming up then tells the host which MAC has it (arp_notify).
	 */
	if (id->ip)
		address_add(&b, index, AF_INET, &ip, sizeof(ip), id->prefix_len);
	link_up(&b, index, id->mac, id->mtu);
	if (id->gateway)
		route_add(&b, index, AF_INET, &gateway, sizeof(gateway));
	if (id->ip6.len)
		address_add(&b, index, AF_INET6, id->ip6.data, 16, id->prefix6_len);
	if (id->gateway6.len)
		route_add(&b, index, AF_INET6, id->gateway6.data, 16);
	return batch_send(&b, e);
}

/* The old one goes first: in the same network the new one would be secondary to it, and go along.
 */
int netlink_readdress(const struct agent_identity *old, const struct agent_identity *id,
		      struct err *e)
{
	struct batch b = { 0 };
	int index = (int)if_nametoindex(INTERFACE);

	if (!index)
		return err_set(e, errno, "find " INTERFACE);
	if (old->ip && (old->ip != id->ip || old->prefix_len != id->prefix_len)) {
		address_remove(&b, index, htonl(old->ip), old->prefix_len);
		if (batch_send(&b, e) < 0 && e->code != EADDRNOTAVAIL) /* it is gone already */
			return -e->code;
	}
	return netlink_configure(id, e);
}
