/* SPDX-License-Identifier: MIT */
/*
 * vhd_layout.c - what lies where in a file with blocks, and moving it
 *
 * A crash at any moment: what is written first is space that nothing names; then a table entry
 * (within a sector), a bit of the batmap (a cache, not believed when its checksum is wrong), or one
 * footer while the other is good. So each state in between opens.
 */
#include "vhd_layout.h"

#include <fcntl.h>

#define COPY_BYTES (1U << 20)

void vhd_layout_done(struct vhd_layout *l)
{
	free(l->spans);
	*l = (struct vhd_layout){ 0 };
}

static int span_compare(const void *a, const void *b)
{
	const struct vhd_span *x = a, *y = b;

	return (x->off > y->off) - (x->off < y->off);
}

static void span_push(struct vhd_layout *l, uint64_t off, uint64_t len, uint32_t block)
{
	l->spans[l->n++] = (struct vhd_span){ off, off + len, block };
}

void vhd_layout_add(struct vhd_layout *l, uint64_t off, uint64_t len)
{
	span_push(l, off, len, VHD_BAT_NONE);
	qsort(l->spans, l->n, sizeof(*l->spans), span_compare);
}

uint64_t vhd_layout_table_size(uint32_t entries)
{
	return align_up(4ULL * entries, VHD_SECTOR);
}

uint64_t vhd_layout_batmap_size(const struct vhd *v, uint32_t entries)
{
	uint64_t summed = ((uint64_t)entries << v->block_shift) >> 24;

	if (!v->has_batmap)
		return 0;
	return VHD_BATMAP_SIZE + align_up(MAX_OF((entries + 7ULL) / 8, summed), VHD_SECTOR);
}

static bool is_free(const struct vhd *v, const struct vhd_layout *l, uint64_t off, uint64_t len)
{
	if (!range_fits(off, len, v->tail))
		return false;
	for (size_t i = 0; i < l->n; i++)
		if (off < l->spans[i].end && l->spans[i].off < off + len)
			return false;
	return true;
}

/* Does it have a place of its own? An image with a bad batmap opens: that one may name any. */
static bool batmap_push(const struct vhd *v, struct vhd_layout *l)
{
	uint64_t off = v->header.table_offset + vhd_layout_table_size(v->header.table_entries);
	uint64_t len = (uint64_t)v->batmap.sectors * VHD_SECTOR;

	if (!is_free(v, l, off, VHD_BATMAP_SIZE))
		return false;
	span_push(l, off, VHD_BATMAP_SIZE, VHD_BAT_NONE);
	if (len == 0 || !is_free(v, l, v->batmap.offset, len))
		return false;
	span_push(l, v->batmap.offset, len, VHD_BAT_NONE);
	return true;
}

static int layout_make(const struct vhd *v, struct vhd_layout *ret_layout, bool *ret_has_batmap,
		       struct vhd_err *e)
{
	uint64_t table_size = vhd_layout_table_size(v->header.table_entries);
	struct vhd_layout l = { 0 };
	size_t n = 6 + 2 * VHD_PARENTS_MAX; /* what is no block, and room */

	for (uint32_t i = 0; i < v->n_blocks; i++)
		n += v->bat[i] != VHD_BAT_NONE;
	l.spans = calloc(n, sizeof(*l.spans));
	if (!l.spans)
		return vhd_err_sys(e, ENOMEM, "%s: layout", v->io->name);
	span_push(&l, 0, VHD_FOOTER_SIZE, VHD_BAT_NONE);
	span_push(&l, v->footer.data_offset, VHD_HEADER_SIZE, VHD_BAT_NONE);
	span_push(&l, v->header.table_offset, table_size, VHD_BAT_NONE);
	for (size_t i = 0; v->type == VHD_TYPE_DIFFERENCING && i < VHD_PARENTS_MAX; i++) {
		const struct vhd_locator *loc = &v->header.locators[i];

		if (loc->code[0] && MAX_OF(loc->space, loc->length) > 0)
			span_push(&l, loc->offset, MAX_OF(loc->space, loc->length), VHD_BAT_NONE);
	}
	for (uint32_t i = 0; i < v->n_blocks; i++)
		if (v->bat[i] != VHD_BAT_NONE)
			span_push(&l, (uint64_t)v->bat[i] * VHD_SECTOR, vhd_stride(v), i);
	*ret_has_batmap = v->has_batmap && batmap_push(v, &l);
	qsort(l.spans, l.n, sizeof(*l.spans), span_compare);
	*ret_layout = l;
	return 0;
}

int vhd_layout_read(const struct vhd *v, struct vhd_layout *ret_layout, struct vhd_err *e)
{
	bool ignored;

	return layout_make(v, ret_layout, &ignored, e);
}

uint64_t vhd_layout_end(const struct vhd_layout *l)
{
	uint64_t end = 0;

	for (size_t i = 0; i < l->n; i++)
		end = MAX_OF(end, l->spans[i].end);
	return end;
}

