/* SPDX-License-Identifier: MIT */
/* registry_request.c - the engine's request; it is trusted, and checked all the same */
#include <string.h>

#include "registry_internal.h"

#include "json_text.h"

static int bad(const char *what, struct err *e)
{
	return err_plain(e, EINVAL, "request: bad \"%s\"", what);
}

static const char *text_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

/* Of names in paths: no way out of /v2/NAME/, and nothing that would have to be escaped. */
static bool name_is_fit(const char *s)
{
	return s && *s && *s != '/' && !strstr(s, "..") &&
	       s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/")] ==
		       '\0';
}

static bool header_is_fit(const char *s)
{
	for (; s && *s; s++)
		if (*s < 0x21 || *s == 0x7f)
			return false;
	return true;
}

static int tls_get(const json_t *o, struct endpoint *ep, struct err *e)
{
	const char *ca = text_of(o, "ca");

	ep->tls.skip_verify = json_is_true(json_object_get(o, "skip_verify"));
	ep->tls.cert = text_of(o, "cert");
	ep->tls.key = text_of(o, "key");
	if (!ca)
		return 0;
	if (http_roots_with(ca, &ep->roots, e) < 0)
		return -e->code;
	ep->tls.ca = ep->roots.data;
	return 0;
}

/* The URL is kept in the JSON without '/' at its end. */
static int url_get(json_t *o, struct endpoint *ep, struct err *e)
{
	const char *url = text_of(o, "url");
	size_t n = url ? strlen(url) : 0;

	if (n == 0 || n > URL_MAX)
		return bad("url", e);
	while (n > 0 && url[n - 1] == '/')
		n--;
	if (json_object_set_new(o, "url", json_stringn(url, n)) < 0)
		return err_set(e, ENOMEM, "request");
	ep->url = text_of(o, "url");
	return url_origin(ep->url, &ep->origin, e);
}

static int endpoint_get(json_t *o, const json_t *request, struct endpoint *ep, struct err *e)
{
	const json_t *auth = json_object_get(o, "auth");
	const char *other = text_of(o, "repository");

	if (!json_is_object(o))
		return bad("endpoints", e);
	if (url_get(o, ep, e) < 0)
		return -e->code;
	ep->repository = other ? other : text_of(request, "repository");
	ep->is_mirror = json_is_true(json_object_get(o, "is_mirror"));
	ep->user = text_of(auth, "user");
	ep->password = text_of(auth, "password");
	ep->identity_token = text_of(auth, "identity_token");
	if (!header_is_fit(ep->identity_token))
		return bad("identity_token", e);
	return tls_get(o, ep, e);
}

static int endpoints_get(struct registry_request *r, struct err *e)
{
	const json_t *list = json_object_get(r->json, "endpoints");
	size_t n = json_array_size(list);

	if (n == 0 || n > ENDPOINTS_MAX)
		return bad("endpoints", e);
	for (; r->n_endpoints < n; r->n_endpoints++)
		if (endpoint_get(json_array_get(list, r->n_endpoints), r->json,
				 &r->endpoints[r->n_endpoints], e) < 0)
			return -e->code;
	return 0;
}

static int descriptor_get(const json_t *o, struct doc_descriptor *d, struct err *e)
{
	const char *digest = text_of(o, "digest"), *type = text_of(o, "media_type");
	json_int_t size = json_integer_value(json_object_get(o, "size"));

	if (!digest_is_valid(digest))
		return bad("digest", e);
	if (size < 0 || (uint64_t)size > DOC_BLOB_MAX)
		return bad("size", e);
	if (!header_is_fit(type) || (type && strlen(type) > DOC_MEDIA_MAX))
		return bad("media_type", e);
	snprintf(d->digest, sizeof(d->digest), "%s", digest);
	snprintf(d->media_type, sizeof(d->media_type), "%s", type ? type : "");
	d->size = (uint64_t)size;
	return 0;
}

static void pull_get(struct registry_request *r)
{
	const json_t *p = json_object_get(r->json, "platform");
	const struct {
		const char *key;
		char *field;
	} parts[] = { { "os", r->platform.os },
		      { "architecture", r->platform.architecture },
		      { "variant", r->platform.variant } };

	platform_host(&r->platform);
	for (size_t i = 0; p && i < ARRAY_SIZE(parts); i++) {
		const char *text = text_of(p, parts[i].key);

		snprintf(parts[i].field, sizeof(r->platform.os), "%s", text ? text : "");
	}
}

