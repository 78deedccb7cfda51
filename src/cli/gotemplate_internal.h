/* SPDX-License-Identifier: MIT */
/* gotemplate_internal.h - shared by gotemplate*.c only */
#ifndef GOTEMPLATE_INTERNAL_H
#define GOTEMPLATE_INTERNAL_H

#include <stdbool.h>

#include "gotemplate.h"

#define TEMPLATE_TEXT_MAX  (1U << 20)
#define TEMPLATE_DEPTH_MAX 64U      /* of blocks and parentheses, and of data that is printed */
#define TEMPLATE_STEPS_MAX 2000000U /* nodes executed, items ranged over */
#define TEMPLATE_ARGS_MAX  64U

/* ---- the tree, made by gotemplate_parse.c ---- */

enum node_kind {
	/* what a template is a list of */
	NODE_TEXT,
	NODE_OUTPUT, /* pipe */
	NODE_IF,     /* pipe, body, otherwise */
	NODE_WITH,
	NODE_RANGE,
	NODE_BREAK,
	NODE_CONTINUE,
	/* expressions */
	NODE_PIPE,    /* body: commands; vars, n_vars, is_assignment */
	NODE_COMMAND, /* body: operands */
	NODE_DOT,
	NODE_NIL,
	NODE_LITERAL,  /* value */
	NODE_VARIABLE, /* text: "$name" */
	NODE_FUNCTION, /* text */
	NODE_PAREN,    /* pipe */
	NODE_FIELD,    /* text; only in a list of fields */
};

struct node {
	enum node_kind kind;
	size_t at, end;    /* bytes of the source that it stands for */
	struct node *next; /* in its list */
	struct node *all;  /* every node of the template, to free them */
	const char *text;  /* of the source, not terminated */
	size_t len;
	json_t *value;
	struct node *pipe, *body, *otherwise;
	struct node *fields; /* ".A.B" after an operand */
	struct {
		const char *name;
		size_t len;
	} vars[2];
	unsigned n_vars;
	bool is_assignment;
};

struct gotemplate {
	char *source;
	struct node *all;
	struct node *body;
};

/* A literal at p: its value, and where it ends. */
must_check int literal_string(const char *p, json_t **ret, const char **ret_end, const char **why);
must_check int literal_number(const char *p, json_t **ret, const char **ret_end, const char **why);
bool function_is_known(const char *name, size_t len);

/* ---- values ---- */

/* What Go's type would say and JSON does not: how a null prints, whether a key may be missing. */
enum value_shape { SHAPE_PLAIN, SHAPE_MAP, SHAPE_TEXT_MAP, SHAPE_LIST };

struct value {
	json_t *j; /* borrowed from data, template or run->pool; NULL: no value at all */
	enum value_shape shape;
};

struct run {
	const struct gotemplate *t;
	enum gotemplate_mode mode;
	struct buf *out;
	struct err *e;
	json_t *pool; /* holds the values that were made on the way */
	size_t steps;
	struct {
		const char *name;
		size_t len;
		struct value v;
	} * vars;
	size_t n_vars;
	bool is_broken, is_continued; /* on the way out of a loop's body */
};

int template_error(struct run *r, const struct node *at, const char *fmt, ...) printf_like(3, 4);
/* Takes the reference over into the pool. NULL j: out of memory. */
must_check int value_keep(struct run *r, json_t *j, struct value *ret);
must_check int value_text(struct run *r, const char *text, size_t len, struct value *ret);
bool value_is_true(struct value v);
/* The shape of what is found under this key. */
enum value_shape value_shape_of(const char *key, size_t len);
/* Sorted keys of an object, as Go iterates; the caller frees the array. NULL: out of memory. */
const char **object_keys_sorted(json_t *o, size_t *ret_n);
/* "value" as in "expected integer; got %s" */
const char *value_type_name(const json_t *j);

/* ---- gotemplate_print.c ---- */

must_check int value_print(struct buf *b, struct value v, unsigned depth); /* Go's %v */
must_check int value_printf(struct buf *b, const char *format, const struct value *args, size_t n);

/* ---- gotemplate_function.c ---- */

must_check int function_call(struct run *r, const struct node *command, const struct node *function,
			     const struct value *args, size_t n, struct value *ret);

#endif
