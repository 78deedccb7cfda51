/* SPDX-License-Identifier: MIT */
/*
 * vhd_compact.c - unused blocks are given back, gaps closed, the file cut
 *
 * First a plan is made from table, bitmaps and data, which changes nothing; a dry run ends here. It
 * is then carried out in steps: blocks leave the table; some of the last blocks are copied into
 * gaps, which is durable before the table names them there; the footer moves forward and the file
 * is cut. A crash leaves an image with the same disk and more or less of unused space; running it
 * again goes on.
 *
 * A block may go if each of its sectors reads the same without it: those that the image holds are
 * zeros and no image below holds anything there; the others are asked of the parent anyway.
 */
#include "vhd_layout.h"
#include "vhd_walk.h"

#define BATCH 32U /* blocks moved between two flushes; and then the caller is asked */

struct plan {
	uint32_t *drops;
	struct vhd_relocation *moves;
	size_t n_drops, n_moves;
	uint64_t end; /* of what is left */
};

static void plan_done(struct plan *plan)
{
	free(plan->drops);
	free(plan->moves);
}

static int data_is_zero(struct vhd *v, uint64_t off, uint64_t len, uint8_t *buf, bool *ret,
			struct vhd_err *e)
{
	uint64_t end = off + len;

	while (off < end) {
		bool is_data = true;
		uint64_t run = end - off;

		if (!v->io->ops->extent || v->io->ops->extent(v->io, off, &run, &is_data) < 0)
			is_data = true;
		len = MIN_OF(run, end - off);
		if (is_data) {
			len = MIN_OF(len, VHD_WALK_MAX);
			VHD_NEED(vhd_pread(v->io, buf, (size_t)len, off), e,
				 "%s: read at offset %llu", v->io->name, (unsigned long long)off);
			if (!vhd_walk_is_zero(buf, (size_t)len)) {
				*ret = false;
				return 0;
			}
		}
		off += len;
	}
	*ret = true;
	return 0;
}

/* Does what shows through when these sectors go read as zeros? */
static bool is_absent_below(const struct vhd *v, uint64_t off, uint64_t len)
{
	if (v->type == VHD_TYPE_DYNAMIC)
		return true;
	return v->parent && vhd_map_is_absent(v->parent, off, len);
}

/*
 * May the block go? A dynamic image's bitmap is not asked: some writers do not keep it. `buf` holds
 * the bitmap and then, apart, data.
 */
static int block_can_go(struct vhd *v, uint32_t block, uint8_t *buf, bool *ret, struct vhd_err *e)
{
	uint64_t place = (uint64_t)v->bat[block] * VHD_SECTOR, data = place + v->bitmap_size;
	uint64_t disk = (uint64_t)block << v->block_shift;
	size_t n = vhd_block_size(v) / VHD_SECTOR, run;
	uint8_t *bits = buf;
	bool is_set;

	if (v->type == VHD_TYPE_DYNAMIC)
		return data_is_zero(v, data, vhd_block_size(v), buf + v->bitmap_size, ret, e);
	VHD_NEED(vhd_pread(v->io, bits, v->bitmap_size, place), e, "%s: bitmap of block %u",
		 v->io->name, block);
	*ret = true;
	for (size_t at = 0; at < n && *ret; at += run) {
		run = vhd_bits_run(bits, at, n, &is_set);
		if (!is_set)
			continue;
		*ret = is_absent_below(v, disk + at * VHD_SECTOR, run * VHD_SECTOR);
		if (*ret && data_is_zero(v, data + at * VHD_SECTOR, run * VHD_SECTOR,
					 buf + v->bitmap_size, ret, e) < 0)
			return -e->code;
	}
	return 0;
}

static int drops_plan(struct vhd *v, struct plan *plan, const struct vhd_progress *p,
		      struct vhd_err *e)
{
	auto_free uint8_t *buf = malloc(v->bitmap_size + (size_t)VHD_WALK_MAX);
	int rc = 0;

	plan->drops = calloc(MAX_OF(v->n_blocks, 1), sizeof(*plan->drops));
	if (!buf || !plan->drops)
		return vhd_err_sys(e, ENOMEM, "%s: compact", v->io->name);
	for (uint32_t i = 0; i < v->n_blocks && rc == 0; i++) {
		bool can_go = false;

		if (v->bat[i] == VHD_BAT_NONE)
			continue;
		rc = block_can_go(v, i, buf, &can_go, e);
		if (can_go && rc == 0)
			plan->drops[plan->n_drops++] = i;
		if (rc == 0)
			rc = vhd_walk_step(p, (uint64_t)i << v->block_shift, v->size, e);
	}
	return rc;
}

