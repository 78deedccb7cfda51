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

/* What virtio_mmio_save() wrote; nothing of it is in use before all of it was checked. */
struct saved {
	uint32_t id, n_queues, status;
	uint32_t features_sel, driver_sel, queue_sel;
	uint64_t driver_features;
	uint32_t interrupt_status, generation;
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

static bool features_are_reachable(const struct virtio_mmio *t, const struct saved *v)
{
	if (v->status & S_FEATURES_OK)
		return mmio_features_are_fine(t, v->driver_features);
	return v->status & S_DRIVER || v->driver_features == 0;
}

static bool queue_is_reachable(const struct virtio_mmio *t, const struct saved *v,
			       const struct virtq *q)
{
	bool has_event_idx = v->driver_features & VIRTIO_F_EVENT_IDX;

	if (!(v->status & S_FEATURES_OK))
		return q->size == 0 && !q->is_ready && !(q->desc | q->avail | q->used);
	if (!(v->status & S_DRIVER_OK) && (q->is_broken || q->next_avail || q->next_used))
		return false;
	if (v->status & S_DRIVER_OK && v->status & S_NEEDS_RESET && q->is_ready && !q->is_broken)
		return false; /* virtio_device_break() */
	return q->size <= t->dev->queue_size && (!q->is_ready || q->has_event_idx == has_event_idx);
}

static int saved_queues_get(const struct virtio_mmio *t, struct saved *v, struct state_in *s,
			    struct err *e)
{
	for (uint32_t i = 0; i < t->dev->n_queues; i++) {
		if (virtq_load(&v->queues[i], t->mem, s, e) < 0)
			return err_wrap(e, "%s: queue %u", t->dev->ops->name, i);
		if (!queue_is_reachable(t, v, &v->queues[i]))
			return err_plain(e, EINVAL, "%s: queue %u is in no such state",
					 t->dev->ops->name, i);
	}
	return 0;
}

static int saved_get(const struct virtio_mmio *t, struct saved *v, struct state_in *s,
		     struct err *e)
{
	const struct virtio_device *d = t->dev;

	v->id = state_get_u32(s);
	v->n_queues = state_get_u32(s);
	v->status = state_get_u32(s);
	v->features_sel = state_get_u32(s);
	v->driver_sel = state_get_u32(s);
	v->queue_sel = state_get_u32(s);
	v->driver_features = state_get_u64(s);
	v->interrupt_status = state_get_u32(s);
	v->generation = state_get_u32(s);
	if (s->has_failed || v->id != (uint32_t)d->ops->id || v->n_queues != d->n_queues)
		return err_plain(e, EINVAL, "%s: the state of something else", d->ops->name);
	if (!status_is_reachable(v->status) ||
	    v->interrupt_status > (INTERRUPT_QUEUE | INTERRUPT_CONFIG))
		return err_plain(e, EINVAL, "%s: status 0x%x", d->ops->name, v->status);
	if (!features_are_reachable(t, v))
		return err_plain(e, EINVAL, "%s: features 0x%llx", d->ops->name,
				 (unsigned long long)v->driver_features);
	return saved_queues_get(t, v, s, e);
}

static int saved_apply(struct virtio_mmio *t, const struct saved *v, struct state_in *s,
		       struct err *e)
{
	struct virtio_device *d = t->dev;

	/* First what the device's own signals, in load() or activate(), add to. */
	__atomic_store_n(&t->interrupt_status, v->interrupt_status, __ATOMIC_RELEASE);
	__atomic_store_n(&t->generation, v->generation, __ATOMIC_RELEASE);
	__atomic_store_n(&t->status, v->status & ~S_DRIVER_OK, __ATOMIC_RELEASE);
	t->features_sel = v->features_sel;
	t->driver_sel = v->driver_sel;
	t->queue_sel = v->queue_sel;
	t->driver_features = v->driver_features;
	d->agreed = v->status & S_FEATURES_OK ? v->driver_features : 0;
	for (uint32_t i = 0; i < d->n_queues; i++)
		d->queues[i] = v->queues[i];
	if (d->ops->load && d->ops->load(d, s, e) < 0)
		return err_wrap(e, "load %s", d->ops->name);
	if (s->has_failed)
		return err_plain(e, EINVAL, "load %s: cut short", d->ops->name);
	if (v->status & S_DRIVER_OK && mmio_activate(t, e) < 0)
		return -e->code;
	__atomic_fetch_or(&t->status, v->status & S_DRIVER_OK, __ATOMIC_ACQ_REL);
	return 0;
}

/* A failure leaves the device as after a reset. */
int virtio_mmio_load(struct virtio_mmio *t, struct state_in *s, struct err *e)
{
	struct saved v = { 0 };
	int rc;

	pthread_mutex_lock(&t->dev->lock);
	mmio_reset(t);
	rc = saved_get(t, &v, s, e);
	if (rc == 0)
		rc = saved_apply(t, &v, s, e);
	if (rc < 0)
		mmio_reset(t);
	pthread_mutex_unlock(&t->dev->lock);
	return rc;
}
