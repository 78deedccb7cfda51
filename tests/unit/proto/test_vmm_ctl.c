/* SPDX-License-Identifier: MIT */
/* test_vmm_ctl.c - frames between driver and VMM, there and back, cut, wrong, changed at random */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "bytes.h"
#include "vmm_config.h"
#include "vmm_ctl.h"

static struct vmm_ctl_frame only_frame(const struct buf *b)
{
	struct vmm_ctl_frame f;
	struct err e = { 0 };
	size_t used;

	assert_int_equal(vmm_ctl_next(b->data, b->len, &f, &used, &e), 1);
	assert_int_equal(used, b->len);
	assert_int_equal(used, VMM_CTL_HEAD_LEN + f.len);
	return f;
}

static const struct {
	uint16_t type;
	bool is_request, is_answer, wants_fd;
	uint32_t len_min, len_max;
} types[] = {
	{ VMM_CTL_PAUSE, true, false, false, 0, 0 },
	{ VMM_CTL_RESUME, true, false, false, 0, 0 },
	{ VMM_CTL_SNAPSHOT, true, false, true, 0, 0 },
	{ VMM_CTL_BALLOON, true, false, false, 8, 8 },
	{ VMM_CTL_STATISTICS, true, false, false, 0, 0 },
	{ VMM_CTL_ATTACH, true, false, true, 13, 13 },
	{ VMM_CTL_NET_ATTACH, true, false, true, 0, 0 },
	{ VMM_CTL_STOP, true, false, false, 0, 0 },
	{ VMM_CTL_RESIZE, true, false, false, 8, 8 },
	{ VMM_CTL_DIRTY_START, true, false, false, 0, 0 },
	{ VMM_CTL_DIRTY_STOP, true, false, false, 0, 0 },
	{ VMM_CTL_DIRTY_GET, true, false, true, 0, 0 },
	{ VMM_CTL_OK, false, true, false, 0, 0 },
	{ VMM_CTL_ERROR, false, true, false, 4, 304 },
	{ VMM_CTL_COUNTS, false, true, false, 64, 64 },
	{ VMM_CTL_READY, false, false, false, 4, 4 },
	{ VMM_CTL_ENDED, false, false, false, 4, 304 },
};

static size_t type_find(uint32_t type)
{
	size_t i = 0;

	while (i < ARRAY_SIZE(types) && types[i].type != type)
		i++;
	return i;
}

/* Every type there can be, with every length about its limits. */
static void types_and_lengths(void **state)
{
	uint8_t raw[VMM_CTL_HEAD_LEN + 400] = { 0 };
	struct vmm_ctl_frame f;
	struct err e = { 0 };
	size_t used;

	(void)state;
	put_le16(raw + 6, VMM_CTL_VERSION);
	for (uint32_t type = 0; type <= UINT16_MAX; type++) {
		size_t i = type_find(type);
		bool is_known = i < ARRAY_SIZE(types);

		assert_true(vmm_ctl_is_request((uint16_t)type) ==
			    (is_known && types[i].is_request));
		assert_true(vmm_ctl_is_answer((uint16_t)type) == (is_known && types[i].is_answer));
		assert_true(vmm_ctl_wants_fd((uint16_t)type) == (is_known && types[i].wants_fd));
		put_le16(raw + 4, (uint16_t)type);
		for (uint32_t n = 0; n < (is_known ? 400 : 2); n++) {
			bool fits = is_known && n >= types[i].len_min && n <= types[i].len_max;

			put_le32(raw, n);
			assert_int_equal(vmm_ctl_next(raw, VMM_CTL_HEAD_LEN + n, &f, &used, &e),
					 fits ? 1 : -EBADMSG);
		}
	}
}

