/* SPDX-License-Identifier: MIT */
/*
 * share.c - [U] a FUSE request comes in, a FUSE reply goes out
 *
 * Hostile: all of a request. Its length, its header's idea of it and what its kind needs are
 *   compared here, before any operation looks at it; numbers of inodes and of open files are
 *   looked up in tables, never used as they are.
 * Invariants: I1 an inode is held by an O_PATH descriptor, from which nothing can be read. I2 what
 *   is opened was found in its directory by one name without links (share_open_beneath), or is an
 *   inode that was, a regular file or a directory. I3 a new file has neither set-user-id nor
 *   set-group-id; who owns it may give it them, as on the host (SECURITY.md). I4 a share that is
 * read-only calls nothing that changes files, whatever its mount allows. Threads: one. Memory: all
 * allocated by share_new(). #syscalls:share openat2 openat close statx fstatfs read write pread64
 * pwrite64 lseek getdents64 readlinkat symlinkat mknodat mkdirat unlinkat renameat2 linkat fchmodat
 * fchownat utimensat ftruncate fallocate fsync fdatasync copy_file_range dup fgetxattr
 * fsetxattr flistxattr fremovexattr mmap mprotect newfstatat renameat
 */
#include "share_ops.h"

#include <assert.h>
#include <fcntl.h>
#include <sys/resource.h>

#include "bytes.h"

#define LIMIT_MAX    (1U << 24)
#define FDS_RESERVED 32U /* of this process; and one that is open for a moment */
#define MINOR_MIN    31U
#define MINOR_MAX    38U
#define INIT_IN_SIZE 16U /* before 7.36 */
#define INIT_MAJOR   7U

enum op_flags {
	OP_INODE = 1 << 0,    /* is about the inode that its header names */
	OP_WRITES = 1 << 1,   /* changes something */
	OP_SILENT = 1 << 2,   /* has no reply */
	OP_ANY_TIME = 1 << 3, /* also before INIT */
};

/* What is shown to the guest does not change behind its back: it asks again after a second. */
static const uint32_t features = FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES |
				 FUSE_AUTO_INVAL_DATA | FUSE_DO_READDIRPLUS |
				 FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS |
				 FUSE_MAX_PAGES | FUSE_HANDLE_KILLPRIV_V2;

static void all_forget(struct share *s)
{
	share_files_close(s);
	share_inodes_forget(s);
	s->is_begun = false;
}

/* A guest that says INIT has started anew. */
static int op_init(struct share *s, struct share_call *c)
{
	struct fuse_init_out out = { .major = INIT_MAJOR, .minor = MINOR_MAX };
	struct fuse_init_in in = { 0 };

	share_arg(c, &in, INIT_IN_SIZE);
	if (in.major < INIT_MAJOR || (in.major == INIT_MAJOR && in.minor < MINOR_MIN))
		return -EPROTO;
	if (in.major == INIT_MAJOR) { /* else it says INIT again, with this number */
		all_forget(s);
		s->is_begun = true;
		out.minor = MIN_OF(in.minor, MINOR_MAX);
		out.flags = in.flags & features;
		out.max_readahead = MIN_OF(in.max_readahead, SHARE_DATA_MAX);
		out.max_background = 16;
		out.congestion_threshold = 12;
		out.max_write = SHARE_DATA_MAX;
		out.max_pages = SHARE_DATA_MAX / 4096;
		out.time_gran = 1;
	}
	share_put(c, &out, sizeof(out));
	return 0;
}

static int op_destroy(struct share *s, struct share_call *c)
{
	(void)c;
	all_forget(s);
	return 0;
}

/* Requests are served one by one: what it would interrupt has ended. */
static int op_interrupt(struct share *s, struct share_call *c)
{
	(void)s;
	(void)c;
	return 0;
}

