/* SPDX-License-Identifier: MIT */
/*
 * fuzz_rings.h - the fuzzer's bytes as what a guest does to a device's rings
 *
 * Chains are easy to offer, so that a few bytes reach the device's work; anything in the rings can
 * be overwritten as well.
 */
#ifndef FUZZ_RINGS_H
#define FUZZ_RINGS_H

#include "fuzz_input.h"

#include "../unit/vmm/guest_driver.h"
#include "../unit/vmm/loop_turns.h"

#define RINGS_OWN_STATE 7U /* bytes that a device itself saves, at least; they come last */
#define RINGS_DATA      (GUEST_DRIVER_BASE + 0x20000U)

struct rings_input {
	const uint8_t *p;
	size_t left;
};

static inline uint64_t take(struct rings_input *in, size_t bytes)
{
	uint8_t raw[8] = { 0 };
	size_t n = MIN_OF(bytes, in->left);

	memcpy(raw, in->p, n);
	in->p += n;
	in->left -= n;
	return get_le64(raw);
}

/* Up to a byte's worth of what follows. */
static inline size_t take_bytes(struct rings_input *in, const uint8_t **ret)
{
	size_t n = take(in, 1);

	n = MIN_OF(n, in->left);
	*ret = in->p;
	in->p += n;
	in->left -= n;
	return n;
}

/* A chain of up to 4 buffers: a byte for their kinds, then two for each length; the first one is
 * filled with bytes of the input. Kicks. */
static inline void rings_offer(struct guest_driver *g, struct rings_input *in)
{
	unsigned int queue = (unsigned int)take(in, 1) % g->t.dev->n_queues;
	struct guest_driver_queue *q = &g->queues[queue];
	unsigned int kinds = (unsigned int)take(in, 1), n = 1 + (kinds >> 4) % 4;
	uint16_t head =
		(uint16_t)(4 * (q->avail_idx % MAX_OF(q->size / 4, 1)) % MAX_OF(q->size, 1));
	const uint8_t *data;
	size_t len;

	for (unsigned int i = 0; i < n; i++) {
		uint64_t desc = q->desc + 16ULL * (head + i);

		guest_driver_poke(g, desc, RINGS_DATA + 0x10000U * i, 8);
		guest_driver_poke(g, desc + 8, take(in, 2), 4);
		guest_driver_poke(g, desc + 12, (kinds >> i & 1 ? 2U : 0) | (i + 1 < n ? 1 : 0), 2);
		guest_driver_poke(g, desc + 14, head + i + 1, 2);
	}
	len = take_bytes(in, &data);
	if (len > 0)
		memcpy(guest_span(&g->mem, RINGS_DATA, len), data, len);
	guest_driver_poke(g, q->avail + 4 + 2ULL * (q->avail_idx % MAX_OF(q->size, 1)), head, 2);
	guest_driver_poke(g, q->avail + 2, ++q->avail_idx, 2);
	guest_driver_kick(g, queue);
}

/* What both devices keep: no request stays in flight. */
static inline void rings_check(struct guest_driver *g)
{
	for (uint32_t i = 0; i < g->t.dev->n_queues; i++) {
		const struct virtq *q = &g->t.dev->queues[i];

		MUST(q->is_broken || q->next_avail == q->next_used);
	}
}

static inline void rings_reload(struct guest_driver *g, struct rings_input *in)
{
	unsigned int mangled = (unsigned int)take(in, 1) % 3;
	struct err e = { 0 };
	auto_buf b = { 0 };
	struct state_out out = { .b = &b };
	struct state_in s;

	virtio_mmio_save(&g->t, &out);
	MUST(!out.has_failed);
	for (unsigned int i = 0; i < mangled; i++)
		b.data[b.len - 1 - take(in, 1) % RINGS_OWN_STATE] = (char)take(in, 1);
	s = (struct state_in){ .p = (const uint8_t *)b.data, .left = b.len };
	if (virtio_mmio_load(&g->t, &s, &e) < 0)
		MUST(mangled > 0 && e.msg[0]);
	else
		virtio_mmio_kick_all(&g->t);
}

/* Operations 0 to 6 of a device's fuzzer. */
static inline void rings_op(struct guest_driver *g, struct loop *l, struct rings_input *in,
			    unsigned int op)
{
	uint64_t at;

	switch (op) {
	case 0:
		rings_offer(g, in);
		break;
	case 1:
		at = take(in, 2) % (0x4000U * g->t.dev->n_queues);
		guest_driver_poke(g, GUEST_DRIVER_BASE + at, take(in, 2), 2);
		break;
	case 2:
		virtio_mmio_kick(&g->t, (unsigned int)take(in, 1));
		(void)guest_driver_get(g, REG_CONFIG + (uint32_t)take(in, 1) % 32 * 4);
		break;
	case 3:
		loop_turn(l, 0);
		break;
	case 4:
		at = take(in, 1); /* a feature less, and the size of queues */
		(void)guest_driver_negotiate(g, g->t.dev->features & ~(1ULL << (at & 31)),
					     (uint16_t)(4U << (at >> 5)));
		break;
	case 5:
		rings_reload(g, in);
		break;
	default:
		virtio_mmio_pause(&g->t);
		loop_turn(l, 0);
		virtio_mmio_resume(&g->t);
		break;
	}
}

#endif