static void bad_heads(void **state)
{
	static const struct {
		uint32_t len;
		uint16_t type, version;
	} t[] = { { 0, VMM_CTL_PAUSE, 0 },
		  { 0, VMM_CTL_PAUSE, 2 },
		  { 0, VMM_CTL_PAUSE, 0x100 },
		  { 0, VMM_CTL_PAUSE, UINT16_MAX },
		  { 0, 0, 1 },
		  { 0, VMM_CTL_RESIZE + 1, 1 },
		  { 0, VMM_CTL_DIRTY_GET + 1, 1 },
		  { 0, VMM_CTL_OK - 1, 1 },
		  { 0, VMM_CTL_COUNTS + 1, 1 },
		  { 4, VMM_CTL_READY - 1, 1 },
		  { 4, VMM_CTL_ENDED + 1, 1 },
		  { 0, UINT16_MAX, 1 },
		  { 1, VMM_CTL_PAUSE, 1 },
		  { 4096, VMM_CTL_PAUSE, 1 },
		  { 4096, VMM_CTL_ERROR, 1 },
		  { 4097, VMM_CTL_ERROR, 1 },
		  { UINT32_MAX, VMM_CTL_ERROR, 1 },
		  { 1U << 31, VMM_CTL_ENDED, 1 } };
	uint8_t raw[VMM_CTL_HEAD_LEN];
	struct vmm_ctl_frame f;
	size_t used;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct err e = { 0 };

		put_le32(raw, t[i].len);
		put_le16(raw + 4, t[i].type);
		put_le16(raw + 6, t[i].version);
		if (vmm_ctl_next(raw, sizeof(raw), &f, &used, &e) != -EBADMSG || !e.msg[0])
			fail_msg("row %zu", i);
	}
}

static const struct vmm_ctl_attach attach = { 7, true, 3 << 20 };
static const struct vmm_ctl_counts counts = { 1, 2, 3, 4, 5, 6, UINT64_MAX, 8 };

/* One of each type. */
static void all_put(struct buf *b)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (types[i].len_max == 0)
			assert_int_equal(vmm_ctl_put(b, types[i].type), 0);
		else
			assert_int_equal(vmm_ctl_put(b, types[i].type), -EINVAL);
	assert_int_equal(vmm_ctl_put(b, 0), -EINVAL);
	assert_int_equal(vmm_ctl_put(b, 999), -EINVAL);
	assert_int_equal(vmm_ctl_put_balloon(b, 1 << 20), 0);
	assert_int_equal(vmm_ctl_put_resize(b, 2 << 20), 0);
	assert_int_equal(vmm_ctl_put_attach(b, &attach), 0);
	assert_int_equal(vmm_ctl_put_error(b, ENOSPC, "no room"), 0);
	assert_int_equal(vmm_ctl_put_counts(b, &counts), 0);
	assert_int_equal(vmm_ctl_put_ready(b), 0);
	assert_int_equal(vmm_ctl_put_ended(b, VMM_CTL_END_CRASH, "triple fault"), 0);
}

/* Bytes that come one at a time are whole frames only at the frames' ends. */
static void each_cut(void **state)
{
	auto_buf b = { 0 };
	size_t at = 0, n_frames = 0;

	(void)state;
	all_put(&b);
	for (; at < b.len; n_frames++) {
		struct vmm_ctl_frame f;
		struct err e = { 0 };
		size_t n = 0, used = 0;
		int rc = 0;

		for (; rc == 0; n++) {
			auto_free uint8_t *p = malloc(n ? n : 1);

			assert_non_null(p);
			memcpy(p, b.data + at, n);
			rc = vmm_ctl_next(p, n, &f, &used, &e);
		}
		assert_int_equal(rc, 1);
		assert_int_equal(n - 1, used);
		at += used;
	}
	assert_int_equal(at, b.len);
	assert_int_equal(n_frames, ARRAY_SIZE(types));
}

/* The bytes themselves, as doc/format/vmm.md has them. */
static void these_bytes(void **state)
{
	static const uint8_t pause[] = { 0, 0, 0, 0, 1, 0, 1, 0 },
			     disk[] = { 13, 0, 0, 0, 6,  0, 1, 0, 7, 0, 0,
					0,  1, 0, 0, 48, 0, 0, 0, 0, 0 },
			     error[] = { 6, 0, 0, 0, 65, 0, 1, 0, 28, 0, 0, 0, 'n', 'o' },
			     ready[] = { 4, 0, 0, 0, 128, 0, 1, 0, 1, 0, 0, 0 };
	auto_buf b = { 0 };

	(void)state;
	assert_int_equal(vmm_ctl_put(&b, VMM_CTL_PAUSE), 0);
	assert_memory_equal(b.data, pause, sizeof(pause));
	buf_clear(&b);
	assert_int_equal(vmm_ctl_put_attach(&b, &attach), 0);
	assert_int_equal(b.len, sizeof(disk));
	assert_memory_equal(b.data, disk, sizeof(disk));
	buf_clear(&b);
	assert_int_equal(vmm_ctl_put_error(&b, ENOSPC, "no"), 0);
	assert_int_equal(b.len, sizeof(error));
	assert_memory_equal(b.data, error, sizeof(error));
	buf_clear(&b);
	assert_int_equal(vmm_ctl_put_ready(&b), 0);
	assert_memory_equal(b.data, ready, sizeof(ready));
}

