/* SPDX-License-Identifier: MIT */
/*
 * virtio_vsock.h - virtio socket device [virtio 1.2, 5.10], connected to unix sockets of the host
 *
 * Streams only. The guest is CID 3, the host 2. Who connects to the listening socket writes
 * "CONNECT <port>\n" and gets "OK <port>\n" once the guest has accepted; else the connection is
 * closed. For a connection of the guest's a connected socket is asked for (vsock_broker.h).
 *
 * Threads: made, freed, paused, resumed and kicked on the event thread, which runs `loop`.
 */
#ifndef VIRTIO_VSOCK_H
#define VIRTIO_VSOCK_H

#include "err.h"

struct loop;
struct virtio_device;

#define VSOCK_CONNS_MAX 64U
#define VSOCK_BUF       (64U << 10) /* what a guest may send that the host has not taken */
#define VSOCK_WAIT_MS   5000        /* for a line, for either side's consent, for a last answer */

/* Takes both descriptors, -1 for none, and makes them nonblocking; on failure they stay the
 * caller's. `listen_fd`: a listening stream socket; `broker_fd`: SOCK_SEQPACKET. */
must_check int virtio_vsock_new(struct loop *loop, int listen_fd, int broker_fd,
				struct virtio_device **ret, struct err *e);

#endif
