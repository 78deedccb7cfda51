/* SPDX-License-Identifier: MIT */
/*
 * fuzz_vhd_open.c - a hostile image, or a chain of two, opened, read, asked, and written
 *
 * An image is: one byte of flags, two of a length, three of a gap in sectors, then bytes of that
 * length. The file is those bytes, the gap of zeros, and (by a flag) its first 512 bytes again as
 * the footer. By another flag the sums of footer and header are made right. The first byte of all
 * says how it is opened; a second image, if there is one, is the child of the first.
 */
#include "fuzz_input.h"

#include "vhd.h"

enum { IMAGE_TAIL = 1, IMAGE_SUMS = 2, IMAGE_TAIL_511 = 4 };
enum { OPEN_WRITES = 1, OPEN_ANY = 2, OPEN_ALONE = 4, OPEN_DAMAGED = 8, OPEN_SMALL_CACHE = 16 };

#define EXTENTS_MAX 300
#define GAP_MAX     (1U << 20) /* sectors */
#define PIECE       65536U

static uint8_t buf[PIECE], want[PIECE];

static void sum_set(uint8_t *raw, size_t size, size_t at)
{
	uint32_t sum = 0;

	memset(raw + at, 0, 4);
	for (size_t i = 0; i < size; i++)
		sum += raw[i];
	for (size_t i = 0; i < 4; i++)
		raw[at + i] = (uint8_t)(~sum >> (24 - 8 * i));
}

static void put(struct vhd_io *io, void *data, size_t len, uint64_t off)
{
	struct iovec iov = { .iov_base = data, .iov_len = len };

	MUST(io->ops->pwritev(io, &iov, 1, off) == 0);
}

/* The next image of the input; NULL: there is none. */
static struct vhd_io *image_next(const uint8_t **io_data, size_t *io_len)
{
	const uint8_t *p = *io_data;
	auto_free uint8_t *copy = NULL;
	struct vhd_io *io;
	struct vhd_err e;
	uint64_t end;
	size_t len;

	if (*io_len < 6)
		return NULL;
	len = MIN_OF((size_t)(p[1] << 8 | p[2]), *io_len - 6);
	end = len + 512ULL * MIN_OF((uint32_t)(p[3] << 16 | p[4] << 8 | p[5]), GAP_MAX);
	copy = copy_of(p + 6, len);
	if (p[0] & IMAGE_SUMS && len >= 512)
		sum_set(copy, 512, 64);
	if (p[0] & IMAGE_SUMS && len >= 1536)
		sum_set(copy + 512, 1024, 36);
	MUST(vhd_io_memory("image", 1U << 26, &io, &e) == 0);
	put(io, copy, len, 0);
	MUST(io->ops->set_size(io, end) == 0);
	if (p[0] & IMAGE_TAIL && len >= 512)
		put(io, copy, p[0] & IMAGE_TAIL_511 ? 511 : 512, end);
	*io_data += 6 + len;
	*io_len -= 6 + len;
	return io;
}

static void explained(int rc, const struct vhd_err *e)
{
	MUST(rc == 0 ||
	     (rc < 0 && e->code == -rc && memchr(e->msg, 0, sizeof(e->msg)) && e->msg[0]));
}

static void asked(struct vhd *v)
{
	static struct vhd_info info;
	struct vhd_err e;
	unsigned int depth = vhd_depth(v);

	for (unsigned int i = 0; i < depth; i++) {
		MUST(vhd_info_get(v, i, &info, &e) == 0);
		MUST(info.n_locators <= VHD_PARENTS_MAX && info.blocks_present <= info.blocks);
		MUST(memchr(info.parent_name, 0, sizeof(info.parent_name)));
		for (size_t k = 0; k < info.n_locators; k++)
			MUST(memchr(info.locators[k].path, 0, VHD_PATH_MAX));
	}
	MUST(vhd_info_get(v, depth, &info, &e) == -ENOENT);
}

