/* SPDX-License-Identifier: MIT */
/* registry.c - one request from its packet to its last event; see registry.h */
#include "registry.h"

#include <openssl/rand.h>
#include <string.h>
#include <time.h>

#include "registry_internal.h"

uint64_t registry_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int registry_turn(struct registry *r, uint32_t max_ms, struct err *e)
{
	return http_pump(r->http, max_ms, e);
}

/* Half of it to one and a half, so that many clients do not come back together. */
static uint32_t jitter(uint32_t ms)
{
	uint32_t random = 0;

	(void)!RAND_bytes((unsigned char *)&random, sizeof(random)); /* none: no jitter */
	return ms / 2 + random % (ms + 1);
}

bool retry_again(const struct registry *r, struct retry *t, const struct registry_call *c,
		 uint32_t *ret_ms)
{
	unsigned tries = r->rq.tries;
	uint64_t ms;

	if (!c->is_temporary)
		return false;
	if (c->http.is_refused) /* it will not listen in a minute either; a mirror is passed over at
				   once */
		tries = c->ep->is_mirror ? 1 : MIN_OF(tries, 3U);
	else if (c->ep->is_mirror)
		tries = MIN_OF(tries, 2U);
	else if (c->http.why.code == ETIMEDOUT) /* each has taken half a minute already */
		tries = MIN_OF(tries, 3U);
	if (++t->failed >= tries)
		return false;
	ms = (uint64_t)r->rq.backoff_ms << MIN_OF(t->failed - 1, 16U);
	*ret_ms = jitter((uint32_t)MIN_OF(ms, (uint64_t)BACKOFF_MAX_MS));
	*ret_ms = MAX_OF(*ret_ms, c->retry_after_ms);
	return true;
}

/* The last endpoint is the registry itself; credentials are not for its mirrors. */
static int registry_login(struct registry *r, struct err *e)
{
	struct endpoint *ep = &r->rq.endpoints[r->rq.n_endpoints - 1];
	struct registry_call c = { .reg = r, .ep = ep, .scope = "" };
	int rc;

	c.http.method = HTTP_GET;
	rc = call_run(&c, "/v2/", e);
	call_done(&c);
	if (rc < 0)
		return rc;
	return event_send(r, json_pack("{s:s}", "event", "complete"), e);
}

static int serve(struct registry *r, struct err *e)
{
	switch (r->rq.op) {
	case REGISTRY_PULL:
		return registry_pull(r, e);
	case REGISTRY_PUSH:
		return registry_push(r, e);
	default:
		return registry_login(r, e);
	}
}

void registry_fail(const struct registry_io *io, const struct err *e)
{
	struct registry r = { .io = *io };

	event_error(&r, e);
}

int registry_serve(const struct registry_io *io, const char *request, size_t len, struct err *e)
{
	struct registry r = { .io = *io };
	int rc = registry_request_parse(request, len, &r.rq, e);

	if (rc == 0)
		rc = http_new(io->sock, &r.rq.limits, &r.http, e);
	if (rc == 0)
		rc = serve(&r, e);
	if (rc < 0)
		event_error(&r, e);
	http_free(r.http);
	registry_request_done(&r.rq);
	return rc;
}
