/* SPDX-License-Identifier: MIT */
/*
 * virtio_vsock_internal.h - what the socket device, its connections and its packets know of each
 * other
 *
 * All functions: with the device's lock, on the event thread.
 */
#ifndef VIRTIO_VSOCK_INTERNAL_H
#define VIRTIO_VSOCK_INTERNAL_H

#include "virtio_device.h"
#include "virtio_vsock.h"

#define VSOCK_QUEUE_RX      0U
#define VSOCK_QUEUE_TX      1U
#define VSOCK_QUEUE_EVENT   2U
#define VSOCK_CID_HOST      2U
#define VSOCK_CID_GUEST     3U
#define VSOCK_RSTS_MAX      64U
#define VSOCK_LINE_MAX      20U
#define VSOCK_HOST_PORT     0x40000000U /* the first of those that callers of the guest get, */
#define VSOCK_HOST_PORT_END 0x80000000U /* and the one after the last */
#define VSOCK_SHUT_RECEIVE  1U          /* [5.10.6.6] */
#define VSOCK_SHUT_SEND     2U
#define VSOCK_SHUT_BOTH     3U

enum vsock_op { /* [5.10.6] */
		VSOCK_OP_NONE = 0,
		VSOCK_OP_REQUEST = 1,
		VSOCK_OP_RESPONSE = 2,
		VSOCK_OP_RST = 3,
		VSOCK_OP_SHUTDOWN = 4,
		VSOCK_OP_RW = 5,
		VSOCK_OP_CREDIT_UPDATE = 6,
		VSOCK_OP_CREDIT_REQUEST = 7,
};

struct vsock_header { /* of a packet; its CIDs are known */
	uint32_t src_port, dst_port, len;
	uint16_t type, op;
	uint32_t flags, size, taken;
};

enum vsock_state {
	VSOCK_FREE,
	VSOCK_LINE,    /* a caller of the host has not said yet which port */
	VSOCK_CALLING, /* the guest is, or will be, asked whether it accepts */
	VSOCK_ASKING,  /* the guest calls; the broker was asked */
	VSOCK_OPEN,
	VSOCK_ENDED, /* for the guest; it may be owed a RST, and its last bytes go to the host */
};

struct vsock_conn {
	enum vsock_state state;
	int fd; /* -1: not there yet, or closed */
	uint32_t guest_port, host_port, cookie;
	int64_t end_ms;     /* CLOCK_MONOTONIC: it is given up then; 0: never */
	enum vsock_op owed; /* to the guest, before all else: REQUEST, RESPONSE, RST; or NONE */
	bool owes_credit;   /* the guest is to hear how much it may send */
	bool is_readable;   /* the host's side may have bytes, or has ended */
	bool is_shut;       /* the host knows that the guest sends no more */
	uint8_t guest_done; /* VSOCK_SHUT_*, as the guest said */
	uint8_t host_done, host_told;   /* VSOCK_SHUT_*: so it is, and so the guest knows */
	uint32_t peer_size, peer_taken; /* the guest's buffer; what it took of all `sent` */
	uint32_t sent;                  /* to the guest */
	uint32_t received, taken, told; /* from the guest; gone on; as the guest knows */
	char line[VSOCK_LINE_MAX];
	uint8_t n_line;
};

struct virtio_vsock {
	struct virtio_device dev; /* first */
	int epoll_fd, listen_fd, broker_fd;
	struct loop_watch *watch; /* of epoll_fd */
	struct loop_timer *timer;
	bool owes_reset;   /* the guest was restored, and is to be told so; */
	bool awaits_ack;   /* it was, and may not have heard it yet */
	uint16_t n_events; /* buffers for events that it has given when it has heard all */
	uint32_t next_port, last_cookie;
	uint32_t turn;                            /* the connection that may send first */
	struct vsock_header rsts[VSOCK_RSTS_MAX]; /* for packets of no connection */
	uint32_t first_rst, n_rsts;
	struct vsock_conn conns[VSOCK_CONNS_MAX];
	uint8_t bufs[VSOCK_CONNS_MAX][VSOCK_BUF]; /* byte i of all is at i % VSOCK_BUF */
};

/* ---- virtio_vsock.c ---- */
/* Ask for a socket that is connected to the host's port of `c`; -errno. */
must_check int vsock_broker_ask(struct virtio_vsock *v, struct vsock_conn *c);

/* ---- virtio_vsock_conn.c: the host's side ---- */
struct vsock_conn *vsock_conn_new(struct virtio_vsock *v, enum vsock_state state); /* NULL: full */
/* One that the guest knows of, or is about to. */
struct vsock_conn *vsock_conn_find(struct virtio_vsock *v, const struct vsock_header *h);
/* Takes `fd`, always; -errno: it is closed. */
must_check int vsock_conn_attach(struct virtio_vsock *v, struct vsock_conn *c, int fd);
void vsock_conn_event(struct virtio_vsock *v, struct vsock_conn *c, uint32_t events);
/* The other side has accepted it. */
void vsock_conn_open(struct virtio_vsock *v, struct vsock_conn *c);
/* Bytes came from the guest, or the host takes some again. */
void vsock_conn_flush(struct virtio_vsock *v, struct vsock_conn *c);
/* The host's side sends, or takes, no more. */
void vsock_conn_done(struct vsock_conn *c, uint8_t how);
/* For the guest it has ended; `owed`: RST, or NONE if it knows. */
void vsock_conn_end(struct virtio_vsock *v, struct vsock_conn *c, enum vsock_op owed);
void vsock_conn_settle(struct virtio_vsock *v, struct vsock_conn *c); /* perhaps that was all */
void vsock_conn_drop(struct virtio_vsock *v, struct vsock_conn *c);   /* on any thread */

/* ---- virtio_vsock_pkt.c; true: there may be more to do at once ---- */
bool vsock_from_guest(struct virtio_vsock *v);
bool vsock_to_guest(struct virtio_vsock *v);

#endif
