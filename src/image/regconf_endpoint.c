/* SPDX-License-Identifier: MIT */
/*
 * regconf_endpoint.c - from a name to the places it is fetched from
 *
 * The longest prefix of the name that has a section counts; mirrors and location replace that
 * prefix. How a place is spoken to is said by its own scheme, else by the section of its host, else
 * it is TLS, but for loopback, where plain HTTP is meant unless certs.d knows the host.
 */
#include <errno.h>
#include <string.h>

#include "regconf_internal.h"

#define DOCKER_HOST "registry-1.docker.io"

/* ---- short names ---- */

static bool has_host(const char *text)
{
	const char *slash = strchr(text, '/');

	if (!slash)
		return false;
	for (const char *c = text; c < slash; c++)
		if (strchr(".:", *c) || (*c >= 'A' && *c <= 'Z'))
			return true;
	return strncmp(text, "localhost/", 10) == 0;
}

static const struct regconf_alias *alias_find(const struct regconf *c, const char *text)
{
	size_t n = strcspn(text, ":@");

	for (uint32_t i = 0; i < c->n_aliases; i++)
		if (strlen(c->aliases[i].name) == n && strncmp(c->aliases[i].name, text, n) == 0)
			return &c->aliases[i];
	return NULL;
}

static int search_all(const struct regconf *c, const char *text, struct ref *ret, uint32_t *ret_n,
		      struct err *e)
{
	for (*ret_n = 0; *ret_n < c->n_search; (*ret_n)++) {
		char full[REF_NORMAL_SIZE * 2];

		snprintf(full, sizeof(full), "%s/%s", c->search[*ret_n], text);
		if (ref_parse(full, &ret[*ret_n], e) < 0)
			return -e->code;
	}
	return 0;
}

int regconf_resolve(const struct regconf *c, const char *text, struct ref *ret, uint32_t *ret_n,
		    struct err *e)
{
	const struct regconf_alias *a;

	*ret_n = 1;
	if (ref_parse(text, &ret[0], e) < 0)
		return -e->code;
	if (has_host(text))
		return 0;
	a = alias_find(c, text);
	if (a) {
		memcpy(ret[0].host, a->target.host, sizeof(ret[0].host));
		memcpy(ret[0].path, a->target.path, sizeof(ret[0].path));
		return 0;
	}
	return c->n_search ? search_all(c, text, ret, ret_n, e) : 0;
}

/* ---- endpoints ---- */

/* The longest section whose prefix is the name, or ends where a component of it does. */
static const struct regconf_section *section_find(const struct regconf *c, const char *name)
{
	const struct regconf_section *best = NULL;

	for (uint32_t i = 0; i < c->n_sections; i++) {
		const struct regconf_section *s = &c->sections[i];
		size_t n = strlen(s->prefix);

		if (strncmp(s->prefix, name, n) == 0 && (name[n] == '\0' || name[n] == '/') &&
		    (!best || n > strlen(best->prefix)))
			best = s;
	}
	return best;
}

static bool is_loopback(const char *host)
{
	size_t n = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
	unsigned a, b, c, d;
	char end;

	if (n == 9 && strncmp(host, "localhost", 9) == 0)
		return true;
	if (n == 5 && strncmp(host, "[::1]", 5) == 0)
		return true;
	return strncmp(host, "127.", 4) == 0 &&
	       sscanf(host, "%u.%u.%u.%u%c", &a, &b, &c, &d, &end) >= 4 && b < 256 && c < 256 &&
	       d < 256 && strspn(host, "0123456789.") == n;
}

static enum regconf_tls place_tls(const struct regconf *c, const struct regconf_place *p,
				  const struct regconf_section *own)
{
	const struct regconf_section *s = section_find(c, p->host);
	enum regconf_tls tls = own && own->tls ? own->tls : s ? s->tls : REGCONF_TLS_UNSAID;

	if (strcmp(p->scheme, "http") == 0)
		return REGCONF_TLS_OFF;
	if (strcmp(p->scheme, "https") == 0 && tls != REGCONF_TLS_SKIP_VERIFY)
		return REGCONF_TLS_ON;
	return tls;
}

