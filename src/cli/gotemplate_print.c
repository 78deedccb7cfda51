/* SPDX-License-Identifier: MIT */
/* gotemplate_print.c - values as Go's fmt prints them: %v, and the verbs of printf */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "gotemplate_internal.h"

#define FIELD_MAX 4096 /* widest width and precision of a verb */

const char *value_type_name(const json_t *j)
{
	switch (j ? json_typeof(j) : JSON_NULL) {
	case JSON_TRUE:
	case JSON_FALSE:
		return "bool";
	case JSON_INTEGER:
		return "int";
	case JSON_REAL:
		return "float64";
	case JSON_STRING:
		return "string";
	case JSON_ARRAY:
		return "[]interface {}";
	case JSON_OBJECT:
		return "map[string]interface {}";
	default:
		return "<nil>";
	}
}

static int key_compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char **object_keys_sorted(json_t *o, size_t *ret_n)
{
	const char **keys = calloc(json_object_size(o) + 1, sizeof(*keys)), *key;
	size_t n = 0;
	json_t *v;

	if (!keys)
		return NULL;
	json_object_foreach (o, key, v)
		keys[n++] = key;
	qsort(keys, n, sizeof(*keys), key_compare);
	*ret_n = n;
	return keys;
}

/* The shortest text that reads back as `d`; exponents below -4 and from 6 on. */
static int real_print(struct buf *b, double d)
{
	char digits[40], text[40];
	int precision = 0, exponent;

	do
		snprintf(digits, sizeof(digits), "%.*e", precision, d);
	while (strtod(digits, NULL) != d && ++precision < 17);
	exponent = (int)strtol(strchr(digits, 'e') + 1, NULL, 10);
	if (exponent < -4 || exponent >= 6)
		return buf_add_str(b, digits);
	snprintf(text, sizeof(text), "%.*f", MAX_OF(precision - exponent, 0), d);
	return buf_add_str(b, text);
}

static int array_print(struct buf *b, json_t *a, unsigned depth)
{
	int rc = buf_add_str(b, "[");

	for (size_t i = 0; rc == 0 && i < json_array_size(a); i++) {
		rc = i ? buf_add_str(b, " ") : 0;
		if (rc == 0)
			rc = value_print(b, (struct value){ json_array_get(a, i), SHAPE_PLAIN },
					 depth + 1);
	}
	return rc == 0 ? buf_add_str(b, "]") : rc;
}

static int object_print(struct buf *b, struct value v, unsigned depth)
{
	size_t n;
	auto_free const char **keys = object_keys_sorted(v.j, &n);
	int rc = keys ? buf_add_str(b, "map[") : -ENOMEM;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		struct value item = { json_object_get(v.j, keys[i]), SHAPE_PLAIN };

		if (v.shape == SHAPE_PLAIN)
			item.shape = value_shape_of(keys[i], strlen(keys[i]));
		rc = buf_addf(b, "%s%s:", i ? " " : "", keys[i]);
		if (rc == 0)
			rc = value_print(b, item, depth + 1);
	}
	return rc == 0 ? buf_add_str(b, "]") : rc;
}

int value_print(struct buf *b, struct value v, unsigned depth)
{
	if (depth > TEMPLATE_DEPTH_MAX)
		return buf_add_str(b, "...");
	switch (v.j ? json_typeof(v.j) : JSON_NULL) {
	case JSON_TRUE:
		return buf_add_str(b, "true");
	case JSON_FALSE:
		return buf_add_str(b, "false");
	case JSON_INTEGER:
		return buf_addf(b, "%" JSON_INTEGER_FORMAT, json_integer_value(v.j));
	case JSON_REAL:
		return real_print(b, json_real_value(v.j));
	case JSON_STRING:
		return buf_add(b, json_string_value(v.j), json_string_length(v.j));
	case JSON_ARRAY:
		return array_print(b, v.j, depth);
	case JSON_OBJECT:
		return object_print(b, v, depth);
	default:
		break;
	}
	return buf_add_str(b, !v.j || v.shape == SHAPE_PLAIN ? "<nil>"
			      : v.shape == SHAPE_LIST        ? "[]"
							     : "map[]");
}

/* ---- printf ---- */

struct verb {
	bool left, zero, plus, space, sharp, has_precision;
	int width, precision;
	char c;
};

