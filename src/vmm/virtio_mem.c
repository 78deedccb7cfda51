/* SPDX-License-Identifier: MIT */
/*
 * virtio_mem.c - [U] memory that a guest takes and gives back while it runs [virtio 1.2, 5.15]
 *
 * Taking a block in: first its memory is made writable, then spans may have it. Out: first no span
 * has it any more, then it is asked whether somebody still has one, or a ring in it, and only then
 * the memory goes. In between a queue may be started on another thread: with its device's lock it
 * finds its rings either before, and is seen by is_used(), or not at all.
 *
 * The whole area can be used from the start, so the usable size does not change.
 *
 * Hostile: requests, which are copied out; TURN_MAX of them at a time. A saved state.
 * Invariants: I1 `plugged` counts the blocks that are in.  I2 a block comes in only while that
 *   stays within `requested`, which is within `max`.  I3 a block that is_used() stays.
 * Threads: all under the device's lock; `plugged` changes on the loop's thread.
 * Memory: none allocated after virtio_mem_new(). Calls: as guest_memory.c
 */
#include "virtio_mem.h"

#include <assert.h>

#include "virtio_serve.h"

#define QUEUE_SIZE                   16U
#define TURN_MAX                     16U

#define MEM_F_UNPLUGGED_INACCESSIBLE (1ULL << 1)

/* [5.15.6] le16 type; from 8 on le64 address, le16 number of blocks */
enum request { REQUEST_PLUG, REQUEST_UNPLUG, REQUEST_UNPLUG_ALL, REQUEST_STATE };
#define REQUEST_SIZE 24U

enum response { RESPONSE_ACK, RESPONSE_NACK, RESPONSE_BUSY, RESPONSE_ERROR };
#define RESPONSE_SIZE  10U
#define RESPONSE_STATE 8U /* le16 */

enum blocks_state { BLOCKS_IN, BLOCKS_OUT, BLOCKS_MIXED };

struct virtio_mem {
	struct virtio_serve serve; /* first */
	struct virtio_mem_spec spec;
	uint64_t requested, plugged; /* bytes */
};

struct blocks {
	uint64_t first, n;
};

static struct virtio_mem *mem_of(struct virtio_device *d)
{
	return (struct virtio_mem *)d;
}

static bool blocks_find(const struct virtio_mem *m, const uint8_t *raw, struct blocks *ret)
{
	const struct guest_slot *area = &m->spec.mem->area;
	const uint64_t off = get_le64(raw + 8) - area->gpa;

	*ret = (struct blocks){ off / GUEST_BLOCK, get_le16(raw + 16) };
	return get_le64(raw + 8) >= area->gpa && off % GUEST_BLOCK == 0 && ret->n > 0 &&
	       range_fits(ret->first, ret->n, area->size / GUEST_BLOCK);
}

static enum blocks_state blocks_state(const struct virtio_mem *m, const struct blocks *b)
{
	uint64_t n_in = 0;

	for (uint64_t i = 0; i < b->n; i++)
		n_in += guest_block_is_in(m->spec.mem, b->first + i);
	return n_in == b->n ? BLOCKS_IN : n_in == 0 ? BLOCKS_OUT : BLOCKS_MIXED;
}

static enum response plug(struct virtio_mem *m, const struct blocks *b)
{
	const uint64_t len = b->n * GUEST_BLOCK;

	if (blocks_state(m, b) != BLOCKS_OUT)
		return RESPONSE_ERROR;
	if (m->plugged > m->requested || len > m->requested - m->plugged)
		return RESPONSE_NACK;
	if (guest_blocks_protect(m->spec.mem, b->first, b->n, GUEST_BLOCK_IN) < 0)
		return RESPONSE_BUSY;
	guest_blocks_mark(m->spec.mem, b->first, b->n, GUEST_BLOCK_IN);
	m->plugged += len;
	return RESPONSE_ACK;
}

/* All of them are in. */
static enum response unplug(struct virtio_mem *m, const struct blocks *b)
{
	const uint64_t len = b->n * GUEST_BLOCK;
	struct guest_memory *mem = m->spec.mem;

	guest_blocks_mark(mem, b->first, b->n, GUEST_BLOCK_OUT);
	if (m->spec.is_used(m->spec.arg, mem->area.gpa + b->first * GUEST_BLOCK, len) ||
	    guest_blocks_protect(mem, b->first, b->n, GUEST_BLOCK_OUT) < 0) {
		guest_blocks_mark(mem, b->first, b->n, GUEST_BLOCK_IN);
		return RESPONSE_BUSY;
	}
	m->plugged -= len;
	return RESPONSE_ACK;
}

/* A block that stays leaves those behind it as well. */
static enum response unplug_all(struct virtio_mem *m)
{
	enum response r = RESPONSE_ACK;

