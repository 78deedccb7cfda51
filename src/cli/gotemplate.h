/* SPDX-License-Identifier: MIT */
/*
 * gotemplate.h - the part of Go's text/template that Docker's users write after --format
 *
 * Actions: fields, variables, pipelines, parentheses, if, with, range, break, continue, comments,
 * trim markers. Functions: and or not eq ne lt le gt ge index slice len print printf println, and
 * Docker's json join split lower upper title truncate pad. Not: define, template, block.
 *
 * The template is the user's own. Data may hold strangers' text, which is copied as it is: who
 * prints to a terminal escapes it. Size of the template, depth, steps and output are bounded.
 */
#ifndef GOTEMPLATE_H
#define GOTEMPLATE_H

#include <jansson.h>

#include "buf.h"
#include "err.h"

enum gotemplate_mode {
	GOTEMPLATE_DATA,
	GOTEMPLATE_TITLES, /* for the head of a table: functions pass their text on, and a field
			      that is not there is its own name: "CreatedAt" is "CREATED AT" */
};

struct gotemplate;
/* -EINVAL "template parsing error: template: :1: ...", with Go's words. */
must_check int gotemplate_parse(const char *text, struct gotemplate **ret, struct err *e);
void gotemplate_free(struct gotemplate *t); /* NULL is fine */

/* Appends to `b`; after an error, what was made up to there is in it, as Go leaves it. */
must_check int gotemplate_execute(const struct gotemplate *t, enum gotemplate_mode mode,
				  const json_t *data, struct buf *b, struct err *e);

/* Parse and execute once. */
must_check int gotemplate_render(const char *text, const json_t *data, struct buf *b,
				 struct err *e);

#endif
