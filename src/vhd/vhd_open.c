/* SPDX-License-Identifier: MIT */
/*
 * vhd_open.c - [U] opening one image: which footer counts, and what its structures may be
 *
 * Hostile: everything in the file. Nothing is allocated before the file has been found long enough
 * to hold what makes it necessary: the table lies in the file, so its size is bounded by it.
 * Afterwards: I1 every entry of bat[] without BAD names a place that lies behind no structure and
 * before the footer. I2 an image that is open for writing has no BAD entry, no two blocks that
 * share a byte, and two equal footers. I3 header, table, batmap and locators do not overlap.
 */
#include "vhd_internal.h"

#define REGIONS_MAX (5 + VHD_PARENTS_MAX)

struct region { /* of the file, taken by a structure */
	uint64_t off, len;
	const char *name;
};

struct opening {
	struct vhd *v;
	uint64_t file_size;
	uint64_t data_limit; /* blocks end here at the latest */
	uint32_t flags;
	struct region regions[REGIONS_MAX];
	size_t n_regions;
};

static const char *name_of(const struct opening *o)
{
	return o->v->io->name;
}

void vhd_free(struct vhd *v)
{
	while (v) {
		struct vhd *parent = v->parent;

		vhd_cache_free(v->cache);
		vhd_levels_free(v->levels);
		free((void *)v->bat);
		free((void *)v->state);
		free(v->free_places);
		pthread_mutex_destroy(&v->flush_lock);
		pthread_mutex_destroy(&v->map_lock);
		pthread_rwlock_destroy(&v->io_lock);
		vhd_io_close(v->io);
		free(v);
		v = parent;
	}
}

/* ---- footers ------------------------------------------------------------------------------- */

/* The last 512 bytes; or 511 of old products, or none. */
static int tail_read(const struct opening *o, uint8_t raw[VHD_FOOTER_SIZE], uint64_t *ret_off,
		     struct vhd_err *e)
{
	size_t len =
		o->file_size % VHD_SECTOR == VHD_SECTOR - 1 ? VHD_FOOTER_SIZE - 1 : VHD_FOOTER_SIZE;

	memset(raw, 0, VHD_FOOTER_SIZE);
	if (o->file_size < len)
		return vhd_err_set(e, EBADMSG, "%s: %llu bytes are too short for a VHD", name_of(o),
				   (unsigned long long)o->file_size);
	*ret_off = o->file_size - len;
	VHD_NEED(vhd_pread(o->v->io, raw, len, *ret_off), e, "%s: footer", name_of(o));
	return 0;
}

static int head_read(const struct opening *o, uint8_t raw[VHD_FOOTER_SIZE], struct vhd_err *e)
{
	memset(raw, 0, VHD_FOOTER_SIZE);
	if (o->file_size >= VHD_FOOTER_SIZE)
		VHD_NEED(vhd_pread(o->v->io, raw, VHD_FOOTER_SIZE, 0), e, "%s: copy of the footer",
			 name_of(o));
	return 0;
}

static bool is_dynamic(const struct vhd_footer *f)
{
	return f->type == VHD_TYPE_DYNAMIC || f->type == VHD_TYPE_DIFFERENCING;
}

/* The tail counts if it is good, else the copy at the front, which only images with blocks have. */
static int footer_choose(struct opening *o, struct vhd_err *e)
{
	uint8_t tail_raw[VHD_FOOTER_SIZE], head_raw[VHD_FOOTER_SIZE];
	struct vhd_footer tail, head;
	struct vhd *v = o->v;
	struct vhd_err tail_e, head_e;
	int tail_rc, head_rc;

	if (tail_read(o, tail_raw, &v->tail, e) < 0 || head_read(o, head_raw, e) < 0)
		return -e->code;
	tail_rc = vhd_footer_decode(tail_raw, &tail, &tail_e);
	head_rc = vhd_footer_decode(head_raw, &head, &head_e);
	if (tail_rc < 0 && tail_rc != -EBADMSG)
		return vhd_err_set(e, tail_e.code, "%s: footer at offset %llu: %s", name_of(o),
				   (unsigned long long)v->tail, tail_e.msg);
	if (tail_rc < 0 && (head_rc < 0 || !is_dynamic(&head)))
		return vhd_err_set(e, EBADMSG,
				   "%s: no VHD: footer at offset %llu: %s; copy at 0: %s",
				   name_of(o), (unsigned long long)v->tail, tail_e.msg,
				   head_rc < 0 ? head_e.msg : "of a fixed disk");
	v->footer = tail_rc < 0 ? head : tail;
	if (tail_rc < 0)
		v->problems |= VHD_PROBLEM_TAIL_LOST;
	if (tail_rc == 0 && !is_dynamic(&tail) && head_rc == 0 && is_dynamic(&head) &&
	    vhd_uuid_equal(&tail.id, &head.id))
		return vhd_err_set(e, EINVAL, "%s: footer says fixed, its copy at 0 %s", name_of(o),
				   vhd_type_name(head.type));
	if (tail_rc < 0 || !is_dynamic(&tail))
		return 0;
	if (head_rc < 0)
		v->problems |= VHD_PROBLEM_HEAD_LOST;
	else if (memcmp(tail_raw, head_raw, VHD_FOOTER_SIZE - 1) != 0)
		v->problems |= VHD_PROBLEM_FOOTERS_DIFFER;
	return 0;
}

