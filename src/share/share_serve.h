/* SPDX-License-Identifier: MIT */
/*
 * share_serve.h - a share's requests over a stream socket
 *
 * Both ways: the length of what follows, four bytes little-endian, then a request (a reply). Each
 * request is answered, in order: by a length of 0 when it has no reply.
 */
#ifndef SHARE_SERVE_H
#define SHARE_SERVE_H

#include "share.h"

/* Serve until the other end hangs up: 0. -EPROTO: a request longer than SHARE_REQUEST_MAX; -errno.
 * The caller ignores SIGPIPE. */
must_check int share_serve(struct share *s, int sock, struct err *e);

#endif
