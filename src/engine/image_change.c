/* SPDX-License-Identifier: MIT */
/* image_change.c - instructions of a Dockerfile; see image_change.h */
#include "image_change.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "buf.h"
#include "json_text.h"

/* ---- words ---- */

static const char *space_skip(const char *p)
{
	while (isspace((unsigned char)*p))
		p++;
	return p;
}

/* One word, with quotes and backslashes taken away; 0 at the end of the text. */
static int word_next(const char **at, struct buf *word, struct err *e)
{
	const char *p = space_skip(*at);
	char quote = 0;

	if (!*p)
		return 0;
	buf_clear(word);
	for (; *p && (quote || !isspace((unsigned char)*p)); p++) {
		if (quote ? *p == quote : *p == '"' || *p == '\'') {
			quote = quote ? 0 : *p;
			continue;
		}
		if (*p == '\\' && quote != '\'' && p[1])
			p++;
		if (buf_add(word, p, 1) < 0)
			return err_set(e, ENOMEM, "change");
	}
	if (quote)
		return err_plain(e, EINVAL, "a quote is not closed");
	if (buf_add(word, "", 0) < 0)
		return err_set(e, ENOMEM, "change");
	*at = p;
	return 1;
}

static int set_new(json_t *o, const char *key, json_t *value, struct err *e)
{
	return json_object_set_new(o, key, value) < 0
		       ? err_plain(e, EINVAL, "\"%.100s\": no UTF-8, or no memory", key)
		       : 0;
}

/* The object or array beneath `key`, made when it is not there. */
static json_t *beneath(struct image_change *c, const char *key, bool is_array, struct err *e)
{
	json_t *v = json_object_get(c->config, key);

	if (is_array ? json_is_array(v) : json_is_object(v))
		return v;
	v = is_array ? json_array() : json_object();
	return set_new(c->config, key, v, e) < 0 ? NULL : v;
}

/* ["a", "b"]; NULL: not of that form. */
static json_t *json_form(const char *text)
{
	json_t *a = *text == '[' ? json_parse(text, strlen(text), 0, NULL) : NULL;

	for (size_t i = 0; i < json_array_size(a); i++)
		if (!json_is_string(json_array_get(a, i))) {
			json_decref(a);
			return NULL;
		}
	return a;
}

/* ---- instructions ---- */

static int command_set(struct image_change *c, const char *key, const char *text, struct err *e)
{
	json_t *a = json_form(text);

	return set_new(c->config, key, a ? a : json_pack("[s, s, s]", "/bin/sh", "-c", text), e);
}

static int cmd_change(struct image_change *c, const char *text, struct err *e)
{
	c->has_cmd = true;
	return command_set(c, "Cmd", text, e);
}

static int entrypoint_change(struct image_change *c, const char *text, struct err *e)
{
	if (!c->has_cmd)
		(void)json_object_del(c->config, "Cmd"); /* was not there: as wanted */
	return command_set(c, "Entrypoint", text, e);
}

static int env_put(struct image_change *c, const char *pair, struct err *e)
{
	json_t *env = beneath(c, "Env", true, e);
	const size_t name = strcspn(pair, "=") + 1;

	if (!env)
		return -e->code;
	for (size_t i = 0; i < json_array_size(env); i++) {
		const char *old = json_string_value(json_array_get(env, i));

		if (old && strncmp(old, pair, name) == 0)
			return json_array_set_new(env, i, json_string(pair)) < 0
				       ? err_plain(e, EINVAL, "no UTF-8, or no memory")
				       : 0;
	}
	return json_array_append_new(env, json_string(pair)) < 0
		       ? err_plain(e, EINVAL, "no UTF-8, or no memory")
		       : 0;
}

static int label_put(struct image_change *c, const char *pair, struct err *e)
{
	json_t *labels = beneath(c, "Labels", false, e);
	const size_t n = strcspn(pair, "=");
	auto_free char *name = strndup(pair, n);

	if (!labels)
		return -e->code;
	return name ? set_new(labels, name, json_string(pair + n + 1), e)
		    : err_set(e, ENOMEM, "change");
}

/* "a=b c='d e'"; with `is_old`, "a the rest" too. */
static int pairs_change(struct image_change *c, const char *text, bool is_old,
			int (*put)(struct image_change *, const char *, struct err *),
			struct err *e)
{
	auto_buf word = { 0 };
	const char *at = text;
	int rc, n = 0;

	while ((rc = word_next(&at, &word, e)) > 0) {
		if (!strchr(word.data, '=') && n == 0 && is_old && *space_skip(at)) {
			if (buf_addf(&word, "=%s", space_skip(at)) < 0)
				return err_set(e, ENOMEM, "change");
			at += strlen(at);
		}
		if (word.data[0] == '=' || !strchr(word.data, '='))
			return err_plain(e, EINVAL, "'%.100s' is not NAME=VALUE", word.data);
		if (put(c, word.data, e) < 0)
			return -e->code;
		n++;
	}
	return rc < 0 ? rc : n ? 0 : err_plain(e, EINVAL, "NAME=VALUE is missing");
}

