/* SPDX-License-Identifier: MIT */
/*
 * erofs_read.c - [U] EROFS without compression: what caisson writes, and mkfs.erofs by default
 *
 * Hostile: all of it. Invariants: I1 every address is read through disk_view_read(), which checks
 * the range. I2 an inode is looked at in a copy. I3 a call ends after a number of reads that the
 * size of the disk bounds: contents, directories and maps must lie on it.
 * Format: doc/format/image-disk.md; features beyond it are refused.
 */
#include <sys/stat.h>

#include "fsread.h"

#define SUPER_OFF      1024U
#define SUPER_LEN      128U
#define FEATURES_KNOWN 0x5U /* padding that only compression has; chunks */
#define SLOT_BITS      5U
#define HEAD_COMPACT   32U
#define HEAD_EXTENDED  64U
#define DIRENT         12U
#define NAME_MAX_LEN   255U
#define LINK_MAX_LEN   4095U
#define XATTR_HEAD     12U
#define XATTR_ENTRY    4U
#define XATTRS_MAX     (262144U + XATTR_HEAD)
#define BLOCK_BITS_MIN 9U
#define BLOCK_BITS_MAX 16U
#define HOLE           0xffffffffU

enum layout { LAYOUT_PLAIN = 0, LAYOUT_INLINE = 2, LAYOUT_CHUNK = 4 };

struct erofs {
	struct fs fs;
	struct disk_view v;
	uint32_t block_bits, build_nsec;
	uint64_t meta_off, xattr_off;
	int64_t build_time;
};

struct inode {
	struct fs_node node;
	enum layout layout;
	uint64_t at;    /* byte where what is behind its xattrs begins */
	uint64_t xattr; /* byte where they begin */
	uint32_t xattr_len, u;
};

static uint64_t block_size(const struct erofs *f)
{
	return 1ULL << f->block_bits;
}

/* ---- inodes ---- */

static int kind_of(uint32_t mode, enum fs_node_kind *ret)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		*ret = FS_NODE_REG;
		return 0;
	case S_IFDIR:
		*ret = FS_NODE_DIR;
		return 0;
	case S_IFLNK:
		*ret = FS_NODE_SYMLINK;
		return 0;
	case S_IFCHR:
		*ret = FS_NODE_CHR;
		return 0;
	case S_IFBLK:
		*ret = FS_NODE_BLK;
		return 0;
	case S_IFIFO:
		*ret = FS_NODE_FIFO;
		return 0;
	case S_IFSOCK:
		*ret = FS_NODE_SOCKET;
		return 0;
	default:
		return -EBADMSG;
	}
}

static void node_fill(const struct erofs *f, const uint8_t *raw, bool is_extended,
		      struct fs_node *n)
{
	n->mode = get_le16(raw + 4) & 07777U;
	if (is_extended) {
		n->size = get_le64(raw + 8);
		n->uid = get_le32(raw + 24);
		n->gid = get_le32(raw + 28);
		n->mtime_sec = (int64_t)get_le64(raw + 32);
		n->mtime_nsec = get_le32(raw + 40);
		n->links = get_le32(raw + 44);
	} else {
		n->size = get_le32(raw + 8);
		n->uid = get_le16(raw + 24);
		n->gid = get_le16(raw + 26);
		n->mtime_sec = f->build_time;
		n->mtime_nsec = f->build_nsec;
		n->links = get_le16(raw + 6);
	}
}

static void device_fill(uint32_t u, struct fs_node *n)
{
	n->major = (u & 0xfff00U) >> 8;
	n->minor = (u & 0xffU) | (u >> 12 & 0xfff00U);
}

