/* SPDX-License-Identifier: MIT */
/*
 * fuzz_inflate.c - compressed streams of any kind, in different pieces
 *
 * First byte: sizes of the pieces; second: of the outputs. Both readings must give the same bytes.
 * What is taken as gzip, zlib must read as the same; what is no compressed stream comes out as it
 * went in.
 */
#include "fuzz_input.h"

#include <stdbool.h>
#include <zlib.h>

#include "buf.h"
#include "inflate.h"

#define OUT_MAX (1U << 20) /* a bomb is left there */

enum end { END_ERROR, END_WHOLE, END_CUT };

static enum end read_all(const uint8_t *data, size_t len, size_t piece, size_t cap, struct buf *out)
{
	struct pieces in = { data, len, piece };
	struct byte_source src = { pieces_next, &in };
	enum end end = END_CUT;
	struct inflate *z;
	struct err e = { 0 };

	MUST(inflate_new(&src, &z, &e) == 0);
	while (out->len < OUT_MAX) {
		size_t n = SIZE_MAX;

		MUST(buf_reserve(out, cap) == 0);
		if (inflate_read(z, out->data + out->len, cap, &n, &e) < 0) {
			MUST(e.code > 0 && e.msg[0]);
			end = END_ERROR;
			break;
		}
		MUST(n <= cap);
		out->len += n;
		if (n == cap)
			continue;
		end = END_WHOLE;
		MUST(inflate_read(z, out->data + out->len, cap, &n, &e) == 0 && n == 0);
		break;
	}
	inflate_free(z);
	return end;
}

/*
 * All members, and zeros after them. Where zlib minds bits of a header that are reserved, which we
 * do not, there is nothing to compare.
 */
static bool zlib_agrees(const uint8_t *data, size_t len, const struct buf *want)
{
	auto_free uint8_t *out = malloc(want->len + 1);
	z_stream z = { .next_in = (uint8_t *)data, .avail_in = (uInt)len };
	bool is_reserved = false;
	size_t n = 0;
	int rc = Z_OK;

	MUST(out && inflateInit2(&z, 16 + MAX_WBITS) == Z_OK);
	while (z.avail_in > 0 && *z.next_in != 0) {
		z.next_out = out + n;
		z.avail_out = (uInt)(want->len + 1 - n);
		rc = inflate(&z, Z_FINISH);
		is_reserved = z.msg && strcmp(z.msg, "unknown header flags set") == 0;
		n = want->len + 1 - z.avail_out;
		if (rc != Z_STREAM_END || inflateReset(&z) != Z_OK)
			break;
	}
	inflateEnd(&z);
	return is_reserved ||
	       (rc == Z_STREAM_END && n == want->len && memcmp(out, want->data, n) == 0);
}

static bool is_packed(const uint8_t *d, size_t len)
{
	return (len >= 2 && d[0] == 0x1f && d[1] == 0x8b) ||
	       (len >= 4 && (memcmp(d, "\x28\xb5\x2f\xfd", 4) == 0 ||
			     ((d[0] & 0xf0) == 0x50 && memcmp(d + 1, "\x2a\x4d\x18", 3) == 0) ||
			     memcmp(d, "BZh", 3) == 0 || memcmp(d, "\xfd\x37zX", 4) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	auto_buf a = { 0 }, b = { 0 };
	enum end how;

	if (len < 2)
		return 0;
	how = read_all(data + 2, len - 2, piece_of(data[0]), piece_of(data[1]), &a);
	MUST(how == read_all(data + 2, len - 2, piece_of(data[0] >> 3), 65536, &b) ||
	     how != END_WHOLE);
	if (how != END_WHOLE)
		return 0;
	MUST(a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0));
	data += 2;
	len -= 2;
	if (!is_packed(data, len))
		MUST(a.len == len && (len == 0 || memcmp(a.data, data, len) == 0));
	else if (data[0] == 0x1f)
		MUST(zlib_agrees(data, len, &a));
	return 0;
}
