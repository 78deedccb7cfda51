/* SPDX-License-Identifier: MIT */
/* cmd_host.c - the host, its kernels and templates: doctor, version, kernel ..., template ... */
#include <string.h>
#include <time.h>

#include "format.h"
#include "gotemplate.h"
#include "options.h"
#include "text.h"

#define ID_SHOWN 12

static const char *text_of(const json_t *o, const char *key)
{
	const char *t = json_string_value(json_object_get(o, key));

	return t ? t : "";
}

static int out_of_memory(struct err *e)
{
	return err_set(e, ENOMEM, "output");
}

/* ---- doctor ---- */

static int finding_add(struct buf *b, const json_t *f)
{
	const char *check = text_of(f, "check"), *detail = text_of(f, "detail");

	if (buf_addf(b, "[%s]\t", text_of(f, "status")) < 0 ||
	    text_escape(b, check, strlen(check)) < 0 || buf_add_str(b, "\t") < 0 ||
	    text_escape(b, detail, strlen(detail)) < 0)
		return -ENOMEM;
	return buf_add_str(b, "\n");
}

/* Advice stands under its line, where columns do not widen for it. */
static int advice_add(struct buf *b, const json_t *f)
{
	const char *advice = text_of(f, "advice");

	if (strcmp(text_of(f, "status"), "ok") == 0 || !*advice)
		return 0;
	if (buf_add_str(b, "          -> ") < 0 || text_escape(b, advice, strlen(advice)) < 0)
		return -ENOMEM;
	return buf_add_str(b, "\n");
}

static int findings_print(const json_t *findings, struct err *e)
{
	auto_buf lines = { 0 }, aligned = { 0 }, b = { 0 };
	const json_t *f;
	char *line;
	size_t i;

	json_array_foreach (findings, i, f)
		if (finding_add(&lines, f) < 0)
			return out_of_memory(e);
	if (columns_align(&aligned, lines.data, lines.len) < 0)
		return out_of_memory(e);
	line = aligned.data;
	json_array_foreach (findings, i, f) {
		size_t len = strcspn(line, "\n") + 1; /* a line per finding */

		if (buf_add(&b, line, len) < 0 || advice_add(&b, f) < 0)
			return out_of_memory(e);
		line += len;
	}
	return format_print(b.data, b.len, e);
}

int cmd_doctor(struct cli *c, const void *options, const struct args *a)
{
	json_t *findings = NULL, *f;
	struct engine *g;
	struct err e = { 0 };
	bool has_failed = false;
	size_t i;
	int rc = cli_engine(c, &g, &e);

	(void)options;
	(void)a;
	if (rc == 0)
		rc = engine_doctor(g, &findings, &e);
	if (rc == 0)
		rc = findings_print(findings, &e);
	json_array_foreach (findings, i, f)
		has_failed |= strcmp(text_of(f, "status"), "fail") == 0;
	json_decref(findings);
	return rc < 0 ? cli_fail(&e, 1) : has_failed;
}

/* ---- version ---- */

/* Client and Server as Docker's scripts know them; the rest is ours. */
static json_t *version_object(const json_t *v)
{
	const char *version = text_of(v, "version"), *os = text_of(v, "os"),
		   *arch = text_of(v, "arch");

	return json_pack("{s:{s:s,s:s,s:s},s:{s:s,s:s,s:s,s:s},s:{s:s,s:s,s:s,s:s}}", "Client",
			 "Version", version, "Os", os, "Arch", arch, "Server", "Version", version,
			 "Os", os, "Arch", arch, "KernelVersion", text_of(v, "kernel"),
			 "Hypervisor", "Driver", text_of(v, "driver"), "Version",
			 text_of(v, "vmm_version"), "Accelerator", text_of(v, "accelerator"),
			 "AcceleratorReason", text_of(v, "accelerator_reason"));
}