static int inode_get(struct erofs *f, uint64_t nid, struct inode *ret, struct err *e)
{
	uint8_t raw[HEAD_EXTENDED] = { 0 };
	struct inode i = { 0 };
	uint64_t at;
	uint32_t format, count, head;

	if (nid > f->v.size >> SLOT_BITS)
		return err_plain(e, EBADMSG, "inode %llu lies behind the end",
				 (unsigned long long)nid);
	at = f->meta_off + (nid << SLOT_BITS);
	if (disk_view_read(&f->v, raw, HEAD_COMPACT, at, e) < 0)
		return err_wrap(e, "inode %llu", (unsigned long long)nid);
	format = get_le16(raw);
	head = format & 1 ? HEAD_EXTENDED : HEAD_COMPACT;
	if (head == HEAD_EXTENDED && disk_view_read(&f->v, raw, head, at, e) < 0)
		return err_wrap(e, "inode %llu", (unsigned long long)nid);
	count = get_le16(raw + 2);
	node_fill(f, raw, head == HEAD_EXTENDED, &i.node);
	i.u = get_le32(raw + 16);
	i.layout = (enum layout)(format >> 1);
	i.xattr = at + head;
	i.xattr_len = count ? XATTR_HEAD + (count - 1) * XATTR_ENTRY : 0;
	i.at = i.xattr + i.xattr_len;
	if (kind_of(get_le16(raw + 4), &i.node.kind) < 0 || i.node.size > INT64_MAX ||
	    i.node.mtime_nsec >= 1000000000U)
		return err_plain(e, EBADMSG, "inode %llu makes no sense", (unsigned long long)nid);
	if (i.layout != LAYOUT_PLAIN && i.layout != LAYOUT_INLINE && i.layout != LAYOUT_CHUNK)
		return err_plain(e, EOPNOTSUPP, "the EROFS is compressed, or of a newer kind");
	if (i.node.kind == FS_NODE_CHR || i.node.kind == FS_NODE_BLK)
		device_fill(i.u, &i.node);
	i.node.may_be_sparse = i.layout == LAYOUT_CHUNK;
	*ret = i;
	return 0;
}

/* ---- contents ---- */

struct place {
	uint64_t disk_off, len; /* from the offset that was asked for */
	bool is_hole;
};

static int chunk_at(struct erofs *f, const struct inode *i, uint64_t off, struct place *ret,
		    struct err *e)
{
	const uint32_t bits = (i->u & 31U) + f->block_bits, entry = i->u & 32U ? 8 : 4;
	const uint64_t n = bits < 63 ? off >> bits : 0;
	uint64_t map = align_up(i->at, entry), in;
	uint8_t raw[8];
	uint32_t block;

	if (i->u & 0xffc0U || bits > 62 || n > f->v.size)
		return err_plain(e, EBADMSG, "a map of chunks makes no sense");
	if (disk_view_read(&f->v, raw, entry, map + n * entry, e) < 0)
		return err_wrap(e, "map of chunks");
	if (entry == 8 && get_le16(raw + 2) != 0)
		return err_plain(e, EOPNOTSUPP, "the EROFS has parts on other devices");
	block = get_le32(raw + (entry == 8 ? 4 : 0));
	in = off & ((1ULL << bits) - 1);
	*ret = (struct place){ ((uint64_t)block << f->block_bits) + in, (1ULL << bits) - in,
			       block == HOLE };
	return 0;
}

/* Where the byte at `off` < size is, and as many behind it as are together. */
static int place_find(struct erofs *f, const struct inode *i, uint64_t off, struct place *ret,
		      struct err *e)
{
	uint64_t tail = i->node.size;

	if (i->layout == LAYOUT_CHUNK)
		return chunk_at(f, i, off, ret, e);
	if (i->layout == LAYOUT_INLINE)
		tail = (i->node.size - 1) & ~(block_size(f) - 1);
	if (off >= tail)
		*ret = (struct place){ i->at + (off - tail), i->node.size - off, false };
	else
		*ret = (struct place){ ((uint64_t)i->u << f->block_bits) + off, tail - off, false };
	return 0;
}

static int contents_read(struct erofs *f, const struct inode *i, uint8_t *data, size_t len,
			 uint64_t off, struct err *e)
{
	if (!range_fits(off, len, i->node.size))
		return err_plain(e, EINVAL, "read past the end of a file");
	while (len > 0) {
		struct place p;
		size_t n;

		if (place_find(f, i, off, &p, e) < 0)
			return -e->code;
		n = (size_t)MIN_OF((uint64_t)len, p.len);
		if (p.is_hole)
			memset(data, 0, n);
		else if (disk_view_read(&f->v, data, n, p.disk_off, e) < 0)
			return -e->code;
		data += n;
		len -= n;
		off += n;
	}
	return 0;
}

static int op_node(struct fs *fs, uint64_t ino, struct fs_node *ret, struct err *e)
{
	struct inode i;

	if (inode_get((struct erofs *)fs, ino, &i, e) < 0)
		return -e->code;
	*ret = i.node;
	return 0;
}

static int op_read(struct fs *fs, uint64_t ino, void *data, size_t len, uint64_t off, struct err *e)
{
	struct erofs *f = (struct erofs *)fs;
	struct inode i;

	return inode_get(f, ino, &i, e) < 0 ? -e->code : contents_read(f, &i, data, len, off, e);
}

