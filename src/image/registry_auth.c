/* SPDX-License-Identifier: MIT */
/*
 * registry_auth.c - Basic, and tokens as Docker's registries give them
 *
 * distribution: docs "Token Authentication Specification", "OAuth2 token". What an endpoint asked
 * for is remembered, so that further scopes cost no refused request. Tokens live as long as this
 * process. Credentials go to the realm that the endpoint has named over its own connection; a realm
 * on plain HTTP gets nothing, not even a question, when the endpoint speaks TLS.
 */
#include <curl/curl.h>
#include <openssl/evp.h>
#include <string.h>

#include "registry_answer.h"
#include "registry_internal.h"

#define TOKEN_TOTAL_MS 60000U
#define CLIENT_ID      "caisson"

void auth_done(struct auth_state *a)
{
	for (size_t i = 0; i < a->n_tokens; i++) {
		free(a->tokens[i].scope);
		free(a->tokens[i].token);
	}
	*a = (struct auth_state){ 0 };
}

static const char *token_find(const struct auth_state *a, const char *scope)
{
	for (size_t i = 0; i < a->n_tokens; i++)
		if (strcmp(a->tokens[i].scope, scope) == 0)
			return a->tokens[i].token;
	return NULL;
}

static void token_forget(struct auth_state *a, const char *scope)
{
	for (size_t i = 0; i < a->n_tokens; i++) {
		if (strcmp(a->tokens[i].scope, scope) != 0)
			continue;
		free(a->tokens[i].scope);
		free(a->tokens[i].token);
		a->tokens[i--] = a->tokens[--a->n_tokens];
	}
}

/* Takes the token. */
static int token_keep(struct auth_state *a, const char *scope, char *token, struct err *e)
{
	char *name = strdup(scope);

	if (!name || a->n_tokens == TOKENS_MAX) {
		free(name);
		free(token);
		return err_set(e, name ? E2BIG : ENOMEM, "token");
	}
	a->tokens[a->n_tokens++] = (struct auth_token){ name, token };
	return 0;
}

static bool has_login(const struct endpoint *ep)
{
	return ep->user && ep->password;
}

static int basic_make(const struct endpoint *ep, char **ret, struct err *e)
{
	auto_free char *plain = NULL;
	auto_free unsigned char *code = NULL;
	int n = asprintf(&plain, "%s:%s", ep->user, ep->password);

	if (n >= 0)
		code = malloc((size_t)n * 4 / 3 + 8);
	if (!code)
		return err_set(e, ENOMEM, "credentials");
	EVP_EncodeBlock(code, (unsigned char *)plain, n);
	return asprintf(ret, "Basic %s", (char *)code) < 0 ? err_set(e, ENOMEM, "credentials") : 0;
}

/* ---- the question for a token ---- */

static int escaped_add(struct buf *b, const char *name, const char *value)
{
	char *text = curl_easy_escape(NULL, value, 0);
	int r = text ? buf_addf(b, "%s%s=%s", b->len ? "&" : "", name, text) : -ENOMEM;

	curl_free(text);
	return r;
}

/* Every scope of a list with spaces as a field of its own, those of `more` that are new as well. */
static int scopes_add(struct buf *b, const char *list, const char *known)
{
	while (*list) {
		size_t n = strcspn(list, " ");
		auto_free char *one = strndup(list, n);

		if (!one)
			return -ENOMEM;
		if (n > 0 && !(known && strstr(known, one)) && escaped_add(b, "scope", one) < 0)
			return -ENOMEM;
		list += n + strspn(list + n, " ");
	}
	return 0;
}

static int fields_make(const struct endpoint *ep, const char *scope, const char *more,
		       struct buf *ret, struct err *e)
{
	const struct challenge *asked = &ep->auth.asked;

	if ((asked->service[0] && escaped_add(ret, "service", asked->service) < 0) ||
	    scopes_add(ret, scope, NULL) < 0 || scopes_add(ret, more, scope) < 0)
		return err_set(e, ENOMEM, "token");
	return 0;
}

/* OAuth2 takes all scopes in one field. */
static int refresh_form(const struct endpoint *ep, const char *scope, const char *more,
			struct buf *ret, struct err *e)
{
	auto_buf scopes = { 0 };

	if (buf_add_str(&scopes, *scope ? scope : more) < 0 ||
	    escaped_add(ret, "grant_type", "refresh_token") < 0 ||
	    escaped_add(ret, "client_id", CLIENT_ID) < 0 ||
	    escaped_add(ret, "service", ep->auth.asked.service) < 0 ||
	    (scopes.len && escaped_add(ret, "scope", scopes.data) < 0) ||
	    escaped_add(ret, "refresh_token", ep->identity_token) < 0)
		return err_set(e, ENOMEM, "token");
	return 0;
}

