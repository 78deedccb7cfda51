/* SPDX-License-Identifier: MIT */
/*
 * io_record.c - a store that remembers, and rebuilds what a power cut could have left
 *
 * A hole is a write of zeros, and so is what a shorter length cuts off. `durable` is the store as
 * of a flush, moved ahead as rebuild() is asked for later ones (so ask in ascending order).
 */
#include "io_record.h"

#include <pthread.h>
#include <string.h>

#include "bytes.h"
#include "cleanup.h"
#include "prng.h"

struct event {
	enum { EVENT_WRITE, EVENT_PUNCH, EVENT_SIZE, EVENT_FLUSH } kind;
	uint64_t off, len;
	uint64_t size; /* of the store after it */
	uint8_t *data; /* EVENT_WRITE */
};

struct io_record {
	struct vhd_io io;
	struct vhd_io *inner;
	pthread_mutex_t lock;
	struct event *events;
	size_t n, cap;
	void (*on_flush)(void *ctx);
	void *on_flush_ctx;
	struct vhd_io *durable;
	size_t durable_n; /* events that `durable` has */
};

static void must(int rc)
{
	if (rc < 0)
		abort(); /* the memory store is large enough for all that tests do */
}

static struct io_record *of(struct vhd_io *io)
{
	return (struct io_record *)io;
}

static uint64_t size_of(struct vhd_io *io)
{
	uint64_t size = 0;

	must(io->ops->get_size(io, &size));
	return size;
}

static struct vhd_io *copy_of(struct vhd_io *io)
{
	struct vhd_io *copy = NULL;
	struct vhd_err e;

	must(vhd_io_memory_copy(io, &copy, &e));
	return copy;
}

static struct event *event_add(struct io_record *r, struct event ev)
{
	if (r->n == r->cap) {
		r->cap = r->cap ? 2 * r->cap : 256;
		r->events = reallocarray(r->events, r->cap, sizeof(*r->events));
		must(r->events ? 0 : -1);
	}
	ev.size = size_of(r->inner);
	r->events[r->n] = ev;
	return &r->events[r->n++];
}

static uint8_t *bytes_of(const struct iovec *iov, int n, uint64_t *ret_len)
{
	uint8_t *data;

	*ret_len = 0;
	for (int i = 0; i < n; i++)
		*ret_len += iov[i].iov_len;
	data = malloc(*ret_len + 1);
	must(data ? 0 : -1);
	*ret_len = 0;
	for (int i = 0; i < n; i++) {
		memcpy(data + *ret_len, iov[i].iov_base, iov[i].iov_len);
		*ret_len += iov[i].iov_len;
	}
	return data;
}

static int record_preadv(struct vhd_io *io, struct iovec *iov, int n, uint64_t off)
{
	return of(io)->inner->ops->preadv(of(io)->inner, iov, n, off);
}

static int record_pwritev(struct vhd_io *io, struct iovec *iov, int n, uint64_t off)
{
	struct io_record *r = of(io);
	struct event ev = { .kind = EVENT_WRITE, .off = off };
	int rc;

	ev.data = bytes_of(iov, n, &ev.len);
	pthread_mutex_lock(&r->lock);
	rc = r->inner->ops->pwritev(r->inner, iov, n, off);
	if (rc == 0)
		event_add(r, ev);
	else
		free(ev.data);
	pthread_mutex_unlock(&r->lock);
	return rc;
}

static int record_flush(struct vhd_io *io)
{
	struct io_record *r = of(io);

	pthread_mutex_lock(&r->lock);
	event_add(r, (struct event){ .kind = EVENT_FLUSH });
	pthread_mutex_unlock(&r->lock);
	if (r->on_flush)
		r->on_flush(r->on_flush_ctx);
	return 0;
}

static int record_get_size(struct vhd_io *io, uint64_t *ret_size)
{
	return of(io)->inner->ops->get_size(of(io)->inner, ret_size);
}

