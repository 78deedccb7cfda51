/* SPDX-License-Identifier: MIT */
/*
 * dirty_log.h - which pages of a running machine's memory are written
 *
 * For who copies memory while it changes: start, copy all, then as often as wanted take the log and
 * copy what it names; at last pause, and do so once more. Then the copy is the memory.
 */
#ifndef DIRTY_LOG_H
#define DIRTY_LOG_H

#include "vmm_machine.h"

/* What is written after it has returned is logged. -EALREADY: it is on. */
must_check int dirty_log_start(struct machine *m, struct err *e);
must_check int dirty_log_stop(struct machine *m, struct err *e); /* -EINVAL: it is not on */
/* Write the log to `fd` (doc/format/vmm.md), from its start, and begin a new one. A page is in this
 * one, and shows what it was written with by then, or is in a later one, or both. On failure it is
 * in a later one. -EINVAL: it is not on. */
must_check int dirty_log_get(struct machine *m, int fd, struct err *e);

#endif
