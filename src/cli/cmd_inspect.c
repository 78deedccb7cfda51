/* SPDX-License-Identifier: MIT */
/* cmd_inspect.c - all about machines and images, as JSON or by a template */
#include <string.h>

#include "format.h"
#include "gotemplate.h"
#include "json_text.h"
#include "options.h"
#include "text.h"

#define EXIT_TEMPLATE 64 /* what Docker ends with for a template that is none */

enum inspect_kind { INSPECT_ANY, INSPECT_MACHINE, INSPECT_IMAGE, INSPECT_VOLUME };

static const char *const kind_names[] = { "object", "container", "image", "volume" };

static int object_get(struct engine *g, enum inspect_kind kind, const char *name, json_t **ret,
		      struct err *e)
{
	char id[65];

	if (kind == INSPECT_VOLUME)
		return engine_volume_inspect(g, name, ret, e);
	if (kind != INSPECT_IMAGE) {
		if (engine_machine_find(g, name, id, e) == 0)
			return engine_machine_inspect(g, id, ret, e);
		if (e->code != ENOENT || kind == INSPECT_MACHINE)
			return -e->code;
		*e = (struct err){ 0 };
	}
	if (engine_image_inspect(g, name, ret, e) == 0)
		return 0;
	if (e->code != ENOENT || kind == INSPECT_IMAGE)
		return -e->code;
	*e = (struct err){ 0 };
	return engine_volume_inspect(g, name, ret, e);
}

/* What is there goes into `found`; the errors come after the output, as Docker has it. */
static int objects_collect(struct engine *g, enum inspect_kind kind, const struct args *a,
			   json_t *found, struct buf *errors)
{
	int code = 0;

	for (int i = 0; i < a->n; i++) {
		struct err e = { 0 };
		json_t *o;

		if (object_get(g, kind, a->v[i], &o, &e) == 0) {
			if (json_array_append_new(found, o) < 0)
				return -ENOMEM;
			continue;
		}
		code = 1;
		if (e.code == ENOENT)
			err_plain(&e, ENOENT, "No such %s: %.300s", kind_names[kind], a->v[i]);
		if (e.code == ENOENT && kind == INSPECT_VOLUME)
			err_plain(&e, ENOENT, "get %.300s: no such volume", a->v[i]);
		if (buf_add_str(errors, "Error: ") < 0 ||
		    text_escape(errors, e.msg, strlen(e.msg)) < 0 || buf_add_str(errors, "\n") < 0)
			return -ENOMEM;
	}
	return code;
}

static int json_print(const json_t *found, size_t flags, struct err *e)
{
	auto_buf b = { 0 };
	char *text = json_text(found, flags);
	int rc = text ? buf_addf(&b, "%s\n", text) : -ENOMEM;

	free(text);
	return rc < 0 ? err_set(e, ENOMEM, "inspect") : format_print(b.data, b.len, e);
}

/* A line per object; what was made before an error is printed. */
static int template_print(const struct gotemplate *t, const json_t *found, struct err *e)
{
	auto_buf b = { 0 };
	struct err ignored = { 0 };
	const json_t *o;
	size_t i;
	int rc = 0;

	json_array_foreach (found, i, o) {
		if (rc == 0)
			rc = gotemplate_execute(t, GOTEMPLATE_DATA, o, &b, e);
		if (rc == 0 && buf_add_str(&b, "\n") < 0)
			rc = err_set(e, ENOMEM, "inspect");
	}
	if (rc < 0)
		(void)!format_print(b.data, b.len, &ignored); /* the first error is told */
	return rc < 0 ? rc : format_print(b.data, b.len, e);
}

static int found_print(const char *format, const struct gotemplate *t, const json_t *found,
		       struct err *e)
{
	if (t)
		return template_print(t, found, e);
	return json_print(found, format && *format ? JSON_COMPACT : JSON_INDENT(4), e);
}

static int inspect(struct cli *c, const char *format, enum inspect_kind kind, const struct args *a)
{
	bool is_json = !format || !*format || strcmp(format, "json") == 0;
	json_t *found = json_array();
	struct gotemplate *t = NULL;
	auto_buf errors = { 0 };
	struct engine *g;
	struct err e = { 0 };
	int rc, code = 0;

	if (!is_json && gotemplate_parse(format, &t, &e) < 0) {
		json_decref(found);
		return cli_fail(&e, EXIT_TEMPLATE);
	}
	rc = cli_engine(c, &g, &e);
	if (rc == 0) {
		code = objects_collect(g, kind, a, found, &errors);
		if (code < 0)
			rc = err_set(&e, -code, "inspect");
	}
	if (rc == 0)
		rc = found_print(format, t, found, &e);
	gotemplate_free(t);
	json_decref(found);
	if (errors.len > 0)
		fputs(errors.data, stderr);
	return rc < 0 ? cli_fail(&e, 1) : code;
}

int cmd_inspect(struct cli *c, const void *options, const struct args *a)
{
	const struct inspect_flags *o = options;
	enum inspect_kind kind = INSPECT_ANY;
	struct err e = { 0 };

	if (o->type && *o->type) {
		kind = strcmp(o->type, "container") == 0 ? INSPECT_MACHINE
		       : strcmp(o->type, "image") == 0   ? INSPECT_IMAGE
		       : strcmp(o->type, "volume") == 0  ? INSPECT_VOLUME
							 : INSPECT_ANY;
		if (kind == INSPECT_ANY) {
			err_plain(&e, EINVAL, "\"%.100s\" is not a valid value for --type",
				  o->type);
			return cli_fail(&e, 1);
		}
	}
	return inspect(c, o->format, kind, a);
}

int cmd_container_inspect(struct cli *c, const void *options, const struct args *a)
{
	const struct inspect_flags *o = options;

	return inspect(c, o->format, INSPECT_MACHINE, a);
}

int cmd_image_inspect(struct cli *c, const void *options, const struct args *a)
{
	const struct inspect_flags *o = options;

	return inspect(c, o->format, INSPECT_IMAGE, a);
}

int cmd_volume_inspect(struct cli *c, const void *options, const struct args *a)
{
	const struct inspect_flags *o = options;

	return inspect(c, o->format, INSPECT_VOLUME, a);
}
