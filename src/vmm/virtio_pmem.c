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
#define CONFIG_LEN   16U
#define FLUSH        0U
#define DONE         0U
#define FAILED       1U

struct virtio_pmem {
	struct virtio_device dev; /* first */
	struct virtio_serve serve;
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

static void pmem_config_read(struct virtio_device *d, uint32_t off, void *data, uint32_t len)
{
	uint8_t raw[CONFIG_LEN];

	put_le64(raw + CONFIG_START, pmem_of(d)->start);
	put_le64(raw + CONFIG_SIZE, pmem_of(d)->size);
	memset(data, 0, len);
	if (off < sizeof(raw))
		memcpy(data, raw + off, MIN_OF(len, (uint32_t)sizeof(raw) - off));
}

static void pmem_kick(struct virtio_device *d, unsigned int queue)
{
	virtio_serve_kick(&pmem_of(d)->serve, queue);
}

static void pmem_pause(struct virtio_device *d)
{
	virtio_serve_pause(&pmem_of(d)->serve);
}

static void pmem_resume(struct virtio_device *d)
{
	virtio_serve_resume(&pmem_of(d)->serve);
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

static void pmem_free(struct virtio_device *d)
{
	virtio_serve_done(&pmem_of(d)->serve);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

int virtio_pmem_new(struct loop *loop, uint64_t start, uint64_t size, struct virtio_device **ret,
		    struct err *e)
{
	static const struct virtio_device_ops ops = {
		.id = VIRTIO_ID_PMEM,
		.name = "pmem",
		.config_read = pmem_config_read,
		.kick = pmem_kick,
		.pause = pmem_pause,
		.resume = pmem_resume,
		.save = pmem_save,
		.load = pmem_load,
		.free = pmem_free,
	};
	struct virtio_pmem *p = calloc(1, sizeof(*p));

	if (!p)
		return err_set(e, ENOMEM, "pmem");
	p->start = start;
	p->size = size;
	p->dev.ops = &ops;
	p->dev.n_queues = 1;
	p->dev.queue_size = QUEUE_SIZE;
	p->dev.features = VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX;
	pthread_mutex_init(&p->dev.lock, NULL);
	p->serve.dev = &p->dev;
	p->serve.one = pmem_one;
	p->serve.turn = TURN_MAX;
	if (virtio_serve_init(&p->serve, loop, e) < 0) {
		pmem_free(&p->dev);
		return -e->code;
	}
	*ret = &p->dev;
	return 0;
}