static int fixed_check(struct opening *o, struct vhd_err *e)
{
	struct vhd *v = o->v;

	if (v->tail < v->size)
		return vhd_err_set(
			e, EINVAL, "%s: footer: current size %llu, but %llu bytes are there",
			name_of(o), (unsigned long long)v->size, (unsigned long long)v->tail);
	if (v->tail > v->size)
		v->problems |= VHD_PROBLEM_LONGER;
	return 0;
}

/* ---- structures ---------------------------------------------------------------------------- */

/* A structure takes its region, or says whose it overlaps. */
static int region_add(struct opening *o, uint64_t off, uint64_t len, const char *name,
		      struct vhd_err *e)
{
	if (!range_fits(off, len, o->data_limit))
		return vhd_err_set(e, EINVAL, "%s: %s: %llu bytes at offset %llu are not all there",
				   name_of(o), name, (unsigned long long)len,
				   (unsigned long long)off);
	for (size_t i = 0; i < o->n_regions; i++) {
		const struct region *r = &o->regions[i];

		if (off < r->off + r->len && r->off < off + len)
			return vhd_err_set(e, EINVAL, "%s: %s at offset %llu overlaps the %s",
					   name_of(o), name, (unsigned long long)off, r->name);
	}
	o->regions[o->n_regions++] = (struct region){ .off = off, .len = len, .name = name };
	o->v->meta_end = MAX_OF(o->v->meta_end, off + len);
	return 0;
}

static int header_read(struct opening *o, struct vhd_err *e)
{
	uint8_t raw[VHD_HEADER_SIZE];
	struct vhd *v = o->v;
	uint64_t off = v->footer.data_offset;

	if (region_add(o, 0, VHD_FOOTER_SIZE, "copy of the footer", e) < 0 ||
	    region_add(o, off, VHD_HEADER_SIZE, "header", e) < 0)
		return -e->code;
	VHD_NEED(vhd_pread(v->io, raw, sizeof(raw), off), e, "%s: header", name_of(o));
	if (vhd_header_decode(raw, &v->header, e) < 0)
		return vhd_err_wrap(e, "%s: header at offset %llu", name_of(o),
				    (unsigned long long)off);
	v->block_shift = (unsigned int)__builtin_ctz(v->header.block_size);
	v->bitmap_size = vhd_bitmap_size(v->header.block_size);
	v->n_blocks = vhd_blocks_of(v->size, v->header.block_size);
	if (v->header.table_entries < v->n_blocks)
		return vhd_err_set(e, EINVAL, "%s: header: %u table entries for %u blocks",
				   name_of(o), v->header.table_entries, v->n_blocks);
	if (region_add(o, v->header.table_offset,
		       align_up(4ULL * v->header.table_entries, VHD_SECTOR), "table", e) < 0)
		return -e->code;
	return 0;
}

static int locators_check(struct opening *o, struct vhd_err *e)
{
	const struct vhd *v = o->v;

	if (v->type != VHD_TYPE_DIFFERENCING)
		return 0;
	for (size_t i = 0; i < VHD_PARENTS_MAX; i++) {
		const struct vhd_locator *l = &v->header.locators[i];
		uint32_t len = MAX_OF(l->space, l->length);

		if (l->code[0] && len && region_add(o, l->offset, len, "parent locator", e) < 0)
			return -e->code;
	}
	return 0;
}

