/* SPDX-License-Identifier: MIT */
/*
 * virtio_net_internal.h - what the network device and its two directions know of each other
 *
 * All functions: with the device's lock, on the event thread, while the device is active.
 */
#ifndef VIRTIO_NET_INTERNAL_H
#define VIRTIO_NET_INTERNAL_H

#include "virtio_device.h"
#include "virtio_net.h"

/* Features [5.1.3]. */
#define NET_F_CSUM       (1ULL << 0)
#define NET_F_GUEST_CSUM (1ULL << 1)
#define NET_F_MAC        (1ULL << 5)
#define NET_F_GUEST_TSO4 (1ULL << 7)
#define NET_F_GUEST_TSO6 (1ULL << 8)
#define NET_F_HOST_TSO4  (1ULL << 11)
#define NET_F_HOST_TSO6  (1ULL << 12)
#define NET_F_MRG_RXBUF  (1ULL << 15)
#define NET_F_STATUS     (1ULL << 16)

#define NET_QUEUE_RX     0U
#define NET_QUEUE_TX     1U
#define NET_WAKE_FRAMES  64U /* of a direction; then others have their turn */

#define NET_HDR_SIZE     12U /* struct virtio_net_hdr [5.1.6] */
#define NET_HDR_BUFFERS  10U /* offset of num_buffers */
#define NET_FRAME_MIN    14U
#define NET_FRAME_MAX    65550U
#define NET_LENGTH_SIZE  4U
#define NET_HELD_MAX     64U /* buffers of the guest that a frame may be read into */

struct net_rx {
	uint8_t data[128U << 10]; /* from the peer: [start, end) */
	size_t start, end;
	bool is_starved; /* the guest has given no buffers */
	bool is_limited; /* `again` will run */
	struct rate_limit limit;
	struct loop_timer *again; /* a limit was reached, of a wake or a second */
};

struct net_tx {
	uint8_t data[NET_LENGTH_SIZE + NET_FRAME_MAX]; /* of a frame that was sent in part */
	size_t start, end;
	bool is_blocked; /* the peer takes no more now */
	struct rate_limit limit;
	struct loop_timer *again;
};

struct virtio_net {
	struct virtio_device dev; /* first */
	struct loop *loop;
	enum net_kind kind;
	int fd; /* -1: no peer */
	struct loop_watch *watch;
	uint32_t events; /* that it is watched for */
	uint8_t mac[NET_MAC_SIZE];
	bool is_up;
	bool is_offload_set; /* the tap knows what this driver takes */
	bool owes_config;    /* the guest was restored with another link status */
	struct net_rx rx;
	struct net_tx tx;
};

/* The peer is gone: the link is down. */
void net_peer_lost(struct virtio_net *n);

bool net_rx_is_wanted(const struct virtio_net *n);
void net_to_guest(struct virtio_net *n);
void net_from_guest(struct virtio_net *n);

#endif
