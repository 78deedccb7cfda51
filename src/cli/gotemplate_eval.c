/* SPDX-License-Identifier: MIT */
/*
 * gotemplate_eval.c - walking the tree of a template over data
 *
 * Data is what `docker inspect` would hold in structs and maps; as JSON both are objects. A field
 * that is not there is an error, as in Docker, but for the few keys whose values are maps
 * (value_shape_of()), where it is "<no value>".
 *
 * Memory: values made on the way live in run->pool until the end; steps are counted, so the pool is
 * bounded.
 */
#include <stdarg.h>
#include <string.h>

#include "gotemplate_internal.h"

#define RUN_VARS_MAX 256U
#define NAME_MAX_LEN 255U

static int list_exec(struct run *r, struct value dot, const struct node *list);
static int pipe_eval(struct run *r, struct value dot, const struct node *pipe, struct value *ret);

/* Where Go would point: at the second of several fields, else the first. */
static size_t error_offset(const struct node *n)
{
	if (n->kind == NODE_DOT && n->fields && n->fields->next)
		return n->fields->next->at;
	return n->kind != NODE_DOT && n->fields ? n->fields->at : n->at;
}

int template_error(struct run *r, const struct node *at, const char *fmt, ...)
{
	const char *source = r->t->source;
	size_t line = 1, start = 0, where = error_offset(at);
	char text[256];
	va_list ap;

	for (size_t i = 0; i < where; i++) {
		if (source[i] != '\n')
			continue;
		line++;
		start = i + 1;
	}
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_plain(r->e, EINVAL,
			 "template parsing error: template: :%zu:%zu: executing \"\" at <%.*s>: %s",
			 line, where - start, (int)MIN_OF(at->end - at->at, 100U), source + at->at,
			 text);
}

static int step(struct run *r, const struct node *at)
{
	return ++r->steps > TEMPLATE_STEPS_MAX ? template_error(r, at, "the template runs too long")
					       : 0;
}

int value_keep(struct run *r, json_t *j, struct value *ret)
{
	if (!j || json_array_append_new(r->pool, j) < 0)
		return err_set(r->e, ENOMEM, "template");
	*ret = (struct value){ j, SHAPE_PLAIN };
	return 0;
}

int value_text(struct run *r, const char *text, size_t len, struct value *ret)
{
	return value_keep(r, json_stringn_nocheck(len ? text : "", len), ret);
}

bool value_is_true(struct value v)
{
	switch (v.j ? json_typeof(v.j) : JSON_NULL) {
	case JSON_TRUE:
		return true;
	case JSON_INTEGER:
		return json_integer_value(v.j) != 0;
	case JSON_REAL:
		return json_real_value(v.j) != 0;
	case JSON_STRING:
		return json_string_length(v.j) > 0;
	case JSON_ARRAY:
		return json_array_size(v.j) > 0;
	case JSON_OBJECT:
		return json_object_size(v.j) > 0;
	default:
		return false;
	}
}

enum value_shape value_shape_of(const char *key, size_t len)
{
	static const struct {
		const char *key;
		enum value_shape shape;
	} known[] = {
		{ "Labels", SHAPE_TEXT_MAP },
		{ "Sysctls", SHAPE_TEXT_MAP },
		{ "Tmpfs", SHAPE_TEXT_MAP },
		{ "Options", SHAPE_TEXT_MAP },
		{ "Annotations", SHAPE_TEXT_MAP },
		{ "Ports", SHAPE_MAP },
		{ "PortBindings", SHAPE_MAP },
		{ "ExposedPorts", SHAPE_MAP },
		{ "Volumes", SHAPE_MAP },
		{ "Networks", SHAPE_MAP },
		{ "Entrypoint", SHAPE_LIST },
		{ "Cmd", SHAPE_LIST },
		{ "Env", SHAPE_LIST },
		{ "Args", SHAPE_LIST },
		{ "Mounts", SHAPE_LIST },
		{ "Binds", SHAPE_LIST },
		{ "Dns", SHAPE_LIST },
		{ "ExtraHosts", SHAPE_LIST },
		{ "RepoTags", SHAPE_LIST },
		{ "RepoDigests", SHAPE_LIST },
		{ "OnBuild", SHAPE_LIST },
		{ "Layers", SHAPE_LIST },
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strlen(known[i].key) == len && strncmp(known[i].key, key, len) == 0)
			return known[i].shape;
	return SHAPE_PLAIN;
}

