/* SPDX-License-Identifier: MIT */
#include "json_text.h"

#include <stdbool.h>

#include "cleanup.h"

/* Set while a thread parses or builds, by the only way in which jansson gets memory. */
static _Thread_local bool is_memory_short;

static void *memory_get(size_t len)
{
	void *p = malloc(len);

	if (!p)
		is_memory_short = true;
	return p;
}

void json_build_begin(void)
{
	/* each time the same: what it had before may be freed as well */
	json_set_alloc_funcs(memory_get, free);
	is_memory_short = false;
}

json_t *json_build_end(json_t *j)
{
	if (!is_memory_short)
		return j;
	json_decref(j);
	return NULL;
}

json_t *json_parse(const char *data, size_t len, size_t flags, json_error_t *why)
{
	bool was_short = is_memory_short, is_short; /* for what is being built around it */
	json_error_t ignored;
	json_t *j;

	if (!why)
		why = &ignored;
	json_build_begin();
	j = json_loadb(data, len, flags, why);
	is_short = is_memory_short;
	is_memory_short |= was_short;
	if (!is_short)
		return j;
	json_decref(j);
	snprintf(why->text, sizeof(why->text), "out of memory");
	return NULL;
}

char *json_text(const json_t *j, size_t flags)
{
	size_t len = j ? json_dumpb(j, NULL, 0, flags) : 0;
	char *text = len ? malloc(len + 1) : NULL;

	if (!text)
		return NULL;
	if (json_dumpb(j, text, len, flags) != len) {
		free(text);
		return NULL;
	}
	text[len] = '\0';
	return text;
}
