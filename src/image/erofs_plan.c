/* SPDX-License-Identifier: MIT */
/*
 * erofs_plan.c - [U] decides where everything of the metadata goes
 *
 * Sizes do not depend on addresses, so one walk over the tree fixes all: which inodes there are and
 * how often they are named, the order of names, the form of each inode and its slot. The root comes
 * first, as the superblock's 16-bit field wants it, then directory by directory the inodes that
 * each names. Same tree, same plan: nothing depends on hashes, addresses or the time.
 *
 * Metadata file: superblock and inodes with their xattrs, chunk maps and short tails; the shared
 * xattrs from the next block on; then blocks of directories and long symlinks.
 */
#include "bytes.h"
#include "erofs_internal.h"

#define MSG_PATH 256

static int inode_err(const struct fs_inode *i, struct err *e, const char *what)
{
	char path[MSG_PATH];

	fstree_path(i, path, sizeof(path));
	return err_plain(e, EFBIG, "\"%s\": %s", path, what);
}

static int no_memory(struct err *e)
{
	return err_plain(e, ENOMEM, "no memory left for the image's metadata");
}

/* --- order of names --- */

struct sort_key {
	uint64_t head; /* first 8 bytes of the name, so that most comparisons end here */
	struct fs_dentry *d;
};

static uint64_t name_head(const struct fs_dentry *d)
{
	uint64_t h = 0;

	for (unsigned k = 0; k < 8; k++)
		h = h << 8 | (k < d->len ? (uint8_t)d->name[k] : 0);
	return h;
}

static int key_cmp(const void *a, const void *b)
{
	const struct sort_key *x = a, *y = b;
	int c;

	if (x->head != y->head)
		return x->head < y->head ? -1 : 1;
	c = memcmp(x->d->name, y->d->name, MIN_OF(x->d->len, y->d->len));
	return c != 0 ? c : (int)x->d->len - (int)y->d->len;
}

/* Would vanish in the overlay above: it is the overlay's mark for a name that is gone. */
static bool hidden(const struct fs_inode *i)
{
	return S_ISCHR(i->mode) && i->rdev_major == 0 && i->rdev_minor == 0;
}

static struct fs_dentry *dot_make(struct fstree *t, struct fs_inode *to, uint16_t len)
{
	struct fs_dentry *d = fstree_alloc(t, sizeof(*d));

	if (!d)
		return NULL;
	d->name = "..";
	d->len = len;
	d->inode = to;
	return d;
}

static int dir_sort(struct fstree *t, struct fs_inode *dir, struct err *e)
{
	auto_free struct sort_key *keys = NULL;
	struct fs_dentry *dot = dot_make(t, dir, 1), *dotdot = dot_make(t, dir->dir.parent, 2), *d;
	uint64_t n = 2;
	bool sorted = true;

	for (d = dir->dir.first; d; d = d->next)
		n += !hidden(d->inode);
	keys = calloc(n, sizeof(*keys));
	dir->dir.sorted = fstree_alloc(t, n * sizeof(struct fs_dentry *));
	if (!keys || !dir->dir.sorted || !dot || !dotdot)
		return no_memory(e);
	keys[0] = (struct sort_key){ name_head(dot), dot };
	keys[1] = (struct sort_key){ name_head(dotdot), dotdot };
	n = 2;
	for (d = dir->dir.first; d; d = d->next) {
		if (hidden(d->inode))
			continue;
		keys[n] = (struct sort_key){ name_head(d), d };
		sorted = sorted && key_cmp(&keys[n - 1], &keys[n]) < 0;
		n++;
	}
	if (!sorted)
		qsort(keys, n, sizeof(*keys), key_cmp);
	for (uint64_t k = 0; k < n; k++)
		dir->dir.sorted[k] = keys[k].d;
	dir->dir.n_entries = (uint32_t)n; /* fewer than inodes and names of the tree's memory */
	return 0;
}

