/* SPDX-License-Identifier: MIT */
/*
 * registry_pull.c - documents of an image, from what a reference names down to the layers
 *
 * Endpoints are asked in order. A mirror that fails is passed over, whatever its failure; once one
 * has answered, the rest of the image is asked of it first. What is wrong with the image itself (a
 * document with the right digest that is refused, no fitting platform) ends the pull.
 */
#include <string.h>

#include "registry_internal.h"

#define ACCEPT_DOCS  DOC_OCI_INDEX " " DOC_DOCKER_LIST " " DOC_OCI_MANIFEST " " DOC_DOCKER_MANIFEST
#define DOC_TOTAL_MS 120000U

struct pulled_doc {
	char digest[DIGEST_SIZE];
	char content_type[256]; /* as the server or the descriptor said */
	struct buf bytes;
};

struct pull {
	struct registry *r;
	size_t first;                   /* endpoint to ask first */
	char top[DIGEST_SIZE];          /* of what the reference names */
	struct doc_descriptor manifest; /* the platform's */
	struct doc doc;
};

static void scope_make(const struct endpoint *ep, char ret[SCOPE_SIZE])
{
	snprintf(ret, SCOPE_SIZE, "repository:%s:pull", ep->repository);
}

/* ---- one document ---- */

struct question {
	const char *folder;                /* "manifests" or "blobs" */
	const char *name;                  /* tag or digest */
	const struct doc_descriptor *told; /* NULL: only a tag is known */
	size_t max;
};

static int answer_check(const struct registry_call *c, const struct question *q,
			struct pulled_doc *d, struct err *e)
{
	const char *said = c->http.response.docker_digest;

	if (digest_of(d->bytes.data, d->bytes.len, d->digest, e) < 0)
		return -e->code;
	if (q->told && q->told->size && q->told->size != d->bytes.len)
		return err_plain(e, EBADMSG, "has %zu bytes and should have %llu", d->bytes.len,
				 (unsigned long long)q->told->size);
	if (digest_is_valid(q->name) && strcmp(q->name, d->digest) != 0)
		return err_plain(e, EBADMSG, "the answer has another digest: %s", d->digest);
	if (!digest_is_valid(q->name) && said && digest_is_valid(said) &&
	    strcmp(said, d->digest) != 0)
		return err_plain(e, EBADMSG, "Docker-Content-Digest is %s, that of the bytes is %s",
				 said, d->digest);
	return 0;
}

static int too_long(struct err *e)
{
	e->code = EBADMSG; /* no limit of ours, but its descriptor's size */
	return err_wrap(e, "longer than its descriptor says");
}

static int doc_ask(struct registry *r, struct endpoint *ep, const struct question *q,
		   struct pulled_doc *d, struct err *e)
{
	char scope[SCOPE_SIZE], shown[URL_SHOWN + 8];
	auto_free char *path = NULL;
	struct registry_call c = { .reg = r, .ep = ep, .scope = scope };
	int rc;

	scope_make(ep, scope);
	if (asprintf(&path, "/v2/%s/%s/%s", ep->repository, q->folder, q->name) < 0)
		return err_set(e, ENOMEM, "address");
	c.http.method = HTTP_GET;
	c.http.accept = strcmp(q->folder, "manifests") == 0 ? ACCEPT_DOCS : NULL;
	c.http.text_max = q->told && q->told->size ? MIN_OF(q->max, (size_t)q->told->size) : q->max;
	c.http.total_ms = DOC_TOTAL_MS;
	c.http.undo_encoding = true;
	rc = call_run(&c, path, e);
	if (rc == -EFBIG && q->told && q->told->size && q->told->size < q->max)
		rc = too_long(e);
	if (rc == 0) {
		d->bytes = c.http.text;
		c.http.text = (struct buf){ 0 };
		snprintf(d->content_type, sizeof(d->content_type), "%s",
			 c.http.response.content_type ? c.http.response.content_type : "");
		rc = answer_check(&c, q, d, e);
		if (rc < 0) {
			call_shown(&c, shown);
			(void)err_wrap(e, "%s", shown);
			buf_done(&d->bytes);
		}
	}
	call_done(&c);
	return rc;
}

static int doc_get(struct pull *p, const struct question *q, struct pulled_doc *d, struct err *e)
{
	const struct registry_request *rq = &p->r->rq;
	struct err absent = { 0 };

	if (digest_is_valid(q->name) && part_read(p->r, q->name, q->max, &d->bytes, &absent) == 0) {
		snprintf(d->digest, sizeof(d->digest), "%s", q->name);
		snprintf(d->content_type, sizeof(d->content_type), "%s",
			 q->told ? q->told->media_type : "");
		return 0;
	}
	buf_done(&d->bytes);
	for (size_t i = p->first;; i++) {
		struct endpoint *ep = &p->r->rq.endpoints[i];

		if (doc_ask(p->r, ep, q, d, e) == 0) {
			p->first = i;
			return 0;
		}
		if (e->code == ECANCELED || !ep->is_mirror || i + 1 == rq->n_endpoints)
			return -e->code;
		event_retrying(p->r, "", 0, e);
	}
}

