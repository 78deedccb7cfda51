/* SPDX-License-Identifier: MIT */
/* registry_answer.c - [U] see registry_answer.h. Hostile: the bytes, at most 1 MiB of them. */
#include "registry_answer.h"

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "json_text.h"

static bool token_is_fit(const char *t)
{
	size_t n = 0;

	for (; t[n]; n++)
		if (t[n] < 0x21 || t[n] == 0x7f || n == ANSWER_TOKEN_MAX) /* char is signed */
			return false;
	return n > 0;
}

int token_answer_parse(const char *data, size_t len, char **ret, struct err *e)
{
	static const char *const names[] = { "token", "access_token" };
	json_t *j = json_parse(data ? data : "", len, JSON_REJECT_DUPLICATES, NULL);
	const char *token = NULL;
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names) && (!token || !*token); i++)
		token = json_string_value(json_object_get(j, names[i]));
	if (!token || !token_is_fit(token))
		r = err_plain(e, EBADMSG,
			      json_is_object(j) ? "the answer holds no usable token"
						: "the answer is no JSON object");
	else if (!(*ret = strdup(token)))
		r = err_set(e, ENOMEM, "token");
	json_decref(j);
	return r;
}

/* Appends; cuts at the end of the room, never inside a character. */
static void text_add(char *ret, size_t size, const char *s)
{
	size_t n = strlen(ret);

	for (; *s && n + 1 < size; s++) {
		unsigned char c = (unsigned char)s[0], next = (unsigned char)s[1];

		if (c == 0xc2 && next >= 0x80 && next < 0xa0) { /* control characters of Latin 1 */
			ret[n++] = '?';
			s++;
		} else {
			ret[n++] = c < 0x20 || c == 0x7f ? '?' : (char)c;
		}
	}
	if (((unsigned char)*s & 0xc0) == 0x80) { /* it goes on in the middle of a character */
		while (n > 0 && ((unsigned char)ret[n - 1] & 0xc0) == 0x80)
			n--;
		n -= n > 0;
	}
	ret[n] = '\0';
}

static bool pair_show(const json_t *o, const char *code_key, const char *text_key, char *ret,
		      size_t size)
{
	const char *code = json_string_value(json_object_get(o, code_key));
	const char *text = json_string_value(json_object_get(o, text_key));

	if (code && *code)
		text_add(ret, size, code);
	if (code && *code && text && *text)
		text_add(ret, size, ": ");
	if (text && *text)
		text_add(ret, size, text);
	return ret[0] != '\0';
}

void error_answer_text(const char *data, size_t len, char *ret, size_t size)
{
	json_t *j = json_parse(data ? data : "", len, 0, NULL);
	const json_t *errors = json_object_get(j, "errors");
	size_t n = json_array_size(errors);

	ret[0] = '\0';
	for (size_t i = 0; i < n && ret[0] == '\0'; i++)
		(void)pair_show(json_array_get(errors, i), "code", "message", ret, size);
	if (ret[0] == '\0' && !pair_show(j, "error", "error_description", ret, size) &&
	    !pair_show(j, "code", "message", ret, size))
		(void)pair_show(j, "", "details", ret, size);
	json_decref(j);
}
