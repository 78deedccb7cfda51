/* SPDX-License-Identifier: MIT */
/* ps_filter.c - ps --filter: which machines are shown */
#include <regex.h>
#include <string.h>

#include "ps_filter.h"
#include "ref.h"

enum filter_key { BY_ANCESTOR, BY_EXITED, BY_ID, BY_LABEL, BY_NAME, BY_STATUS, BY_COUNT_ };

static const char *const key_names[] = { "ancestor", "exited", "id", "label", "name", "status" };
_Static_assert(ARRAY_SIZE(key_names) == BY_COUNT_, "a name for each key");

static const char *text_of(const json_t *o, const char *key)
{
	const char *t = json_string_value(json_object_get(o, key));

	return t ? t : "";
}

static int filter_split(const char *text, enum filter_key *ret_key, const char **ret_value,
			struct err *e)
{
	size_t len = strcspn(text, "=");

	if (!text[len])
		return err_plain(e, EINVAL,
				 "invalid argument \"%s\" for \"-f, --filter\" flag: "
				 "bad format of filter (expected name=value)",
				 text);
	for (size_t i = 0; i < ARRAY_SIZE(key_names); i++)
		if (strlen(key_names[i]) == len && strncmp(key_names[i], text, len) == 0) {
			*ret_key = (enum filter_key)i;
			*ret_value = text + len + 1;
			return 0;
		}
	return err_plain(e, EINVAL, "invalid filter '%.*s'", (int)MIN_OF(len, 100U), text);
}

static int status_check(const char *value, struct err *e)
{
	/* Docker's own, of which a machine is never in some. */
	static const char *const known[] = { "created", "restarting", "running", "removing",
					     "paused",  "exited",     "dead" };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strcmp(value, known[i]) == 0)
			return 0;
	return err_plain(e, EINVAL, "invalid filter 'status=%s'", value);
}

static int exit_code_parse(const char *value, json_int_t *ret, struct err *e)
{
	char *end;

	errno = 0;
	*ret = strtoll(value, &end, 10);
	return errno || end == value || *end
		       ? err_plain(e, EINVAL, "invalid filter 'exited=%s'", value)
		       : 0;
}

static int regex_open(regex_t *re, const char *value, struct err *e)
{
	return regcomp(re, value, REG_EXTENDED | REG_NOSUB)
		       ? err_plain(e, EINVAL, "invalid filter: '%s' is no regular expression",
				   value)
		       : 0;
}

static int filter_check(enum filter_key key, const char *value, struct err *e)
{
	json_int_t code;
	regex_t re;

	switch (key) {
	case BY_STATUS:
		return status_check(value, e);
	case BY_EXITED:
		return exit_code_parse(value, &code, e);
	case BY_NAME:
	case BY_ID:
		if (regex_open(&re, value, e) < 0)
			return -e->code;
		regfree(&re);
		return 0;
	default:
		return 0;
	}
}

int ps_filters_check(const struct flag_list *filters, bool *ret_status, struct err *e)
{
	*ret_status = false;
	for (size_t i = 0; i < filters->n; i++) {
		enum filter_key key;
		const char *value;

		if (filter_split(filters->v[i], &key, &value, e) < 0 ||
		    filter_check(key, value, e) < 0)
			return -e->code;
		*ret_status |= key == BY_STATUS;
	}
	return 0;
}

/* ---- one filter, one machine ---- */

static int regex_match(const char *value, const char *text, bool *ret, struct err *e)
{
	regex_t re;

	if (regex_open(&re, value, e) < 0)
		return -e->code;
	*ret = regexec(&re, text, 0, NULL, 0) == 0;
	regfree(&re);
	return 0;
}

/* With and without the slash that Docker's names begin with. */
static int name_match(const char *value, const char *name, bool *ret, struct err *e)
{
	char slashed[MACHINE_NAME_MAX + 2];

	if (regex_match(value, name, ret, e) < 0 || *ret)
		return -e->code;
	snprintf(slashed, sizeof(slashed), "/%s", name);
	return regex_match(value, slashed, ret, e);
}

static bool label_match(const char *value, const json_t *labels)
{
	size_t len = strcspn(value, "=");
	auto_free char *key = strndup(value, len);
	const json_t *have = key ? json_object_get(labels, key) : NULL;
	const char *text = json_string_value(have);

	return have && (!value[len] || (text && strcmp(text, value + len + 1) == 0));
}

/* By what the image is now called, by its id, or by what it was called at create. */
static bool ancestor_match(struct engine *g, const char *value, const json_t *m)
{
	char wanted[REF_NORMAL_SIZE], own[REF_NORMAL_SIZE];
	struct store *s = engine_store(g);
	struct store_image img;
	struct err e = { 0 };

	if (s && store_image_find(s, value, &img, &e) == 0)
		return strcmp(img.id, text_of(m, "image_id")) == 0;
	return ref_normalise(value, wanted, sizeof(wanted)) &&
	       ref_normalise(text_of(m, "image"), own, sizeof(own)) && strcmp(wanted, own) == 0;
}

static bool exited_match(const char *value, const json_t *m)
{
	json_int_t code;
	struct err e = { 0 };

	return exit_code_parse(value, &code, &e) == 0 &&
	       strcmp(text_of(m, "status"), "exited") == 0 &&
	       json_integer_value(json_object_get(m, "exit_code")) == code;
}

static int filter_match(struct engine *g, enum filter_key key, const char *value, const json_t *m,
			bool *ret, struct err *e)
{
	switch (key) {
	case BY_ANCESTOR:
		*ret = ancestor_match(g, value, m);
		return 0;
	case BY_EXITED:
		*ret = exited_match(value, m);
		return 0;
	case BY_ID:
		return regex_match(value, text_of(m, "id"), ret, e);
	case BY_LABEL:
		*ret = label_match(value, json_object_get(m, "labels"));
		return 0;
	case BY_NAME:
		return name_match(value, text_of(m, "name"), ret, e);
	default:
		*ret = strcmp(value, text_of(m, "status")) == 0;
		return 0;
	}
}

int ps_filters_match(struct engine *g, const struct flag_list *filters, const json_t *m,
		     bool *ret_match, struct err *e)
{
	bool is_asked[BY_COUNT_] = { false }, has_passed[BY_COUNT_] = { false };
	bool has_labels = true;

	*ret_match = true;
	for (size_t i = 0; i < filters->n; i++) {
		enum filter_key key;
		const char *value;
		bool match = false;

		if (filter_split(filters->v[i], &key, &value, e) < 0 ||
		    filter_match(g, key, value, m, &match, e) < 0)
			return -e->code;
		is_asked[key] = true;
		has_passed[key] |= match;
		has_labels &= key != BY_LABEL || match;
	}
	for (size_t k = 0; k < BY_COUNT_; k++)
		*ret_match &= !is_asked[k] || has_passed[k];
	*ret_match &= has_labels;
	return 0;
}