static bool is_dot(const struct fs_dentry *d)
{
	return !d->parent; /* only the two made here have none */
}

/* --- what is in the tree --- */

static int inode_add(struct erofs_plan *p, struct fs_inode *i)
{
	struct fs_xattr *x;
	struct fs_xattr **grown;
	size_t cap;

	p->inodes[p->n_inodes++] = i;
	for (uint32_t k = 0; k < i->n_xattrs; k++) {
		x = i->xattrs[k];
		if (x->uses++ != 1)
			continue;
		if (p->n_shared == p->shared_cap) {
			cap = p->shared_cap ? p->shared_cap * 2 : 64;
			grown = reallocarray(p->shared, cap, sizeof(*grown));
			if (!grown)
				return -ENOMEM;
			p->shared = grown;
			p->shared_cap = cap;
		}
		p->shared[p->n_shared++] = x;
	}
	return 0;
}

static int dir_visit(struct erofs_plan *p, struct fs_inode *dir, struct err *e)
{
	struct fs_dentry *d;

	if (dir_sort(p->tree, dir, e) < 0)
		return -e->code;
	p->dirs[p->n_dirs++] = dir;
	for (uint32_t k = 0; k < dir->dir.n_entries; k++) {
		d = dir->dir.sorted[k];
		if (is_dot(d))
			continue;
		if (S_ISDIR(d->inode->mode))
			dir->nlink++;
		if (d->inode->nlink == 0) {
			d->inode->name = d;
			if (inode_add(p, d->inode) < 0)
				return no_memory(e);
			d->inode->nlink = S_ISDIR(d->inode->mode) ? 1 : 0;
		}
		d->inode->nlink++;
	}
	return 0;
}

static int tree_visit(struct erofs_plan *p, struct err *e)
{
	size_t n = fstree_n_made(p->tree), depth = 0;
	auto_free struct fs_inode **stack = NULL;
	struct fs_inode *dir, *i;

	p->inodes = calloc(n, sizeof(struct fs_inode *));
	p->dirs = calloc(n, sizeof(struct fs_inode *));
	stack = calloc(n, sizeof(struct fs_inode *));
	if (!p->inodes || !p->dirs || !stack)
		return no_memory(e);
	stack[depth++] = fstree_root(p->tree);
	stack[0]->nlink = 2;
	if (inode_add(p, stack[0]) < 0)
		return no_memory(e);
	while (depth > 0) {
		dir = stack[--depth];
		if (dir_visit(p, dir, e) < 0)
			return -e->code;
		for (uint32_t k = dir->dir.n_entries; k-- > 0;) {
			i = dir->dir.sorted[k]->inode;
			if (!is_dot(dir->dir.sorted[k]) && S_ISDIR(i->mode))
				stack[depth++] = i;
		}
	}
	return 0;
}

/* --- most common time: what compact inodes have --- */

struct time_count {
	int64_t sec;
	uint32_t nsec;
	uint32_t n;
};

static struct time_count *time_slot(struct time_count *table, size_t cap, int64_t sec,
				    uint32_t nsec)
{
	uint64_t h = ((uint64_t)sec ^ (uint64_t)nsec << 34) * 0x9e3779b97f4a7c15U;
	size_t k = (size_t)(h >> 32) & (cap - 1);

	while (table[k].n > 0 && (table[k].sec != sec || table[k].nsec != nsec))
		k = (k + 1) & (cap - 1);
	return &table[k];
}

static bool time_better(const struct time_count *a, const struct time_count *b)
{
	if (a->n != b->n)
		return a->n > b->n;
	return a->sec != b->sec ? a->sec < b->sec : a->nsec < b->nsec;
}

