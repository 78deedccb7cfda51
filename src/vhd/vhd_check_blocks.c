/* SPDX-License-Identifier: MIT */
/*
 * vhd_check_blocks.c - [U] table, blocks, bitmaps and batmap of a surveyed file
 *
 * Invariants: B1 an entry without is_bad[] names a place of `stride` bytes behind 0, before the
 * last footer, over no structure.  B2 places[] has each of them once, by sector.  B3 is_full[] has
 * the bits of good blocks whose bitmaps are all ones, as far as the disk goes.
 */
#include "vhd_check.h"

#include <inttypes.h>

#define UNENDED_MAX 16U /* blocks that a writer may have been making at once */
#define CHUNK       65536U

static int compare_places(const void *a, const void *b)
{
	const struct vhd_block_place *x = a, *y = b;

	if (x->sector != y->sector)
		return x->sector < y->sector ? -1 : 1;
	return (x->idx > y->idx) - (x->idx < y->idx);
}

static uint64_t entry_off(const struct vhd_survey *s, uint32_t i)
{
	return s->header.table_offset + 4ULL * i;
}

/* ---- table --------------------------------------------------------------------------------- */

/* Entries that no block of the disk has, and what fills the last sector. */
static void rest_survey(struct vhd_survey *s, const uint8_t *raw, size_t len)
{
	size_t i, ones = 0, zeros = 0, used = 4UL * s->header.table_entries;

	if (s->header.table_entries > s->n_blocks)
		vhd_check_say(s, VHD_NOTE, VHD_CHECK_HEADER, s->footer.data_offset + 28,
			      "max table entries: %u, but the disk has %u blocks",
			      s->header.table_entries, s->n_blocks);
	for (i = s->n_blocks; i < s->header.table_entries; i++)
		if (get_be32(raw + 4 * i) != VHD_BAT_NONE)
			vhd_check_say(s, VHD_WARNING, VHD_CHECK_ENTRY, entry_off(s, (uint32_t)i),
				      "entry %zu: sector %u, but the disk has %u blocks", i,
				      get_be32(raw + 4 * i), s->n_blocks);
	for (i = used; i < len; i++) {
		ones += raw[i] == 0xff;
		zeros += raw[i] == 0;
	}
	if (ones != len - used && zeros != len - used)
		vhd_check_say(s, VHD_NOTE, VHD_CHECK_TABLE, s->header.table_offset + used,
			      "padding is neither zeros nor ones");
}

static int table_read(struct vhd_survey *s, struct vhd_err *e)
{
	size_t len = (size_t)align_up(4ULL * s->header.table_entries, VHD_SECTOR);
	auto_free uint8_t *raw = malloc(len);

	s->bat = calloc(s->n_blocks, sizeof(*s->bat));
	s->is_bad = calloc(s->n_blocks, 1);
	s->is_full = calloc((s->n_blocks + 7) / 8, 1);
	s->places = calloc(s->n_blocks, sizeof(*s->places));
	if (!raw || !s->bat || !s->is_bad || !s->is_full || !s->places)
		return vhd_err_sys(e, ENOMEM, "%s: table of %u blocks", s->io->name, s->n_blocks);
	VHD_NEED(vhd_pread(s->io, raw, len, s->header.table_offset), e, "%s: table", s->io->name);
	for (uint32_t i = 0; i < s->n_blocks; i++)
		s->bat[i] = get_be32(raw + 4UL * i);
	rest_survey(s, raw, len);
	s->has_table = true;
	return 0;
}

static const struct vhd_region *region_hit(const struct vhd_survey *s, uint64_t off)
{
	for (size_t i = 0; i < s->n_regions; i++) {
		const struct vhd_region *r = &s->regions[i];

		if (off < r->off + r->len && r->off < off + s->stride)
			return r;
	}
	return NULL;
}

