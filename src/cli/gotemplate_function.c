/* SPDX-License-Identifier: MIT */
/* gotemplate_function.c - the functions of templates: Go's own, and those that Docker adds */
#include <stdarg.h>
#include <string.h>

#include "gotemplate_internal.h"
#include "json_text.h"

#define PAD_MAX 4096

struct call {
	struct run *r;
	const struct node *command;
	const char *name;
	const struct value *args;
	size_t n;
};

static int call_error(const struct call *c, const char *fmt, ...) printf_like(2, 3);

static int call_error(const struct call *c, const char *fmt, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return template_error(c->r, c->command, "error calling %s: %s", c->name, text);
}

static int type_error(const struct call *c, const char *wanted, struct value got)
{
	return template_error(c->r, c->command, "wrong type for value; expected %s; got %s", wanted,
			      value_type_name(got.j));
}

static int bool_return(const struct call *c, bool is, struct value *ret)
{
	return value_keep(c->r, json_boolean(is), ret);
}

static int text_return(const struct call *c, const struct buf *b, int rc, struct value *ret)
{
	if (rc < 0)
		return err_set(c->r->e, -rc, "template");
	return value_text(c->r, b->data, b->len, ret);
}

static bool is_nil(struct value v)
{
	return !v.j || json_is_null(v.j);
}

/* ---- comparison ---- */

static bool types_agree(const json_t *a, const json_t *b)
{
	return json_typeof(a) == json_typeof(b) || (json_is_boolean(a) && json_is_boolean(b));
}

static int equal(const struct call *c, struct value a, struct value b, bool *ret)
{
	if (is_nil(a) || is_nil(b)) {
		*ret = is_nil(a) && is_nil(b);
		return 0;
	}
	if (json_is_array(a.j) || json_is_object(a.j))
		return call_error(c, "non-comparable type %s", value_type_name(a.j));
	if (!types_agree(a.j, b.j))
		return call_error(c, "incompatible types for comparison");
	*ret = json_equal(a.j, b.j);
	return 0;
}

static int fn_eq(const struct call *c, struct value *ret)
{
	bool is = false;

	for (size_t i = 1; i < c->n && !is; i++)
		if (equal(c, c->args[0], c->args[i], &is) < 0)
			return -c->r->e->code;
	return bool_return(c, is, ret);
}

static int fn_ne(const struct call *c, struct value *ret)
{
	bool is = false;

	if (equal(c, c->args[0], c->args[1], &is) < 0)
		return -c->r->e->code;
	return bool_return(c, !is, ret);
}

static int order(const struct call *c, int *ret)
{
	const json_t *a = c->args[0].j, *b = c->args[1].j;

	for (size_t i = 0; i < 2; i++) {
		const json_t *j = c->args[i].j;

		if (!json_is_string(j) && !json_is_number(j))
			return call_error(c, "invalid type for comparison");
	}
	if (!types_agree(a, b))
		return call_error(c, "incompatible types for comparison");
	if (json_is_string(a))
		*ret = strcmp(json_string_value(a), json_string_value(b));
	else if (json_is_integer(a))
		*ret = (json_integer_value(a) > json_integer_value(b)) -
		       (json_integer_value(a) < json_integer_value(b));
	else
		*ret = (json_real_value(a) > json_real_value(b)) -
		       (json_real_value(a) < json_real_value(b));
	return 0;
}

static int fn_order(const struct call *c, struct value *ret) /* lt le gt ge */
{
	bool is_less = c->name[0] == 'l', or_equal = c->name[1] == 'e';
	int o = 0;

	if (order(c, &o) < 0)
		return -c->r->e->code;
	return bool_return(c, (is_less ? o < 0 : o > 0) || (or_equal && o == 0), ret);
}

static int fn_not(const struct call *c, struct value *ret)
{
	return bool_return(c, !value_is_true(c->args[0]), ret);
}

/* ---- parts ---- */

static int number_arg(const struct call *c, struct value v, size_t limit, size_t *ret)
{
	json_int_t n = json_integer_value(v.j);

	if (!json_is_integer(v.j))
		return call_error(c, "cannot index slice/array with %s%s", is_nil(v) ? "" : "type ",
				  is_nil(v) ? "nil" : value_type_name(v.j));
	if (n < 0 || (uint64_t)n > limit)
		return call_error(c, "index out of range: %" JSON_INTEGER_FORMAT, n);
	*ret = (size_t)n;
	return 0;
}

