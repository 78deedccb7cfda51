/* SPDX-License-Identifier: MIT */
/*
 * virtio_mmio_state.c - [U] a transport and its device, saved and loaded
 *
 * Hostile: a saved state.
 * Invariants: I1 nothing of a saved state is in use before all of the transport's part was checked.
 *   I2 what was loaded is a state that writes to the registers reach too.
 * Threads: the device's lock is held.
 * Memory: none allocated.
 */
#include "virtio_mmio_internal.h"

void virtio_mmio_save(struct virtio_mmio *t, struct state_out *s)
{
	struct virtio_device *d = t->dev;

	pthread_mutex_lock(&d->lock);
	state_put_u32(s, d->ops->id);
	state_put_u32(s, d->n_queues);
	state_put_u32(s, mmio_status(t));
	state_put_u32(s, t->features_sel);
	state_put_u32(s, t->driver_sel);
	state_put_u32(s, t->queue_sel);
	state_put_u64(s, t->driver_features);
	state_put_u32(s, __atomic_load_n(&t->interrupt_status, __ATOMIC_ACQUIRE));
	state_put_u32(s, __atomic_load_n(&t->generation, __ATOMIC_ACQUIRE));
	for (uint32_t i = 0; i < d->n_queues; i++)
		virtq_save(&d->queues[i], s);
	if (d->ops->save)
		d->ops->save(d, s);
	pthread_mutex_unlock(&d->lock);
}

/* What virtio_mmio_save() wrote, in a copy: nothing of it is in use before all of it was checked.
 */
struct saved {
	struct virtio_mmio t;
	struct virtq queues[VIRTIO_QUEUES_MAX];
};

static bool status_is_reachable(uint32_t s)
{
	switch (s & ~(S_FAILED | S_NEEDS_RESET)) {
	case 0:
	case S_ACK:
	case IN_DRIVER:
		return !(s & S_NEEDS_RESET);
	case IN_FEATURES:
	case IN_DRIVER_OK:
		return true;
	default:
		return false;
	}
}

static bool features_are_reachable(const struct virtio_mmio *t)
{
	if (t->status & S_FEATURES_OK)
		return mmio_features_are_fine(t, t->driver_features);
	return t->status & S_DRIVER || t->driver_features == 0;
}

static bool queue_is_reachable(const struct virtio_mmio *t, const struct virtq *q)
{
	bool has_event_idx = t->driver_features & VIRTIO_F_EVENT_IDX;

	if (!(t->status & S_FEATURES_OK))
		return q->size == 0 && !q->is_ready && !(q->desc | q->avail | q->used);
	if (!(t->status & S_DRIVER_OK) && (q->is_broken || q->next_avail || q->next_used))
		return false;
	if (t->status & S_DRIVER_OK && t->status & S_NEEDS_RESET && q->is_ready && !q->is_broken)
		return false; /* virtio_device_break() */
	return q->size <= t->dev->queue_size && (!q->is_ready || q->has_event_idx == has_event_idx);
}

static int saved_queues_get(struct saved *v, struct state_in *s, struct err *e)
{
	const struct virtio_device *d = v->t.dev;

	memcpy(v->queues, d->queues, sizeof(v->queues));
	for (uint32_t i = 0; i < d->n_queues; i++) {
		if (virtq_load(&v->queues[i], v->t.mem, s, e) < 0)
			return err_wrap(e, "%s: queue %u", d->ops->name, i);
		if (!queue_is_reachable(&v->t, &v->queues[i]))
			return err_plain(e, EINVAL, "%s: queue %u is in no such state",
					 d->ops->name, i);
	}
	return 0;
}

static int saved_get(struct saved *v, struct state_in *s, struct err *e)
{
	const uint32_t id = state_get_u32(s), n_queues = state_get_u32(s);
	struct virtio_mmio *t = &v->t;
	const struct virtio_device *d = t->dev;

	t->status = state_get_u32(s);
	t->features_sel = state_get_u32(s);
	t->driver_sel = state_get_u32(s);
	t->queue_sel = state_get_u32(s);
	t->driver_features = state_get_u64(s);
	t->interrupt_status = state_get_u32(s);
	t->generation = state_get_u32(s);
	if (s->has_failed || id != (uint32_t)d->ops->id || n_queues != d->n_queues)
		return err_plain(e, EINVAL, "%s: the state of something else", d->ops->name);
	if (!status_is_reachable(t->status) ||
	    t->interrupt_status > (INTERRUPT_QUEUE | INTERRUPT_CONFIG))
		return err_plain(e, EINVAL, "%s: status 0x%x", d->ops->name, t->status);
	if (!features_are_reachable(t))
		return err_plain(e, EINVAL, "%s: features 0x%llx", d->ops->name,
				 (unsigned long long)t->driver_features);
	return saved_queues_get(v, s, e);
}

static int saved_apply(struct virtio_mmio *t, const struct saved *v, struct state_in *s,
		       struct err *e)
{
	const uint32_t driver_ok = v->t.status & S_DRIVER_OK;
	struct virtio_device *d = t->dev;

	*t = v->t; /* first, as the device's own signals in load() add to it */
	t->status &= ~S_DRIVER_OK;
	d->agreed = t->status & S_FEATURES_OK ? t->driver_features : 0;
	memcpy(d->queues, v->queues, sizeof(d->queues));
	if (d->ops->load && d->ops->load(d, s, e) < 0)
		return err_wrap(e, "load %s", d->ops->name);
	if (s->has_failed)
		return err_plain(e, EINVAL, "load %s: cut short", d->ops->name);
	d->is_active = driver_ok;
	__atomic_fetch_or(&t->status, driver_ok, __ATOMIC_ACQ_REL);
	return 0;
}

/* A failure leaves the device as after a reset. */
int virtio_mmio_load(struct virtio_mmio *t, struct state_in *s, struct err *e)
{
	struct saved v;
	int rc;

	pthread_mutex_lock(&t->dev->lock);
	mmio_reset(t);
	v.t = *t;
	rc = saved_get(&v, s, e);
	if (rc == 0)
		rc = saved_apply(t, &v, s, e);
	if (rc < 0)
		mmio_reset(t);
	pthread_mutex_unlock(&t->dev->lock);
	return rc;
}