static int op_map(struct fs *fs, uint64_t ino, fs_run_fn *fn, void *arg, struct err *e)
{
	struct erofs *f = (struct erofs *)fs;
	struct inode i;
	struct place p;

	if (inode_get(f, ino, &i, e) < 0)
		return -e->code;
	for (uint64_t off = 0; off < i.node.size; off += p.len) {
		if (place_find(f, &i, off, &p, e) < 0)
			return -e->code;
		p.len = MIN_OF(p.len, i.node.size - off);
		if (!p.is_hole && fn(arg, off, p.len, e) < 0)
			return -e->code;
	}
	return 0;
}

static int op_link(struct fs *fs, uint64_t ino, struct buf *ret, struct err *e)
{
	struct erofs *f = (struct erofs *)fs;
	char target[LINK_MAX_LEN];
	struct inode i;

	if (inode_get(f, ino, &i, e) < 0)
		return -e->code;
	if (i.node.size == 0 || i.node.size > sizeof(target) || i.layout == LAYOUT_CHUNK)
		return err_plain(e, EBADMSG, "a symbolic link of %llu bytes",
				 (unsigned long long)i.node.size);
	if (contents_read(f, &i, (uint8_t *)target, (size_t)i.node.size, 0, e) < 0)
		return -e->code;
	if (memchr(target, '\0', (size_t)i.node.size))
		return err_plain(e, EBADMSG, "a symbolic link with a NUL");
	return buf_add(ret, target, (size_t)i.node.size) < 0 ? err_set(e, ENOMEM, "link") : 0;
}

/* ---- directories ---- */

static bool name_is_dots(const char *name, size_t len)
{
	return name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'));
}

static int names_of_block(const uint8_t *b, size_t len, fs_name_fn *fn, void *arg, struct err *e)
{
	const size_t first = len >= DIRENT ? get_le16(b + 8) : 0;

	if (first < DIRENT || first % DIRENT || first >= len)
		return err_plain(e, EBADMSG, "a directory block makes no sense");
	for (size_t at = 0; at < first; at += DIRENT) {
		const size_t from = get_le16(b + at + 8);
		const size_t end = at + DIRENT < first ? get_le16(b + at + DIRENT + 8) : len;
		const char *name = (const char *)b + from;
		size_t n;

		if (from < first || end > len || from >= end)
			return err_plain(e, EBADMSG, "a name lies outside its directory block");
		n = strnlen(name, end - from);
		if (n == 0 || n > NAME_MAX_LEN || memchr(name, '/', n))
			return err_plain(e, EBADMSG, "a directory has an impossible name");
		if (!name_is_dots(name, n) && fn(arg, name, n, get_le64(b + at), e) < 0)
			return -e->code;
	}
	return 0;
}

static int op_list(struct fs *fs, uint64_t dir, fs_name_fn *fn, void *arg, struct err *e)
{
	struct erofs *f = (struct erofs *)fs;
	auto_free uint8_t *block = malloc(block_size(f));
	struct inode i;

	if (!block)
		return err_set(e, ENOMEM, "directory");
	if (inode_get(f, dir, &i, e) < 0)
		return -e->code;
	if (i.node.kind != FS_NODE_DIR || i.layout == LAYOUT_CHUNK)
		return err_plain(e, EBADMSG, "a directory that is none");
	for (uint64_t off = 0; off < i.node.size; off += block_size(f)) {
		const size_t n = (size_t)MIN_OF(block_size(f), i.node.size - off);

		if (contents_read(f, &i, block, n, off, e) < 0 ||
		    names_of_block(block, n, fn, arg, e) < 0)
			return -e->code;
	}
	return 0;
}

/* ---- extended attributes ---- */

static const char *prefix_of(uint8_t index)
{
	static const char *const prefixes[] = { [1] = "user.",
						[2] = "system.posix_acl_access",
						[3] = "system.posix_acl_default",
						[4] = "trusted.",
						[6] = "security." };

	return index < ARRAY_SIZE(prefixes) ? prefixes[index] : NULL;
}

/* One entry at `p` with `left` bytes; *ret_len is what it takes with padding. */
static int xattr_entry(const uint8_t *p, size_t left, fs_xattr_fn *fn, void *arg, size_t *ret_len,
		       struct err *e)
{
	const char *prefix = left >= XATTR_ENTRY ? prefix_of(p[1]) : NULL;
	char name[NAME_MAX_LEN + 32];
	size_t name_len, value_len;

