/* SPDX-License-Identifier: MIT */
/* format.h - lists as tables, JSON or by a template: what --format means */
#ifndef FORMAT_H
#define FORMAT_H

#include <jansson.h>

#include "buf.h"
#include "err.h"

struct format_column {
	const char *title; /* "CONTAINER ID" */
	const char *key;   /* "ID" */
};

/*
 * Print rows (objects of strings) on stdout. format NULL, "" or "table": the columns given; "table
 * TEMPLATE": titles from the keys in it; "json": an object per line; else a template per line.
 * Control characters in the texts are escaped. `rows` is borrowed.
 */
must_check int format_list(const char *format, const json_t *rows,
			   const struct format_column *columns, size_t n, struct err *e);

/* The same, into a buffer. */
must_check int format_list_make(struct buf *b, const char *format, const json_t *rows,
				const struct format_column *columns, size_t n, struct err *e);

/* Print on stdout. Control characters but tab and newline are escaped on a terminal, and only
 * there: a program that reads us gets the bytes. */
must_check int format_print(const char *text, size_t len, struct err *e);

#endif
