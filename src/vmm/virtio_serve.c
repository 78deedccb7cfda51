/* SPDX-License-Identifier: MIT */
/*
 * virtio_serve.c - queues of devices whose requests are done at once
 *
 * Invariants: I1 a queue has no kicks wanted only while its bit of `waiting` is set and the timer
 *   runs, or a pause holds it back.
 */
#include "virtio_serve.h"

static struct virtio_serve *serve_of(struct virtio_device *d)
{
	return (struct virtio_serve *)d;
}

/* True when nothing is left, and the driver was asked for kicks. */
static bool queue_serve(struct virtio_serve *s, unsigned int queue)
{
	const struct virtio_device_ops *ops = s->dev.ops;
	struct virtq *q = &s->dev.queues[queue];
	bool is_done = false;

	virtq_kicks_set(q, false);
	for (uint32_t n = 0; n < ops->turn && !is_done; n++) {
		if (virtq_pop(q, &s->chain) == 1) {
			virtq_push(q, s->chain.head, ops->one(&s->dev, queue, &s->chain));
			continue;
		}
		virtq_kicks_set(q, true);
		is_done = !virtq_has_work(q); /* nothing came in between; or it is broken */
	}
	virtio_device_tell(&s->dev, q);
	return is_done;
}

static void serve_all(struct virtio_serve *s)
{
	if (s->dev.is_paused)
		return;
	if (!s->dev.is_active)
		s->waiting = 0; /* of a driver that is gone */
	for (unsigned int i = 0; i < s->dev.n_queues; i++)
		if (s->waiting & 1U << i && queue_serve(s, i))
			s->waiting &= ~(1U << i);
	if (s->waiting)
		loop_timer_arm(s->timer, 0);
}

static void on_timer(void *arg)
{
	struct virtio_serve *s = arg;

	pthread_mutex_lock(&s->dev.lock);
	serve_all(s);
	pthread_mutex_unlock(&s->dev.lock);
}

void *virtio_serve_new(size_t size, const struct virtio_device_ops *ops, uint64_t features,
		       struct loop *loop, struct err *e)
{
	struct virtio_serve *s = virtio_device_new(size, ops, features, e);

	if (s && loop_timer_new(loop, on_timer, s, &s->timer, e) < 0) {
		virtio_device_free(&s->dev);
		return NULL;
	}
	return s;
}

void virtio_serve_kick(struct virtio_device *d, unsigned int queue)
{
	if (queue >= d->n_queues)
		return;
	serve_of(d)->waiting |= 1U << queue;
	serve_all(serve_of(d));
}

void virtio_serve_resume(struct virtio_device *d)
{
	serve_all(serve_of(d));
}

void virtio_serve_free(struct virtio_device *d)
{
	loop_timer_drop(serve_of(d)->timer);
}
