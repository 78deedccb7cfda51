/* SPDX-License-Identifier: MIT */
/* gotemplate_literal.c - Go's strings, characters and numbers */
#include <string.h>

#include "gotemplate_internal.h"

#define NUMBER_MAX 64U

static int utf8_add(struct buf *b, unsigned long c)
{
	char u[4];
	size_t n;

	if (c < 0x80) {
		u[0] = (char)c;
		n = 1;
	} else if (c < 0x800) {
		u[0] = (char)(0xc0 | c >> 6);
		n = 2;
	} else if (c < 0x10000) {
		u[0] = (char)(0xe0 | c >> 12);
		n = 3;
	} else {
		u[0] = (char)(0xf0 | c >> 18);
		n = 4;
	}
	for (size_t i = 1; i < n; i++)
		u[i] = (char)(0x80 | (c >> (6 * (n - 1 - i)) & 0x3f));
	return buf_add(b, u, n);
}

/* Exactly `n` digits. */
static bool digits_read(const char *p, size_t n, int base, unsigned long *ret)
{
	*ret = 0;
	for (size_t i = 0; i < n; i++) {
		static const char digits[] = "0123456789abcdef";
		const char *d = p[i] ? strchr(digits, p[i] | 0x20) : NULL;

		if (p[i] >= '0' && p[i] <= '9')
			d = digits + (p[i] - '0');
		if (!d || d - digits >= base)
			return false;
		*ret = *ret * (unsigned)base + (unsigned long)(d - digits);
	}
	return true;
}

/* Behind the backslash. */
static int escape_add(struct buf *b, const char **io_p, char quote)
{
	static const char names[] = "abfnrtv\\", codes[] = "\a\b\f\n\r\t\v\\";
	const char *p = *io_p, *simple = *p ? strchr(names, *p) : NULL;
	size_t n = *p == 'x' ? 2 : *p == 'u' ? 4 : *p == 'U' ? 8 : 3;
	unsigned long c;

	if (simple || (*p && *p == quote)) {
		*io_p = p + 1;
		return buf_add(b, simple ? &codes[simple - names] : p, 1);
	}
	if (n == 3 ? !digits_read(p, 3, 8, &c) || c > 255 : !digits_read(p + 1, n, 16, &c))
		return -EINVAL;
	*io_p = p + (n == 3 ? 3 : n + 1);
	if (n < 4) {
		char byte = (char)c;

		return buf_add(b, &byte, 1);
	}
	if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return -EINVAL;
	return utf8_add(b, c);
}

static int quoted_read(const char *p, struct buf *b, const char **ret_end, const char **why)
{
	char quote = *p++;

	while (*p != quote) {
		int rc;

		if (!*p || *p == '\n') {
			*why = quote == '"' ? "unterminated quoted string"
					    : "unterminated character constant";
			return -EINVAL;
		}
		if (*p == '\\') {
			p++;
			rc = escape_add(b, &p, quote);
		} else {
			rc = buf_add(b, p++, 1);
		}
		if (rc < 0) {
			*why = "invalid syntax";
			return rc;
		}
	}
	*ret_end = p + 1;
	return 0;
}

/* The one character of 'x', as its number. */
static json_t *character(const struct buf *b)
{
	const unsigned char *d = (const unsigned char *)b->data;
	size_t n = b->len == 0        ? 0
		   : d[0] < 0x80      ? 1
		   : d[0] >> 5 == 6   ? 2
		   : d[0] >> 4 == 0xe ? 3
				      : 4;
	unsigned long c;

	if (n == 0 || b->len != n)
		return NULL;
	c = n == 1 ? d[0] : d[0] & (0x7fU >> n);
	for (size_t i = 1; i < n; i++)
		c = c << 6 | (d[i] & 0x3f);
	return json_integer((json_int_t)c);
}

int literal_string(const char *p, json_t **ret, const char **ret_end, const char **why)
{
	auto_buf b = { 0 };

	if (*p == '`') {
		const char *end = strchr(p + 1, '`');

		if (!end) {
			*why = "unterminated raw quoted string";
			return -EINVAL;
		}
		*ret = json_stringn_nocheck(p + 1, (size_t)(end - p - 1));
		*ret_end = end + 1;
		return *ret ? 0 : -ENOMEM;
	}
	if (quoted_read(p, &b, ret_end, why) < 0)
		return -EINVAL;
	*ret = *p == '"' ? json_stringn_nocheck(b.data ? b.data : "", b.len) : character(&b);
	if (!*ret)
		*why = "malformed character constant";
	return *ret ? 0 : -EINVAL;
}

static bool is_number_char(const char *start, const char *p)
{
	bool is_hex = strncasecmp(start + strspn(start, "+-"), "0x", 2) == 0;

	if ((*p >= '0' && *p <= '9') || *p == '.' || *p == '_' || (*p >= 'a' && *p <= 'z') ||
	    (*p >= 'A' && *p <= 'Z'))
		return true;
	return (*p == '+' || *p == '-') && (p == start || (!is_hex && (p[-1] | 0x20) == 'e'));
}

int literal_number(const char *p, json_t **ret, const char **ret_end, const char **why)
{
	char t[NUMBER_MAX], *end;
	size_t n = 0;
	const char *q = p, *digits;
	int base = 10;

	*why = "bad number syntax";
	for (; is_number_char(p, q) && n < sizeof(t) - 1; q++)
		if (*q != '_')
			t[n++] = *q;
	t[n] = 0;
	digits = t + strspn(t, "+-");
	if (digits - t > 1 || !*digits || n == sizeof(t) - 1)
		return -EINVAL;
	errno = 0;
	if (strcspn(digits, ".eE") < strlen(digits) && strncasecmp(digits, "0x", 2) != 0) {
		*ret = json_real(strtod(t, &end));
	} else {
		if (digits[0] == '0' && digits[1]) {
			char kind = (char)(digits[1] | 0x20);

			base = kind == 'x' ? 16 : kind == 'b' ? 2 : 8;
			if (kind == 'b' || kind == 'o') /* strtoll does not know these */
				memmove(t + (digits - t), digits + 2, strlen(digits + 2) + 1);
		}
		*ret = json_integer(strtoll(t, &end, base));
	}
	*ret_end = q;
	return *ret && !*end && end != t && !errno ? 0 : -EINVAL;
}
