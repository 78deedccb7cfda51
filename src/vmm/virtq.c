/* SPDX-License-Identifier: MIT */
/*
 * virtq.c - [U] the only code that reads or writes a guest's rings
 *
 * Hostile: all of the rings, at any moment; a field is loaded once, and the copy is checked and
 * used. A saved queue.
 * Invariants: I1 a ready queue's rings lie in guest memory, aligned, and its size is a power of two
 *   of at most VIRTQ_SIZE_MAX: addresses and size do not change while it is ready, and memory that
 *   virtq_uses() is not taken away.  I2 a head or
 *   next index is < size before it indexes anything.  I3 a chain has at most `size` descriptors,
 *   and at most VIRTQ_CHAIN_MAX, so that a loop ends.  I4 each buffer given out is not empty and
 *   lies in one memory slot; one to be read may lie in read-only memory.  I5 at most `size`
 * requests are in flight.  I6 nothing of a broken queue is read or written. Threads: the caller
 * serialises; the driver runs beside us, so indices are loaded with acquire and stored with release
 * order. Memory: none is allocated. Pointers into guest memory are kept by nobody but a chain's
 * user.
 */
#include "virtq.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#include "bytes.h"
#include "iov.h"

/* [virtio 1.2, 2.7.5, 2.7.6, 2.7.8] */
#define DESC_SIZE          16U
#define DESC_NEXT          1U
#define DESC_WRITE         2U
#define DESC_INDIRECT      4U
#define RING_IDX           2U /* of both rings: flags, then idx, then elements */
#define RING_HEADER        4U
#define AVAIL_NO_INTERRUPT 1U
#define USED_NO_NOTIFY     1U
#define USED_ELEM          8U

#define SAVED_EVENT_IDX    1U
#define SAVED_READY        2U
#define SAVED_BROKEN       4U
#define SAVED_ALL          7U

static uint64_t avail_bytes(uint16_t size)
{
	return RING_HEADER + 2ULL * size + 2;
}

static uint64_t used_bytes(uint16_t size)
{
	return RING_HEADER + (uint64_t)USED_ELEM * size + 2;
}

/* Where the other side says at which index it wants to be told: behind the elements. */
static uint64_t used_event_at(const struct virtq *q)
{
	return q->avail + avail_bytes(q->size) - 2;
}

static uint64_t avail_event_at(const struct virtq *q)
{
	return q->used + used_bytes(q->size) - 2;
}

static void *ring_at(const struct virtq *q, uint64_t gpa, uint64_t len)
{
	void *p = guest_span(q->mem, gpa, len);

	assert(p); /* I1 */
	return p;
}

/* One load each: what was checked is what is used. */
static uint16_t ring_load16(const struct virtq *q, uint64_t gpa)
{
	return le16toh(__atomic_load_n((const uint16_t *)ring_at(q, gpa, 2), __ATOMIC_ACQUIRE));
}

static void ring_store16(const struct virtq *q, uint64_t gpa, uint16_t v)
{
	uint16_t *p = ring_at(q, gpa, 2);

	__atomic_store_n(p, htole16(v), __ATOMIC_RELEASE);
	guest_wrote(q->mem, p, 2);
}

static void ring_store32(const struct virtq *q, uint64_t gpa, uint32_t v)
{
	uint32_t *p = ring_at(q, gpa, 4);

	__atomic_store_n(p, htole32(v), __ATOMIC_RELAXED);
	guest_wrote(q->mem, p, 4);
}

static bool is_usable(const struct virtq *q)
{
	return q->is_ready && !q->is_broken;
}

static int virtq_break(struct virtq *q)
{
	q->is_broken = true;
	return -EPROTO;
}

static int ring_check(const struct virtq *q, uint64_t gpa, uint64_t len, uint64_t align,
		      struct err *e)
{
	if (gpa % align || !guest_span(q->mem, gpa, len))
		return err_plain(e, EINVAL, "a queue's ring at 0x%llx is not in memory",
				 (unsigned long long)gpa);
	return 0;
}

static int rings_check(const struct virtq *q, struct err *e)
{
	if (q->size == 0 || q->size > VIRTQ_SIZE_MAX || q->size & (q->size - 1))
		return err_plain(e, EINVAL, "a queue of size %u", q->size);
	if (ring_check(q, q->desc, (uint64_t)DESC_SIZE * q->size, 16, e) < 0 ||
	    ring_check(q, q->avail, avail_bytes(q->size), 2, e) < 0 ||
	    ring_check(q, q->used, used_bytes(q->size), 4, e) < 0)
		return -e->code;
	return 0;
}

int virtq_start(struct virtq *q, const struct guest_memory *mem, bool has_event_idx, struct err *e)
{
	q->mem = mem;
	if (rings_check(q, e) < 0)
		return -e->code;
	q->next_avail = q->next_used = q->signalled_used = 0;
	q->has_event_idx = has_event_idx;
	q->is_broken = false;
	q->is_ready = true;
	return 0;
}

void virtq_reset(struct virtq *q)
{
	*q = (struct virtq){ .mem = q->mem, .only_names = q->only_names };
}

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

