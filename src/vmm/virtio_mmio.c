/* SPDX-License-Identifier: MIT */
/*
 * virtio_mmio.c - [U] virtio over MMIO, version 2 [virtio 1.2, 4.2], a strict state machine
 *
 *   0 -> ACK -> DRIVER -> FEATURES_OK -> DRIVER_OK      one bit with each write of status
 *
 *   driver's features   may be written in DRIVER only; FEATURES_OK stays clear unless they are all
 *                       offered and have VERSION_1
 *   queues' registers   in FEATURES_OK only, and only while the queue is not ready
 *   configuration       written from DRIVER on
 *   FAILED              may be set in all states; then only a reset is taken
 *   NEEDS_RESET         set by us: a queue that cannot be, a broken rule; then queues
 *                       are not served, and only FAILED or a reset is taken
 *
 * What is not allowed reads as zeros and writes nothing. Writing QUEUE_NOTIFY here does nothing:
 * the VMM hears of it and calls virtio_mmio_kick().
 *
 * Hostile: offsets, lengths and values of accesses; their order. A saved state:
 * virtio_mmio_state.c. Invariants: I1 DRIVER_OK is set only while the device is active.  I2
 * features and queues do not change while it is active.  I3 a queue that is ready passed
 * virtq_start(). Threads: the device's lock (made by the device, ended in free()) is held around
 * its ops and all registers but three: interrupt status, its acknowledgement, and the generation
 * are atomic, so that an interrupt handler waits for no queue that is being served. Signals take no
 * lock: status, interrupt_status and generation are only accessed atomically. Memory: none
 * allocated.
 * #syscalls:vmm write #syscalls:vcpu write
 */
#include "virtio_mmio_internal.h"

#include <assert.h>
#include <string.h>
#include <sys/eventfd.h>

#define MMIO_MAGIC   0x74726976U /* "virt" */
#define MMIO_VERSION 2U
#define MMIO_VENDOR  0x53494143U /* "CAIS" */

enum mmio_reg {
	REG_MAGIC = 0x00,
	REG_VERSION = 0x04,
	REG_DEVICE_ID = 0x08,
	REG_VENDOR_ID = 0x0c,
	REG_DEVICE_FEATURES = 0x10,
	REG_DEVICE_FEATURES_SEL = 0x14,
	REG_DRIVER_FEATURES = 0x20,
	REG_DRIVER_FEATURES_SEL = 0x24,
	REG_QUEUE_SEL = 0x30,
	REG_QUEUE_NUM_MAX = 0x34,
	REG_QUEUE_NUM = 0x38,
	REG_QUEUE_READY = 0x44,
	REG_INTERRUPT_STATUS = 0x60,
	REG_INTERRUPT_ACK = 0x64,
	REG_STATUS = 0x70,
	REG_QUEUE_DESC_LOW = 0x80,
	REG_QUEUE_DESC_HIGH = 0x84,
	REG_QUEUE_DRIVER_LOW = 0x90,
	REG_QUEUE_DRIVER_HIGH = 0x94,
	REG_QUEUE_DEVICE_LOW = 0xa0,
	REG_QUEUE_DEVICE_HIGH = 0xa4,
	REG_SHM_LEN_LOW = 0xb0,
	REG_SHM_LEN_HIGH = 0xb4,
	REG_SHM_BASE_LOW = 0xb8,
	REG_SHM_BASE_HIGH = 0xbc,
	REG_GENERATION = 0xfc,
	REG_CONFIG = 0x100,
};

static void interrupt(struct virtio_mmio *t, uint32_t why)
{
	__atomic_fetch_or(&t->interrupt_status, why, __ATOMIC_ACQ_REL);
	if (t->irq_fd >= 0)
		(void)eventfd_write(t->irq_fd, 1); /* full: it is pending already */
}

static void signal_queue(void *arg)
{
	interrupt(arg, INTERRUPT_QUEUE);
}

static void signal_config(void *arg)
{
	struct virtio_mmio *t = arg;

	__atomic_fetch_add(&t->generation, 1, __ATOMIC_ACQ_REL);
	interrupt(t, INTERRUPT_CONFIG);
}