static void entries_sort_out(struct vhd_survey *s)
{
	for (uint32_t i = 0; i < s->n_blocks; i++) {
		uint64_t off = (uint64_t)s->bat[i] * VHD_SECTOR;

		if (s->bat[i] == VHD_BAT_NONE)
			continue;
		s->is_bad[i] = !range_fits(off, s->stride, s->limit) || region_hit(s, off);
		if (s->is_bad[i])
			s->n_bad++;
		else
			s->places[s->n_places++] =
				(struct vhd_block_place){ .sector = s->bat[i], .idx = i };
	}
	qsort(s->places, s->n_places, sizeof(*s->places), compare_places);
}

/*
 * A writer makes the file longer, puts the footer at its end, and only then names the block in the
 * table. If the entry reached the disk and the longer file did not, then the footer is still where
 * it was, in the last sector and right behind the last block, and the entry names the place that
 * comes next: nothing of the block was ever in this file. A file that was cut has no footer at its
 * end, and its entries stay.
 */
bool vhd_survey_is_unended(const struct vhd_survey *s)
{
	struct vhd_block_place bad[UNENDED_MAX];
	uint64_t next = s->tail;
	size_t n = 0;

	if (!s->has_table || s->n_bad == 0 || s->n_bad > UNENDED_MAX ||
	    s->tail_state != VHD_FOOTER_GOOD || s->tail_len != VHD_FOOTER_SIZE || s->copy_text[0] ||
	    s->tail - s->end >= VHD_ALIGN + VHD_FOOTER_SIZE)
		return false;
	for (uint32_t i = 0; i < s->n_blocks; i++)
		if (s->is_bad[i])
			bad[n++] = (struct vhd_block_place){ .sector = s->bat[i], .idx = i };
	qsort(bad, n, sizeof(bad[0]), compare_places);
	for (size_t i = 0; i < n; i++) {
		uint64_t off = (uint64_t)bad[i].sector * VHD_SECTOR;

		if (off < next || off - next >= VHD_ALIGN_WIDE + VHD_FOOTER_SIZE)
			return false;
		next = off + s->stride;
	}
	return true;
}

bool vhd_survey_is_tangled(const struct vhd_survey *s)
{
	for (size_t i = 1; i < s->n_places; i++)
		if ((uint64_t)(s->places[i].sector - s->places[i - 1].sector) * VHD_SECTOR <
		    s->stride)
			return true;
	return s->n_bad && !vhd_survey_is_unended(s);
}

static void entries_say(struct vhd_survey *s)
{
	bool is_unended = vhd_survey_is_unended(s);

	for (uint32_t i = 0; i < s->n_blocks; i++) {
		uint64_t off = (uint64_t)s->bat[i] * VHD_SECTOR;
		const struct vhd_region *r;

		if (!s->is_bad[i])
			continue;
		r = region_hit(s, off);
		if (r)
			vhd_check_say(s, VHD_ERROR, VHD_CHECK_ENTRY, entry_off(s, i),
				      "block %u at sector %u lies over the %s", i, s->bat[i],
				      r->name);
		else
			(is_unended ? vhd_check_say_repairable : vhd_check_say)(
				s, VHD_ERROR, VHD_CHECK_ENTRY, entry_off(s, i),
				"block %u at sector %u does not end before %" PRIu64 "%s", i,
				s->bat[i], s->limit, is_unended ? ": it was never written" : "");
	}
}

static void overlaps_say(struct vhd_survey *s)
{
	for (size_t i = 1; i < s->n_places; i++) {
		const struct vhd_block_place *a = &s->places[i - 1], *b = &s->places[i];

		if (a->sector == b->sector)
			vhd_check_say(s, VHD_ERROR, VHD_CHECK_ENTRY, entry_off(s, b->idx),
				      "blocks %u and %u are both at sector %u", a->idx, b->idx,
				      b->sector);
		else if ((uint64_t)(b->sector - a->sector) * VHD_SECTOR < s->stride)
			vhd_check_say(s, VHD_ERROR, VHD_CHECK_ENTRY, entry_off(s, b->idx),
				      "block %u at sector %u overlaps block %u at %u", b->idx,
				      b->sector, a->idx, a->sector);
	}
}

