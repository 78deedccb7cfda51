/* SPDX-License-Identifier: MIT */
/*
 * registry_internal.h - one request of the engine, its endpoints, and calls to them
 *
 * Codes of errors are those that registry_event.c has names for; ENODEV means that no platform
 * fits.
 */
#ifndef REGISTRY_INTERNAL_H
#define REGISTRY_INTERNAL_H

#include <jansson.h>

#include "doc.h"
#include "registry.h"
#include "registry_challenge.h"
#include "registry_http.h"
#include "registry_url.h"

#define ENDPOINTS_MAX     16U
#define MOUNTS_MAX        8U
#define TOKENS_MAX        64U
#define SCOPE_SIZE        2048U
#define BLOBS_AT_ONCE     4U
#define PUSHES_AT_ONCE    3U
#define REDIRECTS_MAX     10U
#define RETRY_AFTER_MS    60000U /* the longest that a server can make us wait */
#define BACKOFF_MAX_MS    15000U
#define PROGRESS_EVERY_MS 100U

/* ---- the request (registry_request.c) ---- */

enum registry_op { REGISTRY_PULL, REGISTRY_PUSH, REGISTRY_LOGIN, REGISTRY_OP_COUNT_ };

struct auth_token {
	char *scope, *token;
};
struct auth_state { /* registry_auth.c's: what an endpoint has asked for, tokens it takes */
	bool is_known;
	struct challenge asked;
	struct auth_token tokens[TOKENS_MAX];
	size_t n_tokens;
};

struct endpoint {
	const char *url; /* without a '/' at its end */
	struct url_origin origin;
	const char *repository;
	bool is_mirror;
	struct buf roots;
	struct http_tls tls;
	const char *user, *password, *identity_token; /* NULL: none */
	struct auth_state auth;
};

struct registry_request {
	json_t *json; /* owns all text below */
	enum registry_op op;
	struct endpoint endpoints[ENDPOINTS_MAX];
	size_t n_endpoints;
	const char *reference;
	struct platform platform;
	struct doc_descriptor manifest, *blobs; /* push */
	size_t n_blobs;
	const char *mount_from[MOUNTS_MAX];
	size_t n_mounts;
	struct http_limits limits;
	uint32_t tries, backoff_ms;
};
must_check int registry_request_parse(const char *text, size_t len, struct registry_request *ret,
				      struct err *e);
void registry_request_done(struct registry_request *r);

/* ---- the run (registry.c) ---- */

struct registry {
	struct registry_request rq;
	struct registry_io io;
	struct http *http;
};

uint64_t registry_now_ms(void);
/* Let the transfers go on for so long; ends early when one is done. -ECANCELED: the engine is gone.
 */
must_check int registry_turn(struct registry *r, uint32_t max_ms, struct err *e);

/* Attempts of one thing. Real progress puts `failed` back to 0. */
struct retry {
	unsigned failed;
};
struct registry_call;
/* True when there is another attempt to be made, after *ret_ms. */
bool retry_again(const struct registry *r, struct retry *t, const struct registry_call *c,
		 uint32_t *ret_ms);

/* ---- events (registry_event.c) ---- */

must_check int event_send(struct registry *r, json_t *event, struct err *e); /* takes the event */
must_check int event_send_fds(struct registry *r, json_t *event, const int fds[2], struct err *e);
must_check int event_digest(struct registry *r, const char *event, const char *digest,
			    struct err *e);
must_check int event_progress(struct registry *r, const char *digest, uint64_t done, struct err *e);
void event_retrying(struct registry *r, const char *digest, unsigned attempt,
		    const struct err *why);
void event_error(struct registry *r, const struct err *e);

/* ---- calls (registry_call.c) ---- */

/*
 * One question to an endpoint: with its credentials, redirects followed. call_begin() may be used
 * again after an end. `http` has what the answer was.
 */
struct registry_call {
	struct registry *reg;
	struct endpoint *ep;
	const char *scope;     /* "" for none */
	struct http_call http; /* filled in but for url and authorization */
	bool refuse_redirect;  /* of what changes something */
	bool is_token;         /* a question for a token: its 401 is final */

	/* registry_call.c's */
	char *url, *authorization;
	struct http_tls foreign_tls; /* no client certificate, always verified */
	bool has_asked_token;
	unsigned redirects;
	uint32_t retry_after_ms;
	bool is_temporary;
};
enum call_state { CALL_RUNNING, CALL_DONE };

/* path: behind the endpoint's URL; NULL: the URL was set by call_set_url(). */
must_check int call_begin(struct registry_call *c, const char *path, struct err *e);
/* To be called when c->http.is_done. An answer that is not 2xx is an error, with the status left in
 * place. */
must_check int call_advance(struct registry_call *c, enum call_state *ret, struct err *e);
/* From begin to end, with attempts. */
must_check int call_run(struct registry_call *c, const char *path, struct err *e);
must_check int call_set_url(struct registry_call *c, const char *url, struct err *e);
void call_done(struct registry_call *c);
/* "GET https://host/v2/..." for messages. */
void call_shown(const struct registry_call *c, char ret[URL_SHOWN + 8]);

/* ---- credentials (registry_auth.c) ---- */

/* The Authorization line for an endpoint and scope as far as known; *ret may become NULL. */
must_check int auth_header(struct registry *r, struct endpoint *ep, const char *scope, char **ret,
			   struct err *e);
/* A 401 has come: learn what is asked and get a new token. */
must_check int auth_refresh(struct registry *r, struct endpoint *ep, const char *scope,
			    const char *challenges, struct err *e);
void auth_done(struct auth_state *a);

/* ---- what is done ---- */

must_check int registry_pull(struct registry *r, struct err *e);
must_check int registry_push(struct registry *r, struct err *e);

/* Layers of a manifest, several at once, from endpoint `first` on (registry_blob.c). */
must_check int blobs_fetch(struct registry *r, const struct doc_descriptor *list, size_t n,
			   size_t first, struct err *e);

/* ---- partial/ and blobs/ (registry_part.c) ---- */

bool part_is_stored(const struct registry *r, const struct doc_descriptor *d);
enum part_state { PART_MINE, PART_STORED, PART_BUSY };
/* PART_MINE: *ret_fd is the locked file. PART_STORED: the blob is in blobs/ by now. */
must_check int part_claim(struct registry *r, const struct doc_descriptor *d,
			  enum part_state *ret_state, int *ret_fd, struct err *e);
/* A small blob that is there whole, from blobs/ or partial/; its digest has been checked. -ENOENT.
 */
must_check int part_read(struct registry *r, const char *digest, size_t max, struct buf *ret,
			 struct err *e);
must_check int part_write(struct registry *r, const char *digest, const struct buf *b,
			  struct err *e);
/* An error of writing; says that the disk is full when it is. */
int part_write_error(int code, struct err *e);

#endif