/* ---- the table ----------------------------------------------------------------------------- */

static int table_read(struct opening *o, struct vhd_err *e)
{
	struct vhd *v = o->v;
	uint32_t *raw = malloc(MAX_OF(v->n_blocks, 1) * sizeof(*raw));

	v->bat = (_Atomic uint32_t *)raw;
	v->state = calloc(MAX_OF(v->n_blocks, 1), 1);
	if (!raw || !v->state)
		return vhd_err_sys(e, ENOMEM, "%s: table of %u blocks", name_of(o), v->n_blocks);
	VHD_NEED(vhd_pread(v->io, raw, v->n_blocks * sizeof(*raw), v->header.table_offset), e,
		 "%s: table", name_of(o));
	for (uint32_t i = 0; i < v->n_blocks; i++)
		raw[i] = get_be32(&raw[i]);
	return 0;
}

static const struct region *region_at(const struct opening *o, uint64_t off, uint64_t len)
{
	for (size_t i = 0; i < o->n_regions; i++)
		if (off < o->regions[i].off + o->regions[i].len && o->regions[i].off < off + len)
			return &o->regions[i];
	return NULL;
}

static int table_check(struct opening *o, struct vhd_err *e)
{
	struct vhd *v = o->v;
	uint64_t stride = vhd_stride(v);

	v->next = v->meta_end;
	for (uint32_t i = 0; i < v->n_blocks; i++) {
		uint64_t off = (uint64_t)v->bat[i] * VHD_SECTOR;
		const struct region *hit;

		if (v->bat[i] == VHD_BAT_NONE)
			continue;
		hit = off < v->meta_end ? region_at(o, off, stride) : NULL;
		if (hit && !(o->flags & VHD_OPEN_DAMAGED))
			return vhd_err_set(e, EINVAL,
					   "%s: table entry %u at offset %llu: block at sector %u "
					   "overlaps the %s",
					   name_of(o), i,
					   (unsigned long long)v->header.table_offset + 4ULL * i,
					   v->bat[i], hit->name);
		if (hit || !range_fits(off, stride, o->data_limit)) {
			v->state[i] = VHD_BLOCK_BAD;
			v->problems |= VHD_PROBLEM_BAT_ENTRY;
			continue;
		}
		v->next = MAX_OF(v->next, off + stride);
	}
	return 0;
}

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

int vhd_places_sorted(const struct vhd *v, uint32_t **ret_sectors, size_t *ret_n, struct vhd_err *e)
{
	uint32_t *sectors = malloc(MAX_OF(v->n_blocks, 1) * sizeof(*sectors));
	size_t n = 0;

	if (!sectors)
		return vhd_err_sys(e, ENOMEM, "%s: table of %u blocks", v->io->name, v->n_blocks);
	for (uint32_t i = 0; i < v->n_blocks; i++)
		if (v->bat[i] != VHD_BAT_NONE && !(v->state[i] & VHD_BLOCK_BAD))
			sectors[n++] = v->bat[i];
	qsort(sectors, n, sizeof(*sectors), compare_u32);
	*ret_sectors = sectors;
	*ret_n = n;
	return 0;
}

static int overlap_check(struct vhd *v, struct vhd_err *e)
{
	auto_free uint32_t *sectors = NULL;
	size_t n;

	if (vhd_places_sorted(v, &sectors, &n, e) < 0)
		return -e->code;
	for (size_t i = 1; i < n; i++)
		if ((uint64_t)(sectors[i] - sectors[i - 1]) * VHD_SECTOR < vhd_stride(v))
			v->problems |= VHD_PROBLEM_OVERLAP;
	return 0;
}

/* ---- tapdisk's batmap ---------------------------------------------------------------------- */

#define BATMAP_BYTES_MAX (1U << 20) /* more than the largest disk has blocks */

/* Blocks that it calls full are; a map that does not match its checksum is not believed. */
static int batmap_use(struct vhd *v, const uint8_t *map, size_t len)
{
	if (len < (v->n_blocks + 7) / 8 || len < vhd_batmap_summed(v->size) ||
	    vhd_batmap_checksum(&v->batmap, map, v->size) != v->batmap.checksum)
		return -EBADMSG;
	for (uint32_t i = 0; i < v->n_blocks; i++)
		if (map[i / 8] & (0x80U >> (i % 8)) && v->bat[i] != VHD_BAT_NONE)
			v->state[i] |= VHD_BLOCK_FULL;
	return 0;
}