static struct desc desc_load(const struct virtq *q, uint16_t i)
{
	const uint64_t *p = ring_at(q, q->desc + (uint64_t)DESC_SIZE * i, DESC_SIZE);
	uint64_t addr = le64toh(__atomic_load_n(&p[0], __ATOMIC_RELAXED));
	uint64_t rest = le64toh(__atomic_load_n(&p[1], __ATOMIC_RELAXED));

	return (struct desc){ addr, (uint32_t)rest, (uint16_t)(rest >> 32),
			      (uint16_t)(rest >> 48) };
}

/* Add one descriptor's buffer; false when that breaks a rule. */
static bool chain_add(struct virtq_chain *c, const struct virtq *q, const struct desc *d)
{
	bool is_in = d->flags & DESC_WRITE;
	void *p;

	if (d->flags & DESC_INDIRECT)
		return false;
	if (!is_in && c->n_in > 0) /* [2.7.4.2] what is written comes after what is read */
		return false;
	if (d->len == 0)
		return true;
	if (d->len > UINT32_MAX - c->len_out - c->len_in) /* [2.7.5.2] */
		return false;
	p = is_in ? guest_span(q->mem, d->addr, d->len)
		  : (void *)(uintptr_t)guest_span_read(q->mem, d->addr, d->len);
	if (!p)
		return false;
	if (is_in && !q->only_names)
		guest_wrote(q->mem, p, d->len);
	c->iov[c->n_out + c->n_in] = (struct iovec){ p, d->len };
	c->n_out = (uint16_t)(c->n_out + !is_in);
	c->n_in = (uint16_t)(c->n_in + is_in);
	*(is_in ? &c->len_in : &c->len_out) += d->len;
	return true;
}

static bool chain_load(struct virtq_chain *c, const struct virtq *q)
{
	unsigned int most = MIN_OF(q->size, VIRTQ_CHAIN_MAX);
	struct desc d = { .flags = DESC_NEXT, .next = c->head };

	for (unsigned int i = 0; d.flags & DESC_NEXT; i++) {
		if (i >= most || d.next >= q->size)
			return false;
		d = desc_load(q, d.next);
		if (!chain_add(c, q, &d))
			return false;
	}
	return true;
}

/* How many requests wait; more than `size` when the driver's index cannot be. */
static uint16_t waiting(const struct virtq *q)
{
	return (uint16_t)(ring_load16(q, q->avail + RING_IDX) - q->next_avail);
}

/* Nothing waits: a device that stops here is told of the next request, even if it never calls
 * virtq_kicks_set(), which without EVENT_IDX is how a ring begins. Then looks again. */
static uint16_t waiting_or_armed(const struct virtq *q)
{
	uint16_t n = waiting(q);

	if (n > 0 || !q->has_event_idx)
		return n;
	ring_store16(q, avail_event_at(q), q->next_avail);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return waiting(q);
}

int virtq_pop(struct virtq *q, struct virtq_chain *ret)
{
	uint16_t n, slot;

	ret->n_out = ret->n_in = 0;
	ret->len_out = ret->len_in = 0;
	if (q->is_broken)
		return -EPROTO;
	if (!q->is_ready)
		return 0;
	n = waiting_or_armed(q);
	if (n == 0)
		return 0;
	if (n > q->size || (uint16_t)(q->next_avail - q->next_used) >= q->size)
		return virtq_break(q);
	slot = q->next_avail & (uint16_t)(q->size - 1);
	ret->head = ring_load16(q, q->avail + RING_HEADER + 2ULL * slot);
	if (!chain_load(ret, q)) {
		ret->n_out = ret->n_in = 0;
		ret->len_out = ret->len_in = 0;
		return virtq_break(q);
	}
	q->next_avail++;
	return 1;
}

bool virtq_has_work(const struct virtq *q)
{
	return is_usable(q) && waiting(q) != 0;
}

void virtq_unpop(struct virtq *q, uint16_t n)
{
	assert((uint16_t)(q->next_avail - q->next_used) >= n);
	q->next_avail = (uint16_t)(q->next_avail - n);
}

void virtq_push(struct virtq *q, uint16_t head, uint32_t written)
{
	virtq_push_many(q, &(struct virtq_used){ head, written }, 1);
}

void virtq_push_many(struct virtq *q, const struct virtq_used *used, uint16_t n)
{
	if (!is_usable(q))
		return;
	assert(n > 0 && n <= q->size);
	for (uint16_t i = 0; i < n; i++) {
		uint64_t slot = q->next_used & (q->size - 1U);
		uint64_t at = q->used + RING_HEADER + USED_ELEM * slot;

		assert(used[i].head < q->size);
		ring_store32(q, at, used[i].head);
		ring_store32(q, at + 4, used[i].written);
		q->next_used++;
	}
	ring_store16(q, q->used + RING_IDX, q->next_used); /* shows all of them */
}

