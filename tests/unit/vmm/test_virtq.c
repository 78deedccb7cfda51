/* SPDX-License-Identifier: MIT */
/* test_virtq.c - rings that are right, and rings that are not */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "virtq_fixture.h"

static const struct {
	uint32_t size;
	uint64_t desc, avail, used;
	int want;
} starts[] = {
	{ 1, DESC, AVAIL, USED, 0 },
	{ 256, DESC, AVAIL, USED, 0 },
	{ 4, HIGH, DESC, USED, 0 },
	{ 4, DESC, DESC, DESC, 0 }, /* its own harm */
	{ 4, LOW + SLOT - 64, AVAIL, USED, 0 },
	{ 4, DESC, LOW + SLOT - 14, USED, 0 },
	{ 4, DESC, AVAIL, HIGH + SLOT - 40, 0 }, /* 38, aligned */
	{ 0, DESC, AVAIL, USED, -EINVAL },
	{ 3, DESC, AVAIL, USED, -EINVAL },
	{ 255, DESC, AVAIL, USED, -EINVAL },
	{ 512, DESC, AVAIL, USED, -EINVAL },
	{ 0x8000, DESC, AVAIL, USED, -EINVAL },
	{ 4, DESC + 8, AVAIL, USED, -EINVAL },
	{ 4, DESC, AVAIL + 1, USED, -EINVAL },
	{ 4, DESC, AVAIL, USED + 2, -EINVAL },
	{ 4, 0, AVAIL, USED, -EINVAL },
	{ 4, DESC, 0, USED, -EINVAL },
	{ 4, DESC, AVAIL, 0, -EINVAL },
	{ 4, LOW + SLOT - 48, AVAIL, USED, -EINVAL },
	{ 4, DESC, LOW + SLOT - 12, USED, -EINVAL }, /* all but the event */
	{ 4, DESC, AVAIL, HIGH + SLOT - 36, -EINVAL },
	{ 4, DESC, AVAIL, LOW - 8, -EINVAL },
	{ 4, UINT64_MAX - 15, AVAIL, USED, -EINVAL },
	{ 4, ROM, AVAIL, USED, -EINVAL },
	{ 4, DESC, ROM, USED, -EINVAL },
	{ 4, DESC, AVAIL, ROM, -EINVAL },
	{ 4, DESC, UINT64_MAX - 1, USED, -EINVAL },
	{ 4, DESC, AVAIL, UINT64_MAX - 3, -EINVAL },
};

static void test_start(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 4, false);
	for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
		struct virtq q = { .size = (uint16_t)starts[i].size,
				   .desc = starts[i].desc,
				   .avail = starts[i].avail,
				   .used = starts[i].used };
		struct err e = { 0 };

		if (virtq_start(&q, &f.mem, true, &e) != starts[i].want ||
		    q.is_ready != !starts[i].want || !starts[i].want != !e.msg[0])
			fail_msg("row %zu", i);
	}
	guest_memory_unmap(&f.mem);
}

#define GOOD(...) .d = { __VA_ARGS__ }, .want = 1
#define BAD(...)  .d = { __VA_ARGS__ }, .want = -EPROTO

