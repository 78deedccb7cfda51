/* SPDX-License-Identifier: MIT */
/*
 * ext_read.c - [U] ext2, ext3 and ext4, read by libext2fs
 *
 * The library gets its bytes through an io_manager that reads from a disk_view and writes nothing;
 * it has no file to open. Hostile: all of the disk. What the library allocates for a superblock is
 * in proportion to the number of block groups, which is checked against the size of the disk before
 * it sees it; who calls this has a limit on its memory, and a sandbox.
 *
 * A journal that was not replayed is refused: what it holds is newer than what would be read.
 */
#include <et/com_err.h>
#include <ext2fs/ext2fs.h>
#include <sys/stat.h>

#include "fsread.h"

#define SUPER_OFF    1024U
#define LINK_MAX_LEN 4095U
#define RECOVER      0x4U /* incompatible features: the journal is needed */
#define JOURNAL_DEV  0x8U
#define BITS_MAX     16U

struct ext {
	struct fs fs;
	struct disk_view v;
	ext2_filsys e2;
	ext2_file_t file; /* the regular file that was read last */
	ext2_ino_t file_ino;
	struct err io; /* why the last read failed */
};

static int ext_err(struct ext *f, errcode_t r, const char *what, struct err *e)
{
	if (f && f->io.code) {
		*e = f->io;
		f->io.code = 0;
		return -e->code;
	}
	if (r == EXT2_ET_NO_MEMORY || r == ENOMEM)
		return err_set(e, ENOMEM, "%s", what);
	return err_plain(e, EBADMSG, "%s: %s", what, r < 256 ? strerror((int)r) : error_message(r));
}

/* ---- the disk, as the library wants it ---- */

static struct struct_io_manager *manager_get(void);

/* The library passes a name only: it is the address of the struct ext, in hexadecimal. */
static errcode_t channel_open(const char *name, int flags, io_channel *ret)
{
	io_channel c = calloc(1, sizeof(*c));
	char *copy = strdup(name);

	(void)flags;
	if (!c || !copy) {
		free(c);
		free(copy);
		return EXT2_ET_NO_MEMORY;
	}
	c->magic = EXT2_ET_MAGIC_IO_CHANNEL;
	c->name = copy;
	c->block_size = 1024;
	c->refcount = 1;
	c->private_data = (void *)(uintptr_t)strtoull(name, NULL, 16);
	c->manager = manager_get();
	*ret = c;
	return 0;
}

static errcode_t channel_close(io_channel c)
{
	if (--c->refcount > 0)
		return 0;
	free(c->name);
	free(c);
	return 0;
}

static errcode_t channel_block_size(io_channel c, int size)
{
	c->block_size = size;
	return 0;
}

/* A count below zero is bytes. */
static errcode_t channel_read64(io_channel c, unsigned long long block, int count, void *data)
{
	struct ext *f = c->private_data;
	const uint64_t unit = (unsigned int)c->block_size;
	const uint64_t len = count < 0 ? 0ULL - (uint64_t)(int64_t)count : (uint64_t)count * unit;

	if (block > UINT64_MAX / unit ||
	    disk_view_read(&f->v, data, (size_t)len, block * unit, &f->io) < 0)
		return EXT2_ET_SHORT_READ;
	return 0;
}

static errcode_t channel_read(io_channel c, unsigned long block, int count, void *data)
{
	return channel_read64(c, block, count, data);
}

static errcode_t channel_write64(io_channel c, unsigned long long block, int count,
				 const void *data)
{
	(void)c, (void)block, (void)count, (void)data;
	return EXT2_ET_RO_FILSYS;
}

static errcode_t channel_write(io_channel c, unsigned long block, int count, const void *data)
{
	return channel_write64(c, block, count, data);
}

static errcode_t channel_flush(io_channel c)
{
	(void)c;
	return 0;
}

/* The library compares addresses and fills nothing in: it could be const, but takes it as it is. */
static struct struct_io_manager *manager_get(void)
{
	static struct struct_io_manager manager = {
		.magic = EXT2_ET_MAGIC_IO_MANAGER,
		.name = "disk_view",
		.open = channel_open,
		.close = channel_close,
		.set_blksize = channel_block_size,
		.read_blk = channel_read,
		.write_blk = channel_write,
		.flush = channel_flush,
		.read_blk64 = channel_read64,
		.write_blk64 = channel_write64,
	};

	return &manager;
}

/* ---- inodes ---- */

