/* SPDX-License-Identifier: MIT */
/*
 * virtio_balloon.c - [U] memory that a guest gives back [virtio 1.2, 5.5]
 *
 * What the guest gives up is dropped with MADV_DONTNEED. Anonymous memory reads as zeros then. A
 * private map of a template's file shows the template's bytes again: that is no harm, the guest has
 * said that it does not need what is there, and everything in the template was this guest's to
 * read. In a shared map only the map goes; the file keeps the bytes.
 *
 * Queues: 0 inflate, 1 deflate. Reporting has number 4 in the specification [5.5.2], and Linux
 * takes the first free one, 2, as statistics and hints are not offered; some have taken 3. So all
 * three are for reports: nothing else can be in them.
 *
 * Hostile: page numbers, which are copied out; reported buffers, which virtq.c has checked; their
 *   number: BALLOON_PFNS_MAX of a request, TURN_MAX requests at a time. A saved state (any numbers
 *   are fine).
 * Invariants: I1 only whole pages inside guest memory are dropped.
 * Threads: all under the device's lock.
 * Memory: none allocated after virtio_balloon_new(). #syscalls:vmm madvise
 */
#include "virtio_balloon.h"

#include <assert.h>
#include <sys/mman.h>

#include "virtio_serve.h"

#define QUEUE_INFLATE            0U
#define QUEUE_DEFLATE            1U
#define QUEUES                   5U
#define QUEUE_SIZE               128U
#define TURN_MAX                 16U
#define PFN_SIZE                 4U
#define PFNS_AT_ONCE             256U

#define BALLOON_F_DEFLATE_ON_OOM (1ULL << 2)
#define BALLOON_F_REPORTING      (1ULL << 5)

#define CONFIG_NUM_PAGES         0U /* [5.5.4] le32 each */
#define CONFIG_ACTUAL            4U

struct virtio_balloon {
	struct virtio_serve serve; /* first */
	const struct guest_memory *mem;
	uint32_t target, actual; /* pages */
};

struct run { /* pages that are to be dropped with one call */
	uint8_t *start;
	size_t len;
};

static struct virtio_balloon *balloon_of(struct virtio_device *d)
{
	return (struct virtio_balloon *)d;
}

/* A page that cannot be dropped just stays: memory that is not freed breaks nothing. */
static void run_drop(struct run *r)
{
	if (r->len > 0)
		(void)madvise(r->start, r->len, MADV_DONTNEED);
	*r = (struct run){ 0 };
}

static void run_add(struct run *r, uint8_t *page)
{
	if (r->len > 0 && page == r->start + r->len) {
		r->len += BALLOON_PAGE;
		return;
	}
	run_drop(r);
	*r = (struct run){ page, BALLOON_PAGE };
}

static void pfns_drop(const struct virtio_balloon *b, const uint8_t *raw, size_t n)
{
	struct run r = { 0 };

	for (size_t i = 0; i < n; i++) {
		uint64_t gpa = (uint64_t)get_le32(raw + i * PFN_SIZE) * BALLOON_PAGE;
		uint8_t *page = guest_span(b->mem, gpa, BALLOON_PAGE);

		if (page)
			run_add(&r, page);
	}
	run_drop(&r);
}

static void inflate(const struct virtio_balloon *b, const struct virtq_chain *c)
{
	uint8_t raw[PFNS_AT_ONCE * PFN_SIZE];

	for (size_t off = 0; off < BALLOON_PFNS_MAX * PFN_SIZE; off += sizeof(raw)) {
		size_t got = virtq_chain_read(c, off, raw, sizeof(raw));

		pfns_drop(b, raw, got / PFN_SIZE);
		if (got < sizeof(raw))
			break;
	}
}

/* The whole pages of each writable buffer; slots are mapped at page boundaries. */
static void report(const struct virtq_chain *c)
{
	for (unsigned int i = 0; i < c->n_in; i++) {
		const struct iovec *v = &c->iov[c->n_out + i];
		uintptr_t from = align_up((uintptr_t)v->iov_base, BALLOON_PAGE);
		uintptr_t end =
			((uintptr_t)v->iov_base + v->iov_len) & ~(uintptr_t)(BALLOON_PAGE - 1);
		struct run r = { (uint8_t *)from, end > from ? end - from : 0 };

		run_drop(&r);
	}
}

