/* SPDX-License-Identifier: MIT */
/* toy_device.c - a virtio device that gives back what it is sent */
#include "toy_device.h"

#include <assert.h>
#include <string.h>

static struct toy_device *toy_of(struct virtio_device *d)
{
	return (struct toy_device *)d;
}

static void toy_config_read(const struct virtio_device *d, uint8_t *raw)
{
	memcpy(raw, ((const struct toy_device *)d)->config, TOY_CONFIG);
}

static void toy_config_write(struct virtio_device *d, uint32_t off, const void *data, uint32_t len)
{
	for (uint32_t i = 0; i < len && off + i < TOY_CONFIG; i++)
		toy_of(d)->config[off + i] = ((const uint8_t *)data)[i];
}

static void toy_reset(struct virtio_device *d)
{
	toy_of(d)->n_reset++;
}

static uint32_t echo(const struct virtq_chain *c)
{
	uint8_t piece[64];
	size_t done = 0, n;

	do {
		n = virtq_chain_read(c, done, piece, sizeof(piece));
		n = virtq_chain_write(c, done, piece, n);
		done += n;
	} while (n > 0);
	return (uint32_t)done;
}

static void toy_kick(struct virtio_device *d, unsigned int queue)
{
	struct virtq *q = &d->queues[queue];
	struct virtq_chain c;
	int rc;

	assert(d->is_active && queue < d->n_queues && q->is_ready);
	toy_of(d)->n_kick++;
	while ((rc = virtq_pop(q, &c)) > 0)
		virtq_push(q, c.head, echo(&c));
	if (rc < 0)
		toy_of(d)->n_broken++;
	virtio_device_tell(d, q);
}

static void toy_pause(struct virtio_device *d)
{
	toy_of(d)->n_pause++;
}

static void toy_resume(struct virtio_device *d)
{
	toy_of(d)->n_resume++;
}

static void toy_save(struct virtio_device *d, struct state_out *s)
{
	state_put_u32(s, toy_of(d)->memory);
}

static int toy_load(struct virtio_device *d, struct state_in *s, struct err *e)
{
	uint32_t memory = state_get_u32(s);

	if (s->has_failed || memory & 1)
		return err_plain(e, EINVAL, "not a toy's memory");
	toy_of(d)->memory = memory;
	return 0;
}

static void toy_free(struct virtio_device *d)
{
	if (toy_of(d)->n_free)
		(*toy_of(d)->n_free)++;
}

static const struct virtio_device_ops toy_ops = {
	.id = VIRTIO_ID_RNG,
	.name = "toy",
	.n_queues = TOY_QUEUES,
	.queue_size = TOY_QUEUE_SIZE,
	.config_read = toy_config_read,
	.config_write = toy_config_write,
	.reset = toy_reset,
	.kick = toy_kick,
	.pause = toy_pause,
	.resume = toy_resume,
	.save = toy_save,
	.load = toy_load,
	.free = toy_free,
};

struct toy_device *toy_device_new(void)
{
	struct err e = { 0 };
	struct toy_device *toy = virtio_device_new(sizeof(*toy), &toy_ops, TOY_FEATURES, &e);

	assert(toy);
	return toy;
}
