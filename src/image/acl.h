/* SPDX-License-Identifier: MIT */
/*
 * acl.h - POSIX access control lists as extended attributes
 *
 * The kernel opens no file whose list is malformed to others than its owner, so what is stored is
 * checked here by the kernel's own rules.
 */
#ifndef ACL_H
#define ACL_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

#define ACL_ENTRIES_MAX 8191U /* what a value of 64 KiB holds */

/* system.posix_acl_access or _default: a list that Linux takes? */
bool acl_is_valid(const void *value, size_t len);

/*
 * The text of tar's SCHILY.acl.* ("user::rwx,user:1000:r-x,group::r-x,mask::r-x,other::r--") as
 * such a value, appended to `ret`. -EOPNOTSUPP when it names users or groups without numbers:
 * whose they are, only the image's own /etc/passwd knew. -EBADMSG for anything else.
 */
must_check int acl_from_text(const char *text, struct buf *ret, struct err *e);

#endif
