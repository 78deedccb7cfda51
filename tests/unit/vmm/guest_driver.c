/* SPDX-License-Identifier: MIT */
/* guest_driver.c - a tiny model of a guest's virtio driver, over 1 MiB of mock memory */
#include "guest_driver.h"

#include <assert.h>
#include <string.h>
#include <sys/eventfd.h>

#include "bytes.h"

/* Each queue has 16 KiB: descriptors, available ring, used ring; buffers come behind all queues. */
#define QUEUE_AREA 0x4000U
#define AVAIL_AT   0x1000U
#define USED_AT    0x2000U
#define DATA_BASE  (GUEST_DRIVER_BASE + VIRTIO_QUEUES_MAX * QUEUE_AREA)
#define DATA_ALIGN 16U

#define DESC_SIZE  16U
#define DESC_NEXT  1U
#define DESC_WRITE 2U

static uint8_t *at(const struct guest_driver *g, uint64_t gpa, uint64_t len)
{
	uint8_t *p = guest_span(&g->mem, gpa, len);

	assert(p);
	return p;
}

/* Atomic: a device on another thread looks at the same rings. */
uint16_t guest_driver_peek16(const struct guest_driver *g, uint64_t gpa)
{
	return __atomic_load_n((const uint16_t *)(void *)at(g, gpa, 2), __ATOMIC_ACQUIRE);
}

static void poke16(struct guest_driver *g, uint64_t gpa, uint16_t v)
{
	__atomic_store_n((uint16_t *)(void *)at(g, gpa, 2), v, __ATOMIC_RELEASE);
}

void guest_driver_poke(struct guest_driver *g, uint64_t gpa, uint64_t value, unsigned int bytes)
{
	uint8_t raw[8];

	assert(bytes <= sizeof(raw));
	put_le64(raw, value);
	memcpy(at(g, gpa, bytes), raw, bytes);
}

uint32_t guest_driver_get(struct guest_driver *g, uint32_t reg)
{
	uint8_t raw[4];

	virtio_mmio_read(&g->t, reg, raw, sizeof(raw));
	return get_le32(raw);
}

void guest_driver_set(struct guest_driver *g, uint32_t reg, uint32_t value)
{
	uint8_t raw[4];

	put_le32(raw, value);
	virtio_mmio_write(&g->t, reg, raw, sizeof(raw));
}

void guest_driver_set64(struct guest_driver *g, uint32_t reg, uint64_t value)
{
	guest_driver_set(g, reg, (uint32_t)value);
	guest_driver_set(g, reg + 4, (uint32_t)(value >> 32));
}

void guest_driver_attach(struct guest_driver *g, struct virtio_device *dev)
{
	struct err e = { 0 };
	int rc;

	g->mem.n_slots = 1;
	g->mem.slots[0].gpa = GUEST_DRIVER_BASE;
	g->mem.slots[0].size = GUEST_DRIVER_SIZE;
	rc = guest_memory_map(&g->mem, GUEST_MEMORY_ANON, -1, &e);
	assert(rc == 0);
	g->mem.dirty = g->dirty;
	g->irq_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert(g->irq_fd >= 0);
	g->data = DATA_BASE;
	virtio_mmio_init(&g->t, dev, &g->mem, g->irq_fd);
}

void guest_driver_queue_lay(struct guest_driver *g, unsigned int queue, uint16_t size)
{
	struct guest_driver_queue *q = &g->queues[queue];
	uint64_t base = GUEST_DRIVER_BASE + queue * QUEUE_AREA;

	assert(queue < VIRTIO_QUEUES_MAX && size > 0 && size <= VIRTQ_SIZE_MAX);
	*q = (struct guest_driver_queue){ .desc = base,
					  .avail = base + AVAIL_AT,
					  .used = base + USED_AT,
					  .size = size,
					  .n_free = size };
	for (uint16_t i = 0; i < size; i++)
		q->free[i] = i;
	memset(at(g, base, QUEUE_AREA), 0, QUEUE_AREA);
}