static int doc_keep(struct pull *p, const struct pulled_doc *d, const char *media_type,
		    struct err *e)
{
	if (part_write(p->r, d->digest, &d->bytes, e) < 0)
		return err_wrap(e, "document %.19s", d->digest);
	return event_send(p->r,
			  json_pack("{s:s, s:s, s:I, s:s}", "event", "document", "digest",
				    d->digest, "size", (json_int_t)d->bytes.len, "media_type",
				    media_type),
			  e);
}

/* ---- from the reference to the manifest ---- */

static int doc_read(struct pull *p, const struct doc_descriptor *told, struct pulled_doc *d,
		    struct err *e)
{
	if (doc_parse(d->bytes.data, d->bytes.len, d->content_type, &p->doc, e) < 0)
		return err_wrap(e, "%s %.19s", told ? "manifest" : p->r->rq.reference, d->digest);
	if (told && strcmp(told->media_type, p->doc.media_type) != 0)
		return err_plain(e, EBADMSG, "manifest %.19s is \"%s\", its index says \"%s\"",
				 d->digest, p->doc.media_type, told->media_type);
	return doc_keep(p, d, p->doc.media_type, e);
}

static int next_choose(struct pull *p, struct doc_descriptor *ret, struct err *e)
{
	const struct doc_descriptor *chosen = NULL;

	if (doc_index_choose(&p->doc, &p->r->rq.platform, &chosen, e) < 0) {
		if (e->code == ENOENT)
			e->code = ENODEV; /* the image is there, its platform is not */
		return -e->code;
	}
	if (chosen->size > DOC_INDEX_MAX)
		return err_plain(e, EFBIG, "manifest %.19s has %llu bytes, at most %u are allowed",
				 chosen->digest, (unsigned long long)chosen->size, DOC_INDEX_MAX);
	*ret = *chosen;
	return 0;
}

static int manifest_get(struct pull *p, struct err *e)
{
	struct doc_descriptor next = { .digest = "" };

	for (unsigned depth = 0; depth <= DOC_INDEX_DEPTH; depth++) {
		const struct doc_descriptor *told = depth ? &next : NULL;
		struct question q = { "manifests", depth ? next.digest : p->r->rq.reference, told,
				      DOC_INDEX_MAX };
		struct pulled_doc d = { .digest = "" };
		int rc = doc_get(p, &q, &d, e);

		if (rc == 0)
			rc = doc_read(p, told, &d, e);
		p->manifest.size = d.bytes.len;
		buf_done(&d.bytes);
		if (rc < 0)
			return rc;
		if (depth == 0)
			memcpy(p->top, d.digest, sizeof(p->top));
		memcpy(p->manifest.digest, d.digest, sizeof(d.digest));
		if (p->doc.kind == DOC_MANIFEST)
			return 0;
		if (next_choose(p, &next, e) < 0)
			return -e->code;
		doc_done(&p->doc);
	}
	return err_plain(e, EBADMSG, "indexes are nested deeper than %u", DOC_INDEX_DEPTH);
}

/* ---- config ---- */

static int config_read(struct pull *p, const struct pulled_doc *d, struct err *e)
{
	struct doc_config c = { 0 };
	uint32_t n;

	if (doc_config_parse(d->bytes.data, d->bytes.len, &c, e) < 0)
		return -e->code;
	n = c.n_diff_ids;
	doc_config_done(&c);
	if (n != p->doc.n)
		return err_plain(e, EBADMSG, "it lists %u layers, the manifest %u", n, p->doc.n);
	return doc_keep(p, d, p->doc.config.media_type, e);
}

static int config_get(struct pull *p, struct err *e)
{
	struct question q = { "blobs", p->doc.config.digest, &p->doc.config, DOC_CONFIG_MAX };
	struct pulled_doc d = { .digest = "" };
	int rc = doc_get(p, &q, &d, e);

	if (rc == 0)
		rc = config_read(p, &d, e);
	buf_done(&d.bytes);
	return rc < 0 ? err_wrap(e, "config") : 0;
}

static int pull_run(struct pull *p, struct err *e)
{
	if (manifest_get(p, e) < 0 || config_get(p, e) < 0)
		return -e->code;
	if (event_send(p->r,
		       json_pack("{s:s, s:{s:s}}", "event", "layers", "manifest", "digest",
				 p->manifest.digest),
		       e) < 0 ||
	    blobs_fetch(p->r, p->doc.list, p->doc.n, p->first, e) < 0)
		return -e->code;
	return event_send(p->r,
			  json_pack("{s:s, s:s, s:s}", "event", "complete", "digest", p->top,
				    "manifest", p->manifest.digest),
			  e);
}

int registry_pull(struct registry *r, struct err *e)
{
	struct pull p = { .r = r };
	int rc = pull_run(&p, e);

	doc_done(&p.doc);
	return rc;
}
