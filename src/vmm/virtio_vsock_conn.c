/* SPDX-License-Identifier: MIT */
/*
 * virtio_vsock_conn.c - [U] connections of a socket device, on the host's side
 *
 * A caller of the host:  LINE -> CALLING -> OPEN -> ENDED -> FREE
 * A call of the guest's:         ASKING  -> OPEN -> ENDED -> FREE
 *
 * Hostile: what callers write. The guest's packets were checked (virtio_vsock_pkt.c).
 * Invariants: I1 received - taken <= VSOCK_BUF: the guest is held to its credit.  I2 a descriptor
 * is in the epoll set while it is open, edge-triggered: `is_readable` is cleared only after a read
 * has said that there is no more.  I3 LINE, CALLING and ASKING have an end_ms, and so has OPEN once
 * the host has gone. Memory: none allocated. #syscalls:vmm sendto recvfrom shutdown close epoll_ctl
 * clock_gettime
 */
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "loop.h"
#include "virtio_vsock_internal.h"

#define COMMAND     "CONNECT "
#define COMMAND_LEN (sizeof(COMMAND) - 1)

struct vsock_conn *vsock_conn_new(struct virtio_vsock *v, enum vsock_state state)
{
	const int64_t end_ms = loop_now_ms() + VSOCK_WAIT_MS;

	for (uint32_t i = 0; i < VSOCK_CONNS_MAX; i++) {
		if (v->conns[i].state != VSOCK_FREE)
			continue;
		v->conns[i] = (struct vsock_conn){ .state = state, .fd = -1, .end_ms = end_ms };
		return &v->conns[i];
	}
	return NULL;
}

struct vsock_conn *vsock_conn_find(struct virtio_vsock *v, const struct vsock_header *h)
{
	for (uint32_t i = 0; i < VSOCK_CONNS_MAX; i++) {
		struct vsock_conn *c = &v->conns[i];

		if (c->guest_port == h->src_port && c->host_port == h->dst_port &&
		    c->state >= VSOCK_CALLING && (c->state != VSOCK_ENDED || c->owed))
			return c;
	}
	return NULL;
}

int vsock_conn_attach(struct virtio_vsock *v, struct vsock_conn *c, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLET,
				  .data.u32 = (uint32_t)(c - v->conns) };
	int rc = epoll_ctl(v->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;

	if (rc < 0)
		close(fd);
	else
		c->fd = fd;
	return rc;
}