/* ---- operands ---- */

/* "CreatedAt": "CREATED AT"; "ID" stays together. */
static int title_make(struct run *r, const char *name, size_t len, struct value *ret)
{
	char t[2 * NAME_MAX_LEN + 1];
	size_t n = 0;

	for (size_t i = 0; i < len && i < NAME_MAX_LEN; i++) {
		char c = name[i];

		if (i > 0 && c >= 'A' && c <= 'Z' && name[i - 1] >= 'a' && name[i - 1] <= 'z')
			t[n++] = ' ';
		t[n++] = (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
	}
	return value_text(r, t, n, ret);
}

static int field_missing(struct run *r, const struct node *operand, const struct node *f,
			 struct value of, struct value *ret)
{
	*ret = (struct value){ 0 };
	if (r->mode == GOTEMPLATE_TITLES)
		return title_make(r, f->text, f->len, ret);
	if (of.shape == SHAPE_MAP || of.shape == SHAPE_TEXT_MAP)
		return 0;
	if (!of.j || json_is_null(of.j))
		return template_error(r, operand, "nil data; no entry for key \"%.*s\"",
				      (int)MIN_OF(f->len, 100U), f->text);
	if (!json_is_object(of.j))
		return template_error(r, operand, "can't evaluate field %.*s in type %s",
				      (int)MIN_OF(f->len, 100U), f->text, value_type_name(of.j));
	return template_error(r, operand, "map has no entry for key \"%.*s\"",
			      (int)MIN_OF(f->len, 100U), f->text);
}

static int field_get(struct run *r, const struct node *operand, const struct node *f,
		     struct value of, struct value *ret)
{
	char name[NAME_MAX_LEN + 1];
	json_t *j;

	snprintf(name, sizeof(name), "%.*s", (int)MIN_OF(f->len, NAME_MAX_LEN), f->text);
	j = f->len <= NAME_MAX_LEN ? json_object_get(of.j, name) : NULL;
	if (!j)
		return field_missing(r, operand, f, of, ret);
	*ret = (struct value){ j, of.shape == SHAPE_PLAIN ? value_shape_of(f->text, f->len)
							  : SHAPE_PLAIN };
	return 0;
}

static int variable_get(struct run *r, const struct node *n, struct value *ret)
{
	for (size_t i = r->n_vars; i > 0; i--) {
		if (r->vars[i - 1].len == n->len &&
		    strncmp(r->vars[i - 1].name, n->text, n->len) == 0) {
			*ret = r->vars[i - 1].v;
			return 0;
		}
	}
	return template_error(r, n, "undefined variable: %.*s", (int)MIN_OF(n->len, 100U), n->text);
}

static int operand_eval(struct run *r, struct value dot, const struct node *n, struct value *ret)
{
	struct value v = dot;
	int rc = step(r, n);

	switch (n->kind) {
	case NODE_NIL:
		v = (struct value){ 0 };
		break;
	case NODE_LITERAL:
		v = (struct value){ n->value, SHAPE_PLAIN };
		break;
	case NODE_VARIABLE:
		rc = rc < 0 ? rc : variable_get(r, n, &v);
		break;
	case NODE_PAREN:
		rc = rc < 0 ? rc : pipe_eval(r, dot, n->pipe, &v);
		break;
	case NODE_FUNCTION:
		rc = rc < 0 ? rc : function_call(r, n, n, NULL, 0, &v);
		break;
	default: /* the dot */
		break;
	}
	for (const struct node *f = n->fields; rc == 0 && f; f = f->next)
		rc = field_get(r, n, f, v, &v);
	if (rc == 0)
		*ret = v;
	return rc;
}

/* ---- commands and pipelines ---- */

/* and, or: what is not needed is not looked at. */
static int logic_eval(struct run *r, struct value dot, const struct node *c,
		      const struct value *final, struct value *ret)
{
	bool stops_at = c->body->len == 2; /* "or" */
	struct value v = { 0 };

	if (!c->body->next && !final)
		return template_error(r, c->body,
				      "wrong number of args for %s: want at least 1 got 0",
				      stops_at ? "or" : "and");
	for (const struct node *a = c->body->next; a; a = a->next) {
		if (operand_eval(r, dot, a, &v) < 0)
			return -r->e->code;
		if (value_is_true(v) == stops_at) {
			*ret = v;
			return 0;
		}
	}
	*ret = final ? *final : v;
	return 0;
}

static bool is_logic(const struct node *f)
{
	return (f->len == 2 && strncmp(f->text, "or", 2) == 0) ||
	       (f->len == 3 && strncmp(f->text, "and", 3) == 0);
}

static int function_eval(struct run *r, struct value dot, const struct node *c,
			 const struct value *final, struct value *ret)
{
	struct value args[TEMPLATE_ARGS_MAX + 1];
	size_t n = 0;

	if (is_logic(c->body))
		return logic_eval(r, dot, c, final, ret);
	for (const struct node *a = c->body->next; a; a = a->next)
		if (operand_eval(r, dot, a, &args[n++]) < 0)
			return -r->e->code;
	if (final)
		args[n++] = *final;
	return function_call(r, c, c->body, args, n, ret);
}

/* In "a=1,b=2". */
static int label_in_text(struct run *r, const char *p, const char *key, struct value *ret)
{
	size_t len = strlen(key);

	while (*p) {
		size_t n = strcspn(p, ",");

		if (n > len && strncmp(p, key, len) == 0 && p[len] == '=')
			return value_text(r, p + len + 1, n - len - 1, ret);
		p += n + (p[n] == ',');
	}
	return value_text(r, "", 0, ret);
}

static int label_title(struct run *r, const char *key, struct value *ret)
{
	const char *dot = strrchr(key, '.');
	char t[NAME_MAX_LEN + 1];

	snprintf(t, sizeof(t), "%s", dot ? dot + 1 : key);
	for (char *p = t; *p; p++)
		if (*p == '-' || *p == '_')
			*p = ' ';
	return value_text(r, t, strlen(t), ret);
}

/* {{.Label "key"}}: the one method that Docker's users know. */
static int label_eval(struct run *r, struct value dot, const struct node *c, struct value *ret)
{
	const json_t *labels = json_object_get(dot.j, "Labels");
	struct value key;
	json_t *found;

	if (operand_eval(r, dot, c->body->next, &key) < 0)
		return -r->e->code;
	if (!json_is_string(key.j))
		return template_error(r, c, "wrong type for value; expected string; got %s",
				      value_type_name(key.j));
	if (r->mode == GOTEMPLATE_TITLES)
		return label_title(r, json_string_value(key.j), ret);
	if (json_is_string(labels))
		return label_in_text(r, json_string_value(labels), json_string_value(key.j), ret);
	found = json_object_get(labels, json_string_value(key.j));
	if (!found)
		return value_text(r, "", 0, ret);
	*ret = (struct value){ found, SHAPE_PLAIN };
	return 0;
}

static int command_eval(struct run *r, struct value dot, const struct node *c,
			const struct value *final, struct value *ret)
{
	const struct node *first = c->body, *f = first->fields;
	bool has_args = first->next || final;

	if (step(r, c) < 0)
		return -r->e->code;
	if (first->kind == NODE_FUNCTION)
		return function_eval(r, dot, c, final, ret);
	if (first->kind == NODE_NIL)
		return template_error(r, c, "nil is not a command");
	if (!has_args)
		return operand_eval(r, dot, first, ret);
	if (first->kind == NODE_DOT && f && !f->next && f->len == 5 &&
	    strncmp(f->text, "Label", 5) == 0 && first->next && !first->next->next && !final)
		return label_eval(r, dot, c, ret);
	while (f && f->next)
		f = f->next;
	if (f)
		return template_error(r, first,
				      "%.*s has arguments but cannot be invoked as function",
				      (int)MIN_OF(f->len, 100U), f->text);
	return template_error(r, first, "can't give argument to non-function %.*s",
			      (int)MIN_OF(first->end - first->at, 100U), r->t->source + first->at);
}

static int variable_push(struct run *r, const struct node *at, const char *name, size_t len)
{
	if (r->n_vars == RUN_VARS_MAX)
		return template_error(r, at, "too many variables");
	r->vars[r->n_vars].name = name;
	r->vars[r->n_vars].len = len;
	r->vars[r->n_vars++].v = (struct value){ 0 };
	return 0;
}

static void variable_set(struct run *r, const char *name, size_t len, struct value v)
{
	for (size_t i = r->n_vars; i > 0; i--) {
		if (r->vars[i - 1].len == len && strncmp(r->vars[i - 1].name, name, len) == 0) {
			r->vars[i - 1].v = v;
			return;
		}
	}
}

static int variables_declare(struct run *r, const struct node *pipe)
{
	for (unsigned i = 0; i < pipe->n_vars && !pipe->is_assignment; i++)
		if (variable_push(r, pipe, pipe->vars[i].name, pipe->vars[i].len) < 0)
			return -r->e->code;
	return 0;
}

static int commands_eval(struct run *r, struct value dot, const struct node *pipe,
			 struct value *ret)
{
	struct value v = { 0 };

	for (const struct node *c = pipe->body; c; c = c->next) {
		struct value final = v;

		if (command_eval(r, dot, c, c == pipe->body ? NULL : &final, &v) < 0)
			return -r->e->code;
	}
	*ret = v;
	return 0;
}

static int pipe_eval(struct run *r, struct value dot, const struct node *pipe, struct value *ret)
{
	if (commands_eval(r, dot, pipe, ret) < 0 || variables_declare(r, pipe) < 0)
		return -r->e->code;
	if (pipe->n_vars)
		variable_set(r, pipe->vars[0].name, pipe->vars[0].len, *ret);
	return 0;
}

/* ---- actions ---- */

static int if_exec(struct run *r, struct value dot, const struct node *n)
{
	struct value v;

	if (pipe_eval(r, dot, n->pipe, &v) < 0)
		return -r->e->code;
	if (value_is_true(v))
		return list_exec(r, n->kind == NODE_WITH ? v : dot, n->body);
	return list_exec(r, dot, n->otherwise);
}

static int iterate(struct run *r, const struct node *n, struct value key, struct value item,
		   bool *ret_stop)
{
	const struct node *p = n->pipe;
	size_t mark = r->n_vars;

	if (step(r, n) < 0)
		return -r->e->code;
	if (p->n_vars == 2)
		variable_set(r, p->vars[0].name, p->vars[0].len, key);
	if (p->n_vars)
		variable_set(r, p->vars[p->n_vars - 1].name, p->vars[p->n_vars - 1].len, item);
	if (list_exec(r, item, n->body) < 0)
		return -r->e->code;
	r->n_vars = mark;
	*ret_stop = r->is_broken;
	r->is_broken = r->is_continued = false;
	return 0;
}

static int object_range(struct run *r, const struct node *n, struct value v)
{
	size_t count;
	auto_free const char **keys = object_keys_sorted(v.j, &count);
	bool stop = false;

	if (!keys)
		return err_set(r->e, ENOMEM, "template");
	for (size_t i = 0; i < count && !stop; i++) {
		struct value key,
			item = { json_object_get(v.j, keys[i]),
				 v.shape == SHAPE_PLAIN ? value_shape_of(keys[i], strlen(keys[i]))
							: SHAPE_PLAIN };

		if (value_text(r, keys[i], strlen(keys[i]), &key) < 0 ||
		    iterate(r, n, key, item, &stop) < 0)
			return -r->e->code;
	}
	return 0;
}

/* Arrays, and the numbers below an integer. */
static int count_range(struct run *r, const struct node *n, struct value v)
{
	bool is_array = json_is_array(v.j), stop = false;
	json_int_t count = is_array ? (json_int_t)json_array_size(v.j) : json_integer_value(v.j);

	for (json_int_t i = 0; i < count && !stop; i++) {
		struct value key,
			item = { is_array ? json_array_get(v.j, (size_t)i) : NULL, SHAPE_PLAIN };

		if (value_keep(r, json_integer(i), &key) < 0 ||
		    iterate(r, n, key, is_array ? item : key, &stop) < 0)
			return -r->e->code;
	}
	return 0;
}

static int range_exec(struct run *r, struct value dot, const struct node *n)
{
	struct value v;
	auto_buf text = { 0 };

	if (commands_eval(r, dot, n->pipe, &v) < 0 || variables_declare(r, n->pipe) < 0)
		return -r->e->code;
	if (json_is_object(v.j) && json_object_size(v.j) > 0)
		return object_range(r, n, v);
	if ((json_is_array(v.j) && json_array_size(v.j) > 0) ||
	    (json_is_integer(v.j) && json_integer_value(v.j) > 0))
		return count_range(r, n, v);
	if (!v.j || json_is_null(v.j) || json_is_object(v.j) || json_is_array(v.j) ||
	    json_is_integer(v.j) || r->mode == GOTEMPLATE_TITLES)
		return list_exec(r, dot, n->otherwise);
	if (value_print(&text, v, 0) < 0)
		return err_set(r->e, ENOMEM, "template");
	return template_error(r, n->pipe->body, "range can't iterate over %.100s",
			      text.data ? text.data : "");
}

static int output_exec(struct run *r, struct value dot, const struct node *n)
{
	struct value v;
	int rc;

	if (pipe_eval(r, dot, n->pipe, &v) < 0)
		return -r->e->code;
	if (n->pipe->n_vars)
		return 0;
	if (!v.j || (json_is_null(v.j) && v.shape == SHAPE_PLAIN))
		rc = buf_add_str(r->out, "<no value>");
	else
		rc = value_print(r->out, v, 0);
	return rc < 0 ? err_set(r->e, -rc, "template") : 0;
}

static int node_exec(struct run *r, struct value dot, const struct node *n)
{
	size_t mark = r->n_vars;
	int rc;

	switch (n->kind) {
	case NODE_TEXT:
		rc = buf_add(r->out, n->text, n->len);
		return rc < 0 ? err_set(r->e, -rc, "template") : 0;
	case NODE_OUTPUT:
		return output_exec(r, dot, n); /* what it declares stays */
	case NODE_BREAK:
		r->is_broken = true;
		return 0;
	case NODE_CONTINUE:
		r->is_continued = true;
		return 0;
	default:
		rc = n->kind == NODE_RANGE ? range_exec(r, dot, n) : if_exec(r, dot, n);
		r->n_vars = mark;
		return rc;
	}
}

static int list_exec(struct run *r, struct value dot, const struct node *list)
{
	for (; list && !r->is_broken && !r->is_continued; list = list->next)
		if (step(r, list) < 0 || node_exec(r, dot, list) < 0)
			return -r->e->code;
	return 0;
}

int gotemplate_execute(const struct gotemplate *t, enum gotemplate_mode mode, const json_t *data,
		       struct buf *b, struct err *e)
{
	struct run r = { .t = t, .mode = mode, .out = b, .e = e, .pool = json_array() };
	struct value dot = { NULL, SHAPE_PLAIN };
	int rc;

	r.vars = calloc(RUN_VARS_MAX, sizeof(*r.vars));
	if (!r.pool || !r.vars) {
		rc = err_set(e, ENOMEM, "template");
	} else {
		dot.j = json_incref((json_t *)(uintptr_t)data); /* read only; counts are not data */
		r.vars[r.n_vars].name = "$";
		r.vars[r.n_vars].len = 1;
		r.vars[r.n_vars++].v = dot;
		rc = list_exec(&r, dot, t->body);
		json_decref(dot.j);
	}
	json_decref(r.pool);
	free(r.vars);
	return rc;
}

int gotemplate_render(const char *text, const json_t *data, struct buf *b, struct err *e)
{
	struct gotemplate *t;
	int rc = gotemplate_parse(text, &t, e);

	if (rc < 0)
		return rc;
	rc = gotemplate_execute(t, GOTEMPLATE_DATA, data, b, e);
	gotemplate_free(t);
	return rc;
}
