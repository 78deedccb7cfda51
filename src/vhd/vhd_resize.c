/* SPDX-License-Identifier: MIT */
/*
 * vhd_resize.c - a disk becomes larger or smaller
 *
 * With blocks, larger: what the last block holds behind the old end is cleared; the footer moves
 * ahead where the file gets longer; blocks that the longer table needs the place of go to the end.
 * If something else is in its way, or a batmap has to stay behind it, the table is written anew
 * where there is room. All this is space that the header does not name yet. Then the header: offset
 * and length of the table and the checksum are in its first sector, so one write of 512 bytes
 * changes all. Then the footer at the end, then the one at the front. Smaller: the footers first,
 * then the header. A table with more entries than the disk has blocks is a valid one.
 *
 * Fixed: the footer is the only one, so one that is good is always at the end of the file: it is
 * written at the new end with the old size in it (the file is longer than need be, which is valid),
 * the old one is cleared, the one at the end gets the new size. Smaller: the other way round. (That
 * a write behind the end is there before the length is, is for the file system to see to.)
 *
 * A crash between the two footers leaves them different: such an image opens for reading with its
 * new size, and the next operation that opens it ends the change (vhd_layout_mend()).
 */
#include "vhd_layout.h"
#include "vhd_walk.h"

static int io_flush(struct vhd *v, struct vhd_err *e)
{
	VHD_NEED(v->io->ops->flush(v->io), e, "%s: flush", v->io->name);
	return 0;
}

static void footer_resize(struct vhd *v, uint64_t size)
{
	v->footer.size = v->footer.original_size = size; /* some readers believe the latter */
	v->footer.geometry = vhd_geometry_of(size);
}

/* Do the disk's bytes from `off` on, as this image holds them, read as zeros? */
static int tail_is_zero(struct vhd *v, uint64_t off, bool *ret, struct vhd_err *e)
{
	auto_free uint8_t *buf = malloc(VHD_WALK_MAX);
	struct vhd *below = v->parent;
	int rc = 0;

	if (!buf)
		return vhd_err_sys(e, ENOMEM, "%s: resize", v->io->name);
	v->parent = NULL;
	*ret = true;
	while (off < v->size && *ret && rc == 0) {
		struct vhd_piece piece;

		rc = vhd_walk_piece(v, off, MIN_OF(v->size - off, VHD_WALK_MAX), &piece, e);
		if (rc == 0 && !piece.is_zero) {
			rc = vhd_read(v, buf, (size_t)piece.at.len, off, e);
			*ret = rc == 0 && vhd_walk_is_zero(buf, (size_t)piece.at.len);
		}
		off += rc == 0 ? piece.at.len : 0;
	}
	v->parent = below;
	return rc;
}

static int tail_must_be_zero(struct vhd *v, uint64_t size, struct vhd_err *e)
{
	bool is_zero = false;

	if (tail_is_zero(v, size, &is_zero, e) < 0)
		return -e->code;
	if (!is_zero)
		return vhd_err_set(e, EBUSY, "%s: holds data behind %llu bytes", v->io->name,
				   (unsigned long long)size);
	return 0;
}

/* ---- raw and fixed ------------------------------------------------------------------------- */

static int raw_resize(struct vhd *v, uint64_t size, struct vhd_err *e)
{
	if (size < v->size && tail_must_be_zero(v, size, e) < 0)
		return -e->code;
	VHD_NEED(v->io->ops->set_size(v->io, size), e, "%s: length", v->io->name);
	return io_flush(v, e);
}

static int fixed_footer(struct vhd *v, uint64_t off, struct vhd_err *e)
{
	uint8_t raw[VHD_FOOTER_SIZE];

	vhd_footer_encode(&v->footer, raw);
	VHD_NEED(vhd_pwrite(v->io, raw, sizeof(raw), off), e, "%s: footer at offset %llu",
		 v->io->name, (unsigned long long)off);
	v->tail = off;
	return io_flush(v, e);
}