/* What is not here is -ENOSYS, which the guest remembers for most. */
static const struct share_op {
	share_op_fn *run;
	uint16_t arg_min;
	uint16_t flags;
} ops[] = {
	[FUSE_LOOKUP] = { share_op_lookup, 2, OP_INODE },
	[FUSE_FORGET] = { share_op_forget, sizeof(struct fuse_forget_in), OP_INODE | OP_SILENT },
	[FUSE_GETATTR] = { share_op_getattr, sizeof(struct fuse_getattr_in), OP_INODE },
	[FUSE_SETATTR] = { share_op_setattr, sizeof(struct fuse_setattr_in), OP_INODE | OP_WRITES },
	[FUSE_READLINK] = { share_op_readlink, 0, OP_INODE },
	[FUSE_SYMLINK] = { share_op_symlink, 4, OP_INODE | OP_WRITES },
	[FUSE_MKNOD] = { share_op_mknod, sizeof(struct fuse_mknod_in), OP_INODE | OP_WRITES },
	[FUSE_MKDIR] = { share_op_mkdir, sizeof(struct fuse_mkdir_in), OP_INODE | OP_WRITES },
	[FUSE_UNLINK] = { share_op_unlink, 2, OP_INODE | OP_WRITES },
	[FUSE_RMDIR] = { share_op_rmdir, 2, OP_INODE | OP_WRITES },
	[FUSE_RENAME] = { share_op_rename, sizeof(struct fuse_rename_in), OP_INODE | OP_WRITES },
	[FUSE_LINK] = { share_op_link, sizeof(struct fuse_link_in), OP_INODE | OP_WRITES },
	[FUSE_OPEN] = { share_op_open, sizeof(struct fuse_open_in), OP_INODE },
	[FUSE_READ] = { share_op_read, sizeof(struct fuse_read_in), OP_INODE },
	[FUSE_WRITE] = { share_op_write, sizeof(struct fuse_write_in), OP_INODE | OP_WRITES },
	[FUSE_STATFS] = { share_op_statfs, 0, OP_INODE },
	[FUSE_RELEASE] = { share_op_release, sizeof(struct fuse_release_in), OP_INODE },
	[FUSE_FSYNC] = { share_op_fsync, sizeof(struct fuse_fsync_in), OP_INODE },
	[FUSE_SETXATTR] = { share_op_setxattr, FUSE_COMPAT_SETXATTR_IN_SIZE, OP_INODE | OP_WRITES },
	[FUSE_GETXATTR] = { share_op_getxattr, sizeof(struct fuse_getxattr_in), OP_INODE },
	[FUSE_LISTXATTR] = { share_op_listxattr, sizeof(struct fuse_getxattr_in), OP_INODE },
	[FUSE_REMOVEXATTR] = { share_op_removexattr, 2, OP_INODE | OP_WRITES },
	[FUSE_FLUSH] = { share_op_flush, sizeof(struct fuse_flush_in), OP_INODE },
	[FUSE_INIT] = { op_init, INIT_IN_SIZE, OP_ANY_TIME },
	[FUSE_OPENDIR] = { share_op_opendir, sizeof(struct fuse_open_in), OP_INODE },
	[FUSE_READDIR] = { share_op_readdir, sizeof(struct fuse_read_in), OP_INODE },
	[FUSE_RELEASEDIR] = { share_op_releasedir, sizeof(struct fuse_release_in), OP_INODE },
	[FUSE_FSYNCDIR] = { share_op_fsyncdir, sizeof(struct fuse_fsync_in), OP_INODE },
	[FUSE_CREATE] = { share_op_create, sizeof(struct fuse_create_in), OP_INODE | OP_WRITES },
	[FUSE_INTERRUPT] = { op_interrupt, 0, OP_SILENT },
	[FUSE_DESTROY] = { op_destroy, 0, OP_ANY_TIME },
	[FUSE_BATCH_FORGET] = { share_op_batch_forget, sizeof(struct fuse_batch_forget_in),
				OP_SILENT },
	[FUSE_FALLOCATE] = { share_op_fallocate, sizeof(struct fuse_fallocate_in),
			     OP_INODE | OP_WRITES },
	[FUSE_READDIRPLUS] = { share_op_readdirplus, sizeof(struct fuse_read_in), OP_INODE },
	[FUSE_RENAME2] = { share_op_rename2, sizeof(struct fuse_rename2_in), OP_INODE | OP_WRITES },
	[FUSE_LSEEK] = { share_op_lseek, sizeof(struct fuse_lseek_in), OP_INODE },
	[FUSE_COPY_FILE_RANGE] = { share_op_copy, sizeof(struct fuse_copy_file_range_in),
				   OP_INODE | OP_WRITES },
	[FUSE_TMPFILE] = { share_op_tmpfile, sizeof(struct fuse_create_in), OP_INODE | OP_WRITES },
};

static const struct share_op *op_find(uint32_t opcode)
{
	return opcode < ARRAY_SIZE(ops) && ops[opcode].run ? &ops[opcode] : NULL;
}

