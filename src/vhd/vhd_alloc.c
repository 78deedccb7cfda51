/* SPDX-License-Identifier: MIT */
/*
 * vhd_alloc.c - places for blocks, and the footer that goes before them
 *
 * Blocks are laid one behind the other so that their data begins at a multiple of
 * vhd_data_align(); the footer is in the last sector of the file, whose length is a multiple of
 * VHD_ALIGN: the old one is left in the gap before the next block, or under its bitmap. The footer
 * is moved some blocks ahead at once, so that not each block costs a write of it;
 * vhd_tail_settle() takes it back.
 *
 * What a new block's place holds must read as zeros before the table names it: space beyond
 * `dirty_end` never held anything, space below is punched first, freed places were punched when
 * they were freed.
 *
 * A crash between moving the footer and the next flush may leave none at the end: the copy at the
 * front then serves (vhd_open.c), and nothing else has changed.
 */
#include "vhd_internal.h"

uint64_t vhd_tail_of(uint64_t end)
{
	return align_up(end + VHD_FOOTER_SIZE, VHD_ALIGN) - VHD_FOOTER_SIZE;
}

bool vhd_blocks_fit(uint64_t meta_end, uint32_t n, uint32_t block_size)
{
	uint64_t bitmap = vhd_bitmap_size(block_size);
	uint64_t first = align_up(meta_end + bitmap, VHD_ALIGN) - bitmap;
	uint64_t last = first + (n - 1ULL) * (block_size + align_up(bitmap, VHD_ALIGN));

	return last / VHD_SECTOR < VHD_BAT_NONE;
}

static int tail_write(struct vhd *v, uint64_t off, struct vhd_err *e)
{
	uint8_t raw[VHD_FOOTER_SIZE];

	vhd_footer_encode(&v->footer, raw);
	VHD_NEED(vhd_pwrite(v->io, raw, sizeof(raw), off), e, "%s: footer at offset %llu",
		 v->io->name, (unsigned long long)off);
	return 0;
}

static uint64_t place_behind(const struct vhd *v, uint64_t end)
{
	return align_up(end + v->bitmap_size, vhd_data_align(v)) - v->bitmap_size;
}

/* The footer behind as many blocks as may come soon. */
static int file_grow(struct vhd *v, uint64_t place, struct vhd_err *e)
{
	uint64_t each = align_up(vhd_stride(v), vhd_data_align(v));
	uint64_t old = v->tail, tail;

	tail = vhd_tail_of(place + vhd_stride(v) + MIN_OF(VHD_AHEAD_MAX, v->n_blocks - 1U) * each);
	if (tail_write(v, tail, e) < 0)
		return -e->code;
	v->tail = tail;
	v->has_grown = true;
	v->dirty_end = MAX_OF(v->dirty_end, old + VHD_FOOTER_SIZE);
	return 0;
}

static int place_take(struct vhd *v, uint32_t *ret_sector, struct vhd_err *e)
{
	uint64_t place, end;

	if (v->n_free > 0) {
		*ret_sector = v->free_places[--v->n_free];
		return 0;
	}
	place = place_behind(v, v->next);
	end = place + vhd_stride(v);
	if (place / VHD_SECTOR >= VHD_BAT_NONE)
		return vhd_err_set(e, EFBIG, "%s: no sector number is left for a block; compact it",
				   v->io->name);
	if (end > v->tail && file_grow(v, place, e) < 0)
		return -e->code;
	if (place < v->dirty_end)
		VHD_NEED(vhd_write_zeros(v->io, place, MIN_OF(end, v->tail) - place), e,
			 "%s: clear offset %llu", v->io->name, (unsigned long long)place);
	v->next = end;
	*ret_sector = (uint32_t)(place / VHD_SECTOR);
	return 0;
}

int vhd_block_add(struct vhd *v, uint32_t idx, struct vhd_err *e)
{
	uint64_t start = (uint64_t)idx << v->block_shift;
	bool is_full = vhd_map_is_absent(v->parent, start, vhd_block_size(v));
	uint32_t sector;
	uint8_t *bits;

	if (v->n_pending == VHD_PENDING_MAX)
		return vhd_err_set(e, EAGAIN, "%s: new blocks wait for a flush", v->io->name);
	if (!is_full && vhd_bitmap_add(v, idx, &bits, e) < 0)
		return -e->code;
	if (place_take(v, &sector, e) < 0) {
		vhd_bitmap_forget(v, idx);
		return -e->code;
	}
	v->state[idx] = is_full ? VHD_BLOCK_PENDING | VHD_BLOCK_FULL | VHD_BLOCK_BORN_FULL
				: VHD_BLOCK_PENDING;
	v->bat[idx] = sector;
	v->pending[v->n_pending++] = idx;
	return 0;
}

int vhd_block_drop(struct vhd *v, uint32_t idx, struct vhd_err *e)
{
	if (v->n_freed == VHD_FREED_MAX)
		return vhd_err_set(e, EAGAIN, "%s: freed blocks wait for a flush", v->io->name);
	v->freed[v->n_freed++] = (struct vhd_freed){ .idx = idx, .sector = v->bat[idx] };
	v->bat[idx] = VHD_BAT_NONE;
	v->state[idx] = 0;
	vhd_bitmap_forget(v, idx);
	return 0;
}

int vhd_tail_settle(struct vhd *v, struct vhd_err *e)
{
	uint64_t tail = vhd_tail_of(v->next), size;

	VHD_NEED(v->io->ops->get_size(v->io, &size), e, "%s: length", v->io->name);
	if (tail_write(v, tail, e) < 0)
		return -e->code;
	VHD_NEED(v->io->ops->flush(v->io), e, "%s: flush", v->io->name);
	if (size > tail + VHD_FOOTER_SIZE)
		VHD_NEED(v->io->ops->set_size(v->io, tail + VHD_FOOTER_SIZE), e, "%s: cut",
			 v->io->name);
	v->tail = tail;
	v->has_grown = false;
	return 0;
}
