/* SPDX-License-Identifier: MIT */
/*
 * fuzz_virtio_mem.c - requests for memory: the guest has what spans have, and no more than it may
 */
#include "fuzz_rings.h"

#include <sys/mman.h>
#include <sys/syscall.h>

#include "virtio_mem.h"

#define BLOCKS    8U
#define AREA      0x400000U /* where a few bytes of a descriptor reach */
#define AREA_SIZE (BLOCKS * GUEST_BLOCK)
#define MAX       (6 * GUEST_BLOCK)

struct host {
	struct loop *loop;
	struct guest_driver g;
	uint64_t requested;
	bool is_used; /* says that all memory is */
	int prot[BLOCKS];
};

static struct host host;

/* In the place of libc's. */
int mprotect(void *addr, size_t len, int prot)
{
	const uint64_t off = (uint64_t)((uint8_t *)addr - host.g.mem.area.hva);

	if (host.g.mem.area.hva && off < AREA_SIZE) {
		MUST(len > 0 && off % GUEST_BLOCK == 0 && len % GUEST_BLOCK == 0);
		MUST(range_fits(off, len, AREA_SIZE));
		for (uint64_t i = 0; i < len / GUEST_BLOCK; i++)
			host.prot[off / GUEST_BLOCK + i] = prot;
	}
	return (int)syscall(SYS_mprotect, addr, len, prot);
}

static bool is_used(void *arg, uint64_t gpa, uint64_t len)
{
	const struct host *h = arg;

	MUST(gpa >= AREA && range_fits(gpa - AREA, len, AREA_SIZE) && len > 0);
	MUST(!guest_span(&h->g.mem, gpa, len));
	return h->is_used || virtq_uses(&h->g.t.dev->queues[0], gpa, len);
}

static void host_make(struct host *h)
{
	const struct virtio_mem_spec spec = { &h->g.mem, MAX, is_used, h };
	struct virtio_device *d;
	struct err e = { 0 };

	MUST(loop_new(&h->loop, &e) == 0);
	MUST(virtio_mem_new(h->loop, &spec, &d, &e) == 0);
	h->g.mem.area = (struct guest_slot){ .gpa = AREA, .size = AREA_SIZE };
	guest_driver_start(&h->g, d);
}

/* Memory that the guest has can be stored to, and no other. */
static void memory_check(struct host *h, uint64_t before)
{
	const uint64_t plugged = virtio_mem_plugged(h->g.t.dev);
	uint64_t n = 0;

	for (uint64_t i = 0; i < BLOCKS; i++) {
		const bool is_in = guest_span(&h->g.mem, AREA + i * GUEST_BLOCK, GUEST_BLOCK);

		n += is_in;
		MUST(is_in == !!(h->prot[i] & PROT_WRITE));
	}
	MUST(plugged == n * GUEST_BLOCK && plugged <= MAX);
	MUST(plugged <= MAX_OF(before, h->requested));
}

static void clean(struct host *h)
{
	const uint8_t raw[24] = { 2 }; /* unplug all */

	virtio_mmio_resume(&h->g.t);
	h->is_used = false;
	MUST(guest_driver_negotiate(&h->g, h->g.t.dev->features, VIRTQ_SIZE_MAX) == STATUS_RUNNING);
	(void)guest_driver_add(&h->g, 0, &(struct iovec){ (void *)(uintptr_t)raw, sizeof(raw) }, 1,
			       &(struct iovec){ NULL, 10 }, 1);
	guest_driver_kick(&h->g, 0);
	MUST(virtio_mem_plugged(h->g.t.dev) == 0);
	MUST(guest_driver_negotiate(&h->g, h->g.t.dev->features, VIRTQ_SIZE_MAX) == STATUS_RUNNING);
}

/* A well-formed request, as a few bytes give it. */
static void request(struct host *h, struct rings_input *in)
{
	uint8_t raw[24] = { 0 };
	struct rings_input offer = { NULL, 0 };
	uint8_t bytes[8 + sizeof(raw)] = { 0, 2 | 1 << 4, sizeof(raw), 0, 10, 0, sizeof(raw) };

	put_le16(raw, (uint16_t)(take(in, 1) % 5));
	put_le64(raw + 8, AREA + take(in, 1) % (BLOCKS + 1) * GUEST_BLOCK);
	put_le16(raw + 16, (uint16_t)(take(in, 1) % (BLOCKS + 1)));
	memcpy(bytes + 7, raw, sizeof(raw));
	offer = (struct rings_input){ bytes, sizeof(bytes) };
	rings_offer(&h->g, &offer);
}

static void op(struct host *h, struct rings_input *in)
{
	unsigned int what = (unsigned int)take(in, 1) % 12;

	if (what < 7 && (what != 5 || virtio_mem_plugged(h->g.t.dev) == 0)) {
		rings_op(&h->g, h->loop, in, what);
		if (what == 5) /* what a saved state says */
			h->requested = MAX;
	} else if (what == 7) {
		h->requested = take(in, 1) % (BLOCKS + 1) * GUEST_BLOCK;
		virtio_mem_request(h->g.t.dev, h->requested);
	} else if (what == 8) {
		h->is_used = !h->is_used;
	} else {
		request(h, in);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct rings_input in = { data, len };
	struct host *h = &host;

	if (!h->loop)
		host_make(h);
	memset(guest_span(&h->g.mem, GUEST_DRIVER_BASE, GUEST_DRIVER_SIZE), 0, GUEST_DRIVER_SIZE);
	clean(h);
	for (int i = 0; i < 64 && in.left > 0; i++) {
		uint64_t before = virtio_mem_plugged(h->g.t.dev);

		op(h, &in);
		rings_check(&h->g);
		memory_check(h, before);
	}
	loop_turns(h->loop);
	return 0;
}
