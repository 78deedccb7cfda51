/* SPDX-License-Identifier: MIT */
/* test_inflate.c - streams of every kind, whole, cut, and in pieces */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "bytes.h"
#include "inflate.h"
#include "tar_fixture.h"

/* What comes out of `in`, read in pieces of `piece` and outputs of `cap`. */
static int inflate_all(const struct buf *in, size_t piece, size_t cap, struct buf *out,
		       struct err *e)
{
	struct mem_source m;
	struct byte_source src = mem_source_of(&m, in, piece);
	struct inflate *z;
	int rc;

	assert_int_equal(inflate_new(&src, &z, e), 0);
	do {
		size_t n = 0;

		assert_int_equal(buf_reserve(out, cap), 0);
		rc = inflate_read(z, out->data + out->len, cap, &n, e);
		if (rc < 0)
			break;
		out->len += n;
		if (n < cap) {
			assert_int_equal(inflate_read(z, out->data + out->len, 1, &n, e), 0);
			assert_int_equal(n, 0); /* and ever after */
			break;
		}
	} while (1);
	inflate_free(z);
	return rc;
}

static void expect(struct buf *in, const void *want, size_t len)
{
	static const size_t pieces[] = { 1 << 20, 1, 3, 4, 5, 100 };
	static const size_t caps[] = { 1 << 16, 1, 7 };

	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(caps); k++) {
			auto_buf out = { 0 };
			struct err e = { 0 };

			if (inflate_all(in, pieces[i], caps[k], &out, &e) < 0)
				fail_msg("pieces of %zu: %s", pieces[i], e.msg);
			assert_int_equal(out.len, len);
			assert_memory_equal(out.data, want, len);
		}
	}
	buf_clear(in);
}

static void refuse(struct buf *in, const char *why)
{
	static const size_t pieces[] = { 1 << 20, 1, 5 };

	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		auto_buf out = { 0 };
		struct err e = { 0 };

		if (inflate_all(in, pieces[i], 4096, &out, &e) >= 0)
			fail_msg("taken, but: %s", why);
		assert_int_equal(e.code, EBADMSG);
		if (!strstr(e.msg, why))
			fail_msg("\"%s\" does not say: %s", e.msg, why);
	}
	buf_clear(in);
}

static void add(struct buf *b, const void *p, size_t n)
{
	assert_int_equal(buf_add(b, p, n), 0);
}

enum head { HEAD_TEXT = 1, HEAD_CRC = 2, HEAD_EXTRA = 4, HEAD_NAME = 8, HEAD_COMMENT = 16 };

/* A member with the header's optional parts. */
static void gzip_add(struct buf *b, const char *text, size_t len, uint8_t flags)
{
	uint8_t head[10] = { 0x1f, 0x8b, 8, flags }, end[8], data[4096];
	size_t at = b->len;
	z_stream z = { .next_in = (uint8_t *)text,
		       .avail_in = (uInt)len,
		       .next_out = data,
		       .avail_out = sizeof(data) };

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(deflateEnd(&z), Z_OK);
	add(b, head, sizeof(head));
	if (flags & HEAD_EXTRA)
		add(b, "\6\0xy\2\0\1\2", 8);
	if (flags & HEAD_NAME)
		add(b, "name", 5);
	if (flags & HEAD_COMMENT)
		add(b, "comment", 8);
	if (flags & HEAD_CRC) {
		put_le16(end, (uint16_t)crc32_z(0, (uint8_t *)b->data + at, b->len - at));
		add(b, end, 2);
	}
	add(b, data, sizeof(data) - z.avail_out);
	put_le32(end, (uint32_t)crc32_z(0, (const uint8_t *)text, len));
	put_le32(end + 4, (uint32_t)len);
	add(b, end, sizeof(end));
}

static void zstd_add(struct buf *b, const char *text, size_t len)
{
	char data[4096];
	size_t n = ZSTD_compress(data, sizeof(data), text, len, 3);

	assert_false(ZSTD_isError(n));
	add(b, data, n);
}