static int version_lines(struct buf *b, const json_t *v)
{
	const char *kernel = text_of(v, "kernel");

	if (buf_addf(b, "caisson:\n Version:           %s\n OS/Arch:           %s/%s\n\n",
		     text_of(v, "version"), text_of(v, "os"), text_of(v, "arch")) < 0 ||
	    buf_addf(b, "Hypervisor:\n Driver:            %s\n Version:           %s\n",
		     text_of(v, "driver"), text_of(v, "vmm_version")) < 0 ||
	    buf_addf(b, " Accelerator:       %s", text_of(v, "accelerator")) < 0 ||
	    (*text_of(v, "accelerator_reason") &&
	     buf_addf(b, " (%s)", text_of(v, "accelerator_reason")) < 0))
		return -ENOMEM;
	return buf_addf(b, "\n\nGuest kernel:\n Name:              %s\n",
			*kernel ? kernel : "none, run \"caisson kernel install\"");
}

static int version_make(struct buf *b, const char *format, const json_t *v, struct err *e)
{
	json_t *o = version_object(v);
	int rc = o ? 0 : out_of_memory(e);

	if (rc == 0 && (!format || !*format))
		rc = version_lines(b, v) < 0 ? out_of_memory(e) : 0;
	else if (rc == 0)
		rc = gotemplate_render(strcmp(format, "json") == 0 ? "{{json .}}" : format, o, b,
				       e);
	if (rc == 0 && format && *format && buf_add_str(b, "\n") < 0)
		rc = out_of_memory(e);
	json_decref(o);
	return rc;
}

int cmd_version(struct cli *c, const void *options, const struct args *a)
{
	const struct list_flags *o = options;
	json_t *v = NULL;
	auto_buf b = { 0 };
	struct engine *g;
	struct err e = { 0 };
	int rc = cli_engine(c, &g, &e);

	(void)a;
	if (rc == 0)
		rc = engine_version(g, &v, &e);
	if (rc == 0)
		rc = version_make(&b, o->format, v, &e);
	if (rc == 0)
		rc = format_print(b.data, b.len, &e);
	json_decref(v);
	return rc < 0 ? cli_fail(&e, 1) : 0;
}

/* ---- lists ---- */

static void since_text(const json_t *o, char ret[64])
{
	int64_t created = json_integer_value(json_object_get(o, "created")); /* seconds */
	char ago[48];

	duration_text(time(NULL) - created, ago, sizeof(ago));
	snprintf(ret, 64, "%s ago", ago);
}

static void size_of(const json_t *o, char ret[32])
{
	size_text((uint64_t)MAX_OF(json_integer_value(json_object_get(o, "size")), 0), 3, ret, 32);
}

static json_t *kernel_row(const json_t *k)
{
	char since[64], size[32];

	since_text(k, since);
	size_of(k, size);
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "Name", text_of(k, "name"), "Default",
			 json_is_true(json_object_get(k, "default")) ? "yes" : "", "Version",
			 text_of(k, "version"), "Source", text_of(k, "source"), "Size", size,
			 "CreatedSince", since);
}

static json_t *template_row(const json_t *t)
{
	const char *image = text_of(t, "image"), *key = text_of(t, "key");
	char since[64], size[32], shown[ID_SHOWN + 1], short_key[ID_SHOWN + 1];

	since_text(t, since);
	size_of(t, size);
	snprintf(short_key, sizeof(short_key), "%.*s", ID_SHOWN, key);
	snprintf(shown, sizeof(shown), "%.*s", ID_SHOWN,
		 strncmp(image, "sha256:", 7) ? image : image + 7);
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "ID", short_key, "Depth",
			 text_of(t, "depth"), "Image", *shown ? shown : "-", "Kernel",
			 *text_of(t, "kernel") ? text_of(t, "kernel") : "-", "Shape",
			 text_of(t, "shape"), "Held",
			 json_is_true(json_object_get(t, "held")) ? "yes" : "no", "Size", size,
			 "CreatedSince", since);
}

struct listing {
	int (*list)(struct engine *g, json_t **ret, struct err *e);
	json_t *(*row)(const json_t *o);
	const char *quiet; /* template for -q */
	const struct format_column *columns;
	size_t n_columns;
};

static int rows_make(const struct listing *l, const json_t *list, json_t *rows, struct err *e)
{
	const json_t *o;
	size_t i;

	json_array_foreach (list, i, o)
		if (json_array_append_new(rows, l->row(o)) < 0)
			return out_of_memory(e);
	return 0;
}

