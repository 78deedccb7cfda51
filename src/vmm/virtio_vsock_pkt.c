/* SPDX-License-Identifier: MIT */
/*
 * virtio_vsock_pkt.c - [U] packets of a socket device, from the guest and to it
 *
 * Hostile: the rings' contents; headers, which are copied once; the guest's lengths and credit.
 * Invariants: I1 no packet waits to be sent: what the guest is owed follows from each connection's
 *   fields, but for answers to packets of no connection: there is room for so many, and while there
 *   is none, nothing is taken from the guest.  I2 the host's bytes are read into the guest's
 * buffer, and at most as many as it has said that it takes.  I3 a header's len is used once it is
 * known to be at most what is behind it. Memory: none allocated.
 *
 * While a guest that was restored has not heard so, nothing is sent to it, since it would take what
 * is new for what is old; and of what comes from it only calls are new, the rest is of connections
 * that are no more. #syscalls:vmm recvmsg shutdown
 */
#include <sys/socket.h>

#include "iov.h"
#include "virtio_vsock_internal.h"

#define HEADER_SIZE 44U /* struct virtio_vsock_hdr [5.10.6] */
#define TYPE_STREAM 1U
#define TURN_MAX    64U /* packets of a direction; then others have their turn */

/* ---- from the guest ---- */

/* False: it is none, or not from the guest to the host. */
static bool header_read(const struct virtq_chain *chain, struct vsock_header *h)
{
	uint8_t raw[HEADER_SIZE];

	if (virtq_chain_read(chain, 0, raw, sizeof(raw)) < sizeof(raw))
		return false;
	*h = (struct vsock_header){ get_le32(raw + 16), get_le32(raw + 20), get_le32(raw + 24),
				    get_le16(raw + 28), get_le16(raw + 30), get_le32(raw + 32),
				    get_le32(raw + 36), get_le32(raw + 40) };
	return get_le64(raw) == VSOCK_CID_GUEST && get_le64(raw + 8) == VSOCK_CID_HOST;
}

/* A RST is never answered. */
static void rst_add(struct virtio_vsock *v, const struct vsock_header *h)
{
	if (h->op == VSOCK_OP_RST)
		return;
	v->rsts[(v->first_rst + v->n_rsts++) % VSOCK_RSTS_MAX] =
		(struct vsock_header){ .src_port = h->dst_port,
				       .dst_port = h->src_port,
				       .type = h->type,
				       .op = VSOCK_OP_RST };
}

static void guest_calls(struct virtio_vsock *v, const struct vsock_header *h)
{
	struct vsock_conn *c = vsock_conn_new(v, VSOCK_ASKING);

	if (!c) {
		rst_add(v, h);
		return;
	}
	c->guest_port = h->src_port;
	c->host_port = h->dst_port;
	c->peer_size = h->size;
	c->peer_taken = h->taken;
	if (vsock_broker_ask(v, c) < 0)
		vsock_conn_end(v, c, VSOCK_OP_RST);
}

/* False: beyond the guest's credit, after its end, or not there. */
static bool data_take(struct virtio_vsock *v, struct vsock_conn *c, uint32_t len,
		      const struct virtq_chain *chain)
{
	uint8_t *buf = v->bufs[c - v->conns];
	uint32_t at = c->received % VSOCK_BUF, part = MIN_OF(len, VSOCK_BUF - at);

	if (c->state != VSOCK_OPEN || c->guest_done & VSOCK_SHUT_SEND ||
	    len > chain->len_out - HEADER_SIZE || len > VSOCK_BUF - (c->received - c->taken))
		return false;
	virtq_chain_read(chain, HEADER_SIZE, buf + at, part);
	virtq_chain_read(chain, HEADER_SIZE + part, buf, len - part);
	c->received += len;
	if (c->host_done & VSOCK_SHUT_RECEIVE)
		c->taken = c->received;
	vsock_conn_flush(v, c);
	return true;
}

