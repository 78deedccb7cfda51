/* SPDX-License-Identifier: MIT */
/*
 * image_layout.c - [U] index.json of an OCI layout (image-layout.md of the OCI image spec)
 *
 * doc.c reads it as an index first, with all its rules; only then are the names looked at.
 */
#include "image_layout.h"

#include <jansson.h>
#include <string.h>

#include "buf.h"
#include "json_text.h"

#define REF_ANNOTATION "org.opencontainers.image.ref.name"
#define NAMES_SHOWN    300U /* bytes of names in a message */

static const char *entry_name(const json_t *entry)
{
	return json_string_value(
		json_object_get(json_object_get(entry, "annotations"), REF_ANNOTATION));
}

static const struct doc_descriptor *entry_doc(const json_t *entry, const struct doc *index)
{
	const char *digest = json_string_value(json_object_get(entry, "digest"));

	for (uint32_t i = 0; digest && i < index->n; i++)
		if (strcmp(index->list[i].digest, digest) == 0)
			return &index->list[i];
	return NULL;
}

static int names_tell(const json_t *list, const char *name, struct err *e)
{
	auto_buf names = { 0 };
	const json_t *entry;
	size_t i;

	json_array_foreach (list, i, entry) {
		const char *n = entry_name(entry);

		if (n && names.len < NAMES_SHOWN &&
		    buf_addf(&names, "%s%.100s", names.len ? ", " : "", n))
			return err_set(e, ENOMEM, "layout");
	}
	for (char *c = names.data; c && *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	if (!name)
		return err_plain(e, ENOENT, "it holds several images, say DIR:NAME; there are: %s",
				 names.len ? names.data : "none with a name");
	return err_plain(e, ENOENT, "it holds no image \"%s\"; there are: %s", name,
			 names.len ? names.data : "none with a name");
}

static int by_name(const json_t *list, const struct doc *index, const char *name,
		   const struct doc_descriptor **ret, struct err *e)
{
	const json_t *entry;
	size_t i;

	*ret = NULL;
	json_array_foreach (list, i, entry) {
		const char *n = entry_name(entry);
		const struct doc_descriptor *d;

		if (!n || strcmp(n, name) != 0)
			continue;
		d = entry_doc(entry, index);
		if (*ret && d && strcmp((*ret)->digest, d->digest) != 0)
			return err_plain(e, EBADMSG, "it holds two images \"%s\"", name);
		*ret = d ? d : *ret;
	}
	return *ret ? 0 : names_tell(list, name, e);
}

/* Different names are different images; without names they may be one image's platforms. */
static int by_platform(const json_t *list, const struct doc *index, const struct platform *want,
		       const struct doc_descriptor **ret, struct err *e)
{
	const json_t *entry;
	size_t i;

	if (index->n == 1) {
		*ret = &index->list[0];
		return 0;
	}
	json_array_foreach (list, i, entry)
		if (entry_name(entry))
			return names_tell(list, NULL, e);
	return doc_index_choose(index, want, ret, e);
}

int image_layout_choose(const char *json, size_t len, const char *name, const struct platform *want,
			struct doc_descriptor *ret, struct err *e)
{
	const struct doc_descriptor *found = NULL;
	struct doc index = { 0 };
	const json_t *list;
	json_t *j;
	int rc;

	if (doc_parse(json, len, DOC_OCI_INDEX, &index, e) < 0)
		return err_wrap(e, "index.json");
	j = json_parse(json, len, JSON_REJECT_DUPLICATES, NULL);
	list = json_object_get(j, "manifests");
	rc = name ? by_name(list, &index, name, &found, e)
		  : by_platform(list, &index, want, &found, e);
	if (rc == 0)
		*ret = *found;
	json_decref(j);
	doc_done(&index);
	return rc;
}

int image_layout_check(const char *json, size_t len, struct err *e)
{
	json_t *j = json_parse(json, len, JSON_REJECT_DUPLICATES, NULL);
	const char *v = json_string_value(json_object_get(j, "imageLayoutVersion"));
	bool ok = v && strncmp(v, "1.", 2) == 0;

	json_decref(j);
	return ok ? 0 : err_plain(e, EBADMSG, "oci-layout is not of version 1");
}