/* Once per reset; a signal that comes late, after a reset, is nothing. */
static void signal_broken(void *arg)
{
	struct virtio_mmio *t = arg;
	uint32_t old = mmio_status(t);

	do {
		if (!(old & S_FEATURES_OK) || old & S_NEEDS_RESET)
			return;
	} while (!__atomic_compare_exchange_n(&t->status, &old, old | S_NEEDS_RESET, false,
					      __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
	interrupt(t, INTERRUPT_CONFIG);
}

/* As after power-on; nothing of the device's is in flight. The generation goes on. */
static void transport_clear(struct virtio_mmio *t)
{
	struct virtio_device *d = t->dev;

	d->is_active = false;
	d->agreed = 0;
	for (uint32_t i = 0; i < VIRTIO_QUEUES_MAX; i++)
		virtq_reset(&d->queues[i]);
	t->features_sel = t->driver_sel = t->queue_sel = 0;
	t->driver_features = 0;
	__atomic_store_n(&t->interrupt_status, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&t->status, 0, __ATOMIC_RELEASE);
}

void mmio_reset(struct virtio_mmio *t)
{
	if (t->dev->ops->reset)
		t->dev->ops->reset(t->dev);
	transport_clear(t);
}

void virtio_mmio_init(struct virtio_mmio *t, struct virtio_device *dev,
		      const struct guest_memory *mem, int irq_fd)
{
	assert(dev->n_queues <= VIRTIO_QUEUES_MAX && dev->queue_size <= VIRTQ_SIZE_MAX);
	*t = (struct virtio_mmio){ .dev = dev, .mem = mem, .irq_fd = irq_fd };
	for (uint32_t i = 0; i < VIRTIO_QUEUES_MAX; i++)
		dev->queues[i].mem = mem;
	dev->signal = (struct virtio_signal){ signal_queue, signal_config, signal_broken, t };
	transport_clear(t);
}

void virtio_mmio_done(struct virtio_mmio *t)
{
	virtio_device_free(t->dev);
	t->dev = NULL;
}

/* The selected queue; NULL when the device has no such one. */
static struct virtq *selected(struct virtio_mmio *t)
{
	return t->queue_sel < t->dev->n_queues ? &t->dev->queues[t->queue_sel] : NULL;
}

static uint32_t features_read(const struct virtio_mmio *t)
{
	if (t->features_sel > 1)
		return 0;
	return (uint32_t)(t->dev->features >> (32 * t->features_sel));
}

static uint32_t register_read(struct virtio_mmio *t, uint32_t off)
{
	switch (off) {
	case REG_MAGIC:
		return MMIO_MAGIC;
	case REG_VERSION:
		return MMIO_VERSION;
	case REG_DEVICE_ID:
		return t->dev->ops->id;
	case REG_VENDOR_ID:
		return MMIO_VENDOR;
	case REG_DEVICE_FEATURES:
		return features_read(t);
	case REG_QUEUE_NUM_MAX:
		return selected(t) ? t->dev->queue_size : 0;
	case REG_QUEUE_READY:
		return selected(t) && selected(t)->is_ready;
	case REG_STATUS:
		return mmio_status(t);
	case REG_SHM_LEN_LOW: /* no such region, whichever is selected */
	case REG_SHM_LEN_HIGH:
	case REG_SHM_BASE_LOW:
	case REG_SHM_BASE_HIGH:
		return UINT32_MAX;
	default:
		return 0;
	}
}

static void half_set(uint64_t *v, bool is_high, uint32_t half)
{
	*v = is_high ? (*v & UINT32_MAX) | (uint64_t)half << 32
		     : (*v & ~(uint64_t)UINT32_MAX) | half;
}

static void driver_features_write(struct virtio_mmio *t, uint32_t v)
{
	if (mmio_status(t) == IN_DRIVER && t->driver_sel <= 1)
		half_set(&t->driver_features, t->driver_sel, v);
}

bool mmio_features_are_fine(const struct virtio_mmio *t, uint64_t features)
{
	return features & VIRTIO_F_VERSION_1 && !(features & ~t->dev->features);
}

static void queue_ready_write(struct virtio_mmio *t, struct virtq *q, uint32_t v)
{
	struct err e = { 0 };

	if (v == 0) {
		virtq_reset(q);
	} else if (v == 1 && !q->is_ready) {
		if (virtq_start(q, t->mem, t->dev->agreed & VIRTIO_F_EVENT_IDX, &e) < 0)
			signal_broken(t);
	}
}

static void queue_write(struct virtio_mmio *t, uint32_t off, uint32_t v)
{
	struct virtq *q = selected(t);

	if (!q || mmio_status(t) != IN_FEATURES)
		return;
	if (off == REG_QUEUE_READY) {
		queue_ready_write(t, q, v);
		return;
	}
	if (q->is_ready)
		return;
	if (off == REG_QUEUE_NUM)
		q->size = v <= t->dev->queue_size ? (uint16_t)v : 0; /* 0 cannot be started */
	else if (off <= REG_QUEUE_DESC_HIGH)
		half_set(&q->desc, off == REG_QUEUE_DESC_HIGH, v);
	else if (off <= REG_QUEUE_DRIVER_HIGH)
		half_set(&q->avail, off == REG_QUEUE_DRIVER_HIGH, v);
	else
		half_set(&q->used, off == REG_QUEUE_DEVICE_HIGH, v);
}

/* Whether the step to the next state is allowed; does what belongs to it. */
static bool status_step(struct virtio_mmio *t, uint32_t bit)
{
	if (bit == S_FEATURES_OK) {
		if (!mmio_features_are_fine(t, t->driver_features))
			return false;
		t->dev->agreed = t->driver_features;
	}
	t->dev->is_active = bit == S_DRIVER_OK;
	return true;
}

static uint32_t next_bit(uint32_t status)
{
	switch (status) {
	case 0:
		return S_ACK;
	case S_ACK:
		return S_DRIVER;
	case IN_DRIVER:
		return S_FEATURES_OK;
	case IN_FEATURES:
		return S_DRIVER_OK;
	default: /* running, failed, or to be reset */
		return 0;
	}
}

static void status_write(struct virtio_mmio *t, uint32_t v)
{
	uint32_t old = mmio_status(t);
	uint32_t added = v & ~old;

	if (v == 0)
		mmio_reset(t);
	else if ((v | S_NEEDS_RESET) != (old | added | S_NEEDS_RESET))
		return; /* clears a bit; NEEDS_RESET is ours, and may have come since */
	else if (added == S_FAILED)
		__atomic_fetch_or(&t->status, S_FAILED, __ATOMIC_ACQ_REL);
	else if (added != 0 && added == next_bit(old) && status_step(t, added))
		__atomic_fetch_or(&t->status, added, __ATOMIC_ACQ_REL);
}

static void register_write(struct virtio_mmio *t, uint32_t off, uint32_t v)
{
	switch (off) {
	case REG_DEVICE_FEATURES_SEL:
		t->features_sel = v;
		break;
	case REG_DRIVER_FEATURES:
		driver_features_write(t, v);
		break;
	case REG_DRIVER_FEATURES_SEL:
		t->driver_sel = v;
		break;
	case REG_QUEUE_SEL:
		t->queue_sel = v;
		break;
	case REG_QUEUE_NUM:
	case REG_QUEUE_READY:
	case REG_QUEUE_DESC_LOW:
	case REG_QUEUE_DESC_HIGH:
	case REG_QUEUE_DRIVER_LOW:
	case REG_QUEUE_DRIVER_HIGH:
	case REG_QUEUE_DEVICE_LOW:
	case REG_QUEUE_DEVICE_HIGH:
		queue_write(t, off, v);
		break;
	case REG_STATUS:
		status_write(t, v);
		break;
	default:
		break;
	}
}

/* Registers are accessed whole; configuration in aligned pieces [4.2.2.2]. */
static bool access_is_fine(uint32_t off, uint32_t len)
{
	if (len != 1 && len != 2 && len != 4 && len != 8)
		return false;
	return off < VIRTIO_MMIO_SIZE && off % len == 0 && (len == 4 || off >= REG_CONFIG);
}

static void config_read(struct virtio_mmio *t, uint32_t off, void *data, uint32_t len)
{
	uint8_t raw[VIRTIO_CONFIG_MAX] = { 0 };

	if (t->dev->ops->config_read)
		t->dev->ops->config_read(t->dev, raw);
	memset(data, 0, len);
	if (off < sizeof(raw))
		memcpy(data, raw + off, MIN_OF(len, (uint32_t)sizeof(raw) - off));
}

void virtio_mmio_read(struct virtio_mmio *t, uint32_t off, void *data, uint32_t len)
{
	memset(data, 0, len);
	if (!access_is_fine(off, len))
		return;
	if (off == REG_INTERRUPT_STATUS) {
		put_le32(data, __atomic_load_n(&t->interrupt_status, __ATOMIC_ACQUIRE));
		return;
	}
	if (off == REG_GENERATION) {
		put_le32(data, __atomic_load_n(&t->generation, __ATOMIC_ACQUIRE));
		return;
	}
	pthread_mutex_lock(&t->dev->lock);
	if (off >= REG_CONFIG)
		config_read(t, off - REG_CONFIG, data, len);
	else
		put_le32(data, register_read(t, off));
	pthread_mutex_unlock(&t->dev->lock);
}

static void config_write(struct virtio_mmio *t, uint32_t off, const void *data, uint32_t len)
{
	uint32_t s = mmio_status(t);

	if (s & S_DRIVER && !(s & S_FAILED) && t->dev->ops->config_write)
		t->dev->ops->config_write(t->dev, off, data, len);
}

void virtio_mmio_write(struct virtio_mmio *t, uint32_t off, const void *data, uint32_t len)
{
	if (!access_is_fine(off, len))
		return;
	if (off == REG_INTERRUPT_ACK) {
		__atomic_fetch_and(&t->interrupt_status, ~get_le32(data), __ATOMIC_ACQ_REL);
		return;
	}
	pthread_mutex_lock(&t->dev->lock);
	if (off >= REG_CONFIG)
		config_write(t, off - REG_CONFIG, data, len);
	else
		register_write(t, off, get_le32(data));
	pthread_mutex_unlock(&t->dev->lock);
}

static void kick_locked(struct virtio_mmio *t, unsigned int queue)
{
	struct virtio_device *d = t->dev;

	if (mmio_status(t) == IN_DRIVER_OK && queue < d->n_queues && d->queues[queue].is_ready)
		d->ops->kick(d, queue);
}

void virtio_mmio_kick(struct virtio_mmio *t, unsigned int queue)
{
	pthread_mutex_lock(&t->dev->lock);
	kick_locked(t, queue);
	pthread_mutex_unlock(&t->dev->lock);
}

void virtio_mmio_kick_all(struct virtio_mmio *t)
{
	pthread_mutex_lock(&t->dev->lock);
	for (uint32_t i = 0; i < t->dev->n_queues; i++)
		kick_locked(t, i);
	pthread_mutex_unlock(&t->dev->lock);
	/* Not only kicks may be lost; an interrupt too many is found to be one by the driver. */
	if (__atomic_load_n(&t->interrupt_status, __ATOMIC_ACQUIRE))
		interrupt(t, 0);
}

void virtio_mmio_pause(struct virtio_mmio *t)
{
	pthread_mutex_lock(&t->dev->lock);
	t->dev->is_paused = true;
	if (t->dev->ops->pause)
		t->dev->ops->pause(t->dev);
	pthread_mutex_unlock(&t->dev->lock);
}

void virtio_mmio_resume(struct virtio_mmio *t)
{
	pthread_mutex_lock(&t->dev->lock);
	t->dev->is_paused = false;
	if (t->dev->ops->resume)
		t->dev->ops->resume(t->dev);
	pthread_mutex_unlock(&t->dev->lock);
}
