/* SPDX-License-Identifier: MIT */
/* test_virtq_model.c - a right driver at random, and random rings */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "../vhd/prng.h"
#include "guest_driver.h"
#include "toy_device.h"
#include "virtq_fixture.h"

/*
 * Property: whatever chains a right driver offers, the device sees their bytes, and the driver gets
 * them back; in any order of adding, serving and taking, with and without events.
 */
struct sent {
	uint8_t data[512];
	uint32_t len_out, len_in;
};

static unsigned int split(uint64_t *seed, struct iovec *v, unsigned int most, uint8_t *data,
			  uint32_t *ret_len)
{
	unsigned int n = (unsigned int)prng_below(seed, most + 1);
	uint32_t len = 0;

	for (unsigned int i = 0; i < n; i++) {
		v[i].iov_len = prng_below(seed, 60);
		v[i].iov_base = data + len;
		len += (uint32_t)v[i].iov_len;
	}
	prng_fill(seed, data, len);
	*ret_len = len;
	return n;
}

static void model_add(struct guest_driver *g, struct sent *sent, uint64_t *seed)
{
	struct iovec out[4], in[4];
	uint8_t none[512];
	struct sent s;
	unsigned int n_out = split(seed, out, 4, s.data, &s.len_out);
	unsigned int n_in = split(seed, in, 4, none, &s.len_in);

	if (n_out + n_in == 0 || n_out + n_in > g->queues[0].n_free)
		return;
	sent[guest_driver_add(g, 0, out, n_out, in, n_in)] = s;
	if (guest_driver_kick_wanted(g, 0) || prng_below(seed, 8) == 0)
		guest_driver_kick(g, 0);
}

static void model_check(struct guest_driver *g, const struct sent *s, uint16_t head, uint32_t len)
{
	uint64_t desc = g->queues[0].desc;
	uint32_t off = 0, i = 0;

	assert_int_equal(len, MIN_OF(s->len_out, s->len_in));
	while (!(guest_driver_peek16(g, desc + 16U * head + 12) & WRITE) && off < len)
		head = guest_driver_peek16(g, desc + 16U * head + 14);
	for (; off < len; i++) {
		uint32_t here = guest_driver_peek16(g, desc + 16U * head + 8);
		const uint8_t *p = guest_driver_data(g, 0, head, 0);

		assert_memory_equal(p, s->data + off, MIN_OF(here, len - off));
		off += MIN_OF(here, len - off);
		head = guest_driver_peek16(g, desc + 16U * head + 14);
	}
}

static void model_take(struct guest_driver *g, const struct sent *sent)
{
	uint32_t len;
	uint16_t head;

	while (guest_driver_used(g, 0, &head, &len))
		model_check(g, &sent[head], head, len);
}

static void model_run(uint64_t features, uint64_t seed)
{
	struct toy_device *toy = toy_device_new();
	struct guest_driver g = { 0 };
	struct sent *sent = calloc(TOY_QUEUE_SIZE, sizeof(*sent));

	guest_driver_attach(&g, &toy->dev);
	assert_int_equal(guest_driver_negotiate(&g, features, (uint16_t)(1U << (seed % 5))),
			 STATUS_RUNNING);
	for (unsigned int i = 0; i < 100000; i++) {
		model_add(&g, sent, &seed);
		/* An interrupt is the only time to look; a lost one would let the queue run dry. */
		if (guest_driver_interrupts(&g) & 1)
			model_take(&g, sent);
	}
	assert_int_equal(toy->n_broken, 0);
	assert_int_equal(guest_driver_get(&g, REG_STATUS), STATUS_RUNNING);
	/* Nothing is forgotten: each went round, and over 2^16 several. */
	assert_int_equal(g.queues[0].n_free, g.queues[0].size);
	assert_true(g.queues[0].size < 8 || toy->n_kick > 50000);
	free(sent);
	guest_driver_stop(&g);
}

static void test_model(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 5; seed++) {
		model_run(TOY_FEATURES, seed);
		model_run(TOY_FEATURES & ~VIRTIO_F_EVENT_IDX, seed);
	}
}

/* Everything that was given out lies in memory; touching it proves that. */
static void chain_touch(const struct fixture *f, const struct virtq_chain *c)
{
	assert_true(c->head < f->q.size);
	assert_true(c->n_out + c->n_in <= MIN_OF(f->q.size, VIRTQ_CHAIN_MAX));
	for (unsigned int i = 0; i < c->n_out + c->n_in; i++) {
		const uint8_t *p = c->iov[i].iov_base;
		bool is_low = p >= f->mem.slots[0].hva && p < f->mem.slots[0].hva + SLOT;
		const struct guest_slot *s = &f->mem.slots[is_low ? 0 : 1];

		assert_true(range_fits((uint64_t)(p - s->hva), c->iov[i].iov_len, SLOT));
		assert_true(c->iov[i].iov_len > 0);
	}
}

/* Random rings whose numbers are near what is allowed, so that much of it is. */
static void hostile_fill(struct fixture *f, uint64_t *seed)
{
	uint16_t size = f->q.size;

	for (uint16_t i = 0; i < size; i++) {
		uint64_t addr =
			prng_below(seed, 16) ? LOW + prng_below(seed, HIGH) : prng_next(seed);
		uint16_t flags = (uint16_t)prng_below(seed, 4);

		if (prng_below(seed, 32) == 0)
			flags = (uint16_t)prng_next(seed);
		desc_set(f, i,
			 (struct row_desc){ addr, (uint32_t)prng_below(seed, 4096), flags,
					    (uint16_t)prng_below(seed, size + 1U) });
		poke(f, AVAIL + 4 + 2U * i, prng_below(seed, size + (i == 3)), 2);
	}
	poke(f, AVAIL + 2, f->q.next_avail + prng_below(seed, size + 2U), 2);
	poke(f, AVAIL + 4 + 2U * size, prng_next(seed), 2);
}

static unsigned int hostile_serve(struct fixture *f, uint64_t *seed)
{
	struct virtq_chain c;
	unsigned int n = 0;

	/* Bounded by the queue, also when nothing is given back. */
	while (virtq_pop(&f->q, &c) == 1) {
		chain_touch(f, &c);
		if (prng_below(seed, 2))
			virtq_push(&f->q, c.head, (uint32_t)prng_next(seed));
		(void)virtq_needs_signal(&f->q);
		virtq_kicks_set(&f->q, prng_below(seed, 2));
		assert_true(++n <= f->q.size);
	}
	return n;
}

static void test_hostile(void **state)
{
	unsigned int n_served = 0, n_broken = 0;
	uint64_t seed = 6;

	(void)state;
	for (unsigned int i = 0; i < 3000; i++) {
		struct fixture f;

		setup(&f, (uint16_t)(1U << prng_below(&seed, 9)), prng_below(&seed, 2));
		for (unsigned int k = 0; k < 4 && !f.q.is_broken; k++) {
			hostile_fill(&f, &seed);
			n_served += hostile_serve(&f, &seed);
		}
		n_broken += f.q.is_broken;
		guest_memory_unmap(&f.mem);
	}
	assert_true(n_served > 1000 && n_broken > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
