/* SPDX-License-Identifier: MIT */
/*
 * fetch_run.h - one run of caisson-fetch
 *
 * The worker talks to the network and dies with the engine. One request goes in; events come out
 * until one of the kinds FETCH_COMPLETE and FETCH_ERROR, or until the worker is lost.
 */
#ifndef FETCH_RUN_H
#define FETCH_RUN_H

#include <jansson.h>

#include "loop.h"
#include "worker_msg.h"

struct engine;
struct fetch_run;

struct fetch_run_ops {
	/* fds: two with FETCH_OPEN (file, counts), else -1; taken with TAKE_FD or closed
	 * afterwards. */
	void (*event)(void *arg, const struct fetch_event *ev, int fds[2]);
	void (*lost)(void *arg, const struct err *e); /* ended without a last word; last call */
	void *arg;
};

/* partial_fd, blobs_fd: -1 where the request needs none. */
must_check int fetch_run_start(struct engine *g, struct loop *l, const json_t *request,
			       int partial_fd, int blobs_fd, const struct fetch_run_ops *ops,
			       struct fetch_run **ret, struct err *e);
void fetch_run_free(struct fetch_run *f); /* kills it if it runs; NULL is fine; not from inside
					     the callbacks */

#endif
