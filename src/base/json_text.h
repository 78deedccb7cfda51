/* SPDX-License-Identifier: MIT */
/*
 * json_text.h - JSON from and to text, whole or not at all
 *
 * jansson looks at no error where it adds to a string: for want of memory json_loads() drops
 * characters from long strings and json_dumps() drops quotes, and both go on. These two do not.
 */
#ifndef JSON_TEXT_H
#define JSON_TEXT_H

#include <jansson.h>

/* As json_loadb(). NULL: not JSON, or no memory; `why` (may be NULL) has the text. */
json_t *json_parse(const char *data, size_t len, size_t flags, json_error_t *why);

/* As json_dumps(). NULL: no memory, or `j` is NULL. The caller frees. */
char *json_text(const json_t *j, size_t flags);

#endif