static int time_choose(struct erofs_plan *p, struct err *e)
{
	auto_free struct time_count *table = NULL;
	struct time_count best = { 0 }, *s;
	size_t cap = 16;

	while (cap < p->n_inodes * 2)
		cap *= 2;
	table = calloc(cap, sizeof(*table));
	if (!table)
		return no_memory(e);
	for (size_t k = 0; k < p->n_inodes; k++) {
		if (p->inodes[k]->mtime_sec < 0)
			continue; /* the superblock's field has no sign */
		s = time_slot(table, cap, p->inodes[k]->mtime_sec, p->inodes[k]->mtime_nsec);
		s->sec = p->inodes[k]->mtime_sec;
		s->nsec = p->inodes[k]->mtime_nsec;
		s->n++;
	}
	for (size_t k = 0; k < cap; k++)
		if (table[k].n > 0 && time_better(&table[k], &best))
			best = table[k];
	p->build_time = best.sec;
	p->build_nsec = best.nsec;
	return 0;
}

/* --- xattrs --- */

static int xattr_cmp(const void *a, const void *b)
{
	const struct fs_xattr *x = *(const struct fs_xattr *const *)a;
	const struct fs_xattr *y = *(const struct fs_xattr *const *)b;
	int c;

	if (x->index != y->index)
		return x->index < y->index ? -1 : 1;
	c = memcmp(x->name, y->name, MIN_OF(x->name_len, y->name_len));
	if (c == 0)
		c = (int)x->name_len - (int)y->name_len;
	if (c == 0)
		c = memcmp(x->value, y->value, MIN_OF(x->value_len, y->value_len));
	return c != 0 ? c : (x->value_len > y->value_len) - (x->value_len < y->value_len);
}

static uint32_t xattr_len(const struct fs_xattr *x)
{
	return (uint32_t)align_up(EROFS_XATTR_ENTRY + x->name_len + (uint64_t)x->value_len, 4);
}

static int shared_place(struct erofs_plan *p, uint64_t *ret_len, struct err *e)
{
	uint64_t at = 0;

	if (p->n_shared > 0)
		qsort(p->shared, p->n_shared, sizeof(struct fs_xattr *), xattr_cmp);
	for (size_t k = 0; k < p->n_shared; k++) {
		p->shared[k]->shared = (uint32_t)(at / 4);
		at += xattr_len(p->shared[k]);
		if (at > EROFS_META_MAX)
			return err_plain(e, EFBIG, "too many xattrs");
	}
	*ret_len = at;
	return 0;
}

static int xattrs_measure(struct fs_inode *i, struct err *e)
{
	uint64_t len = EROFS_XATTR_HEAD;
	unsigned shared = 0;

	i->xattr_len = 0;
	if (i->n_xattrs == 0)
		return 0;
	for (uint32_t k = 0; k < i->n_xattrs; k++) {
		if (i->xattrs[k]->uses > 1 && shared < EROFS_SHARED_MAX) {
			shared++;
			len += 4;
		} else {
			len += xattr_len(i->xattrs[k]);
		}
	}
	if (len > EROFS_XATTRS_MAX)
		return inode_err(i, e, "more than 256 KiB of xattrs");
	i->xattr_len = (uint32_t)len;
	return 0;
}

/* --- content --- */

struct erofs_run erofs_run_next(const struct fs_inode *i, uint32_t *k)
{
	const struct ltree_extent *x = &i->reg.extents[(*k)++];
	struct erofs_run r = { x->file_off / EROFS_BLOCK,
			       (x->file_off + x->len + EROFS_BLOCK - 1) / EROFS_BLOCK,
			       x->data_off / EROFS_BLOCK };

	for (; *k < i->reg.n_extents; (*k)++) {
		x = &i->reg.extents[*k];
		if (x->file_off / EROFS_BLOCK != r.to ||
		    x->data_off / EROFS_BLOCK != r.data + (r.to - r.from))
			break;
		r.to += (x->len + EROFS_BLOCK - 1) / EROFS_BLOCK;
	}
	return r;
}

