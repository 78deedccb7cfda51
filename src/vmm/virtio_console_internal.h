/* SPDX-License-Identifier: MIT */
/*
 * virtio_console_internal.h - what the console's device and its ports know of each other
 *
 * All functions: with the device's lock, on the event thread.
 */
#ifndef VIRTIO_CONSOLE_INTERNAL_H
#define VIRTIO_CONSOLE_INTERNAL_H

#include "virtio_console.h"
#include "virtio_device.h"

#define CONSOLE_F_MULTIPORT (1ULL << 1)
#define CONSOLE_WAKE_CHAINS 16U /* of a queue; then others have their turn */

enum console_port_flag {
	PORT_OWES_ADD = 1 << 0,     /* messages that the guest has yet to get */
	PORT_OWES_CONSOLE = 1 << 1, /* this and the next once it is ready */
	PORT_OWES_NAME = 1 << 2,
	PORT_TOLD_OPEN = 1 << 3, /* the guest takes the host's side to be open */
	PORT_IS_READY = 1 << 4,  /* the guest's driver has the port */
	PORT_IS_OPEN = 1 << 5,   /* the guest's side is open */
	PORT_FLAGS_ALL = (1 << 6) - 1,
};

struct console_port {
	struct virtio_console *console;
	uint32_t id;
	char name[CONSOLE_NAME_MAX + 1];
	bool is_console;
	uint8_t flags; /* enum console_port_flag */
	int fd;        /* -1: no host */
	bool is_socket, is_write_only;
	bool is_deaf; /* the host reads no more; it may still have sent something */
	struct loop_watch *watch;
	uint32_t events;    /* that it is watched for */
	uint32_t tx_off;    /* bytes of the guest's next request that were sent already */
	bool is_tx_blocked; /* the host's side is full */
	bool is_rx_starved; /* the guest has given no buffers */
};

struct virtio_console {
	struct virtio_device dev; /* first */
	struct loop_timer *again; /* a wake's limit was reached */
	uint32_t n_ports;
	struct console_port ports[CONSOLE_PORTS_MAX];
};

/* The queue to the guest; the one from it is the next. */
static inline unsigned int console_port_queue(const struct console_port *p)
{
	return p->id == 0 ? 0 : 2 * p->id + 2;
}

static inline bool console_has_control(const struct virtio_console *c)
{
	return c->dev.agreed & CONSOLE_F_MULTIPORT;
}

static inline bool console_is_running(const struct virtio_console *c)
{
	return c->dev.is_active && !c->dev.is_paused;
}

/* A console is always there to write to: who listens does not matter to the guest. */
static inline bool console_port_is_host_open(const struct console_port *p)
{
	return p->fd >= 0 || p->is_console;
}

/* Watch `fd`, which is not the port's yet, for `fn(p, events)`. */
must_check int console_port_init(struct console_port *p, struct loop *loop, int fd,
				 void (*fn)(void *arg, uint32_t events), struct err *e);
void console_port_hang_up(struct console_port *p); /* what is half-made is fine */
void console_port_from_guest(struct console_port *p);
void console_port_to_guest(struct console_port *p);
/* After either, and when the guest opened or closed it: wait for what can be done next. */
void console_port_watch(struct console_port *p);

#endif