static int record_set_size(struct vhd_io *io, uint64_t size)
{
	struct io_record *r = of(io);
	uint64_t old;
	int rc;

	pthread_mutex_lock(&r->lock);
	old = size_of(r->inner);
	rc = r->inner->ops->set_size(r->inner, size);
	if (rc == 0 && size < old)
		event_add(r, (struct event){ .kind = EVENT_PUNCH, .off = size, .len = old - size });
	if (rc == 0)
		event_add(r, (struct event){ .kind = EVENT_SIZE });
	pthread_mutex_unlock(&r->lock);
	return rc;
}

static int record_punch(struct vhd_io *io, uint64_t off, uint64_t len)
{
	struct io_record *r = of(io);
	int rc;

	pthread_mutex_lock(&r->lock);
	rc = r->inner->ops->punch(r->inner, off, len);
	if (rc == 0)
		event_add(r, (struct event){ .kind = EVENT_PUNCH, .off = off, .len = len });
	pthread_mutex_unlock(&r->lock);
	return rc;
}

static int record_extent(struct vhd_io *io, uint64_t off, uint64_t *ret_len, bool *ret_is_data)
{
	return of(io)->inner->ops->extent(of(io)->inner, off, ret_len, ret_is_data);
}

static void record_close(struct vhd_io *io)
{
	(void)io; /* io_record_free() frees it: the record is wanted after the image is closed */
}

static const struct vhd_io_ops record_ops = {
	.preadv = record_preadv,
	.pwritev = record_pwritev,
	.flush = record_flush,
	.get_size = record_get_size,
	.set_size = record_set_size,
	.punch = record_punch,
	.extent = record_extent,
	.close = record_close,
};

struct io_record *io_record_new(struct vhd_io *inner)
{
	struct io_record *r = calloc(1, sizeof(*r));

	must(r ? 0 : -1);
	pthread_mutex_init(&r->lock, NULL);
	r->io.ops = &record_ops;
	r->io.name = inner->name;
	r->inner = inner;
	r->durable = copy_of(inner);
	return r;
}

struct vhd_io *io_record_io(struct io_record *r)
{
	return &r->io;
}

void io_record_on_flush(struct io_record *r, void (*fn)(void *ctx), void *ctx)
{
	r->on_flush = fn;
	r->on_flush_ctx = ctx;
}

void io_record_free(struct io_record *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->events[i].data);
	free(r->events);
	vhd_io_close(r->durable);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

size_t io_record_count(const struct io_record *r)
{
	return r->n;
}

bool io_record_is_flush(const struct io_record *r, size_t at)
{
	return r->events[at].kind == EVENT_FLUSH;
}

/* ---- rebuilding --------------------------------------------------------------------------- */

/* One sector's part of a write or hole; the length is seen to at the end. */
static void part_apply(struct vhd_io *to, const struct event *ev, uint64_t off, uint64_t len)
{
	struct iovec iov = { .iov_len = (size_t)len };

	if (ev->kind == EVENT_WRITE) {
		iov.iov_base = ev->data + (off - ev->off);
		must(to->ops->pwritev(to, &iov, 1, off));
	} else if (off < size_of(to)) {
		must(to->ops->punch(to, off, MIN_OF(len, size_of(to) - off)));
	}
}

static size_t sectors_of(const struct event *ev)
{
	if (ev->len == 0 || (ev->kind != EVENT_WRITE && ev->kind != EVENT_PUNCH))
		return 0;
	return (ev->off + ev->len - 1) / VHD_SECTOR - ev->off / VHD_SECTOR + 1;
}

/* Sectors [from, to) of the event, counted from its first. */
static void sectors_apply(struct vhd_io *io, const struct event *ev, size_t from, size_t to)
{
	uint64_t first = ev->off / VHD_SECTOR;
	uint64_t begin = MAX_OF(ev->off, (first + from) * VHD_SECTOR);
	uint64_t end = MIN_OF(ev->off + ev->len, (first + to) * VHD_SECTOR);

	if (begin < end)
		part_apply(io, ev, begin, end - begin);
}

