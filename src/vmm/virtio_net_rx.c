/* SPDX-License-Identifier: MIT */
/*
 * virtio_net_rx.c - [U] frames from the peer to the guest
 *
 * Hostile: the peer's lengths and frames; the rings' contents.
 * Invariants: I1 a frame has NET_FRAME_MIN to NET_FRAME_MAX bytes.  I2 the buffer has room for the
 *   rest of any frame that is there in part: start is 0 when it is filled.  I3 a frame that the
 *   guest has no room for yet stays in the buffer, and takes none of the guest's; while it does,
 *   the peer is not read from.
 * Memory: none allocated.
 * #syscalls:vmm read readv
 */
#include <assert.h>
#include <sys/socket.h>

#include "loop.h"
#include "virtio_net_internal.h"

struct net_frame {
	uint8_t hdr[NET_HDR_SIZE];
	const uint8_t *data;
	size_t len;
	size_t taken; /* bytes of the buffer, with what is before the frame */
};

_Static_assert(sizeof(((struct net_rx *)0)->data) > NET_HDR_SIZE + NET_FRAME_MAX, "I2");

static uint32_t get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The next frame of the buffer: 1; 0: not all there; -EPROTO. */
static int stream_frame(const struct net_rx *rx, struct net_frame *f)
{
	size_t have = rx->end - rx->start;

	if (have < NET_LENGTH_SIZE)
		return 0;
	f->len = get_be32(rx->data + rx->start);
	if (f->len < NET_FRAME_MIN || f->len > NET_FRAME_MAX) /* I1 */
		return -EPROTO;
	if (f->len > have - NET_LENGTH_SIZE)
		return 0;
	memset(f->hdr, 0, sizeof(f->hdr));
	f->data = rx->data + rx->start + NET_LENGTH_SIZE;
	f->taken = NET_LENGTH_SIZE + f->len;
	return 1;
}

/* A tap gives one frame for each read, after its header. */
static int tap_frame(struct net_rx *rx, struct net_frame *f)
{
	f->taken = rx->end - rx->start;
	if (f->taken < NET_HDR_SIZE + NET_FRAME_MIN || f->taken > NET_HDR_SIZE + NET_FRAME_MAX) {
		rx->start = rx->end;
		return 0;
	}
	memcpy(f->hdr, rx->data + rx->start, sizeof(f->hdr));
	f->data = rx->data + rx->start + NET_HDR_SIZE;
	f->len = f->taken - NET_HDR_SIZE;
	return 1;
}

/* Read more: false when there is none now, or never again. */
static bool peer_read(struct virtio_net *n)
{
	struct net_rx *rx = &n->rx;
	ssize_t got;

	if (rx->start > 0)
		memmove(rx->data, rx->data + rx->start, rx->end - rx->start);
	rx->end -= rx->start;
	rx->start = 0;
	assert(rx->end < sizeof(rx->data)); /* I2 */
	got = read(n->fd, rx->data + rx->end, sizeof(rx->data) - rx->end);
	if (got > 0) {
		rx->end += (size_t)got;
		return true;
	}
	if (got == 0 || (errno != EAGAIN && errno != EINTR))
		net_peer_lost(n);
	return false;
}

/* The next frame, read from the peer if need be. A peer that sends crumbs, or frames that are none,
 * has its turn too: it stays readable. */
static bool frame_get(struct virtio_net *n, struct net_frame *f)
{
	unsigned int reads = 0;
	int rc;

	do {
		rc = n->kind == NET_TAP ? tap_frame(&n->rx, f) : stream_frame(&n->rx, f);
		if (rc < 0)
			net_peer_lost(n);
		if (rc != 0)
			return rc > 0;
	} while (reads++ < NET_WAKE_FRAMES && peer_read(n));
	return false;
}

/*
 * ---- a tap's frames, read into the guest's buffers ----
 *
 * Only while there is room for the longest frame: so the kernel never has to cut one. All else goes
 * by the buffer.
 */

struct net_held { /* taken from the ring, in its order */
	struct iovec iov[NET_HELD_MAX];
	uint16_t heads[NET_HELD_MAX];
	uint16_t n;
	size_t len;
};

static bool held_fill(struct virtq *q, struct net_held *h)
{
	struct virtq_chain c;

	while (h->len < NET_HDR_SIZE + NET_FRAME_MAX) {
		if (h->n == NET_HELD_MAX || virtq_pop(q, &c) <= 0)
			return false;
		if (c.n_out > 0 || c.n_in != 1 || c.len_in < NET_HDR_SIZE) {
			virtq_unpop(q, 1);
			return false;
		}
		h->heads[h->n] = c.head;
		h->iov[h->n++] = c.iov[0];
		h->len += c.iov[0].iov_len;
	}
	return true;
}

