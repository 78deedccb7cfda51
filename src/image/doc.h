/* SPDX-License-Identifier: MIT */
/*
 * doc.h - the documents of an image: index, manifest and config, read once and strictly
 *
 * OCI image spec (image-index.md, manifest.md, config.md) and Docker schema 2. One reading of a
 * document: the media type inside, the one outside and the fields that are there must agree
 * (CVE-2021-41190). Refused: duplicate keys, keys that differ in case only from those we read,
 * wrong types, negative sizes, digests that are not valid, more than the limits below, schema 1,
 * artifacts that are no images, foreign (with `urls`, or "nondistributable") and encrypted layers.
 *
 * Used by the download worker and again by the engine, which does not believe the worker. Pure.
 */
#ifndef DOC_H
#define DOC_H

#include "digest.h"
#include "platform.h"

#define DOC_INDEX_MAX       (4U << 20) /* bytes, index and manifest alike */
#define DOC_CONFIG_MAX      (8U << 20)
#define DOC_LAYERS_MAX      512U
#define DOC_ENTRIES_MAX     4096U /* of an index */
#define DOC_INDEX_DEPTH     4U    /* indexes inside one another */
#define DOC_MEDIA_MAX       127U
#define DOC_BLOB_MAX        (64ULL << 30) /* size that a descriptor may claim */

#define DOC_OCI_INDEX       "application/vnd.oci.image.index.v1+json"
#define DOC_OCI_MANIFEST    "application/vnd.oci.image.manifest.v1+json"
#define DOC_DOCKER_LIST     "application/vnd.docker.distribution.manifest.list.v2+json"
#define DOC_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"

enum doc_kind { DOC_INDEX, DOC_MANIFEST };

struct doc_descriptor {
	char digest[DIGEST_SIZE];
	char media_type[DOC_MEDIA_MAX + 1];
	uint64_t size;
	struct platform platform; /* entries of an index; os "" where it is not told */
};

struct doc { /* an index or a manifest */
	enum doc_kind kind;
	char media_type[DOC_MEDIA_MAX + 1]; /* what it is, of the four above */
	struct doc_descriptor config;       /* DOC_MANIFEST */
	struct doc_descriptor *list; /* entries of the index, or layers, lowest first; owned */
	uint32_t n;
};
void doc_done(struct doc *d);

/*
 * content_type: what the server or the descriptor said, "" or NULL for nothing; its parameters
 * ("; charset=utf-8") do not count, and a generic one ("application/json",
 * "application/octet-stream", "text/plain") is taken as nothing. -EBADMSG names the rule that is
 * broken; -EFBIG beyond DOC_INDEX_MAX.
 */
must_check int doc_parse(const void *data, size_t len, const char *content_type, struct doc *ret,
			 struct err *e);

/*
 * The entry of an index for a platform; entries that are no images (platform unknown/unknown, or
 * with a media type that is neither index nor manifest) do not count. -ENOENT says which platforms
 * there are. Entries without a platform (nested indexes) are taken when nothing else fits.
 */
must_check int doc_index_choose(const struct doc *index, const struct platform *want,
				const struct doc_descriptor **ret, struct err *e);

struct doc_config {
	struct platform platform;
	int64_t created_ns;            /* 0 when not told or not readable */
	char (*diff_ids)[DIGEST_SIZE]; /* lowest first; owned */
	uint32_t n_diff_ids;
};
void doc_config_done(struct doc_config *c);
/* Only what pulling needs; the rest is image_defaults.h's. -EBADMSG. */
must_check int doc_config_parse(const void *data, size_t len, struct doc_config *ret,
				struct err *e);

#endif
