/* SPDX-License-Identifier: MIT */
/* sandbox_internal.h - the walls, one file each */
#ifndef SANDBOX_INTERNAL_H
#define SANDBOX_INTERNAL_H

#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>

#include "sandbox.h"

/* Whether the process was root before it had namespaces of its own. Best effort. */
void sandbox_namespaces(enum sandbox_kind kind, bool is_root);
/* Needs no-new-privs. 0 also when the kernel has no Landlock: *ret_is_there tells. */
must_check int sandbox_landlock(const struct sandbox_policy *p, bool *ret_is_there, struct err *e);
/* Needs no-new-privs; the last wall, since it forbids to build the others. */
must_check int sandbox_seccomp(enum sandbox_kind kind, struct err *e);

/* ---- parts of filters, which return as libseccomp does: 0 or -errno ---- */

must_check int sandbox_calls_add(scmp_filter_ctx c, uint32_t action, const int *calls, size_t n);
/* Memory, never executable. */
must_check int sandbox_memory_add(scmp_filter_ctx c);
/* glibc's fstat() */
must_check int sandbox_fstat_add(scmp_filter_ctx c);
/* Opening fails softly, as glibc looks at /sys when it makes threads. */
must_check int sandbox_refused_add(scmp_filter_ctx c);
/* Signals to a thread of this process. */
must_check int sandbox_raise_add(scmp_filter_ctx c);

/* ---- sandbox_guest.c ---- */

must_check int sandbox_vmm_add(scmp_filter_ctx c);
must_check int sandbox_share_add(scmp_filter_ctx c);

#endif
