/* SPDX-License-Identifier: MIT */
/*
 * fuzz_virtio_pmem.c - the ring of memory that cannot be written
 *
 * The memory itself lies behind the guest's, where addresses of buffers can be made to point: a
 * byte that is written there ends the fuzzer.
 */
#include "fuzz_rings.h"

#include "virtio_pmem.h"

#define ROM      (GUEST_DRIVER_BASE + 0x300000U)
#define ROM_SIZE 0x400000U

struct host {
	struct loop *loop;
	struct guest_driver g;
};

static struct host host;

static void host_make(struct host *h)
{
	struct virtio_device *d;
	struct err e = { 0 };

	MUST(loop_new(&h->loop, &e) == 0);
	MUST(virtio_pmem_new(h->loop, ROM, ROM_SIZE, &d, &e) == 0);
	guest_driver_start(&h->g, d);
	MUST(guest_rom_map(&h->g.mem, ROM, ROM_SIZE, NULL, 0, &e) == 0);
}

/* The address of a descriptor's buffer: somewhere in the read-only memory, or beside it. */
static void address_set(struct guest_driver *g, struct rings_input *in)
{
	const struct guest_driver_queue *q = &g->queues[0];
	uint64_t i = take(in, 1) % MAX_OF(q->size, 1);

	guest_driver_poke(g, q->desc + 16 * i, ROM + take(in, 3), 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct rings_input in = { data, len };
	struct host *h = &host;

	if (!h->loop)
		host_make(h);
	memset(guest_span(&h->g.mem, GUEST_DRIVER_BASE, GUEST_DRIVER_SIZE), 0, GUEST_DRIVER_SIZE);
	MUST(guest_driver_negotiate(&h->g, h->g.t.dev->features, VIRTQ_SIZE_MAX) == STATUS_RUNNING);
	for (int i = 0; i < 64 && in.left > 0; i++) {
		unsigned int op = (unsigned int)take(&in, 1) % 8;

		if (op == 7)
			address_set(&h->g, &in);
		else
			rings_op(&h->g, h->loop, &in, op);
		rings_check(&h->g);
	}
	loop_turns(h->loop);
	return 0;
}
