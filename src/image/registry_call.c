/* SPDX-License-Identifier: MIT */
/*
 * registry_call.c - one question to a registry: credentials, redirects, what an answer means
 *
 * Invariants: I1 an Authorization line is made for every request anew, and only when its address
 * has the scheme, host and port of the endpoint. I2 at most REDIRECTS_MAX addresses and one new
 * token per question. I3 no redirect leads from https to http.
 */
#include <string.h>
#include <time.h>

#include "registry_answer.h"
#include "registry_internal.h"

void call_shown(const struct registry_call *c, char ret[URL_SHOWN + 8])
{
	char url[URL_SHOWN];

	url_shown(c->url ? c->url : "", url);
	snprintf(ret, URL_SHOWN + 8, "%s %s", http_method_name(c->http.method), url);
}

static int call_wrap(const struct registry_call *c, struct err *e)
{
	char shown[URL_SHOWN + 8];

	call_shown(c, shown);
	return err_wrap(e, "%s", shown);
}

void call_done(struct registry_call *c)
{
	if (c->reg)
		http_stop(c->reg->http, &c->http);
	free(c->url);
	free(c->authorization);
	c->url = c->authorization = NULL;
}

int call_set_url(struct registry_call *c, const char *url, struct err *e)
{
	char *copy = strdup(url);

	if (!copy)
		return err_set(e, ENOMEM, "address");
	free(c->url);
	c->url = copy;
	return 0;
}

static int is_own(const struct registry_call *c, bool *ret, struct err *e)
{
	struct url_origin o;

	if (url_origin(c->url, &o, e) < 0)
		return -e->code;
	*ret = url_same_origin(&o, &c->ep->origin);
	return 0;
}

static int request_start(struct registry_call *c, struct err *e)
{
	bool own = false;

	free(c->authorization);
	c->authorization = NULL;
	if (is_own(c, &own, e) < 0)
		return -e->code;
	if (own && auth_header(c->reg, c->ep, c->scope, &c->authorization, e) < 0)
		return call_wrap(c, e);
	c->http.url = c->url;
	c->http.authorization = c->authorization;
	c->foreign_tls =
		(struct http_tls){ .ca = c->ep->tls.ca }; /* may have signed the object store */
	c->http.tls = own ? &c->ep->tls : &c->foreign_tls;
	return http_start(c->reg->http, &c->http, e);
}

int call_begin(struct registry_call *c, const char *path, struct err *e)
{
	auto_free char *url = NULL;

	if (path && asprintf(&url, "%s%s", c->ep->url, path) < 0)
		return err_set(e, ENOMEM, "address");
	if (url && call_set_url(c, url, e) < 0)
		return -e->code;
	c->has_asked_token = c->is_temporary = false;
	c->redirects = 0;
	c->retry_after_ms = 0;
	if (!c->scope)
		c->scope = "";
	return request_start(c, e);
}

/* ---- answers ---- */

static int redirect(struct registry_call *c, struct err *e)
{
	char *next = NULL;

	if (!c->http.response.location)
		return err_plain(e, EBADMSG, "status %d without Location", c->http.response.status);
	if (c->redirects++ == REDIRECTS_MAX)
		return err_plain(e, EBADMSG, "more than %u redirects", REDIRECTS_MAX);
	if (url_resolve(c->url, c->http.response.location, &next, e) < 0)
		return err_wrap(e, "redirect refused");
	free(c->url);
	c->url = next;
	return request_start(c, e);
}

static bool is_redirect(const struct registry_call *c)
{
	int s = c->http.response.status;

	return !c->refuse_redirect && (s == 301 || s == 302 || s == 303 || s == 307 || s == 308);
}

static int status_code(int status)
{
	switch (status) {
	case 401:
		return EACCES;
	case 403:
		return EPERM;
	case 404:
	case 410:
		return ENOENT;
	case 413:
		return EFBIG;
	case 408:
	case 504:
		return ETIMEDOUT;
	case 425:
	case 429:
		return EHOSTUNREACH;
	default:
		return status >= 500 ? EHOSTUNREACH : EBADMSG;
	}
}

