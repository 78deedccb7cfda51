/* SPDX-License-Identifier: MIT */
/*
 * store_parts.c - [U] the list of an image's disk parts, as JSON
 *
 * Hostile: the numbers come from a worker that has read layers of unknown origin, and the file may
 * have been damaged since.
 * Invariants of what the parser lets through: I1 parts ascend, do not overlap, end inside disk_len.
 * I2 every offset and length is a multiple of 4 KiB, no length is 0, no sum overflows. I3 a part's
 * layer is one of the list. That a part lies inside its file is checked when the file is opened.
 */
#include "store_parts.h"

#include <inttypes.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <string.h>

#include "bytes.h"
#include "json_text.h"
#include "ltree.h"
#include "store_internal.h"

#define PARTS_VERSION 1

static const char *const kind_names[] = { "head", "layer", "meta" };

void store_parts_done(struct store_parts *p)
{
	free(p->diff_ids);
	free(p->parts);
	memset(p, 0, sizeof(*p));
}

static bool part_is_aligned(const struct merge_part *p)
{
	return ((p->disk_off | p->file_off | p->len) & (LTREE_BLOCK - 1)) == 0;
}

static int part_check(const struct store_parts *all, uint32_t i, struct err *e)
{
	const struct merge_part *p = &all->parts[i];
	uint64_t end = i ? all->parts[i - 1].disk_off + all->parts[i - 1].len : 0;

	if ((unsigned)p->kind >= ARRAY_SIZE(kind_names))
		return err_plain(e, EBADMSG, "part %u is of no known kind", i);
	if (p->len == 0 || !part_is_aligned(p))
		return err_plain(e, EBADMSG, "part %u is not made of whole blocks", i);
	if (p->disk_off < end || !range_fits(p->disk_off, p->len, all->disk_len))
		return err_plain(e, EBADMSG, "part %u overlaps another or leaves the disk", i);
	if (p->kind == MERGE_PART_LAYER && p->layer >= all->n_layers)
		return err_plain(e, EBADMSG, "part %u is of a layer that is not there", i);
	if (!range_fits(p->file_off, p->len, STORE_PARTS_DISK_MAX))
		return err_plain(e, EBADMSG, "part %u leaves its file", i);
	return 0;
}

int store_parts_check(const struct store_parts *p, struct err *e)
{
	if (p->n_layers > MERGE_LAYERS_MAX || p->n_parts == 0 || p->n_parts > MERGE_LAYERS_MAX + 2)
		return err_plain(e, EBADMSG, "%u layers and %u parts", p->n_layers, p->n_parts);
	if (p->disk_len == 0 || p->disk_len > STORE_PARTS_DISK_MAX || p->disk_len % LTREE_BLOCK)
		return err_plain(e, EBADMSG, "a disk of %" PRIu64 " bytes", p->disk_len);
	if (p->meta_len == 0 || p->meta_len > STORE_PARTS_DISK_MAX)
		return err_plain(e, EBADMSG, "metadata of %" PRIu64 " bytes", p->meta_len);
	for (uint32_t i = 0; i < p->n_layers; i++)
		if (!store_id_is_valid(p->diff_ids[i]))
			return err_plain(e, EBADMSG, "layer %u has no valid id", i);
	for (uint32_t i = 0; i < p->n_parts; i++)
		if (part_check(p, i, e) < 0)
			return -e->code;
	return 0;
}

/* ---- reading ---- */

static bool number_get(const json_t *o, const char *key, uint64_t *ret)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return false;
	*ret = (uint64_t)json_integer_value(v);
	return true;
}

static bool kind_get(const json_t *o, enum merge_part_kind *ret)
{
	const char *name = json_string_value(json_object_get(o, "kind"));

	for (size_t i = 0; name && i < ARRAY_SIZE(kind_names); i++) {
		if (strcmp(name, kind_names[i]) == 0) {
			*ret = (enum merge_part_kind)i;
			return true;
		}
	}
	return false;
}

static bool part_get(const json_t *o, struct merge_part *p)
{
	uint64_t layer = 0;

	if (!kind_get(o, &p->kind) || !number_get(o, "disk_off", &p->disk_off) ||
	    !number_get(o, "file_off", &p->file_off) || !number_get(o, "len", &p->len))
		return false;
	if (p->kind == MERGE_PART_LAYER && !number_get(o, "layer", &layer))
		return false;
	if (layer >= MERGE_LAYERS_MAX)
		return false;
	p->layer = (uint32_t)layer;
	return true;
}

static int layers_get(const json_t *list, struct store_parts *p, struct err *e)
{
	size_t n = json_array_size(list);

	if (!json_is_array(list) || n > MERGE_LAYERS_MAX)
		return err_plain(e, EBADMSG, "no list of layers, or too many");
	p->diff_ids = calloc(n ? n : 1, sizeof(*p->diff_ids));
	if (!p->diff_ids)
		return err_set(e, ENOMEM, "layers");
	for (size_t i = 0; i < n; i++) {
		const char *id = json_string_value(json_array_get(list, i));

		if (!id || !store_id_is_valid(id))
			return err_plain(e, EBADMSG, "layer %zu has no valid id", i);
		snprintf(p->diff_ids[i], sizeof(p->diff_ids[i]), "%s", id);
		p->n_layers++;
	}
	return 0;
}

