/* SPDX-License-Identifier: MIT */
/* sandbox_internal.h - the walls, one file each */
#ifndef SANDBOX_INTERNAL_H
#define SANDBOX_INTERNAL_H

#include <stdbool.h>

#include "sandbox.h"

/* Needs no-new-privs. 0 also when the kernel has no Landlock: *ret_is_there tells. */
must_check int sandbox_landlock(const struct sandbox_policy *p, bool *ret_is_there, struct err *e);
/* Needs no-new-privs; the last wall, since it forbids to build the others. */
must_check int sandbox_seccomp(enum sandbox_kind kind, struct err *e);

#endif
