/* SPDX-License-Identifier: MIT */
/* virtio_device.c - what all devices have in common: how they come and go */
#include "virtio_device.h"

void *virtio_device_new(size_t size, const struct virtio_device_ops *ops, uint64_t features,
			struct err *e)
{
	struct virtio_device *d = calloc(1, size);

	if (!d) {
		(void)err_set(e, ENOMEM, "%s", ops->name); /* said by NULL */
		return NULL;
	}
	d->ops = ops;
	d->features = VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | features;
	d->n_queues = ops->n_queues;
	d->queue_size = ops->queue_size;
	pthread_mutex_init(&d->lock, NULL);
	return d;
}

void virtio_device_free(struct virtio_device *d)
{
	if (!d)
		return;
	if (d->ops->free)
		d->ops->free(d);
	pthread_mutex_destroy(&d->lock);
	free(d);
}
