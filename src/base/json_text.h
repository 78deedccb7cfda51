/* SPDX-License-Identifier: MIT */
/*
 * json_text.h - JSON from and to text, and built of many parts: whole or not at all
 *
 * jansson looks at no error where it adds to a string: for want of memory json_loads() drops
 * characters from long strings and json_dumps() drops quotes, and both go on. Nor does it say a
 * thing when one adds what could not be made: it adds nothing. These do not.
 */
#ifndef JSON_TEXT_H
#define JSON_TEXT_H

#include <jansson.h>

/* As json_loadb(). NULL: not JSON, or no memory; `why` (may be NULL) has the text. */
json_t *json_parse(const char *data, size_t len, size_t flags, json_error_t *why);

/* As json_dumps(). NULL: no memory, or `j` is NULL. The caller frees. */
char *json_text(const json_t *j, size_t flags);

/*
 * For trees of many elements, checked once: parts made and added by this thread after
 * json_build_begin() need no look each. json_build_end() is `j`, or NULL, with `j` released, when
 * memory was short for any of them. Not nested; a json_parse() in between counts.
 */
void json_build_begin(void);
json_t *json_build_end(json_t *j);

#endif
