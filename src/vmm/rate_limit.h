/* SPDX-License-Identifier: MIT */
/*
 * rate_limit.h - so many bytes and operations a second, with bursts
 *
 * Two token buckets. Who finds both above zero may do one operation of any size; what it takes too
 * much is a debt that the next one waits for. So no operation is too large to ever be done. Pure:
 * the time is an argument (CLOCK_MONOTONIC in ns; one that goes back is as one that stands). The
 * caller serialises.
 */
#ifndef RATE_LIMIT_H
#define RATE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

struct loop_timer;

struct rate_limit_options {              /* all zero: no limit */
	uint64_t bytes_per_s, ops_per_s; /* 0: no limit of that kind */
	uint64_t bytes_burst, ops_burst; /* done at once after a rest; 0: what a second gives */
};

struct rate_bucket {
	uint64_t per_s; /* 0: no limit */
	int64_t burst;  /* the most that `level` is */
	int64_t level;  /* negative: a debt */
	uint32_t part;  /* of a token that time has already given, in 1 / 10^9 */
};

struct rate_limit {
	struct rate_bucket bytes, ops;
	uint64_t last_ns;
};

/* Begins with full buckets. */
void rate_limit_init(struct rate_limit *r, const struct rate_limit_options *o, uint64_t now_ns);

static inline bool rate_limit_is_on(const struct rate_limit *r)
{
	return r->bytes.per_s != 0 || r->ops.per_s != 0;
}

/* How many ns until an operation may be done; 0: now. Takes nothing: for who does not know yet how
 * large it is. */
uint64_t rate_limit_wait(struct rate_limit *r, uint64_t now_ns);

/* Take one operation of `bytes`, for which there was nothing to wait. */
void rate_limit_charge(struct rate_limit *r, uint64_t bytes);

/* One operation of `bytes`: 0, and it is taken; or the ns to wait, and nothing is taken. */
uint64_t rate_limit_take(struct rate_limit *r, uint64_t bytes, uint64_t now_ns);

/* CLOCK_MONOTONIC; and what a loop's timer is armed with to wait that long, at least 1. */
uint64_t rate_limit_now(void);
uint32_t rate_limit_ms(uint64_t wait_ns);

/* Whether the next operation has to wait now; the timer, armed here, says for how long. */
bool rate_limit_stops(struct rate_limit *r, struct loop_timer *again);

#endif