/* What is left when the planned blocks are gone. */
static void layout_without(struct vhd_layout *l, const struct plan *plan)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->n; i++) {
		bool goes = false;

		if (l->spans[i].block != VHD_BAT_NONE) { /* drops[] is sorted */
			size_t low = 0, high = plan->n_drops;

			while (low < high) {
				size_t mid = low + (high - low) / 2;

				if (plan->drops[mid] < l->spans[i].block)
					low = mid + 1;
				else
					high = mid;
			}
			goes = low < plan->n_drops && plan->drops[low] == l->spans[i].block;
		}
		if (!goes)
			l->spans[kept++] = l->spans[i];
	}
	l->n = kept;
}

/* The last block that is not planned to move, below `from`; l->n if there is none. */
static size_t last_block(const struct vhd_layout *l, size_t from)
{
	while (from-- > 0)
		if (l->spans[from].block != VHD_BAT_NONE)
			return from;
	return l->n;
}

/* Place in [from, end) for a block, aligned if it can be; UINT64_MAX: none. */
static uint64_t place_in(const struct vhd *v, uint64_t from, uint64_t end)
{
	uint64_t place = vhd_layout_place(v, from), plain = align_up(from, VHD_SECTOR);

	if (place <= end && end - place >= vhd_stride(v))
		return place;
	return plain <= end && end - plain >= vhd_stride(v) ? plain : UINT64_MAX;
}

/* The last blocks go to the first gaps, as long as that is forward. */
static int moves_plan(const struct vhd *v, const struct vhd_layout *l, struct plan *plan,
		      struct vhd_err *e)
{
	size_t last = last_block(l, l->n);
	uint64_t at = 0;

	plan->moves = calloc(MAX_OF(l->n, 1), sizeof(*plan->moves));
	if (!plan->moves)
		return vhd_err_sys(e, ENOMEM, "%s: compact", v->io->name);
	for (size_t i = 0; i < l->n && last < l->n && i <= last; i++) {
		uint64_t place;

		while (last < l->n && i <= last &&
		       (place = place_in(v, at, l->spans[i].off)) != UINT64_MAX) {
			plan->moves[plan->n_moves++] =
				(struct vhd_relocation){ l->spans[last].block, place };
			at = place + vhd_stride(v);
			plan->end = MAX_OF(plan->end, at);
			last = last_block(l, last);
		}
		at = MAX_OF(at, l->spans[i].end);
	}
	for (size_t i = 0; i < l->n; i++)
		if (l->spans[i].block == VHD_BAT_NONE || (last < l->n && i <= last))
			plan->end = MAX_OF(plan->end, l->spans[i].end);
	return 0;
}

static int plan_make(struct vhd *v, struct plan *plan, const struct vhd_progress *p,
		     struct vhd_err *e)
{
	auto_layout l = { 0 };

	if (drops_plan(v, plan, p, e) < 0 || vhd_layout_read(v, &l, e) < 0)
		return -e->code;
	layout_without(&l, plan);
	return moves_plan(v, &l, plan, e);
}

static int plan_do(struct vhd *v, const struct plan *plan, const struct vhd_progress *p,
		   struct vhd_err *e)
{
	int rc = plan->n_drops ? vhd_layout_drop(v, plan->drops, plan->n_drops, e) : 0;

	for (size_t i = 0; i < plan->n_moves && rc == 0; i += BATCH) {
		rc = vhd_walk_step(p, i, plan->n_moves, e);
		if (rc == 0)
			rc = vhd_layout_move(v, plan->moves + i, MIN_OF(BATCH, plan->n_moves - i),
					     e);
	}
	return rc < 0 ? rc : vhd_layout_cut(v, plan->end, e);
}

int vhd_compact_image(struct vhd *v, uint32_t flags, struct vhd_compact_result *ret,
		      const struct vhd_progress *p, struct vhd_err *e)
{
	__attribute__((cleanup(plan_done))) struct plan plan = { 0 };
	struct vhd_compact_result result = { 0 };

	if (!vhd_has_blocks(v))
		return vhd_err_set(e, EINVAL, "%s: a %s image has no blocks to give back",
				   v->io->name, vhd_type_name(v->type));
	VHD_NEED(v->io->ops->get_size(v->io, &result.before), e, "%s: length", v->io->name);
	if (plan_make(v, &plan, p, e) < 0)
		return -e->code;
	result.after = MIN_OF(result.before, vhd_tail_of(plan.end) + VHD_FOOTER_SIZE);
	result.blocks_freed = (uint32_t)plan.n_drops;
	result.blocks_moved = (uint32_t)plan.n_moves;
	if (!(flags & VHD_DRY_RUN) && plan_do(v, &plan, p, e) < 0)
		return -e->code;
	*ret = result;
	return 0;
}

int vhd_compact(const char *path, const struct vhd_open_options *o, uint32_t flags,
		struct vhd_compact_result *ret, const struct vhd_progress *p, struct vhd_err *e)
{
	auto_vhd_image *v = NULL;

	if (vhd_layout_open(path, o, &v, e) < 0)
		return -e->code;
	return vhd_compact_image(v, flags, ret, p, e);
}
