/* SPDX-License-Identifier: MIT */
/*
 * guest_driver.h - a tiny model of a guest's virtio driver, over 1 MiB of mock memory
 *
 * It drives a device through the registers of its transport and through rings, as a guest does.
 * Misuse of the model, and a device that gives back what it was not given, end in assert().
 *
 * Use: zero the struct, guest_driver_start(), then add, kick, used; guest_driver_stop() frees all,
 * also the device.
 */
#ifndef GUEST_DRIVER_H
#define GUEST_DRIVER_H

#include "virtio_mmio.h"

#define GUEST_DRIVER_BASE 0x100000U /* guest-physical */
#define GUEST_DRIVER_SIZE 0x100000U

/* Registers [virtio 1.2, 4.2.2] and status bits [2.1] that tests name. */
enum guest_driver_reg {
	REG_MAGIC = 0x0,
	REG_VERSION = 0x4,
	REG_DEVICE_ID = 0x8,
	REG_VENDOR_ID = 0xc,
	REG_DEVICE_FEATURES = 0x10,
	REG_DEVICE_FEATURES_SEL = 0x14,
	REG_DRIVER_FEATURES = 0x20,
	REG_DRIVER_FEATURES_SEL = 0x24,
	REG_QUEUE_SEL = 0x30,
	REG_QUEUE_NUM_MAX = 0x34,
	REG_QUEUE_NUM = 0x38,
	REG_QUEUE_READY = 0x44,
	REG_QUEUE_NOTIFY = 0x50,
	REG_INTERRUPT_STATUS = 0x60,
	REG_INTERRUPT_ACK = 0x64,
	REG_STATUS = 0x70,
	REG_QUEUE_DESC = 0x80, /* low half; the high one is 4 after it */
	REG_QUEUE_DRIVER = 0x90,
	REG_QUEUE_DEVICE = 0xa0,
	REG_SHM_LEN = 0xb0,
	REG_SHM_BASE = 0xb8,
	REG_QUEUE_RESET = 0xc0,
	REG_GENERATION = 0xfc,
	REG_CONFIG = 0x100,
};

enum guest_driver_status {
	STATUS_ACK = 0x1,
	STATUS_DRIVER = 0x2,
	STATUS_DRIVER_OK = 0x4,
	STATUS_FEATURES_OK = 0x8,
	STATUS_NEEDS_RESET = 0x40,
	STATUS_FAILED = 0x80,
	STATUS_RUNNING = 0xf,
};

struct guest_driver_queue {
	uint64_t desc, avail, used;
	uint16_t size;
	uint16_t avail_idx, last_used;
	uint16_t kicked_avail; /* avail_idx when guest_driver_kick_wanted() was last asked */
	/* Free descriptors, the longest unused first. */
	uint16_t free[VIRTQ_SIZE_MAX], free_first, n_free;
	/* Of a head: how many descriptors its chain has; 0 when it is not in flight. */
	uint16_t in_flight[VIRTQ_SIZE_MAX];
};

struct guest_driver {
	struct guest_memory mem;
	struct virtio_mmio t;
	int irq_fd;            /* eventfd of the transport's, not blocking; may be polled */
	uint64_t n_interrupts; /* how often it was signalled, as guest_driver_interrupts() saw */
	struct guest_driver_queue queues[VIRTIO_QUEUES_MAX];
	uint64_t features;                                   /* agreed */
	uint64_t data;                                       /* next free byte for buffers */
	uint64_t dirty[GUEST_DRIVER_SIZE / GUEST_PAGE / 64]; /* what is written is logged, always */
};

/* Memory, transport, and the whole initialisation with all offered features and the largest queues.
 * Takes `dev`. */
void guest_driver_start(struct guest_driver *g, struct virtio_device *dev);
void guest_driver_stop(struct guest_driver *g); /* once attached or started */

/* The parts of start: memory and transport only; then the initialisation, with the features that
 * are wanted and queues of at most `size`. Returns the status at its end (STATUS_RUNNING when all
 * went well). May be called again: begins with a reset, and forgets what was in flight. */
void guest_driver_attach(struct guest_driver *g, struct virtio_device *dev);
uint32_t guest_driver_negotiate(struct guest_driver *g, uint64_t features, uint16_t size);
/* Lay out queue `queue` anew: rings of zeros, all descriptors free. */
void guest_driver_queue_lay(struct guest_driver *g, unsigned int queue, uint16_t size);

/*
 * Offer a chain: the device reads the `out` buffers, whose contents are copied into guest memory
 * (zeros for a NULL iov_base), and writes the `in` ones, which are filled with 0xa5. Returns its
 * head. Buffers are taken from memory one after another, and over again after about 800 KiB.
 */
uint16_t guest_driver_add(struct guest_driver *g, unsigned int queue, const struct iovec *out,
			  unsigned int n_out, const struct iovec *in, unsigned int n_in);
/* Kick, whether the device wants that or not. */
void guest_driver_kick(struct guest_driver *g, unsigned int queue);
/* Whether the device has asked for a kick about what was added since this was last called. */
bool guest_driver_kick_wanted(struct guest_driver *g, unsigned int queue);
/* Take one used chain; false when there is none. Asks for an interrupt for the next one. */
bool guest_driver_used(struct guest_driver *g, unsigned int queue, uint16_t *ret_head,
		       uint32_t *ret_len);
/* Buffer `i` (out buffers first, from 0) of the chain `head`; also after it was used, until its
 * descriptors are taken again. */
void *guest_driver_data(struct guest_driver *g, unsigned int queue, uint16_t head, unsigned int i);

/* What interrupted (bit 0 queue, bit 1 configuration) since the last call; acknowledges it. */
uint32_t guest_driver_interrupts(struct guest_driver *g);

uint32_t guest_driver_get(struct guest_driver *g, uint32_t reg);
void guest_driver_set(struct guest_driver *g, uint32_t reg, uint32_t value);
void guest_driver_set64(struct guest_driver *g, uint32_t reg, uint64_t value);

/* Little-endian numbers in guest memory. */
uint16_t guest_driver_peek16(const struct guest_driver *g, uint64_t gpa);
void guest_driver_poke(struct guest_driver *g, uint64_t gpa, uint64_t value, unsigned int bytes);

#endif
