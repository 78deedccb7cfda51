/* SPDX-License-Identifier: MIT */
/*
 * keeper_servers.c - the programs beside the VMM, passt and virtiofsd, and what their end means
 *
 * passt costs 20 MiB and some milliseconds of a processor. With published ports it is started when
 * the guest has its address. Without, only the guest can begin to talk, and many never do: until
 * then packets that lie on passt's end of the VMM's socket are looked at (MSG_PEEK), one at a time,
 * and stay where they are for passt; only an announcement, which nobody answers, is taken off.
 *
 * Its end of the VMM's socket stays open here, so the guest's link stays up and another one is
 * started on it when one ends. Connections of the app are lost, as over a network that was cut;
 * ports and address are the same. One that ends again and again is given up, and the record says
 * why. (A passt that is killed in the middle of a frame leaves the stream out of step: the next
 * ones end, and it is given up.)
 *
 * virtiofsd: QEMU cannot connect to another one, and in the guest each access to the mount would
 * wait for ever, in a way that no signal ends. A machine without its files is of no use, so it
 * ends, as after the end of its VMM, but with a moment to write its own disk.
 */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "fdio.h"
#include "keeper.h"
#include "keeper_packet.h"
#include "log.h"

#define PASST_TRIES   5U
#define PASST_LIFE_MS 10000 /* one that lives so long was all right */
#define VM_END_MS     200   /* a VMM takes its file servers along, and is the reason then */

/* ---- the network ---- */

static void passt_ended(void *arg, uint32_t events);

static int passt_run(struct keeper *k, struct err *e)
{
	k->passt_started_ms = loop_now_ms();
	if (passt_start(k->state.ports, k->state.n_ports, k->net_fd, &k->passt, e) < 0)
		return -e->code;
	return loop_watch_fd(k->loop, k->passt.pidfd, EPOLLIN, passt_ended, k, &k->passt_watch, e);
}

static void network_lost(struct keeper *k, const char *why)
{
	fd_drop(&k->net_fd); /* nobody reads what the VMM sends */
	log_warn("%s", why);
	if (k->phase == KEEPER_BOOTING) {
		keeper_machine_lost(k, why);
	} else if (k->phase == KEEPER_RUNNING) {
		snprintf(k->state.error, sizeof(k->state.error), "%s", why);
		record_state_write(k);
	}
}

static void passt_ended(void *arg, uint32_t events)
{
	struct keeper *k = arg;
	struct err e = { 0 };
	char why[300];

	(void)events;
	loop_watch_drop(k->passt_watch);
	k->passt_watch = NULL;
	passt_end_reason(&k->passt, why, sizeof(why));
	passt_stop(&k->passt);
	if (k->phase == KEEPER_ENDING)
		return;
	if (loop_now_ms() - k->passt_started_ms > PASST_LIFE_MS)
		k->passt_ends = 0;
	if (++k->passt_ends >= PASST_TRIES)
		network_lost(k, why);
	else if (passt_run(k, &e) < 0)
		network_lost(k, e.msg);
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
	len = n > 0 ? packet_announcement(raw, (size_t)n) : 0;
	if (len > 0) {
		if (fd_read_full(k->net_fd, raw, len) < 0)
			log_warn("network: a packet that was there cannot be read");
		return;
	}
	loop_watch_drop(k->net_watch);
	k->net_watch = NULL;
	if (n > 0 && passt_run(k, &e) < 0) /* else the VMM is gone, which is heard elsewhere */
		network_lost(k, e.msg);
}

int keeper_network(struct keeper *k, struct err *e)
{
	if (k->net_fd < 0 || k->passt.pid || k->net_watch)
		return 0;
	if (k->state.n_ports > 0)
		return passt_run(k, e);
	return loop_watch_fd(k->loop, k->net_fd, EPOLLIN, packet_waits, k, &k->net_watch, e);
}

/* ---- shared directories ---- */

static const char *share_source(const struct keeper *k, uint32_t share)
{
	for (uint32_t i = 0, n = 0; i < k->config.n_mounts; i++)
		if (k->config.mounts[i].kind == MACHINE_MOUNT_BIND && n++ == share)
			return k->config.mounts[i].source;
	return "";
}

static bool vm_has_ended(const struct keeper *k)
{
	struct pollfd p = { .fd = k->driver->pidfd(k->vm), .events = POLLIN };

	return poll(&p, 1, VM_END_MS) > 0;
}

static void share_ended(void *arg, uint32_t events)
{
	struct keeper *k = arg;
	char why[sizeof(k->state.error)];

	(void)events;
	for (uint32_t i = 0; i < k->n_shares; i++) {
		if (!virtiofsd_has_ended(&k->shares[i]))
			continue;
		loop_watch_drop(k->share_watches[i]);
		k->share_watches[i] = NULL;
		virtiofsd_stop(&k->shares[i]);
		snprintf(why, sizeof(why), "the server of %.150s (%s) ended", share_source(k, i),
			 k->driver->caps & VM_CAP_FUSE ? "caisson-share" : "virtiofsd");
		if (k->phase != KEEPER_ENDING && !vm_has_ended(k))
			keeper_share_lost(k, why);
	}
}

int servers_watch(struct keeper *k, struct err *e)
{
	for (uint32_t i = 0; i < k->n_shares; i++)
		if (loop_watch_fd(k->loop, k->shares[i].pidfd, EPOLLIN, share_ended, k,
				  &k->share_watches[i], e) < 0)
			return -e->code;
	return 0;
}

void servers_stop(struct keeper *k)
{
	loop_watch_drop(k->net_watch);
	loop_watch_drop(k->passt_watch);
	k->net_watch = k->passt_watch = NULL;
	passt_stop(&k->passt);
	fd_drop(&k->net_fd);
	vsock_dir_close(&k->vsock);
	for (uint32_t i = 0; i < k->n_shares; i++) {
		loop_watch_drop(k->share_watches[i]);
		k->share_watches[i] = NULL;
		virtiofsd_stop(&k->shares[i]);
	}
	k->n_shares = 0;
}
