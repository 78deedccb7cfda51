/* SPDX-License-Identifier: MIT */
/* progress.h - what pull, push and work on disks show */
#ifndef PROGRESS_H
#define PROGRESS_H

#include "buf.h"
#include "engine.h"

enum progress_kind { PROGRESS_PULL, PROGRESS_PUSH, PROGRESS_WORK, PROGRESS_QUIET };

struct progress;

/* Bars, redrawn in place, when `fd` is a terminal; else a line for each change of state. */
must_check int progress_new(int fd, enum progress_kind kind, struct progress **ret, struct err *e);
const struct progress_ops *progress_ops(const struct progress *p); /* lives as long as it */
void progress_free(struct progress *p); /* draws the last state; NULL is fine */

/* One line of at most `width` characters for an item; pure. */
must_check int progress_line(struct buf *b, enum progress_kind kind, const struct progress_item *i,
			     size_t width);

#endif
