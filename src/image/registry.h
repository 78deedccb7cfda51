/* SPDX-License-Identifier: MIT */
/*
 * registry.h - pulling from, pushing to and logging in at registries, as the engine asks for it
 *
 * OCI distribution spec 1.1, Docker's token authentication. The request, the events and the
 * descriptors are described in doc/format/fetch.md. Called by the download worker only, inside its
 * sandbox, after curl_global_init().
 */
#ifndef REGISTRY_H
#define REGISTRY_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

#define REGISTRY_PACKET_MAX (128U << 10)

struct registry_io { /* all borrowed */
	int sock;
	int partial_fd; /* pull */
	int blobs_fd;   /* pull, push */
};

/* One request, to its last event. 0: `complete` was sent; else `error` was, if anybody listens. */
must_check int registry_serve(const struct registry_io *io, const char *request, size_t len,
			      struct err *e);

/* Report what went wrong before there was anything to serve. */
void registry_fail(const struct registry_io *io, const struct err *e);

#endif