/* ---- space --------------------------------------------------------------------------------- */

struct gaps {
	uint64_t cursor, bytes, first;
	size_t n;
};

static void gap_pass(struct gaps *g, uint64_t off, uint64_t len)
{
	if (off > g->cursor && off - g->cursor >= VHD_ALIGN_WIDE) {
		if (g->n++ == 0)
			g->first = g->cursor;
		g->bytes += off - g->cursor;
	}
	g->cursor = MAX_OF(g->cursor, off + len);
}

static int compare_regions(const void *a, const void *b)
{
	const struct vhd_region *x = a, *y = b;

	return (x->off > y->off) - (x->off < y->off);
}

/* What lies in the file, in its order; what lies between is in use by nothing. */
static void space_survey(struct vhd_survey *s)
{
	struct gaps g = { 0 };
	size_t r = 0, n_odd = 0;

	qsort(s->regions, s->n_regions, sizeof(s->regions[0]), compare_regions);
	for (size_t i = 0; i < s->n_places; i++) {
		uint64_t off = (uint64_t)s->places[i].sector * VHD_SECTOR;

		for (; r < s->n_regions && s->regions[r].off < off; r++)
			gap_pass(&g, s->regions[r].off, s->regions[r].len);
		gap_pass(&g, off, s->stride);
		n_odd += (off + s->bitmap_size) % VHD_ALIGN != 0;
	}
	for (; r < s->n_regions; r++)
		gap_pass(&g, s->regions[r].off, s->regions[r].len);
	s->end = MAX_OF(s->end, g.cursor);
	if (g.n)
		vhd_check_say(s, VHD_NOTE, VHD_CHECK_LENGTH, g.first,
			      "%zu gaps of together %" PRIu64 " bytes, the first here", g.n,
			      g.bytes);
	if (n_odd)
		vhd_check_say(s, VHD_NOTE, VHD_CHECK_TABLE, s->header.table_offset,
			      "data of %zu blocks is not aligned to 4096 bytes", n_odd);
	if (s->limit > s->end && s->limit - s->end >= 2 * VHD_ALIGN)
		vhd_check_say(s, VHD_NOTE, VHD_CHECK_LENGTH, s->end,
			      "%" PRIu64 " bytes behind all structures and blocks",
			      s->limit - s->end);
}

int vhd_survey_table(struct vhd_survey *s, struct vhd_err *e)
{
	if (s->header.table_entries < s->n_blocks) {
		vhd_check_say(s, VHD_ERROR, VHD_CHECK_HEADER, s->footer.data_offset + 28,
			      "max table entries: %u, but the disk has %u blocks",
			      s->header.table_entries, s->n_blocks);
		return 0;
	}
	if (!vhd_survey_region(s, VHD_CHECK_TABLE, s->header.table_offset,
			       align_up(4ULL * s->header.table_entries, VHD_SECTOR), "table"))
		return 0;
	if (vhd_survey_batmap(s, e) < 0 || table_read(s, e) < 0)
		return -e->code;
	entries_sort_out(s);
	space_survey(s);
	entries_say(s);
	overlaps_say(s);
	return 0;
}

/* ---- batmap -------------------------------------------------------------------------------- */

static int map_read(struct vhd_survey *s, struct vhd_err *e)
{
	size_t len = (size_t)s->batmap.sectors * VHD_SECTOR;

	s->map = malloc(len);
	if (!s->map)
		return vhd_err_sys(e, ENOMEM, "%s: batmap", s->io->name);
	VHD_NEED(vhd_pread(s->io, s->map, len, s->batmap.offset), e, "%s: batmap", s->io->name);
	if (vhd_batmap_checksum(&s->batmap, s->map, s->footer.size) == s->batmap.checksum) {
		s->batmap_state = VHD_BATMAP_TRUE;
		return 0;
	}
	s->batmap_state = VHD_BATMAP_BAD_SUM;
	return 0;
}