static int list_print(struct cli *c, const struct list_flags *o, const struct listing *l)
{
	json_t *list = NULL, *rows = json_array();
	struct engine *g;
	struct err e = { 0 };
	int rc = cli_engine(c, &g, &e);

	if (rc == 0)
		rc = l->list(g, &list, &e);
	if (rc == 0)
		rc = rows_make(l, list, rows, &e);
	if (rc == 0)
		rc = format_list(o->is_quiet && !o->format ? l->quiet : o->format, rows, l->columns,
				 l->n_columns, &e);
	json_decref(list);
	json_decref(rows);
	return rc < 0 ? cli_fail(&e, 1) : 0;
}

int cmd_kernel_ls(struct cli *c, const void *options, const struct args *a)
{
	static const struct format_column columns[] = {
		{ "NAME", "Name" }, { "DEFAULT", "Default" },      { "VERSION", "Version" },
		{ "SIZE", "Size" }, { "CREATED", "CreatedSince" },
	};
	static const struct listing l = { engine_kernel_list, kernel_row, "{{.Name}}", columns,
					  ARRAY_SIZE(columns) };

	(void)a;
	return list_print(c, options, &l);
}

int cmd_template_ls(struct cli *c, const void *options, const struct args *a)
{
	static const struct format_column columns[] = {
		{ "TEMPLATE ID", "ID" }, { "DEPTH", "Depth" },          { "IMAGE", "Image" },
		{ "KERNEL", "Kernel" },  { "SHAPE", "Shape" },          { "HELD", "Held" },
		{ "SIZE", "Size" },      { "CREATED", "CreatedSince" },
	};
	static const struct listing l = { engine_template_list, template_row, "{{.ID}}", columns,
					  ARRAY_SIZE(columns) };

	(void)a;
	return list_print(c, options, &l);
}

int cmd_template_prune(struct cli *c, const void *options, const struct args *a)
{
	uint64_t freed;
	char size[32];
	struct engine *g;
	struct err e = { 0 };

	(void)options;
	(void)a;
	if (cli_engine(c, &g, &e) < 0 || engine_template_prune(g, &freed, &e) < 0)
		return cli_fail(&e, 1);
	size_text(freed, 4, size, sizeof(size));
	printf("Total reclaimed space: %s\n", size);
	return 0;
}

/* ---- kernels ---- */

/* Scripts read our stdout: what goes on is told on stderr. */
static void on_message(void *arg, const char *text)
{
	auto_buf b = { 0 };

	(void)arg;
	if (text_escape(&b, text, strlen(text)) == 0)
		fprintf(stderr, "%s\n", b.data ? b.data : "");
}

static void on_item(void *arg, const struct progress_item *i)
{
	(void)arg;
	(void)i;
}

static const struct progress_ops on_stderr = { .message = on_message, .item = on_item };

int cmd_kernel_install(struct cli *c, const void *options, const struct args *a)
{
	auto_free char *name = NULL;
	struct engine *g;
	struct err e = { 0 };

	(void)options;
	if (cli_engine(c, &g, &e) < 0 ||
	    engine_kernel_install(g, a->n ? a->v[0] : NULL, &on_stderr, &name, &e) < 0)
		return cli_fail(&e, 1);
	printf("Installed kernel %s\n", name); /* its last word is the name */
	return 0;
}

int cmd_kernel_build(struct cli *c, const void *options, const struct args *a)
{
	auto_free char *name = NULL;
	struct engine *g;
	struct err e = { 0 };

	(void)options;
	(void)a;
	if (cli_engine(c, &g, &e) < 0 || engine_kernel_build(g, &on_stderr, &name, &e) < 0)
		return cli_fail(&e, 1);
	printf("Built kernel %s\n", name); /* its last word is the name */
	return 0;
}

int cmd_kernel_use(struct cli *c, const void *options, const struct args *a)
{
	struct engine *g;
	struct err e = { 0 };

	(void)options;
	if (cli_engine(c, &g, &e) < 0 || engine_kernel_use(g, a->v[0], &e) < 0)
		return cli_fail(&e, 1);
	puts(a->v[0]);
	return 0;
}