/* The first buffers have a frame of `len` bytes, with its header. */
static void held_give(struct virtq *q, struct net_held *h, size_t len)
{
	struct virtq_used used[NET_HELD_MAX];
	uint16_t n = 0;

	for (; len > 0; n++) {
		size_t part = MIN_OF(len, h->iov[n].iov_len);

		used[n] = (struct virtq_used){ h->heads[n], (uint32_t)part };
		h->len -= h->iov[n].iov_len;
		len -= part;
	}
	put_le16((uint8_t *)h->iov[0].iov_base + NET_HDR_BUFFERS, n);
	virtq_push_many(q, used, n);
	h->n = (uint16_t)(h->n - n);
	memmove(h->iov, h->iov + n, h->n * sizeof(h->iov[0]));
	memmove(h->heads, h->heads + n, h->n * sizeof(h->heads[0]));
}

/* At most NET_WAKE_FRAMES of them, counted in `io_n`; false when there is no more to do now. */
static bool frames_direct(struct virtio_net *n, unsigned int *io_n)
{
	struct virtq *q = &n->dev.queues[NET_QUEUE_RX];
	struct net_held h;
	ssize_t got = 1;

	h.n = 0;
	h.len = 0;
	while (*io_n < NET_WAKE_FRAMES && held_fill(q, &h)) {
		got = readv(n->fd, h.iov, h.n);
		if (got <= 0)
			break;
		(*io_n)++;
		if (got >= (ssize_t)(NET_HDR_SIZE + NET_FRAME_MIN) &&
		    (size_t)got <= NET_HDR_SIZE + NET_FRAME_MAX)
			held_give(q, &h, (size_t)got); /* I1; else it is dropped */
	}
	if (!q->is_broken)
		virtq_unpop(q, h.n);
	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
		net_peer_lost(n);
	return got > 0;
}

/* Write it to as many of the guest's buffers as it takes: 1 when all of it was written. Else
 * nothing was taken; 0: the guest may give more buffers, -EMSGSIZE: it cannot. */
static int frame_scatter(struct virtio_net *n, struct net_frame *f)
{
	struct virtq *q = &n->dev.queues[NET_QUEUE_RX];
	bool has_many = n->dev.agreed & NET_F_MRG_RXBUF;
	struct virtq_used used[VIRTQ_SIZE_MAX];
	struct virtq_chain first, more;
	uint16_t n_used = 1;
	size_t done;
	int rc = virtq_pop(q, &first);

	if (rc <= 0)
		return rc;
	if (first.len_in < NET_HDR_SIZE) {
		q->is_broken = true;
		return -EPROTO;
	}
	done = virtq_chain_write(&first, NET_HDR_SIZE, f->data, f->len);
	used[0] = (struct virtq_used){ first.head, (uint32_t)(NET_HDR_SIZE + done) };
	while (done < f->len && has_many && n_used < q->size && (rc = virtq_pop(q, &more)) > 0) {
		size_t part = virtq_chain_write(&more, 0, f->data + done, f->len - done);

		used[n_used++] = (struct virtq_used){ more.head, (uint32_t)part };
		done += part;
	}
	if (rc < 0)
		return rc;
	if (done < f->len) {
		virtq_unpop(q, n_used);
		return has_many && n_used < q->size ? 0 : -EMSGSIZE;
	}
	put_le16(f->hdr + NET_HDR_BUFFERS, n_used);
	virtq_chain_write(&first, 0, f->hdr, sizeof(f->hdr));
	virtq_push_many(q, used, n_used);
	return 1;
}

/* One frame; false when there is no more to do now. */
static bool frame_to_guest(struct virtio_net *n)
{
	struct net_frame f;
	int rc;

	n->rx.is_limited = rate_limit_stops(&n->rx.limit, n->rx.again);
	if (n->rx.is_limited || !frame_get(n, &f))
		return false;
	rc = frame_scatter(n, &f);
	if (rc == 0)
		n->rx.is_starved = true;
	if (rc == 0 || n->dev.queues[NET_QUEUE_RX].is_broken)
		return false;
	n->rx.start += f.taken; /* also when it is dropped: it does not fit, and never will */
	if (rc > 0)
		rate_limit_charge(&n->rx.limit, f.len);
	return true;
}

bool net_rx_is_wanted(const struct virtio_net *n)
{
	return n->fd >= 0 && !n->rx.is_starved && !n->rx.is_limited &&
	       !n->dev.queues[NET_QUEUE_RX].is_broken;
}

void net_to_guest(struct virtio_net *n)
{
	bool goes_on = true;
	unsigned int i = 0;

	n->rx.is_limited = false;
	if (!net_rx_is_wanted(n))
		return;
	if (n->kind == NET_TAP && (n->dev.agreed & NET_F_MRG_RXBUF) && n->rx.start == n->rx.end &&
	    !rate_limit_is_on(&n->rx.limit))
		goes_on = frames_direct(n, &i);
	while (goes_on && i < NET_WAKE_FRAMES && frame_to_guest(n))
		i++;
	if (i == NET_WAKE_FRAMES)
		loop_timer_arm(n->rx.again, 0); /* frames that we have read wake nobody */
	virtio_device_tell(&n->dev, &n->dev.queues[NET_QUEUE_RX]);
}