static void queue_start(struct guest_driver *g, unsigned int queue, uint16_t size)
{
	struct guest_driver_queue *q = &g->queues[queue];
	uint16_t most;

	guest_driver_set(g, REG_QUEUE_SEL, queue);
	most = (uint16_t)guest_driver_get(g, REG_QUEUE_NUM_MAX);
	guest_driver_queue_lay(g, queue, MIN_OF(size, most));
	guest_driver_set(g, REG_QUEUE_NUM, q->size);
	guest_driver_set64(g, REG_QUEUE_DESC, q->desc);
	guest_driver_set64(g, REG_QUEUE_DRIVER, q->avail);
	guest_driver_set64(g, REG_QUEUE_DEVICE, q->used);
	guest_driver_set(g, REG_QUEUE_READY, 1);
}

uint32_t guest_driver_negotiate(struct guest_driver *g, uint64_t features, uint16_t size)
{
	g->features = features;
	guest_driver_set(g, REG_STATUS, 0);
	guest_driver_set(g, REG_STATUS, STATUS_ACK);
	guest_driver_set(g, REG_STATUS, STATUS_ACK | STATUS_DRIVER);
	for (uint32_t i = 0; i < 2; i++) {
		guest_driver_set(g, REG_DRIVER_FEATURES_SEL, i);
		guest_driver_set(g, REG_DRIVER_FEATURES, (uint32_t)(features >> (32 * i)));
	}
	guest_driver_set(g, REG_STATUS, STATUS_RUNNING & ~STATUS_DRIVER_OK);
	for (uint32_t i = 0; i < g->t.dev->n_queues; i++)
		queue_start(g, i, size);
	guest_driver_set(g, REG_STATUS, STATUS_RUNNING);
	return guest_driver_get(g, REG_STATUS);
}

void guest_driver_start(struct guest_driver *g, struct virtio_device *dev)
{
	uint64_t features = 0;
	uint32_t status;

	guest_driver_attach(g, dev);
	for (uint32_t i = 0; i < 2; i++) {
		guest_driver_set(g, REG_DEVICE_FEATURES_SEL, i);
		features |= (uint64_t)guest_driver_get(g, REG_DEVICE_FEATURES) << (32 * i);
	}
	status = guest_driver_negotiate(g, features, VIRTQ_SIZE_MAX);
	assert(status == STATUS_RUNNING);
}

void guest_driver_stop(struct guest_driver *g)
{
	virtio_mmio_done(&g->t);
	guest_memory_unmap(&g->mem);
	close(g->irq_fd);
	g->irq_fd = -1;
}

static uint64_t data_take(struct guest_driver *g, size_t len)
{
	uint64_t gpa, end = GUEST_DRIVER_BASE + GUEST_DRIVER_SIZE;

	assert(len <= end - DATA_BASE);
	if (len > end - g->data)
		g->data = DATA_BASE;
	gpa = g->data;
	g->data = MIN_OF(align_up(gpa + len, DATA_ALIGN), end);
	return gpa;
}

static uint16_t desc_take(struct guest_driver_queue *q)
{
	uint16_t i = q->free[q->free_first];

	assert(q->n_free > 0);
	q->free_first = (uint16_t)((q->free_first + 1U) % q->size);
	q->n_free--;
	return i;
}

static void desc_give(struct guest_driver_queue *q, uint16_t i)
{
	q->free[(q->free_first + q->n_free++) % q->size] = i;
}

static void buffer_put(struct guest_driver *g, const struct guest_driver_queue *q, uint16_t desc,
		       const struct iovec *v, unsigned int flags)
{
	uint64_t gpa = data_take(g, v->iov_len);
	uint64_t d = q->desc + (uint64_t)DESC_SIZE * desc;

	guest_driver_poke(g, d, gpa, 8);
	guest_driver_poke(g, d + 8, v->iov_len, 4);
	guest_driver_poke(g, d + 12, flags, 2);
	if (v->iov_len == 0)
		return;
	if (flags & DESC_WRITE)
		memset(at(g, gpa, v->iov_len), 0xa5, v->iov_len);
	else if (v->iov_base)
		memcpy(at(g, gpa, v->iov_len), v->iov_base, v->iov_len);
	else
		memset(at(g, gpa, v->iov_len), 0, v->iov_len);
}

