/* SPDX-License-Identifier: MIT */
/* format.c - lists as tables, JSON or by a template: what --format means */
#include <string.h>

#include "fdio.h"
#include "format.h"
#include "gotemplate.h"
#include "json_text.h"
#include "text.h"

static int out_of_memory(struct err *e)
{
	return err_set(e, ENOMEM, "output");
}

/* A tab or newline in a cell would be a new one: all control characters are escaped. */
static int cell_add(struct buf *b, const json_t *row, const char *key)
{
	const json_t *j = json_object_get(row, key);

	return json_is_string(j) ? text_escape(b, json_string_value(j), json_string_length(j)) : 0;
}

static int table_make(struct buf *b, const json_t *rows, const struct format_column *columns,
		      size_t n)
{
	auto_buf lines = { 0 };
	const json_t *row;
	size_t i;
	int rc = 0;

	for (size_t k = 0; rc == 0 && k < n; k++)
		rc = buf_addf(&lines, "%s%s", columns[k].title, k + 1 < n ? "\t" : "\n");
	json_array_foreach (rows, i, row) {
		for (size_t k = 0; rc == 0 && k < n; k++) {
			rc = cell_add(&lines, row, columns[k].key);
			if (rc == 0)
				rc = buf_add_str(&lines, k + 1 < n ? "\t" : "\n");
		}
	}
	return rc == 0 ? columns_align(b, lines.data, lines.len) : rc;
}

static int json_make(struct buf *b, const json_t *rows, struct err *e)
{
	const json_t *row;
	size_t i;

	json_array_foreach (rows, i, row) {
		char *text = json_text(row, JSON_COMPACT | JSON_SORT_KEYS);
		int rc = text ? buf_addf(b, "%s\n", text) : -ENOMEM;

		free(text);
		if (rc < 0)
			return out_of_memory(e);
	}
	return 0;
}

/* ---- templates ---- */

/* On a command line "\t" and "\n" are two characters each; the caller frees. */
static char *escapes_replace(const char *format)
{
	char *text = strdup(format), *to = text;

	for (const char *p = format; text && *p; p++) {
		bool is_escape = p[0] == '\\' && (p[1] == 't' || p[1] == 'n');

		*to++ = is_escape ? (p[1] == 't' ? '\t' : '\n') : *p;
		p += is_escape;
	}
	if (text)
		*to = 0;
	return text;
}

/* The row as a template may see it; new reference. */
static json_t *row_escape(const json_t *row)
{
	bool is_whole = true;
	const char *key;
	json_t *o, *v;

	json_build_begin();
	o = json_object();
	json_object_foreach ((json_t *)(uintptr_t)row, key, v) { /* only read */
		auto_buf b = { 0 };

		if (!json_is_string(v))
			continue;
		if (text_escape(&b, json_string_value(v), json_string_length(v)) < 0)
			is_whole = false;
		else
			(void)json_object_set_new(o, key, json_string(b.data ? b.data : ""));
	}
	o = json_build_end(o);
	if (o && is_whole)
		return o;
	json_decref(o);
	return NULL;
}

static int titles_make(struct buf *b, const struct gotemplate *t,
		       const struct format_column *columns, size_t n, struct err *e)
{
	json_t *titles;
	int rc;

	json_build_begin();
	titles = json_object();
	for (size_t i = 0; i < n; i++)
		(void)json_object_set_new(titles, columns[i].key, json_string(columns[i].title));
	titles = json_build_end(titles);
	rc = titles ? gotemplate_execute(t, GOTEMPLATE_TITLES, titles, b, e) : out_of_memory(e);
	json_decref(titles);
	if (rc == 0 && buf_add_str(b, "\n") < 0)
		rc = out_of_memory(e);
	return rc;
}

static int lines_make(struct buf *b, const struct gotemplate *t, const json_t *rows, struct err *e)
{
	const json_t *row;
	size_t i;

	json_array_foreach (rows, i, row) {
		json_t *escaped = row_escape(row);
		int rc = escaped ? gotemplate_execute(t, GOTEMPLATE_DATA, escaped, b, e)
				 : out_of_memory(e);

		json_decref(escaped);
		if (rc < 0)
			return rc;
		if (buf_add_str(b, "\n") < 0)
			return out_of_memory(e);
	}
	return 0;
}

static int template_table_make(struct buf *b, const char *text, const json_t *rows,
			       const struct format_column *columns, size_t n, struct err *e)
{
	auto_buf lines = { 0 };
	struct gotemplate *t;
	int rc = gotemplate_parse(text, &t, e);

	if (rc < 0)
		return rc;
	rc = titles_make(&lines, t, columns, n, e);
	if (rc == 0)
		rc = lines_make(&lines, t, rows, e);
	gotemplate_free(t);
	if (rc == 0 && columns_align(b, lines.data, lines.len) < 0)
		rc = out_of_memory(e);
	return rc;
}

static int template_lines_make(struct buf *b, const char *text, const json_t *rows, struct err *e)
{
	struct gotemplate *t;
	int rc = gotemplate_parse(text, &t, e);

	if (rc < 0)
		return rc;
	rc = lines_make(b, t, rows, e);
	gotemplate_free(t);
	return rc;
}

int format_list_make(struct buf *b, const char *format, const json_t *rows,
		     const struct format_column *columns, size_t n, struct err *e)
{
	auto_free char *text = escapes_replace(format ? format : "");
	const char *p = text;
	size_t len;

	if (!text)
		return out_of_memory(e);
	len = strlen(text);
	while (len > 0 && strchr(" \t\n", text[len - 1]) && strncmp(text, "table", 5) == 0)
		text[--len] = 0;
	if (!*text || strcmp(text, "table") == 0)
		return table_make(b, rows, columns, n) < 0 ? out_of_memory(e) : 0;
	if (strcmp(text, "json") == 0)
		return json_make(b, rows, e);
	if (strncmp(p, "table", 5) != 0 || !strchr(" \t", p[5]))
		return template_lines_make(b, text, rows, e);
	p += 5;
	return template_table_make(b, p + strspn(p, " \t"), rows, columns, n, e);
}

int format_list(const char *format, const json_t *rows, const struct format_column *columns,
		size_t n, struct err *e)
{
	auto_buf b = { 0 };

	if (format_list_make(&b, format, rows, columns, n, e) < 0)
		return -e->code;
	return format_print(b.data, b.len, e);
}

static int terminal_escape(struct buf *b, const char *text, size_t len)
{
	int rc = 0;

	while (rc == 0 && len > 0) {
		size_t n = 0;

		while (n < len && text[n] != '\n' && text[n] != '\t')
			n++;
		rc = text_escape(b, text, n);
		if (rc == 0 && n < len)
			rc = buf_add(b, text + n++, 1);
		text += n;
		len -= n;
	}
	return rc;
}

int format_print(const char *text, size_t len, struct err *e)
{
	auto_buf b = { 0 };
	int rc;

	fflush(stdout); /* what was printed before comes first */
	if (len > 0 && isatty(STDOUT_FILENO)) {
		if (terminal_escape(&b, text, len) < 0)
			return out_of_memory(e);
		text = b.data;
		len = b.len;
	}
	rc = len ? fd_write_full(STDOUT_FILENO, text, len) : 0;
	return rc < 0 ? err_set(e, -rc, "write to stdout") : 0;
}