static int fixed_resize(struct vhd *v, uint64_t size, struct vhd_err *e)
{
	uint64_t held; /* bytes behind the disk that may be anything */

	if (size < v->size && tail_must_be_zero(v, size, e) < 0)
		return -e->code;
	VHD_NEED(v->io->ops->get_size(v->io, &held), e, "%s: length", v->io->name);
	if (size > v->tail && fixed_footer(v, size, e) < 0)
		return -e->code;
	if (size > v->size) {
		held = MIN_OF(held, size);
		VHD_NEED(vhd_write_zeros(v->io, v->size, held - v->size), e,
			 "%s: clear offset %llu", v->io->name, (unsigned long long)v->size);
		if (io_flush(v, e) < 0)
			return -e->code;
	}
	footer_resize(v, size);
	if (fixed_footer(v, v->tail, e) < 0)
		return -e->code;
	if (v->tail == size)
		return 0;
	if (fixed_footer(v, size, e) < 0)
		return -e->code;
	VHD_NEED(v->io->ops->set_size(v->io, size + VHD_FOOTER_SIZE), e, "%s: cut", v->io->name);
	return io_flush(v, e);
}

/* ---- with blocks: the table ---------------------------------------------------------------- */

/* Offset, length and checksum are in the first sector; the second stays as it is. */
static int header_write(struct vhd *v, struct vhd_err *e)
{
	uint8_t raw[VHD_HEADER_SIZE];

	vhd_header_encode(&v->header, raw);
	VHD_NEED(vhd_pwrite(v->io, raw, VHD_SECTOR, v->footer.data_offset), e,
		 "%s: header at offset %llu", v->io->name,
		 (unsigned long long)v->footer.data_offset);
	return io_flush(v, e);
}

/* Blocks in [from, end) go behind all; the file has room for them. */
static int blocks_evict(struct vhd *v, const struct vhd_layout *l, uint64_t from, uint64_t end,
			struct vhd_err *e)
{
	auto_free struct vhd_relocation *moves = calloc(l->n, sizeof(*moves));
	uint64_t at = MAX_OF(end, vhd_layout_end(l));
	size_t n = 0;

	if (!moves)
		return vhd_err_sys(e, ENOMEM, "%s: resize", v->io->name);
	for (size_t i = 0; i < l->n; i++) {
		const struct vhd_span *s = &l->spans[i];

		if (s->block == VHD_BAT_NONE || s->off >= end || s->end <= from)
			continue;
		moves[n++] = (struct vhd_relocation){ s->block, vhd_layout_place(v, at) };
		at = moves[n - 1].to + vhd_stride(v);
		if (at / VHD_SECTOR >= VHD_BAT_NONE)
			return vhd_err_set(e, EFBIG, "%s: no sector number is left for a block",
					   v->io->name);
	}
	if (vhd_layout_extend(v, at, e) < 0)
		return -e->code;
	return n ? vhd_layout_move(v, moves, n, e) : 0;
}

/* May the table grow to `end`, but for blocks? */
static bool is_free_for_table(const struct vhd *v, const struct vhd_layout *l, uint64_t end)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->spans[i].block == VHD_BAT_NONE && l->spans[i].off > v->header.table_offset &&
		    l->spans[i].off < end)
			return false;
	return !v->has_batmap;
}

/* The table stays where it is: entries behind its end become "none". */
static int table_extend(struct vhd *v, const struct vhd_layout *l, uint32_t entries,
			struct vhd_err *e)
{
	uint64_t from = v->header.table_offset + 4ULL * v->n_blocks;
	uint64_t end = v->header.table_offset + vhd_layout_table_size(entries);
	uint64_t old_end = v->header.table_offset + vhd_layout_table_size(v->header.table_entries);
	size_t len = from < end ? (size_t)(end - from) : 0;
	auto_free uint8_t *none = malloc(MAX_OF(len, 1));

	if (!none)
		return vhd_err_sys(e, ENOMEM, "%s: table", v->io->name);
	if (end > old_end && blocks_evict(v, l, old_end, end, e) < 0)
		return -e->code;
	memset(none, 0xff, len);
	VHD_NEED(vhd_pwrite(v->io, none, len, from), e, "%s: table at offset %llu", v->io->name,
		 (unsigned long long)from);
	return io_flush(v, e);
}

/* The batmap again, behind the table at `off`; full blocks stay full if the old one is good. */
static int batmap_copy(struct vhd *v, uint64_t off, uint32_t entries, uint64_t size,
		       struct vhd_err *e)
{
	size_t len = (size_t)vhd_layout_batmap_size(v, entries) - VHD_BATMAP_SIZE;
	size_t old = (v->n_blocks + 7U) / 8U;
	auto_free uint8_t *map = calloc(1, MAX_OF(len, MAX_OF(old, vhd_batmap_summed(size))));
	uint8_t raw[VHD_BATMAP_SIZE];

