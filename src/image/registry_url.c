/* SPDX-License-Identifier: MIT */
/*
 * registry_url.c - [U] see registry_url.h
 *
 * Hostile: addresses in Location and in realms. libcurl's own reader takes them apart, so that what
 * is checked here is what is connected to later.
 */
#include "registry_url.h"

#include <curl/curl.h>
#include <stdint.h>
#include <string.h>

static int part_get(CURLU *u, CURLUPart part, unsigned int flags, char *ret, size_t size)
{
	char *text = NULL;
	bool fits = curl_url_get(u, part, &text, flags) == CURLUE_OK && strlen(text) < size;

	if (fits)
		memcpy(ret, text, strlen(text) + 1);
	curl_free(text);
	for (char *p = ret; fits && *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	return fits ? 0 : -EINVAL;
}

static int origin_get(CURLU *u, struct url_origin *ret)
{
	struct url_origin o = { "", "", "" };

	if (part_get(u, CURLUPART_SCHEME, 0, o.scheme, sizeof(o.scheme)) < 0 ||
	    part_get(u, CURLUPART_HOST, 0, o.host, sizeof(o.host)) < 0 ||
	    part_get(u, CURLUPART_PORT, CURLU_DEFAULT_PORT, o.port, sizeof(o.port)) < 0)
		return -EINVAL;
	if (strcmp(o.scheme, "https") != 0 && strcmp(o.scheme, "http") != 0)
		return -EINVAL;
	*ret = o;
	return 0;
}

int url_origin(const char *url, struct url_origin *ret, struct err *e)
{
	char shown[URL_SHOWN];
	CURLU *u = curl_url();
	int r = u ? -EINVAL : -ENOMEM;

	if (u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK)
		r = origin_get(u, ret);
	curl_url_cleanup(u);
	if (r == -ENOMEM)
		return err_set(e, ENOMEM, "address");
	url_shown(url, shown);
	return r < 0 ? err_plain(e, EINVAL, "\"%s\" is no http or https address", shown) : 0;
}

bool url_same_origin(const struct url_origin *a, const struct url_origin *b)
{
	return strcmp(a->scheme, b->scheme) == 0 && strcmp(a->host, b->host) == 0 &&
	       strcmp(a->port, b->port) == 0;
}

bool url_is_tls(const struct url_origin *o)
{
	return strcmp(o->scheme, "https") == 0;
}

/* The whole address, copied out of curl's memory. */
static int url_copy(CURLU *u, char **ret)
{
	char *text = NULL;

	if (curl_url_get(u, CURLUPART_URL, &text, 0) != CURLUE_OK)
		return -ENOMEM;
	*ret = strdup(text);
	curl_free(text);
	return *ret ? 0 : -ENOMEM;
}

static int resolve(CURLU *u, const char *base, const char *location, char **ret, struct err *e)
{
	struct url_origin from, to;
	char shown[URL_SHOWN];

	url_shown(location, shown);
	if (curl_url_set(u, CURLUPART_URL, base, 0) != CURLUE_OK || origin_get(u, &from) < 0)
		return err_plain(e, EINVAL, "no base to resolve \"%s\" by", shown);
	if (curl_url_set(u, CURLUPART_URL, location, CURLU_URLENCODE) != CURLUE_OK ||
	    origin_get(u, &to) < 0)
		return err_plain(e, EBADMSG, "\"%s\" is no http or https address", shown);
	if (url_is_tls(&from) && !url_is_tls(&to))
		return err_plain(e, EBADMSG, "\"%s\" leads from https to plain http", shown);
	(void)curl_url_set(u, CURLUPART_USER, NULL, 0); /* removing cannot fail */
	(void)curl_url_set(u, CURLUPART_PASSWORD, NULL, 0);
	(void)curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
	return url_copy(u, ret) < 0 ? err_set(e, ENOMEM, "address") : 0;
}

int url_resolve(const char *base, const char *location, char **ret, struct err *e)
{
	CURLU *u;
	int r;

	if (strlen(location) > URL_MAX)
		return err_plain(e, EBADMSG, "an address of %zu bytes is too long",
				 strlen(location));
	u = curl_url();
	if (!u)
		return err_set(e, ENOMEM, "address");
	r = resolve(u, base, location, ret, e);
	curl_url_cleanup(u);
	return r;
}

int url_add_query(const char *url, const char *name, const char *value, char **ret, struct err *e)
{
	auto_free char *text = NULL;
	CURLU *u = curl_url();
	int r = -ENOMEM;

	if (u && asprintf(&text, "%s=%s", name, value) >= 0 &&
	    curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
	    curl_url_set(u, CURLUPART_QUERY, text, CURLU_APPENDQUERY | CURLU_URLENCODE) ==
		    CURLUE_OK)
		r = url_copy(u, ret);
	curl_url_cleanup(u);
	return r < 0 ? err_set(e, ENOMEM, "address") : 0;
}

void url_shown(const char *url, char ret[URL_SHOWN])
{
	size_t n = strcspn(url, "?#"), at = 0;
	const char *host = strstr(url, "://");
	const char *user;

	host = host && host < url + n ? host + 3 : url;
	user = memchr(host, '@', strcspn(host, "/?#"));
	for (size_t i = 0; i < n && at + 1 < URL_SHOWN; i++) {
		if (user && url + i >= host && url + i <= user)
			continue;
		ret[at++] = url[i] < 0x21 || url[i] == 0x7f ? '?' : url[i]; /* char is signed */
	}
	ret[at] = '\0';
}