static enum fs_node_kind kind_of(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return FS_NODE_DIR;
	case S_IFLNK:
		return FS_NODE_SYMLINK;
	case S_IFCHR:
		return FS_NODE_CHR;
	case S_IFBLK:
		return FS_NODE_BLK;
	case S_IFIFO:
		return FS_NODE_FIFO;
	case S_IFSOCK:
		return FS_NODE_SOCKET;
	default:
		return FS_NODE_REG;
	}
}

static int inode_read(struct ext *f, uint64_t ino, struct ext2_inode_large *ret, struct err *e)
{
	errcode_t r;

	memset(ret, 0, sizeof(*ret));
	if (ino == 0 || ino > f->e2->super->s_inodes_count)
		return err_plain(e, EBADMSG, "inode %llu is none of this file system",
				 (unsigned long long)ino);
	r = ext2fs_read_inode_full(f->e2, (ext2_ino_t)ino, (struct ext2_inode *)ret, sizeof(*ret));
	if (r)
		return ext_err(f, r, "inode", e);
	if (!(ret->i_mode & S_IFMT) || ret->i_links_count == 0)
		return err_plain(e, EBADMSG, "inode %llu is not in use", (unsigned long long)ino);
	if (ret->i_flags & EXT4_ENCRYPT_FL)
		return err_plain(e, EOPNOTSUPP, "it has encrypted files");
	return 0;
}

/* Two bits more of seconds are beside the nanoseconds, where the inode is large. */
static void time_get(const struct ext2_inode_large *i, struct fs_node *n)
{
	n->mtime_sec = (int32_t)i->i_mtime;
	if (i->i_extra_isize <
	    offsetof(struct ext2_inode_large, i_mtime_extra) + 4 - EXT2_GOOD_OLD_INODE_SIZE)
		return;
	n->mtime_sec += (int64_t)(i->i_mtime_extra & 3) << 32;
	n->mtime_nsec = i->i_mtime_extra >> 2;
	if (n->mtime_nsec >= 1000000000U)
		n->mtime_nsec = 0;
}

static void device_get(const struct ext2_inode_large *i, struct fs_node *n)
{
	const uint32_t old = i->i_block[0], new = i->i_block[1];

	n->major = old ? old >> 8 & 0xffU : (new & 0xfff00U) >> 8;
	n->minor = old ? old & 0xffU : (new & 0xffU) | (new >> 12 & 0xfff00U);
}

static int op_node(struct fs *fs, uint64_t ino, struct fs_node *ret, struct err *e)
{
	struct ext *f = (struct ext *)fs;
	struct ext2_inode_large i;
	struct fs_node n = { 0 };

	if (inode_read(f, ino, &i, e) < 0)
		return -e->code;
	n.kind = kind_of(i.i_mode);
	n.mode = i.i_mode & 07777U;
	n.uid = inode_uid(i);
	n.gid = inode_gid(i);
	n.links = i.i_links_count;
	n.size = EXT2_I_SIZE(&i);
	if (n.size > INT64_MAX)
		return err_plain(e, EBADMSG, "inode %llu has an impossible size",
				 (unsigned long long)ino);
	n.may_be_sparse =
		ext2fs_get_stat_i_blocks(f->e2, (struct ext2_inode *)&i) * 512ULL < n.size;
	time_get(&i, &n);
	if (n.kind == FS_NODE_CHR || n.kind == FS_NODE_BLK)
		device_get(&i, &n);
	*ret = n;
	return 0;
}

/* ---- contents ---- */

static int file_open(struct ext *f, uint64_t ino, struct err *e)
{
	errcode_t r;

	if (f->file && f->file_ino == ino)
		return 0;
	if (f->file)
		(void)ext2fs_file_close(f->file); /* read only: nothing to lose */
	f->file = NULL;
	r = ext2fs_file_open(f->e2, (ext2_ino_t)ino, 0, &f->file);
	if (r)
		return ext_err(f, r, "open a file", e);
	f->file_ino = (ext2_ino_t)ino;
	return 0;
}

static int op_read(struct fs *fs, uint64_t ino, void *data, size_t len, uint64_t off, struct err *e)
{
	struct ext *f = (struct ext *)fs;
	uint8_t *to = data;
	errcode_t r;

	if (file_open(f, ino, e) < 0)
		return -e->code;
	r = ext2fs_file_llseek(f->file, off, EXT2_SEEK_SET, NULL);
	while (r == 0 && len > 0) {
		unsigned int n = 0;

		r = ext2fs_file_read(f->file, to, (unsigned int)MIN_OF(len, 1UL << 20), &n);
		if (r == 0 && n == 0)
			return err_plain(e, EBADMSG, "a file ends before its size");
		to += n;
		len -= n;
	}
	return r ? ext_err(f, r, "read a file", e) : 0;
}

