/* SPDX-License-Identifier: MIT */
/* keeper_session_internal.h - a session, for keeper_session.c and keeper_request.c only */
#ifndef KEEPER_SESSION_INTERNAL_H
#define KEEPER_SESSION_INTERNAL_H

#include "keeper.h"

enum session_kind { SESSION_NEW, SESSION_ATTACH, SESSION_EXEC, SESSION_WAIT };

struct session {
	struct keeper *k;
	struct session *next;
	int fd; /* -1: the client is gone, its process is not */
	struct loop_watch *watch;
	enum session_kind kind;
	bool wants_output, wants_stdin, is_closing;
	uint32_t stream;
	uint32_t unread[2]; /* exec: output without credit yet */
	uint64_t in_credit; /* exec */
	struct buf in, out;
};

/* keeper_session.c */
bool session_lives(const struct keeper *k, const struct session *which);
struct session *session_exec_find(struct keeper *k, uint32_t stream);
uint64_t *session_in_credit(struct session *s);
/* Send what was put into s->out with the result `rc`. False when the session is gone. */
bool session_reply(struct session *s, int rc);
void session_reply_last(struct session *s, int rc); /* its last word */
void session_reply_error(struct session *s, uint32_t code, const char *text);

/* keeper_request.c: whole frames, as long as there is credit for input. May free the session. */
void session_frames_handle(struct session *s);

#endif
