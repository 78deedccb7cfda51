/* SPDX-License-Identifier: MIT */
/*
 * fuzz_virtio_blk.c - a disk's rings, over memory and threads or over a file and io_uring
 *
 * Each request is given back once, whatever the rings say; nothing outside of the disk or of guest
 * memory is touched (the address sanitizer sees that of the memory one).
 */
#include "fuzz_rings.h"

#include <sys/mman.h>

#include "../unit/vmm/blk_fixture.h"
#include "virtio_blk.h"

#define SIZE 32768U

struct host {
	struct loop *loop;
	struct guest_driver g;
};

static struct blk_back *memory_back(uint64_t sectors, bool is_readonly)
{
	struct gate_back *g = gate_new(sectors * BLK_SECTOR, is_readonly);

	gate_open(g);
	return &g->back;
}

static struct blk_back *file_back(void)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);
	struct blk_back *b;
	struct err e = { 0 };

	MUST(fd >= 0 && ftruncate(fd, SIZE) == 0);
	MUST(blk_back_raw(fd, SIZE, false, &b, &e) == 0);
	return b;
}

static void host_make(struct host *h, struct blk_back *back)
{
	struct virtio_blk_options o = { .serial = "fuzz" };
	struct virtio_device *d;
	struct err e = { 0 };

	MUST(loop_new(&h->loop, &e) == 0);
	MUST(virtio_blk_new(h->loop, back, &o, &d, &e) == 0);
	guest_driver_start(&h->g, d);
}

static bool is_readonly(const struct host *h)
{
	return h->g.t.dev->features & 1U << 5;
}

static void another_disk(struct host *h, uint64_t sectors)
{
	struct err e = { 0 };

	MUST(virtio_blk_set_back(h->g.t.dev, memory_back(sectors, true), &e) == 0);
}

/* Threads and rings take long to make: hosts are made once. */
static void host_start(struct host *h)
{
	if (is_readonly(h))
		another_disk(h, SIZE / BLK_SECTOR);
	memset(guest_span(&h->g.mem, GUEST_DRIVER_BASE, GUEST_DRIVER_SIZE), 0, GUEST_DRIVER_SIZE);
	MUST(guest_driver_negotiate(&h->g, h->g.t.dev->features, VIRTQ_SIZE_MAX) == STATUS_RUNNING);
}

static void come_to_rest(struct host *h)
{
	virtio_mmio_pause(&h->g.t);
	rings_check(&h->g);
}

static void op(struct host *h, struct rings_input *in)
{
	unsigned int what = (unsigned int)take(in, 1) % 9;

	if (what == 5)
		come_to_rest(h); /* a state is saved then only */
	if (what == 7 && is_readonly(h))
		another_disk(h, 1 + take(in, 1));
	else if (what < 7)
		rings_op(&h->g, h->loop, in, what);
	else
		come_to_rest(h);
	virtio_mmio_resume(&h->g.t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct host hosts[3];
	struct rings_input in = { data, len };
	struct host *h = &hosts[take(&in, 1) % 3];

	if (!hosts[0].loop) {
		host_make(&hosts[0], memory_back(SIZE / BLK_SECTOR, false));
		host_make(&hosts[1], memory_back(SIZE / BLK_SECTOR, true));
		host_make(&hosts[2], file_back());
	}
	host_start(h);
	for (int i = 0; i < 64 && in.left > 0; i++)
		op(h, &in);
	come_to_rest(h);
	virtio_mmio_resume(&h->g.t);
	return 0;
}
