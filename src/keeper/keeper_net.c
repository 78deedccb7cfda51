/* SPDX-License-Identifier: MIT */
/*
 * keeper_net.c - the network of a machine: passt, as soon as there is something for it
 *
 * passt costs 20 MiB and some milliseconds of a processor. With published ports it is started when
 * the guest has its address. Without, only the guest can begin to talk, and many never do: until
 * then the keeper looks at the packets that lie on passt's end of the VMM's socket.
 *
 * Hostile: the packets. They are looked at (MSG_PEEK), one at a time, and stay where they are for
 * passt; only an announcement, which nobody answers, is taken off: ARP that names the sender's own
 * address, or IPv6, which this network does not have. What is not surely one starts passt.
 *
 * On the socket each packet has its length before it, 32 bits, big-endian.
 */
#include <sys/socket.h>

#include "fdio.h"
#include "keeper.h"
#include "keeper_packet.h"
#include "log.h"

/* A machine that runs goes on without; `inspect` says why. */
static void network_lost(struct keeper *k, const char *why)
{
	if (k->phase == KEEPER_BOOTING) {
		keeper_machine_lost(k, why);
		return;
	}
	log_warn("%s", why);
	snprintf(k->state.error, sizeof(k->state.error), "%s", why);
	record_state_write(k);
}

static void passt_ended(void *arg, uint32_t events)
{
	struct keeper *k = arg;
	char why[300];

	(void)events;
	loop_watch_drop(k->passt_watch);
	k->passt_watch = NULL;
	passt_end_reason(&k->passt, why, sizeof(why));
	network_lost(k, why);
}

static int network_start(struct keeper *k, struct err *e)
{
	auto_fd sock = TAKE_FD(k->net_fd);

	loop_watch_drop(k->net_watch);
	k->net_watch = NULL;
	if (passt_start(k->state.ports, k->state.n_ports, sock, &k->passt, e) < 0)
		return -e->code;
	return loop_watch_fd(k->loop, k->passt.pidfd, EPOLLIN, passt_ended, k, &k->passt_watch, e);
}

static void packet_waits(void *arg, uint32_t events)
{
	struct keeper *k = arg;
	uint8_t raw[PACKET_ANNOUNCEMENT_MAX];
	ssize_t n = recv(k->net_fd, raw, sizeof(raw), MSG_PEEK | MSG_DONTWAIT);
	struct err e = { 0 };
	size_t len;

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) { /* the VMM is gone, which is heard elsewhere */
		loop_watch_drop(k->net_watch);
		k->net_watch = NULL;
		return;
	}
	len = packet_announcement(raw, (size_t)n);
	if (len > 0) {
		if (fd_read_full(k->net_fd, raw, len) < 0)
			log_warn("network: a packet that was there cannot be read");
		return;
	}
	if (network_start(k, &e) < 0)
		network_lost(k, e.msg);
}

int keeper_network(struct keeper *k, struct err *e)
{
	if (k->net_fd < 0 || k->net_watch)
		return 0;
	if (k->state.n_ports > 0)
		return network_start(k, e);
	return loop_watch_fd(k->loop, k->net_fd, EPOLLIN, packet_waits, k, &k->net_watch, e);
}
