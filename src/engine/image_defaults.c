/* SPDX-License-Identifier: MIT */
/* image_defaults.c - [U] the config document of an image, as far as a machine needs it */
#include "image_defaults.h"

#include <string.h>

#include "json_text.h"
#include "template.h"

#define LIST_MAX        16384U
#define PATH_LIMIT      4096U
#define IMAGE_DISKS_MAX TEMPLATE_DISK_SPARE

static int bad(struct err *e, const char *what)
{
	return err_plain(e, EBADMSG, "the image's config is malformed: %s", what);
}

/* null and absent are empty; a string stands for a shell command of old images. */
static int list_get(const json_t *o, const char *key, struct strv *ret, struct err *e)
{
	const json_t *a = json_object_get(o, key);

	if (!a || json_is_null(a))
		return 0;
	if (json_is_string(a))
		return strv_add(ret, "/bin/sh") < 0 || strv_add(ret, "-c") < 0 ||
				       strv_add(ret, json_string_value(a)) < 0
			       ? err_set(e, ENOMEM, "config")
			       : 0;
	if (!json_is_array(a) || json_array_size(a) > LIST_MAX)
		return bad(e, key);
	for (size_t i = 0; i < json_array_size(a); i++) {
		const char *t = json_string_value(json_array_get(a, i));

		if (!t)
			return bad(e, key);
		if (strv_add(ret, t) < 0)
			return err_set(e, ENOMEM, "config");
	}
	return 0;
}

static int text_default(char **field, const json_t *o, const char *key, struct err *e)
{
	const json_t *v = json_object_get(o, key);

	if (*field || !v || json_is_null(v))
		return 0;
	if (!json_is_string(v))
		return bad(e, key);
	*field = strdup(json_string_value(v));
	return *field ? 0 : err_set(e, ENOMEM, "config");
}

static size_t name_len(const char *pair)
{
	return strcspn(pair, "=");
}

static bool has_name(const struct strv *s, const char *pair)
{
	size_t n = name_len(pair);

	for (uint32_t i = 0; i < s->n; i++)
		if (name_len(s->v[i]) == n && strncmp(s->v[i], pair, n) == 0)
			return true;
	return false;
}

/* `own` comes after `under`, and hides what has the same name there; the last of a name wins. */
static int pairs_merge(struct strv *own, const struct strv *under, struct err *e)
{
	struct strv all = { 0 };
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < under->n; i++)
		if (strchr(under->v[i], '=') && under->v[i][0] != '=' &&
		    !has_name(own, under->v[i]))
			rc = strv_add(&all, under->v[i]);
	for (uint32_t i = 0; rc == 0 && i < own->n; i++) {
		const struct strv later = { own->v + i + 1, own->n - i - 1 };

		if (!has_name(&later, own->v[i]))
			rc = strv_add(&all, own->v[i]);
	}
	if (rc < 0) {
		strv_done(&all);
		return err_set(e, ENOMEM, "config");
	}
	strv_done(own);
	*own = all;
	return 0;
}

static int env_default(struct machine_config *c, const json_t *o, struct err *e)
{
	struct strv env = { 0 };
	int rc = list_get(o, "Env", &env, e);

	if (rc == 0)
		rc = pairs_merge(&c->env, &env, e);
	strv_done(&env);
	return rc;
}

static int labels_default(struct machine_config *c, const json_t *o, struct err *e)
{
	json_t *labels = json_object_get(o, "Labels"), *v;
	struct strv under = { 0 };
	const char *k;
	int rc = 0;

	json_object_foreach (labels, k, v) {
		auto_free char *pair = NULL;

		if (!json_is_string(v) || strchr(k, '='))
			continue;
		if (asprintf(&pair, "%s=%s", k, json_string_value(v)) < 0 ||
		    strv_add(&under, pair) < 0)
			rc = err_set(e, ENOMEM, "config");
	}
	if (rc == 0)
		rc = pairs_merge(&c->labels, &under, e);
	strv_done(&under);
	return rc;
}

