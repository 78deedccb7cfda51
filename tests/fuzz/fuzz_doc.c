/* SPDX-License-Identifier: MIT */
/*
 * fuzz_doc.c - documents of images
 *
 * First byte: which content type stands beside them, or that it is a config. What is taken must
 * hold the promises of doc.h.
 */
#include "fuzz_input.h"

#include "doc.h"

static void descriptor_check(const struct doc_descriptor *d)
{
	MUST(digest_is_valid(d->digest) && d->size <= DOC_BLOB_MAX);
	MUST(strlen(d->media_type) <= DOC_MEDIA_MAX);
}

static void index_check(const struct doc *d)
{
	static const struct platform want = { "linux", "arm", "v7" };
	const struct doc_descriptor *chosen = NULL;
	struct err e = { 0 };

	MUST(d->n <= DOC_ENTRIES_MAX);
	if (doc_index_choose(d, &want, &chosen, &e) == 0)
		MUST(chosen >= d->list && chosen < d->list + d->n);
	else
		MUST(e.code == ENOENT && e.msg[0]);
}

static void doc_try(const void *data, size_t len, const char *type)
{
	struct doc d = { 0 };
	struct err e = { 0 };

	if (doc_parse(data, len, type, &d, &e) < 0) {
		MUST((e.code == EBADMSG || e.code == EFBIG) && e.msg[0] && !d.list);
		return;
	}
	for (uint32_t i = 0; i < d.n; i++)
		descriptor_check(&d.list[i]);
	if (d.kind == DOC_INDEX) {
		index_check(&d);
	} else {
		descriptor_check(&d.config);
		MUST(d.n <= DOC_LAYERS_MAX && d.config.size <= DOC_CONFIG_MAX);
	}
	doc_done(&d);
}

static void config_try(const void *data, size_t len)
{
	struct doc_config c = { 0 };
	struct err e = { 0 };

	if (doc_config_parse(data, len, &c, &e) < 0) {
		MUST(e.code == EBADMSG && e.msg[0] && !c.diff_ids);
		return;
	}
	MUST(c.n_diff_ids <= DOC_LAYERS_MAX);
	for (uint32_t i = 0; i < c.n_diff_ids; i++)
		MUST(digest_is_valid(c.diff_ids[i]));
	doc_config_done(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char *const types[] = { NULL,
					     "",
					     DOC_OCI_INDEX,
					     DOC_OCI_MANIFEST,
					     DOC_DOCKER_LIST,
					     DOC_DOCKER_MANIFEST,
					     "text/plain; x" };

	if (len == 0)
		return 0;
	if (data[0] % 8 == 7)
		config_try(data + 1, len - 1);
	else
		doc_try(data + 1, len - 1, types[data[0] % 8]);
	return 0;
}
