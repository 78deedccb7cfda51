/* SPDX-License-Identifier: MIT */
/*
 * serial_16550.h - a serial port that only sends: the guest's early messages
 *
 * The registers of a 16550A as far as Linux's 8250 driver looks for them and sends with interrupts.
 * Nothing is ever received. What the guest sends is lost rather than waited for: when the
 * descriptor is full, or above SERIAL_RATE.
 *
 * Threads: any vCPU thread; each call takes the lock.
 */
#ifndef SERIAL_16550_H
#define SERIAL_16550_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "rate_limit.h"
#include "state_bytes.h"

#define SERIAL_REGS 8U
/* Bytes a second, and at once after silence: a guest that prints without end must not fill the
 * host's log as quickly as it can. */
#define SERIAL_RATE (64U << 10)

struct serial_16550 {
	int out_fd;                           /* borrowed; -1: thrown away */
	int irq_fd;                           /* borrowed: an eventfd; -1: none */
	uint8_t ier, lcr, mcr, scr, dll, dlm; /* as the guest wrote them */
	bool has_fifo;
	bool is_empty_pending; /* "the transmitter is empty": not yet seen by the guest */
	uint64_t n_lost;       /* bytes that were not sent */
	struct rate_limit limit;
	pthread_mutex_t lock;
};

/* `out_fd` is nonblocking; a pipe or socket needs SIGPIPE to be ignored. */
void serial_init(struct serial_16550 *s, int out_fd, int irq_fd);

/* `reg` < SERIAL_REGS: the port's distance from its base. */
uint8_t serial_read(struct serial_16550 *s, unsigned int reg);
void serial_write(struct serial_16550 *s, unsigned int reg, uint8_t value);

/* Load interrupts again when the guest had not seen the last interrupt: it may not have been
 * delivered, and the driver would wait for it for ever. -EINVAL: no state of this device. */
void serial_save(struct serial_16550 *s, struct state_out *out);
must_check int serial_load(struct serial_16550 *s, struct state_in *in, struct err *e);

#endif
