/* SPDX-License-Identifier: MIT */
/* cmd_volume.c - volumes: create, list, remove, prune; inspect is in cmd_inspect.c */
#include <string.h>

#include "format.h"
#include "options.h"
#include "spec.h"
#include "text.h"

static const char *text_of(const json_t *o, const char *key)
{
	const char *t = json_string_value(json_object_get(o, key));

	return t ? t : "";
}

/* ---- create ---- */

static int opts_apply(const struct volume_flags *o, struct volume_want *w, const char *name,
		      struct err *e)
{
	for (size_t i = 0; i < o->opts.n; i++) {
		const char *opt = o->opts.v[i];

		if (strncmp(opt, "size=", 5) != 0)
			return err_plain(e, EINVAL, "create %s: invalid option: \"%.*s\"",
					 name ? name : "", (int)strcspn(opt, "="), opt);
		if (spec_size(opt + 5, &w->size, e) < 0)
			return -e->code;
		if (w->size == 0)
			return err_plain(e, EINVAL, "invalid size: '%s'", opt + 5);
		if (strv_add(&w->options, opt) < 0)
			return err_set(e, ENOMEM, "flags");
	}
	for (size_t i = 0; i < o->labels.n; i++)
		if (spec_label(o->labels.v[i], &w->labels, e) < 0)
			return -e->code;
	return 0;
}

int cmd_volume_create(struct cli *c, const void *options, const struct args *a)
{
	const struct volume_flags *o = options;
	struct volume_want w = { .name = a->n ? a->v[0] : NULL, .driver = o->driver };
	char name[256];
	struct engine *g;
	struct err e = { 0 };
	int rc = cli_engine(c, &g, &e);

	if (rc == 0)
		rc = opts_apply(o, &w, w.name, &e);
	if (rc == 0)
		rc = engine_volume_create(g, &w, name, &e);
	strv_done(&w.options);
	strv_done(&w.labels);
	if (rc < 0)
		return cli_fail(&e, 1);
	puts(name);
	return 0;
}

/* ---- which ---- */

static bool is_yes(const char *text)
{
	return strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
}

static int filters_check(const struct flag_list *filters, const char *const *keys, struct err *e)
{
	for (size_t i = 0; i < filters->n; i++) {
		const char *f = filters->v[i];
		size_t len = strcspn(f, "=");
		bool is_known = false;

		if (!f[len])
			return err_plain(e, EINVAL,
					 "invalid argument \"%.200s\" for \"-f, --filter\" flag: "
					 "bad format of filter (expected name=value)",
					 f);
		for (size_t k = 0; keys[k]; k++)
			is_known |= strlen(keys[k]) == len && strncmp(keys[k], f, len) == 0;
		if (!is_known)
			return err_plain(e, EINVAL, "invalid filter '%.*s'", (int)MIN_OF(len, 100U),
					 f);
	}
	return 0;
}

static bool label_match(const char *value, const json_t *labels)
{
	size_t len = strcspn(value, "=");
	auto_free char *key = strndup(value, len);
	const json_t *have = key ? json_object_get(labels, key) : NULL;
	const char *text = json_string_value(have);

	return have && (!value[len] || (text && strcmp(text, value + len + 1) == 0));
}

/* Names and drivers are alternatives; labels are all needed. */
static bool filters_match(const struct flag_list *filters, const json_t *v)
{
	bool wants_name = false, wants_driver = false, has_name = false, has_driver = false;

	for (size_t i = 0; i < filters->n; i++) {
		const char *f = filters->v[i], *value = strchr(f, '=') + 1;

		if (strncmp(f, "name=", 5) == 0) {
			wants_name = true;
			has_name |= strstr(text_of(v, "Name"), value) != NULL;
		} else if (strncmp(f, "driver=", 7) == 0) {
			wants_driver = true;
			has_driver |= strcmp(text_of(v, "Driver"), value) == 0;
		} else if (strncmp(f, "dangling=", 9) == 0) {
			if (is_yes(value) == (json_integer_value(json_object_get(v, "Links")) > 0))
				return false;
		} else if (!label_match(value, json_object_get(v, "Labels"))) {
			return false;
		}
	}
	return has_name == wants_name && has_driver == wants_driver;
}

/* ---- ls ---- */

static int labels_text(struct buf *b, json_t *labels)
{
	const char *key;
	json_t *value;

	json_object_foreach (labels, key, value) {
		if (buf_addf(b, "%s%s=%s", b->len ? "," : "", key, json_string_value(value)) < 0)
			return -ENOMEM;
	}
	return 0;
}

