/* SPDX-License-Identifier: MIT */
/* registry_answer.h - JSON of registries and token servers, other than documents. Pure. */
#ifndef REGISTRY_ANSWER_H
#define REGISTRY_ANSWER_H

#include <stddef.h>

#include "err.h"

#define ANSWER_TOKEN_MAX (64U << 10)

/* "token" or "access_token": printable, without spaces, so that it fits a header. Caller frees. */
must_check int token_answer_parse(const char *data, size_t len, char **ret, struct err *e);

/*
 * Of {"errors": [{"code", "message"}]} the first that says something, as "CODE: message"; of
 * OAuth's
 * {"error", "error_description"} likewise; of {"details"} or {"message"} the text. "" when there is
 * none. Control bytes become '?'.
 */
void error_answer_text(const char *data, size_t len, char *ret, size_t size);

#endif