static const struct {
	const char *what;
	struct row_desc d[4];
	int want;
	uint16_t n_out, n_in;
	uint64_t len_out, len_in;
	uint16_t head;
	uint16_t waits; /* 0: one request */
} chains[] = {
	{ "one to read", GOOD({ DATA, 8, 0, 0 }), .n_out = 1, .len_out = 8 },
	{ "one to write", GOOD({ DATA, 8, WRITE, 0 }), .n_in = 1, .len_in = 8 },
	{ "next without its flag", GOOD({ DATA, 8, 0, 999 }), .n_out = 1, .len_out = 8 },
	{ "read and write", GOOD({ DATA, 8, NEXT, 1 }, { HIGH, SLOT, WRITE, 0 }), .n_out = 1,
	  .n_in = 1, .len_out = 8, .len_in = SLOT },
	{ "all of a queue",
	  GOOD({ DATA, 1, NEXT, 2 }, { DATA, 2, WRITE, 0 }, { DATA, 3, NEXT, 3 },
	       { DATA, 4, NEXT | WRITE, 1 }),
	  .n_out = 2, .n_in = 2, .len_out = 4, .len_in = 6 },
	{ "from the last", GOOD({ 0 }, { 0 }, { 0 }, { DATA, 1, 0, 0 }), .n_out = 1, .len_out = 1,
	  .head = 3 },
	{ "the last byte", GOOD({ HIGH + SLOT - 1, 1, WRITE, 0 }), .n_in = 1, .len_in = 1 },
	{ "unknown flags", GOOD({ DATA, 8, 0xfff8, 0 }), .n_out = 1, .len_out = 8 },
	{ "nothing", GOOD({ DATA, 0, 0, 0 }) },
	{ "nothing, nowhere", GOOD({ UINT64_MAX, 0, WRITE, 0 }) },
	{ "nothing in the middle",
	  GOOD({ DATA, 8, NEXT, 1 }, { 0, 0, NEXT, 2 }, { DATA, 9, WRITE, 0 }), .n_out = 1,
	  .n_in = 1, .len_out = 8, .len_in = 9 },
	{ "a full queue waits", GOOD({ DATA, 8, 0, 0 }), .n_out = 1, .len_out = 8, .waits = 4 },

	{ "to read, of read-only memory", GOOD({ ROM, ROM_SIZE, 0, 0 }), .n_out = 1,
	  .len_out = ROM_SIZE },
	{ "to write, to read-only memory", BAD({ ROM, 8, WRITE, 0 }) },
	{ "over its end", BAD({ ROM + ROM_SIZE - 4, 8, 0, 0 }) },
	{ "before it", BAD({ ROM - 4, 8, 0, 0 }) },
	{ "head is the size", BAD({ DATA, 8, 0, 0 }), .head = 4 },
	{ "head of all ones", BAD({ DATA, 8, 0, 0 }), .head = 0xffff },
	{ "next is the size", BAD({ DATA, 8, NEXT, 4 }) },
	{ "next of all ones", BAD({ DATA, 8, NEXT, 0xffff }) },
	{ "next is itself", BAD({ DATA, 8, NEXT, 0 }) },
	{ "itself, of nothing", BAD({ DATA, 0, NEXT, 0 }) },
	{ "loop of two", BAD({ DATA, 8, NEXT, 1 }, { DATA, 8, NEXT, 0 }) },
	{ "loop at the end", BAD({ DATA, 8, NEXT, 1 }, { DATA, 8, NEXT, 2 }, { DATA, 8, NEXT, 3 },
				 { DATA, 8, NEXT, 3 }) },
	{ "loop that changes to write", BAD({ DATA, 8, NEXT, 1 }, { DATA, 8, NEXT | WRITE, 1 }) },
	{ "read after write", BAD({ DATA, 8, NEXT | WRITE, 1 }, { DATA, 8, 0, 0 }) },
	{ "indirect", BAD({ DATA, 16, INDIRECT, 0 }) },
	{ "indirect, later", BAD({ DATA, 8, NEXT, 1 }, { DATA, 16, INDIRECT | WRITE, 0 }) },
	{ "indirect of nothing", BAD({ DATA, 0, INDIRECT, 0 }) },
	{ "address 0", BAD({ 0, 8, 0, 0 }) },
	{ "before memory", BAD({ LOW - 1, 8, 0, 0 }) },
	{ "over a slot's end", BAD({ LOW + SLOT - 4, 8, 0, 0 }) },
	{ "behind memory", BAD({ HIGH + SLOT, 1, WRITE, 0 }) },
	{ "from a slot to the other", BAD({ LOW, HIGH - LOW + 8, 0, 0 }) },
	{ "wraps", BAD({ UINT64_MAX, 8, 0, 0 }) },
	{ "wraps by length", BAD({ DATA, UINT32_MAX, 0, 0 }) },
	{ "second is bad", BAD({ DATA, 8, NEXT, 1 }, { 0, 8, WRITE, 0 }) },
	{ "more than the size waits", BAD({ DATA, 8, 0, 0 }), .waits = 5 },
	{ "index went back", BAD({ DATA, 8, 0, 0 }), .waits = 0xffff },
};