static int env_change(struct image_change *c, const char *text, struct err *e)
{
	return pairs_change(c, text, true, env_put, e);
}

static int label_change(struct image_change *c, const char *text, struct err *e)
{
	return pairs_change(c, text, false, label_put, e);
}

static bool is_port(const char *text)
{
	const size_t n = strspn(text, "0123456789");
	const char *protocol = text + n;

	return n > 0 && n <= 5 && strtoul(text, NULL, 10) - 1 < 65535 &&
	       (strcmp(protocol, "/tcp") == 0 || strcmp(protocol, "/udp") == 0 ||
		strcmp(protocol, "/sctp") == 0);
}

static int port_put(json_t *ports, const struct buf *word, struct err *e)
{
	char port[64];

	snprintf(port, sizeof(port), "%s%s", word->data, strchr(word->data, '/') ? "" : "/tcp");
	return is_port(port) ? set_new(ports, port, json_object(), e)
			     : err_plain(e, EINVAL, "'%.60s' is not a port", word->data);
}

static int expose_change(struct image_change *c, const char *text, struct err *e)
{
	json_t *ports = beneath(c, "ExposedPorts", false, e);
	auto_buf word = { 0 };
	int rc, n = 0;

	if (!ports)
		return -e->code;
	while ((rc = word_next(&text, &word, e)) > 0) {
		if (port_put(ports, &word, e) < 0)
			return -e->code;
		n++;
	}
	return rc < 0 ? rc : n ? 0 : err_plain(e, EINVAL, "a port is missing");
}

static int volume_put(json_t *volumes, const char *path, struct err *e)
{
	return *path == '/' ? set_new(volumes, path, json_object(), e)
			    : err_plain(e, EINVAL, "'%.100s' is not an absolute path", path);
}

static int volume_change(struct image_change *c, const char *text, struct err *e)
{
	json_t *volumes = beneath(c, "Volumes", false, e), *list = json_form(text);
	auto_buf word = { 0 };
	int rc = 0;

	if (!volumes) {
		json_decref(list);
		return -e->code;
	}
	for (size_t i = 0; rc == 0 && i < json_array_size(list); i++)
		rc = volume_put(volumes, json_string_value(json_array_get(list, i)), e);
	while (!list && rc == 0 && (rc = word_next(&text, &word, e)) > 0)
		rc = volume_put(volumes, word.data, e);
	json_decref(list);
	return rc;
}

static int text_set(struct image_change *c, const char *key, const char *text, struct err *e)
{
	auto_buf word = { 0 };
	int rc = word_next(&text, &word, e);

	if (rc < 0)
		return rc;
	if (*space_skip(text))
		return err_plain(e, EINVAL, "one word is expected");
	return set_new(c->config, key, json_string(word.data), e);
}

static int stop_change(struct image_change *c, const char *text, struct err *e)
{
	return text_set(c, "StopSignal", text, e);
}

static int user_change(struct image_change *c, const char *text, struct err *e)
{
	return text_set(c, "User", text, e);
}

static int workdir_change(struct image_change *c, const char *text, struct err *e)
{
	return *text == '/' ? text_set(c, "WorkingDir", text, e)
			    : err_plain(e, EINVAL, "'%.100s' is not an absolute path", text);
}

static const struct {
	const char *name;
	int (*change)(struct image_change *c, const char *text, struct err *e);
} instructions[] = {
	{ "CMD", cmd_change },         { "ENTRYPOINT", entrypoint_change },
	{ "ENV", env_change },         { "EXPOSE", expose_change },
	{ "LABEL", label_change },     { "STOPSIGNAL", stop_change },
	{ "USER", user_change },       { "VOLUME", volume_change },
	{ "WORKDIR", workdir_change },
};

int image_change_apply(struct image_change *c, const char *instruction, struct err *e)
{
	const char *name = space_skip(instruction);
	const size_t n = strcspn(name, " \t\n");
	const char *text = space_skip(name + n);

	for (size_t i = 0; i < ARRAY_SIZE(instructions); i++) {
		if (strlen(instructions[i].name) != n ||
		    strncasecmp(instructions[i].name, name, n) != 0)
			continue;
		if (!*text)
			return err_plain(e, EINVAL, "change \"%.100s\": nothing behind it",
					 instruction);
		if (instructions[i].change(c, text, e) < 0)
			return err_wrap(e, "change \"%.100s\"", instruction);
		return 0;
	}
	return err_plain(e, EINVAL,
			 "change \"%.100s\": none of CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, "
			 "STOPSIGNAL, USER, VOLUME, WORKDIR",
			 instruction);
}