static const char *status_name(int status)
{
	static const struct {
		int status;
		const char *name;
	} names[] = {
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 407, "Proxy Authentication Required" },
		{ 408, "Request Timeout" },
		{ 413, "Content Too Large" },
		{ 416, "Range Not Satisfiable" },
		{ 429, "Too Many Requests" },
		{ 500, "Internal Server Error" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].status == status)
			return names[i].name;
	return "";
}

static int status_error(struct registry_call *c, struct err *e)
{
	int s = c->http.response.status, code = status_code(s);
	char text[160];

	error_answer_text(c->http.text.data, c->http.text.len, text, sizeof(text));
	c->is_temporary = s == 408 || s == 425 || s == 429 || (s >= 500 && s != 501 && s != 505);
	if (c->is_temporary)
		c->retry_after_ms =
			retry_after_parse(c->http.response.retry_after, time(NULL), RETRY_AFTER_MS);
	(void)err_plain(e, code, "%d %s%s%s", s, status_name(s), text[0] ? ": " : "", text);
	if (!text[0] && c->http.response.proxy[0]) /* a registry would have said more */
		(void)err_plain(e, code, "%d %s, from the proxy %s or what is behind it", s,
				status_name(s), c->http.response.proxy);
	return call_wrap(c, e);
}

/* A new token, then the same question again. */
static int ask_again(struct registry_call *c, struct err *e)
{
	auto_free char *challenges = buf_take_str(&c->http.response.challenges);

	c->has_asked_token = true;
	if (!challenges)
		return err_set(e, ENOMEM, "challenge");
	if (auth_refresh(c->reg, c->ep, c->scope, challenges, e) < 0)
		return call_wrap(c, e);
	return request_start(c, e);
}

int call_advance(struct registry_call *c, enum call_state *ret, struct err *e)
{
	int s = c->http.response.status;
	bool own = false;

	*ret = CALL_RUNNING;
	if (c->http.rc < 0) {
		*e = c->http.why;
		c->is_temporary = c->http.is_temporary;
		return call_wrap(c, e);
	}
	if (is_redirect(c))
		return redirect(c, e) < 0 ? call_wrap(c, e) : 0;
	if (is_own(c, &own, e) < 0)
		return -e->code;
	if (s == 401 && own && !c->has_asked_token && !c->is_token)
		return ask_again(c, e);
	if (s < 200 || s > 299)
		return status_error(c, e);
	*ret = CALL_DONE;
	return 0;
}

static int call_once(struct registry_call *c, const char *path, struct err *e)
{
	enum call_state state = CALL_RUNNING;

	if (call_begin(c, path, e) < 0)
		return -e->code;
	while (state == CALL_RUNNING) {
		if (!c->http.is_done && registry_turn(c->reg, 1000, e) < 0)
			return -e->code;
		if (c->http.is_done && call_advance(c, &state, e) < 0)
			return -e->code;
	}
	return 0;
}

static int pause_ms(struct registry *r, uint32_t ms, struct err *e)
{
	uint64_t end = registry_now_ms() + ms, now;

	while ((now = registry_now_ms()) < end)
		if (registry_turn(r, (uint32_t)(end - now), e) < 0)
			return -e->code;
	return 0;
}

int call_run(struct registry_call *c, const char *path, struct err *e)
{
	struct retry t = { 0 };
	uint32_t ms;

	for (;;) {
		struct err pause = { 0 };

		if (call_once(c, path, e) == 0)
			return 0;
		if (e->code == ECANCELED || !retry_again(c->reg, &t, c, &ms))
			return -e->code;
		event_retrying(c->reg, "", t.failed, e);
		if (pause_ms(c->reg, ms, &pause) < 0) {
			*e = pause;
			return -e->code;
		}
	}
}
