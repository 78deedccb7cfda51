/* SPDX-License-Identifier: MIT */
/*
 * vhd_levels.c - which image of a chain holds what: a bounded map, for images that do not change
 *
 * A walk from image to image costs a chain of 16 more than the read itself. All images of a chain
 * but a topmost one that is open for writing are read-only, so what such a walk found once holds as
 * long as the chain is open. The map of it is beside the highest of them (`v->levels`), and is made
 * block by block: for each 4 KiB the level that holds all of it, that none does, or that it has to
 * be asked for.
 *
 * Lines are a bounded number; block i has line i modulo that. A block gets its line when it is
 * asked for twice with no other of the line between, so that reads all over a disk that is larger
 * than the map do not pay for lines that they never use.
 *
 * Threads: readers take no lock. A line counts its changes (`turn`, odd while it is being made); a
 * reader who sees another count afterwards has seen nothing. One thread makes lines at a time, and
 * who would have to wait walks.
 */
#include "vhd_internal.h"

#include <assert.h>

#define GRAIN     4096U
#define LINES_MIN 8U

/* What a grain says; else the level. */
#define IS_ABSENT  0xffU
#define IS_UNKNOWN 0xfeU /* in parts here and there, or not to be read */

static_assert(VHD_DEPTH_MAX <= IS_UNKNOWN, "a level fits a grain");

struct line { /* zeros: empty, so that lines that are not used cost no memory */
	_Atomic uint32_t turn;
	_Atomic uint32_t id;     /* of what block: its number + 1 */
	_Atomic uint32_t wanted; /* the id that was asked for last, and not here */
};

struct vhd_levels {
	uint32_t n_lines, n_grains; /* grains of a line */
	struct line *lines;
	_Atomic uint8_t *grains;
	pthread_mutex_t making;
	unsigned int n_images;
	struct vhd *images[VHD_DEPTH_MAX]; /* level 0: the highest */
};

void vhd_levels_free(struct vhd_levels *m)
{
	if (!m)
		return;
	pthread_mutex_destroy(&m->making);
	free(m->lines);
	free((void *)m->grains);
	free(m);
}

/* Is it worth a map, and may there be one? */
static bool is_for_levels(const struct vhd *v)
{
	if (!v || !v->parent || v->levels || !vhd_has_blocks(v) || vhd_depth(v) > VHD_DEPTH_MAX)
		return false;
	for (; v; v = v->parent)
		if (v->flags & VHD_OPEN_WRITE)
			return false;
	return true;
}

int vhd_levels_attach(struct vhd *top, size_t max, struct vhd_err *e)
{
	struct vhd *v = top->flags & VHD_OPEN_WRITE ? top->parent : top;
	struct vhd_levels *m;
	size_t n;

	if (!is_for_levels(v))
		return 0;
	m = calloc(1, sizeof(*m));
	if (!m)
		return vhd_err_sys(e, ENOMEM, "%s: map of its parents", top->io->name);
	pthread_mutex_init(&m->making, NULL);
	m->n_grains = vhd_block_size(v) / GRAIN;
	n = (max ? max : VHD_CACHE_DEFAULT) / (m->n_grains + sizeof(struct line));
	m->n_lines = (uint32_t)MAX_OF(MIN_OF(MAX_OF(n, LINES_MIN), v->n_blocks), 1);
	m->lines = calloc(m->n_lines, sizeof(*m->lines));
	m->grains = calloc(m->n_lines, m->n_grains);
	if (!m->lines || !m->grains) {
		vhd_levels_free(m);
		return vhd_err_sys(e, ENOMEM, "%s: map of its parents", top->io->name);
	}
	for (struct vhd *image = v; image; image = image->parent)
		m->images[m->n_images++] = image;
	v->levels = m;
	return 0;
}

void vhd_levels_detach(struct vhd *v)
{
	for (; v; v = v->parent) {
		vhd_levels_free(v->levels);
		v->levels = NULL;
	}
}

/* Grains that bytes [from, end) of the block touch are at `level`, unless another was there first.
 */
static void grains_set(_Atomic uint8_t *grains, uint64_t from, uint64_t end, uint8_t level)
{
	for (uint64_t i = from / GRAIN; i * GRAIN < end; i++) {
		bool is_first = i * GRAIN >= from;

		if (is_first || grains[i] != level)
			atomic_store_explicit(&grains[i], is_first ? level : IS_UNKNOWN,
					      memory_order_release);
	}
}

/* All of a block, by walking; what cannot be had is left to who asks for it. */
static void line_fill(struct vhd *v, _Atomic uint8_t *grains, uint32_t block)
{
	uint64_t start = (uint64_t)block << v->block_shift, done = 0;
	uint64_t len = MIN_OF(vhd_block_size(v), v->size - start);
	struct vhd_err ignored; /* whoever reads there gets the error himself */

	while (done < len) {
		struct vhd_place place;

		if (vhd_map_walk(v, start + done, len - done, &place, &ignored) < 0) {
			grains_set(grains, done, len, IS_UNKNOWN);
			return;
		}
		grains_set(grains, done, done + place.len,
			   place.image ? (uint8_t)place.depth : (uint8_t)IS_ABSENT);
		done += place.len;
	}
}

/* The block's line is another's. Make it, if that seems worth it and nobody else is at it. */
static void line_want(struct vhd *v, struct line *line, _Atomic uint8_t *grains, uint32_t block)
{
	struct vhd_levels *m = v->levels;

	if (atomic_exchange(&line->wanted, block + 1) != block + 1 ||
	    pthread_mutex_trylock(&m->making) != 0)
		return;
	line->turn++;
	line->id = block + 1;
	line_fill(v, grains, block);
	line->turn++;
	pthread_mutex_unlock(&m->making);
}

/* How many bytes from the block's byte `from` on (< `end`) say what the first does. */
static uint64_t grains_run(const _Atomic uint8_t *grains, uint64_t from, uint64_t end,
			   uint8_t *ret_level)
{
	uint64_t i = from / GRAIN;
	uint8_t level = atomic_load_explicit(&grains[i], memory_order_acquire);

	do
		i++;
	while (i * GRAIN < end && atomic_load_explicit(&grains[i], memory_order_acquire) == level);
	*ret_level = level;
	return MIN_OF(i * GRAIN, end) - from;
}

bool vhd_levels_find(struct vhd *v, uint64_t off, uint64_t *io_len, unsigned int *ret_level,
		     struct vhd **ret_image)
{
	struct vhd_levels *m = v->levels;
	uint32_t block = (uint32_t)(off >> v->block_shift), i = block % m->n_lines, turn;
	_Atomic uint8_t *grains = m->grains + (size_t)i * m->n_grains;
	uint64_t from = off & (vhd_block_size(v) - 1), len;
	struct line *line = &m->lines[i];
	uint8_t level;

	turn = line->turn;
	if (turn % 2)
		return false;
	if (line->id != block + 1) {
		line_want(v, line, grains, block);
		return false;
	}
	len = grains_run(grains, from, MIN_OF(from + *io_len, vhd_block_size(v)), &level);
	if (line->turn != turn || level == IS_UNKNOWN)
		return false;
	*io_len = MIN_OF(*io_len, len);
	*ret_image = level == IS_ABSENT ? NULL : m->images[level];
	*ret_level = level == IS_ABSENT ? m->n_images : level;
	return true;
}
