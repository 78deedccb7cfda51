/* SPDX-License-Identifier: MIT */
/*
 * doc.c - [U] index and manifest of an image; see doc.h
 *
 * Hostile: all bytes, and the content type beside them. Invariants of what gets through: I1 every
 * digest is valid, every size is 0 .. DOC_BLOB_MAX. I2 a document is an index or a manifest by its
 * media type, by its fields and by what was said outside, never two of them at once. I3 one digest
 * has one size.
 */
#include <string.h>

#include "buf.h"
#include "doc_internal.h"

#define DOCKER_CONFIG "application/vnd.docker.container.image.v1+json"
#define OCI_CONFIG    "application/vnd.oci.image.config.v1+json"

static const char *const layer_types[] = {
	"application/vnd.oci.image.layer.v1.tar",
	"application/vnd.oci.image.layer.v1.tar+gzip",
	"application/vnd.oci.image.layer.v1.tar+zstd",
	"application/vnd.docker.image.rootfs.diff.tar",
	"application/vnd.docker.image.rootfs.diff.tar.gzip",
	"application/vnd.docker.image.rootfs.diff.tar.zstd",
};

static bool is_one_of(const char *s, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(s, list[i]) == 0)
			return true;
	return false;
}

/* ---- descriptors ---- */

static int platform_get(const json_t *o, struct platform *p, struct err *e)
{
	if (doc_string_get(o, "os", DOC_MUST_BE, p->os, sizeof(p->os), e) < 0 ||
	    doc_string_get(o, "architecture", DOC_MUST_BE, p->architecture, sizeof(p->architecture),
			   e) < 0)
		return -e->code;
	return doc_string_get(o, "variant", DOC_MAY_BE, p->variant, sizeof(p->variant), e);
}

static int size_get(const json_t *o, uint64_t *ret, struct err *e)
{
	const json_t *v = json_object_get(o, "size");
	json_int_t n = json_integer_value(v);

	if (!json_is_integer(v))
		return err_plain(e, EBADMSG, "\"size\" is %s", v ? "no integer" : "missing");
	if (n < 0 || (uint64_t)n > DOC_BLOB_MAX)
		return err_plain(e, EBADMSG, "a size of %lld is not allowed", (long long)n);
	*ret = (uint64_t)n;
	return 0;
}

static int descriptor_get(const json_t *o, struct doc_descriptor *d, struct err *e)
{
	json_t *platform = NULL;

	if (!json_is_object(o))
		return err_plain(e, EBADMSG, "no object");
	if (doc_keys_check(o, e) < 0 ||
	    doc_string_get(o, "mediaType", DOC_MUST_BE, d->media_type, sizeof(d->media_type), e) <
		    0 ||
	    doc_string_get(o, "digest", DOC_MUST_BE, d->digest, sizeof(d->digest), e) < 0 ||
	    size_get(o, &d->size, e) < 0)
		return -e->code;
	if (digest_check(d->digest, e) < 0)
		return err_plain(e, EBADMSG, "digest \"%s\" is not valid", SHOWN(d->digest));
	if (!json_object_get(o, "platform"))
		return 0;
	if (doc_object_get(o, "platform", &platform, e) < 0 ||
	    platform_get(platform, &d->platform, e) < 0)
		return err_wrap(e, "platform");
	return 0;
}

static int list_get(const json_t *array, struct doc *d, struct err *e)
{
	size_t n = json_array_size(array);

	d->list = calloc(n + 1, sizeof(*d->list));
	if (!d->list)
		return err_set(e, ENOMEM, "document");
	for (d->n = 0; d->n < n; d->n++)
		if (descriptor_get(json_array_get(array, d->n), &d->list[d->n], e) < 0)
			return err_wrap(e, "%s %u", d->kind == DOC_INDEX ? "entry" : "layer", d->n);
	return 0;
}

/* ---- manifest ---- */

static int layer_check(const json_t *o, const struct doc_descriptor *l, struct err *e)
{
	const json_t *urls = json_object_get(o, "urls");

	if (strstr(l->media_type, "+encrypted"))
		return err_plain(e, EBADMSG, "is encrypted (%s)", SHOWN(l->media_type));
	if (strstr(l->media_type, "nondistributable") || strstr(l->media_type, ".foreign."))
		return err_plain(e, EBADMSG, "is foreign, not held by the registry (%s)",
				 SHOWN(l->media_type));
	if (urls && !json_is_array(urls))
		return err_plain(e, EBADMSG, "\"urls\" is no array");
	if (json_array_size(urls) > 0)
		return err_plain(e, EBADMSG, "is foreign: it lies elsewhere, by \"urls\"");
	if (!is_one_of(l->media_type, layer_types, ARRAY_SIZE(layer_types)))
		return err_plain(e, EBADMSG, "media type \"%s\" is no layer of an image",
				 SHOWN(l->media_type));
	return 0;
}

