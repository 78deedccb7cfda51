/* SPDX-License-Identifier: MIT */
/* fuzz_virtio_rng.c - the ring of a source of random bytes: never more than is given for one
 * request */
#include "fuzz_rings.h"

#include <sys/random.h>

#include "virtio_rng.h"

struct host {
	struct loop *loop;
	struct guest_driver g;
};

static struct host host;

/* In the place of the C library's: all that is filled lies in guest memory. */
ssize_t getrandom(void *buf, size_t len, unsigned int flags)
{
	const struct guest_slot *s = &host.g.mem.slots[0];

	(void)flags;
	if (s->hva)
		MUST(range_fits((uint64_t)((uint8_t *)buf - s->hva), len, s->size));
	memset(buf, 0x5a, len);
	return (ssize_t)len;
}

static void host_make(struct host *h)
{
	struct virtio_device *d;
	struct err e = { 0 };

	MUST(loop_new(&h->loop, &e) == 0);
	MUST(virtio_rng_new(h->loop, &d, &e) == 0);
	guest_driver_start(&h->g, d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	/* all but a reload: it has no state of its own whose bytes could be changed */
	static const unsigned int ops[] = { 0, 1, 2, 3, 4, 6 };
	struct rings_input in = { data, len };
	struct host *h = &host;

	if (!h->loop)
		host_make(h);
	memset(guest_span(&h->g.mem, GUEST_DRIVER_BASE, GUEST_DRIVER_SIZE), 0, GUEST_DRIVER_SIZE);
	MUST(guest_driver_negotiate(&h->g, h->g.t.dev->features, VIRTQ_SIZE_MAX) == STATUS_RUNNING);
	for (int i = 0; i < 64 && in.left > 0; i++) {
		rings_op(&h->g, h->loop, &in, ops[take(&in, 1) % ARRAY_SIZE(ops)]);
		rings_check(&h->g);
	}
	loop_turns(h->loop);
	return 0;
}