uint64_t erofs_map_len(const struct fs_inode *i)
{
	return (((i->size - 1) >> i->chunk_bits) + 1) * 4;
}

static int extents_check(const struct erofs_plan *p, const struct fs_inode *i, struct err *e)
{
	uint64_t blocks, end = 0;

	if (i->size > EROFS_SIZE_MAX)
		return inode_err(i, e, "too large a file");
	if (i->layer >= p->place->n_layers)
		return inode_err(i, e, "of a layer that is not there");
	blocks = p->place->layer_blocks[i->layer];
	for (uint32_t k = 0; k < i->reg.n_extents; k++) {
		const struct ltree_extent *x = &i->reg.extents[k];

		if (x->len == 0 || x->file_off < end || x->file_off % EROFS_BLOCK != 0 ||
		    x->data_off % EROFS_BLOCK != 0 || !range_fits(x->file_off, x->len, i->size) ||
		    !range_fits(x->data_off, x->len, blocks * EROFS_BLOCK))
			return inode_err(i, e, "bad extents");
		end = x->file_off + x->len;
	}
	return 0;
}

/* Largest chunks that are each all hole or all in one run. */
static unsigned chunk_bits(const struct fs_inode *i)
{
	uint64_t end = (i->size - 1) / EROFS_BLOCK + 1, edges = 0;
	unsigned bits;

	for (uint32_t k = 0; k < i->reg.n_extents;) {
		struct erofs_run r = erofs_run_next(i, &k);

		edges |= r.from;
		if (r.to != end)
			edges |= r.to;
	}
	bits = edges ? (unsigned)__builtin_ctzll(edges) + 12 : EROFS_CHUNK_BITS_MAX;
	return MIN_OF(bits, EROFS_CHUNK_BITS_MAX);
}

static int reg_measure(const struct erofs_plan *p, struct fs_inode *i, struct err *e)
{
	uint32_t k = 0;
	struct erofs_run r;

	if (extents_check(p, i, e) < 0)
		return -e->code;
	if (i->size == 0)
		return 0;
	if (i->reg.n_extents > 0) {
		r = erofs_run_next(i, &k);
		if (r.from == 0 && r.to == (i->size - 1) / EROFS_BLOCK + 1) {
			i->block = (uint32_t)(p->place->layer_block[i->layer] + r.data);
			return 0;
		}
	}
	i->layout = EROFS_CHUNK;
	i->chunk_bits = (uint8_t)chunk_bits(i);
	if (erofs_map_len(i) > EROFS_MAP_MAX)
		return inode_err(i, e, "sparse file with too long a map");
	i->tail_len = (uint32_t)erofs_map_len(i);
	return 0;
}

static int dir_measure(struct fs_inode *i, struct err *e)
{
	uint64_t used = 0, blocks = 0;
	uint32_t need;

	for (uint32_t k = 0; k < i->dir.n_entries; k++) {
		need = EROFS_DIRENT + i->dir.sorted[k]->len;
		if (used + need > EROFS_BLOCK) {
			blocks++;
			used = 0;
		}
		used += need;
	}
	i->size = blocks * EROFS_BLOCK + used;
	return i->size > EROFS_META_MAX ? inode_err(i, e, "too large a directory") : 0;
}

/* Directories and symlinks: a short end goes behind the inode, the rest into blocks. */
static void meta_content_place(struct erofs_plan *p, struct fs_inode *i)
{
	uint64_t tail = i->size % EROFS_BLOCK, blocks = i->size / EROFS_BLOCK;

	if (tail > 0 && tail <= EROFS_TAIL_MAX &&
	    EROFS_EXTENDED + i->xattr_len + tail <= EROFS_BLOCK) {
		i->layout = EROFS_INLINE;
		i->tail_len = (uint32_t)tail;
	} else if (tail > 0) {
		blocks++;
	}
	i->block = (uint32_t)p->blocks; /* made absolute when the area's place is known */
	p->blocks += blocks;
}