int vhd_survey_batmap(struct vhd_survey *s, struct vhd_err *e)
{
	uint64_t off =
		s->header.table_offset + align_up(4ULL * s->header.table_entries, VHD_SECTOR);
	uint8_t raw[VHD_BATMAP_SIZE];
	struct vhd_err why = { 0 };
	uint64_t len;
	int rc;

	if (!vhd_footer_may_have_batmap(&s->footer) || !range_fits(off, sizeof(raw), s->limit))
		return 0;
	VHD_NEED(vhd_pread(s->io, raw, sizeof(raw), off), e, "%s: batmap", s->io->name);
	rc = vhd_batmap_decode(raw, &s->batmap, &why);
	if (rc < 0) {
		vhd_check_say(s, rc == -ENOTSUP ? VHD_ERROR : VHD_WARNING, VHD_CHECK_BATMAP, off,
			      "%s", why.msg);
		return 0;
	}
	len = (uint64_t)s->batmap.sectors * VHD_SECTOR;
	if (!vhd_survey_region(s, VHD_CHECK_BATMAP, off, sizeof(raw), "batmap's header") ||
	    !vhd_survey_region(s, VHD_CHECK_BATMAP, s->batmap.offset, len, "batmap"))
		return 0;
	if (len < (s->n_blocks + 7) / 8 || len < vhd_batmap_summed(s->footer.size)) {
		vhd_check_say(s, VHD_WARNING, VHD_CHECK_BATMAP, off + 16,
			      "sectors: %u, which is too few for %u blocks", s->batmap.sectors,
			      s->n_blocks);
		return 0;
	}
	s->batmap_off = off;
	return map_read(s, e);
}

static bool bit_at(const uint8_t *bits, size_t i)
{
	return bits[i / 8] & 0x80U >> i % 8;
}

/* A clear bit only costs time; a set one makes tapdisk read a block as if all of it were here. */
static void batmap_say(struct vhd_survey *s)
{
	__typeof__(&vhd_check_say) say =
		vhd_survey_is_tangled(s) ? vhd_check_say : vhd_check_say_repairable;

	if (s->batmap_state == VHD_BATMAP_BAD_SUM)
		say(s, VHD_WARNING, VHD_CHECK_BATMAP, s->batmap_off + 24,
		    "checksum: 0x%08x, the map sums to 0x%08x: it is not used", s->batmap.checksum,
		    vhd_batmap_checksum(&s->batmap, s->map, s->footer.size));
	if (s->batmap_state != VHD_BATMAP_TRUE)
		return;
	for (uint32_t i = 0; i < s->n_blocks; i++) {
		bool is_absent = s->bat[i] == VHD_BAT_NONE;

		if (!bit_at(s->map, i) || bit_at(s->is_full, i))
			continue;
		s->batmap_state = VHD_BATMAP_STALE;
		say(s, is_absent ? VHD_WARNING : VHD_ERROR, VHD_CHECK_BATMAP,
		    s->batmap.offset + i / 8, "says block %u is full, but it %s", i,
		    is_absent ? "is absent" : "is not");
	}
}

/* ---- bitmaps ------------------------------------------------------------------------------- */

