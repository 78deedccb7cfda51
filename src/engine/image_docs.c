/* SPDX-License-Identifier: MIT */
/*
 * image_docs.c - index, manifest, config: each checked against the one that names it
 *
 * Hostile: all bytes; doc.c parses them. The walk is bounded by DOC_INDEX_DEPTH.
 */
#include "image_docs.h"

#include <inttypes.h>
#include <string.h>

void image_docs_done(struct image_docs *d)
{
	doc_done(&d->doc);
	doc_config_done(&d->config);
	memset(d, 0, sizeof(*d));
}

static int document_read(const struct doc_descriptor *d, size_t max, image_docs_read_fn *read,
			 void *arg, struct buf *ret, struct err *e)
{
	char digest[DIGEST_SIZE];

	if (digest_check(d->digest, e) < 0)
		return -e->code;
	if (d->size != IMAGE_DOCS_ANY_SIZE && d->size > max)
		return err_plain(e, EFBIG, "document %.19s has %" PRIu64 " bytes, more than %zu",
				 d->digest, d->size, max);
	if (read(arg, d->digest, max, ret, e) < 0)
		return err_wrap(e, "document %.19s", d->digest);
	if (d->size != IMAGE_DOCS_ANY_SIZE && ret->len != d->size)
		return err_plain(e, EBADMSG, "document %.19s has %zu bytes, not %" PRIu64,
				 d->digest, ret->len, d->size);
	if (digest_of(ret->data ? ret->data : "", ret->len, digest, e) < 0)
		return -e->code;
	if (strcmp(digest, d->digest) != 0)
		return err_plain(e, EBADMSG, "document %.19s is damaged: its digest is %s",
				 d->digest, digest);
	return 0;
}

static int doc_get(struct doc_descriptor *d, image_docs_read_fn *read, void *arg, struct doc *ret,
		   struct err *e)
{
	auto_buf b = { 0 };

	if (document_read(d, DOC_INDEX_MAX, read, arg, &b, e) < 0)
		return -e->code;
	if (doc_parse(b.data ? b.data : "", b.len, d->media_type, ret, e) < 0)
		return err_wrap(e, "document %.19s", d->digest);
	d->size = b.len;
	snprintf(d->media_type, sizeof(d->media_type), "%s", ret->media_type);
	return 0;
}

/* Down from the top through indexes; leaves the manifest in ret->doc. */
static int manifest_find(const struct platform *want, image_docs_read_fn *read, void *arg,
			 struct image_docs *ret, struct err *e)
{
	struct doc_descriptor at = ret->top;

	for (;;) {
		const struct doc_descriptor *next;
		int rc = doc_get(&at, read, arg, &ret->doc, e);

		if (rc < 0)
			return rc;
		if (ret->n_indexes == 0)
			ret->top = at;
		if (ret->doc.kind == DOC_MANIFEST) {
			ret->manifest = at;
			return 0;
		}
		if (ret->n_indexes == DOC_INDEX_DEPTH)
			return err_plain(e, EBADMSG, "more than %u indexes inside one another",
					 DOC_INDEX_DEPTH);
		snprintf(ret->indexes[ret->n_indexes++], DIGEST_SIZE, "%s", at.digest);
		rc = doc_index_choose(&ret->doc, want, &next, e);
		if (rc < 0)
			return rc;
		at = *next;
		doc_done(&ret->doc);
		memset(&ret->doc, 0, sizeof(ret->doc));
	}
}

static int config_get(image_docs_read_fn *read, void *arg, struct image_docs *ret, struct err *e)
{
	const struct doc_descriptor *c = &ret->doc.config;
	auto_buf b = { 0 };

	if (document_read(c, DOC_CONFIG_MAX, read, arg, &b, e) < 0)
		return -e->code;
	if (doc_config_parse(b.data ? b.data : "", b.len, &ret->config, e) < 0)
		return err_wrap(e, "config %.19s", c->digest);
	if (ret->config.n_diff_ids != ret->doc.n)
		return err_plain(
			e, EBADMSG, "config %.19s tells of %u layers, but manifest %.19s has %u",
			c->digest, ret->config.n_diff_ids, ret->manifest.digest, ret->doc.n);
	return 0;
}

int image_docs_walk(const struct doc_descriptor *top, const struct platform *want,
		    image_docs_read_fn *read, void *arg, struct image_docs *ret, struct err *e)
{
	struct image_docs d = { .top = *top };

	if (manifest_find(want, read, arg, &d, e) < 0 || config_get(read, arg, &d, e) < 0) {
		image_docs_done(&d);
		return -e->code;
	}
	*ret = d;
	return 0;
}
