/* SPDX-License-Identifier: MIT */
/*
 * virtio_blk.c - [U] a virtual disk [virtio 1.2, 5.2]: one queue over a back end
 *
 * A request lives in a slot, whose owner is
 *   FREE     nobody; it is in the list of free ones
 *   DEVICE   the code here, between a pop and its answer or its run
 *   ENGINE   the engine; the device gets it back in slot_done()
 * so that what the engine works on is never given away, whatever the driver does to its rings.
 *
 * The queue stops being served, with kicks unwanted, when all slots are taken (goes on after the
 * next completions), when a rate limit says so, or after TURN_MAX requests (both: goes on by the
 * timer).
 *
 * Hostile: the queue's contents (virtq.c, virtio_blk_plan.c); a saved state.
 * Invariants: I1 a slot is pushed once for each pop.  I2 when reset() or pause() returns, all slots
 *   are FREE.
 * Threads: all under the device's lock. Only reset() may come from another thread than the loop's,
 *   so it leaves the timer alone: one that fires for nothing does nothing.
 * Memory: none allocated after virtio_blk_new().
 */
#include "virtio_blk.h"

#include <assert.h>

#include "log.h"
#include "virtio_blk_plan.h"

#define BLK_SLOTS  64U
#define QUEUE_SIZE 256U
#define TURN_MAX   128U /* requests begun before others of the loop get their turn */

/* [5.2.3] */
#define BLK_F_SIZE_MAX     (1ULL << 1)
#define BLK_F_SEG_MAX      (1ULL << 2)
#define BLK_F_RO           (1ULL << 5)
#define BLK_F_BLK_SIZE     (1ULL << 6)
#define BLK_F_FLUSH        (1ULL << 9)
#define BLK_F_DISCARD      (1ULL << 13)
#define BLK_F_WRITE_ZEROES (1ULL << 14)
#define FEATURES           (BLK_F_SIZE_MAX | BLK_F_SEG_MAX | BLK_F_BLK_SIZE | BLK_F_FLUSH)

/* Configuration [5.2.4]: offsets of what is not zero. */
enum blk_config {
	CONFIG_CAPACITY = 0,
	CONFIG_SIZE_MAX = 8,
	CONFIG_SEG_MAX = 12,
	CONFIG_BLK_SIZE = 20,
	CONFIG_DISCARD_SECTORS = 36,
	CONFIG_DISCARD_SEG = 40,
	CONFIG_DISCARD_ALIGN = 44,
	CONFIG_ZERO_SECTORS = 48,
	CONFIG_ZERO_SEG = 52,
	CONFIG_ZERO_MAY_UNMAP = 56,
};

enum slot_owner { SLOT_FREE, SLOT_DEVICE, SLOT_ENGINE };

struct virtio_blk;

struct blk_slot {
	enum slot_owner owner;
	struct virtio_blk *disk;
	struct blk_slot *next_free;
	struct virtq_chain chain;
	struct blk_plan plan;
	struct blk_request request;
};

struct virtio_blk {
	struct virtio_device dev;   /* first */
	uint64_t n_reads, n_writes; /* atomic: read by any thread */
	struct blk_back *back;
	struct blk_engine *engine;
	struct loop_timer *timer;
	struct rate_limit limit;
	struct blk_disk disk;
	bool is_stalled;       /* no slot was free */
	bool is_limited;       /* the timer runs */
	bool is_config_news;   /* tell the driver at the next occasion */
	bool has_failed;       /* an error was logged */
	struct blk_slot *free; /* list */
	struct blk_slot slots[BLK_SLOTS];
};

static struct virtio_blk *blk_of(struct virtio_device *d)
{
	return (struct virtio_blk *)d;
}

/* ---- slots --------------------------------------------------------------------------------- */

static struct blk_slot *slot_take(struct virtio_blk *b)
{
	struct blk_slot *s = b->free;

	if (!s)
		return NULL;
	assert(s->owner == SLOT_FREE);
	b->free = s->next_free;
	s->owner = SLOT_DEVICE;
	return s;
}

