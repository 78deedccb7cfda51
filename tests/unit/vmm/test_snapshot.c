/* SPDX-License-Identifier: MIT */
/* test_snapshot.c - the frame of a saved machine: every change of it is found */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "snapshot.h"

static void make(struct buf *b)
{
	struct state_out s = { b, false };
	struct err e = { 0 };

	assert_int_equal(snapshot_begin(b, &e), 0);
	for (uint32_t i = 0; i < 100; i++)
		state_put_u32(&s, i);
	assert_false(s.has_failed);
	assert_int_equal(snapshot_seal(b, &e), 0);
}

static void round_trip(void **state)
{
	auto_buf b = { 0 };
	struct state_in in;
	struct err e = { 0 };

	(void)state;
	make(&b);
	assert_int_equal(snapshot_open(b.data, b.len, &in, &e), 0);
	assert_int_equal(in.left, 400);
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(state_get_u32(&in), i);
	assert_false(in.has_failed);
	assert_int_equal(state_get_u8(&in), 0);
	assert_true(in.has_failed);
}

static void altered(void **state)
{
	auto_buf b = { 0 };
	struct state_in in;

	(void)state;
	make(&b);
	for (size_t i = 0; i < b.len; i++)
		for (unsigned int bit = 0; bit < 8; bit++) {
			struct err e = { 0 };

			b.data[i] ^= (char)(1U << bit);
			if (snapshot_open(b.data, b.len, &in, &e) != -EBADMSG || !*e.msg)
				fail_msg("byte %zu, bit %u", i, bit);
			b.data[i] ^= (char)(1U << bit);
		}
}

/* Something follows: where is said by the header, and a header that was altered is found. */
static void followed(void **state)
{
	auto_buf b = { 0 };
	struct state_in in;
	struct err e = { 0 };
	size_t frame;

	(void)state;
	make(&b);
	frame = b.len;
	assert_int_equal(snapshot_len(b.data, b.len), frame);
	assert_int_equal(buf_add(&b, "CSNPAGES\1\0\0\0\0\0\0\0", 16), 0);
	assert_int_equal(snapshot_len(b.data, b.len), frame);
	assert_int_equal(snapshot_open(b.data, frame, &in, &e), 0);
	for (size_t i = 0; i < frame; i++)
		for (unsigned int bit = 0; bit < 8; bit++) {
			size_t len;

			b.data[i] ^= (char)(1U << bit);
			len = snapshot_len(b.data, b.len);
			assert_true(len <= b.len);
			assert_int_equal(snapshot_open(b.data, len, &in, &e), -EBADMSG);
			b.data[i] ^= (char)(1U << bit);
		}
	for (size_t len = 0; len <= frame; len++)
		assert_int_equal(snapshot_len(b.data, len), len);
}

static void cut(void **state)
{
	auto_buf b = { 0 };
	struct state_in in;

	(void)state;
	make(&b);
	for (size_t len = 0; len < b.len; len++) {
		auto_free void *exact = malloc(len ? len : 1);
		struct err e = { 0 };

		assert_non_null(exact);
		memcpy(exact, b.data, len);
		assert_int_equal(snapshot_open(exact, len, &in, &e), -EBADMSG);
	}
	assert_int_equal(buf_add(&b, "x", 1), 0);
	assert_int_equal(snapshot_open(b.data, b.len, &in, &(struct err){ 0 }), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(followed),
					    cmocka_unit_test(round_trip), cmocka_unit_test(altered),
					    cmocka_unit_test(cut) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
