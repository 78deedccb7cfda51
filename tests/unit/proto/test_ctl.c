/* SPDX-License-Identifier: MIT */
/* test_ctl.c - attach requests */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "bytes.h"
#include "ctl.h"

static void attach_both_ways(void **state)
{
	const struct ctl_attach in = { CTL_ATTACH_STDIN | CTL_ATTACH_OUTPUT, 24, 80 };
	struct ctl_attach got;
	struct agent_frame f;
	auto_buf b = { 0 };
	struct err e = { 0 };
	size_t used;

	(void)state;
	assert_int_equal(ctl_put_attach(&b, &in), 0);
	assert_int_equal(agent_frame_parse(b.data, b.len, &f, &used, &e), 1);
	assert_int_equal(f.type, CTL_ATTACH);
	assert_int_equal(ctl_get_attach(f.payload, &got, &e), 0);
	assert_true(got.flags == in.flags && got.rows == 24 && got.cols == 80);
}

static void attach_refused(void **state)
{
	static const struct {
		uint32_t len, flags;
	} t[] = { { 0, 0 }, { 4, 0 }, { 7, 0 },          { 9, 0 },
		  { 8, 4 }, { 8, 7 }, { 8, UINT32_MAX }, { 8, 1U << 31 } };
	uint8_t raw[16] = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct ctl_attach got;
		struct err e = { 0 };

		put_le32(raw, t[i].flags);
		if (ctl_get_attach((struct agent_bytes){ raw, t[i].len }, &got, &e) != -EPROTO)
			fail_msg("row %zu", i);
	}
}

static void memory_both_ways(void **state)
{
	const struct ctl_memory in = { 1, UINT64_MAX, 3, 4 };
	struct ctl_memory got;
	struct agent_frame f;
	auto_buf b = { 0 };
	struct err e = { 0 };
	uint64_t bytes = 0;
	size_t used;

	(void)state;
	assert_int_equal(ctl_put_memory(&b, 1ULL << 40), 0);
	assert_int_equal(agent_frame_parse(b.data, b.len, &f, &used, &e), 1);
	assert_int_equal(f.type, CTL_MEMORY);
	assert_int_equal(ctl_get_memory(f.payload, &bytes, &e), 0);
	assert_true(bytes == 1ULL << 40);
	buf_clear(&b);
	assert_int_equal(ctl_put_memory_is(&b, &in), 0);
	assert_int_equal(agent_frame_parse(b.data, b.len, &f, &used, &e), 1);
	assert_int_equal(f.type, CTL_MEMORY_IS);
	assert_int_equal(ctl_get_memory_is(f.payload, &got, &e), 0);
	assert_true(got.least == 1 && got.most == UINT64_MAX && got.wanted == 3 && got.now == 4);
}

static void memory_refused(void **state)
{
	const uint8_t raw[64] = { 0 };

	(void)state;
	for (uint32_t len = 0; len < sizeof(raw); len++) {
		struct ctl_memory got;
		struct err e = { 0 };
		uint64_t bytes;

		assert_int_equal(ctl_get_memory((struct agent_bytes){ raw, len }, &bytes, &e),
				 len == 8 ? 0 : -EPROTO);
		assert_int_equal(ctl_get_memory_is((struct agent_bytes){ raw, len }, &got, &e),
				 len == 32 ? 0 : -EPROTO);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(attach_both_ways),
		cmocka_unit_test(attach_refused),
		cmocka_unit_test(memory_both_ways),
		cmocka_unit_test(memory_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