static int list_get(const json_t *list, struct store_parts *p, struct err *e)
{
	size_t n = json_array_size(list);

	if (!json_is_array(list) || n > MERGE_LAYERS_MAX + 2)
		return err_plain(e, EBADMSG, "no list of parts, or too many");
	p->parts = calloc(n ? n : 1, sizeof(*p->parts));
	if (!p->parts)
		return err_set(e, ENOMEM, "parts");
	for (size_t i = 0; i < n; i++) {
		if (!part_get(json_array_get(list, i), &p->parts[i]))
			return err_plain(e, EBADMSG, "part %zu is incomplete", i);
		p->n_parts++;
	}
	return 0;
}

static int parts_get(const json_t *j, struct store_parts *p, struct err *e)
{
	const char *key = json_string_value(json_object_get(j, "key"));
	uint64_t version;

	if (!number_get(j, "version", &version) || version != PARTS_VERSION)
		return err_plain(e, EBADMSG, "version is not %d", PARTS_VERSION);
	if (!number_get(j, "disk_len", &p->disk_len) || !number_get(j, "meta_len", &p->meta_len))
		return err_plain(e, EBADMSG, "lengths are missing");
	if (!key || strlen(key) != 64 || strspn(key, "0123456789abcdef") != 64)
		return err_plain(e, EBADMSG, "the key is missing");
	snprintf(p->key, sizeof(p->key), "%s", key);
	if (layers_get(json_object_get(j, "layers"), p, e) < 0 ||
	    list_get(json_object_get(j, "parts"), p, e) < 0)
		return -e->code;
	return store_parts_check(p, e);
}

int store_parts_parse(const char *json, size_t len, struct store_parts *ret, struct err *e)
{
	struct store_parts p = { 0 };
	json_t *j;
	int rc;

	if (len > STORE_PARTS_JSON_MAX)
		return err_plain(e, EBADMSG, "parts list of %zu bytes", len);
	j = json_parse(json, len, JSON_REJECT_DUPLICATES, NULL);
	rc = json_is_object(j) ? parts_get(j, &p, e) : err_plain(e, EBADMSG, "not a JSON object");
	json_decref(j);
	if (rc < 0) {
		store_parts_done(&p);
		return rc;
	}
	*ret = p;
	return 0;
}

/* ---- writing ---- */

static json_t *part_json(const struct merge_part *m)
{
	json_t *o = json_pack("{s:s, s:I, s:I, s:I}", "kind", kind_names[m->kind], "disk_off",
			      (json_int_t)m->disk_off, "file_off", (json_int_t)m->file_off, "len",
			      (json_int_t)m->len);

	if (o && m->kind == MERGE_PART_LAYER &&
	    json_object_set_new(o, "layer", json_integer(m->layer)) < 0) {
		json_decref(o);
		return NULL;
	}
	return o;
}

/* NULL: no memory. */
static json_t *parts_json(const struct store_parts *p)
{
	json_t *layers = json_array(), *parts = json_array(), *j = NULL;
	bool ok = layers && parts;

	for (uint32_t i = 0; ok && i < p->n_layers; i++)
		ok = json_array_append_new(layers, json_string(p->diff_ids[i])) == 0;
	for (uint32_t i = 0; ok && i < p->n_parts; i++)
		ok = json_array_append_new(parts, part_json(&p->parts[i])) == 0;
	if (ok)
		j = json_pack("{s:i, s:s, s:I, s:I, s:O, s:O}", "version", PARTS_VERSION, "key",
			      p->key, "disk_len", (json_int_t)p->disk_len, "meta_len",
			      (json_int_t)p->meta_len, "layers", layers, "parts", parts);
	json_decref(layers);
	json_decref(parts);
	return j;
}

int store_parts_format(const struct store_parts *p, struct buf *ret, struct err *e)
{
	auto_free char *text = NULL;
	json_t *j;

	if (store_parts_check(p, e) < 0)
		return -e->code;
	j = parts_json(p);
	text = json_text(j, JSON_COMPACT);
	json_decref(j);
	if (!text || buf_add_str(ret, text) < 0 || buf_add(ret, "\n", 1) < 0)
		return err_set(e, ENOMEM, "parts list");
	return 0;
}

static int key_text(const struct store_parts *p, struct buf *b)
{
	int rc = buf_addf(b, "caisson-disk-%d %" PRIu64 "\n", PARTS_VERSION, p->disk_len);

	for (uint32_t i = 0; rc == 0 && i < p->n_layers; i++)
		rc = buf_addf(b, "%s\n", p->diff_ids[i]);
	for (uint32_t i = 0; rc == 0 && i < p->n_parts; i++)
		rc = buf_addf(b, "%d %u %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
			      (int)p->parts[i].kind, p->parts[i].layer, p->parts[i].disk_off,
			      p->parts[i].file_off, p->parts[i].len);
	return rc;
}

int store_parts_set_key(struct store_parts *p, const void *meta, size_t meta_len, struct err *e)
{
	auto_buf b = { 0 };
	uint8_t md[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (EVP_Digest(meta, meta_len, md, &n, EVP_sha256(), NULL) != 1 || key_text(p, &b) < 0 ||
	    buf_add(&b, md, n) < 0 || EVP_Digest(b.data, b.len, md, &n, EVP_sha256(), NULL) != 1)
		return err_plain(e, ENOMEM, "the disk's key cannot be made");
	for (unsigned i = 0; i < 32; i++)
		snprintf(p->key + 2 * (size_t)i, 3, "%02x", md[i]);
	return 0;
}