static int push_get(struct registry_request *r, struct err *e)
{
	const json_t *blobs = json_object_get(r->json, "blobs");
	const json_t *from = json_object_get(r->json, "mount_from");
	size_t n = json_array_size(blobs);

	if (descriptor_get(json_object_get(r->json, "manifest"), &r->manifest, e) < 0)
		return err_wrap(e, "manifest");
	if (n > DOC_LAYERS_MAX + 1)
		return bad("blobs", e);
	r->blobs = calloc(n + 1, sizeof(*r->blobs));
	if (!r->blobs)
		return err_set(e, ENOMEM, "request");
	for (; r->n_blobs < n; r->n_blobs++)
		if (descriptor_get(json_array_get(blobs, r->n_blobs), &r->blobs[r->n_blobs], e) < 0)
			return err_wrap(e, "blobs");
	for (size_t i = 0; i < json_array_size(from) && r->n_mounts < MOUNTS_MAX; i++) {
		const char *name = json_string_value(json_array_get(from, i));

		if (!name_is_fit(name))
			return bad("mount_from", e);
		r->mount_from[r->n_mounts++] = name;
	}
	return 0;
}

static int names_check(const struct registry_request *r, struct err *e)
{
	if (r->op == REGISTRY_LOGIN)
		return 0;
	for (size_t i = 0; i < r->n_endpoints; i++)
		if (!name_is_fit(r->endpoints[i].repository))
			return bad("repository", e);
	if (!digest_is_valid(r->reference) &&
	    (!name_is_fit(r->reference) || strchr(r->reference, '/')))
		return bad("reference", e);
	return 0;
}

static void number_get(const json_t *o, const char *key, uint32_t *io)
{
	json_int_t n = json_integer_value(json_object_get(o, key));

	if (n > 0 && n <= INT32_MAX)
		*io = (uint32_t)n;
}

static void limits_get(struct registry_request *r)
{
	const json_t *l = json_object_get(r->json, "limits");

	r->limits = (struct http_limits)HTTP_LIMITS_DEFAULT;
	r->tries = 5;
	r->backoff_ms = 500;
	number_get(l, "connect_ms", &r->limits.connect_ms);
	number_get(l, "answer_ms", &r->limits.answer_ms);
	number_get(l, "stall_ms", &r->limits.stall_ms);
	number_get(l, "window_ms", &r->limits.window_ms);
	number_get(l, "min_speed", &r->limits.min_speed);
	number_get(l, "tries", &r->tries);
	number_get(l, "backoff_ms", &r->backoff_ms);
}

static int op_get(struct registry_request *r, struct err *e)
{
	static const char *const names[] = { "pull", "push", "login" };
	const char *op = text_of(r->json, "op");

	for (size_t i = 0; op && i < ARRAY_SIZE(names); i++)
		if (strcmp(op, names[i]) == 0) {
			r->op = (enum registry_op)i;
			return 0;
		}
	return bad("op", e);
}

int registry_request_parse(const char *text, size_t len, struct registry_request *ret,
			   struct err *e)
{
	*ret = (struct registry_request){ .json = json_parse(text, len, JSON_REJECT_DUPLICATES,
							     NULL) };
	if (!json_is_object(ret->json))
		return bad("JSON", e);
	limits_get(ret);
	ret->reference = text_of(ret->json, "reference");
	if (op_get(ret, e) < 0 || endpoints_get(ret, e) < 0 || names_check(ret, e) < 0)
		return -e->code;
	if (ret->op == REGISTRY_PULL)
		pull_get(ret);
	return ret->op == REGISTRY_PUSH ? push_get(ret, e) : 0;
}

void registry_request_done(struct registry_request *r)
{
	for (size_t i = 0; i < ARRAY_SIZE(r->endpoints); i++) {
		auth_done(&r->endpoints[i].auth);
		buf_done(&r->endpoints[i].roots);
	}
	free(r->blobs);
	json_decref(r->json);
	*r = (struct registry_request){ 0 };
}