/* Both ends of each extent, as far as there are not too many. */
static void read_all(struct vhd *v)
{
	uint64_t size = vhd_size(v), off = 0;
	struct vhd_extent x;
	struct vhd_err e;

	MUST(size > 0 && size <= VHD_SIZE_MAX && size % VHD_SECTOR == 0);
	for (int i = 0; i < EXTENTS_MAX && off < size; i++, off += x.len) {
		size_t n;
		int rc = vhd_extent_at(v, off, size - off, &x, &e);

		explained(rc, &e);
		if (rc < 0) { /* a block whose place is bad: on with the next sector but one */
			x.len = MIN_OF(size - off, 1U << 19);
			continue;
		}
		MUST(x.off == off && x.len > 0 && x.len <= size - off);
		n = (size_t)MIN_OF(x.len, PIECE);
		explained(vhd_read(v, buf, n, off, &e), &e);
		explained(vhd_read(v, buf, n, off + x.len - n, &e), &e);
	}
	explained(vhd_read(v, buf, 1, size - 1, &e), &e);
	MUST(vhd_read(v, buf, 2, size - 1, &e) < 0);
}

/* What could be written is there. */
static void write_some(struct vhd *v)
{
	uint64_t size = vhd_size(v), at[] = { 0, size / 3, size - MIN_OF(size, 3000) };
	struct vhd_err e;

	memset(want, 0x5a, sizeof(want));
	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		size_t n = (size_t)MIN_OF(3000, size - at[i]);
		int rc = vhd_write(v, want, n, at[i], &e);

		explained(rc, &e);
		if (rc < 0)
			continue;
		memset(buf, 0, n);
		MUST(vhd_read(v, buf, n, at[i], &e) == 0 && memcmp(buf, want, n) == 0);
		explained(vhd_flush(v, &e), &e);
		MUST(vhd_read(v, buf, n, at[i], &e) == 0 && memcmp(buf, want, n) == 0);
	}
	explained(vhd_zero(v, MIN_OF(size, 1U << 20), 0, &e), &e);
	explained(vhd_discard(v, MIN_OF(size, 1U << 20), 0, &e), &e);
}

static struct vhd *image_open(struct vhd_io *io, struct vhd *parent, uint8_t how, bool is_top)
{
	struct vhd_open_options o = { .cache_max = how & OPEN_SMALL_CACHE };
	struct vhd *v = NULL;
	struct vhd_err e = { 0 };
	int rc;

	if (how & OPEN_WRITES && is_top)
		o.flags |= VHD_OPEN_WRITE;
	if (how & OPEN_ANY)
		o.flags |= VHD_OPEN_ANY_PARENT;
	if (how & OPEN_ALONE)
		o.flags |= VHD_OPEN_NO_PARENT;
	if (how & OPEN_DAMAGED && !(o.flags & VHD_OPEN_WRITE))
		o.flags |= VHD_OPEN_DAMAGED;
	rc = vhd_open_io(io, parent, &o, &v, &e);
	explained(rc, &e);
	if (rc < 0) {
		vhd_io_close(io);
		if (parent)
			MUST(vhd_close(parent, &e) == 0);
	}
	return v;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct vhd_io *low, *high;
	struct vhd_err e;
	struct vhd *v;
	uint8_t how;

	if (len == 0)
		return 0;
	how = data[0];
	data++;
	len--;
	low = image_next(&data, &len);
	if (!low)
		return 0;
	high = image_next(&data, &len);
	v = image_open(low, NULL, high ? how | OPEN_ALONE : how, !high);
	if (!v || high)
		v = v ? image_open(high, v, how, true) : (vhd_io_close(high), NULL);
	if (!v)
		return 0;
	asked(v);
	read_all(v);
	if (how & OPEN_WRITES)
		write_some(v);
	explained(vhd_close(v, &e), &e);
	return 0;
}
