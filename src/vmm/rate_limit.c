/* SPDX-License-Identifier: MIT */
/*
 * rate_limit.c - so many bytes and operations a second, with bursts
 *
 * Invariants: I1 -AMOUNT_MAX <= level <= burst <= AMOUNT_MAX, so that no sum of two overflows.
 * #syscalls:vmm clock_gettime
 */
#include "rate_limit.h"

#include <time.h>

#include "cleanup.h"
#include "loop.h"

#define NS_PER_S   1000000000ULL
#define AMOUNT_MAX (INT64_MAX / 4)
#define WAIT_MAX_S 3600U /* of one timer; it then looks again */

static int64_t amount(uint64_t v)
{
	return (int64_t)MIN_OF(v, (uint64_t)AMOUNT_MAX);
}

static void bucket_init(struct rate_bucket *b, uint64_t per_s, uint64_t burst)
{
	*b = (struct rate_bucket){ .per_s = (uint64_t)amount(per_s),
				   .burst = amount(burst ? burst : per_s) };
	b->level = b->burst;
}

void rate_limit_init(struct rate_limit *r, const struct rate_limit_options *o, uint64_t now_ns)
{
	bucket_init(&r->bytes, o->bytes_per_s, o->bytes_burst);
	bucket_init(&r->ops, o->ops_per_s, o->ops_burst);
	r->last_ns = now_ns;
}

static void bucket_fill(struct rate_bucket *b, uint64_t ns)
{
	/* < 2^62 * 2^64: fits */
	unsigned __int128 gain = (unsigned __int128)b->per_s * ns + b->part;

	if (gain / NS_PER_S >= (uint64_t)(b->burst - b->level)) {
		b->level = b->burst;
		b->part = 0;
		return;
	}
	b->level += (int64_t)(gain / NS_PER_S);
	b->part = (uint32_t)(gain % NS_PER_S);
}

/* Until the level is above zero. */
static uint64_t bucket_wait(const struct rate_bucket *b)
{
	unsigned __int128 ns;

	if (b->per_s == 0 || b->level > 0)
		return 0;
	ns = (unsigned __int128)(uint64_t)(1 - b->level) * NS_PER_S - b->part;
	ns = (ns + b->per_s - 1) / b->per_s;
	return ns > UINT64_MAX ? UINT64_MAX : (uint64_t)ns;
}

static void bucket_take(struct rate_bucket *b, uint64_t n)
{
	if (b->per_s != 0)
		b->level -= amount(n);
}

uint64_t rate_limit_wait(struct rate_limit *r, uint64_t now_ns)
{
	if (now_ns > r->last_ns) {
		bucket_fill(&r->bytes, now_ns - r->last_ns);
		bucket_fill(&r->ops, now_ns - r->last_ns);
		r->last_ns = now_ns;
	}
	return MAX_OF(bucket_wait(&r->bytes), bucket_wait(&r->ops));
}

void rate_limit_charge(struct rate_limit *r, uint64_t bytes)
{
	bucket_take(&r->bytes, bytes);
	bucket_take(&r->ops, 1);
}

uint64_t rate_limit_take(struct rate_limit *r, uint64_t bytes, uint64_t now_ns)
{
	uint64_t wait = rate_limit_wait(r, now_ns);

	if (wait == 0)
		rate_limit_charge(r, bytes);
	return wait;
}

uint64_t rate_limit_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint32_t rate_limit_ms(uint64_t wait_ns)
{
	uint64_t ms = wait_ns / 1000000 + 1;

	return (uint32_t)MIN_OF(ms, (uint64_t)WAIT_MAX_S * 1000);
}

bool rate_limit_stops(struct rate_limit *r, struct loop_timer *again)
{
	uint64_t wait_ns = rate_limit_is_on(r) ? rate_limit_wait(r, rate_limit_now()) : 0;

	if (wait_ns > 0)
		loop_timer_arm(again, rate_limit_ms(wait_ns));
	return wait_ns > 0;
}
