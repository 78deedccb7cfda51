/* SPDX-License-Identifier: MIT */
/* fuzz_foreign_info.c - what qemu-img says of an image: its JSON, and why it could not */
#include "fuzz_input.h"

#include <jansson.h>

#include "foreign_info.h"

static void words(const char *text, size_t len)
{
	char ret[FOREIGN_WORDS_MAX];

	memset(ret, 'x', sizeof(ret));
	foreign_words(text, len, ret);
	MUST(memchr(ret, '\0', sizeof(ret)) && !strchr(ret, '\n'));
	(void)foreign_words_name_file(ret);
}

/* What passes names no file but the one. */
static void info(const char *text, size_t len)
{
	const json_t *extents, *x;
	struct err e = { 0 };
	json_t *o;
	size_t i;

	if (foreign_info_check(text, len, "vmdk", &e) < 0) {
		MUST(e.code == EINVAL && e.msg[0]);
		return;
	}
	o = json_loadb(text, len, 0, NULL);
	MUST(!strcmp(json_string_value(json_object_get(o, "format")), "vmdk"));
	MUST(!json_object_get(o, "backing-filename"));
	extents = json_object_get(json_object_get(json_object_get(o, "format-specific"), "data"),
				  "extents");
	json_array_foreach (extents, i, x)
		MUST(!strcmp(json_string_value(json_object_get(x, "filename")), "/proc/self/fd/3"));
	json_decref(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	auto_free char *text = NULL;

	if (len == 0)
		return 0;
	text = malloc(len); /* exact: what is read behind it is found */
	MUST(text);
	memcpy(text, data + 1, len - 1);
	(data[0] & 1 ? words : info)(text, len - 1);
	return 0;
}