static void test_chains(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(chains); i++) {
		struct virtq_chain c = { .n_out = 77 };
		struct fixture f;

		setup(&f, 4, false);
		for (uint16_t k = 0; k < 4; k++)
			desc_set(&f, k, chains[i].d[k]);
		poke(&f, AVAIL + 4, chains[i].head, 2);
		poke(&f, AVAIL + 2, chains[i].waits ? chains[i].waits : 1, 2);
		assert_true(virtq_has_work(&f.q));
		if (virtq_pop(&f.q, &c) != chains[i].want || c.n_out != chains[i].n_out ||
		    c.n_in != chains[i].n_in || c.len_out != chains[i].len_out ||
		    c.len_in != chains[i].len_in || f.q.is_broken != (chains[i].want < 0))
			fail_msg("%s", chains[i].what);
		assert_int_equal(f.q.next_avail, chains[i].want == 1);
		guest_memory_unmap(&f.mem);
	}
}

/* `n` descriptors of a byte each in one chain. */
static void long_chain(struct fixture *f, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++)
		desc_set(f, i,
			 (struct row_desc){ DATA, 1, i + 1 < n ? NEXT : 0, (uint16_t)(i + 1) });
	poke(f, AVAIL + 2, 1, 2);
}

static void test_longest_chain(void **state)
{
	struct virtq_chain c;
	struct fixture f;

	(void)state;
	setup(&f, 256, false);
	long_chain(&f, VIRTQ_CHAIN_MAX);
	assert_int_equal(virtq_pop(&f.q, &c), 1);
	assert_int_equal(c.n_out, VIRTQ_CHAIN_MAX);
	guest_memory_unmap(&f.mem);

	setup(&f, 256, false);
	long_chain(&f, VIRTQ_CHAIN_MAX + 1);
	assert_int_equal(virtq_pop(&f.q, &c), -EPROTO);
	guest_memory_unmap(&f.mem);
}

/* 65 buffers of 64 MiB in one small slot's place would be more than a length can say. */
static void test_total_length(void **state)
{
	const uint32_t piece = 64U << 20;
	struct virtq_chain c;
	struct fixture f;

	(void)state;
	setup(&f, 128, false);
	guest_memory_unmap(&f.mem);
	f.mem.n_slots = 1;
	f.mem.slots[0].size = piece;
	f.mem.slots[1] = (struct guest_slot){ 0 };
	assert_int_equal(guest_memory_map(&f.mem, GUEST_MEMORY_ANON, -1, &(struct err){ 0 }), 0);
	for (uint16_t i = 0; i < 64; i++)
		desc_set(&f, i,
			 (struct row_desc){ LOW, piece - (i == 63), NEXT, (uint16_t)(i + 1) });
	desc_set(&f, 64, (struct row_desc){ LOW, 0, WRITE, 0 });
	poke(&f, AVAIL + 2, 1, 2);
	assert_int_equal(virtq_pop(&f.q, &c), 1);
	assert_int_equal(c.len_out, UINT32_MAX);
	poke(&f, AVAIL + 2, 2, 2); /* the same one, one byte longer */
	desc_set(&f, 64, (struct row_desc){ LOW, 1, WRITE, 0 });
	assert_int_equal(virtq_pop(&f.q, &c), -EPROTO);
	assert_int_equal(c.n_out + c.n_in, 0);
	guest_memory_unmap(&f.mem);
}

/* What is broken stays so, and touches nothing, until it is reset. */
static void test_broken(void **state)
{
	struct err e = { 0 };
	struct virtq_chain c;
	struct fixture f;

	(void)state;
	setup(&f, 4, false);
	desc_set(&f, 0, (struct row_desc){ DATA, 1, 0, 0 });
	poke(&f, AVAIL + 2, 5, 2);
	assert_int_equal(virtq_pop(&f.q, &c), -EPROTO);
	poke(&f, AVAIL + 2, 1, 2);
	assert_int_equal(virtq_pop(&f.q, &c), -EPROTO);
	assert_false(virtq_has_work(&f.q));
	virtq_push(&f.q, 0, 1);
	virtq_kicks_set(&f.q, false);
	assert_false(virtq_needs_signal(&f.q));
	assert_int_equal(peek(&f, USED, 4), 0);
	virtq_reset(&f.q);
	assert_ptr_equal(f.q.mem, &f.mem);
	assert_int_equal(f.q.size, 0);
	assert_int_equal(virtq_pop(&f.q, &c), 0);
	assert_false(virtq_has_work(&f.q));
	f.q = (struct virtq){ .size = 4, .desc = DESC, .avail = AVAIL, .used = USED };
	assert_int_equal(virtq_start(&f.q, &f.mem, false, &e), 0);
	assert_int_equal(virtq_pop(&f.q, &c), 1);
	guest_memory_unmap(&f.mem);
}