static void plain_bytes(void **state)
{
	auto_buf b = { 0 };

	(void)state;
	add(&b, "", 0);
	expect(&b, "", 0);
	add(&b, "a", 1);
	expect(&b, "a", 1);
	add(&b, "\x1f", 1);
	expect(&b, "\x1f", 1);
	add(&b, "\x28\xb5\x2f", 3); /* three bytes of four are no zstd */
	expect(&b, "\x28\xb5\x2f", 3);
	add(&b, "a longer text", 13);
	expect(&b, "a longer text", 13);
	add(&b, "BZh91AY", 7);
	refuse(&b, "bzip2 or xz");
	add(&b, "\xfd\x37zXZ", 5);
	refuse(&b, "bzip2 or xz");
}

static void gzip_members(void **state)
{
	char long_text[3000];
	auto_buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(long_text); i++)
		long_text[i] = (char)(i * i >> 3);
	gzip_add(&b, long_text, sizeof(long_text), 0);
	expect(&b, long_text, sizeof(long_text));
	gzip_add(&b, "one", 3, 0);
	gzip_add(&b, "", 0, HEAD_NAME);
	gzip_add(&b, "two", 3, 0);
	expect(&b, "onetwo", 6);
	/* each optional part, and all: a header may come in any pieces */
	for (uint8_t flags = 0; flags < 32; flags++) {
		gzip_add(&b, "first", 5, flags);
		gzip_add(&b, "second", 6, flags);
		expect(&b, "firstsecond", 11);
	}
	gzip_add(&b, "padded", 6, 0);
	add(&b, (char[600]){ 0 }, 600);
	expect(&b, "padded", 6);
}

static void gzip_refused(void **state)
{
	auto_buf b = { 0 };
	size_t whole;

	(void)state;
	gzip_add(&b, "some text", 9, HEAD_NAME | HEAD_EXTRA);
	whole = b.len;
	for (size_t n = 2; n < whole; n++) { /* cut at every byte */
		gzip_add(&b, "some text", 9, HEAD_NAME | HEAD_EXTRA);
		b.len = n;
		refuse(&b, "too early");
	}
	buf_clear(&b);
	gzip_add(&b, "x", 1, 0);
	b.data[b.len - 8] ^= 1;
	refuse(&b, "checksum");
	gzip_add(&b, "x", 1, 0);
	b.data[b.len - 1] ^= 1;
	refuse(&b, "checksum");
	gzip_add(&b, "x", 1, HEAD_CRC);
	b.data[10] ^= 1;
	refuse(&b, "checksum");
	gzip_add(&b, "x", 1, 0);
	add(&b, "garbage", 7);
	refuse(&b, "after the end");
	gzip_add(&b, "x", 1, 0);
	add(&b, "\0\0\0x", 4);
	refuse(&b, "after the end");
	gzip_add(&b, "x", 1, 0);
	add(&b, "\0\0", 2);
	gzip_add(&b, "y", 1, 0);
	refuse(&b, "after the end");
	gzip_add(&b, "x", 1, 0);
	add(&b, "\x1f\x8c\x08\0\0\0\0\0\0\0", 10);
	refuse(&b, "bad gzip header");
	gzip_add(&b, "x", 1, 0);
	b.data[2] = 7; /* no method of gzip */
	refuse(&b, "bad gzip header");
	gzip_add(&b, "x", 1, 0);
	b.data[3] |= 0x20; /* reserved */
	refuse(&b, "bad gzip header");
	gzip_add(&b, "x", 1, 0);
	b.data[10] = 7; /* a block of the reserved kind */
	refuse(&b, "broken gzip data");
}

