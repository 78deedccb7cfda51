/* SPDX-License-Identifier: MIT */
/*
 * fuzz_vhd_ops.c - operations on an image, or a chain, compared with a plain array
 *
 * First byte: kind of the lowest image and whether few bitmaps fit. Then 7 bytes for each
 * operation: which, 3 of offset, 2 of length (high bit: times 64), what is written.
 */
#include "fuzz_input.h"

#include "vhd.h"

#define SIZE      ((5U << 18) + 512) /* two blocks and a half */
#define BLOCK_LEN (512U << 10)
#define DEPTH     4U
#define OPS_MAX   200U

struct state {
	struct vhd *v;
	struct vhd_io *stores[DEPTH]; /* copies of what the open images are on, lowest first */
	unsigned int depth;
	size_t cache_max;
	uint8_t bytes[SIZE], got[SIZE];
};

static void must_work(int rc)
{
	MUST(rc == 0);
}

/* An open image owns its store: each opening gets a copy, and the topmost is copied back. */
static void chain_open(struct state *s)
{
	struct vhd_open_options o = { .cache_max = s->cache_max };
	struct vhd_err e;

	s->v = NULL;
	for (unsigned int i = 0; i < s->depth; i++) {
		struct vhd_io *io = s->stores[i];
		struct vhd *v;

		if (i == s->depth - 1)
			o.flags = VHD_OPEN_WRITE;
		else
			must_work(vhd_io_memory_copy(s->stores[i], &io, &e));
		must_work(vhd_open_io(io, s->v, &o, &v, &e));
		s->v = v;
	}
}

/* As if the power were cut after a flush: what the image would write when closed is not kept. */
static void chain_reopen(struct state *s)
{
	struct vhd_io *copy;
	struct vhd_err e;

	must_work(vhd_flush(s->v, &e));
	must_work(vhd_io_memory_copy(s->stores[s->depth - 1], &copy, &e));
	must_work(vhd_close(s->v, &e));
	s->stores[s->depth - 1] = copy;
}

static void snapshot(struct state *s)
{
	struct vhd_create_options o = { .type = VHD_TYPE_DIFFERENCING, .parent_name = "p" };
	struct vhd_io *io;
	struct vhd_err e;

	if (s->depth == DEPTH)
		return;
	must_work(vhd_io_memory("child", 1U << 26, &io, &e));
	must_work(vhd_create_io(io, s->v, &o, &e));
	chain_reopen(s);
	s->stores[s->depth++] = io;
	chain_open(s);
}

static void discard(struct state *s, uint32_t off, uint32_t len)
{
	struct vhd_err e;

	must_work(vhd_discard(s->v, len, off, &e));
	must_work(vhd_read(s->v, s->got, len, off, &e));
	for (uint32_t i = 0; i < len; i++)
		MUST(s->got[i] == 0 || s->got[i] == s->bytes[off + i]);
	memcpy(s->bytes + off, s->got, len);
}

static void write_at(struct state *s, uint32_t off, uint32_t len, uint8_t value)
{
	struct vhd_err e;

	for (uint32_t i = 0; i < len; i++)
		s->bytes[off + i] = (uint8_t)(value + i / 64);
	must_work(vhd_write(s->v, s->bytes + off, len, off, &e));
}

static void step(struct state *s, const uint8_t p[7])
{
	uint32_t off = (uint32_t)(p[1] << 16 | p[2] << 8 | p[3]) % SIZE;
	uint32_t len = (uint32_t)(p[4] << 8 | p[5]);
	struct vhd_err e;

	if (len & 0x8000) /* whole sectors */
		len = (len & 0x7fff) * 64;
	if (p[0] & 0x80)
		off = off / 512 * 512;
	if (p[0] & 0x40)
		off = off / BLOCK_LEN * BLOCK_LEN;
	len = MIN_OF(len, SIZE - off);
	switch (p[0] % 8) {
	case 0:
	case 1:
		write_at(s, off, len, p[6]);
		break;
	case 2:
		memset(s->bytes + off, 0, len);
		must_work(vhd_zero(s->v, len, off, &e));
		break;
	case 3:
		discard(s, off, len);
		break;
	case 4:
		must_work(vhd_flush(s->v, &e));
		break;
	case 5:
		chain_reopen(s);
		chain_open(s);
		break;
	case 6:
		snapshot(s);
		break;
	default:
		must_work(vhd_read(s->v, s->got, len, off, &e));
		MUST(memcmp(s->got, s->bytes + off, len) == 0);
	}
}

/* Extents cover the disk; what is absent reads as zeros. */
static void compare(struct state *s)
{
	struct vhd_extent x;
	struct vhd_err e;

	must_work(vhd_read(s->v, s->got, SIZE, 0, &e));
	MUST(memcmp(s->got, s->bytes, SIZE) == 0);
	for (uint64_t off = 0; off < SIZE; off += x.len) {
		must_work(vhd_extent_at(s->v, off, SIZE - off, &x, &e));
		MUST(x.off == off && x.len > 0 && x.len <= SIZE - off && x.depth <= s->depth);
		for (uint64_t i = 0; x.kind == VHD_EXTENT_ABSENT && i < x.len; i++)
			MUST(s->bytes[off + i] == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct state s;
	struct vhd_create_options o = { .type = VHD_TYPE_DYNAMIC,
					.size = SIZE,
					.block_size = BLOCK_LEN };
	struct vhd_err e;

	if (len == 0)
		return 0;
	memset(&s, 0, sizeof(s));
	if (data[0] & 1)
		o = (struct vhd_create_options){ .type = VHD_TYPE_FIXED, .size = SIZE };
	else if (data[0] & 2) { /* with a batmap; one block of the size that there must be */
		o.profile = VHD_FOR_XENSERVER;
		o.block_size = VHD_BLOCK_DEFAULT;
	}
	s.cache_max = data[0] & 4;
	must_work(vhd_io_memory("disk", 1U << 26, &s.stores[0], &e));
	must_work(vhd_create_io(s.stores[0], NULL, &o, &e));
	s.depth = 1;
	chain_open(&s);
	for (size_t at = 1, n = 0; n < OPS_MAX && len - at >= 7; at += 7, n++)
		step(&s, data + at);
	compare(&s);
	chain_reopen(&s);
	chain_open(&s);
	compare(&s);
	must_work(vhd_close(s.v, &e));
	for (unsigned int i = 0; i + 1 < s.depth; i++)
		vhd_io_close(s.stores[i]);
	return 0;
}
