/* SPDX-License-Identifier: MIT */
/* sandbox_internal.h - the walls, one file each */
#ifndef SANDBOX_INTERNAL_H
#define SANDBOX_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "sandbox.h"

/* Whether the process was root before it had namespaces of its own. Best effort. */
void sandbox_namespaces(enum sandbox_kind kind, bool is_root);
/* Needs no-new-privs. 0 also when the kernel has no Landlock: *ret_is_there tells. */
must_check int sandbox_landlock(const struct sandbox_policy *p, bool *ret_is_there, struct err *e);
/* Needs no-new-privs; the last wall, since it forbids to build the others. */
must_check int sandbox_seccomp(enum sandbox_kind kind, struct err *e);

/* In a ready-made filter, in place of the process's own id. */
#define SANDBOX_OWN_PID 0x7ca15500U

#endif