uint64_t vhd_layout_gap(const struct vhd_layout *l, uint64_t len, uint64_t align)
{
	uint64_t from = 0;

	for (size_t i = 0; i < l->n; i++) {
		if (l->spans[i].off >= from && l->spans[i].off - from >= len)
			return from;
		from = MAX_OF(from, align_up(l->spans[i].end, align));
	}
	return from;
}

uint64_t vhd_layout_place(const struct vhd *v, uint64_t from)
{
	return align_up(from + v->bitmap_size, vhd_data_align(v)) - v->bitmap_size;
}

static int io_flush(struct vhd *v, struct vhd_err *e)
{
	VHD_NEED(v->io->ops->flush(v->io), e, "%s: flush", v->io->name);
	return 0;
}

/* A block with its bitmap, holes as holes. */
static int block_copy(struct vhd *v, uint64_t from, uint64_t to, uint8_t *buf, struct vhd_err *e)
{
	uint64_t end = from + vhd_stride(v);

	while (from < end) {
		uint64_t len = end - from, run;
		bool is_data = true;

		if (v->io->ops->extent && v->io->ops->extent(v->io, from, &run, &is_data) == 0)
			len = MIN_OF(len, run);
		if (is_data) {
			len = MIN_OF(len, COPY_BYTES);
			VHD_NEED(vhd_pread(v->io, buf, (size_t)len, from), e,
				 "%s: read at offset %llu", v->io->name, (unsigned long long)from);
			VHD_NEED(vhd_pwrite(v->io, buf, (size_t)len, to), e,
				 "%s: write at offset %llu", v->io->name, (unsigned long long)to);
		} else {
			VHD_NEED(vhd_write_zeros(v->io, to, len), e, "%s: clear offset %llu",
				 v->io->name, (unsigned long long)to);
		}
		from += len;
		to += len;
	}
	return 0;
}

static int entry_write(struct vhd *v, uint32_t block, uint32_t sector, struct vhd_err *e)
{
	uint64_t off = v->header.table_offset + 4ULL * block;
	uint8_t raw[4];

	put_be32(raw, sector);
	VHD_NEED(vhd_pwrite(v->io, raw, sizeof(raw), off), e, "%s: table entry %u at offset %llu",
		 v->io->name, block, (unsigned long long)off);
	v->bat[block] = sector;
	return 0;
}

int vhd_layout_move(struct vhd *v, const struct vhd_relocation *r, size_t n, struct vhd_err *e)
{
	auto_free uint8_t *buf = malloc(COPY_BYTES);
	int rc = buf ? 0 : vhd_err_sys(e, ENOMEM, "%s: move blocks", v->io->name);

	for (size_t i = 0; i < n && rc == 0; i++)
		rc = block_copy(v, (uint64_t)v->bat[r[i].block] * VHD_SECTOR, r[i].to, buf, e);
	if (rc == 0)
		rc = io_flush(v, e);
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = entry_write(v, r[i].block, (uint32_t)(r[i].to / VHD_SECTOR), e);
	return rc < 0 ? rc : io_flush(v, e);
}

/*
 * The batmap no longer calls these full: durable before they go, so that one that is allocated anew
 * is not taken for what it was. A bad one becomes one that calls no block full.
 */
static int batmap_clear(struct vhd *v, const uint32_t *blocks, size_t n, struct vhd_err *e)
{
	size_t len = (size_t)v->batmap.sectors * VHD_SECTOR;
	auto_free uint8_t *map = NULL;
	uint8_t raw[VHD_BATMAP_SIZE];
	auto_layout l = { 0 };
	bool has_place;

	if (layout_make(v, &l, &has_place, e) < 0)
		return -e->code;
	if (!has_place || vhd_batmap_summed(v->size) > len || (v->n_blocks + 7U) / 8U > len)
		return 0; /* nobody believes it */
	map = calloc(1, len);
	if (!map)
		return vhd_err_sys(e, ENOMEM, "%s: batmap", v->io->name);
	if (!(v->problems & VHD_PROBLEM_BATMAP))
		VHD_NEED(vhd_pread(v->io, map, len, v->batmap.offset), e, "%s: batmap",
			 v->io->name);
	for (size_t i = 0; i < n; i++)
		map[blocks[i] / 8] &= (uint8_t) ~(0x80U >> (blocks[i] % 8));
	v->batmap.checksum = vhd_batmap_checksum(&v->batmap, map, v->size);
	vhd_batmap_encode(&v->batmap, raw);
	VHD_NEED(vhd_pwrite(v->io, map, len, v->batmap.offset), e, "%s: batmap", v->io->name);
	VHD_NEED(
		vhd_pwrite(v->io, raw, sizeof(raw),
			   v->header.table_offset + vhd_layout_table_size(v->header.table_entries)),
		e, "%s: batmap", v->io->name);
	return io_flush(v, e);
}

int vhd_layout_drop(struct vhd *v, const uint32_t *blocks, size_t n, struct vhd_err *e)
{
	int rc = v->has_batmap ? batmap_clear(v, blocks, n, e) : 0;

	for (size_t i = 0; i < n && rc == 0; i++)
		rc = entry_write(v, blocks[i], VHD_BAT_NONE, e);
	return rc < 0 ? rc : io_flush(v, e);
}