static json_t *row_make(const json_t *v)
{
	auto_buf labels = { 0 };
	char links[24];

	if (labels_text(&labels, json_object_get(v, "Labels")) < 0)
		return NULL;
	snprintf(links, sizeof(links), "%lld",
		 (long long)json_integer_value(json_object_get(v, "Links")));
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "Availability", "N/A",
			 "Driver", text_of(v, "Driver"), "Group", "N/A", "Labels",
			 labels.data ? labels.data : "", "Links", links, "Mountpoint",
			 text_of(v, "Mountpoint"), "Name", text_of(v, "Name"), "Scope", "local",
			 "Size", "N/A", "Status", "N/A");
}

static int rows_print(const struct volume_flags *o, const json_t *list, struct err *e)
{
	static const struct format_column columns[] = { { "DRIVER", "Driver" },
							{ "VOLUME NAME", "Name" } };
	json_t *rows = json_array(), *v;
	size_t i;
	int rc = 0;

	json_array_foreach (list, i, v) {
		if (!filters_match(&o->filters, v))
			continue;
		if (o->is_quiet && !o->format)
			puts(text_of(v, "Name"));
		else if (json_array_append_new(rows, row_make(v)) < 0)
			rc = err_set(e, ENOMEM, "list");
	}
	if (rc == 0 && (!o->is_quiet || o->format))
		rc = format_list(o->format, rows, columns, ARRAY_SIZE(columns), e);
	json_decref(rows);
	return rc;
}

int cmd_volume_ls(struct cli *c, const void *options, const struct args *a)
{
	static const char *const keys[] = { "dangling", "driver", "label", "name", NULL };
	const struct volume_flags *o = options;
	json_t *list = NULL;
	struct engine *g;
	struct err e = { 0 };
	int rc = filters_check(&o->filters, keys, &e);

	(void)a;
	if (rc == 0)
		rc = cli_engine(c, &g, &e);
	if (rc == 0)
		rc = engine_volume_list(g, &list, &e);
	if (rc == 0)
		rc = rows_print(o, list, &e);
	json_decref(list);
	return rc < 0 ? cli_fail(&e, 1) : 0;
}

/* ---- rm, prune ---- */

int cmd_volume_rm(struct cli *c, const void *options, const struct args *a)
{
	const struct volume_flags *o = options;
	struct engine *g;
	struct err e = { 0 };
	int code = 0;

	if (cli_engine(c, &g, &e) < 0)
		return cli_fail(&e, 1);
	for (int i = 0; i < a->n; i++) {
		e = (struct err){ 0 };
		if (engine_volume_remove(g, a->v[i], NULL, &e) == 0 ||
		    (o->is_forced && e.code == ENOENT))
			puts(a->v[i]);
		else
			code = cli_fail(&e, 1);
	}
	return code;
}

static bool is_anonymous(const json_t *v)
{
	return json_object_get(json_object_get(v, "Labels"), "com.docker.volume.anonymous") != NULL;
}

static int prune(struct engine *g, const struct volume_flags *o, const json_t *list,
		 uint64_t *ret_freed, struct err *e)
{
	bool has_title = false;
	json_t *v;
	size_t i;

	json_array_foreach (list, i, v) {
		uint64_t freed = 0;

		if ((!o->all && !is_anonymous(v)) || !filters_match(&o->filters, v) ||
		    json_integer_value(json_object_get(v, "Links")) > 0)
			continue;
		if (engine_volume_remove(g, text_of(v, "Name"), &freed, e) < 0) {
			if (e->code != EBUSY &&
			    e->code != ENOENT) /* of a machine meanwhile, or gone */
				return -e->code;
			continue;
		}
		if (!has_title)
			puts("Deleted Volumes:");
		has_title = true;
		puts(text_of(v, "Name"));
		*ret_freed += freed;
	}
	if (has_title)
		putchar('\n');
	return 0;
}

int cmd_volume_prune(struct cli *c, const void *options, const struct args *a)
{
	static const char *const keys[] = { "label", NULL };
	const struct volume_flags *o = options;
	json_t *list = NULL;
	uint64_t freed = 0;
	struct engine *g;
	struct err e = { 0 };
	char size[32];
	int rc = filters_check(&o->filters, keys, &e);

	(void)a;
	if (rc == 0)
		rc = cli_engine(c, &g, &e);
	if (rc == 0)
		rc = engine_volume_list(g, &list, &e);
	if (rc == 0)
		rc = prune(g, o, list, &freed, &e);
	json_decref(list);
	if (rc < 0)
		return cli_fail(&e, 1);
	size_text(freed, 4, size, sizeof(size));
	printf("Total reclaimed space: %s\n", size);
	return 0;
}
