/* SPDX-License-Identifier: MIT */
/* doc_internal.h - JSON of documents, for doc*.c only: wrong types and keys are errors */
#ifndef DOC_INTERNAL_H
#define DOC_INTERNAL_H

#include <jansson.h>

#include "doc.h"

enum doc_duty { DOC_MAY_BE, DOC_MUST_BE };

/* NULL: no object, or not as it must be. */
json_t *doc_object_load(const void *data, size_t len, struct err *e);
/* Keys that differ from ours in case only are read by some readers and not by others. */
must_check int doc_keys_check(const json_t *o, struct err *e);
/* "" where it is not and need not be. */
must_check int doc_string_get(const json_t *o, const char *key, enum doc_duty duty, char *ret,
			      size_t size, struct err *e);
must_check int doc_object_get(const json_t *o, const char *key, json_t **ret, struct err *e);
must_check int doc_array_get(const json_t *o, const char *key, size_t max, const json_t **ret,
			     struct err *e);

/* Text of the document for a message: printable ASCII, cut. */
const char *doc_shown(const char *s, char *ret, size_t size);
#define SHOWN(s) doc_shown(s, (char[100]){ 0 }, 100)

#endif