static int batmap_read(struct opening *o, struct vhd_err *e)
{
	struct vhd *v = o->v;
	uint64_t off =
		v->header.table_offset + align_up(4ULL * v->header.table_entries, VHD_SECTOR);
	auto_free uint8_t *map = NULL;
	uint8_t raw[VHD_BATMAP_SIZE];
	size_t len;
	int rc;

	if (!vhd_footer_may_have_batmap(&v->footer) || !range_fits(off, sizeof(raw), o->data_limit))
		return 0;
	VHD_NEED(vhd_pread(v->io, raw, sizeof(raw), off), e, "%s: batmap", name_of(o));
	rc = vhd_batmap_decode(raw, &v->batmap, e);
	if (rc == -ENOENT)
		return 0;
	if (rc == -ENOTSUP) /* what the disk reads would be noise */
		return vhd_err_wrap(e, "%s", name_of(o));
	len = (size_t)v->batmap.sectors * VHD_SECTOR;
	v->has_batmap = true;
	if (rc < 0 || len > BATMAP_BYTES_MAX || region_add(o, off, sizeof(raw), "batmap", e) < 0 ||
	    region_add(o, v->batmap.offset, len, "batmap", e) < 0) {
		v->problems |= VHD_PROBLEM_BATMAP;
		return 0;
	}
	map = malloc(MAX_OF(len, 1));
	if (!map)
		return vhd_err_sys(e, ENOMEM, "%s: batmap", name_of(o));
	VHD_NEED(vhd_pread(v->io, map, len, v->batmap.offset), e, "%s: batmap", name_of(o));
	if (batmap_use(v, map, len) < 0)
		v->problems |= VHD_PROBLEM_BATMAP;
	return 0;
}

/* ---- for writing --------------------------------------------------------------------------- */

static int write_check(const struct vhd *v, struct vhd_err *e)
{
	static const struct {
		uint32_t problem;
		const char *text;
	} refused[] = {
		{ VHD_PROBLEM_HEAD_LOST, "the copy of the footer at the front is damaged" },
		{ VHD_PROBLEM_FOOTERS_DIFFER, "the footer and its copy at the front differ" },
		{ VHD_PROBLEM_BAT_ENTRY, "the table has entries that point outside the file" },
		{ VHD_PROBLEM_OVERLAP, "blocks overlap" },
	};

	if (v->io->is_read_only)
		return vhd_err_set(e, EROFS, "%s: only open for reading", v->io->name);
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		if (v->problems & refused[i].problem)
			return vhd_err_set(e, EUCLEAN, "%s: not opened for writing: %s; check it",
					   v->io->name, refused[i].text);
	return 0;
}

/*
 * What a crash between two flushes leaves is mended on the way: only the footer at the end can be
 * missing, and space behind the last block may hold what no table entry names.
 */
static int write_prepare(struct opening *o, struct vhd_err *e)
{
	struct vhd *v = o->v;

	if (vhd_has_blocks(v)) {
		v->free_places = malloc(VHD_FREE_MAX * sizeof(*v->free_places));
		if (!v->free_places)
			return vhd_err_sys(e, ENOMEM, "%s", name_of(o));
		if (overlap_check(v, e) < 0)
			return -e->code;
		v->dirty_end = o->file_size;
	}
	if (write_check(v, e) < 0)
		return -e->code;
	return v->problems & VHD_PROBLEM_TAIL_LOST ? vhd_tail_settle(v, e) : 0;
}

/* ---- all of it ----------------------------------------------------------------------------- */

static int blocks_open(struct opening *o, size_t cache_max, struct vhd_err *e)
{
	struct vhd *v = o->v;

	o->data_limit = v->problems & VHD_PROBLEM_TAIL_LOST ? o->file_size : v->tail;
	if (header_read(o, e) < 0 || locators_check(o, e) < 0 || table_read(o, e) < 0 ||
	    batmap_read(o, e) < 0 || table_check(o, e) < 0)
		return -e->code;
	return vhd_cache_new(v, cache_max, e);
}