static void slot_free(struct blk_slot *s)
{
	assert(s->owner == SLOT_DEVICE);
	s->owner = SLOT_FREE;
	s->next_free = s->disk->free;
	s->disk->free = s;
}

/* `written` counts from the first writable byte on without a gap, so a request that failed has none
 * but, by custom, the status. */
static void slot_answer(struct blk_slot *s, uint8_t status)
{
	uint32_t written = status == VIRTIO_BLK_S_OK ? s->plan.written : 0;

	*s->plan.status_byte = status;
	guest_wrote(s->disk->dev.queues[0].mem, s->plan.status_byte, 1);
	virtq_chain_wrote(&s->disk->dev.queues[0], &s->chain);
	virtq_push(&s->disk->dev.queues[0], s->chain.head, written + 1);
	slot_free(s);
}

static void slot_done(void *arg, int rc)
{
	struct blk_slot *s = arg;
	struct virtio_blk *b = s->disk;

	assert(s->owner == SLOT_ENGINE);
	s->owner = SLOT_DEVICE;
	if (rc < 0 && !b->has_failed) {
		b->has_failed = true; /* the guest could fill a log else */
		log_warn("disk %.20s: request %d of %llu bytes at %llu: %s", b->disk.serial,
			 (int)s->plan.io.op, (unsigned long long)s->plan.io.len,
			 (unsigned long long)s->plan.io.off, strerror(-rc));
	}
	slot_answer(s, (uint8_t)(rc < 0 ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK));
}

static void slot_run(struct blk_slot *s)
{
	struct virtio_blk *b = s->disk;

	s->request = (struct blk_request){ .io = s->plan.io, .done = slot_done, .arg = s };
	s->owner = SLOT_ENGINE;
	if (blk_engine_submit(b->engine, &s->request) < 0)
		slot_done(s, -EIO); /* cannot be: as many slots as its depth */
}

/* ---- the queue ----------------------------------------------------------------------------- */

static void limit_charge(struct virtio_blk *b, const struct blk_plan *p)
{
	const enum blk_op op = p->io.op;
	bool has_data = p->kind == BLK_PLAN_RUN && (op == BLK_OP_READ || op == BLK_OP_WRITE);

	if (has_data)
		__atomic_add_fetch(op == BLK_OP_READ ? &b->n_reads : &b->n_writes, 1,
				   __ATOMIC_RELAXED);
	rate_limit_charge(&b->limit, has_data ? p->io.len : 0);
}

static void slot_begin(struct virtio_blk *b, struct blk_slot *s)
{
	blk_plan_make(&s->plan, &s->chain, &b->disk);
	limit_charge(b, &s->plan);
	switch (s->plan.kind) {
	case BLK_PLAN_RUN:
		slot_run(s);
		break;
	case BLK_PLAN_ANSWER:
		slot_answer(s, s->plan.status);
		break;
	case BLK_PLAN_DROP:
		virtq_push(&b->dev.queues[0], s->chain.head, 0);
		slot_free(s);
		break;
	}
}

/* Begin one request; false when that is all for now. */
static bool serve_one(struct virtio_blk *b)
{
	struct virtq *q = &b->dev.queues[0];
	struct blk_slot *s;

	b->is_limited = rate_limit_stops(&b->limit, b->timer);
	if (b->is_limited)
		return false;
	s = slot_take(b);
	if (!s) {
		b->is_stalled = true;
		return false;
	}
	if (virtq_pop(q, &s->chain) == 1) {
		slot_begin(b, s);
		return true;
	}
	slot_free(s);
	virtq_kicks_set(q, true);
	return virtq_has_work(q); /* came in between; never in a broken queue */
}

static void blk_serve(struct virtio_blk *b)
{
	struct virtq *q = &b->dev.queues[0];
	unsigned int n = 0;

	if (!b->dev.is_active || b->dev.is_paused || b->is_limited || !q->is_ready)
		return;
	b->is_stalled = false;
	virtq_kicks_set(q, false);
	while (n < TURN_MAX && serve_one(b))
		n++;
	if (n == TURN_MAX) {
		b->is_limited = true;
		loop_timer_arm(b->timer, 0);
	}
	blk_engine_commit(b->engine);
	virtio_device_tell(&b->dev, q);
}

