/* SPDX-License-Identifier: MIT */
/* fsread.c - [U] which file system it is, and paths in it */
#include "fsread.h"

static const char *const kind_names[] = {
	[FS_UNKNOWN] = "unknown",
	[FS_EXT] = "ext2/3/4",
	[FS_EROFS] = "EROFS",
	[FS_XFS] = "XFS",
	[FS_BTRFS] = "Btrfs",
	[FS_NTFS] = "NTFS",
	[FS_FAT] = "FAT",
	[FS_SQUASHFS] = "SquashFS",
	[FS_ISO9660] = "ISO 9660",
	[FS_SWAP] = "swap",
	[FS_LVM] = "LVM",
	[FS_LUKS] = "encrypted (LUKS)",
	[FS_FORMAT] = "qcow2, VMDK or VHDX",
};
_Static_assert(ARRAY_SIZE(kind_names) == FS_KIND_COUNT_, "a name for each kind");

const char *fs_kind_name(enum fs_kind kind)
{
	return kind_names[kind];
}

enum fs_kind fs_kind_find(const struct disk_view *v)
{
	static const struct {
		uint32_t at;
		uint8_t len;
		const char *magic;
		enum fs_kind kind;
	} known[] = {
		{ 1080, 2, "\x53\xef", FS_EXT },   { 1024, 4, "\xe2\xe1\xf5\xe0", FS_EROFS },
		{ 0, 4, "XFSB", FS_XFS },          { 65600, 8, "_BHRfS_M", FS_BTRFS },
		{ 3, 8, "NTFS    ", FS_NTFS },     { 82, 5, "FAT32", FS_FAT },
		{ 54, 3, "FAT", FS_FAT },          { 0, 4, "hsqs", FS_SQUASHFS },
		{ 32769, 5, "CD001", FS_ISO9660 }, { 4086, 10, "SWAPSPACE2", FS_SWAP },
		{ 512, 8, "LABELONE", FS_LVM },    { 0, 6, "LUKS\xba\xbe", FS_LUKS },
		{ 0, 4, "QFI\xfb", FS_FORMAT },    { 0, 4, "KDMV", FS_FORMAT },
		{ 0, 8, "vhdxfile", FS_FORMAT },
	};
	struct err ignored = { 0 }; /* too short for it, or unreadable: not that kind */
	uint8_t raw[16];

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (disk_view_read(v, raw, known[i].len, known[i].at, &ignored) == 0 &&
		    memcmp(raw, known[i].magic, known[i].len) == 0)
			return known[i].kind;
	return FS_UNKNOWN;
}

int fs_open(const struct disk_view *v, struct fs **ret, struct err *e)
{
	enum fs_kind kind = fs_kind_find(v);

	if (kind == FS_EXT)
		return ext_open(v, ret, e);
	if (kind == FS_EROFS)
		return erofs_open(v, ret, e);
	return err_plain(e, EOPNOTSUPP, "its file system (%s) is none that can be read here",
			 fs_kind_name(kind));
}

void fs_close(struct fs *f)
{
	if (f)
		f->ops->close(f);
}

struct lookup {
	const char *name;
	size_t len;
	uint64_t ino;
	bool is_found;
};

static int lookup_name(void *arg, const char *name, size_t len, uint64_t ino, struct err *e)
{
	struct lookup *l = arg;

	(void)e;
	if (len == l->len && memcmp(name, l->name, len) == 0) {
		l->ino = ino;
		l->is_found = true;
	}
	return 0;
}

int fs_lookup(struct fs *f, const char *path, uint64_t *ret_ino, struct err *e)
{
	uint64_t at = f->root;

	for (const char *name = path; *name;) {
		struct lookup l = { .name = name, .len = strcspn(name, "/") };
		struct fs_node node;

		if (f->ops->node(f, at, &node, e) < 0)
			return -e->code;
		if (node.kind != FS_NODE_DIR)
			return err_set(e, ENOTDIR, "%s", path);
		if (f->ops->list(f, at, lookup_name, &l, e) < 0)
			return -e->code;
		if (!l.is_found)
			return err_set(e, ENOENT, "%s", path);
		at = l.ino;
		name += l.len;
		name += *name == '/';
	}
	*ret_ino = at;
	return 0;
}

int fs_read_file(struct fs *f, const char *path, size_t max, struct buf *ret, struct err *e)
{
	struct fs_node node;
	uint64_t ino;

	if (fs_lookup(f, path, &ino, e) < 0 || f->ops->node(f, ino, &node, e) < 0)
		return -e->code;
	if (node.kind != FS_NODE_REG)
		return err_plain(e, EINVAL, "%s is not a regular file", path);
	if (node.size > max)
		return err_set(e, EFBIG, "%s", path);
	if (buf_reserve(ret, (size_t)node.size + 1) < 0)
		return err_set(e, ENOMEM, "%s", path);
	if (f->ops->read(f, ino, ret->data + ret->len, (size_t)node.size, 0, e) < 0)
		return err_wrap(e, "%s", path);
	ret->len += (size_t)node.size;
	ret->data[ret->len] = '\0';
	return 0;
}