static bool shutdown_take(struct virtio_vsock *v, struct vsock_conn *c, uint32_t flags)
{
	c->guest_done |= flags & VSOCK_SHUT_BOTH;
	if (c->state != VSOCK_OPEN || c->guest_done == VSOCK_SHUT_BOTH)
		return false; /* that is its end, and the RST the answer */
	if (c->guest_done & VSOCK_SHUT_RECEIVE) {
		(void)shutdown(c->fd, SHUT_RD); /* it may have gone, which is heard elsewhere */
		c->host_told |= VSOCK_SHUT_SEND;
		vsock_conn_done(c, VSOCK_SHUT_SEND);
	}
	vsock_conn_flush(v, c);
	return true;
}

/* False: the connection ends, and the guest gets a RST. */
static bool conn_take(struct virtio_vsock *v, struct vsock_conn *c, const struct vsock_header *h,
		      const struct virtq_chain *chain)
{
	c->peer_size = h->size;
	c->peer_taken = h->taken;
	switch (h->op) {
	case VSOCK_OP_RESPONSE:
		if (c->state != VSOCK_CALLING || c->owed)
			return false;
		vsock_conn_open(v, c);
		return true;
	case VSOCK_OP_SHUTDOWN:
		return shutdown_take(v, c, h->flags);
	case VSOCK_OP_RW:
		return data_take(v, c, h->len, chain);
	case VSOCK_OP_CREDIT_REQUEST:
		c->owes_credit = true;
		return true;
	default:
		return h->op == VSOCK_OP_CREDIT_UPDATE;
	}
}

static void packet_take(struct virtio_vsock *v, const struct virtq_chain *chain)
{
	struct vsock_header h;
	struct vsock_conn *c;

	if (!header_read(chain, &h) ||
	    ((v->owes_reset || v->awaits_ack) && h.op != VSOCK_OP_REQUEST))
		return;
	c = h.type == TYPE_STREAM ? vsock_conn_find(v, &h) : NULL;
	if (c && h.op == VSOCK_OP_RST)
		vsock_conn_end(v, c, VSOCK_OP_NONE);
	else if (c && c->state != VSOCK_ENDED && !conn_take(v, c, &h, chain))
		vsock_conn_end(v, c, VSOCK_OP_RST);
	else if (!c && h.type == TYPE_STREAM && h.op == VSOCK_OP_REQUEST)
		guest_calls(v, &h);
	else if (!c)
		rst_add(v, &h);
}

bool vsock_from_guest(struct virtio_vsock *v)
{
	struct virtq *q = &v->dev.queues[VSOCK_QUEUE_TX];
	struct virtq_chain chain;

	for (uint32_t n = 0; n < TURN_MAX && v->n_rsts < VSOCK_RSTS_MAX; n++) {
		if (virtq_pop(q, &chain) <= 0)
			return false;
		packet_take(v, &chain);
		virtq_push(q, chain.head, 0);
	}
	return true;
}

/* ---- to the guest: 1: sent; 0: it has given no buffer; or the queue is broken ---- */

static int chain_get(struct virtio_vsock *v, struct virtq_chain *ret)
{
	struct virtq *q = &v->dev.queues[VSOCK_QUEUE_RX];
	int rc = virtq_pop(q, ret);

	if (rc > 0 && ret->len_in <= HEADER_SIZE) { /* one that takes no data is none */
		q->is_broken = true;
		return -EPROTO;
	}
	return rc;
}

static void packet_put(struct virtio_vsock *v, const struct virtq_chain *chain,
		       const struct vsock_header *h)
{
	uint8_t raw[HEADER_SIZE];

	put_le64(raw, VSOCK_CID_HOST);
	put_le64(raw + 8, VSOCK_CID_GUEST);
	put_le32(raw + 16, h->src_port);
	put_le32(raw + 20, h->dst_port);
	put_le32(raw + 24, h->len);
	put_le16(raw + 28, h->type);
	put_le16(raw + 30, h->op);
	put_le32(raw + 32, h->flags);
	put_le32(raw + 36, h->size);
	put_le32(raw + 40, h->taken);
	virtq_chain_write(chain, 0, raw, sizeof(raw));
	virtq_push(&v->dev.queues[VSOCK_QUEUE_RX], chain->head, HEADER_SIZE + h->len);
}