static int size_order(const void *a, const void *b)
{
	const struct doc_descriptor *const *x = a, *const *y = b;

	return strcmp((*x)->digest, (*y)->digest);
}

static int sizes_check(const struct doc *d, struct err *e)
{
	auto_free const struct doc_descriptor **all = calloc(d->n + 1, sizeof(*all));

	if (!all)
		return err_set(e, ENOMEM, "document");
	for (uint32_t i = 0; i < d->n; i++)
		all[i] = &d->list[i];
	all[d->n] = &d->config;
	qsort(all, d->n + 1, sizeof(*all), size_order);
	for (uint32_t i = 0; i < d->n; i++)
		if (strcmp(all[i]->digest, all[i + 1]->digest) == 0 &&
		    all[i]->size != all[i + 1]->size)
			return err_plain(e, EBADMSG, "%.19s has two sizes", all[i]->digest);
	return 0;
}

static int config_check(const struct doc_descriptor *c, struct err *e)
{
	if (strcmp(c->media_type, OCI_CONFIG) != 0 && strcmp(c->media_type, DOCKER_CONFIG) != 0)
		return err_plain(e, EBADMSG,
				 "this is an artifact and no image: its config is \"%s\"",
				 SHOWN(c->media_type));
	if (c->size > DOC_CONFIG_MAX)
		return err_plain(e, EFBIG, "a config of %llu bytes, at most %u are allowed",
				 (unsigned long long)c->size, DOC_CONFIG_MAX);
	return 0;
}

static int manifest_fill(const json_t *j, struct doc *d, struct err *e)
{
	const json_t *layers = NULL;
	json_t *config = NULL;

	if (doc_object_get(j, "config", &config, e) < 0)
		return -e->code;
	if (descriptor_get(config, &d->config, e) < 0)
		return err_wrap(e, "config");
	if (config_check(&d->config, e) < 0 ||
	    doc_array_get(j, "layers", DOC_LAYERS_MAX, &layers, e) < 0 ||
	    list_get(layers, d, e) < 0)
		return -e->code;
	for (uint32_t i = 0; i < d->n; i++)
		if (layer_check(json_array_get(layers, i), &d->list[i], e) < 0)
			return err_wrap(e, "layer %.19s", d->list[i].digest);
	return sizes_check(d, e);
}

static int index_fill(const json_t *j, struct doc *d, struct err *e)
{
	const json_t *entries = NULL;

	if (doc_array_get(j, "manifests", DOC_ENTRIES_MAX, &entries, e) < 0)
		return -e->code;
	return list_get(entries, d, e);
}

/* ---- what a document is ---- */

static bool is_index_type(const char *t)
{
	return strcmp(t, DOC_OCI_INDEX) == 0 || strcmp(t, DOC_DOCKER_LIST) == 0;
}

static bool is_manifest_type(const char *t)
{
	return strcmp(t, DOC_OCI_MANIFEST) == 0 || strcmp(t, DOC_DOCKER_MANIFEST) == 0;
}

/* Without parameters, in lower case; "" for the generic ones, which say nothing. */
static int outer_type(const char *said, char ret[DOC_MEDIA_MAX + 1], struct err *e)
{
	static const char *const generic[] = { "application/json", "application/octet-stream",
					       "text/plain", "binary/octet-stream" };
	size_t n = said ? strcspn(said, "; \t") : 0;

	if (n > DOC_MEDIA_MAX)
		return err_plain(e, EBADMSG, "content type is too long");
	for (size_t i = 0; i < n; i++)
		ret[i] = said[i] >= 'A' && said[i] <= 'Z' ? (char)(said[i] - 'A' + 'a') : said[i];
	ret[n] = '\0';
	if (is_one_of(ret, generic, ARRAY_SIZE(generic)))
		ret[0] = '\0';
	return 0;
}

static int type_check(const char *t, struct err *e)
{
	if (is_index_type(t) || is_manifest_type(t))
		return 0;
	if (strstr(t, "docker.distribution.manifest.v1"))
		return err_plain(e, EBADMSG, "image format schema 1 is too old and not supported");
	if (strcmp(t, "text/html") == 0)
		return err_plain(e, EBADMSG, "HTML where an image's document was expected");
	return err_plain(e, EBADMSG, "media type \"%s\" is no image", SHOWN(t));
}

static int version_check(const json_t *j, struct err *e)
{
	const json_t *v = json_object_get(j, "schemaVersion");

	if (json_object_get(j, "fsLayers") || (json_is_integer(v) && json_integer_value(v) == 1))
		return err_plain(e, EBADMSG, "image format schema 1 is too old and not supported");
	if (!json_is_integer(v) || json_integer_value(v) != 2)
		return err_plain(e, EBADMSG, "\"schemaVersion\" is not 2");
	return 0;
}