static bool fits_compact(const struct erofs_plan *p, const struct fs_inode *i)
{
	return i->mtime_sec == p->build_time && i->mtime_nsec == p->build_nsec &&
	       i->uid <= UINT16_MAX && i->gid <= UINT16_MAX && i->nlink <= UINT16_MAX &&
	       i->size <= UINT32_MAX;
}

/* A slot for the inode and all behind it; what is inline must not cross a block. */
static void slot_take(struct erofs_plan *p, struct fs_inode *i)
{
	uint64_t len = (i->extended ? EROFS_EXTENDED : EROFS_COMPACT) + i->xattr_len;
	uint64_t at = p->cursor;

	len = align_up(align_up(len, 4) + i->tail_len, EROFS_SLOT);
	if (len <= p->gap_end - p->gap_at) {
		i->nid = p->gap_at / EROFS_SLOT;
		p->gap_at += len;
		return;
	}
	if (i->layout == EROFS_INLINE && at % EROFS_BLOCK + len > EROFS_BLOCK) {
		p->gap_at = at;
		at = align_up(at, EROFS_BLOCK);
		p->gap_end = at;
	}
	i->nid = at / EROFS_SLOT;
	p->cursor = at + len;
}

static int inode_measure(struct erofs_plan *p, struct fs_inode *i, struct err *e)
{
	int r = xattrs_measure(i, e);

	if (r == 0 && S_ISREG(i->mode))
		r = reg_measure(p, i, e);
	else if (r == 0 && S_ISDIR(i->mode))
		r = dir_measure(i, e);
	if (r < 0)
		return r;
	if (S_ISDIR(i->mode) || S_ISLNK(i->mode))
		meta_content_place(p, i);
	i->extended = !fits_compact(p, i);
	slot_take(p, i);
	if (p->cursor + p->blocks * EROFS_BLOCK > EROFS_META_MAX)
		return inode_err(i, e, "the image's metadata passes 2 GiB here");
	return 0;
}

static int areas_place(struct erofs_plan *p, uint64_t shared_len, struct err *e)
{
	uint64_t first;

	p->xattr_off = align_up(p->cursor, EROFS_BLOCK);
	p->blocks_off = align_up(p->xattr_off + shared_len, EROFS_BLOCK);
	p->meta_len = p->blocks_off + p->blocks * EROFS_BLOCK;
	first = p->place->meta_block + p->blocks_off / EROFS_BLOCK;
	if (p->meta_len > EROFS_META_MAX)
		return err_plain(e, EFBIG, "the image's metadata would be larger than 2 GiB");
	if (p->place->meta_block + p->meta_len / EROFS_BLOCK > EROFS_BLOCKS_MAX)
		return err_plain(e, EFBIG, "the image's disk would be larger than 16 TiB");
	for (size_t k = 0; k < p->n_inodes; k++)
		if (S_ISDIR(p->inodes[k]->mode) || S_ISLNK(p->inodes[k]->mode))
			p->inodes[k]->block += (uint32_t)first;
	return 0;
}

int erofs_plan_make(struct fstree *t, const struct erofs_place *place, struct erofs_plan *ret,
		    struct err *e)
{
	uint64_t shared_len = 0;
	int r;

	*ret = (struct erofs_plan){ .tree = t, .place = place };
	ret->cursor = EROFS_SUPER_OFF + EROFS_SUPER_LEN;
	r = tree_visit(ret, e);
	if (r == 0)
		r = time_choose(ret, e);
	if (r == 0)
		r = shared_place(ret, &shared_len, e);
	for (size_t k = 0; r == 0 && k < ret->n_inodes; k++)
		r = inode_measure(ret, ret->inodes[k], e);
	return r < 0 ? r : areas_place(ret, shared_len, e);
}

void erofs_plan_done(struct erofs_plan *p)
{
	free(p->inodes);
	free(p->dirs);
	free(p->shared);
}
