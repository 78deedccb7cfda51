/* SPDX-License-Identifier: MIT */
/*
 * fuzz_vhd_image.c - a whole image: surveyed, opened, and read where it says something is
 *
 * Input: flags, length of the file in 4 bytes, then its first bytes. What follows them is zeros or
 * ones, so that images with blocks take few bytes of input.
 */
#include "fuzz_input.h"

#include "vhd_check.h"

#define LENGTH_MAX (6U << 20)

enum {
	SUM_FOOTER = 1,  /* of the footer at 0 */
	COPY_FOOTER = 2, /* that is the last one too */
	SUM_HEADER = 4,  /* of the header at 512 */
	FILL_ONES = 8,
};

struct image {
	struct vhd_io io;
	uint8_t *data;
	size_t len;
	uint64_t size;
	uint8_t fill;
	uint8_t tail[VHD_FOOTER_SIZE];
	bool has_tail;
};

static uint8_t byte_at(const struct image *m, uint64_t off)
{
	if (m->has_tail && m->size >= VHD_FOOTER_SIZE && off >= m->size - VHD_FOOTER_SIZE)
		return m->tail[off - (m->size - VHD_FOOTER_SIZE)];
	return off < m->len ? m->data[off] : m->fill;
}

static int image_preadv(struct vhd_io *io, struct iovec *iov, int n, uint64_t off)
{
	const struct image *m = (struct image *)io;

	for (int i = 0; i < n; i++) {
		uint8_t *p = iov[i].iov_base;

		if (!range_fits(off, iov[i].iov_len, m->size))
			return -ENODATA;
		memset(p, m->fill, iov[i].iov_len);
		for (size_t k = 0; k < iov[i].iov_len; k++) {
			/* in the middle of what is filled nothing has to be looked at */
			if (off + k >= m->len && off + k + 2 * VHD_FOOTER_SIZE < m->size)
				k += MIN_OF(iov[i].iov_len - k,
					    m->size - off - k - VHD_FOOTER_SIZE) -
				     1;
			else
				p[k] = byte_at(m, off + k);
		}
		off += iov[i].iov_len;
	}
	return 0;
}

static int image_get_size(struct vhd_io *io, uint64_t *ret_size)
{
	*ret_size = ((struct image *)io)->size;
	return 0;
}

static void image_close(struct vhd_io *io)
{
	(void)io; /* the caller's */
}

static const struct vhd_io_ops image_ops = {
	.preadv = image_preadv,
	.get_size = image_get_size,
	.close = image_close,
};

static void sum_set(struct image *m, size_t at, size_t size, size_t sum_at)
{
	if (m->len >= at + size)
		put_be32(m->data + at + sum_at, vhd_checksum(m->data + at, size, sum_at));
}

static void image_init(struct image *m, const uint8_t *data, size_t len)
{
	uint8_t flags = data[0];

	*m = (struct image){
		.io = { .ops = &image_ops, .name = "fuzz.vhd", .is_read_only = true },
		.data = copy_of(data + 5, len - 5),
		.len = len - 5,
		.size = get_be32(data + 1) % LENGTH_MAX,
		.fill = flags & FILL_ONES ? 0xff : 0,
		.has_tail = (flags & COPY_FOOTER) && len - 5 >= VHD_FOOTER_SIZE,
	};
	if (flags & SUM_FOOTER)
		sum_set(m, 0, VHD_FOOTER_SIZE, 64);
	if (flags & SUM_HEADER)
		sum_set(m, 512, VHD_HEADER_SIZE, 36);
	if (m->has_tail)
		memcpy(m->tail, m->data, VHD_FOOTER_SIZE);
}

static void found(void *ctx, const char *file, const struct vhd_finding *f)
{
	unsigned int *n = ctx;

	MUST(file && f->field && f->text[0] && memchr(f->text, 0, sizeof(f->text)));
	MUST(++*n <= (VHD_SAME_MAX + 1) * VHD_CHECK_COUNT_);
}

static uint64_t survey(struct image *m)
{
	unsigned int n = 0;
	struct vhd_survey s = { .io = &m->io, .found = found, .ctx = &n };
	struct vhd_err e = { 0 };
	uint64_t n_errors;

	MUST(vhd_survey_make(&s, &e) == 0);
	n_errors = s.n_errors;
	MUST(!s.has_table || s.n_places + s.n_bad <= s.n_blocks);
	vhd_survey_done(&s);
	return n_errors;
}

static void read_at(struct vhd *v, uint64_t off)
{
	uint8_t buf[1536];
	struct vhd_extent extent = { 0 };
	struct vhd_err e = { 0 };
	size_t len;

	if (off >= vhd_size(v))
		return;
	len = (size_t)MIN_OF(sizeof(buf), vhd_size(v) - off);
	if (vhd_read(v, buf, len, off, &e) < 0)
		MUST(e.msg[0]);
	if (vhd_extent_at(v, off, vhd_size(v) - off, &extent, &e) == 0)
		MUST(extent.off == off && extent.len && extent.len <= vhd_size(v) - off);
}

/* Opens what has no error; reads where blocks begin and end. */
static void open_and_read(struct image *m, uint32_t flags, bool is_sound)
{
	const struct vhd_open_options o = { .flags = flags | VHD_OPEN_NO_PARENT };
	static struct vhd_info info;
	struct vhd_err e = { 0 };
	struct vhd *v;

	if (vhd_open_io(&m->io, NULL, &o, &v, &e) < 0) {
		MUST(!is_sound && e.msg[0]);
		return;
	}
	MUST(vhd_size(v) && vhd_size(v) <= VHD_SIZE_MAX);
	MUST(vhd_info_get(v, 0, &info, &e) == 0);
	for (uint32_t i = 0, n = 0; vhd_has_blocks(v) && i < v->n_blocks && n < 64; i++) {
		if (v->bat[i] == VHD_BAT_NONE)
			continue;
		MUST(v->state[i] & VHD_BLOCK_BAD ||
		     (v->bat[i] &&
		      range_fits((uint64_t)v->bat[i] * VHD_SECTOR, vhd_stride(v), m->size)));
		read_at(v, (uint64_t)i * vhd_block_size(v));
		read_at(v, (uint64_t)(i + 1) * vhd_block_size(v) - 1000);
		n++;
	}
	read_at(v, 0);
	read_at(v, vhd_size(v) - 1);
	(void)vhd_close(v, &e); /* read-only: nothing to lose */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct image m;
	uint64_t n_errors;

	if (len < 5)
		return 0;
	image_init(&m, data, len);
	n_errors = survey(&m);
	open_and_read(&m, 0, n_errors == 0);
	open_and_read(&m, VHD_OPEN_DAMAGED, n_errors == 0);
	free(m.data);
	return 0;
}
