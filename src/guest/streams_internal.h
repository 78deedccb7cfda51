/* SPDX-License-Identifier: MIT */
/* streams_internal.h - what a stream is, for streams.c and stream_start.c only */
#ifndef STREAMS_INTERNAL_H
#define STREAMS_INTERNAL_H

#include "guest_internal.h"

#define CHANNELS 2

struct channel { /* stdout or stderr, from the process to the host */
	struct stream *stream;
	struct loop_watch *watch;
	int fd; /* -1: ended or never there */
	uint16_t type;
	uint32_t credit;
	bool is_hungry; /* data may be there, but there was no credit or room */
	size_t owed;    /* once its process has ended: bytes of it that are still to be read */
};

struct stream {
	struct streams *all;
	struct stream *next;
	uint32_t id;
	pid_t pid;
	bool is_tty, has_exited, was_oom;
	uint32_t status;
	struct channel out[CHANNELS];
	int in_fd; /* -1: closed. With a terminal the same open file as out[0].fd, another
		      descriptor */
	struct loop_watch *in_watch;
	struct buf input;
	bool input_ended;
	struct loop_timer *linger;
};

struct streams {
	struct loop *loop;
	struct stream *list;
	uint32_t n;
	struct stage stage;
	struct buf *out;
	void (*kick)(void *arg);
	void *kick_arg;
	uint64_t oom_kills;
};

/* streams.c */
struct stream *stream_find(struct streams *s, uint32_t id);
struct stream *stream_new(struct streams *s, uint32_t id); /* NULL: no memory */
must_check int stream_watch(struct stream *st, struct err *e);
void stream_free(struct stream *st);
/* A message was put into `out`, with this result. */
void streams_sent(struct streams *s, int rc);
void streams_send_failed(struct streams *s, uint32_t id, uint32_t code, const char *text);

/* stream_start.c: AGENT_RUN */
void streams_run_frame(struct streams *s, const struct agent_frame *f);

#endif
