/* SPDX-License-Identifier: MIT */
/* cmd_image.c - images, rmi, tag, image import, image prune */
#include <fnmatch.h>
#include <string.h>
#include <time.h>

#include "format.h"
#include "options.h"
#include "ref.h"
#include "text.h"

#define ID_SHOWN 12
#define NS_PER_S 1000000000

static const char *text_of(const json_t *o, const char *key)
{
	const char *t = json_string_value(json_object_get(o, key));

	return t ? t : "";
}

/* ---- images ---- */

struct image_name { /* as people write it; "<none>" where there is none */
	char text[REF_NORMAL_SIZE];
	char repository[REF_NORMAL_SIZE];
	char tag[REF_NORMAL_SIZE];
	bool has_tag;
};

static void name_split(const char *ref, struct image_name *ret)
{
	char *at, *slash, *colon;

	memset(ret, 0, sizeof(*ret));
	ref_familiar(ref, ret->text, sizeof(ret->text));
	snprintf(ret->repository, sizeof(ret->repository), "%s", *ret->text ? ret->text : "<none>");
	snprintf(ret->tag, sizeof(ret->tag), "<none>");
	at = strchr(ret->repository, '@');
	if (at) {
		*at = 0;
		return;
	}
	slash = strrchr(ret->repository, '/');
	colon = strchr(slash ? slash : ret->repository, ':');
	if (!colon)
		return;
	*colon = 0;
	snprintf(ret->tag, sizeof(ret->tag), "%s", colon + 1);
	ret->has_tag = true;
}

static int bool_of(const char *text, bool *ret)
{
	static const char *const yes[] = { "true", "1", "t", "True" };
	static const char *const no[] = { "false", "0", "f", "False" };

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
			*ret = strcmp(text, yes[i]) == 0;
			return 0;
		}
	}
	return -EINVAL;
}

static int filters_check(const struct flag_list *filters, struct err *e)
{
	for (size_t i = 0; i < filters->n; i++) {
		const char *f = filters->v[i], *eq = strchr(f, '=');
		bool is;

		if (!eq)
			return err_plain(e, EINVAL, "invalid filter '%.200s': expected name=value",
					 f);
		if (strncmp(f, "reference=", 10) == 0)
			continue;
		if (strncmp(f, "dangling=", 9) != 0)
			return err_plain(e, EINVAL, "invalid filter '%.*s'",
					 (int)MIN_OF(eq - f, (ptrdiff_t)200), f);
		if (bool_of(eq + 1, &is) < 0)
			return err_plain(e, EINVAL, "invalid filter 'dangling=[%.200s]'", eq + 1);
	}
	return 0;
}

/* Docker's rule: the pattern fits the name with tag, or the name alone; "*" stops at a slash. */
static bool reference_matches(const char *pattern, const struct image_name *n)
{
	return *n->text && (fnmatch(pattern, n->text, FNM_PATHNAME) == 0 ||
			    fnmatch(pattern, n->repository, FNM_PATHNAME) == 0);
}

/* References are alternatives; every "dangling" has to fit. */
static bool filters_match(const struct flag_list *filters, const struct image_name *n)
{
	bool has_reference = false, fits = false;

	for (size_t i = 0; i < filters->n; i++) {
		const char *f = filters->v[i], *value = strchr(f, '=') + 1;
		bool wants_dangling = false;

		if (strncmp(f, "reference=", 10) == 0) {
			has_reference = true;
			fits |= reference_matches(value, n);
		} else if (bool_of(value, &wants_dangling) < 0 || wants_dangling == n->has_tag) {
			return false;
		}
	}
	return !has_reference || fits;
}

/* "nginx", "nginx:1.27", patterns; a full name is made short as those are. */
static bool argument_matches(const char *arg, const struct image_name *n)
{
	char full[REF_NORMAL_SIZE], familiar[REF_NORMAL_SIZE];
	const char *slash = strrchr(arg, '/');

	if (reference_matches(arg, n))
		return true;
	if (!ref_normalise(arg, full, sizeof(full)))
		return false;
	ref_familiar(full, familiar, sizeof(familiar));
	if (!strchr(slash ? slash : arg, ':') && !strchr(arg, '@'))
		familiar[strlen(familiar) - strlen(":latest")] = 0;
	return reference_matches(familiar, n);
}

static int row_text(json_t *row, const char *key, const char *text)
{
	json_t *v = json_string(text);

	return json_object_set_new(row, key, v ? v : json_string("?")); /* not UTF-8 */
}