static void config_tell(struct virtio_blk *b)
{
	if (!b->is_config_news)
		return;
	b->is_config_news = false;
	b->dev.signal.config(b->dev.signal.arg);
}

static void blk_kick(struct virtio_device *d, unsigned int queue)
{
	(void)queue;
	config_tell(blk_of(d));
	blk_serve(blk_of(d));
}

/* The engine has completed some, on the loop. */
static void on_batch(void *arg)
{
	struct virtio_blk *b = arg;

	virtio_device_tell(&b->dev, &b->dev.queues[0]);
	if (b->is_stalled)
		blk_serve(b);
}

static void on_timer(void *arg)
{
	struct virtio_blk *b = arg;

	pthread_mutex_lock(&b->dev.lock);
	b->is_limited = false;
	blk_serve(b);
	pthread_mutex_unlock(&b->dev.lock);
}

/* ---- the device ---------------------------------------------------------------------------- */

static void blk_config_read(const struct virtio_device *d, uint8_t *raw)
{
	const struct virtio_blk *b = (const struct virtio_blk *)d;

	put_le64(raw + CONFIG_CAPACITY, b->disk.sectors);
	put_le32(raw + CONFIG_SIZE_MAX, BLK_SEGMENT_MAX);
	put_le32(raw + CONFIG_SEG_MAX, BLK_SEGMENTS_MAX);
	put_le32(raw + CONFIG_BLK_SIZE, BLK_SECTOR);
	if (!b->disk.is_readonly) {
		put_le32(raw + CONFIG_DISCARD_SECTORS, BLK_DISCARD_SECTORS);
		put_le32(raw + CONFIG_DISCARD_SEG, 1);
		put_le32(raw + CONFIG_DISCARD_ALIGN, 4096 / BLK_SECTOR); /* a hole of a file */
		put_le32(raw + CONFIG_ZERO_SECTORS, BLK_ZERO_SECTORS);
		put_le32(raw + CONFIG_ZERO_SEG, 1);
		raw[CONFIG_ZERO_MAY_UNMAP] = 1;
	}
}

static void blk_reset(struct virtio_device *d)
{
	struct virtio_blk *b = blk_of(d);

	blk_engine_drain(b->engine);
	b->is_stalled = false;
}

static void blk_pause(struct virtio_device *d)
{
	struct virtio_blk *b = blk_of(d);

	blk_engine_drain(b->engine);
	virtio_device_tell(d, &d->queues[0]);
}

static bool blk_uses(const struct virtio_device *d, const void *p, size_t len)
{
	const struct virtio_blk *b = (const struct virtio_blk *)d;

	for (size_t i = 0; i < BLK_SLOTS; i++)
		if (b->slots[i].owner != SLOT_FREE && virtq_chain_uses(&b->slots[i].chain, p, len))
			return true;
	return false;
}

static void blk_resume(struct virtio_device *d)
{
	struct virtio_blk *b = blk_of(d);

	if (d->is_active)
		config_tell(b);
	blk_serve(b);
}

static void blk_save(struct virtio_device *d, struct state_out *s)
{
	state_put_u64(s, blk_of(d)->disk.sectors);
	state_put_u8(s, blk_of(d)->disk.is_readonly);
}

/* The saved driver may have been given another disk. It hears of that with the first kick or
 * resume: whatever interrupts now may be overwritten by the rest of the saved state. */
static int blk_load(struct virtio_device *d, struct state_in *s, struct err *e)
{
	struct virtio_blk *b = blk_of(d);
	uint64_t sectors = state_get_u64(s);
	uint8_t is_readonly = state_get_u8(s);

	if (s->has_failed || is_readonly > 1)
		return err_plain(e, EINVAL, "not a saved disk");
	if (is_readonly != b->disk.is_readonly)
		return err_plain(e, EINVAL, "the saved disk was%s read-only",
				 is_readonly ? "" : " not");
	b->is_config_news = sectors != b->disk.sectors;
	return 0;
}