struct bytes_row {
	uint64_t bytes;
	int rc; /* of get */
};

static void bytes_values(int (*put)(struct buf *out, uint64_t bytes),
			 int (*get)(const struct vmm_ctl_frame *f, uint64_t *ret, struct err *e),
			 const struct bytes_row *t, size_t n)
{
	struct err e = { 0 };

	for (size_t i = 0; i < n; i++) {
		auto_buf b = { 0 };
		struct vmm_ctl_frame f;
		uint64_t got = 5;

		assert_int_equal(put(&b, t[i].bytes), 0);
		f = only_frame(&b);
		assert_int_equal(get(&f, &got, &e), t[i].rc);
		assert_true(got == (t[i].rc ? 5 : t[i].bytes));
	}
}

static void balloon_values(void **state)
{
	static const struct bytes_row t[] = { { 0, 0 },
					      { 4096, 0 },
					      { VMM_MEM_MAX, 0 },
					      { 1, -EBADMSG },
					      { 4095, -EBADMSG },
					      { 4097, -EBADMSG },
					      { VMM_MEM_MAX + 4096, -EBADMSG },
					      { 1ULL << 63, -EBADMSG },
					      { UINT64_MAX, -EBADMSG } };

	(void)state;
	bytes_values(vmm_ctl_put_balloon, vmm_ctl_get_balloon, t, ARRAY_SIZE(t));
}

static void resize_values(void **state)
{
	static const struct bytes_row t[] = { { 0, 0 },
					      { VMM_MEM_UNIT, 0 },
					      { VMM_MEM_MAX, 0 },
					      { 1, -EBADMSG },
					      { 4096, -EBADMSG },
					      { VMM_MEM_UNIT + 4096, -EBADMSG },
					      { VMM_MEM_MAX + VMM_MEM_UNIT, -EBADMSG },
					      { 1ULL << 63, -EBADMSG },
					      { UINT64_MAX, -EBADMSG } };

	(void)state;
	bytes_values(vmm_ctl_put_resize, vmm_ctl_get_resize, t, ARRAY_SIZE(t));
}

static void attach_values(void **state)
{
	static const struct {
		uint32_t disk;
		uint64_t size;
		int rc;
	} t[] = { { 0, 512, 0 },
		  { 7, VMM_DISK_SIZE_MAX, 0 },
		  { 8, 512, -EBADMSG },
		  { UINT32_MAX, 512, -EBADMSG },
		  { 0, 0, -EBADMSG },
		  { 0, 1, -EBADMSG },
		  { 0, 511, -EBADMSG },
		  { 0, 513, -EBADMSG },
		  { 0, VMM_DISK_SIZE_MAX + 512, -EBADMSG },
		  { 0, ~511ULL, -EBADMSG } };
	struct err e = { 0 };
	struct vmm_ctl_attach got;
	struct vmm_ctl_frame f;
	auto_buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct vmm_ctl_attach a = { t[i].disk, i % 2, t[i].size };

		buf_clear(&b);
		assert_int_equal(vmm_ctl_put_attach(&b, &a), 0);
		f = only_frame(&b);
		assert_int_equal(vmm_ctl_get_attach(&f, &got, &e), t[i].rc);
		if (t[i].rc == 0)
			assert_true(got.disk == a.disk && got.is_readonly == a.is_readonly &&
				    got.size == a.size);
	}
	buf_clear(&b);
	assert_int_equal(vmm_ctl_put_attach(&b, &attach), 0);
	f = only_frame(&b);
	for (unsigned v = 2; v < 256; v++) {
		b.data[VMM_CTL_HEAD_LEN + 4] = (char)v;
		assert_int_equal(vmm_ctl_get_attach(&f, &got, &e), -EBADMSG);
	}
}