static int object_index(const struct call *c, struct value of, struct value key, struct value *ret)
{
	const char *k = json_string_value(key.j);

	if (!k)
		return call_error(c,
				  is_nil(key) ? "value is nil; should be of type string"
					      : "value has type %s; should be string",
				  value_type_name(key.j));
	*ret = (struct value){ json_object_get(of.j, k), SHAPE_PLAIN };
	if (ret->j && of.shape == SHAPE_PLAIN)
		ret->shape = value_shape_of(k, strlen(k));
	return !ret->j && of.shape == SHAPE_TEXT_MAP ? value_text(c->r, "", 0, ret) : 0;
}

static int index_one(const struct call *c, struct value of, struct value key, struct value *ret)
{
	size_t i, n = json_is_array(of.j) ? json_array_size(of.j) : json_string_length(of.j);

	if (json_is_object(of.j) ||
	    (is_nil(of) && (of.shape == SHAPE_MAP || of.shape == SHAPE_TEXT_MAP)))
		return object_index(c, of, key, ret);
	if (is_nil(of) && of.shape != SHAPE_LIST)
		return call_error(c, "index of untyped nil");
	if (!is_nil(of) && !json_is_array(of.j) && !json_is_string(of.j))
		return call_error(c, "can't index item of type %s", value_type_name(of.j));
	if (number_arg(c, key, n, &i) < 0)
		return -c->r->e->code;
	if (i == n)
		return call_error(c, "index out of range: %zu", i);
	if (json_is_string(of.j))
		return value_keep(c->r, json_integer((unsigned char)json_string_value(of.j)[i]),
				  ret);
	*ret = (struct value){ json_array_get(of.j, i), SHAPE_PLAIN };
	return 0;
}

static int fn_index(const struct call *c, struct value *ret)
{
	struct value v = c->args[0];

	if (c->n == 1 && is_nil(v))
		return call_error(c, "index of untyped nil");
	for (size_t i = 1; i < c->n; i++)
		if (index_one(c, v, c->args[i], &v) < 0)
			return -c->r->e->code;
	*ret = v;
	return 0;
}

/* Append `v`, which is consumed; NULL when there is no memory: no shorter list instead. */
static json_t *array_add(json_t *a, json_t *v)
{
	if (json_array_append_new(a, v) == 0)
		return a;
	json_decref(a);
	return NULL;
}

static int array_slice(const struct call *c, size_t from, size_t to, struct value *ret)
{
	json_t *a = json_array();

	for (size_t i = from; a && i < to; i++)
		a = array_add(a, json_incref(json_array_get(c->args[0].j, i)));
	return value_keep(c->r, a, ret);
}

static int fn_slice(const struct call *c, struct value *ret)
{
	struct value v = c->args[0];
	size_t from = 0, to;

	if (!json_is_string(v.j) && !json_is_array(v.j))
		return call_error(c, "can't slice item of type %s", value_type_name(v.j));
	to = json_is_array(v.j) ? json_array_size(v.j) : json_string_length(v.j);
	if (c->n > 2 && number_arg(c, c->args[2], to, &to) < 0)
		return -c->r->e->code;
	if (c->n > 1 && number_arg(c, c->args[1], SIZE_MAX, &from) < 0)
		return -c->r->e->code;
	if (from > to)
		return call_error(c, "invalid slice index: %zu > %zu", from, to);
	return json_is_array(v.j) ? array_slice(c, from, to, ret)
				  : value_text(c->r, json_string_value(v.j) + from, to - from, ret);
}

static int fn_len(const struct call *c, struct value *ret)
{
	struct value v = c->args[0];
	size_t n = 0;

	if (json_is_string(v.j))
		n = json_string_length(v.j);
	else if (json_is_array(v.j))
		n = json_array_size(v.j);
	else if (json_is_object(v.j))
		n = json_object_size(v.j);
	else if (is_nil(v) && v.shape == SHAPE_PLAIN)
		return call_error(c, "len of nil pointer");
	else if (!is_nil(v))
		return call_error(c, "len of type %s", value_type_name(v.j));
	return value_keep(c->r, json_integer((json_int_t)n), ret);
}