static int exposed_default(struct machine_config *c, const json_t *o, struct err *e)
{
	json_t *ports = json_object_get(o, "ExposedPorts"), *v;
	const char *k;

	json_object_foreach (ports, k, v) {
		if (c->exposed.n >= LIST_MAX)
			return bad(e, "ExposedPorts");
		if (strv_add(&c->exposed, k) < 0)
			return err_set(e, ENOMEM, "config");
	}
	return 0;
}

static bool has_target(const struct machine_config *c, const char *path, size_t len)
{
	for (uint32_t i = 0; i < c->n_mounts; i++)
		if (c->mounts[i].target && strncmp(c->mounts[i].target, path, len) == 0 &&
		    c->mounts[i].target[len] == '\0')
			return true;
	return false;
}

static int volume_add(struct machine_config *c, const char *path, size_t len, struct err *e)
{
	struct machine_mount *m = realloc(c->mounts, (c->n_mounts + 1) * sizeof(*m));

	if (!m)
		return err_set(e, ENOMEM, "config");
	c->mounts = m;
	m = &m[c->n_mounts];
	*m = (struct machine_mount){ .kind = MACHINE_MOUNT_VOLUME };
	m->source = strdup("");
	m->target = strndup(path, len);
	c->n_mounts++;
	return m->source && m->target ? 0 : err_set(e, ENOMEM, "config");
}

/*
 * An anonymous volume for each that has no mount of the user's. There are slots for so many of all;
 * what is over stays in the machine's layer, where it is as good while the machine lives.
 */
static int volumes_default(struct machine_config *c, const json_t *o, struct err *e)
{
	json_t *volumes = json_object_get(o, "Volumes"), *v;
	uint32_t disks = 0;
	const char *k;

	for (uint32_t i = 0; i < c->n_mounts; i++)
		disks += c->mounts[i].kind == MACHINE_MOUNT_VOLUME ||
			 c->mounts[i].kind == MACHINE_MOUNT_DISK;
	json_object_foreach (volumes, k, v) {
		size_t len = strlen(k);

		while (len > 1 && k[len - 1] == '/')
			len--;
		if (k[0] != '/' || len < 2 || len >= PATH_LIMIT || has_target(c, k, len) ||
		    disks >= IMAGE_DISKS_MAX)
			continue;
		if (volume_add(c, k, len, e) < 0)
			return -e->code;
		disks++;
	}
	return 0;
}

static int command_default(struct machine_config *c, const json_t *o, struct err *e)
{
	bool has_own = c->entrypoint.n > 0;

	if (has_own && c->entrypoint.n == 1 && !*c->entrypoint.v[0])
		strv_done(&c->entrypoint); /* --entrypoint "": none at all */
	if (!has_own && list_get(o, "Entrypoint", &c->entrypoint, e) < 0)
		return -e->code;
	return has_own || c->cmd.n ? 0 : list_get(o, "Cmd", &c->cmd, e);
}

static int config_apply(struct machine_config *c, const json_t *j, struct err *e)
{
	const json_t *o = json_object_get(j, "config");

	if (!json_is_object(j) || (o && !json_is_object(o) && !json_is_null(o)))
		return bad(e, "no object");
	if (command_default(c, o, e) < 0 || env_default(c, o, e) < 0 ||
	    labels_default(c, o, e) < 0 || exposed_default(c, o, e) < 0 ||
	    volumes_default(c, o, e) < 0 || text_default(&c->user, o, "User", e) < 0 ||
	    text_default(&c->cwd, o, "WorkingDir", e) < 0)
		return -e->code;
	return text_default(&c->stop_signal, o, "StopSignal", e);
}

int image_defaults_apply(struct machine_config *c, const char *config, size_t len, struct err *e)
{
	json_t *j = json_parse(config, len, JSON_REJECT_DUPLICATES, NULL);
	int rc = config_apply(c, j, e);

	json_decref(j);
	return rc;
}
