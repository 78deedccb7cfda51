/* SPDX-License-Identifier: MIT */
/*
 * inflate.c - [U] gzip by ISA-L, zstd by libzstd, a plain tar as it is
 *
 * inflate_read() calls one step function until the output is full. A step takes from the piece of
 * input at hand and gives what it can; a step that does neither, with the input at its end, means a
 * truncated stream.
 *
 * Hostile: all input. Invariants: I1 output is at most INFLATE_OUT_MAX, and INFLATE_RATIO_MAX times
 * the input once it is above INFLATE_RATIO_FREE. I2 each turn of the loop takes input, gives output
 * or ends it.
 */
#include "inflate.h"

#include <isa-l.h>
#include <stdbool.h>
#include <zstd.h>

#include "bytes.h"

#define MAGIC_LEN           4U
#define PIECE_MAX           (1U << 30) /* ISA-L counts in 32 bits */
#define ZSTD_FRAME          0xfd2fb528U
#define ZSTD_SKIP           0x184d2a50U /* and the 15 that follow */
#define GZIP_MAGIC_0        0x1f
#define GZIP_FLAGS_RESERVED 0xe0U
#define GZIP_MAGIC_1        0x8b

enum kind { KIND_UNKNOWN, KIND_PLAIN, KIND_GZIP, KIND_ZSTD };

struct inflate {
	struct byte_source src;
	enum kind kind;
	const uint8_t *in;
	size_t in_len;
	bool in_ended, done;
	uint64_t in_total, out_total;
	uint8_t head[MAGIC_LEN]; /* the first bytes, when they come in smaller pieces */
	/* a piece that came while `head` was filled, to be taken after it */
	const uint8_t *held;
	size_t held_len;
	/* gzip */
	bool in_member, in_header, in_padding;
	struct isal_gzip_header gz_head; /* nothing of it is kept, but it carries state */
	struct inflate_state gz;
	/* zstd */
	bool in_frame;
	ZSTD_DCtx *zstd;
};

int inflate_new(const struct byte_source *src, struct inflate **ret, struct err *e)
{
	struct inflate *z = calloc(1, sizeof(*z));

	if (!z)
		return err_set(e, ENOMEM, "decompress");
	z->src = *src;
	*ret = z;
	return 0;
}

void inflate_free(struct inflate *z)
{
	if (!z)
		return;
	ZSTD_freeDCtx(z->zstd);
	free(z);
}

static int bad(struct err *e, const char *what)
{
	return err_plain(e, EBADMSG, "layer: %s", what);
}

/* ---- input ---- */

static int refill(struct inflate *z, struct err *e)
{
	if (z->held_len > 0) {
		z->in = z->held;
		z->in_len = z->held_len;
		z->held_len = 0;
		return 0;
	}
	if (z->in_ended)
		return 0;
	if (z->src.next(z->src.arg, &z->in, &z->in_len, e) < 0)
		return -e->code;
	z->in_ended = z->in_len == 0;
	z->in_total += z->in_len;
	return 0;
}

static void take(struct inflate *z, size_t n)
{
	z->in += n;
	z->in_len -= n;
}

/* The first bytes together in one place; a piece that is long enough stays where it is. */
static int head_gather(struct inflate *z, struct err *e)
{
	size_t n = 0;

	while (n < MAGIC_LEN) {
		size_t part;

		if (refill(z, e) < 0)
			return -e->code;
		if (z->in_ended || (n == 0 && z->in_len >= MAGIC_LEN))
			break;
		part = MIN_OF(z->in_len, MAGIC_LEN - n);
		memcpy(z->head + n, z->in, part);
		take(z, part);
		n += part;
	}
	if (n == 0)
		return 0;
	z->held = z->in;
	z->held_len = z->in_len;
	z->in = z->head;
	z->in_len = n;
	return 0;
}

static int zstd_start(struct inflate *z, struct err *e)
{
	z->zstd = ZSTD_createDCtx();
	if (!z->zstd || ZSTD_isError(ZSTD_DCtx_setParameter(z->zstd, ZSTD_d_windowLogMax,
							    INFLATE_ZSTD_WINDOW_LOG)))
		return err_set(e, ENOMEM, "zstd");
	z->kind = KIND_ZSTD;
	return 0;
}

static int kind_find(struct inflate *z, struct err *e)
{
	uint32_t magic;

	if (head_gather(z, e) < 0)
		return -e->code;
	z->kind = KIND_PLAIN;
	if (z->in_len >= 2 && z->in[0] == GZIP_MAGIC_0 && z->in[1] == GZIP_MAGIC_1)
		z->kind = KIND_GZIP;
	if (z->in_len < MAGIC_LEN)
		return 0;
	magic = get_le32(z->in);
	if (magic == ZSTD_FRAME || (magic & ~0xfU) == ZSTD_SKIP)
		return zstd_start(z, e);
	if (memcmp(z->in, "BZh", 3) == 0 || memcmp(z->in,
						   "\xfd"
						   "7zX",
						   4) == 0)
		return bad(e, "compressed by bzip2 or xz, which image layers may not be");
	return 0;
}

/* ---- steps ---- */

static int plain_step(struct inflate *z, uint8_t *out, size_t cap, size_t *ret_n, struct err *e)
{
	size_t n = MIN_OF(cap, z->in_len);

	(void)e;
	if (n > 0)
		memcpy(out, z->in, n);
	take(z, n);
	*ret_n = n;
	z->done = z->in_ended && z->in_len == 0 && z->held_len == 0;
	return 0;
}