/* By the fields that are there: those of one kind, and of one only. */
static int kind_get(const json_t *j, enum doc_kind *ret, struct err *e)
{
	bool index = json_object_get(j, "manifests") != NULL;
	bool manifest = json_object_get(j, "config") || json_object_get(j, "layers");

	if (index && manifest)
		return err_plain(e, EBADMSG, "is an index and a manifest at once");
	if (!index && !manifest)
		return err_plain(e, EBADMSG, "is neither an index nor a manifest");
	*ret = index ? DOC_INDEX : DOC_MANIFEST;
	return 0;
}

static int type_get(const json_t *j, const char *content_type, struct doc *d, struct err *e)
{
	char outer[DOC_MEDIA_MAX + 1], inner[DOC_MEDIA_MAX + 1];

	if (outer_type(content_type, outer, e) < 0 || (outer[0] && type_check(outer, e) < 0) ||
	    version_check(j, e) < 0 ||
	    doc_string_get(j, "mediaType", DOC_MAY_BE, inner, sizeof(inner), e) < 0 ||
	    (inner[0] && type_check(inner, e) < 0) || kind_get(j, &d->kind, e) < 0)
		return -e->code;
	if (inner[0] && outer[0] && strcmp(inner, outer) != 0)
		return err_plain(e, EBADMSG, "says it is \"%s\" and comes as \"%s\"", inner, outer);
	if (inner[0] || outer[0])
		memcpy(d->media_type, inner[0] ? inner : outer, sizeof(d->media_type));
	else
		snprintf(d->media_type, sizeof(d->media_type), "%s",
			 d->kind == DOC_INDEX ? DOC_OCI_INDEX : DOC_OCI_MANIFEST);
	if (is_index_type(d->media_type) != (d->kind == DOC_INDEX))
		return err_plain(e, EBADMSG, "has not the fields of \"%s\"", d->media_type);
	return 0;
}

void doc_done(struct doc *d)
{
	free(d->list);
	*d = (struct doc){ 0 };
}

int doc_parse(const void *data, size_t len, const char *content_type, struct doc *ret,
	      struct err *e)
{
	struct doc d = { 0 };
	json_t *j;
	int r;

	if (len > DOC_INDEX_MAX)
		return err_plain(e, EFBIG, "a document of %zu bytes, at most %u are allowed", len,
				 DOC_INDEX_MAX);
	j = doc_object_load(data, len, e);
	if (!j)
		return -e->code;
	r = type_get(j, content_type, &d, e);
	if (r == 0)
		r = d.kind == DOC_INDEX ? index_fill(j, &d, e) : manifest_fill(j, &d, e);
	json_decref(j);
	if (r < 0) {
		doc_done(&d);
		return r;
	}
	*ret = d;
	return 0;
}

/* ---- choice ---- */

static bool is_image(const struct doc_descriptor *d)
{
	if (!is_index_type(d->media_type) && !is_manifest_type(d->media_type))
		return false;
	return strcmp(d->platform.os, "unknown") != 0 &&
	       strcmp(d->platform.architecture, "unknown") != 0;
}

static int none_fits(const struct doc *index, const struct platform *want, struct err *e)
{
	auto_buf names = BUF_LIMIT(ERR_MSG_MAX / 2);
	char text[200];

	for (uint32_t i = 0; i < index->n; i++) {
		if (!is_image(&index->list[i]))
			continue;
		platform_format(&index->list[i].platform, text, sizeof(text));
		if (buf_addf(&names, "%s%s", names.len ? ", " : "", SHOWN(text)) < 0)
			break; /* enough are named */
	}
	platform_format(want, text, sizeof(text));
	if (names.len == 0)
		return err_plain(e, ENOENT, "no image for platform %s: there is none at all", text);
	return err_plain(e, ENOENT, "no image for platform %s; there are %s", text, names.data);
}

int doc_index_choose(const struct doc *index, const struct platform *want,
		     const struct doc_descriptor **ret, struct err *e)
{
	const struct doc_descriptor *best = NULL, *untold = NULL;
	unsigned best_score = 0;

	for (uint32_t i = 0; i < index->n; i++) {
		const struct doc_descriptor *d = &index->list[i];
		unsigned score;

		if (!is_image(d))
			continue;
		if (d->platform.os[0] == '\0') {
			untold = untold ? untold : d;
			continue;
		}
		score = platform_fits(want, &d->platform);
		if (score > best_score) {
			best = d;
			best_score = score;
		}
	}
	if (!best && !untold)
		return none_fits(index, want, e);
	*ret = best ? best : untold;
	return 0;
}