	for (uint64_t i = 0; i < m->spec.mem->area.size / GUEST_BLOCK && r == RESPONSE_ACK; i++)
		if (guest_block_is_in(m->spec.mem, i))
			r = unplug(m, &(struct blocks){ i, 1 });
	return r;
}

static enum response request_do(struct virtio_mem *m, const uint8_t raw[REQUEST_SIZE],
				uint8_t answer[RESPONSE_SIZE])
{
	const uint16_t type = get_le16(raw);
	struct blocks b;

	if (type == REQUEST_UNPLUG_ALL)
		return unplug_all(m);
	if (type > REQUEST_STATE || !blocks_find(m, raw, &b))
		return RESPONSE_ERROR;
	if (type == REQUEST_PLUG)
		return plug(m, &b);
	if (type == REQUEST_UNPLUG)
		return blocks_state(m, &b) == BLOCKS_IN ? unplug(m, &b) : RESPONSE_ERROR;
	put_le16(answer + RESPONSE_STATE, (uint16_t)blocks_state(m, &b));
	return RESPONSE_ACK;
}

static uint32_t mem_one(struct virtio_device *d, unsigned int queue, const struct virtq_chain *c)
{
	uint8_t raw[REQUEST_SIZE], answer[RESPONSE_SIZE] = { 0 };
	enum response r = RESPONSE_ERROR;

	(void)queue; /* there is one */
	/* What could not be answered is not done. */
	if (c->len_in >= RESPONSE_SIZE && virtq_chain_read(c, 0, raw, sizeof(raw)) == sizeof(raw))
		r = request_do(mem_of(d), raw, answer);
	put_le16(answer, (uint16_t)r);
	return (uint32_t)virtq_chain_write(c, 0, answer, sizeof(answer));
}

static void mem_config_read(const struct virtio_device *d, uint8_t *raw)
{
	const struct virtio_mem *m = (const struct virtio_mem *)d;
	const struct guest_slot *area = &m->spec.mem->area;
	const uint64_t v[] = { /* [5.15.4] size of blocks, node, address, size, usable, ... */
			       GUEST_BLOCK, 0,          area->gpa,   area->size,
			       area->size,  m->plugged, m->requested
	};

	for (size_t i = 0; i < ARRAY_SIZE(v); i++)
		put_le64(raw + 8 * i, v[i]);
}

/* Of a machine that has no block in: what is in blocks is saved by nobody. */
static void mem_save(struct virtio_device *d, struct state_out *s)
{
	const struct virtio_mem *m = mem_of(d);

	state_put_u64(s, m->spec.mem->area.size);
	state_put_u64(s, m->requested);
	if (m->plugged)
		s->has_failed = true;
}

static int mem_load(struct virtio_device *d, struct state_in *s, struct err *e)
{
	struct virtio_mem *m = mem_of(d);
	const uint64_t size = state_get_u64(s), requested = state_get_u64(s);

	if (s->has_failed || size != m->spec.mem->area.size || requested > m->spec.max ||
	    requested % GUEST_BLOCK || m->plugged)
		return err_plain(e, EINVAL, "not saved memory of such a machine");
	m->requested = requested;
	return 0;
}

static const struct virtio_device_ops mem_ops = {
	.id = VIRTIO_ID_MEM,
	.name = "memory",
	.n_queues = 1,
	.queue_size = QUEUE_SIZE,
	.config_read = mem_config_read,
	.kick = virtio_serve_kick,
	.resume = virtio_serve_resume,
	.save = mem_save,
	.load = mem_load,
	.free = virtio_serve_free,
	.one = mem_one,
	.turn = TURN_MAX,
};

int virtio_mem_new(struct loop *loop, const struct virtio_mem_spec *spec,
		   struct virtio_device **ret, struct err *e)
{
	struct virtio_mem *m =
		virtio_serve_new(sizeof(*m), &mem_ops, MEM_F_UNPLUGGED_INACCESSIBLE, loop, e);

	if (!m)
		return -e->code;
	m->spec = *spec;
	*ret = &m->serve.dev;
	return 0;
}

void virtio_mem_request(struct virtio_device *d, uint64_t bytes)
{
	struct virtio_mem *m = mem_of(d);

	assert(d->ops == &mem_ops);
	pthread_mutex_lock(&d->lock);
	m->requested = MIN_OF(bytes, m->spec.max) / GUEST_BLOCK * GUEST_BLOCK;
	if (d->is_active)
		d->signal.config(d->signal.arg);
	pthread_mutex_unlock(&d->lock);
}

uint64_t virtio_mem_plugged(const struct virtio_device *d)
{
	assert(d->ops == &mem_ops);
	return ((const struct virtio_mem *)d)->plugged;
}
