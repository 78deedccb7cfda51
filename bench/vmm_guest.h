/* SPDX-License-Identifier: MIT */
/*
 * vmm_guest.h - what bench/vmm_start.c and the program in its guests agree upon, and machines of it
 *
 * A guest speaks by bytes at the serial port that no kernel or firmware sends. What is between
 * them, lines' ends, is dropped.
 */
#ifndef VMM_GUEST_H
#define VMM_GUEST_H

#define MARK_FIRST  0xf1 /* the first instruction of user space */
#define MARK_TICK   0xf2
#define MARK_BEGIN  0xf3
#define MARK_END    0xf4
#define MARK_FAILED 0xfe /* then why, and a line's end */

#define NET_GUEST   "10.99.0.2" /* in a network of 24 bits */
#define NET_PORT    "5201"      /* of the guest's iperf3 */

#define BLK_KINDS   4U /* depth 1 read, write; depth 32 read, write */

#if __STDC_HOSTED__
#include "driver.h"

#define GUEST_MEMORY "bench-memory" /* of a memfd: in smaps it is the guest's memory */

struct guest_setup {
	int kernel_fd, initrd_fd, disk_fd; /* memfds, as a VMM's user may read no other file */
	uint64_t mem_bytes, disk_bytes;
	bool has_own_memory; /* what boots gets fresh memory, of no file: nobody clones it */
	int tap_fd;          /* -1: no network */
};

struct guest_peer { /* a driver, and what it says of this host */
	const char *name;
	const struct vm_driver_ops *ops;
	struct vm_driver_info info;
};

struct guest {
	const struct guest_peer *peer;
	void *priv;                  /* the driver's; NULL: not started */
	int serial_fd, agent_fd;     /* our ends */
	int mem_fd;                  /* -1: a template's */
	uint64_t launch_ns, exec_ns; /* CLOCK_MONOTONIC: driver called; the VMM's program runs */
};

struct guest_template {
	int mem_fd, state_fd;
};

uint64_t guest_clock_ns(void);

/* "kvm", "qemu", "qemu-uring": the last is QEMU with aio=io_uring instead of our driver's threads.
 */
must_check int guest_peer_find(const char *name, struct guest_peer *ret, struct err *e);

/* `t` NULL: boot, with `what` for the guest; else a clone. guest_end() also for one that failed. */
must_check int guest_start(const struct guest_peer *p, const struct guest_setup *s,
			   const char *what, const struct guest_template *t, struct guest *ret,
			   struct err *e);
void guest_end(struct guest *g);

/* Wait for `mark`, dropping others; ret_ns: when it came. */
must_check int guest_wait(struct guest *g, uint8_t mark, uint32_t timeout_ms, uint64_t *ret_ns,
			  struct err *e);
/* Until its ticks are slow. */
must_check int guest_wait_idle(struct guest *g, struct err *e);

must_check int guest_template_make(const struct guest_peer *p, const struct guest_setup *s,
				   uint32_t n_fast, struct guest_template *ret, struct err *e);
void guest_template_done(struct guest_template *t);

struct guest_memory_use { /* KiB of the VMM's process, written to and of no other */
	uint64_t own, guest, page_tables;
};
must_check int guest_memory_read(const struct guest *g, struct guest_memory_use *ret,
				 struct err *e);
/* Whether the VMM has an io_uring. */
bool guest_has_ring(const struct guest *g);
#endif

#endif
