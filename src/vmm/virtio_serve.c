/* SPDX-License-Identifier: MIT */
/*
 * virtio_serve.c - queues of devices whose requests are done at once
 *
 * Invariants: I1 a queue has no kicks wanted only while its bit of `waiting` is set and the timer
 *   runs, or a pause holds it back.
 */
#include "virtio_serve.h"

/* True when nothing is left, and the driver was asked for kicks. */
static bool queue_serve(struct virtio_serve *s, unsigned int queue)
{
	struct virtq *q = &s->dev->queues[queue];
	bool is_done = false;

	virtq_kicks_set(q, false);
	for (uint32_t n = 0; n < s->turn && !is_done; n++) {
		if (virtq_pop(q, &s->chain) == 1) {
			virtq_push(q, s->chain.head, s->one(s->dev, queue, &s->chain));
			continue;
		}
		virtq_kicks_set(q, true);
		is_done = !virtq_has_work(q); /* nothing came in between; or it is broken */
	}
	virtio_device_tell(s->dev, q);
	return is_done;
}

static void serve_all(struct virtio_serve *s)
{
	if (s->is_paused)
		return;
	if (!s->dev->is_active)
		s->waiting = 0; /* of a driver that is gone */
	for (unsigned int i = 0; i < s->dev->n_queues; i++)
		if (s->waiting & 1U << i && queue_serve(s, i))
			s->waiting &= ~(1U << i);
	if (s->waiting)
		loop_timer_arm(s->timer, 0);
}

static void on_timer(void *arg)
{
	struct virtio_serve *s = arg;

	pthread_mutex_lock(&s->dev->lock);
	serve_all(s);
	pthread_mutex_unlock(&s->dev->lock);
}

int virtio_serve_init(struct virtio_serve *s, struct loop *loop, struct err *e)
{
	return loop_timer_new(loop, on_timer, s, &s->timer, e);
}

void virtio_serve_done(struct virtio_serve *s)
{
	loop_timer_drop(s->timer);
	s->timer = NULL;
}

void virtio_serve_kick(struct virtio_serve *s, unsigned int queue)
{
	if (queue >= s->dev->n_queues)
		return;
	s->waiting |= 1U << queue;
	serve_all(s);
}

void virtio_serve_pause(struct virtio_serve *s)
{
	s->is_paused = true;
}

void virtio_serve_resume(struct virtio_serve *s)
{
	s->is_paused = false;
	serve_all(s);
}