uint16_t guest_driver_add(struct guest_driver *g, unsigned int queue, const struct iovec *out,
			  unsigned int n_out, const struct iovec *in, unsigned int n_in)
{
	struct guest_driver_queue *q = &g->queues[queue];
	unsigned int n = n_out + n_in;
	uint16_t head = 0, desc = 0;

	assert(n > 0 && n <= q->n_free);
	for (unsigned int i = 0; i < n; i++) {
		const struct iovec *v = i < n_out ? &out[i] : &in[i - n_out];
		unsigned int flags = (i < n_out ? 0 : DESC_WRITE) | (i + 1 < n ? DESC_NEXT : 0);
		uint16_t prev = desc;

		desc = desc_take(q);
		if (i == 0)
			head = desc;
		else
			guest_driver_poke(g, q->desc + (uint64_t)DESC_SIZE * prev + 14, desc, 2);
		buffer_put(g, q, desc, v, flags);
	}
	q->in_flight[head] = (uint16_t)n;
	poke16(g, q->avail + 4 + 2ULL * (q->avail_idx % q->size), head);
	poke16(g, q->avail + 2, ++q->avail_idx);
	return head;
}

void guest_driver_kick(struct guest_driver *g, unsigned int queue)
{
	virtio_mmio_kick(&g->t, queue);
}

bool guest_driver_kick_wanted(struct guest_driver *g, unsigned int queue)
{
	struct guest_driver_queue *q = &g->queues[queue];
	uint16_t old = q->kicked_avail, now = q->avail_idx, event;

	q->kicked_avail = now;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!(g->features & VIRTIO_F_EVENT_IDX))
		return now != old && !(guest_driver_peek16(g, q->used) & 1);
	event = guest_driver_peek16(g, q->used + 4 + 8ULL * q->size);
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

static uint16_t desc_next(const struct guest_driver *g, const struct guest_driver_queue *q,
			  uint16_t desc)
{
	return guest_driver_peek16(g, q->desc + (uint64_t)DESC_SIZE * desc + 14);
}

static bool is_logged(const struct guest_driver *g, uint64_t gpa)
{
	const uint64_t page = (gpa - GUEST_DRIVER_BASE) / GUEST_PAGE;

	if (page >= GUEST_DRIVER_SIZE / GUEST_PAGE)
		return true; /* in an area of blocks, which no log is of */
	return __atomic_load_n(&g->dirty[page / 64], __ATOMIC_SEQ_CST) >> page % 64 & 1;
}

bool guest_driver_used(struct guest_driver *g, unsigned int queue, uint16_t *ret_head,
		       uint32_t *ret_len)
{
	struct guest_driver_queue *q = &g->queues[queue];
	uint64_t elem = q->used + 4 + 8ULL * (q->last_used % q->size);
	uint32_t head;
	uint16_t desc;

	if (guest_driver_peek16(g, q->used + 2) == q->last_used)
		return false;
	assert(is_logged(g, elem) && is_logged(g, q->used + 2));
	head = get_le32(at(g, elem, 8));
	assert(head < q->size && q->in_flight[head] > 0);
	desc = (uint16_t)head;
	for (; q->in_flight[head] > 0; q->in_flight[head]--) {
		desc_give(q, desc);
		desc = desc_next(g, q, desc);
	}
	*ret_head = (uint16_t)head;
	*ret_len = get_le32(at(g, elem + 4, 4));
	poke16(g, q->avail + 4 + 2ULL * q->size, ++q->last_used);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return true;
}

void *guest_driver_data(struct guest_driver *g, unsigned int queue, uint16_t head, unsigned int i)
{
	struct guest_driver_queue *q = &g->queues[queue];
	uint64_t d;

	assert(head < q->size);
	for (; i > 0; i--)
		head = desc_next(g, q, head);
	d = q->desc + (uint64_t)DESC_SIZE * head;
	return at(g, get_le64(at(g, d, 8)), MAX_OF(get_le32(at(g, d + 8, 4)), 1));
}

uint32_t guest_driver_interrupts(struct guest_driver *g)
{
	uint32_t why = guest_driver_get(g, REG_INTERRUPT_STATUS);
	uint64_t count;

	guest_driver_set(g, REG_INTERRUPT_ACK, why);
	if (read(g->irq_fd, &count, sizeof(count)) == sizeof(count))
		g->n_interrupts += count;
	return why;
}
