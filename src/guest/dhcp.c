/* SPDX-License-Identifier: MIT */
/*
 * dhcp.c - an address for the one interface of a machine that nobody of ours looks after
 *
 * One UDP socket bound to the interface, broadcasts in both directions. The lease is asked for
 * again at half its time, with the same request (RFC 2131, 4.4.5: what a rebinding client sends).
 */
#include <arpa/inet.h>
#include <net/if.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "fdio.h"
#include "guest_dhcp.h"

#define INTERFACE   "eth0"
#define CLIENT_PORT 68
#define SERVER_PORT 67
#define ANSWER_MS   2000
#define TRIES       10

static int socket_open(struct err *e)
{
	const struct sockaddr_in own = { .sin_family = AF_INET, .sin_port = htons(CLIENT_PORT) };
	auto_fd fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, INTERFACE, sizeof(INTERFACE)) < 0 ||
	    bind(fd, (const struct sockaddr *)&own, sizeof(own)) < 0)
		return err_set(e, errno, "dhcp socket");
	return TAKE_FD(fd);
}

/* Until the answer, or the time is over. */
static int answer_wait(int fd, uint32_t xid, const uint8_t mac[6], enum dhcp_type *ret_type,
		       struct dhcp_lease *ret, struct err *e)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint8_t in[DHCP_MESSAGE_MAX];

	for (int i = 0; i < 64 && poll(&p, 1, ANSWER_MS) == 1; i++) {
		ssize_t n = recv(fd, in, sizeof(in), 0);

		if (n > 0 && dhcp_message_parse(in, (size_t)n, xid, mac, ret_type, ret, e) == 0)
			return 0;
	}
	return err_plain(e, ETIMEDOUT, "dhcp: no answer");
}

static int ask(int fd, enum dhcp_type type, uint32_t xid, const uint8_t mac[6],
	       struct dhcp_lease *io, enum dhcp_type *ret_type, struct err *e)
{
	const struct sockaddr_in all = { .sin_family = AF_INET,
					 .sin_port = htons(SERVER_PORT),
					 .sin_addr.s_addr = INADDR_BROADCAST };
	uint8_t out[DHCP_MESSAGE_MAX];
	size_t len = dhcp_message_make(out, type, xid, mac, io);

	if (sendto(fd, out, len, 0, (const struct sockaddr *)&all, sizeof(all)) < 0)
		return err_set(e, errno, "dhcp: send");
	return answer_wait(fd, xid, mac, ret_type, io, e);
}

int dhcp_obtain(const uint8_t mac[6], struct dhcp_lease *io, struct err *e)
{
	auto_fd fd = socket_open(e);
	enum dhcp_type type;
	uint32_t xid;

	if (fd < 0)
		return -e->code;
	for (int i = 0; i < TRIES; i++) {
		if (getrandom(&xid, sizeof(xid), GRND_NONBLOCK) != (ssize_t)sizeof(xid))
			xid = (uint32_t)i + 1; /* early boot: only to tell answers apart */
		if (!io->ip &&
		    (ask(fd, DHCP_DISCOVER, xid, mac, io, &type, e) < 0 || type != DHCP_OFFER)) {
			*io = (struct dhcp_lease){ 0 };
			continue;
		}
		if (ask(fd, DHCP_REQUEST, xid, mac, io, &type, e) == 0 && type == DHCP_ACK)
			return 0;
		*io = (struct dhcp_lease){ 0 };
	}
	return err_plain(e, ETIMEDOUT, "dhcp: no lease");
}
