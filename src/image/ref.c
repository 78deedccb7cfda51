/* SPDX-License-Identifier: MIT */
/* ref.c - [U] see ref.h. Hostile: the text, where it comes from files and servers. */
#include "ref.h"

#include <string.h>

#define LOWER      "abcdefghijklmnopqrstuvwxyz"
#define DIGITS     "0123456789"
#define ALNUM_LOW  LOWER DIGITS
#define WORD       ALNUM_LOW "ABCDEFGHIJKLMNOPQRSTUVWXYZ_"
#define SHA256_LEN 64

static bool digest_is_valid(const char *d)
{
	return strncmp(d, "sha256:", 7) == 0 && strlen(d + 7) == SHA256_LEN &&
	       strspn(d + 7, DIGITS "abcdef") == SHA256_LEN;
}

static bool tag_is_valid(const char *t, size_t n)
{
	return n > 0 && n <= REF_TAG_MAX && *t != '.' && *t != '-' && strspn(t, WORD ".-") >= n;
}

/* Runs of letters and digits with ".", "_", "__" or any number of "-" between them. */
static bool component_is_valid(const char *c, size_t n)
{
	size_t i = 0;

	for (;;) {
		size_t run = strspn(c + i, ALNUM_LOW), sep;

		if (run == 0 || i >= n)
			return false;
		i += MIN_OF(run, n - i);
		if (i >= n)
			return true;
		if (c[i] == '-')
			sep = strspn(c + i, "-");
		else if (c[i] == '_')
			sep = c[i + 1] == '_' ? 2 : 1;
		else if (c[i] == '.')
			sep = 1;
		else
			return false;
		i += sep;
	}
}

static bool path_is_valid(const char *p)
{
	for (;;) {
		size_t n = strcspn(p, "/");

		if (!component_is_valid(p, n))
			return false;
		if (!p[n])
			return true;
		p += n + 1;
	}
}

static bool host_is_valid(const char *h)
{
	size_t n = strcspn(h, ":"), port;

	if (*h == '[') { /* IPv6 */
		n = strspn(h + 1, DIGITS "abcdefABCDEF:") + 1;
		if (h[n++] != ']')
			return false;
	} else {
		if (n == 0 || strspn(h, WORD ".-") < n || memchr(h, '_', n) || strstr(h, ".."))
			return false;
		if (*h == '-' || *h == '.' || h[n - 1] == '-' || h[n - 1] == '.')
			return false;
	}
	if (!h[n])
		return true;
	port = strspn(h + n + 1, DIGITS);
	return h[n] == ':' && port > 0 && port <= 5 && !h[n + 1 + port];
}

static bool is_host(const char *first)
{
	return strpbrk(first, ".:") || strcmp(first, "localhost") == 0;
}

static int invalid(const char *text, struct err *e)
{
	return err_plain(e, EINVAL, "invalid reference format: \"%.300s\"", text);
}

/* `rest` (its own copy) without digest and tag: host and path. */
static bool name_split(char *rest, struct ref *r)
{
	char *slash = strchr(rest, '/');
	const char *path = rest;

	snprintf(r->host, sizeof(r->host), REF_DEFAULT_HOST);
	if (slash) {
		*slash = '\0';
		if (is_host(rest) || strpbrk(rest, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")) {
			if (strlen(rest) >= sizeof(r->host) || !host_is_valid(rest))
				return false;
			snprintf(r->host, sizeof(r->host), "%s", rest);
			path = slash + 1;
		} else {
			*slash = '/';
		}
	}
	if (strcmp(r->host, "index.docker.io") == 0)
		snprintf(r->host, sizeof(r->host), REF_DEFAULT_HOST);
	if (!path_is_valid(path))
		return false;
	if (strcmp(r->host, REF_DEFAULT_HOST) == 0 && !strchr(path, '/'))
		return snprintf(r->path, sizeof(r->path), "library/%s", path) <= (int)REF_PATH_MAX;
	return snprintf(r->path, sizeof(r->path), "%s", path) <= (int)REF_PATH_MAX;
}

int ref_parse(const char *text, struct ref *ret, struct err *e)
{
	char rest[REF_NORMAL_SIZE];
	struct ref r = { 0 };
	char *at, *colon;

	if (strlen(text) >= sizeof(rest) || !*text)
		return invalid(text, e);
	snprintf(rest, sizeof(rest), "%s", text);
	at = strchr(rest, '@');
	if (at) {
		*at++ = '\0';
		if (!digest_is_valid(at))
			return invalid(text, e);
		snprintf(r.digest, sizeof(r.digest), "%s", at);
	}
	colon = strrchr(rest, ':');
	if (colon && !strchr(colon, '/')) {
		*colon++ = '\0';
		if (!tag_is_valid(colon, strlen(colon)))
			return invalid(text, e);
		snprintf(r.tag, sizeof(r.tag), "%s", colon);
	}
	if (!*r.tag && !*r.digest)
		snprintf(r.tag, sizeof(r.tag), "latest");
	if (!name_split(rest, &r)) {
		if (strpbrk(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
			return err_plain(
				e, EINVAL,
				"invalid reference format: repository name must be lowercase: "
				"\"%.300s\"",
				text);
		return invalid(text, e);
	}
	if (strlen(r.host) + strlen(r.path) + strlen(r.tag) + strlen(r.digest) + 3 > sizeof(rest))
		return invalid(text, e); /* what is filled in would not fit */
	if (strspn(rest, DIGITS "abcdef") == SHA256_LEN && strlen(text) == SHA256_LEN)
		return err_plain(e, EINVAL,
				 "invalid repository name (%s), cannot specify 64-byte "
				 "hexadecimal strings",
				 text);
	*ret = r;
	return 0;
}

void ref_format_repository(const struct ref *r, char *ret, size_t len)
{
	snprintf(ret, len, "%s/%s", r->host, r->path);
}

void ref_format(const struct ref *r, char *ret, size_t len)
{
	if (*r->digest)
		snprintf(ret, len, "%s/%s@%s", r->host, r->path, r->digest);
	else
		snprintf(ret, len, "%s/%s:%s", r->host, r->path, r->tag);
}

bool ref_normalise(const char *text, char *ret, size_t len)
{
	struct err ignored = { 0 };
	struct ref r;

	if (ref_parse(text, &r, &ignored) < 0)
		return false;
	ref_format(&r, ret, len);
	return true;
}

void ref_familiar(const char *normal, char *ret, size_t len)
{
	if (strncmp(normal, REF_DEFAULT_HOST "/", 10) == 0) {
		const char *path = normal + 10;
		size_t n = strcspn(path, "/");

		if (strncmp(path, "library/", 8) == 0 && !strchr(path + 8, '/'))
			normal = path + 8;
		else if (!path[n] ||
			 !(memchr(path, '.', n) || strncmp(path, "localhost/", 10) == 0))
			normal = path; /* else it would be read as a host */
	}
	snprintf(ret, len, "%s", normal);
}
