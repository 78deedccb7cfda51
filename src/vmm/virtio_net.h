/* SPDX-License-Identifier: MIT */
/*
 * virtio_net.h - virtio network device [virtio 1.2, 5.1] with one pair of queues
 *
 * Its peer is a stream socket (passt, or another QEMU-like stream: each frame after its length, 32
 * bits, big-endian) or a tap. Without a peer, what the guest sends is thrown away.
 *
 * Threads: made, freed, attached, paused, resumed and kicked on the event thread, which runs
 * `loop`.
 */
#ifndef VIRTIO_NET_H
#define VIRTIO_NET_H

#include <stdint.h>

#include "err.h"
#include "rate_limit.h"

struct loop;
struct virtio_device;

#define NET_MAC_SIZE 6U

enum net_kind {
	NET_STREAM,
	NET_TAP, /* one that virtio_net_tap_prepare() knows; offloads are set when a driver is there
		  */
};

struct net_spec {
	uint8_t mac[NET_MAC_SIZE];
	enum net_kind kind;
	int fd; /* -1: no peer yet; the link is up nevertheless */
	struct rate_limit_options to_guest, from_guest;
};

/* Check that it is a tap as it must be (-EINVAL), and choose its header's size. */
must_check int virtio_net_tap_prepare(int fd, struct err *e);

/* Takes spec->fd and makes it nonblocking; on failure it stays the caller's. A stream's peer that
 * hangs up, or sends frames that cannot be, is closed, and the guest's link goes down. -EINVAL: a
 * descriptor that is of another kind. */
must_check int virtio_net_new(struct loop *loop, const struct net_spec *spec,
			      struct virtio_device **ret, struct err *e);

/* Another peer in place of the one that it had, if any; the link is up. Takes `fd`, as above. Not
 * with the device's lock. */
must_check int virtio_net_attach(struct virtio_device *d, int fd, struct err *e);

#endif