static void zstd_frames(void **state)
{
	static const char skip[] = "\x53\x2a\x4d\x18\5\0\0\0skip!";
	auto_buf b = { 0 };

	(void)state;
	zstd_add(&b, "one", 3);
	expect(&b, "one", 3);
	add(&b, skip, sizeof(skip) - 1);
	zstd_add(&b, "one", 3);
	add(&b, skip, sizeof(skip) - 1);
	zstd_add(&b, "", 0);
	zstd_add(&b, "two", 3);
	add(&b, skip, sizeof(skip) - 1);
	expect(&b, "onetwo", 6);
	add(&b, skip, sizeof(skip) - 1);
	expect(&b, "", 0);
}

static void zstd_refused(void **state)
{
	auto_buf b = { 0 };
	size_t whole;

	(void)state;
	zstd_add(&b, "some text", 9);
	whole = b.len;
	for (size_t n = 4; n < whole; n++) {
		zstd_add(&b, "some text", 9);
		b.len = n;
		refuse(&b, "too early");
	}
	buf_clear(&b);
	zstd_add(&b, "x", 1);
	add(&b, "\0\0\0\0", 4); /* padding is gzip's only */
	refuse(&b, "zstd");
	zstd_add(&b, "x", 1);
	add(&b, "junk", 4);
	refuse(&b, "zstd");
	zstd_add(&b, "x", 1);
	add(&b, "\x28\xb5", 2);
	refuse(&b, "too early");
	add(&b, "\x28\xb5\x2f\xfd\x00\xf8\1\0\0", 9); /* a window of 2 TiB */
	refuse(&b, "zstd");
	add(&b, "\x53\x2a\x4d\x18\xff\xff\xff\xff", 8);
	refuse(&b, "too early");
}

/* Far above gzip's own ratio, but not before a gigabyte has come: frames that say "so many
 * zeros". */
struct bomb {
	const uint8_t *frame;
	size_t len;
};

static int bomb_next(void *arg, const uint8_t **ret, size_t *ret_len, struct err *e)
{
	struct bomb *b = arg;

	(void)e;
	*ret = b->frame;
	*ret_len = b->len;
	return 0;
}

static void bomb_is_refused(void **state)
{
	static char zeros[8 << 20];
	char frame[4096];
	struct bomb b = { (uint8_t *)frame, 0 };
	struct byte_source src = { bomb_next, &b };
	struct inflate *z;
	struct err e = { 0 };
	uint64_t total = 0;
	size_t n = 0;

	(void)state;
	b.len = ZSTD_compress(frame, sizeof(frame), zeros, sizeof(zeros), 3);
	assert_false(ZSTD_isError(b.len));
	assert_true(sizeof(zeros) / b.len > INFLATE_RATIO_MAX);
	assert_int_equal(inflate_new(&src, &z, &e), 0);
	while (inflate_read(z, zeros, sizeof(zeros), &n, &e) == 0) {
		total += n;
		assert_true(total <= INFLATE_RATIO_FREE + sizeof(zeros));
	}
	assert_int_equal(e.code, EFBIG);
	assert_non_null(strstr(e.msg, "grows more than"));
	assert_true(total + sizeof(zeros) > INFLATE_RATIO_FREE);
	inflate_free(z);
}

static int failing_next(void *arg, const uint8_t **ret, size_t *ret_len, struct err *e)
{
	(void)arg;
	(void)ret;
	(void)ret_len;
	return err_plain(e, EIO, "the source fails");
}

static void source_error_comes_through(void **state)
{
	struct byte_source src = { failing_next, NULL };
	struct inflate *z;
	struct err e = { 0 };
	char out[8];
	size_t n;

	(void)state;
	assert_int_equal(inflate_new(&src, &z, &e), 0);
	assert_int_equal(inflate_read(z, out, sizeof(out), &n, &e), -EIO);
	assert_string_equal(e.msg, "the source fails");
	inflate_free(z);
	inflate_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_bytes),
		cmocka_unit_test(gzip_members),
		cmocka_unit_test(gzip_refused),
		cmocka_unit_test(zstd_frames),
		cmocka_unit_test(zstd_refused),
		cmocka_unit_test(bomb_is_refused),
		cmocka_unit_test(source_error_comes_through),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