static int image_open(struct opening *o, size_t cache_max, struct vhd_err *e)
{
	struct vhd *v = o->v;

	VHD_NEED(v->io->ops->get_size(v->io, &o->file_size), e, "%s: length", name_of(o));
	if (o->flags & VHD_OPEN_RAW) {
		v->type = VHD_TYPE_RAW;
		v->size = o->file_size;
		return o->flags & VHD_OPEN_WRITE ? write_check(v, e) : 0;
	}
	if (footer_choose(o, e) < 0)
		return -e->code;
	v->type = v->footer.type;
	v->size = v->footer.size;
	if ((vhd_has_blocks(v) ? blocks_open(o, cache_max, e) : fixed_check(o, e)) < 0)
		return -e->code;
	return o->flags & VHD_OPEN_WRITE ? write_prepare(o, e) : 0;
}

int vhd_image_open(struct vhd_io *io, const struct vhd_open_options *o, struct vhd **ret,
		   struct vhd_err *e)
{
	struct opening opening = { .v = calloc(1, sizeof(struct vhd)), .flags = o ? o->flags : 0 };
	struct vhd *v = opening.v;

	if (!v)
		return vhd_err_sys(e, ENOMEM, "%s", io->name);
	v->io = io;
	v->flags = opening.flags;
	pthread_mutex_init(&v->flush_lock, NULL);
	pthread_mutex_init(&v->map_lock, NULL);
	pthread_rwlock_init(&v->io_lock, NULL);
	if (image_open(&opening, o ? o->cache_max : 0, e) < 0) {
		v->io = NULL; /* stays the caller's */
		vhd_free(v);
		return -e->code;
	}
	*ret = v;
	return 0;
}

int vhd_image_attach(struct vhd *v, struct vhd *parent, uint32_t flags, struct vhd_err *e)
{
	static const struct vhd_uuid none;
	const struct vhd_uuid *id = parent->type == VHD_TYPE_RAW ? &none : &parent->footer.id;
	char want[VHD_UUID_TEXT], got[VHD_UUID_TEXT];

	if (v->type != VHD_TYPE_DIFFERENCING)
		return vhd_err_set(e, EINVAL, "%s: a %s image has no parent", v->io->name,
				   vhd_type_name(v->type));
	if (!(flags & VHD_OPEN_ANY_PARENT) && !vhd_uuid_equal(id, &v->header.parent_id)) {
		vhd_uuid_text(&v->header.parent_id, want);
		vhd_uuid_text(id, got);
		return vhd_err_set(e, ESTALE, "%s: its parent is %s, but %s is %s", v->io->name,
				   want, parent->io->name, got);
	}
	v->parent = parent;
	return 0;
}

int vhd_open_io(struct vhd_io *io, struct vhd *parent, const struct vhd_open_options *o,
		struct vhd **ret, struct vhd_err *e)
{
	unsigned int depth = parent ? vhd_depth(parent) : 0;
	uint32_t flags = o ? o->flags : 0;
	struct vhd *v;

	if (depth >= (o && o->depth_max ? o->depth_max : VHD_DEPTH_MAX))
		return vhd_err_set(e, ELOOP, "%s: more than %u images in the chain", io->name,
				   depth);
	if (vhd_image_open(io, o, &v, e) < 0)
		return -e->code;
	if ((parent && vhd_image_attach(v, parent, flags, e) < 0) ||
	    (!parent && v->type == VHD_TYPE_DIFFERENCING &&
	     !(flags & (VHD_OPEN_NO_PARENT | VHD_OPEN_DAMAGED)) &&
	     vhd_err_set(e, ENOENT, "%s: a differencing image without its parent", io->name) < 0) ||
	    vhd_levels_attach(v, o ? o->cache_max : 0, e) < 0) {
		v->io = NULL;
		v->parent = NULL;
		vhd_free(v);
		return -e->code;
	}
	*ret = v;
	return 0;
}

int vhd_close(struct vhd *v, struct vhd_err *e)
{
	int rc = 0;

	if (v && v->flags & VHD_OPEN_WRITE) {
		rc = vhd_flush(v, e);
		if (rc == 0 && v->has_grown)
			rc = vhd_tail_settle(v, e);
		if (rc == 0) {
			rc = v->io->ops->flush(v->io);
			if (rc < 0)
				rc = vhd_err_sys(e, -rc, "%s: flush", v->io->name);
		}
	}
	vhd_free(v);
	return rc;
}

uint64_t vhd_size(const struct vhd *v)
{
	return v->size;
}

unsigned int vhd_depth(const struct vhd *v)
{
	unsigned int depth = 0;

	for (; v; v = v->parent)
		depth++;
	return depth;
}