static bool is_zero(const uint8_t *p, size_t len)
{
	return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

/* How far from `off` on the file is known to be a hole; 0: it has to be read. */
static uint64_t hole_at(const struct vhd_survey *s, uint64_t off)
{
	uint64_t len;
	bool is_data = true;

	if (!s->io->ops->extent || s->io->ops->extent(s->io, off, &len, &is_data) < 0 || is_data)
		return 0;
	return len;
}

/* 1: a byte of [off, off + len) is not zero, in the sector at *ret_off. */
static int range_find_data(const struct vhd_survey *s, uint64_t off, uint64_t len,
			   uint64_t *ret_off)
{
	uint8_t buf[CHUNK];
	uint64_t end = off + len;

	while (off < end) {
		uint64_t hole = hole_at(s, off);
		size_t n = (size_t)MIN_OF(end - off, sizeof(buf));
		int rc;

		if (hole) {
			off += MIN_OF(hole, end - off);
			continue;
		}
		rc = vhd_pread(s->io, buf, n, off);
		if (rc < 0)
			return rc;
		for (size_t i = 0; i < n; i += VHD_SECTOR) {
			if (is_zero(buf + i, VHD_SECTOR))
				continue;
			*ret_off = off + i;
			return 1;
		}
		off += n;
	}
	return 0;
}

/* Readers may do without the bitmaps of a dynamic disk, so what a clear bit hides must be zeros. */
static void clear_survey(struct vhd_survey *s, uint32_t idx, const uint8_t *bits, size_t end)
{
	uint64_t data = (uint64_t)s->bat[idx] * VHD_SECTOR + s->bitmap_size, found;
	size_t run;
	bool is_set;

	for (size_t i = 0; i < end; i += run) {
		int rc = 0;

		run = vhd_bits_run(bits, i, end, &is_set);
		if (!is_set)
			rc = range_find_data(s, data + i * VHD_SECTOR, (uint64_t)run * VHD_SECTOR,
					     &found);
		if (rc > 0)
			vhd_check_say(s, VHD_WARNING, VHD_CHECK_DATA, found,
				      "block %u: its bit is clear, but the sector is not zero",
				      idx);
		else if (rc < 0)
			vhd_check_say(s, VHD_ERROR, VHD_CHECK_DATA, data + i * VHD_SECTOR,
				      "block %u: %s", idx, strerrordesc_np(-rc));
		if (rc)
			return; /* one of a block is enough */
	}
}

static bool is_any_set(const uint8_t *bits, size_t from, size_t end)
{
	bool is_set;

	/* two runs at most are looked at: what follows clear ones is set */
	return from < end && (from + vhd_bits_run(bits, from, end, &is_set) < end || is_set);
}

static void bitmap_survey(struct vhd_survey *s, uint32_t idx, uint8_t *bits)
{
	uint64_t off = (uint64_t)s->bat[idx] * VHD_SECTOR;
	uint64_t start = (uint64_t)idx * s->header.block_size;
	size_t end = (size_t)MIN_OF(s->header.block_size, s->footer.size - start) / VHD_SECTOR;
	int rc = vhd_pread(s->io, bits, s->bitmap_size, off);

	if (rc < 0) {
		vhd_check_say(s, VHD_ERROR, VHD_CHECK_BITMAP, off, "block %u: %s", idx,
			      strerrordesc_np(-rc));
		return;
	}
	if (vhd_bits_all(bits, 0, end)) { /* ones are set to the bitmap's end too: usual */
		s->is_full[idx / 8] |= (uint8_t)(0x80U >> idx % 8);
		return;
	}
	if (is_any_set(bits, end, 8UL * s->bitmap_size))
		vhd_check_say(s, VHD_WARNING, VHD_CHECK_BITMAP, off + end / 8,
			      "block %u: bits beyond the end of the disk or block", idx);
	if (s->footer.type == VHD_TYPE_DYNAMIC)
		clear_survey(s, idx, bits, end);
}

int vhd_survey_bitmaps(struct vhd_survey *s, struct vhd_err *e)
{
	const struct vhd_progress *p = s->progress;
	auto_free uint8_t *bits = malloc(s->bitmap_size);

	if (!bits)
		return vhd_err_sys(e, ENOMEM, "%s: bitmap", s->io->name);
	for (size_t i = 0; i < s->n_places; i++) {
		if (p && p->step && i % 64 == 0 && p->step(p->ctx, i, s->n_places))
			return vhd_err_set(e, ECANCELED, "%s: check canceled", s->io->name);
		bitmap_survey(s, s->places[i].idx, bits);
	}
	batmap_say(s);
	return 0;
}