/* Between members: another one, zeros to the end, or the end. */
static int gzip_between(struct inflate *z, struct err *e)
{
	if (z->in_len == 0) {
		z->done = z->in_ended;
		return 0;
	}
	if (z->in[0] == GZIP_MAGIC_0 && !z->in_padding) {
		isal_inflate_init(&z->gz);
		isal_gzip_header_init(&z->gz_head);
		/* its own reading of the header forgets the flags between two pieces */
		z->gz.crc_flag = ISAL_GZIP_NO_HDR_VER;
		z->in_member = z->in_header = true;
		return 0;
	}
	z->in_padding = true;
	while (z->in_len > 0 && z->in[0] == 0)
		take(z, 1);
	return z->in_len > 0 ? bad(e, "bytes after the end of the gzip stream") : 0;
}

static int gzip_fail(int code, struct err *e)
{
	switch (code) {
	case ISAL_INCORRECT_CHECKSUM:
		return bad(e, "gzip checksum or length is wrong");
	case ISAL_INVALID_WRAPPER:
	case ISAL_UNSUPPORTED_METHOD:
		return bad(e, "bad gzip header, or other bytes after a member");
	default:
		return bad(e, "broken gzip data");
	}
}

static int gzip_step(struct inflate *z, uint8_t *out, size_t cap, size_t *ret_n, struct err *e)
{
	uint32_t avail_in = (uint32_t)MIN_OF(z->in_len, PIECE_MAX);
	uint32_t avail_out = (uint32_t)MIN_OF(cap, PIECE_MAX);
	int r;

	*ret_n = 0;
	if (!z->in_member)
		return gzip_between(z, e);
	z->gz.next_in = (uint8_t *)z->in; /* only read */
	z->gz.avail_in = avail_in;
	z->gz.next_out = out;
	z->gz.avail_out = avail_out;
	r = z->in_header ? isal_read_gzip_header(&z->gz, &z->gz_head) : isal_inflate(&z->gz);
	if (r != ISAL_DECOMP_OK && !(z->in_header && r == ISAL_END_INPUT))
		return gzip_fail(r, e);
	take(z, avail_in - z->gz.avail_in);
	*ret_n = avail_out - z->gz.avail_out;
	if (!z->in_header) {
		z->in_member = z->gz.block_state != ISAL_BLOCK_FINISH;
		return 0;
	}
	z->in_header = r == ISAL_END_INPUT;
	if (!z->in_header && (z->gz_head.flags & GZIP_FLAGS_RESERVED)) /* RFC 1952, 2.3.1.2 */
		return bad(e, "bad gzip header: reserved flags are set");
	return 0;
}

static int zstd_step(struct inflate *z, uint8_t *out, size_t cap, size_t *ret_n, struct err *e)
{
	ZSTD_inBuffer in = { z->in, z->in_len, 0 };
	ZSTD_outBuffer to = { out, cap, 0 };
	size_t r;

	*ret_n = 0;
	if (!z->in_frame && z->in_len == 0) {
		z->done = z->in_ended;
		return 0;
	}
	r = ZSTD_decompressStream(z->zstd, &to, &in);
	if (ZSTD_isError(r))
		return err_plain(e, EBADMSG, "layer: zstd: %s", ZSTD_getErrorName(r));
	take(z, in.pos);
	*ret_n = to.pos;
	z->in_frame = r != 0;
	return 0;
}

static int step(struct inflate *z, uint8_t *out, size_t cap, size_t *ret_n, struct err *e)
{
	switch (z->kind) {
	case KIND_GZIP:
		return gzip_step(z, out, cap, ret_n, e);
	case KIND_ZSTD:
		return zstd_step(z, out, cap, ret_n, e);
	default:
		return plain_step(z, out, cap, ret_n, e);
	}
}

/* I1 */
static int limits_check(const struct inflate *z, struct err *e)
{
	if (z->out_total > INFLATE_OUT_MAX)
		return err_plain(e, EFBIG, "layer of more than %llu GiB",
				 (unsigned long long)(INFLATE_OUT_MAX >> 30));
	if (z->out_total > INFLATE_RATIO_FREE && z->out_total / INFLATE_RATIO_MAX > z->in_total)
		return err_plain(e, EFBIG, "layer that grows more than %u times when decompressed",
				 INFLATE_RATIO_MAX);
	return 0;
}

static int turn(struct inflate *z, uint8_t *out, size_t cap, size_t *ret_n, struct err *e)
{
	bool was_in_member = z->in_member;
	size_t had;

	if (z->in_len == 0 && refill(z, e) < 0)
		return -e->code;
	had = z->in_len;
	if (step(z, out, cap, ret_n, e) < 0)
		return -e->code;
	z->out_total += *ret_n;
	if (*ret_n == 0 && z->in_len == had && !z->done && z->in_member == was_in_member) {
		if (z->in_ended && z->held_len == 0)
			return bad(e, "compressed data ends too early");
		if (had > 0) /* I2 */
			return bad(e, "compressed data makes no progress");
	}
	return limits_check(z, e);
}

int inflate_read(struct inflate *z, void *out, size_t cap, size_t *ret_n, struct err *e)
{
	size_t n = 0;

	*ret_n = 0;
	if (z->kind == KIND_UNKNOWN && kind_find(z, e) < 0)
		return -e->code;
	while (n < cap && !z->done) {
		size_t part;

		if (turn(z, (uint8_t *)out + n, cap - n, &part, e) < 0)
			return -e->code;
		n += part;
	}
	*ret_n = n;
	return 0;
}