/* A driver that offers what it has not got back: no device holds more than `size` requests. */
static void test_in_flight(void **state)
{
	struct virtq_chain c;
	struct fixture f;

	(void)state;
	setup(&f, 4, false);
	for (uint16_t i = 0; i < 4; i++) {
		desc_set(&f, i, (struct row_desc){ DATA, 1, 0, 0 });
		poke(&f, AVAIL + 4 + 2U * i, i, 2);
	}
	poke(&f, AVAIL + 2, 4, 2);
	for (int i = 0; i < 4; i++)
		assert_int_equal(virtq_pop(&f.q, &c), 1);
	assert_int_equal(virtq_pop(&f.q, &c), 0);
	virtq_push(&f.q, 2, 0);
	poke(&f, AVAIL + 2, 6, 2);
	assert_int_equal(virtq_pop(&f.q, &c), 1);
	assert_int_equal(virtq_pop(&f.q, &c), -EPROTO);
	guest_memory_unmap(&f.mem);
}

/* Indices run over 2^16, in rings of any size. */
static void test_push_wraps(void **state)
{
	struct virtq_chain c;
	struct fixture f;

	(void)state;
	setup(&f, 4, false);
	f.q.next_avail = f.q.next_used = f.q.signalled_used = 0xfffe;
	for (uint16_t i = 0; i < 4; i++) {
		uint16_t idx = (uint16_t)(0xfffe + i);

		desc_set(&f, i, (struct row_desc){ DATA, 1, WRITE, 0 });
		poke(&f, AVAIL + 4 + 2U * (idx & 3), i, 2);
		poke(&f, AVAIL + 2, idx + 1U, 2);
		assert_int_equal(virtq_pop(&f.q, &c), 1);
		assert_int_equal(c.head, i);
		virtq_push(&f.q, c.head, 0xabcd0000U + i);
		assert_int_equal(peek(&f, USED + 2, 2), (uint16_t)(idx + 1));
		assert_int_equal(peek(&f, USED + 4 + 8U * (idx & 3), 4), i);
		assert_int_equal(peek(&f, USED + 8 + 8U * (idx & 3), 4), 0xabcd0000U + i);
	}
	assert_int_equal(virtq_pop(&f.q, &c), 0);
	assert_true(virtq_needs_signal(&f.q));
	assert_false(virtq_needs_signal(&f.q));
	guest_memory_unmap(&f.mem);
}

/* Taken back, two requests come again, as the driver has changed them; and a kick is asked for
 * after them, not for them. */
static void test_unpop(void **state)
{
	struct virtq_chain c;
	struct fixture f;

	(void)state;
	setup(&f, 4, true);
	for (uint16_t i = 0; i < 3; i++) {
		desc_set(&f, i, (struct row_desc){ DATA, i + 1U, 0, 0 });
		poke(&f, AVAIL + 4 + 2U * i, i, 2);
	}
	poke(&f, AVAIL + 2, 3, 2);
	for (int i = 0; i < 3; i++)
		assert_int_equal(virtq_pop(&f.q, &c), 1);
	assert_int_equal(virtq_pop(&f.q, &c), 0);
	virtq_unpop(&f.q, 2);
	desc_set(&f, 1, (struct row_desc){ DATA, 99, 0, 0 });
	assert_true(virtq_has_work(&f.q));
	assert_int_equal(peek(&f, USED + 4 + 8U * 4, 2), 3);
	assert_int_equal(virtq_pop(&f.q, &c), 1);
	assert_int_equal(c.head, 1);
	assert_int_equal(c.len_out, 99);
	virtq_push(&f.q, 0, 0); /* the one that was not taken back */
	assert_int_equal(virtq_pop(&f.q, &c), 1);
	assert_int_equal(c.head, 2);
	assert_int_equal(virtq_pop(&f.q, &c), 0);
	virtq_unpop(&f.q, 2);
	virtq_unpop(&f.q, 0);
	assert_int_equal(f.q.next_avail, f.q.next_used);
	guest_memory_unmap(&f.mem);
}