bool virtq_needs_signal(struct virtq *q)
{
	uint16_t old = q->signalled_used, now = q->next_used, event;

	if (!is_usable(q) || old == now)
		return false;
	q->signalled_used = now;
	/* The driver sets its wish, then looks at the index; we the other way round. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!q->has_event_idx)
		return !(ring_load16(q, q->avail) & AVAIL_NO_INTERRUPT);
	/* [2.7.7.2] Was the index `event` passed on the way from `old` to `now`? All mod 2^16. */
	event = ring_load16(q, used_event_at(q));
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

void virtq_kicks_set(struct virtq *q, bool is_wanted)
{
	if (!is_usable(q))
		return;
	if (!q->has_event_idx)
		ring_store16(q, q->used, (uint16_t)(is_wanted ? 0 : USED_NO_NOTIFY));
	else if (is_wanted)
		ring_store16(q, avail_event_at(q), q->next_avail);
	/* else: the old event lies behind, which asks for nothing for another 2^16 requests */
	if (is_wanted) /* before the caller looks once more */
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static bool overlap(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	return a < b ? b - a < a_len : a - b < b_len;
}

bool virtq_uses(const struct virtq *q, uint64_t gpa, uint64_t len)
{
	return q->is_ready && (overlap(q->desc, (uint64_t)DESC_SIZE * q->size, gpa, len) ||
			       overlap(q->avail, avail_bytes(q->size), gpa, len) ||
			       overlap(q->used, used_bytes(q->size), gpa, len));
}

bool virtq_chain_uses(const struct virtq_chain *c, const void *p, size_t len)
{
	for (unsigned int i = 0; i < (unsigned int)c->n_out + c->n_in; i++)
		if (overlap((uintptr_t)c->iov[i].iov_base, c->iov[i].iov_len, (uintptr_t)p, len))
			return true;
	return false;
}

/* Between `data` and the bytes from `off` on of n buffers. How many. */
static size_t copy(const struct iovec *iov, unsigned int n, size_t off, uint8_t *data, size_t len,
		   enum iov_direction dir)
{
	size_t done = 0;

	for (unsigned int i = 0; i < n && done < len; i++) {
		size_t skip = MIN_OF(off, iov[i].iov_len);
		size_t part = MIN_OF(iov[i].iov_len - skip, len - done);
		uint8_t *at = (uint8_t *)iov[i].iov_base + skip;

		if (dir == IOV_READ)
			memcpy(data + done, at, part);
		else
			memcpy(at, data + done, part);
		off -= skip;
		done += part;
	}
	return done;
}

size_t virtq_chain_read(const struct virtq_chain *c, size_t off, void *data, size_t len)
{
	return copy(c->iov, c->n_out, off, data, len, IOV_READ);
}

size_t virtq_chain_write(const struct virtq_chain *c, size_t off, const void *data, size_t len)
{
	return copy(c->iov + c->n_out, c->n_in, off, (void *)(uintptr_t)data, len, IOV_WRITE);
}

void virtq_chain_wrote(const struct virtq *q, const struct virtq_chain *c)
{
	for (unsigned int i = 0; i < c->n_in; i++)
		guest_wrote(q->mem, c->iov[c->n_out + i].iov_base, c->iov[c->n_out + i].iov_len);
}

void virtq_save(const struct virtq *q, struct state_out *s)
{
	state_put_u16(s, q->size);
	state_put_u64(s, q->desc);
	state_put_u64(s, q->avail);
	state_put_u64(s, q->used);
	state_put_u16(s, q->next_avail);
	state_put_u16(s, q->next_used);
	state_put_u16(s, q->signalled_used);
	state_put_u8(s, (uint8_t)((q->has_event_idx ? SAVED_EVENT_IDX : 0) |
				  (q->is_ready ? SAVED_READY : 0) |
				  (q->is_broken ? SAVED_BROKEN : 0)));
}

/* Whether the indices and flags can be those of a queue: one that is not ready has none. */
static bool is_possible(const struct virtq *q)
{
	if (!q->is_ready)
		return !q->is_broken && !q->has_event_idx && q->next_avail == 0 &&
		       q->next_used == 0 && q->signalled_used == 0;
	return (uint16_t)(q->next_avail - q->next_used) <= q->size; /* I5 */
}

int virtq_load(struct virtq *q, const struct guest_memory *mem, struct state_in *s, struct err *e)
{
	struct virtq new = { .mem = mem, .only_names = q->only_names };
	uint8_t flags;

	new.size = state_get_u16(s);
	new.desc = state_get_u64(s);
	new.avail = state_get_u64(s);
	new.used = state_get_u64(s);
	new.next_avail = state_get_u16(s);
	new.next_used = state_get_u16(s);
	new.signalled_used = state_get_u16(s);
	flags = state_get_u8(s);
	new.has_event_idx = flags &SAVED_EVENT_IDX;
	new.is_ready = flags &SAVED_READY;
	new.is_broken = flags &SAVED_BROKEN;
	if (s->has_failed || flags > SAVED_ALL || !is_possible(&new))
		return err_plain(e, EINVAL, "not a saved queue");
	if (new.is_ready && rings_check(&new, e) < 0)
		return -e->code;
	*q = new;
	return 0;
}