static int realm_check(const struct endpoint *ep, struct url_origin *ret, struct err *e)
{
	const char *realm = ep->auth.asked.realm;
	char shown[URL_SHOWN];

	url_shown(realm, shown);
	if (url_origin(realm, ret, e) < 0)
		return err_plain(e, EBADMSG, "token realm \"%s\" is no http or https address",
				 shown);
	if (url_is_tls(&ep->origin) && !url_is_tls(ret))
		return err_plain(e, EBADMSG,
				 "token realm %s is on plain HTTP, the registry on HTTPS: refused",
				 shown);
	return 0;
}

/*
 * The realm is asked as an endpoint of its own: its own origin gets the Basic line that is made
 * here, nobody it redirects to does.
 */
static int realm_ask(struct registry *r, struct endpoint *ep, const char *url,
		     const struct buf *form, struct buf *ret, struct err *e)
{
	struct endpoint realm = { .tls = { .ca = ep->tls.ca } };
	struct registry_call c = { .reg = r, .ep = &realm, .is_token = true };
	int rc;

	if (realm_check(ep, &realm.origin, e) < 0)
		return -e->code;
	if (strcmp(realm.origin.host, ep->origin.host) == 0)
		realm.tls = ep->tls; /* one machine, one certificate */
	realm.url = url;
	if (form) {
		c.http.method = HTTP_POST;
		c.http.body = form->data;
		c.http.body_len = form->len;
		c.http.content_type = "application/x-www-form-urlencoded";
		c.refuse_redirect = true;
	} else if (has_login(ep)) { /* Basic, told in advance */
		realm.user = ep->user;
		realm.password = ep->password;
		realm.auth.is_known = true;
		realm.auth.asked.kind = CHALLENGE_BASIC;
	}
	c.http.total_ms = TOKEN_TOTAL_MS;
	c.http.undo_encoding = true;
	rc = call_run(&c, "", e);
	if (rc == 0) {
		*ret = c.http.text;
		c.http.text = (struct buf){ 0 };
	}
	call_done(&c);
	return rc;
}

static int token_get(struct registry *r, struct endpoint *ep, const char *scope, const char *more,
		     char **ret, struct err *e)
{
	auto_buf fields = { 0 };
	auto_buf answer = { 0 };
	auto_free char *url = NULL;
	const char *realm = ep->auth.asked.realm;
	bool oauth = ep->identity_token && *ep->identity_token;
	char shown[URL_SHOWN];

	if (oauth ? refresh_form(ep, scope, more, &fields, e) < 0
		  : fields_make(ep, scope, more, &fields, e) < 0)
		return -e->code;
	if (asprintf(&url, "%s%s%s", realm,
		     oauth || !fields.len ? "" : (strchr(realm, '?') ? "&" : "?"),
		     oauth || !fields.len ? "" : fields.data) < 0)
		return err_set(e, ENOMEM, "token");
	if (realm_ask(r, ep, url, oauth ? &fields : NULL, &answer, e) < 0)
		return err_wrap(e, "token");
	url_shown(url, shown);
	if (token_answer_parse(answer.data, answer.len, ret, e) < 0)
		return err_wrap(e, "token of %s", shown);
	return 0;
}

/* ---- for calls ---- */

int auth_header(struct registry *r, struct endpoint *ep, const char *scope, char **ret,
		struct err *e)
{
	const char *token;
	char *fresh = NULL;

	*ret = NULL;
	if (!ep->auth.is_known)
		return 0;
	if (ep->auth.asked.kind == CHALLENGE_BASIC)
		return has_login(ep) ? basic_make(ep, ret, e) : 0;
	token = token_find(&ep->auth, scope);
	if (!token) {
		if (token_get(r, ep, scope, "", &fresh, e) < 0 ||
		    token_keep(&ep->auth, scope, fresh, e) < 0)
			return -e->code;
		token = fresh;
	}
	return asprintf(ret, "Bearer %s", token) < 0 ? err_set(e, ENOMEM, "token") : 0;
}

int auth_refresh(struct registry *r, struct endpoint *ep, const char *scope, const char *challenges,
		 struct err *e)
{
	char *fresh = NULL;

	if (challenge_choose(challenges, &ep->auth.asked, e) < 0) {
		(void)err_wrap(e, "401 Unauthorized");
		e->code = EACCES;
		return -e->code;
	}
	ep->auth.is_known = true;
	token_forget(&ep->auth, scope);
	if (ep->auth.asked.kind == CHALLENGE_BASIC)
		return has_login(ep)
			       ? 0
			       : err_plain(e, EACCES,
					   "401 Unauthorized: a user and password are asked for");
	if (token_get(r, ep, scope, ep->auth.asked.scope, &fresh, e) < 0)
		return -e->code;
	return token_keep(&ep->auth, scope, fresh, e);
}