static void counts_and_ready(void **state)
{
	auto_buf b = { 0 };
	struct vmm_ctl_counts got;
	struct vmm_ctl_frame f;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(vmm_ctl_put_counts(&b, &counts), 0);
	f = only_frame(&b);
	assert_int_equal(vmm_ctl_get_counts(&f, &got, &e), 0);
	assert_true(got.cpu_ns == 1 && got.exits == 2 && got.mmio_exits == 3);
	assert_true(got.pio_exits == 4 && got.disk_reads == 5 && got.disk_writes == 6);
	assert_true(got.balloon_bytes == UINT64_MAX && got.grown_bytes == 8);
	buf_clear(&b);
	assert_int_equal(vmm_ctl_put_ready(&b), 0);
	f = only_frame(&b);
	assert_int_equal(vmm_ctl_get_ready(&f, &e), 0);
	for (uint32_t v = 0; v < 300; v += 2) {
		put_le32(b.data + VMM_CTL_HEAD_LEN, v);
		assert_int_equal(vmm_ctl_get_ready(&f, &e), -EBADMSG);
	}
}

static void numbers_before_texts(void **state)
{
	static const struct {
		uint32_t value;
		int error_rc, ended_rc;
	} t[] = { { 1, 0, 0 },
		  { 5, 0, 0 },
		  { 6, 0, -EBADMSG },
		  { 4095, 0, -EBADMSG },
		  { 0, -EBADMSG, -EBADMSG },
		  { 4096, -EBADMSG, -EBADMSG },
		  { 1U << 31, -EBADMSG, -EBADMSG },
		  { UINT32_MAX, -EBADMSG, -EBADMSG } };
	auto_buf b = { 0 };
	struct vmm_ctl_error error;
	struct vmm_ctl_ended ended;
	struct vmm_ctl_frame f;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(vmm_ctl_put_error(&b, 0, ""), 0);
	f = only_frame(&b);
	assert_int_equal(vmm_ctl_get_error(&f, &error, &e), 0);
	assert_int_equal(error.code, EIO);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		put_le32(b.data + VMM_CTL_HEAD_LEN, t[i].value);
		f.type = VMM_CTL_ERROR;
		assert_int_equal(vmm_ctl_get_error(&f, &error, &e), t[i].error_rc);
		f.type = VMM_CTL_ENDED;
		assert_int_equal(vmm_ctl_get_ended(&f, &ended, &e), t[i].ended_rc);
	}
}

/* A text is clean for whoever reads it, even when who wrote it did not clean it. */
static void texts_are_cleaned_and_cut(void **state)
{
	static const char raw[] = "no\x1b[2J \x7f\n\xc3\xa4\xc2\x9b~", clean[] = "no?[2J ??????~";
	char lengthy[400];
	auto_buf b = { 0 };
	struct vmm_ctl_error error;
	struct vmm_ctl_ended ended;
	struct vmm_ctl_frame f;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(vmm_ctl_put_error(&b, ENOENT, raw), 0);
	f = only_frame(&b);
	assert_int_equal(f.len, 4 + sizeof(raw) - 1);
	assert_memory_equal((const uint8_t *)f.payload + 4, clean, sizeof(clean) - 1);
	memcpy(b.data + VMM_CTL_HEAD_LEN + 4, raw, sizeof(raw) - 1);
	assert_int_equal(vmm_ctl_get_error(&f, &error, &e), 0);
	assert_int_equal(error.code, ENOENT);
	assert_string_equal(error.text, clean);
	b.data[VMM_CTL_HEAD_LEN + 5] = '\0';
	assert_int_equal(vmm_ctl_get_error(&f, &error, &e), 0);
	assert_int_equal(strlen(error.text), sizeof(raw) - 1);
	buf_clear(&b);
	memset(lengthy, 'x', sizeof(lengthy) - 1);
	lengthy[sizeof(lengthy) - 1] = '\0';
	assert_int_equal(vmm_ctl_put_ended(&b, VMM_CTL_END_ERROR, lengthy), 0);
	f = only_frame(&b);
	assert_int_equal(vmm_ctl_get_ended(&f, &ended, &e), 0);
	assert_int_equal(ended.reason, VMM_CTL_END_ERROR);
	assert_int_equal(strlen(ended.text), VMM_CTL_TEXT_MAX);
	buf_clear(&b);
	assert_int_equal(vmm_ctl_put_ended(&b, VMM_CTL_END_POWER_OFF, ""), 0);
	f = only_frame(&b);
	assert_int_equal(vmm_ctl_get_ended(&f, &ended, &e), 0);
	assert_string_equal(ended.text, "");
}

