/* SPDX-License-Identifier: MIT */
/*
 * virtio_pmem.c - [U] memory that is there when the machine starts [virtio 1.2, 5.19]
 *
 * Hostile: requests, of which four bytes are copied out and four written, TURN_MAX at a time; a
 *   saved state, of which the size is used to compare it only.
 * Invariants: I1 a driver never sees the memory shrink: it may have all that it was told of in use.
 * Threads: all under the device's lock, on the loop's thread.
 * Memory: none allocated after virtio_pmem_new().
 */
#include "virtio_pmem.h"

#include "virtio_serve.h"

#define QUEUE_SIZE 64U
#define TURN_MAX   16U

/* [5.19.4, 5.19.6] le64 each; le32 each */
#define CONFIG_START 0U
#define CONFIG_SIZE  8U
#define FLUSH        0U
#define DONE         0U
#define FAILED       1U

struct virtio_pmem {
	struct virtio_serve serve; /* first */
	uint64_t start, size;
};

static struct virtio_pmem *pmem_of(struct virtio_device *d)
{
	return (struct virtio_pmem *)d;
}

static uint32_t pmem_one(struct virtio_device *d, unsigned int queue, const struct virtq_chain *c)
{
	uint8_t raw[4];
	bool is_flush =
		virtq_chain_read(c, 0, raw, sizeof(raw)) == sizeof(raw) && get_le32(raw) == FLUSH;

	(void)d;
	(void)queue;
	put_le32(raw, is_flush ? DONE : FAILED);
	return (uint32_t)virtq_chain_write(c, 0, raw, sizeof(raw));
}

static void pmem_config_read(const struct virtio_device *d, uint8_t *raw)
{
	const struct virtio_pmem *p = (const struct virtio_pmem *)d;

	put_le64(raw + CONFIG_START, p->start);
	put_le64(raw + CONFIG_SIZE, p->size);
}

static void pmem_save(struct virtio_device *d, struct state_out *s)
{
	state_put_u64(s, pmem_of(d)->size);
}

/* A template has the smallest there is, and a clone more: its driver is bound anew to see it. */
static int pmem_load(struct virtio_device *d, struct state_in *s, struct err *e)
{
	uint64_t size = state_get_u64(s);

	if (s->has_failed)
		return err_plain(e, EINVAL, "not a saved pmem");
	if (size > pmem_of(d)->size)
		return err_plain(e, EINVAL, "the guest saw %llu bytes, here are %llu",
				 (unsigned long long)size, (unsigned long long)pmem_of(d)->size);
	if (size != pmem_of(d)->size)
		d->signal.config(d->signal.arg);
	return 0;
}

int virtio_pmem_new(struct loop *loop, uint64_t start, uint64_t size, struct virtio_device **ret,
		    struct err *e)
{
	static const struct virtio_device_ops ops = {
		.id = VIRTIO_ID_PMEM,
		.name = "pmem",
		.n_queues = 1,
		.queue_size = QUEUE_SIZE,
		.config_read = pmem_config_read,
		.kick = virtio_serve_kick,
		.resume = virtio_serve_resume,
		.save = pmem_save,
		.load = pmem_load,
		.free = virtio_serve_free,
		.one = pmem_one,
		.turn = TURN_MAX,
	};
	struct virtio_pmem *p = virtio_serve_new(sizeof(*p), &ops, 0, loop, e);

	if (!p)
		return -e->code;
	p->start = start;
	p->size = size;
	*ret = &p->serve.dev;
	return 0;
}
