/* SPDX-License-Identifier: MIT */
/*
 * erofs.c - [U] the bytes of an EROFS metadata file, as planned
 *
 * The whole file is made in memory, zeroed first, so that padding is zero, and written at once.
 */
#include "erofs.h"

#include "bytes.h"
#include "erofs_internal.h"
#include "fdio.h"

#define MAGIC            0xe0f5e1e2U
#define COMPAT           3U /* superblock checksum, times are mtimes */
#define INCOMPAT_CHUNKED 4U
#define CRC_POLY         0x82f63b78U

/* crc32c from all ones, without the inversion at the end. 3 KiB: no table is worth it. */
static uint32_t crc32c(const uint8_t *p, size_t len)
{
	uint32_t crc = 0xffffffffU;

	for (; len > 0; len--, p++) {
		crc ^= *p;
		for (unsigned k = 0; k < 8; k++)
			crc = crc >> 1 ^ (crc & 1 ? CRC_POLY : 0);
	}
	return crc;
}

static void xattr_put(uint8_t *at, const struct fs_xattr *x)
{
	at[0] = x->name_len;
	at[1] = x->index;
	put_le16(at + 2, (uint16_t)x->value_len);
	memcpy(at + EROFS_XATTR_ENTRY, x->name, x->name_len);
	if (x->value_len > 0)
		memcpy(at + EROFS_XATTR_ENTRY + x->name_len, x->value, x->value_len);
}

static size_t xattr_step(const struct fs_xattr *x)
{
	return (size_t)align_up(EROFS_XATTR_ENTRY + x->name_len + (uint64_t)x->value_len, 4);
}

static void xattrs_put(uint8_t *at, const struct fs_inode *i)
{
	uint8_t *id = at + EROFS_XATTR_HEAD, *entry;
	unsigned shared = 0;

	for (uint32_t k = 0; k < i->n_xattrs; k++)
		shared += i->xattrs[k]->uses > 1 && shared < EROFS_SHARED_MAX;
	at[4] = (uint8_t)shared;
	entry = id + shared * 4;
	for (uint32_t k = 0; k < i->n_xattrs; k++) {
		if (i->xattrs[k]->uses > 1 && shared > 0) {
			put_le32(id, i->xattrs[k]->shared);
			id += 4;
			shared--;
		} else {
			xattr_put(entry, i->xattrs[k]);
			entry += xattr_step(i->xattrs[k]);
		}
	}
}

static uint8_t dirent_type(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return 1;
	case S_IFDIR:
		return 2;
	case S_IFCHR:
		return 3;
	case S_IFBLK:
		return 4;
	case S_IFIFO:
		return 5;
	default:
		return 7; /* symlink: no other kind is made */
	}
}

/* Names from `k` on, as many as fit one block; returns the first that does not. */
static uint32_t dir_block_put(uint8_t *block, const struct fs_inode *dir, uint32_t k)
{
	uint32_t end = k, used = 0, name_at;
	uint8_t *entry = block;

	while (end < dir->dir.n_entries &&
	       used + EROFS_DIRENT + dir->dir.sorted[end]->len <= EROFS_BLOCK)
		used += EROFS_DIRENT + dir->dir.sorted[end++]->len;
	name_at = (end - k) * EROFS_DIRENT;
	for (; k < end; k++, entry += EROFS_DIRENT) {
		const struct fs_dentry *d = dir->dir.sorted[k];

		put_le64(entry, d->inode->nid);
		put_le16(entry + 8, (uint16_t)name_at);
		entry[10] = dirent_type(d->inode->mode);
		memcpy(block + name_at, d->name, d->len);
		name_at += d->len;
	}
	return end;
}

static void dir_put(uint8_t *blocks, uint8_t *tail, const struct fs_inode *dir)
{
	uint64_t left = dir->size;

	for (uint32_t k = 0; k < dir->dir.n_entries;) {
		if (left <= EROFS_BLOCK && dir->layout == EROFS_INLINE) {
			k = dir_block_put(tail, dir, k);
		} else {
			k = dir_block_put(blocks, dir, k);
			blocks += EROFS_BLOCK;
		}
		left -= MIN_OF(left, EROFS_BLOCK);
	}
}

static void map_put(uint8_t *map, const struct fs_inode *i, uint64_t layer_block)
{
	uint64_t per = 1ULL << (i->chunk_bits - 12), c;

	memset(map, 0xff, i->tail_len);
	for (uint32_t k = 0; k < i->reg.n_extents;) {
		struct erofs_run r = erofs_run_next(i, &k);

		for (c = r.from; c < r.to; c += per)
			put_le32(map + c / per * 4, (uint32_t)(layer_block + r.data + c - r.from));
	}
}

