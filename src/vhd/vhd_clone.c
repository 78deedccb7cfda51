/* SPDX-License-Identifier: MIT */
/*
 * vhd_clone.c - another image of the same bytes, under an id of its own
 */
#include "vhd_internal.h"

#define CLONE_CHUNK 65536U

static int extent_clone(struct vhd_io *from, struct vhd_io *to, uint64_t off, uint64_t len,
			uint8_t *buf, struct vhd_err *e)
{
	while (len > 0) {
		size_t n = (size_t)MIN_OF(len, CLONE_CHUNK);

		VHD_NEED(vhd_pread(from, buf, n, off), e, "%s: read at offset %llu", from->name,
			 (unsigned long long)off);
		VHD_NEED(vhd_pwrite(to, buf, n, off), e, "%s: write at offset %llu", to->name,
			 (unsigned long long)off);
		off += n;
		len -= n;
	}
	return 0;
}

static int data_clone(struct vhd_io *from, struct vhd_io *to, uint64_t size, struct vhd_err *e)
{
	auto_free uint8_t *buf = malloc(CLONE_CHUNK);
	uint64_t off = 0;

	if (!buf)
		return vhd_err_sys(e, ENOMEM, "%s", to->name);
	VHD_NEED(to->ops->set_size(to, size), e, "%s: length", to->name);
	while (off < size) {
		uint64_t len = size - off;
		bool is_data = true;

		if (from->ops->extent)
			VHD_NEED(from->ops->extent(from, off, &len, &is_data), e, "%s: extents",
				 from->name);
		len = MIN_OF(len, size - off);
		if (is_data && extent_clone(from, to, off, len, buf, e) < 0)
			return -e->code;
		off += len;
	}
	return 0;
}

int vhd_clone(struct vhd_io *from, struct vhd_io *to, struct vhd_err *e)
{
	const struct vhd_open_options alone = { .flags = VHD_OPEN_NO_PARENT };
	uint8_t raw[VHD_FOOTER_SIZE];
	struct vhd_footer footer;
	struct vhd *v;
	uint64_t size, tail;
	bool has_head;

	/* what is no VHD, or a damaged one, is not made another of */
	if (vhd_image_open(from, &alone, &v, e) < 0)
		return -e->code;
	footer = v->footer;
	has_head = vhd_has_blocks(v);
	tail = v->tail;
	v->io = NULL; /* stays the caller's */
	vhd_free(v);
	memset(&footer.id, 0, sizeof(footer.id));
	VHD_NEED(from->ops->get_size(from, &size), e, "%s: length", from->name);
	if (vhd_uuid_make(&footer.id, e) < 0 || data_clone(from, to, size, e) < 0)
		return -e->code;
	vhd_footer_encode(&footer, raw);
	VHD_NEED(vhd_pwrite(to, raw, sizeof(raw), tail), e, "%s: footer", to->name);
	if (has_head)
		VHD_NEED(vhd_pwrite(to, raw, sizeof(raw), 0), e, "%s: footer", to->name);
	return 0;
}