struct map {
	fs_run_fn *fn;
	void *arg;
	struct err *e;
	uint64_t block, size;
	uint64_t from, to; /* bytes of the run that is not yet told */
	int rc;
};

static void map_tell(struct map *m)
{
	const uint64_t to = MIN_OF(m->to, m->size);

	if (m->rc == 0 && m->from < to)
		m->rc = m->fn(m->arg, m->from, to - m->from, m->e);
}

static int map_block(ext2_filsys e2, blk64_t *block, e2_blkcnt_t n, blk64_t ref, int off, void *arg)
{
	struct map *m = arg;
	const uint64_t at = (uint64_t)n * m->block;

	(void)e2, (void)block, (void)ref, (void)off;
	if (n < 0 || at >= m->size)
		return 0;
	if (at != m->to) {
		if (at < m->to) { /* not ascending: only a damaged tree */
			m->rc = err_plain(m->e, EBADMSG, "a file's blocks are out of order");
			return BLOCK_ABORT;
		}
		map_tell(m);
		m->from = at;
	}
	m->to = at + m->block;
	return m->rc ? BLOCK_ABORT : 0;
}

static int op_map(struct fs *fs, uint64_t ino, fs_run_fn *fn, void *arg, struct err *e)
{
	struct ext *f = (struct ext *)fs;
	struct ext2_inode_large i;
	struct map m = { .fn = fn, .arg = arg, .e = e, .block = f->e2->blocksize };
	errcode_t r;

	if (inode_read(f, ino, &i, e) < 0)
		return -e->code;
	m.size = EXT2_I_SIZE(&i);
	if (i.i_flags & EXT4_INLINE_DATA_FL)
		return m.size ? fn(arg, 0, m.size, e) : 0;
	r = ext2fs_block_iterate3(f->e2, (ext2_ino_t)ino,
				  BLOCK_FLAG_READ_ONLY | BLOCK_FLAG_DATA_ONLY, NULL, map_block, &m);
	if (m.rc)
		return m.rc;
	if (r)
		return ext_err(f, r, "a file's blocks", e);
	map_tell(&m);
	return m.rc;
}

static int op_link(struct fs *fs, uint64_t ino, struct buf *ret, struct err *e)
{
	struct ext *f = (struct ext *)fs;
	struct ext2_inode_large i;
	char target[LINK_MAX_LEN];
	uint64_t len;

	if (inode_read(f, ino, &i, e) < 0)
		return -e->code;
	len = EXT2_I_SIZE(&i);
	if (len == 0 || len > sizeof(target))
		return err_plain(e, EBADMSG, "a symbolic link of %llu bytes",
				 (unsigned long long)len);
	if (ext2fs_is_fast_symlink((struct ext2_inode *)&i)) {
		if (len > sizeof(i.i_block))
			return err_plain(e, EBADMSG, "a symbolic link makes no sense");
		memcpy(target, i.i_block, (size_t)len);
	} else if (op_read(fs, ino, target, (size_t)len, 0, e) < 0) {
		return -e->code;
	}
	if (memchr(target, '\0', (size_t)len))
		return err_plain(e, EBADMSG, "a symbolic link with a NUL");
	return buf_add(ret, target, (size_t)len) < 0 ? err_set(e, ENOMEM, "link") : 0;
}

/* ---- directories ---- */

struct listing {
	fs_name_fn *fn;
	void *arg;
	struct err *e;
	int rc;
};

static int entry_take(struct ext2_dir_entry *d, int off, int block, char *buf, void *arg)
{
	struct listing *l = arg;
	const size_t len = (size_t)ext2fs_dirent_name_len(d);

	(void)off, (void)block, (void)buf;
	if (len == 0 || memchr(d->name, '/', len) || memchr(d->name, '\0', len))
		l->rc = err_plain(l->e, EBADMSG, "a directory has an impossible name");
	else if (!(d->name[0] == '.' && (len == 1 || (len == 2 && d->name[1] == '.'))))
		l->rc = l->fn(l->arg, d->name, len, d->inode, l->e);
	return l->rc ? DIRENT_ABORT : 0;
}