/* Three at once, over the ring's end and over 2^16; nothing when there is no queue to give to. */
static void test_push_many(void **state)
{
	const struct virtq_used used[] = { { 2, 0x10203040 }, { 0, 7 }, { 3, UINT32_MAX } };
	struct fixture f;

	(void)state;
	setup(&f, 4, false);
	f.q.next_avail = 1;
	f.q.next_used = f.q.signalled_used = 0xfffe;
	virtq_push_many(&f.q, used, 3);
	assert_int_equal(f.q.next_used, 1);
	assert_int_equal(peek(&f, USED + 2, 2), 1);
	for (unsigned int i = 0; i < 3; i++) {
		uint64_t at = USED + 4 + 8U * ((0xfffe + i) & 3);

		assert_int_equal(peek(&f, at, 4), used[i].head);
		assert_int_equal(peek(&f, at + 4, 4), used[i].written);
	}
	assert_int_equal(peek(&f, USED + 4 + 8, 4), 0); /* the fourth */
	assert_true(virtq_needs_signal(&f.q));
	f.q.is_broken = true;
	virtq_push_many(&f.q, used, 3);
	assert_int_equal(peek(&f, USED + 2, 2), 1);
	virtq_reset(&f.q);
	virtq_push_many(&f.q, used, 3);
	assert_int_equal(f.q.next_used, 0);
	assert_int_equal(peek(&f, USED + 2, 2), 1);
	guest_memory_unmap(&f.mem);
}

static const struct {
	bool has_event_idx;
	uint16_t old, now, flags, event;
	bool want;
} signals[] = {
	{ false, 0, 1, 0, 0, true },
	{ false, 0, 1, 1, 0, false },
	{ false, 0, 1, 2, 9, true },
	{ false, 1, 1, 0, 0, false },
	{ true, 0, 1, 0, 0, true },
	{ true, 0, 1, 1, 0, true }, /* flags are not looked at */
	{ true, 0, 1, 0, 1, false },
	{ true, 0, 1, 0, 0xffff, false },
	{ true, 5, 9, 0, 4, false },
	{ true, 5, 9, 0, 5, true },
	{ true, 5, 9, 0, 8, true },
	{ true, 5, 9, 0, 9, false },
	{ true, 7, 7, 0, 7, false },
	{ true, 7, 7, 0, 6, false },
	{ true, 0xfffe, 2, 0, 0xfffd, false },
	{ true, 0xfffe, 2, 0, 0xfffe, true },
	{ true, 0xfffe, 2, 0, 0xffff, true },
	{ true, 0xfffe, 2, 0, 0, true },
	{ true, 0xfffe, 2, 0, 1, true },
	{ true, 0xfffe, 2, 0, 2, false },
	{ true, 0xffff, 0, 0, 0xffff, true },
	{ true, 0xffff, 0, 0, 0, false },
};

static void test_signals(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 4, false);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		f.q.has_event_idx = signals[i].has_event_idx;
		f.q.signalled_used = signals[i].old;
		f.q.next_used = signals[i].now;
		poke(&f, AVAIL, signals[i].flags, 2);
		poke(&f, AVAIL + 4 + 2 * 4, signals[i].event, 2);
		if (virtq_needs_signal(&f.q) != signals[i].want)
			fail_msg("row %zu", i);
		assert_int_equal(f.q.signalled_used, signals[i].now);
	}
	guest_memory_unmap(&f.mem);
}

static void test_kicks(void **state)
{
	const uint64_t event = USED + 4 + 8 * 4;
	struct virtq_chain c;
	struct fixture f;

	(void)state;
	setup(&f, 4, false);
	virtq_kicks_set(&f.q, false);
	assert_int_equal(peek(&f, USED, 2), 1);
	assert_int_equal(virtq_pop(&f.q, &c), 0);
	virtq_kicks_set(&f.q, true);
	assert_int_equal(peek(&f, USED, 2), 0);
	assert_int_equal(peek(&f, event, 2), 0);
	f.q.has_event_idx = true;
	f.q.next_avail = f.q.next_used = 7;
	virtq_kicks_set(&f.q, false);
	assert_int_equal(peek(&f, USED, 2), 0);
	assert_int_equal(peek(&f, event, 2), 0);
	virtq_kicks_set(&f.q, true);
	assert_int_equal(peek(&f, event, 2), 7);
	f.q.next_avail = f.q.next_used = 9;
	poke(&f, AVAIL + 2, 9, 2);
	assert_int_equal(virtq_pop(&f.q, &c), 0); /* an empty one asks by itself */
	assert_int_equal(peek(&f, event, 2), 9);
	guest_memory_unmap(&f.mem);
}