static int footer_write(struct vhd *v, uint64_t off, struct vhd_err *e)
{
	uint8_t raw[VHD_FOOTER_SIZE];

	vhd_footer_encode(&v->footer, raw);
	VHD_NEED(vhd_pwrite(v->io, raw, sizeof(raw), off), e, "%s: footer at offset %llu",
		 v->io->name, (unsigned long long)off);
	return io_flush(v, e);
}

int vhd_layout_extend(struct vhd *v, uint64_t end, struct vhd_err *e)
{
	if (end <= v->tail)
		return 0;
	v->tail = vhd_tail_of(end);
	return footer_write(v, v->tail, e);
}

int vhd_layout_cut(struct vhd *v, uint64_t end, struct vhd_err *e)
{
	uint64_t tail = vhd_tail_of(end);

	if (tail >= v->tail)
		return 0;
	if (footer_write(v, tail, e) < 0)
		return -e->code;
	v->tail = tail;
	VHD_NEED(v->io->ops->set_size(v->io, tail + VHD_FOOTER_SIZE), e, "%s: cut", v->io->name);
	return io_flush(v, e);
}

int vhd_layout_footers(struct vhd *v, struct vhd_err *e)
{
	int rc = footer_write(v, v->tail, e);

	return rc < 0 ? rc : footer_write(v, 0, e);
}

/* Is `tail` what an operation has made of `head`? */
static bool is_newer(const struct vhd_footer *tail, const struct vhd_footer *head)
{
	struct vhd_footer was = *tail;
	uint8_t a[VHD_FOOTER_SIZE], b[VHD_FOOTER_SIZE];

	was.size = head->size;
	was.original_size = head->original_size;
	was.geometry = head->geometry;
	was.data_offset = head->data_offset;
	vhd_footer_encode(&was, a);
	vhd_footer_encode(head, b);
	return memcmp(a, b, sizeof(a)) == 0;
}

int vhd_layout_mend(struct vhd_io *io, struct vhd_err *e)
{
	uint8_t tail_raw[VHD_FOOTER_SIZE], head_raw[VHD_FOOTER_SIZE], header_raw[VHD_HEADER_SIZE];
	struct vhd_footer tail, head;
	struct vhd_header header;
	uint64_t size;

	VHD_NEED(io->ops->get_size(io, &size), e, "%s: length", io->name);
	if (size < 2 * VHD_FOOTER_SIZE)
		return 0;
	VHD_NEED(vhd_pread(io, head_raw, sizeof(head_raw), 0), e, "%s: copy of the footer",
		 io->name);
	VHD_NEED(vhd_pread(io, tail_raw, sizeof(tail_raw), size - VHD_FOOTER_SIZE), e, "%s: footer",
		 io->name);
	if (memcmp(head_raw, tail_raw, sizeof(head_raw)) == 0 ||
	    vhd_footer_decode(tail_raw, &tail, e) < 0 ||
	    vhd_footer_decode(head_raw, &head, e) < 0 || tail.type == VHD_TYPE_FIXED ||
	    !is_newer(&tail, &head))
		return 0; /* nothing to end; what else there is, opening will tell */
	if (vhd_pread(io, header_raw, sizeof(header_raw), tail.data_offset) < 0 ||
	    vhd_header_decode(header_raw, &header, e) < 0 ||
	    header.table_entries < vhd_blocks_of(tail.size, header.block_size))
		return 0;
	VHD_NEED(vhd_pwrite(io, tail_raw, sizeof(tail_raw), 0), e, "%s: copy of the footer",
		 io->name);
	VHD_NEED(io->ops->flush(io), e, "%s: flush", io->name);
	return 0;
}

int vhd_layout_check_saved(const struct vhd *v, struct vhd_err *e)
{
	if (v->footer.is_saved_state)
		return vhd_err_set(e, EBUSY, "%s: belongs to a machine in saved state",
				   v->io->name);
	return 0;
}

static int mend_path(const char *path, uint32_t flags, struct vhd_err *e)
{
	auto_fd fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct vhd_io *io;
	int rc = 0;

	if (fd < 0)
		return vhd_err_sys(e, errno, "%s", path);
	if (!(flags & VHD_OPEN_NO_LOCK) && vhd_file_lock(fd, path, true, e) < 0)
		return -e->code;
	if (vhd_io_file(TAKE_FD(fd), path, &io, e) < 0)
		return -e->code;
	rc = vhd_layout_mend(io, e);
	vhd_io_close(io);
	return rc;
}

int vhd_layout_open(const char *path, const struct vhd_open_options *o, struct vhd **ret,
		    struct vhd_err *e)
{
	struct vhd_open_options write = o ? *o : (struct vhd_open_options){ 0 };
	struct vhd *v;

	write.flags |= VHD_OPEN_WRITE;
	if (!(write.flags & VHD_OPEN_RAW) && mend_path(path, write.flags, e) < 0)
		return -e->code;
	if (vhd_open(path, &write, &v, e) < 0)
		return -e->code;
	if (vhd_layout_check_saved(v, e) < 0) {
		vhd_free(v);
		return -e->code;
	}
	*ret = v;
	return 0;
}
