/* SPDX-License-Identifier: MIT */
/*
 * registry_challenge.c - [U] see registry_challenge.h
 *
 * Hostile: all of it. A challenge whose values do not fit or hold control bytes is not returned.
 * One that gives a parameter twice keeps the first.
 */
#include "registry_challenge.h"

#include <curl/curl.h>
#include <string.h>
#include <strings.h>

#define TOKEN   "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define TOKEN68 "-._~+/0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define SPACE   " \t"

static const char *space_skip(const char *p)
{
	return p + strspn(p, SPACE);
}

/* A quoted string, from behind its first quote; NULL when it does not fit, end or behave. */
static const char *quoted_take(const char *p, char *ret, size_t size)
{
	size_t n = 0;

	for (; *p != '"'; p++) {
		if (*p == '\\')
			p++;
		if ((unsigned char)*p < 0x20 || *p == 0x7f || n + 1 >= size) /* the end as well */
			return NULL;
		ret[n++] = *p;
	}
	ret[n] = '\0';
	return p + 1;
}

static const char *value_take(const char *p, char *ret, size_t size)
{
	size_t n;

	if (*p == '"')
		return quoted_take(p + 1, ret, size);
	n = strcspn(p, SPACE ",\"\n"); /* some write addresses without quotes */
	if (n == 0 || n >= size)
		return NULL;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
			return NULL;
	memcpy(ret, p, n);
	ret[n] = '\0';
	return p + n;
}

static void param_keep(struct challenge *c, const char *name, size_t len, const char *value)
{
	const struct {
		const char *name;
		char *field;
		size_t size;
	} fields[] = { { "realm", c->realm, sizeof(c->realm) },
		       { "service", c->service, sizeof(c->service) },
		       { "scope", c->scope, sizeof(c->scope) } };

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (strlen(fields[i].name) == len && strncasecmp(fields[i].name, name, len) == 0 &&
		    fields[i].field[0] == '\0' && strlen(value) < fields[i].size)
			memcpy(fields[i].field, value, strlen(value) + 1);
}

/* "name=value", or NULL when what stands at p is none. */
static const char *param_take(const char *p, struct challenge *c)
{
	char value[sizeof(c->realm)];
	const char *name = p;
	size_t len = strspn(p, TOKEN);

	p = space_skip(p + len);
	if (len == 0 || *p != '=')
		return NULL;
	p = value_take(space_skip(p + 1), value, sizeof(value));
	if (p)
		param_keep(c, name, len, value);
	return p;
}

/* "scheme" and what follows it, a token or parameters; NULL: malformed. */
static const char *scheme_take(const char *p, struct challenge *c)
{
	size_t n = strspn(p, TOKEN), m;

	if (n == 0 || n >= sizeof(c->scheme))
		return NULL;
	*c = (struct challenge){ 0 };
	memcpy(c->scheme, p, n);
	if (strcasecmp(c->scheme, "bearer") == 0)
		c->kind = CHALLENGE_BEARER;
	else if (strcasecmp(c->scheme, "basic") == 0)
		c->kind = CHALLENGE_BASIC;
	p = space_skip(p + n);
	m = strspn(p, TOKEN68);
	m += strspn(p + m, "=");
	if (m > 0 && strchr(",\n", *space_skip(p + m))) /* the end as well: "Negotiate abc==" */
		p = space_skip(p + m);
	return p;
}

size_t challenge_parse(const char *text, struct challenge list[CHALLENGE_LIST_MAX])
{
	const char *p = text;
	size_t n = 0;

	for (;;) {
		const char *next;

		p += strspn(p, SPACE ",\n");
		if (*p == '\0')
			return n;
		next = n > 0 ? param_take(p, &list[n - 1]) : NULL;
		if (!next) {
			if (n == CHALLENGE_LIST_MAX)
				return n;
			next = scheme_take(p, &list[n]);
			if (!next ||
			    *next == '=') /* a parameter with a bad value spoils its challenge */
				return n > 0 && *space_skip(p + strspn(p, TOKEN)) == '=' ? n - 1
											 : n;
			n++;
		}
		p = next;
	}
}

int challenge_choose(const char *text, struct challenge *ret, struct err *e)
{
	auto_free struct challenge *list = calloc(CHALLENGE_LIST_MAX, sizeof(*list));
	const struct challenge *best = NULL;
	size_t n;

	if (!list)
		return err_set(e, ENOMEM, "challenge");
	n = challenge_parse(text, list);
	for (size_t i = 0; i < n; i++) {
		if (list[i].kind == CHALLENGE_BEARER && list[i].realm[0] == '\0')
			continue;
		if (!best || list[i].kind > best->kind)
			best = &list[i];
	}
	if (!best || best->kind == CHALLENGE_OTHER)
		return err_plain(e, EBADMSG,
				 n ? "asks for authentication by \"%s\", which is not supported"
				   : "asks for authentication without saying which%s",
				 n ? list[0].scheme : "");
	*ret = *best;
	return 0;
}

uint32_t retry_after_parse(const char *text, time_t now, uint32_t cap_ms)
{
	size_t digits;
	time_t at;

	if (!text)
		return 0;
	text = space_skip(text);
	digits = strspn(text, "0123456789");
	if (digits > 0 && *space_skip(text + digits) == '\0') {
		unsigned long long s = digits > 9 ? cap_ms : strtoull(text, NULL, 10);

		return s > cap_ms / 1000 ? cap_ms : (uint32_t)s * 1000;
	}
	at = curl_getdate(text, NULL);
	if (at == -1 || at <= now)
		return 0;
	return at - now > (time_t)(cap_ms / 1000) ? cap_ms : (uint32_t)(at - now) * 1000;
}

static bool number_take(const char **p, uint64_t *ret)
{
	size_t digits = strspn(*p, "0123456789");

	if (digits == 0 || digits > 18)
		return false;
	*ret = strtoull(*p, NULL, 10);
	*p += digits;
	return true;
}

bool content_range_parse(const char *text, uint64_t *ret_first, uint64_t *ret_last,
			 uint64_t *ret_total)
{
	const char *p = text;
	uint64_t first, last, total = UINT64_MAX;

	if (!p || strncasecmp(p, "bytes", 5) != 0 || (p[5] != ' ' && p[5] != '='))
		return false;
	p = space_skip(p + 6);
	if (!number_take(&p, &first) || *p++ != '-' || !number_take(&p, &last) || *p++ != '/')
		return false;
	if (*p == '*')
		p++;
	else if (!number_take(&p, &total))
		return false;
	if (*space_skip(p) || last < first || last >= total)
		return false;
	*ret_first = first;
	*ret_last = last;
	*ret_total = total;
	return true;
}