static void blk_free(struct virtio_device *d)
{
	struct virtio_blk *b = blk_of(d);

	if (b->engine) {
		pthread_mutex_lock(&d->lock);
		blk_engine_drain(b->engine);
		pthread_mutex_unlock(&d->lock);
	}
	blk_engine_free(b->engine);
	loop_timer_drop(b->timer);
	blk_back_free(b->back);
}

static const struct virtio_device_ops blk_ops = {
	.id = VIRTIO_ID_BLK,
	.name = "disk",
	.n_queues = 1,
	.queue_size = QUEUE_SIZE,
	.config_read = blk_config_read,
	.reset = blk_reset,
	.kick = blk_kick,
	.pause = blk_pause,
	.resume = blk_resume,
	.uses = blk_uses,
	.save = blk_save,
	.load = blk_load,
	.free = blk_free,
};

static void blk_fill(struct virtio_blk *b, const struct blk_back *back,
		     const struct virtio_blk_options *o)
{
	b->disk.sectors = back->size / BLK_SECTOR;
	b->disk.is_readonly = back->is_readonly;
	if (o->serial)
		memcpy(b->disk.serial, o->serial, strnlen(o->serial, sizeof(b->disk.serial)));
	rate_limit_init(&b->limit, &o->limit, rate_limit_now());
	for (unsigned int i = 0; i < BLK_SLOTS; i++) {
		b->slots[i].disk = b;
		b->slots[i].next_free = b->free;
		b->free = &b->slots[i];
	}
}

int virtio_blk_new(struct loop *loop, struct blk_back *back, const struct virtio_blk_options *o,
		   struct virtio_device **ret, struct err *e)
{
	const uint64_t kind = back->is_readonly ? BLK_F_RO : BLK_F_DISCARD | BLK_F_WRITE_ZEROES;
	struct virtio_blk *b = virtio_device_new(sizeof(*b), &blk_ops, FEATURES | kind, e);
	struct blk_engine_options engine = {
		.loop = loop,
		.back = back,
		.depth = BLK_SLOTS,
		.kind = o->kind,
		.starts_later = o->starts_later,
		.batch = on_batch,
		.arg = b,
	};

	if (!b)
		return -e->code;
	blk_fill(b, back, o);
	engine.lock = &b->dev.lock;
	if (loop_timer_new(loop, on_timer, b, &b->timer, e) < 0 ||
	    blk_engine_new(&engine, &b->engine, e) < 0) {
		virtio_device_free(&b->dev);
		return -e->code;
	}
	b->back = back;
	*ret = &b->dev;
	return 0;
}

int virtio_blk_set_back(struct virtio_device *d, struct blk_back *back, struct err *e)
{
	struct virtio_blk *b = blk_of(d);
	struct blk_back *old = b->back;

	assert(d->ops == &blk_ops);
	if (back->is_readonly && !b->disk.is_readonly)
		return err_plain(e, EROFS, "a read-only disk in the place of one that is written");
	pthread_mutex_lock(&d->lock);
	blk_engine_drain(b->engine);
	b->back = back;
	b->disk.sectors = back->size / BLK_SECTOR;
	blk_engine_set_back(b->engine, back);
	b->is_config_news = true;
	if (d->is_active && !b->dev.is_paused)
		config_tell(b);
	virtio_device_tell(d, &d->queues[0]);
	if (b->is_stalled)
		blk_serve(b);
	pthread_mutex_unlock(&d->lock);
	blk_back_free(old);
	return 0;
}

int virtio_blk_start(struct virtio_device *d, blk_thread_fn *begin, struct err *e)
{
	return blk_engine_start(blk_of(d)->engine, begin, e);
}

void virtio_blk_counts(struct virtio_device *d, uint64_t *io_reads, uint64_t *io_writes)
{
	*io_reads += __atomic_load_n(&blk_of(d)->n_reads, __ATOMIC_RELAXED);
	*io_writes += __atomic_load_n(&blk_of(d)->n_writes, __ATOMIC_RELAXED);
}

int virtio_blk_sync(struct virtio_device *d, struct err *e)
{
	int rc = blk_run(blk_of(d)->back, &(struct blk_io){ .op = BLK_OP_FLUSH });

	return rc < 0 ? err_set(e, -rc, "flush a disk") : 0;
}
