/* SPDX-License-Identifier: MIT */
/*
 * doc_json.c - [U] JSON of documents, read strictly; see doc_internal.h
 *
 * Hostile: all bytes. Objects inside one another are counted before the JSON reader sees them.
 */
#include <string.h>

#include "doc_internal.h"
#include "json_text.h"

#define DOC_NESTING_MAX 64U

/* Every key that doc*.c read of any object. */
static const char *const keys_read[] = {
	"schemaVersion", "mediaType", "config",   "layers", "manifests", "fsLayers",
	"digest",        "size",      "platform", "os",     "variant",   "architecture",
	"urls",          "rootfs",    "diff_ids", "type",   "created",
};

const char *doc_shown(const char *s, char *ret, size_t size)
{
	size_t n = 0;

	for (; s && *s && n + 1 < size; s++)
		ret[n++] = *s < 0x20 || *s == 0x7f ? '?' : *s; /* char is signed */
	ret[n] = '\0';
	return ret;
}

static bool nesting_fits(const char *p, size_t len)
{
	unsigned depth = 0;
	bool quoted = false;

	for (size_t i = 0; i < len; i++) {
		if (quoted && p[i] == '\\')
			i++;
		else if (p[i] == '"')
			quoted = !quoted;
		else if (!quoted && (p[i] == '{' || p[i] == '[') && ++depth > DOC_NESTING_MAX)
			return false;
		else if (!quoted && (p[i] == '}' || p[i] == ']') && depth > 0)
			depth--;
	}
	return true;
}

static bool looks_like_html(const char *p, size_t len)
{
	size_t i = 0;

	while (i < len && strchr(" \t\r\n", p[i]) && p[i])
		i++;
	return i < len && p[i] == '<';
}

int doc_keys_check(const json_t *o, struct err *e)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)o, key, value) {
		for (size_t i = 0; i < ARRAY_SIZE(keys_read); i++)
			if (strcasecmp(key, keys_read[i]) == 0 && strcmp(key, keys_read[i]) != 0)
				return err_plain(e, EBADMSG, "key \"%s\" is not \"%s\"", SHOWN(key),
						 keys_read[i]);
	}
	return 0;
}

json_t *doc_object_load(const void *data, size_t len, struct err *e)
{
	json_error_t why;
	json_t *j;

	if (looks_like_html(data, len)) {
		(void)err_plain(e, EBADMSG, "HTML where JSON was expected");
		return NULL;
	}
	if (!nesting_fits(data, len)) {
		(void)err_plain(e, EBADMSG, "objects are nested deeper than %u", DOC_NESTING_MAX);
		return NULL;
	}
	j = json_parse(data, len, JSON_REJECT_DUPLICATES, &why);
	if (!j) {
		(void)err_plain(e, EBADMSG, "not JSON as it must be: %s", SHOWN(why.text));
		return NULL;
	}
	if (!json_is_object(j)) {
		json_decref(j);
		(void)err_plain(e, EBADMSG, "no JSON object");
		return NULL;
	}
	if (doc_keys_check(j, e) < 0) {
		json_decref(j);
		return NULL;
	}
	return j;
}

int doc_string_get(const json_t *o, const char *key, enum doc_duty duty, char *ret, size_t size,
		   struct err *e)
{
	const json_t *v = json_object_get(o, key);

	ret[0] = '\0';
	if (!v && duty == DOC_MAY_BE)
		return 0;
	if (!json_is_string(v))
		return err_plain(e, EBADMSG, "\"%s\" is %s", key, v ? "no string" : "missing");
	if (json_string_length(v) >= size)
		return err_plain(e, EBADMSG, "\"%s\" is too long", key);
	memcpy(ret, json_string_value(v), json_string_length(v) + 1);
	return 0;
}

int doc_object_get(const json_t *o, const char *key, json_t **ret, struct err *e)
{
	json_t *v = json_object_get(o, key);

	if (!json_is_object(v))
		return err_plain(e, EBADMSG, "\"%s\" is %s", key, v ? "no object" : "missing");
	if (doc_keys_check(v, e) < 0)
		return err_wrap(e, "\"%s\"", key);
	*ret = v;
	return 0;
}

int doc_array_get(const json_t *o, const char *key, size_t max, const json_t **ret, struct err *e)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_array(v))
		return err_plain(e, EBADMSG, "\"%s\" is %s", key, v ? "no array" : "missing");
	if (json_array_size(v) > max)
		return err_plain(e, EBADMSG, "\"%s\" has %zu elements, at most %zu are allowed",
				 key, json_array_size(v), max);
	*ret = v;
	return 0;
}