	if (!map)
		return vhd_err_sys(e, ENOMEM, "%s: batmap", v->io->name);
	if (!(v->problems & VHD_PROBLEM_BATMAP))
		VHD_NEED(vhd_pread(v->io, map, MIN_OF(old, len), v->batmap.offset), e, "%s: batmap",
			 v->io->name);
	for (uint32_t i = MIN_OF(v->n_blocks, entries); i < len * 8; i++)
		map[i / 8] &= (uint8_t) ~(0x80U >> (i % 8));
	v->batmap.offset = off + VHD_BATMAP_SIZE;
	v->batmap.sectors = (uint32_t)(len / VHD_SECTOR);
	v->batmap.checksum = vhd_batmap_checksum(&v->batmap, map, size);
	vhd_batmap_encode(&v->batmap, raw);
	VHD_NEED(vhd_pwrite(v->io, raw, sizeof(raw), off), e, "%s: batmap", v->io->name);
	VHD_NEED(vhd_pwrite(v->io, map, len, off + sizeof(raw)), e, "%s: batmap", v->io->name);
	return 0;
}

/* The table, and a batmap behind it, to a place with room; the old ones count until the header says
 * so. The old place is unused then, until compact. */
static int table_relocate(struct vhd *v, const struct vhd_layout *l, uint32_t entries,
			  uint64_t size, struct vhd_err *e)
{
	uint64_t table_size = vhd_layout_table_size(entries);
	uint64_t len = table_size + vhd_layout_batmap_size(v, entries);
	uint64_t place = vhd_layout_gap(l, len, VHD_SECTOR);
	auto_free uint8_t *raw = malloc((size_t)table_size);

	if (!raw)
		return vhd_err_sys(e, ENOMEM, "%s: table", v->io->name);
	memset(raw, 0xff, (size_t)table_size);
	for (uint32_t i = 0; i < MIN_OF(v->n_blocks, entries); i++)
		put_be32(raw + 4 * (size_t)i, v->bat[i]);
	if (vhd_layout_extend(v, place + len, e) < 0)
		return -e->code;
	VHD_NEED(vhd_pwrite(v->io, raw, (size_t)table_size, place), e, "%s: table at offset %llu",
		 v->io->name, (unsigned long long)place);
	if (v->has_batmap && batmap_copy(v, place + table_size, entries, size, e) < 0)
		return -e->code;
	v->header.table_offset = place;
	return io_flush(v, e);
}

/* A table for a disk of `size` bytes; the header in the file still says what it said. */
static int table_fit(struct vhd *v, uint32_t entries, uint64_t size, struct vhd_err *e)
{
	uint64_t old_size = vhd_layout_table_size(v->header.table_entries);
	uint64_t table_size = vhd_layout_table_size(entries);
	uint64_t end = v->header.table_offset + table_size;
	auto_layout l = { 0 };
	bool stays;

	if (vhd_layout_read(v, &l, e) < 0)
		return -e->code;
	stays = is_free_for_table(v, &l, end);
	if (v->has_batmap) /* its header is where the table ends */
		stays = table_size == old_size &&
			vhd_layout_batmap_size(v, entries) - VHD_BATMAP_SIZE <=
				(uint64_t)v->batmap.sectors * VHD_SECTOR;
	return stays ? table_extend(v, &l, entries, e) : table_relocate(v, &l, entries, size, e);
}

/* ---- with blocks --------------------------------------------------------------------------- */

/* What the parent has behind the old end of its child must not show through. */
static int parent_check(const struct vhd *v, uint64_t size, struct vhd_err *e)
{
	if (v->type == VHD_TYPE_DIFFERENCING && !v->parent)
		return vhd_err_set(e, EINVAL, "%s: cannot grow without its parent", v->io->name);
	if (!v->parent || vhd_map_is_absent(v->parent, v->size, size - v->size))
		return 0;
	return vhd_err_set(e, EBUSY, "%s: its parent %s holds data behind %llu bytes", v->io->name,
			   v->parent->io->name, (unsigned long long)v->size);
}