static const struct {
	size_t off, len, want;
	const char *text;
} copies[] = {
	{ 0, 10, 10, "abcdefghij" },
	{ 0, 99, 10, "abcdefghij" },
	{ 0, 3, 3, "abc" },
	{ 2, 2, 2, "cd" },
	{ 3, 4, 4, "defg" },
	{ 4, 4, 4, "efgh" },
	{ 9, 1, 1, "j" },
	{ 9, 2, 1, "j" },
	{ 10, 1, 0, "" },
	{ 11, 1, 0, "" },
	{ SIZE_MAX, 1, 0, "" },
	{ 0, 0, 0, "" },
	{ 3, 0, 0, "" },
};

static void test_uses(void **state)
{
	static const struct {
		uint64_t gpa, len;
		bool uses;
	} t[] = {
		{ DESC, 1, true },        { DESC + 63, 1, true },  { DESC + 64, 1, false },
		{ AVAIL - 1, 1, false },  { AVAIL - 1, 2, true },  { AVAIL + 13, 100, true },
		{ AVAIL + 14, 8, false }, { USED + 37, 1, true },  { USED + 38, 1, false },
		{ 0, LOW, false },        { 0, LOW + 1, true },    { HIGH, SLOT, false },
		{ 0, UINT64_MAX, true },  { LOW, 0x100000, true },
	};
	uint8_t room[32];
	struct virtq_chain c = { .n_out = 1, .n_in = 1, .iov = { { room, 8 }, { room + 16, 8 } } };
	struct fixture f;

	(void)state;
	setup(&f, 4, true);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		if (virtq_uses(&f.q, t[i].gpa, t[i].len) != t[i].uses)
			fail_msg("row %zu", i);
	virtq_reset(&f.q);
	assert_false(virtq_uses(&f.q, 0, UINT64_MAX));
	guest_memory_unmap(&f.mem);
	for (size_t i = 0; i < sizeof(room); i++)
		assert_int_equal(virtq_chain_uses(&c, room + i, 1), i / 8 % 2 == 0);
	assert_true(virtq_chain_uses(&c, room, sizeof(room)));
	assert_true(virtq_chain_uses(&c, room + 8, 9));
	assert_false(virtq_chain_uses(&c, room + 8, 8));
}

static void test_copies(void **state)
{
	char out[] = "abcdefghij", in[] = "..........";
	struct virtq_chain c = {
		.n_out = 3,
		.n_in = 2,
		.iov = { { out, 3 }, { out + 3, 1 }, { out + 4, 6 }, { in, 4 }, { in + 4, 6 } }
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(copies); i++) {
		char text[100] = "";

		if (virtq_chain_read(&c, copies[i].off, text, copies[i].len) != copies[i].want ||
		    strcmp(text, copies[i].text) != 0)
			fail_msg("read %zu", i);
		memset(in, '.', 10);
		if (virtq_chain_write(&c, copies[i].off, out, copies[i].len) != copies[i].want ||
		    (copies[i].want && memcmp(in + copies[i].off, out, copies[i].want) != 0))
			fail_msg("write %zu", i);
		for (size_t k = 0; k < 10; k++)
			if ((k < copies[i].off || k - copies[i].off >= copies[i].want) &&
			    in[k] != '.')
				fail_msg("write %zu at %zu", i, k);
	}
}

static size_t saved_bytes(const struct virtq *q, uint8_t *raw, size_t most)
{
	auto_buf b = { 0 };
	struct state_out s = { .b = &b };
	size_t len;

	virtq_save(q, &s);
	assert_false(s.has_failed);
	len = b.len;
	assert_true(len <= most);
	memcpy(raw, b.data, len);
	return len;
}

