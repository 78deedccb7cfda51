/* SPDX-License-Identifier: MIT */
/*
 * virtio_net_tx.c - [U] frames from the guest to the peer
 *
 * Hostile: the rings' contents, also while they are sent; a peer that does not read.
 * Invariants: I1 no request is in flight while the lock is free: one that the peer has no room for
 *   is put back.  I2 a stream gets whole frames: the rest of one that was sent in part is kept, and
 *   sent before anything else.  I3 a frame's length is as its length field says, whatever becomes
 *   of its contents.
 * Memory: none allocated.
 * #syscalls:vmm sendmsg sendto writev
 */
#include <sys/socket.h>

#include "iov.h"
#include "loop.h"
#include "virtio_net_internal.h"

static void put_be32(uint8_t *p, uint32_t v)
{
	for (unsigned int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* Memory that the kernel is short of is not the peer's end; a tap drops such a frame. */
static bool is_for_later(const struct virtio_net *n)
{
	if (n->kind == NET_STREAM && (errno == ENOBUFS || errno == ENOMEM))
		return true;
	return errno == EAGAIN || errno == EINTR;
}

/* I2: whether nothing is left to send. */
static bool rest_send(struct virtio_net *n)
{
	struct net_tx *tx = &n->tx;
	ssize_t put;

	if (tx->start == tx->end)
		return true;
	put = send(n->fd, tx->data + tx->start, tx->end - tx->start, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (put < 0 && !is_for_later(n)) {
		net_peer_lost(n);
		return true;
	}
	tx->start += put > 0 ? (size_t)put : 0;
	return tx->start == tx->end;
}

/* Keep what is left of length field and frame after `put` bytes of them. */
static void rest_keep(struct net_tx *tx, const struct virtq_chain *c, const uint8_t *length,
		      size_t put)
{
	size_t head = put < NET_LENGTH_SIZE ? NET_LENGTH_SIZE - put : 0;
	size_t from = put < NET_LENGTH_SIZE ? 0 : put - NET_LENGTH_SIZE;

	memcpy(tx->data, length + NET_LENGTH_SIZE - head, head);
	tx->start = 0;
	tx->end = head + virtq_chain_read(c, NET_HDR_SIZE + from, tx->data + head,
					  sizeof(tx->data) - head);
}

/* The length field, then the frame without the guest's header, which has nothing to say: no
 * offloads are offered to a stream's driver. */
static unsigned int stream_iov(const struct virtq_chain *c, uint8_t *length, struct iovec *iov)
{
	put_be32(length, (uint32_t)(c->len_out - NET_HDR_SIZE));
	iov[0] = (struct iovec){ length, NET_LENGTH_SIZE };
	return 1U + (unsigned int)iov_cut(c->iov, c->n_out, NET_HDR_SIZE, SIZE_MAX, iov + 1);
}

/* Whether the frame is done with: sent, kept or dropped. */
static bool stream_send(struct virtio_net *n, const struct virtq_chain *c)
{
	size_t total = NET_LENGTH_SIZE + (size_t)c->len_out - NET_HDR_SIZE;
	uint8_t length[NET_LENGTH_SIZE];
	struct iovec iov[1 + VIRTQ_CHAIN_MAX];
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = stream_iov(c, length, iov) };
	ssize_t put = sendmsg(n->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (put < 0 && is_for_later(n))
		return false;
	if (put < 0)
		net_peer_lost(n);
	else if ((size_t)put < total)
		rest_keep(&n->tx, c, length, (size_t)put);
	return true;
}

/* A tap takes a frame whole; one that it does not like is dropped, as a network does. */
static bool tap_send(const struct virtio_net *n, const struct virtq_chain *c)
{
	return writev(n->fd, c->iov, c->n_out) >= 0 || !is_for_later(n);
}

static bool frame_send(struct virtio_net *n, const struct virtq_chain *c)
{
	if (n->fd < 0 || c->len_out < NET_HDR_SIZE + NET_FRAME_MIN ||
	    c->len_out > NET_HDR_SIZE + NET_FRAME_MAX)
		return true;
	return n->kind == NET_TAP ? tap_send(n, c) : stream_send(n, c);
}

/* One frame; false when there is no more to do now. */
static bool frame_from_guest(struct virtio_net *n, struct virtq *q)
{
	struct virtq_chain chain;

	if (rate_limit_stops(&n->tx.limit, n->tx.again) || virtq_pop(q, &chain) <= 0)
		return false;
	if (!frame_send(n, &chain)) {
		virtq_unpop(q, 1); /* I1 */
		n->tx.is_blocked = true;
		return false;
	}
	rate_limit_charge(&n->tx.limit, chain.len_out);
	virtq_push(q, chain.head, 0);
	n->tx.is_blocked = n->tx.start != n->tx.end;
	return !n->tx.is_blocked;
}

void net_from_guest(struct virtio_net *n)
{
	struct virtq *q = &n->dev.queues[NET_QUEUE_TX];
	unsigned int i = 0;

	n->tx.is_blocked = !rest_send(n);
	if (n->tx.is_blocked || q->is_broken)
		return;
	while (i < NET_WAKE_FRAMES && frame_from_guest(n, q))
		i++;
	if (i == NET_WAKE_FRAMES)
		loop_timer_arm(n->tx.again, 0);
	virtio_device_tell(&n->dev, q);
}