/* The last block may be larger than the disk: what is there becomes part of it. */
static int slack_clear(struct vhd *v, struct vhd_err *e)
{
	uint32_t last = v->n_blocks - 1;
	uint64_t in_block = v->size & (vhd_block_size(v) - 1);

	if (in_block == 0 || v->bat[last] == VHD_BAT_NONE)
		return 0;
	VHD_NEED(vhd_write_zeros(v->io,
				 (uint64_t)v->bat[last] * VHD_SECTOR + v->bitmap_size + in_block,
				 vhd_block_size(v) - in_block),
		 e, "%s: clear block %u", v->io->name, last);
	return io_flush(v, e);
}

/* Can a table address every block of the larger disk, if no space is wasted between them? */
static int room_check(const struct vhd *v, uint64_t size, uint32_t entries, struct vhd_err *e)
{
	uint64_t meta_end = VHD_FOOTER_SIZE + VHD_HEADER_SIZE + vhd_layout_table_size(entries) +
			    vhd_layout_batmap_size(v, entries);

	for (size_t i = 0; v->type == VHD_TYPE_DIFFERENCING && i < VHD_PARENTS_MAX; i++)
		meta_end += v->header.locators[i].space;
	if (vhd_blocks_fit(meta_end, entries, vhd_block_size(v)))
		return 0;
	return vhd_err_set(e, EFBIG, "%s: a table cannot address %llu bytes in blocks of %u",
			   v->io->name, (unsigned long long)size, vhd_block_size(v));
}

static int blocks_grow(struct vhd *v, uint64_t size, uint32_t entries, struct vhd_err *e)
{
	int rc = 0;

	if (size > v->size)
		rc = room_check(v, size, entries, e);
	if (rc == 0 && size > v->size)
		rc = parent_check(v, size, e);
	if (rc == 0 && size > v->size)
		rc = slack_clear(v, e);
	if (rc == 0)
		rc = table_fit(v, entries, size, e);
	if (rc < 0)
		return rc;
	v->header.table_entries = entries;
	if (header_write(v, e) < 0)
		return -e->code;
	footer_resize(v, size);
	return vhd_layout_footers(v, e);
}

static int blocks_shrink(struct vhd *v, uint64_t size, uint32_t entries, struct vhd_err *e)
{
	for (uint32_t i = entries; i < v->n_blocks; i++)
		if (v->bat[i] != VHD_BAT_NONE)
			return vhd_err_set(e, EBUSY, "%s: block %u, behind %llu bytes, is in use",
					   v->io->name, i, (unsigned long long)size);
	if (tail_must_be_zero(v, size, e) < 0)
		return -e->code;
	footer_resize(v, size);
	if (vhd_layout_footers(v, e) < 0)
		return -e->code;
	v->size = size;
	v->n_blocks = entries;
	if (table_fit(v, entries, size, e) < 0)
		return -e->code;
	v->header.table_entries = entries;
	return header_write(v, e);
}

/* What a table that went elsewhere has left at the end of the file goes. */
static int file_cut(struct vhd *v, struct vhd_err *e)
{
	auto_layout l = { 0 };

	if (vhd_layout_read(v, &l, e) < 0)
		return -e->code;
	return vhd_layout_cut(v, vhd_layout_end(&l), e);
}

int vhd_resize_image(struct vhd *v, uint64_t size, struct vhd_err *e)
{
	uint32_t entries;
	int rc;

	if (v->type == VHD_TYPE_RAW)
		return raw_resize(v, size, e);
	if (size == 0 || size % VHD_SECTOR || size > VHD_SIZE_MAX)
		return vhd_err_set(e, EINVAL, "%s: size %llu is not whole sectors up to 2040 GiB",
				   v->io->name, (unsigned long long)size);
	if (v->type == VHD_TYPE_FIXED)
		return fixed_resize(v, size, e);
	entries = vhd_blocks_of(size, vhd_block_size(v));
	if (size == v->size && entries == v->header.table_entries)
		return 0;
	rc = size < v->size ? blocks_shrink(v, size, entries, e) : blocks_grow(v, size, entries, e);
	return rc < 0 ? rc : file_cut(v, e);
}

int vhd_resize(const char *path, uint64_t size, const struct vhd_open_options *o, struct vhd_err *e)
{
	auto_vhd_image *v = NULL;

	if (vhd_layout_open(path, o, &v, e) < 0)
		return -e->code;
	return vhd_resize_image(v, size, e);
}