static bool number_read(const char **p, int *ret)
{
	const char *start = *p;

	for (*ret = 0; **p >= '0' && **p <= '9'; (*p)++)
		*ret = MIN_OF(*ret * 10 + (**p - '0'), FIELD_MAX);
	return *p != start;
}

static const char *verb_read(const char *p, struct verb *v)
{
	*v = (struct verb){ 0 };
	for (; *p && strchr("-0+ #", *p); p++) {
		v->left |= *p == '-';
		v->zero |= *p == '0';
		v->plus |= *p == '+';
		v->space |= *p == ' ';
		v->sharp |= *p == '#';
	}
	(void)number_read(&p, &v->width);
	if (*p == '.') {
		p++;
		v->has_precision = true;
		(void)number_read(&p, &v->precision);
	}
	v->c = *p;
	return *p ? p + 1 : p;
}

static size_t characters(const char *p, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += ((unsigned char)p[i] & 0xc0) != 0x80;
	return n;
}

static int padded_add(struct buf *b, const struct verb *v, const char *p, size_t len)
{
	size_t n = characters(p, len), pad = (size_t)v->width > n ? (size_t)v->width - n : 0;
	int rc = 0;

	if (v->left)
		rc = buf_add(b, len ? p : "", len);
	for (; rc == 0 && pad > 0; pad--)
		rc = buf_add(b, v->zero && !v->left ? "0" : " ", 1);
	return rc == 0 && !v->left ? buf_add(b, len ? p : "", len) : rc;
}

/* Go's %q: what does not print is escaped. */
static int quote_add(struct buf *b, const char *p, size_t len)
{
	static const char codes[] = "\a\b\f\n\r\t\v\\\"", names[] = "abfnrtv\\\"";
	int rc = buf_add_str(b, "\"");

	for (size_t i = 0; rc == 0 && i < len; i++) {
		const char *code = p[i] ? strchr(codes, p[i]) : NULL;

		if (code)
			rc = buf_addf(b, "\\%c", names[code - codes]);
		else if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
			rc = buf_addf(b, "\\x%02x", (unsigned char)p[i]);
		else
			rc = buf_add(b, &p[i], 1);
	}
	return rc == 0 ? buf_add_str(b, "\"") : rc;
}

static int wrong_add(struct buf *b, char c, struct value v)
{
	if (!v.j || json_is_null(v.j))
		return buf_addf(b, "%%!%c(<nil>)", c);
	if (buf_addf(b, "%%!%c(%s=", c, value_type_name(v.j)) < 0 || value_print(b, v, 0) < 0)
		return -ENOMEM;
	return buf_add_str(b, ")");
}

static int text_verb(struct buf *b, const struct verb *v, struct value arg)
{
	auto_buf t = { 0 };
	const char *p;
	size_t len = 0, kept = 0;
	int rc = value_print(&t, arg, 0);

	if (rc < 0)
		return rc;
	p = t.data ? t.data : "";
	while (v->has_precision && v->c != 'v' && kept <= (size_t)v->precision && len < t.len) {
		kept += ((unsigned char)p[len] & 0xc0) != 0x80;
		len += kept <= (size_t)v->precision;
	}
	if (!v->has_precision || v->c == 'v')
		len = t.len;
	if (v->c == 'q') {
		auto_buf q = { 0 };

		rc = quote_add(&q, p, len);
		return rc < 0 ? rc : padded_add(b, v, q.data, q.len);
	}
	if (v->c == 'x' || v->c == 'X') {
		auto_buf x = { 0 };

		for (size_t i = 0; rc == 0 && i < len; i++)
			rc = buf_addf(&x, v->c == 'x' ? "%02x" : "%02X", (unsigned char)p[i]);
		return rc < 0 ? rc : padded_add(b, v, x.data, x.len);
	}
	return padded_add(b, v, p, len);
}

static int integer_verb(struct buf *b, const struct verb *v, json_int_t n)
{
	char digits[80], *end = digits + sizeof(digits) - 1, *p = end;
	unsigned base = v->c == 'x' || v->c == 'X' ? 16 : v->c == 'o' ? 8 : v->c == 'b' ? 2 : 10;
	uint64_t left = n < 0 ? -(uint64_t)n : (uint64_t)n;
	const char *set = v->c == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
	int width = MIN_OF(v->width, 64);
	struct verb plain = *v;

	*end = 0;
	do
		*--p = set[left % base];
	while ((left /= base) > 0);
	if (v->sharp && base == 16) {
		*--p = v->c;
		*--p = '0';
	}
	while (v->zero && !v->left && end - p < width - (n < 0 || v->plus) && p > digits + 1)
		*--p = '0';
	if (n < 0 || v->plus || v->space)
		*--p = n < 0 ? '-' : v->plus ? '+' : ' ';
	plain.zero = false;
	return padded_add(b, &plain, p, (size_t)(end - p));
}