static void host_close(struct virtio_vsock *v, struct vsock_conn *c)
{
	if (c->fd >= 0) /* said, as another process may have it open for a moment yet */
		(void)epoll_ctl(v->epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
	fd_drop(&c->fd);
}

void vsock_conn_drop(struct virtio_vsock *v, struct vsock_conn *c)
{
	host_close(v, c);
	c->state = VSOCK_FREE;
	c->owed = VSOCK_OP_NONE;
}

void vsock_conn_settle(struct virtio_vsock *v, struct vsock_conn *c)
{
	if (c->state != VSOCK_ENDED || c->taken != c->received)
		return;
	host_close(v, c);
	if (!c->owed)
		c->state = VSOCK_FREE;
}

void vsock_conn_end(struct virtio_vsock *v, struct vsock_conn *c, enum vsock_op owed)
{
	c->state = VSOCK_ENDED;
	c->owed = owed;
	c->end_ms = 0;
	vsock_conn_settle(v, c);
}

void vsock_conn_done(struct vsock_conn *c, uint8_t how)
{
	c->host_done |= how;
	if (how & VSOCK_SHUT_RECEIVE)
		c->taken = c->received; /* nobody will */
	if (c->state == VSOCK_OPEN && c->host_done == VSOCK_SHUT_BOTH && !c->end_ms)
		c->end_ms = loop_now_ms() + VSOCK_WAIT_MS;
}

void vsock_conn_flush(struct virtio_vsock *v, struct vsock_conn *c)
{
	const uint8_t *buf = v->bufs[c - v->conns];

	while (c->taken != c->received) {
		uint32_t at = c->taken % VSOCK_BUF;
		ssize_t n = send(c->fd, buf + at, MIN_OF(c->received - c->taken, VSOCK_BUF - at),
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			vsock_conn_done(c, VSOCK_SHUT_RECEIVE);
		else
			c->taken += (uint32_t)n;
	}
	if (c->taken == c->received && c->guest_done & VSOCK_SHUT_SEND && !c->is_shut) {
		c->is_shut = true;
		(void)shutdown(c->fd, SHUT_WR); /* it may have gone, which is heard elsewhere */
	}
	/* The guest takes half of its buffer, or less, to be free, and more is. */
	c->owes_credit |= c->taken != c->told && c->received - c->told > VSOCK_BUF / 2;
	vsock_conn_settle(v, c);
}

/* ---- callers of the host ---- */

/* One byte at a time, so that nothing behind the line is taken: 1: it is whole; 0: not yet; or it
 * will never be. */
static int line_read(struct vsock_conn *c)
{
	while (c->n_line < VSOCK_LINE_MAX) {
		ssize_t n = recv(c->fd, c->line + c->n_line, 1, MSG_DONTWAIT);

		if (n <= 0)
			return n < 0 && errno == EAGAIN ? 0 : -EPIPE;
		if (c->line[c->n_line] == '\n')
			return 1;
		c->n_line++;
	}
	return -EMSGSIZE;
}

static bool line_parse(const struct vsock_conn *c, uint32_t *ret_port)
{
	uint64_t port = 0;

	if (c->n_line <= COMMAND_LEN || memcmp(c->line, COMMAND, COMMAND_LEN) != 0)
		return false;
	for (size_t i = COMMAND_LEN; i < c->n_line; i++) {
		if (c->line[i] < '0' || c->line[i] > '9')
			return false;
		port = port * 10 + (uint64_t)(c->line[i] - '0');
	}
	*ret_port = (uint32_t)port;
	return port < UINT32_MAX; /* the last one means "any" */
}

/* One that was used comes back late, also to a guest that was restored: it may not have let go of
 * it. */
static uint32_t host_port_new(struct virtio_vsock *v, uint32_t guest_port)
{
	struct vsock_header h = { .src_port = guest_port };

	do {
		h.dst_port = v->next_port++;
		if (v->next_port == VSOCK_HOST_PORT_END)
			v->next_port = VSOCK_HOST_PORT;
	} while (vsock_conn_find(v, &h)); /* the table is smaller than the range */
	return h.dst_port;
}

static void line_event(struct virtio_vsock *v, struct vsock_conn *c)
{
	int rc = line_read(c);

	if (rc < 0 || (rc > 0 && !line_parse(c, &c->guest_port))) {
		vsock_conn_drop(v, c);
	} else if (rc > 0) {
		c->host_port = host_port_new(v, c->guest_port);
		c->state = VSOCK_CALLING;
		c->owed = VSOCK_OP_REQUEST;
		c->end_ms = loop_now_ms() + VSOCK_WAIT_MS;
	}
}

void vsock_conn_open(struct virtio_vsock *v, struct vsock_conn *c)
{
	const bool is_caller = c->state == VSOCK_CALLING;
	char text[16];
	int len = snprintf(text, sizeof(text), "OK %u\n", c->host_port);

	c->state = VSOCK_OPEN;
	c->owed = is_caller ? VSOCK_OP_NONE : VSOCK_OP_RESPONSE;
	c->end_ms = 0;
	c->is_readable = true; /* perhaps it was before */
	if (is_caller && send(c->fd, text, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT) != len)
		vsock_conn_end(v, c, VSOCK_OP_RST);
}

void vsock_conn_event(struct virtio_vsock *v, struct vsock_conn *c, uint32_t events)
{
	const bool has_gone = events & (EPOLLHUP | EPOLLERR);

	if (c->fd < 0)
		return;
	c->is_readable |= (events & ~(uint32_t)EPOLLOUT) != 0;
	if (c->state == VSOCK_LINE) {
		line_event(v, c);
	} else if (c->state == VSOCK_CALLING && has_gone) {
		vsock_conn_end(v, c, c->owed ? VSOCK_OP_NONE : VSOCK_OP_RST);
	} else if (c->state >= VSOCK_OPEN) {
		if (has_gone)
			vsock_conn_done(c, VSOCK_SHUT_RECEIVE);
		vsock_conn_flush(v, c);
	}
}
