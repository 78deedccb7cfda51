/* SPDX-License-Identifier: MIT */
/* test_rate_limit.c - how long one waits for bytes and operations */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cleanup.h"
#include "rate_limit.h"

#define MS 1000000ULL
#define S  (1000 * MS)

/* One step each: at `now`, take `bytes`, expect to wait `want` (0: taken). */
struct step {
	uint64_t now, bytes, want;
};

static const struct {
	const char *what;
	struct rate_limit_options o;
	struct step steps[8];
	size_t n;
} rows[] = {
	{ "no limit", { 0 }, { { 0, UINT64_MAX, 0 }, { 0, 1 << 20, 0 }, { 0, 0, 0 } }, 3 },
	{ "burst, then so many a second",
	  { .bytes_per_s = 1000 },
	  { { 0, 1000, 0 }, { 0, 1, MS }, { MS - 1, 1, 1 }, { MS, 1, 0 }, { MS, 1, MS } },
	  5 },
	{ "larger than the burst: done, and paid for",
	  { .bytes_per_s = 1000, .bytes_burst = 10 },
	  { { 0, 5010, 0 }, { 0, 1, 5001 * MS }, { 5000 * MS, 1, MS }, { 5001 * MS, 1, 0 } },
	  4 },
	{ "no more than the burst after a rest",
	  { .bytes_per_s = 1000, .bytes_burst = 10 },
	  { { 3600 * S, 10, 0 }, { 3600 * S, 1, MS } },
	  2 },
	{ "operations",
	  { .ops_per_s = 2 },
	  { { 0, 0, 0 }, { 0, 1 << 30, 0 }, { 0, 0, S / 2 }, { S / 2, 0, 0 }, { S / 2, 0, S / 2 } },
	  5 },
	{ "the longer wait counts",
	  { .bytes_per_s = 1000, .ops_per_s = 1 },
	  { { 0, 3000, 0 }, { 0, 1, 2001 * MS }, { 2001 * MS, 0, 0 }, { 2001 * MS, 0, S } },
	  4 },
	{ "a clock that goes back",
	  { .ops_per_s = 1 },
	  { { 5 * S, 0, 0 }, { 4 * S, 0, S }, { 5 * S, 0, S }, { 6 * S, 0, 0 } },
	  4 },
	{ "no rounding adds up: thirds of a token",
	  { .ops_per_s = 3, .ops_burst = 2 },
	  { { 0, 0, 0 },
	    { 0, 0, 0 },
	    { 333333333, 0, 1 },
	    { 333333334, 0, 0 },
	    { 666666666, 0, 1 },
	    { 666666667, 0, 0 },
	    { S - 1, 0, 1 },
	    { S, 0, 0 } },
	  8 },
	{ "the largest numbers",
	  { .bytes_per_s = UINT64_MAX, .bytes_burst = UINT64_MAX, .ops_per_s = UINT64_MAX },
	  { { 0, UINT64_MAX, 0 }, { UINT64_MAX, UINT64_MAX, 0 } },
	  2 },
	{ "the largest debt",
	  { .bytes_per_s = 1, .bytes_burst = 1 },
	  { { 0, UINT64_MAX, 0 }, { 0, 1, UINT64_MAX } },
	  2 },
};

static void test_take(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rate_limit r;

		rate_limit_init(&r, &rows[i].o, 0);
		for (size_t k = 0; k < rows[i].n; k++) {
			const struct step *s = &rows[i].steps[k];
			uint64_t wait = rate_limit_wait(&r, s->now);
			uint64_t got = rate_limit_take(&r, s->bytes, s->now);

			if (got != s->want || wait != got)
				fail_msg("%s, step %zu: %llu", rows[i].what, k,
					 (unsigned long long)got);
		}
	}
}

/* Whoever waits as long as told gets on, and over a long time the rate is the rate. */
static void test_long(void **state)
{
	static const uint64_t sizes[] = { 1, 512, 4096, 65536, 1000003 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct rate_limit_options o = { .bytes_per_s = 7777777, .bytes_burst = 1000 };
		struct rate_limit r;
		uint64_t now = 0, bytes = 0;

		rate_limit_init(&r, &o, now);
		for (unsigned int k = 0; k < 5000; k++) {
			uint64_t wait = rate_limit_take(&r, sizes[i], now);

			now += wait;
			if (wait)
				assert_int_equal(rate_limit_take(&r, sizes[i], now), 0);
			bytes += sizes[i];
		}
		assert_in_range(bytes, now * 7777777 / S, now * 7777777 / S + sizes[i] + 1000);
	}
}

static void test_ms(void **state)
{
	(void)state;
	assert_int_equal(rate_limit_ms(0), 1);
	assert_int_equal(rate_limit_ms(1), 1);
	assert_int_equal(rate_limit_ms(MS), 2);
	assert_int_equal(rate_limit_ms(UINT64_MAX), 3600 * 1000);
	assert_true(rate_limit_now() > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_take),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_ms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