static int endpoint_fill(const struct regconf_place *p, enum regconf_tls tls, const char *rest,
			 struct regconf_endpoint *ep, struct err *e)
{
	bool is_docker = strcmp(p->host, REF_DEFAULT_HOST) == 0, has_certs = false;
	int n;

	if (tls != REGCONF_TLS_OFF && regconf_certs_read(p->host, ep, &has_certs, e) < 0)
		return -e->code;
	if (tls == REGCONF_TLS_UNSAID && is_loopback(p->host) && !has_certs)
		tls = REGCONF_TLS_OFF;
	ep->skip_verify = tls == REGCONF_TLS_SKIP_VERIFY;
	snprintf(ep->key, sizeof(ep->key), "%s", p->host);
	n = snprintf(ep->url, sizeof(ep->url), "%s://%s", tls == REGCONF_TLS_OFF ? "http" : "https",
		     is_docker ? DOCKER_HOST : p->host);
	if ((size_t)n >= sizeof(ep->url))
		return err_plain(e, ENAMETOOLONG, "registry %s", p->host);
	n = snprintf(ep->repository, sizeof(ep->repository), "%s%s%s", p->path,
		     *p->path && *rest ? "/" : "", rest);
	return (size_t)n < sizeof(ep->repository) ? 0 : err_plain(e, ENAMETOOLONG, "%s", p->path);
}

void regconf_endpoints_free(struct regconf_endpoint *list, uint32_t n)
{
	for (uint32_t i = 0; list && i < n; i++) {
		free(list[i].ca);
		free(list[i].cert);
		if (list[i].key_pem)
			explicit_bzero(list[i].key_pem, strlen(list[i].key_pem));
		free(list[i].key_pem);
	}
	free(list);
}

/* Where the name itself says it is, its host's section included. */
static void own_place(const struct ref *r, const struct regconf_section *s,
		      struct regconf_place *ret, const char **io_rest)
{
	if (s && s->has_location) {
		*ret = s->location;
		return;
	}
	memset(ret, 0, sizeof(*ret));
	snprintf(ret->host, sizeof(ret->host), "%s", r->host);
	*io_rest = r->path;
}

static int list_fill(const struct regconf *c, const struct ref *r, enum regconf_use use,
		     const struct regconf_section *s, struct regconf_endpoint *list, uint32_t *io_n,
		     struct err *e)
{
	char name[sizeof(r->host) + sizeof(r->path)];
	const char *rest = r->path;
	struct regconf_place own;

	ref_format_repository(r, name, sizeof(name));
	if (s)
		rest = name + strlen(s->prefix) + (name[strlen(s->prefix)] == '/');
	for (uint32_t i = 0; s && use == REGCONF_PULL && i < s->n_mirrors; i++) {
		struct regconf_endpoint *ep = &list[(*io_n)++];

		ep->is_mirror = true;
		if (endpoint_fill(&s->mirrors[i], place_tls(c, &s->mirrors[i], NULL), rest, ep, e) <
		    0)
			return -e->code;
	}
	own_place(r, s, &own, &rest);
	return endpoint_fill(&own, place_tls(c, &own, s), rest, &list[(*io_n)++], e);
}

int regconf_endpoints(const struct regconf *c, const struct ref *r, enum regconf_use use,
		      struct regconf_endpoint **ret, uint32_t *ret_n, struct err *e)
{
	char name[sizeof(r->host) + sizeof(r->path)];
	const struct regconf_section *s;
	struct regconf_endpoint *list;
	uint32_t n = 0;

	ref_format_repository(r, name, sizeof(name));
	s = section_find(c, name);
	if (s && s->is_blocked)
		return err_plain(e, EPERM, "%s is blocked by registries.conf ([registry %s])", name,
				 s->prefix);
	list = calloc(REGCONF_MIRRORS_MAX + 1, sizeof(*list));
	if (!list)
		return err_set(e, ENOMEM, "registries");
	if (list_fill(c, r, use, s, list, &n, e) < 0) {
		regconf_endpoints_free(list, n);
		return -e->code;
	}
	*ret = list;
	*ret_n = n;
	return 0;
}
