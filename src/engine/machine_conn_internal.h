/* SPDX-License-Identifier: MIT */
/* machine_conn_internal.h - a connection, for machine_conn.c, _memory.c and _pump.c only */
#ifndef MACHINE_CONN_INTERNAL_H
#define MACHINE_CONN_INTERNAL_H

#include "ctl.h"
#include "machine_internal.h"

#define READ_CHUNK (32U << 10)
#define KEYS_MAX   16U

struct machine_conn {
	struct engine *g;
	char id[65];
	int fd;
	bool is_exec, wants_stdin, has_tty, has_started;
	uint8_t keys[KEYS_MAX];
	size_t n_keys, n_matched;
	struct buf in, out;
};

/* "ctrl-p,ctrl-q", "a", "ctrl-\\": as Docker has them. "" is none, NULL the usual ones. */
must_check int machine_keys_parse(struct machine_conn *c, const char *keys, struct err *e);
/* The text of a CTL_NOTICE. */
void machine_notice_get(const struct agent_frame *f, char ret[CTL_NOTICE_MAX + 1]);
/* What an AGENT_ERROR or AGENT_FAILED says. */
must_check int machine_failure_get(const struct agent_frame *f, struct err *e);

/* One question on a connection of its own, which is the caller's, also after a failure; `f` points
 * into it. Without end of waiting. */
must_check int machine_ask(struct engine *g, const char *id, const struct buf *request,
			   struct agent_frame *f, struct machine_conn **ret, struct err *e);

#endif