static int op_list(struct fs *fs, uint64_t dir, fs_name_fn *fn, void *arg, struct err *e)
{
	struct ext *f = (struct ext *)fs;
	struct listing l = { fn, arg, e, 0 };
	errcode_t r = ext2fs_dir_iterate(f->e2, (ext2_ino_t)dir, 0, NULL, entry_take, &l);

	if (l.rc)
		return l.rc;
	return r ? ext_err(f, r, "a directory", e) : 0;
}

/* ---- extended attributes ---- */

struct attributes {
	fs_xattr_fn *fn;
	void *arg;
	struct err *e;
	int rc;
};

static int attribute_take(char *name, char *value, size_t len, void *arg)
{
	struct attributes *a = arg;

	if (len > 65535)
		a->rc = err_plain(a->e, EBADMSG, "an extended attribute of %zu bytes", len);
	else
		a->rc = a->fn(a->arg, name, value, len, a->e);
	return a->rc ? XATTR_ABORT : 0;
}

static int op_xattrs(struct fs *fs, uint64_t ino, fs_xattr_fn *fn, void *arg, struct err *e)
{
	struct ext *f = (struct ext *)fs;
	struct attributes a = { fn, arg, e, 0 };
	struct ext2_xattr_handle *h;
	errcode_t r = ext2fs_xattrs_open(f->e2, (ext2_ino_t)ino, &h);

	if (r == EXT2_ET_MISSING_EA_FEATURE)
		return 0;
	if (r)
		return ext_err(f, r, "extended attributes", e);
	r = ext2fs_xattrs_read(h);
	if (r == 0)
		r = ext2fs_xattrs_iterate(h, attribute_take, &a);
	(void)ext2fs_xattrs_close(&h);
	if (a.rc)
		return a.rc;
	return r && r != EXT2_ET_MISSING_EA_FEATURE ? ext_err(f, r, "extended attributes", e) : 0;
}

/* ---- opening ---- */

static void op_close(struct fs *fs)
{
	struct ext *f = (struct ext *)fs;

	if (f->file)
		(void)ext2fs_file_close(f->file);
	if (f->e2)
		ext2fs_free(f->e2); /* without writing, as close would */
	free(f);
}

/* Before the library believes the superblock. */
static int super_check(struct ext *f, struct err *e)
{
	struct ext2_super_block s;
	uint64_t blocks;

	if (disk_view_read(&f->v, &s, sizeof(s), SUPER_OFF, e) < 0)
		return -e->code;
	blocks = s.s_blocks_count;
	if (s.s_feature_incompat & EXT4_FEATURE_INCOMPAT_64BIT)
		blocks |= (uint64_t)s.s_blocks_count_hi << 32;
	if (s.s_log_block_size > BITS_MAX - 10U ||
	    blocks > f->v.size >> (s.s_log_block_size + 10U) || s.s_blocks_per_group == 0)
		return err_plain(e, EBADMSG,
				 "the file system is larger than its place on the disk");
	if (s.s_blocks_per_group < 256)
		return err_plain(e, EBADMSG, "the file system has impossibly small groups");
	if (s.s_feature_incompat & JOURNAL_DEV)
		return err_plain(e, EOPNOTSUPP, "it is a journal, not a file system");
	if (s.s_feature_incompat & RECOVER)
		return err_plain(e, EUCLEAN,
				 "its journal has not been replayed: start and end the machine "
				 "properly, or run e2fsck on the disk (caisson disk mount)");
	f->fs.used = (blocks - MIN_OF(blocks, (uint64_t)s.s_free_blocks_count)) *
		     (1024ULL << s.s_log_block_size);
	return 0;
}

int ext_open(const struct disk_view *v, struct fs **ret, struct err *e)
{
	static const struct fs_ops ops = { op_node, op_list,   op_read, op_map,
					   op_link, op_xattrs, op_close };
	struct ext *f = calloc(1, sizeof(*f));
	char name[32];
	errcode_t r;

	if (!f)
		return err_set(e, ENOMEM, "ext");
	f->fs.ops = &ops;
	f->fs.root = EXT2_ROOT_INO;
	f->v = *v;
	if (super_check(f, e) < 0)
		goto out;
	snprintf(name, sizeof(name), "%llx", (unsigned long long)(uintptr_t)f);
	r = ext2fs_open(name, EXT2_FLAG_64BITS | EXT2_FLAG_SOFTSUPP_FEATURES, 0, 0, manager_get(),
			&f->e2);
	if (r == 0) {
		*ret = &f->fs;
		return 0;
	}
	(void)ext_err(f, r, "the file system", e);
out:
	op_close(&f->fs);
	return -e->code;
}
