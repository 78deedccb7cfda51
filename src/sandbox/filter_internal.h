/* SPDX-License-Identifier: MIT */
/* filter_internal.h - parts of filters, at build time; they return as libseccomp does: 0 or -errno
 */
#ifndef FILTER_INTERNAL_H
#define FILTER_INTERNAL_H

#include <seccomp.h>

#include "sandbox_internal.h"

must_check int filter_calls_add(scmp_filter_ctx c, uint32_t action, const int *calls, size_t n);
/* Allow a call; one that could do more than it is for, with the arguments that it is for. */
must_check int filter_call_add(scmp_filter_ctx c, int call);

/* ---- whole ones: filter_worker.c, filter_guest.c ---- */

must_check int filter_process_fill(scmp_filter_ctx c, enum sandbox_kind kind);
must_check int filter_thread_fill(scmp_filter_ctx c, enum sandbox_thread kind);
must_check int filter_vmm_add(scmp_filter_ctx c);
must_check int filter_share_add(scmp_filter_ctx c);

#endif