static void test_state(void **state)
{
	struct virtq_chain c;
	struct fixture f;
	struct virtq q;
	uint8_t raw[64];
	size_t len;

	(void)state;
	setup(&f, 4, true);
	f.q.next_avail = 2;
	f.q.next_used = 0xffff;
	f.q.signalled_used = 0xfffe;
	len = saved_bytes(&f.q, raw, sizeof(raw));
	for (size_t i = 0; i <= len; i++) {
		struct state_in s = { .p = raw, .left = i };
		struct err e = { 0 };

		memset(&q, 0x5a, sizeof(q));
		q.only_names = false; /* the device's own, and not of the state */
		assert_int_equal(virtq_load(&q, &f.mem, &s, &e), i < len ? -EINVAL : 0);
		assert_true(i == len || q.size == 0x5a5a);
	}
	assert_memory_equal(&q, &f.q, offsetof(struct virtq, is_broken) + 1);
	/* Each byte with each value: refused, or a queue that can be used. */
	for (size_t i = 0; i < len * 256; i++) {
		uint8_t bad[64];
		struct state_in s = { .p = bad, .left = len };
		struct err e = { 0 };

		memcpy(bad, raw, len);
		bad[i / 256] = (uint8_t)i;
		if (virtq_load(&q, &f.mem, &s, &e) < 0)
			continue;
		assert_true(bad[len - 1] < 8); /* flags */
		if (virtq_pop(&q, &c) == 1)
			virtq_push(&q, c.head, 0);
	}
	guest_memory_unmap(&f.mem);
}

static const struct {
	const char *what;
	struct virtq q;
	int want;
} loads[] = {
	{ "fresh", { .size = 0 }, 0 },
	{ "not ready, whatever was written", { .size = 3, .desc = 1, .avail = 1, .used = 1 }, 0 },
	{ "ready", { NULL, 4, DESC, AVAIL, USED, 9, 5, 5, true, true, false }, 0 },
	{ "broken", { NULL, 4, DESC, AVAIL, USED, 9, 9, 0, false, true, true }, 0 },
	{ "more in flight than it has",
	  { NULL, 4, DESC, AVAIL, USED, 9, 4, 4, true, true, false },
	  -EINVAL },
	{ "more given back than taken",
	  { NULL, 4, DESC, AVAIL, USED, 8, 9, 9, true, true, false },
	  -EINVAL },
	{ "not ready, and broken", { .size = 4, .is_broken = true }, -EINVAL },
	{ "not ready, with events", { .size = 4, .has_event_idx = true }, -EINVAL },
	{ "not ready, and used", { .size = 4, .next_avail = 1, .next_used = 1 }, -EINVAL },
	{ "not ready, and told", { .size = 4, .signalled_used = 1 }, -EINVAL },
	{ "size", { NULL, 3, DESC, AVAIL, USED, 0, 0, 0, true, true, false }, -EINVAL },
	{ "place", { NULL, 4, DESC, AVAIL, 0, 0, 0, 0, true, true, false }, -EINVAL },
	{ "alignment", { NULL, 4, DESC + 4, AVAIL, USED, 0, 0, 0, true, true, false }, -EINVAL },
	{ "broken place", { NULL, 4, 0, AVAIL, USED, 0, 0, 0, true, true, true }, -EINVAL },
};

static void test_loads(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 4, false);
	for (size_t i = 0; i < ARRAY_SIZE(loads); i++) {
		uint8_t raw[64];
		struct state_in s = { .p = raw };
		struct err e = { 0 };
		struct virtq q;

		s.left = saved_bytes(&loads[i].q, raw, sizeof(raw));
		if (virtq_load(&q, &f.mem, &s, &e) != loads[i].want)
			fail_msg("%s", loads[i].what);
	}
	guest_memory_unmap(&f.mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start),         cmocka_unit_test(test_chains),
		cmocka_unit_test(test_longest_chain), cmocka_unit_test(test_total_length),
		cmocka_unit_test(test_broken),        cmocka_unit_test(test_in_flight),
		cmocka_unit_test(test_push_wraps),    cmocka_unit_test(test_unpop),
		cmocka_unit_test(test_push_many),     cmocka_unit_test(test_signals),
		cmocka_unit_test(test_kicks),         cmocka_unit_test(test_uses),
		cmocka_unit_test(test_copies),        cmocka_unit_test(test_state),
		cmocka_unit_test(test_loads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
