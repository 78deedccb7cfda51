/* SPDX-License-Identifier: MIT */
/* image_request.c - requests to caisson-fetch, and its errors in the words that people know */
#include "image_request.h"

#include <string.h>

static int text_set(json_t *o, const char *key, const char *text)
{
	return text ? json_object_set_new(o, key, json_string(text)) : 0;
}

static json_t *auth_json(const struct auth_cred *c)
{
	if (c->identity_token)
		return json_pack("{s:s}", "identity_token", c->identity_token);
	return json_pack("{s:s,s:s}", "user", c->user, "password", c->password);
}

json_t *image_endpoint_json(const struct regconf_endpoint *ep, const struct auth_cred *cred)
{
	json_t *o = json_pack("{s:s,s:s}", "url", ep->url, "repository", ep->repository);
	bool ok = o != NULL;

	if (ok && ep->is_mirror)
		ok = json_object_set_new(o, "is_mirror", json_true()) == 0;
	if (ok && ep->skip_verify)
		ok = json_object_set_new(o, "skip_verify", json_true()) == 0;
	ok = ok && text_set(o, "ca", ep->ca) == 0 && text_set(o, "cert", ep->cert) == 0 &&
	     text_set(o, "key", ep->key_pem) == 0;
	if (ok && cred)
		ok = json_object_set_new(o, "auth", auth_json(cred)) == 0;
	if (!ok) {
		json_decref(o);
		return NULL;
	}
	return o;
}

static int endpoint_add(const struct regconf_endpoint *ep, json_t *list, struct err *e)
{
	struct auth_cred cred = { 0 };
	int rc = auth_get(ep->key, &cred, e);

	if (rc < 0)
		return rc;
	rc = json_array_append_new(list, image_endpoint_json(ep, rc ? &cred : NULL));
	auth_cred_done(&cred);
	return rc < 0 ? err_plain(e, EINVAL, "the credentials or certificates for %s are not UTF-8",
				  ep->key)
		      : 0;
}

int image_endpoints(const struct regconf *c, const struct ref *r, enum regconf_use use,
		    json_t **ret, struct err *e)
{
	struct regconf_endpoint *list;
	json_t *a;
	uint32_t n;
	int rc = 0;

	if (regconf_endpoints(c, r, use, &list, &n, e) < 0)
		return -e->code;
	a = json_array();
	for (uint32_t i = 0; rc == 0 && i < n; i++)
		rc = endpoint_add(&list[i], a, e);
	regconf_endpoints_free(list, n);
	if (rc < 0)
		json_decref(a);
	else
		*ret = a;
	return rc;
}

json_t *image_pull_request(json_t *endpoints, const struct ref *r, const struct platform *want)
{
	return json_pack("{s:s,s:o,s:s,s:s,s:{s:s,s:s,s:s}}", "op", "pull", "endpoints", endpoints,
			 "repository", r->path, "reference", *r->digest ? r->digest : r->tag,
			 "platform", "os", want->os, "architecture", want->architecture, "variant",
			 want->variant);
}

static json_t *blob_json(const struct store_blob *b)
{
	return json_pack("{s:s,s:s,s:I}", "digest", b->digest, "media_type", b->media_type, "size",
			 (json_int_t)b->size);
}

json_t *image_push_request(json_t *endpoints, const struct image_push *p)
{
	json_t *blobs = json_array(), *mounts = json_array();

	for (uint32_t i = 0; i < p->n_blobs; i++)
		if (json_array_append_new(blobs, blob_json(&p->blobs[i])) < 0)
			goto out;
	for (uint32_t i = 0; i < p->n_mounts; i++)
		if (json_array_append_new(mounts, json_string(p->mounts[i])) < 0)
			goto out;
	return json_pack("{s:s,s:o,s:s,s:s,s:o,s:o,s:o}", "op", "push", "endpoints", endpoints,
			 "repository", p->ref->path, "reference", p->ref->tag, "manifest",
			 blob_json(p->manifest), "blobs", blobs, "mount_from", mounts);
out:
	json_decref(endpoints);
	json_decref(blobs);
	json_decref(mounts);
	return NULL;
}

json_t *image_login_request(json_t *endpoint, const char *user, const char *password)
{
	json_t *auth = json_pack("{s:s,s:s}", "user", user, "password", password);

	(void)json_object_del(endpoint, "repository");
	if (json_object_set_new(endpoint, "auth", auth) < 0) {
		json_decref(endpoint);
		return NULL;
	}
	return json_pack("{s:s,s:[o]}", "op", "login", "endpoints", endpoint);
}

/* ---- errors ---- */

/* "docker.io/library/x:latest" -> "x:latest", and without what comes after the repository. */
static void names_of(const struct ref *r, char name[REF_NORMAL_SIZE],
		     char repository[REF_NORMAL_SIZE])
{
	char full[REF_NORMAL_SIZE];

	ref_format(r, full, sizeof(full));
	ref_familiar(full, name, REF_NORMAL_SIZE);
	ref_format_repository(r, full, sizeof(full));
	ref_familiar(full, repository, REF_NORMAL_SIZE);
}

int image_error(enum image_op op, const struct ref *r, const struct fetch_event *ev,
		bool had_document, struct err *e)
{
	char name[REF_NORMAL_SIZE], repository[REF_NORMAL_SIZE];
	int code = ev->code ? ev->code : EIO;
	bool is_denied = code == EACCES || code == EPERM;

	names_of(r, name, repository);
	if (op == IMAGE_LOGIN)
		return is_denied ? err_plain(e, code, "login to %.200s: unauthorized: %s", r->host,
					     ev->text)
				 : err_plain(e, code, "login to %.200s: %s", r->host, ev->text);
	if (is_denied)
		return err_plain(
			e, code,
			"%s access denied for %.200s, repository does not exist or may require "
			"'caisson login': %s",
			op == IMAGE_PULL ? "pull" : "push", repository, ev->text);
	if (op == IMAGE_PULL && code == ENOENT && !had_document)
		return err_plain(e, code, "manifest for %.200s not found: manifest unknown: %s",
				 name, ev->text);
	return err_plain(e, code, "%s %.200s: %s", op == IMAGE_PULL ? "pull" : "push", name,
			 ev->text);
}