/* ---- printing ---- */

static int fn_print(const struct call *c, struct value *ret)
{
	bool is_line = c->name[strlen(c->name) - 1] == 'n'; /* println */
	auto_buf b = { 0 };
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < c->n; i++) {
		bool has_space = i > 0 && (is_line || (!json_is_string(c->args[i].j) &&
						       !json_is_string(c->args[i - 1].j)));

		rc = has_space ? buf_add_str(&b, " ") : 0;
		if (rc == 0)
			rc = value_print(&b, c->args[i], 0);
	}
	if (rc == 0 && is_line)
		rc = buf_add_str(&b, "\n");
	return text_return(c, &b, rc, ret);
}

static int fn_printf(const struct call *c, struct value *ret)
{
	auto_buf b = { 0 };

	if (!json_is_string(c->args[0].j))
		return type_error(c, "string", c->args[0]);
	return text_return(c, &b,
			   value_printf(&b, json_string_value(c->args[0].j), c->args + 1, c->n - 1),
			   ret);
}

static int fn_json(const struct call *c, struct value *ret)
{
	struct value v = c->args[0];
	char *text = is_nil(v) ? strdup("null") : json_text(v.j, JSON_COMPACT | JSON_ENCODE_ANY);
	int rc;

	if (!text)
		return call_error(c, "the value is no valid JSON");
	rc = value_text(c->r, text, strlen(text), ret);
	free(text);
	return rc;
}

/* ---- text ---- */

static int fn_case(const struct call *c, struct value *ret) /* lower upper title */
{
	auto_buf b = { 0 };
	const char *t = json_string_value(c->args[0].j);
	bool at_word = true;

	if (!t)
		return type_error(c, "string", c->args[0]);
	if (buf_add(&b, t, json_string_length(c->args[0].j)) < 0)
		return text_return(c, &b, -ENOMEM, ret);
	for (size_t i = 0; i < b.len; i++) {
		char *p = &b.data[i];
		bool is_letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z');

		if (is_letter && (*c->name == 'u' || (*c->name == 't' && at_word)))
			*p = (char)(*p & ~0x20);
		else if (is_letter && *c->name == 'l')
			*p = (char)(*p | 0x20);
		at_word = !is_letter && !((unsigned char)*p >= 0x80 || *p == '_' || *p == '\'' ||
					  (*p >= '0' && *p <= '9'));
	}
	return text_return(c, &b, 0, ret);
}

static int fn_join(const struct call *c, struct value *ret)
{
	struct value list = c->args[0];
	const char *sep = json_string_value(c->args[1].j);
	auto_buf b = { 0 };
	int rc = 0;

	if (!json_is_array(list.j) && !is_nil(list))
		return type_error(c, "[]string", list);
	if (!sep)
		return type_error(c, "string", c->args[1]);
	for (size_t i = 0; rc == 0 && i < json_array_size(list.j); i++) {
		rc = i ? buf_add_str(&b, sep) : 0;
		if (rc == 0)
			rc = value_print(
				&b, (struct value){ json_array_get(list.j, i), SHAPE_PLAIN }, 0);
	}
	return text_return(c, &b, rc, ret);
}

static size_t character_len(const char *p)
{
	size_t n = 1;

	while (((unsigned char)p[n] & 0xc0) == 0x80)
		n++;
	return n;
}

static int fn_split(const struct call *c, struct value *ret)
{
	const char *t = json_string_value(c->args[0].j), *sep = json_string_value(c->args[1].j);
	json_t *a = json_array();

	if (!t || !sep) {
		json_decref(a);
		return type_error(c, "string", t ? c->args[1] : c->args[0]);
	}
	while (a) {
		const char *end = *sep                        ? strstr(t, sep)
				  : *t && t[character_len(t)] ? t + character_len(t)
							      : NULL;
		size_t len = end ? (size_t)(end - t) : strlen(t);

		if (*sep || len)
			a = array_add(a, json_stringn_nocheck(t, len));
		if (!end)
			break;
		t = end + strlen(sep);
	}
	return value_keep(c->r, a, ret);
}