static int call_run(struct share *s, const struct share_op *op, struct share_call *c, size_t len)
{
	if (!op)
		return -ENOSYS;
	if (c->in.len != len || len > SHARE_REQUEST_MAX || c->arg_len < op->arg_min)
		return -EINVAL;
	if (!s->is_begun && !(op->flags & OP_ANY_TIME))
		return -EIO;
	if (s->is_readonly && (op->flags & OP_WRITES))
		return -EROFS;
	if (op->flags & OP_INODE) {
		c->inode = share_inode_get(s, c->in.nodeid);
		if (!c->inode)
			return -ESTALE;
	}
	return op->run(s, c);
}

size_t share_handle(struct share *s, const void *req, size_t len, void *reply)
{
	struct fuse_out_header head = { .len = sizeof(head) };
	struct share_call c = { .out = (uint8_t *)reply + sizeof(head) };
	const struct share_op *op;
	int rc;

	if (len < sizeof(c.in))
		return 0;
	memcpy(&c.in, req, sizeof(c.in));
	c.arg = (const uint8_t *)req + sizeof(c.in);
	c.arg_len = len - sizeof(c.in);
	op = op_find(c.in.opcode);
	rc = call_run(s, op, &c, len);
	if (op && (op->flags & OP_SILENT))
		return 0;
	head.unique = c.in.unique;
	if (rc < 0)
		head.error = rc;
	else
		head.len += (uint32_t)c.out_len;
	memcpy(reply, &head, sizeof(head));
	return head.len;
}

/* ---- making one ---- */

static bool ids_fit(const struct share_ids *i)
{
	return range_fits(i->guest_base, i->count, UINT32_MAX) &&
	       range_fits(i->host_base, i->count, UINT32_MAX);
}

/* How many inodes there is room for, beside all else that has descriptors. */
static int inodes_fit(const struct share_options *o, uint32_t *ret, struct err *e)
{
	uint64_t others = (uint64_t)o->max_handles + FDS_RESERVED;
	struct rlimit r;

	if (o->max_inodes == 0 || o->max_inodes > LIMIT_MAX || o->max_handles == 0 ||
	    o->max_handles > LIMIT_MAX)
		return err_plain(e, EINVAL, "share: %u inodes, %u open files", o->max_inodes,
				 o->max_handles);
	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return err_set(e, errno, "getrlimit");
	if (r.rlim_cur <= others)
		return err_plain(e, EMFILE, "share: no room for %u open files", o->max_handles);
	*ret = (uint32_t)MIN_OF(o->max_inodes, r.rlim_cur - others);
	return 0;
}

static int root_enter(struct share *s, int root_fd, struct err *e)
{
	struct share_inode *root;
	struct statx st = { 0 };
	int rc, fd = share_open_beneath(root_fd, ".", O_PATH | O_DIRECTORY, 0);

	if (fd < 0)
		return err_set(e, -fd, "share: the directory");
	rc = share_stat(fd, &st);
	if (rc < 0) {
		close(fd);
		return err_set(e, -rc, "share: the directory");
	}
	rc = share_inode_enter(s, fd, &st, &root);
	if (rc < 0)
		return err_set(e, -rc, "share: the directory");
	assert(share_inode_id(s, root) == FUSE_ROOT_ID);
	return 0;
}

static int share_fill(struct share *s, const struct share_options *o, struct err *e)
{
	uint32_t max_inodes = 0;

	if (!ids_fit(&o->uids) || !ids_fit(&o->gids))
		return err_plain(e, EINVAL, "share: ids that wrap");
	if (inodes_fit(o, &max_inodes, e) < 0)
		return -e->code;
	s->proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->proc_fd < 0)
		return err_set(e, errno, "share: /proc/self/fd");
	if (share_inodes_init(&s->inodes, max_inodes, e) < 0 ||
	    share_files_init(&s->files, o->max_handles, e) < 0)
		return -e->code;
	return root_enter(s, o->root_fd, e);
}

int share_new(const struct share_options *o, struct share **ret, struct err *e)
{
	struct share *s = calloc(1, sizeof(*s));

	if (!s)
		return err_set(e, ENOMEM, "share");
	s->proc_fd = -1;
	s->is_readonly = o->is_readonly;
	s->uid = geteuid();
	s->gives_owner = s->uid == 0 && o->owners != SHARE_OWNERS_SQUASHED;
	s->owners = o->owners;
	s->uids = o->uids;
	s->gids = o->gids;
	if (share_fill(s, o, e) < 0) {
		share_free(s);
		return -e->code;
	}
	*ret = s;
	return 0;
}

void share_free(struct share *s)
{
	if (!s)
		return;
	share_files_done(&s->files);
	share_inodes_done(&s->inodes);
	fd_drop(&s->proc_fd);
	free(s);
}
