/* SPDX-License-Identifier: MIT */
/*
 * image_inspect.c - [U] the config document of an image, for people and scripts to look at
 *
 * Hostile: all of it. Only members that are listed here get through, and only with their type; text
 * stays as it is, since who prints it escapes it.
 */
#include "image_inspect.h"

#include <stdbool.h>

#include "json_text.h"

enum kind { KIND_TEXT, KIND_LIST, KIND_MAP, KIND_OBJECT, KIND_BOOL, KIND_NUMBER };

struct member {
	const char *from, *to;
	enum kind kind;
	bool is_always; /* an empty one where there is none */
};

static const struct member top_members[] = {
	{ "created", "Created", KIND_TEXT, true },
	{ "author", "Author", KIND_TEXT, true },
	{ "architecture", "Architecture", KIND_TEXT, true },
	{ "variant", "Variant", KIND_TEXT, false },
	{ "os", "Os", KIND_TEXT, true },
	{ "os.version", "OsVersion", KIND_TEXT, false },
};

static const struct member config_members[] = {
	{ "Hostname", "Hostname", KIND_TEXT, true },
	{ "Domainname", "Domainname", KIND_TEXT, true },
	{ "User", "User", KIND_TEXT, true },
	{ "ExposedPorts", "ExposedPorts", KIND_OBJECT, false },
	{ "Tty", "Tty", KIND_BOOL, false },
	{ "OpenStdin", "OpenStdin", KIND_BOOL, false },
	{ "Env", "Env", KIND_LIST, true },
	{ "Cmd", "Cmd", KIND_LIST, true },
	{ "Healthcheck", "Healthcheck", KIND_OBJECT, false },
	{ "ArgsEscaped", "ArgsEscaped", KIND_BOOL, false },
	{ "Volumes", "Volumes", KIND_OBJECT, true },
	{ "WorkingDir", "WorkingDir", KIND_TEXT, true },
	{ "Entrypoint", "Entrypoint", KIND_LIST, true },
	{ "OnBuild", "OnBuild", KIND_LIST, true },
	{ "Labels", "Labels", KIND_MAP, true },
	{ "StopSignal", "StopSignal", KIND_TEXT, false },
	{ "StopTimeout", "StopTimeout", KIND_NUMBER, false },
	{ "Shell", "Shell", KIND_LIST, false },
};

static bool is_text_list(const json_t *v)
{
	if (!json_is_array(v))
		return false;
	for (size_t i = 0; i < json_array_size(v); i++)
		if (!json_is_string(json_array_get(v, i)))
			return false;
	return true;
}

static bool is_text_map(json_t *v)
{
	json_t *text;
	const char *k;

	if (!json_is_object(v))
		return false;
	json_object_foreach (v, k, text)
		if (!json_is_string(text))
			return false;
	return true;
}

static bool has_kind(json_t *v, enum kind kind)
{
	switch (kind) {
	case KIND_TEXT:
		return json_is_string(v);
	case KIND_LIST:
		return is_text_list(v);
	case KIND_MAP:
		return is_text_map(v);
	case KIND_OBJECT:
		return json_is_object(v);
	case KIND_BOOL:
		return json_is_boolean(v);
	case KIND_NUMBER:
		return json_is_integer(v);
	}
	return false;
}

static int members_copy(const json_t *from, const struct member *m, size_t n, json_t *to)
{
	for (size_t i = 0; i < n; i++, m++) {
		json_t *v = json_object_get(from, m->from);
		int rc = 0;

		if (has_kind(v, m->kind))
			rc = json_object_set(to, m->to, v);
		else if (m->is_always)
			rc = json_object_set_new(
				to, m->to, m->kind == KIND_TEXT ? json_string("") : json_null());
		if (rc < 0)
			return -ENOMEM;
	}
	return 0;
}

static json_t *rootfs_show(const json_t *config)
{
	json_t *ids = json_object_get(json_object_get(config, "rootfs"), "diff_ids");

	return json_pack("{s:s,s:o}", "Type", "layers", "Layers",
			 is_text_list(ids) ? json_incref(ids) : json_array());
}

int image_inspect_config(const char *config, size_t len, json_t **ret, struct err *e)
{
	json_t *j = json_parse(config, len, JSON_REJECT_DUPLICATES, NULL);
	json_t *o = json_object(), *c = json_object();
	bool is_object = json_is_object(j), ok;

	ok = is_object && members_copy(j, top_members, ARRAY_SIZE(top_members), o) == 0 &&
	     members_copy(json_object_get(j, "config"), config_members, ARRAY_SIZE(config_members),
			  c) == 0 &&
	     json_object_set(o, "Config", c) == 0 &&
	     json_object_set_new(o, "RootFS", rootfs_show(j)) == 0;
	json_decref(c);
	json_decref(j);
	if (!ok) {
		json_decref(o);
		return is_object ? err_set(e, ENOMEM, "config")
				 : err_plain(e, EBADMSG, "the image's config is not a JSON object");
	}
	*ret = o;
	return 0;
}
