/* SPDX-License-Identifier: MIT */
/* fuzz_virtio_balloon.c - a balloon's rings: only whole pages of guest memory are dropped */
#include "fuzz_rings.h"

#include <sys/mman.h>
#include <sys/syscall.h>

#include "virtio_balloon.h"

struct host {
	struct loop *loop;
	struct guest_driver g;
};

static struct host host;

/* In the place of libc's. */
int madvise(void *addr, size_t len, int advice)
{
	const struct guest_slot *s = &host.g.mem.slots[0];

	if (advice == MADV_DONTNEED && s->hva) {
		uint64_t off = (uint64_t)((uint8_t *)addr - s->hva);

		MUST(len > 0 && off % BALLOON_PAGE == 0 && len % BALLOON_PAGE == 0);
		MUST(range_fits(off, len, s->size));
	}
	return (int)syscall(SYS_madvise, addr, len, advice);
}

static void host_make(struct host *h)
{
	struct virtio_device *d;
	struct err e = { 0 };

	MUST(loop_new(&h->loop, &e) == 0);
	MUST(virtio_balloon_new(h->loop, &h->g.mem, &d, &e) == 0);
	guest_driver_start(&h->g, d);
}

static void op(struct host *h, struct rings_input *in)
{
	unsigned int what = (unsigned int)take(in, 1) % 9;

	if (what < 7)
		rings_op(&h->g, h->loop, in, what);
	else if (what == 7)
		virtio_balloon_set_target(h->g.t.dev, (uint32_t)take(in, 2));
	else
		guest_driver_set(&h->g, REG_CONFIG + (uint32_t)take(in, 1), (uint32_t)take(in, 2));
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
		op(h, &in);
		rings_check(&h->g);
	}
	loop_turns(h->loop);
	return 0;
}