/* A packet of a connection; `n` is the bytes that it has, or flags. */
static void conn_put(struct virtio_vsock *v, struct vsock_conn *c, const struct virtq_chain *chain,
		     enum vsock_op op, uint32_t n)
{
	const struct vsock_header h = { .src_port = c->host_port,
					.dst_port = c->guest_port,
					.len = op == VSOCK_OP_RW ? n : 0,
					.type = TYPE_STREAM,
					.op = (uint16_t)op,
					.flags = op == VSOCK_OP_RW ? 0 : n,
					.size = VSOCK_BUF,
					.taken = c->taken };

	c->told = c->taken;
	c->owes_credit = false;
	packet_put(v, chain, &h);
}

static int conn_say(struct virtio_vsock *v, struct vsock_conn *c, enum vsock_op op, uint32_t flags)
{
	struct virtq_chain chain;
	int rc = chain_get(v, &chain);

	if (rc > 0)
		conn_put(v, c, &chain, op, flags);
	return rc;
}

static int rst_send(struct virtio_vsock *v)
{
	struct virtq_chain chain;
	int rc = chain_get(v, &chain);

	if (rc > 0) {
		packet_put(v, &chain, &v->rsts[v->first_rst]);
		v->first_rst = (v->first_rst + 1) % VSOCK_RSTS_MAX;
		v->n_rsts--;
	}
	return rc;
}

/* A guest that says that it has taken more than it was sent gets nothing. */
static uint32_t credit(const struct vsock_conn *c)
{
	uint32_t used = c->sent - c->peer_taken;

	return used >= c->peer_size ? 0 : c->peer_size - used;
}

/* 2: there are no bytes, or no more will come. */
static int data_send(struct virtio_vsock *v, struct vsock_conn *c)
{
	struct iovec iov[VIRTQ_CHAIN_MAX];
	struct msghdr m = { .msg_iov = iov };
	struct virtq_chain chain;
	int rc = chain_get(v, &chain);
	ssize_t n;

	if (rc <= 0)
		return rc;
	m.msg_iovlen = (size_t)iov_cut(chain.iov + chain.n_out, chain.n_in, HEADER_SIZE,
				       MIN_OF(credit(c), VSOCK_BUF), iov);
	n = recvmsg(c->fd, &m, MSG_DONTWAIT);
	if (n > 0) {
		c->sent += (uint32_t)n;
		conn_put(v, c, &chain, VSOCK_OP_RW, (uint32_t)n);
		return 1;
	}
	if (n == 0 || errno != EAGAIN)
		vsock_conn_done(c, VSOCK_SHUT_SEND);
	c->is_readable = false;
	virtq_unpop(&v->dev.queues[VSOCK_QUEUE_RX], 1);
	return 2;
}

/* The next thing that a connection has to say; 2: none. */
static int conn_send(struct virtio_vsock *v, struct vsock_conn *c)
{
	int rc = 2;

	if (c->owed) {
		rc = conn_say(v, c, c->owed, 0);
		if (rc > 0)
			c->owed = VSOCK_OP_NONE;
		vsock_conn_settle(v, c);
		return rc;
	}
	if (c->state != VSOCK_OPEN)
		return 2;
	if (c->owes_credit)
		return conn_say(v, c, VSOCK_OP_CREDIT_UPDATE, 0);
	if (c->is_readable && !(c->host_done & VSOCK_SHUT_SEND) && credit(c) > 0)
		rc = data_send(v, c);
	if (rc == 2 && c->host_done & ~c->host_told) {
		rc = conn_say(v, c, VSOCK_OP_SHUTDOWN, c->host_done);
		if (rc > 0)
			c->host_told = c->host_done;
	}
	return rc;
}

bool vsock_to_guest(struct virtio_vsock *v)
{
	uint32_t idle = 0, sent = 0;

	if (v->owes_reset || v->awaits_ack)
		return false;
	while (v->n_rsts > 0)
		if (rst_send(v) <= 0)
			return false;
	while (idle < VSOCK_CONNS_MAX && sent < TURN_MAX) {
		int rc = conn_send(v, &v->conns[v->turn]);

		if (rc <= 0)
			return false;
		v->turn = (v->turn + 1) % VSOCK_CONNS_MAX;
		idle = rc == 2 ? idle + 1 : 0;
		sent += rc == 1;
	}
	return sent == TURN_MAX;
}