static void times_text(int64_t created_ns, char since[64], char at[64])
{
	time_t s = (time_t)(created_ns / NS_PER_S);
	char ago[48];
	struct tm tm;

	snprintf(since, 64, "N/A");
	snprintf(at, 64, "N/A");
	if (created_ns <= 0)
		return;
	duration_text(time(NULL) - s, ago, sizeof(ago));
	snprintf(since, 64, "%s ago", ago);
	if (localtime_r(&s, &tm) && strftime(at, 64, "%Y-%m-%d %H:%M:%S %z %Z", &tm) == 0)
		snprintf(at, 64, "N/A");
}

static int row_add(json_t *rows, const json_t *image, const struct image_name *n, bool is_whole)
{
	const char *id = text_of(image, "id"), *digest = text_of(image, "digest");
	char since[64], at[64], size[32], shown[ID_SHOWN + 1];
	json_t *row = json_object();

	times_text(json_integer_value(json_object_get(image, "created")), since, at);
	size_text((uint64_t)MAX_OF(json_integer_value(json_object_get(image, "size")), 0), 3, size,
		  sizeof(size));
	snprintf(shown, sizeof(shown), "%.*s", ID_SHOWN, strncmp(id, "sha256:", 7) ? id : id + 7);
	if (row && row_text(row, "Repository", n->repository) == 0 &&
	    row_text(row, "Tag", n->tag) == 0 &&
	    row_text(row, "Digest", *digest ? digest : "<none>") == 0 &&
	    row_text(row, "ID", is_whole ? id : shown) == 0 &&
	    row_text(row, "CreatedSince", since) == 0 && row_text(row, "CreatedAt", at) == 0 &&
	    row_text(row, "Size", size) == 0 && row_text(row, "VirtualSize", size) == 0 &&
	    row_text(row, "Containers", "N/A") == 0 && row_text(row, "SharedSize", "N/A") == 0 &&
	    row_text(row, "UniqueSize", "N/A") == 0)
		return json_array_append_new(rows, row);
	json_decref(row);
	return -1;
}

static int rows_make(struct engine *g, const struct images_flags *o, const char *argument,
		     json_t *rows, struct err *e)
{
	json_t *list, *image;
	size_t i;
	int rc = 0;

	if (engine_image_list(g, &list, e) < 0)
		return -e->code;
	json_array_foreach (list, i, image) {
		struct image_name n;

		name_split(text_of(image, "ref"), &n);
		if ((argument && !argument_matches(argument, &n)) ||
		    !filters_match(&o->filters, &n))
			continue;
		if (row_add(rows, image, &n, o->no_trunc) < 0) {
			rc = err_set(e, ENOMEM, "list of images");
			break;
		}
	}
	json_decref(list);
	return rc;
}

static int rows_print(const struct images_flags *o, const json_t *rows, struct err *e)
{
	static const struct format_column plain[] = { { "REPOSITORY", "Repository" },
						      { "TAG", "Tag" },
						      { "IMAGE ID", "ID" },
						      { "CREATED", "CreatedSince" },
						      { "SIZE", "Size" } };
	static const struct format_column digests[] = {
		{ "REPOSITORY", "Repository" }, { "TAG", "Tag" },
		{ "DIGEST", "Digest" },         { "IMAGE ID", "ID" },
		{ "CREATED", "CreatedSince" },  { "SIZE", "Size" }
	};
	bool is_table = !o->format || !*o->format || strcmp(o->format, "table") == 0;

	if (o->is_quiet && is_table)
		return format_list("{{.ID}}", rows, plain, ARRAY_SIZE(plain), e);
	if (is_table && !o->digests)
		return format_list(NULL, rows, plain, ARRAY_SIZE(plain), e);
	return format_list(o->format, rows, digests, ARRAY_SIZE(digests), e);
}

int cmd_images(struct cli *c, const void *options, const struct args *a)
{
	const struct images_flags *o = options;
	json_t *rows = json_array();
	struct engine *g;
	struct err e = { 0 };
	int rc = filters_check(&o->filters, &e);

	if (rc == 0)
		rc = cli_engine(c, &g, &e);
	if (rc == 0)
		rc = rows_make(g, o, a->n ? a->v[0] : NULL, rows, &e);
	if (rc == 0)
		rc = rows_print(o, rows, &e);
	json_decref(rows);
	return rc < 0 ? cli_fail(&e, 1) : 0;
}

