/* SPDX-License-Identifier: MIT */
/* ps_row.h - a machine of engine_machine_list() as a row of ps, with Docker's keys and words */
#ifndef PS_ROW_H
#define PS_ROW_H

#include <jansson.h>
#include <stdbool.h>

#include "buf.h"

enum ps_length { PS_CUT, PS_WHOLE }; /* of ids and commands */

/* An object of strings (new reference); NULL when out of memory. Pure. */
json_t *ps_row_make(const json_t *machine, enum ps_length length, int64_t now_ns);

/*
 * "127.0.0.1:8080->80/tcp, 443/tcp": published ports, then what is only exposed; neighbours with
 * equal numbers on both sides as a range.
 */
must_check int ps_ports_text(struct buf *b, const json_t *published, const json_t *exposed);
/* "Up 2 hours", "Exited (0) 5 minutes ago", "Created" */
must_check int ps_status_text(struct buf *b, const json_t *machine, int64_t now_ns);
/* In double quotes, as Go's strconv.Quote(). */
must_check int ps_quote(struct buf *b, const char *text, size_t len);

#endif