	if (!prefix)
		return err_plain(e, EBADMSG, "an extended attribute makes no sense");
	name_len = p[0];
	value_len = get_le16(p + 2);
	if (name_len + value_len > left - XATTR_ENTRY || memchr(p + XATTR_ENTRY, '\0', name_len))
		return err_plain(e, EBADMSG, "an extended attribute lies outside its inode");
	snprintf(name, sizeof(name), "%s%.*s", prefix, (int)name_len,
		 (const char *)p + XATTR_ENTRY);
	*ret_len = align_up(XATTR_ENTRY + name_len + value_len, 4);
	return fn(arg, name, p + XATTR_ENTRY + name_len, value_len, e);
}

static int xattr_shared(struct erofs *f, uint32_t id, fs_xattr_fn *fn, void *arg, struct err *e)
{
	const uint64_t at = f->xattr_off + (uint64_t)id * 4;
	uint8_t head[XATTR_ENTRY];
	size_t len;

	if (disk_view_read(&f->v, head, sizeof(head), at, e) < 0)
		return err_wrap(e, "shared extended attribute");
	len = XATTR_ENTRY + (size_t)head[0] + get_le16(head + 2);
	{
		auto_free uint8_t *p = malloc(len);

		if (!p)
			return err_set(e, ENOMEM, "extended attribute");
		if (disk_view_read(&f->v, p, len, at, e) < 0)
			return err_wrap(e, "shared extended attribute");
		return xattr_entry(p, len, fn, arg, &len, e);
	}
}

static int op_xattrs(struct fs *fs, uint64_t ino, fs_xattr_fn *fn, void *arg, struct err *e)
{
	struct erofs *f = (struct erofs *)fs;
	auto_free uint8_t *body = NULL;
	struct inode i;
	size_t at, n;

	if (inode_get(f, ino, &i, e) < 0)
		return -e->code;
	if (i.xattr_len == 0)
		return 0;
	body = malloc(i.xattr_len);
	if (!body || i.xattr_len > XATTRS_MAX)
		return err_set(e, ENOMEM, "extended attributes");
	if (disk_view_read(&f->v, body, i.xattr_len, i.xattr, e) < 0)
		return -e->code;
	at = XATTR_HEAD + 4UL * body[4];
	if (at > i.xattr_len)
		return err_plain(e, EBADMSG, "extended attributes lie outside their inode");
	for (size_t k = XATTR_HEAD; k < at; k += 4)
		if (xattr_shared(f, get_le32(body + k), fn, arg, e) < 0)
			return -e->code;
	/* what is left may be padding */
	for (; i.xattr_len - at >= XATTR_ENTRY && body[at + 1]; at += n) {
		if (xattr_entry(body + at, i.xattr_len - at, fn, arg, &n, e) < 0)
			return -e->code;
		if (n > i.xattr_len - at)
			break;
	}
	return 0;
}

/* ---- opening ---- */

static void op_close(struct fs *fs)
{
	free(fs);
}

static int super_read(struct erofs *f, struct err *e)
{
	uint8_t s[SUPER_LEN];
	uint32_t blocks, features;

	if (disk_view_read(&f->v, s, sizeof(s), SUPER_OFF, e) < 0)
		return -e->code;
	features = get_le32(s + 80);
	f->block_bits = s[12];
	if (f->block_bits < BLOCK_BITS_MIN || f->block_bits > BLOCK_BITS_MAX)
		return err_plain(e, EBADMSG, "EROFS with blocks of 2^%u bytes", f->block_bits);
	if (features & ~FEATURES_KNOWN || get_le16(s + 86) || s[90])
		return err_plain(e, EOPNOTSUPP,
				 "EROFS with compression or other features (0x%x) is not read",
				 features);
	blocks = get_le32(s + 36);
	f->build_time = (int64_t)get_le64(s + 24);
	f->build_nsec = get_le32(s + 32);
	f->meta_off = (uint64_t)get_le32(s + 40) << f->block_bits;
	f->xattr_off = (uint64_t)get_le32(s + 44) << f->block_bits;
	f->fs.root = get_le16(s + 14);
	f->fs.used = (uint64_t)blocks << f->block_bits;
	if (f->build_nsec >= 1000000000U)
		return err_plain(e, EBADMSG, "EROFS whose time makes no sense");
	return 0;
}

int erofs_open(const struct disk_view *v, struct fs **ret, struct err *e)
{
	static const struct fs_ops ops = { op_node, op_list,   op_read, op_map,
					   op_link, op_xattrs, op_close };
	struct erofs *f = calloc(1, sizeof(*f));

	if (!f)
		return err_set(e, ENOMEM, "EROFS");
	f->fs.ops = &ops;
	f->v = *v;
	if (super_read(f, e) < 0) {
		free(f);
		return -e->code;
	}
	*ret = &f->fs;
	return 0;
}