/* Each sector or not. In a long hole runs of them, or it would take minutes. */
static void sectors_pick(struct vhd_io *io, const struct event *ev, uint64_t *seed)
{
	size_t n = sectors_of(ev), step = n > 64 ? n / 16 : 1;

	for (size_t i = 0; i < n; i += step)
		if (prng_next(seed) & 1)
			sectors_apply(io, ev, i, MIN_OF(n, i + step));
}

static void torn_apply(struct vhd_io *io, const struct event *ev, uint64_t *seed)
{
	size_t n = sectors_of(ev), cut = prng_below(seed, n + 1);

	if (prng_next(seed) & 1)
		sectors_apply(io, ev, 0, cut);
	else
		sectors_apply(io, ev, cut, n);
}

static void event_apply(struct vhd_io *io, const struct event *ev, enum io_crash c, bool is_last,
			uint64_t *seed)
{
	size_t n = sectors_of(ev);
	bool is_kept = true;

	switch (c) {
	case IO_CRASH_SECTORS:
		sectors_pick(io, ev, seed);
		return;
	case IO_CRASH_TORN:
		torn_apply(io, ev, seed);
		return;
	case IO_CRASH_NONE:
	case IO_CRASH_SIZE:
		is_kept = false;
		break;
	case IO_CRASH_NEWEST:
		is_kept = is_last;
		break;
	case IO_CRASH_OLDEST:
		is_kept = !is_last;
		break;
	case IO_CRASH_CALLS:
		is_kept = prng_next(seed) & 1;
		break;
	default:
		break;
	}
	if (is_kept)
		sectors_apply(io, ev, 0, n);
}

/* What is durable at the flush before call `count`, and that flush's place. */
static void durable_advance(struct io_record *r, size_t count)
{
	size_t flush = count;

	while (flush > 0 && r->events[flush - 1].kind != EVENT_FLUSH)
		flush--;
	if (flush < r->durable_n)
		abort(); /* asked for in descending order */
	for (; r->durable_n < flush; r->durable_n++) {
		const struct event *ev = &r->events[r->durable_n];

		sectors_apply(r->durable, ev, 0, sectors_of(ev));
		must(r->durable->ops->set_size(r->durable, ev->size));
	}
}

static uint64_t size_pick(const struct io_record *r, size_t count, enum io_crash c, uint64_t *seed)
{
	size_t first = r->durable_n, pick;

	if (first == count || c == IO_CRASH_NONE || c == IO_CRASH_DATA)
		return size_of(r->durable);
	if (c == IO_CRASH_CALLS || c == IO_CRASH_SECTORS || c == IO_CRASH_TORN) {
		pick = first + prng_below(seed, count - first + 1);
		return pick == first ? size_of(r->durable) : r->events[pick - 1].size;
	}
	return r->events[count - 1].size;
}

struct vhd_io *io_record_rebuild(struct io_record *r, size_t count, enum io_crash c, uint64_t seed)
{
	struct vhd_io *io;
	uint64_t size;

	durable_advance(r, count);
	io = copy_of(r->durable);
	size = size_pick(r, count, c, &seed);
	/* Holes are within the length: the longest first, cut at the end. */
	for (size_t i = r->durable_n; i < count; i++)
		if (r->events[i].size > size_of(io))
			must(io->ops->set_size(io, r->events[i].size));
	for (size_t i = r->durable_n; i < count; i++)
		event_apply(io, &r->events[i], c, i == count - 1, &seed);
	must(io->ops->set_size(io, size));
	return io;
}

const char *io_crash_name(enum io_crash c)
{
	static const char *const names[] = { "all",  "none",  "newest",  "oldest", "size",
					     "data", "calls", "sectors", "torn" };

	_Static_assert(ARRAY_SIZE(names) == IO_CRASH_COUNT_, "a name for each");
	return names[c];
}
