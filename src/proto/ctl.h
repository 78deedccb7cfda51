/* SPDX-License-Identifier: MIT */
/*
 * ctl.h - between a machine's keeper and its clients: RUN/machines/ID/ctl.sock
 *
 * Frames as between host and guest (agent.h), with its types for data, windows, signals, and ends,
 * and those below. One connection is one session: its first frame says which. A client may go at
 * any time; an attached process goes on. Both ends belong to one user; frames are checked all the
 * same, since what goes wrong here should say so. Format: doc/format/ctl.md.
 *
 *   client's first frame  answers
 *   CTL_ATTACH            AGENT_STARTED or AGENT_FAILED or AGENT_ERROR; AGENT_STDOUT, AGENT_STDERR;
 *                         AGENT_EXITED. Client: AGENT_STDIN, AGENT_RESIZE, AGENT_SIGNAL
 *   AGENT_RUN             the same, for one more process (exec)
 *   CTL_STOP, CTL_WAIT    AGENT_EXITED when the machine has ended
 *   AGENT_SIGNAL          AGENT_OK, to the main process
 *
 * CTL_NOTICE comes before AGENT_STARTED or AGENT_EXITED of an attached session, when there is
 * something to say of the start or the end.
 *   CTL_MEMORY            CTL_MEMORY_IS
 */
#ifndef CTL_H
#define CTL_H

#include "agent.h"

enum ctl_type {
	CTL_ATTACH = 200, /* struct ctl_attach */
	CTL_STOP,         /* u32 seconds until it is killed; CTL_STOP_DEFAULT */
	CTL_WAIT,
	CTL_NOTICE,    /* from the keeper: text for people, at most CTL_NOTICE_MAX bytes */
	CTL_MEMORY,    /* u64 bytes that it shall have; 0: as they are */
	CTL_MEMORY_IS, /* struct ctl_memory */
};

#define CTL_STOP_DEFAULT 0xffffffffU
#define CTL_NOTICE_MAX   400U

enum ctl_attach_flags {
	CTL_ATTACH_STDIN = 1 << 0,
	CTL_ATTACH_OUTPUT = 1 << 1,
};

struct ctl_attach {
	uint32_t flags;
	uint16_t rows, cols; /* 0: not told */
};

must_check int ctl_put_attach(struct buf *out, const struct ctl_attach *a);
must_check int ctl_get_attach(struct agent_bytes p, struct ctl_attach *ret, struct err *e);

struct ctl_memory {           /* bytes */
	uint64_t least, most; /* that it can be asked to have */
	uint64_t wanted, now;
};

must_check int ctl_put_memory(struct buf *out, uint64_t bytes);
must_check int ctl_get_memory(struct agent_bytes p, uint64_t *ret_bytes, struct err *e);
must_check int ctl_put_memory_is(struct buf *out, const struct ctl_memory *m);
must_check int ctl_get_memory_is(struct agent_bytes p, struct ctl_memory *ret, struct err *e);

#endif
