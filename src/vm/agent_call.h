/* SPDX-License-Identifier: MIT */
/*
 * agent_call.h - talk to a guest's agent and wait, with a deadline
 *
 * For the template builder; the keeper has an event loop of its own. Hostile: the other side.
 */
#ifndef AGENT_CALL_H
#define AGENT_CALL_H

#include <stdint.h>

#include "agent.h"

struct agent_call {
	int fd; /* borrowed, blocking or not */
	struct buf in;
};

/* Send what is in `out` (emptied). */
must_check int agent_call_send(struct agent_call *c, struct buf *out, uint32_t timeout_ms,
			       struct err *e);
/*
 * Wait for a frame of `type` on stream 0 (AGENT_FAILED: on the main process's), dropping others.
 * For AGENT_OK: the answer to `request`; an AGENT_ERROR of the guest becomes the error.
 */
must_check int agent_call_wait(struct agent_call *c, uint16_t type, uint16_t request,
			       uint32_t timeout_ms, struct err *e);
void agent_call_done(struct agent_call *c);

#endif