static uint32_t balloon_one(struct virtio_device *d, unsigned int queue,
			    const struct virtq_chain *c)
{
	if (queue == QUEUE_INFLATE)
		inflate(balloon_of(d), c);
	else if (queue > QUEUE_DEFLATE && d->agreed & BALLOON_F_REPORTING)
		report(c);
	return 0; /* deflated pages come back when they are touched */
}

static void balloon_config_read(const struct virtio_device *d, uint8_t *raw)
{
	const struct virtio_balloon *b = (const struct virtio_balloon *)d;

	put_le32(raw + CONFIG_NUM_PAGES, b->target);
	put_le32(raw + CONFIG_ACTUAL, b->actual);
}

static void balloon_config_write(struct virtio_device *d, uint32_t off, const void *data,
				 uint32_t len)
{
	if (off == CONFIG_ACTUAL && len == PFN_SIZE)
		balloon_of(d)->actual = get_le32(data);
}

/* The balloon is the driver's: a new one begins with none. What is given up stays given up until
 * it is touched. */
static void balloon_reset(struct virtio_device *d)
{
	balloon_of(d)->actual = 0;
}

static void balloon_save(struct virtio_device *d, struct state_out *s)
{
	state_put_u32(s, balloon_of(d)->target);
	state_put_u32(s, balloon_of(d)->actual);
}

static int balloon_load(struct virtio_device *d, struct state_in *s, struct err *e)
{
	uint32_t target = state_get_u32(s), actual = state_get_u32(s);

	if (s->has_failed)
		return err_plain(e, EINVAL, "not a saved balloon");
	balloon_of(d)->target = target;
	balloon_of(d)->actual = actual;
	return 0;
}

static const struct virtio_device_ops balloon_ops = {
	.id = VIRTIO_ID_BALLOON,
	.name = "balloon",
	.n_queues = QUEUES,
	.queue_size = QUEUE_SIZE,
	.config_read = balloon_config_read,
	.config_write = balloon_config_write,
	.reset = balloon_reset,
	.kick = virtio_serve_kick,
	.resume = virtio_serve_resume,
	.save = balloon_save,
	.load = balloon_load,
	.free = virtio_serve_free,
	.one = balloon_one,
	.turn = TURN_MAX,
};

int virtio_balloon_new(struct loop *loop, const struct guest_memory *mem,
		       struct virtio_device **ret, struct err *e)
{
	struct virtio_balloon *b = virtio_serve_new(
		sizeof(*b), &balloon_ops, BALLOON_F_DEFLATE_ON_OOM | BALLOON_F_REPORTING, loop, e);

	if (!b)
		return -e->code;
	for (uint32_t i = QUEUE_DEFLATE + 1; i < QUEUES; i++)
		b->serve.dev.queues[i].only_names = true;
	b->mem = mem;
	*ret = &b->serve.dev;
	return 0;
}

static uint32_t pages_of(const struct guest_memory *mem)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < mem->n_slots; i++)
		n += mem->slots[i].size / BALLOON_PAGE;
	return (uint32_t)MIN_OF(n, (uint64_t)UINT32_MAX);
}

void virtio_balloon_set_target(struct virtio_device *d, uint32_t pages)
{
	struct virtio_balloon *b = balloon_of(d);

	assert(d->ops == &balloon_ops);
	pthread_mutex_lock(&d->lock);
	b->target = MIN_OF(pages, pages_of(b->mem));
	if (d->is_active)
		d->signal.config(d->signal.arg);
	pthread_mutex_unlock(&d->lock);
}

uint32_t virtio_balloon_actual(struct virtio_device *d)
{
	uint32_t actual;

	assert(d->ops == &balloon_ops);
	pthread_mutex_lock(&d->lock);
	actual = balloon_of(d)->actual;
	pthread_mutex_unlock(&d->lock);
	return actual;
}