static int fn_truncate(const struct call *c, struct value *ret)
{
	const char *t = json_string_value(c->args[0].j);
	json_int_t max = json_integer_value(c->args[1].j);
	size_t len = json_string_length(c->args[0].j);

	if (!t)
		return type_error(c, "string", c->args[0]);
	if (!json_is_integer(c->args[1].j) || max < 0)
		return type_error(c, "int", c->args[1]);
	if ((uint64_t)max < len)
		len = (size_t)max;
	while (len > 0 && ((unsigned char)t[len] & 0xc0) == 0x80)
		len--; /* no half characters */
	return value_text(c->r, t, len, ret);
}

static int fn_pad(const struct call *c, struct value *ret)
{
	const char *t = json_string_value(c->args[0].j);
	json_int_t before = json_integer_value(c->args[1].j),
		   after = json_integer_value(c->args[2].j);
	auto_buf b = { 0 };

	if (!t)
		return type_error(c, "string", c->args[0]);
	if (!json_is_integer(c->args[1].j) || before < 0 || before > PAD_MAX)
		return type_error(c, "int", c->args[1]);
	if (!json_is_integer(c->args[2].j) || after < 0 || after > PAD_MAX)
		return type_error(c, "int", c->args[2]);
	if (!*t)
		return value_text(c->r, "", 0, ret);
	return text_return(c, &b, buf_addf(&b, "%*s%s%*s", (int)before, "", t, (int)after, ""),
			   ret);
}

/* ---- the table ---- */

static const struct function {
	const char *name;
	size_t min, max;
	int (*fn)(const struct call *c, struct value *ret);
	bool is_of_docker; /* passes titles on */
} functions[] = {
	{ "and", 1, TEMPLATE_ARGS_MAX, NULL, false }, /* these two are gotemplate_eval.c's */
	{ "or", 1, TEMPLATE_ARGS_MAX, NULL, false },
	{ "not", 1, 1, fn_not, false },
	{ "eq", 1, TEMPLATE_ARGS_MAX, fn_eq, false },
	{ "ne", 2, 2, fn_ne, false },
	{ "lt", 2, 2, fn_order, false },
	{ "le", 2, 2, fn_order, false },
	{ "gt", 2, 2, fn_order, false },
	{ "ge", 2, 2, fn_order, false },
	{ "index", 1, TEMPLATE_ARGS_MAX, fn_index, false },
	{ "slice", 1, 3, fn_slice, false },
	{ "len", 1, 1, fn_len, false },
	{ "print", 0, TEMPLATE_ARGS_MAX, fn_print, false },
	{ "println", 0, TEMPLATE_ARGS_MAX, fn_print, false },
	{ "printf", 1, TEMPLATE_ARGS_MAX, fn_printf, false },
	{ "json", 1, 1, fn_json, true },
	{ "join", 2, 2, fn_join, true },
	{ "split", 2, 2, fn_split, true },
	{ "lower", 1, 1, fn_case, true },
	{ "upper", 1, 1, fn_case, true },
	{ "title", 1, 1, fn_case, true },
	{ "truncate", 2, 2, fn_truncate, true },
	{ "pad", 3, 3, fn_pad, true },
};

static const struct function *function_find(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++)
		if (strlen(functions[i].name) == len && strncmp(functions[i].name, name, len) == 0)
			return &functions[i];
	return NULL;
}

bool function_is_known(const char *name, size_t len)
{
	return function_find(name, len);
}

int function_call(struct run *r, const struct node *command, const struct node *function,
		  const struct value *args, size_t n, struct value *ret)
{
	const struct function *f = function_find(function->text, function->len);
	struct call c = { r, command, f ? f->name : "", args, n };

	if (!f || n < f->min || n > f->max || !f->fn)
		return template_error(r, function,
				      "wrong number of args for %s: want %s%zu got %zu", c.name,
				      f && f->min == f->max ? "" : "at least ", f ? f->min : 0, n);
	if (r->mode == GOTEMPLATE_TITLES && f->is_of_docker) {
		*ret = args[0];
		return 0;
	}
	return f->fn(&c, ret);
}