static uint32_t inode_union(const struct fs_inode *i)
{
	if (S_ISCHR(i->mode) || S_ISBLK(i->mode))
		return (i->rdev_minor & 0xffU) | i->rdev_major << 8 |
		       (i->rdev_minor & ~0xffU) << 12;
	if (i->layout == EROFS_CHUNK)
		return i->chunk_bits - 12U;
	return i->block;
}

static void inode_head_put(uint8_t *at, const struct fs_inode *i)
{
	put_le16(at, (uint16_t)(i->extended | i->layout << 1));
	if (i->xattr_len > 0)
		put_le16(at + 2, (uint16_t)((i->xattr_len - EROFS_XATTR_HEAD) / 4 + 1));
	put_le16(at + 4, (uint16_t)i->mode);
	put_le32(at + 16, inode_union(i));
	if (!i->extended) {
		put_le16(at + 6, (uint16_t)i->nlink);
		put_le32(at + 8, (uint32_t)i->size);
		put_le16(at + 24, (uint16_t)i->uid);
		put_le16(at + 26, (uint16_t)i->gid);
		return;
	}
	put_le64(at + 8, i->size);
	put_le32(at + 24, i->uid);
	put_le32(at + 28, i->gid);
	put_le64(at + 32, (uint64_t)i->mtime_sec);
	put_le32(at + 40, i->mtime_nsec);
	put_le32(at + 44, i->nlink);
}

static void inode_put(const struct erofs_plan *p, uint8_t *meta, const struct fs_inode *i)
{
	uint8_t *at = meta + i->nid * EROFS_SLOT, *tail;
	uint8_t *blocks = NULL;

	inode_head_put(at, i);
	at += i->extended ? EROFS_EXTENDED : EROFS_COMPACT;
	if (i->xattr_len > 0)
		xattrs_put(at, i);
	tail = at + i->xattr_len;
	if (S_ISREG(i->mode)) {
		if (i->layout == EROFS_CHUNK)
			map_put(tail, i, p->place->layer_block[i->layer]);
		return;
	}
	if (!S_ISDIR(i->mode) && !S_ISLNK(i->mode))
		return;
	blocks = meta + (i->block - p->place->meta_block) * EROFS_BLOCK;
	if (S_ISDIR(i->mode))
		dir_put(blocks, tail, i);
	else
		memcpy(i->layout == EROFS_INLINE ? tail : blocks, i->target, i->size);
}

static void super_put(const struct erofs_plan *p, uint8_t *meta)
{
	uint8_t *s = meta + EROFS_SUPER_OFF;
	uint64_t meta_block = p->place->meta_block;
	uint32_t incompat = 0;

	for (size_t k = 0; k < p->n_inodes; k++)
		if (p->inodes[k]->layout == EROFS_CHUNK)
			incompat = INCOMPAT_CHUNKED;
	put_le32(s, MAGIC);
	put_le32(s + 8, COMPAT);
	s[12] = 12; /* 4 KiB blocks */
	put_le16(s + 14, (uint16_t)p->inodes[0]->nid);
	put_le64(s + 16, p->n_inodes);
	put_le64(s + 24, (uint64_t)p->build_time);
	put_le32(s + 32, p->build_nsec);
	put_le32(s + 36, (uint32_t)(meta_block + p->meta_len / EROFS_BLOCK));
	put_le32(s + 40, (uint32_t)meta_block);
	put_le32(s + 44, (uint32_t)(meta_block + p->xattr_off / EROFS_BLOCK));
	memcpy(s + 48, p->place->uuid, 16);
	put_le32(s + 80, incompat);
	put_le32(s + 4, crc32c(s, EROFS_BLOCK - EROFS_SUPER_OFF));
}

static void meta_put(const struct erofs_plan *p, uint8_t *meta)
{
	uint8_t *x = meta + p->xattr_off;

	for (size_t k = 0; k < p->n_shared; k++) {
		xattr_put(x, p->shared[k]);
		x += xattr_step(p->shared[k]);
	}
	for (size_t k = 0; k < p->n_inodes; k++)
		inode_put(p, meta, p->inodes[k]);
	super_put(p, meta); /* last: its checksum covers the first inodes */
}

int erofs_write(struct fstree *t, const struct erofs_place *place, int fd, uint64_t *ret_len,
		uint64_t *ret_inodes, struct err *e)
{
	auto_free uint8_t *meta = NULL;
	struct erofs_plan p;
	int r = erofs_plan_make(t, place, &p, e);

	if (r == 0) {
		meta = calloc(1, p.meta_len);
		if (!meta)
			r = err_plain(e, ENOMEM, "no memory left for the image's metadata");
	}
	if (r == 0) {
		meta_put(&p, meta);
		r = fd_pwrite_full(fd, meta, p.meta_len, 0);
		if (r < 0)
			err_set(e, -r, "write the metadata");
		*ret_len = p.meta_len;
		*ret_inodes = p.n_inodes;
	}
	erofs_plan_done(&p);
	return r;
}