/* ---- rmi, prune ---- */

static int removal_print(const json_t *done, const char *untagged, const char *deleted,
			 struct err *e)
{
	auto_buf b = { 0 };
	const json_t *step;
	size_t i;

	json_array_foreach (done, i, step) {
		const char *gone = text_of(step, "Untagged");
		bool is_name = *gone != 0;

		if (!is_name)
			gone = text_of(step, "Deleted");
		if (buf_addf(&b, "%s: ", is_name ? untagged : deleted) < 0 ||
		    text_escape(&b, gone, strlen(gone)) < 0 || buf_add_str(&b, "\n") < 0)
			return err_set(e, ENOMEM, "output");
	}
	return format_print(b.data, b.len, e);
}

int cmd_rmi(struct cli *c, const void *options, const struct args *a)
{
	const struct rmi_flags *o = options;
	struct engine *g;
	struct err e = { 0 };
	int code = 0;

	if (cli_engine(c, &g, &e) < 0)
		return cli_fail(&e, 1);
	for (int i = 0; i < a->n; i++) {
		json_t *done = NULL;

		e = (struct err){ 0 };
		if (engine_image_remove(g, a->v[i], o->is_forced, &done, &e) < 0 ||
		    removal_print(done, "Untagged", "Deleted", &e) < 0)
			code = cli_fail(&e, 1);
		json_decref(done);
	}
	return code;
}

static bool list_has(const json_t *list, const char *id, const char *ref)
{
	const json_t *image;
	size_t i;

	json_array_foreach (list, i, image) {
		if (strcmp(text_of(image, "id"), id) == 0 &&
		    (!ref || strcmp(text_of(image, "ref"), ref) == 0))
			return true;
	}
	return false;
}

/* What was there before a collection and is not after it, in the words of a removal. */
static int gone_list(const json_t *before, const json_t *after, json_t *done, struct err *e)
{
	const json_t *image;
	size_t i;
	int rc = 0;

	json_array_foreach (before, i, image) {
		const char *id = text_of(image, "id"), *ref = text_of(image, "ref");

		if (*ref && !list_has(after, id, ref))
			rc |= json_array_append_new(done, json_pack("{s:s}", "Untagged", ref));
		if (!list_has(after, id, NULL) && !list_has(done, id, NULL))
			rc |= json_array_append_new(
				done, json_pack("{s:s,s:s}", "Deleted", id, "id", id));
	}
	return rc ? err_set(e, ENOMEM, "prune") : 0;
}

int cmd_image_prune(struct cli *c, const void *options, const struct args *a)
{
	json_t *before = NULL, *after = NULL, *done = json_array();
	uint64_t freed = 0;
	char size[32];
	struct engine *g;
	struct err e = { 0 };
	int rc = cli_engine(c, &g, &e);

	(void)options; /* -f: there is no question to leave out */
	(void)a;
	if (rc == 0)
		rc = engine_image_list(g, &before, &e);
	if (rc == 0)
		rc = engine_gc(g, &freed, &e);
	if (rc == 0)
		rc = engine_image_list(g, &after, &e);
	if (rc == 0)
		rc = gone_list(before, after, done, &e);
	if (rc == 0 && json_array_size(done) > 0) {
		puts("Deleted Images:");
		rc = removal_print(done, "untagged", "deleted", &e);
		putchar('\n');
	}
	json_decref(before);
	json_decref(after);
	json_decref(done);
	if (rc < 0)
		return cli_fail(&e, 1);
	size_text(freed, 4, size, sizeof(size));
	printf("Total reclaimed space: %s\n", size);
	return 0;
}

/* ---- tag, import ---- */

int cmd_tag(struct cli *c, const void *options, const struct args *a)
{
	struct engine *g;
	struct err e = { 0 };

	(void)options;
	if (cli_engine(c, &g, &e) < 0 || engine_image_tag(g, a->v[0], a->v[1], &e) < 0)
		return cli_fail(&e, 1);
	return 0;
}

int cmd_image_import(struct cli *c, const void *options, const struct args *a)
{
	auto_free char *id = NULL;
	struct engine *g;
	struct err e = { 0 };

	(void)options;
	if (cli_engine(c, &g, &e) < 0 || engine_image_import_oci(g, a->v[0], a->v[1], &id, &e) < 0)
		return cli_fail(&e, 1);
	puts(id);
	return 0;
}