static int real_verb(struct buf *b, const struct verb *v, double d)
{
	char t[400 + 64];
	const char *fmt;
	int precision = v->has_precision ? MIN_OF(v->precision, 60) : 6;

	if (v->c == 'g' && !v->has_precision)
		return real_print(b, d);
	fmt = v->c == 'e' ? "%.*e" : v->c == 'g' ? "%.*g" : "%.*f";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* one of the three above */
	snprintf(t, sizeof(t), fmt, precision, d);
#pragma GCC diagnostic pop
	if (v->zero && *t == '-') { /* zeros go behind the sign */
		struct verb rest = *v;

		rest.width = MAX_OF(v->width - 1, 0);
		return buf_add_str(b, "-") < 0 ? -ENOMEM
					       : padded_add(b, &rest, t + 1, strlen(t + 1));
	}
	return padded_add(b, v, t, strlen(t));
}

static int character_verb(struct buf *b, const struct verb *v, json_int_t n)
{
	char t[8];
	const char *quote = v->c == 'q' ? "'" : "";

	if (n >= 0x20 && n < 0x7f)
		snprintf(t, sizeof(t), "%s%c%s", quote, (int)n, quote);
	else if (n >= 0 && n < 0x20 && v->c == 'q')
		snprintf(t, sizeof(t), "'\\x%02x'", (unsigned)n);
	else
		snprintf(t, sizeof(t), "%s\xef\xbf\xbd%s", quote, quote); /* U+FFFD */
	return padded_add(b, v, t, strlen(t));
}

static int verb_print(struct buf *b, const struct verb *v, struct value arg)
{
	if (v->c == 'v')
		return json_is_string(arg.j) && v->sharp
			       ? quote_add(b, json_string_value(arg.j), json_string_length(arg.j))
			       : text_verb(b, v, arg);
	if (v->c == 'T')
		return buf_add_str(b, value_type_name(arg.j));
	if (json_is_string(arg.j) && strchr("sqxX", v->c))
		return text_verb(b, v, arg);
	if (json_is_integer(arg.j) && strchr("dxXob", v->c))
		return integer_verb(b, v, json_integer_value(arg.j));
	if (json_is_integer(arg.j) && strchr("cq", v->c))
		return character_verb(b, v, json_integer_value(arg.j));
	if (json_is_real(arg.j) && strchr("feg", v->c))
		return real_verb(b, v, json_real_value(arg.j));
	if (json_is_boolean(arg.j) && v->c == 't')
		return text_verb(b, v, arg);
	if ((json_is_array(arg.j) || json_is_object(arg.j)) && v->c == 's')
		return text_verb(b, v, arg);
	return wrong_add(b, v->c, arg);
}

static int extra_add(struct buf *b, const struct value *args, size_t n)
{
	int rc = n ? buf_add_str(b, "%!(EXTRA ") : 0;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		rc = buf_addf(b, "%s%s=", i ? ", " : "", value_type_name(args[i].j));
		if (rc == 0)
			rc = value_print(b, args[i], 0);
	}
	return rc == 0 && n ? buf_add_str(b, ")") : rc;
}

int value_printf(struct buf *b, const char *format, const struct value *args, size_t n)
{
	size_t used = 0;
	int rc = 0;

	while (rc == 0 && *format) {
		size_t len = strcspn(format, "%");
		struct verb v;

		rc = buf_add(b, format, len);
		format += len;
		if (rc < 0 || !*format)
			break;
		format = verb_read(format + 1, &v);
		if (v.c == '%')
			rc = buf_add_str(b, "%");
		else if (!v.c)
			rc = buf_add_str(b, "%!(NOVERB)");
		else if (used == n)
			rc = buf_addf(b, "%%!%c(MISSING)", v.c);
		else
			rc = verb_print(b, &v, args[used++]);
	}
	return rc == 0 ? extra_add(b, args + used, n - used) : rc;
}
