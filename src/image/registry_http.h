/* SPDX-License-Identifier: MIT */
/*
 * registry_http.h - HTTP requests of one thread, several at once
 *
 * A request is filled in, started, and driven by http_pump() until it is done. Nothing here follows
 * redirects, knows credentials or tries again: see registry_call.h. Every wait has a limit:
 * connecting, the answer's head, a stall, and less than a floor of bytes over a window.
 */
#ifndef REGISTRY_HTTP_H
#define REGISTRY_HTTP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "buf.h"
#include "err.h"

#define HTTP_TEXT_MAX   (1U << 20) /* bodies of errors; of answers for which nothing else is said */
#define HTTP_HEADER_MAX (64U << 10) /* all header lines of a response together */

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_PATCH, HTTP_METHOD_COUNT_ };
const char *http_method_name(enum http_method m);

struct http_limits {
	uint32_t connect_ms;
	uint32_t answer_ms; /* from the last byte sent to the end of the headers */
	uint32_t stall_ms;  /* between two bytes */
	uint32_t window_ms; /* over which min_speed is measured */
	uint32_t min_speed; /* bytes per second */
};
#define HTTP_LIMITS_DEFAULT                                                                        \
	{                                                                                          \
		15000, 30000, 30000, 30000, 1024                                                   \
	}

struct http_tls { /* all borrowed; NULL where there is none */
	bool skip_verify;
	const char *ca, *cert, *key; /* PEM; ca: the system's roots are in it */
};

struct http_response {
	int status;     /* 0: none came */
	int64_t length; /* Content-Length; -1: not told */
	char *location, *content_type, *content_range, *content_encoding, *retry_after;
	char *docker_digest;
	struct buf challenges; /* WWW-Authenticate, one per line */
	char proxy[80];        /* "ADDRESS:PORT" that an answer without TLS came from, where it is
				  seen not to be the server's; "": none is */
};

struct http_sink { /* of a 2xx answer's body */
	/* Before the first byte, or at the end of an empty body. An error ends the request. */
	int (*begin)(void *arg, const struct http_response *r, struct err *e);
	int (*data)(void *arg, const char *p, size_t n, struct err *e);
	void *arg;
};
struct http_source {                                                 /* of a request's body */
	ssize_t (*read)(void *arg, uint64_t off, char *p, size_t n); /* -errno; 0 only at the end */
	uint64_t size;
	void *arg;
};

struct http_call {
	/* the request; borrowed until http_stop() */
	enum http_method method;
	const char *url, *authorization, *accept, *content_type;
	uint64_t range_from; /* > 0: only the bytes from there on */
	const char *body;    /* POST and PUT; NULL with a method that has one: empty */
	size_t body_len;
	const struct http_source *source; /* instead of body */
	const struct http_sink *sink;     /* NULL: the body comes into `text` */
	size_t text_max;                  /* 0: HTTP_TEXT_MAX */
	bool undo_encoding;               /* a Content-Encoding is undone */
	uint32_t answer_ms, total_ms;     /* 0: the usual, none */
	const struct http_tls *tls;       /* NULL: the usual */

	/* the result */
	bool is_done;
	int rc;            /* 0: there is a whole response, of whatever status */
	struct err why;    /* when rc < 0 */
	bool is_temporary; /* another attempt may go better */
	bool is_refused;   /* nobody answers there at all */
	struct http_response response;
	struct buf text;

	struct http_run *run; /* registry_http.c's */
};

struct http;
/* watch_fd: its end of stream ends http_pump() with -ECANCELED. curl_global_init() was called. */
must_check int http_new(int watch_fd, const struct http_limits *limits, struct http **ret,
			struct err *e);
void http_free(struct http *h);

must_check int http_start(struct http *h, struct http_call *c, struct err *e);
/* Stops it if it runs and releases the result; the request's fields stay. Any state is fine. */
void http_stop(struct http *h, struct http_call *c);
/* Wait at most max_ms for something to happen; returns early when a call is done. */
must_check int http_pump(struct http *h, uint32_t max_ms, struct err *e);

/* PEM of the system's roots and `ca` together. */
must_check int http_roots_with(const char *ca, struct buf *ret, struct err *e);

#endif