/* Bit I is set when the decoder of types[I] took the frame. */
static unsigned takers(const struct vmm_ctl_frame *f)
{
	struct vmm_ctl_attach a;
	struct vmm_ctl_counts c;
	struct vmm_ctl_error error;
	struct vmm_ctl_ended ended;
	struct err e = { 0 };
	uint64_t v;
	unsigned ret = 0;

	ret |= (unsigned)(vmm_ctl_get_balloon(f, &v, &e) == 0) << type_find(VMM_CTL_BALLOON);
	ret |= (unsigned)(vmm_ctl_get_resize(f, &v, &e) == 0) << type_find(VMM_CTL_RESIZE);
	ret |= (unsigned)(vmm_ctl_get_attach(f, &a, &e) == 0) << type_find(VMM_CTL_ATTACH);
	ret |= (unsigned)(vmm_ctl_get_error(f, &error, &e) == 0) << type_find(VMM_CTL_ERROR);
	ret |= (unsigned)(vmm_ctl_get_counts(f, &c, &e) == 0) << type_find(VMM_CTL_COUNTS);
	ret |= (unsigned)(vmm_ctl_get_ready(f, &e) == 0) << type_find(VMM_CTL_READY);
	ret |= (unsigned)(vmm_ctl_get_ended(f, &ended, &e) == 0) << type_find(VMM_CTL_ENDED);
	return ret;
}

/* A decoder takes its own type only, and no length that the type does not have, whoever made the
 * frame. */
static void decoders_take_their_own(void **state)
{
	auto_buf b = { 0 };

	(void)state;
	all_put(&b);
	for (size_t at = 0, used; at < b.len; at += used) {
		struct vmm_ctl_frame f;
		struct err e = { 0 };
		size_t i;

		assert_int_equal(vmm_ctl_next(b.data + at, b.len - at, &f, &used, &e), 1);
		i = type_find(f.type);
		assert_int_equal(takers(&f), types[i].len_max ? 1U << i : 0);
		if (!types[i].len_max)
			continue;
		f.len = types[i].len_min - 1;
		assert_int_equal(takers(&f), 0);
		f.len = types[i].len_max + 1;
		assert_int_equal(takers(&f), 0);
		f.len = UINT32_MAX;
		assert_int_equal(takers(&f), 0);
	}
}

static uint32_t next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(*seed >> 33);
}

static void changed_at_random(void **state)
{
	auto_buf good = { 0 };
	uint64_t seed = 1;

	(void)state;
	all_put(&good);
	for (unsigned i = 0; i < 30000; i++) {
		auto_free uint8_t *p = malloc(good.len);
		unsigned n = 1 + next_random(&seed) % 4;
		struct vmm_ctl_frame f;
		struct err e = { 0 };
		size_t at = 0, used = 0;
		int rc;

		assert_non_null(p);
		memcpy(p, good.data, good.len);
		for (unsigned j = 0; j < n; j++)
			p[next_random(&seed) % good.len] ^= (uint8_t)(1 << next_random(&seed) % 8);
		while ((rc = vmm_ctl_next(p + at, good.len - at, &f, &used, &e)) == 1) {
			(void)takers(&f); /* is not to crash */
			at += used;
		}
		assert_true(at <= good.len && (rc == 0 || (rc == -EBADMSG && e.msg[0])));
	}
}

static void no_room(void **state)
{
	struct buf b = BUF_LIMIT(10);

	(void)state;
	assert_int_equal(vmm_ctl_put(&b, VMM_CTL_STOP), 0);
	assert_int_equal(vmm_ctl_put(&b, VMM_CTL_STOP), -EFBIG);
	assert_int_equal(vmm_ctl_put_counts(&b, &counts), -EFBIG);
	assert_int_equal(vmm_ctl_put_error(&b, 1, "text"), -EFBIG);
	assert_int_equal(only_frame(&b).type, VMM_CTL_STOP);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(types_and_lengths),
		cmocka_unit_test(bad_heads),
		cmocka_unit_test(each_cut),
		cmocka_unit_test(these_bytes),
		cmocka_unit_test(balloon_values),
		cmocka_unit_test(resize_values),
		cmocka_unit_test(attach_values),
		cmocka_unit_test(counts_and_ready),
		cmocka_unit_test(numbers_before_texts),
		cmocka_unit_test(texts_are_cleaned_and_cut),
		cmocka_unit_test(decoders_take_their_own),
		cmocka_unit_test(changed_at_random),
		cmocka_unit_test(no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
