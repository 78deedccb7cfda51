/* SPDX-License-Identifier: MIT */
/* share_ops.h - the operations that the table in share.c names, by the files that have them */
#ifndef SHARE_OPS_H
#define SHARE_OPS_H

#include "share_internal.h"

typedef int share_op_fn(struct share *s, struct share_call *c);

share_op_fn share_op_lookup, share_op_forget, share_op_batch_forget, share_op_readlink;
share_op_fn share_op_symlink, share_op_mknod, share_op_mkdir, share_op_link;
share_op_fn share_op_unlink, share_op_rmdir, share_op_rename, share_op_rename2;
share_op_fn share_op_getattr, share_op_setattr, share_op_statfs;
share_op_fn share_op_open, share_op_create, share_op_tmpfile, share_op_release;
share_op_fn share_op_read, share_op_write, share_op_flush, share_op_fsync;
share_op_fn share_op_fallocate, share_op_lseek, share_op_copy;
share_op_fn share_op_opendir, share_op_readdir, share_op_readdirplus;
share_op_fn share_op_releasedir, share_op_fsyncdir;
share_op_fn share_op_setxattr, share_op_getxattr, share_op_listxattr, share_op_removexattr;

#endif
