/* SPDX-License-Identifier: MIT */
/*
 * virtq.h - split virtqueues, device side [virtio 1.2, 2.7]
 *
 * The only code that reads or writes a guest's rings. The caller serialises calls for one queue
 * (the device's lock). No memory is allocated.
 */
#ifndef VIRTQ_H
#define VIRTQ_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "err.h"
#include "guest_memory.h"
#include "state_bytes.h"

#define VIRTQ_SIZE_MAX  256U
#define VIRTQ_CHAIN_MAX 128U /* buffers of a chain; a longer one breaks the queue */

struct virtq {
	const struct guest_memory *mem;
	uint16_t size;              /* a power of two; as the driver chose */
	uint64_t desc, avail, used; /* guest-physical */
	uint16_t next_avail;        /* free-running, as the rings' own indices */
	uint16_t next_used;
	uint16_t signalled_used; /* next_used when the driver was last told */
	bool has_event_idx;      /* VIRTIO_RING_F_EVENT_IDX was agreed on */
	bool is_ready;
	bool only_names; /* the device's: it writes to no buffer of this queue, also not to writable
			    ones */
	bool is_broken;  /* the driver broke a rule: nothing works until reset */
};

/* One request: buffers to read from, then buffers to write to, all inside guest memory. Lengths
 * and addresses were copied once; contents may still change. */
struct virtq_chain {
	uint16_t head;
	uint16_t n_out,
		n_in; /* iov[0..n_out) are read by the device, the n_in after them written */
	uint64_t len_out, len_in;
	struct iovec iov[VIRTQ_CHAIN_MAX];
};

struct virtq_used { /* a request that is given back */
	uint16_t head;
	uint32_t written; /* bytes in its writable buffers */
};

/* Check the addresses (alignment 16, 2, 4; inside one slot each) and size (power of two, at most
 * VIRTQ_SIZE_MAX), and begin at the rings' start. -EINVAL with the reason. */
must_check int virtq_start(struct virtq *q, const struct guest_memory *mem, bool has_event_idx,
			   struct err *e);
void virtq_reset(struct virtq *q); /* all zero but `mem` and what is the device's */

/* The next request: 1; none: 0; -EPROTO and is_broken when the driver broke a rule. Its writable
 * buffers count as written (guest_wrote()): who writes them later than in this turn of the loop
 * calls virtq_chain_wrote() before the push. */
must_check int virtq_pop(struct virtq *q, struct virtq_chain *ret);
/* Whether one waits; takes nothing. */
bool virtq_has_work(const struct virtq *q);
/* The last `n` requests were not taken after all; none of them was pushed, nor one after them. They
 * will be popped again, and read again. The driver stays told to kick for what comes after them. */
void virtq_unpop(struct virtq *q, uint16_t n);
/* Give a request back with `written` bytes in its writable buffers. */
void virtq_push(struct virtq *q, uint16_t head, uint32_t written);
/* Give back `n` > 0 requests, which the driver sees all at once: one network frame in several
 * buffers [5.1.6.4]. */
void virtq_push_many(struct virtq *q, const struct virtq_used *used, uint16_t n);
/* Whether the driver wants an interrupt for what was pushed since it last was told; marks it as
 * told. */
bool virtq_needs_signal(struct virtq *q);
/* Ask the driver for kicks, or say that none are needed (a hint). After asking, look once more
 * with virtq_has_work(). */
void virtq_kicks_set(struct virtq *q, bool is_wanted);

/* Whether the rings of a ready queue, or a chain's buffers, have a byte of the range. */
bool virtq_uses(const struct virtq *q, uint64_t gpa, uint64_t len);
bool virtq_chain_uses(const struct virtq_chain *c, const void *p, size_t len);

/* Copy between a chain's readable (writable) buffers, from `off` bytes into them, and `data`;
 * returns how many bytes were there. */
size_t virtq_chain_read(const struct virtq_chain *c, size_t off, void *data, size_t len);
size_t virtq_chain_write(const struct virtq_chain *c, size_t off, const void *data, size_t len);

/* The chain's writable buffers have been written, by whatever means. */
void virtq_chain_wrote(const struct virtq *q, const struct virtq_chain *c);

void virtq_save(const struct virtq *q, struct state_out *s);
/* -EINVAL: not a queue that could have been saved. A ready queue is checked as by virtq_start(). */
must_check int virtq_load(struct virtq *q, const struct guest_memory *mem, struct state_in *s,
			  struct err *e);

#endif
