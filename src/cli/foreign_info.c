/* SPDX-License-Identifier: MIT */
/*
 * foreign_info.c - [U] what qemu-img says of an image of another format
 *
 * The image chose most of it: names, and numbers; and whoever owns qemu-img by its image chose all.
 */
#include "foreign_info.h"

#include <string.h>

#include "json_text.h"

#define SOURCE "/proc/self/fd/3" /* the one file, as caisson-foreign names it */

static int refuse(struct err *e, const char *what)
{
	return err_plain(e, EINVAL, "%s", what);
}

/* NULL is none; what is no list, or holds no names, is no answer of qemu-img's. */
static int extents_check(const json_t *extents, struct err *e)
{
	const json_t *x;
	size_t i;

	if (extents && !json_is_array(extents))
		return refuse(e, "qemu-img info said nothing that can be understood");
	json_array_foreach (extents, i, x) {
		const char *name = json_string_value(json_object_get(x, "filename"));

		if (!name || strcmp(name, SOURCE) != 0)
			return refuse(e, "its data is in other files; that is not followed");
	}
	return 0;
}

static int info_check(const json_t *info, const char *format, struct err *e)
{
	const char *found = json_string_value(json_object_get(info, "format"));
	const json_t *size = json_object_get(info, "virtual-size");
	const json_t *specific = json_object_get(info, "format-specific");
	const json_t *data = json_object_get(specific, "data");

	if (!found || strcmp(found, format) != 0 || !json_is_integer(size) ||
	    json_integer_value(size) < 0 || (specific && !json_is_object(specific)) ||
	    (data && !json_is_object(data)))
		return refuse(e, "qemu-img info said nothing that can be understood");
	if (json_object_get(info, "backing-filename") ||
	    json_object_get(info, "full-backing-filename"))
		return refuse(e, "it has a backing file; that is not followed");
	if (json_object_get(data, "data-file"))
		return refuse(e, "it has a data file; that is not followed");
	return extents_check(json_object_get(data, "extents"), e);
}

int foreign_info_check(const char *json, size_t len, const char *format, struct err *e)
{
	json_t *info = len <= FOREIGN_INFO_MAX ? json_parse(json, len, 0, NULL) : NULL;
	int rc = info_check(info, format, e);

	json_decref(info);
	return rc;
}

void foreign_words(const char *text, size_t len, char ret[FOREIGN_WORDS_MAX])
{
	static const char prefix[] = "qemu-img: ", options[] = "}': ";
	const char *end = memchr(text, '\n', len), *from;

	if (end)
		len = (size_t)(end - text);
	if (len >= sizeof(prefix) - 1 && memcmp(text, prefix, sizeof(prefix) - 1) == 0) {
		text += sizeof(prefix) - 1;
		len -= sizeof(prefix) - 1;
	}
	from = memmem(text, len, options, sizeof(options) - 1);
	if (from) {
		from += sizeof(options) - 1;
		len -= (size_t)(from - text);
		text = from;
	}
	snprintf(ret, FOREIGN_WORDS_MAX, "%.*s", (int)MIN_OF(len, (size_t)FOREIGN_WORDS_MAX), text);
}

bool foreign_words_name_file(const char *words)
{
	static const char *const ends[] = { "': Permission denied",
					    "': No such file or directory" };
	static const char begin[] = "Could not open '";
	size_t len = strlen(words);

	if (strncmp(words, begin, sizeof(begin) - 1) != 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		if (len >= strlen(ends[i]) && strcmp(words + len - strlen(ends[i]), ends[i]) == 0)
			return true;
	return false;
}
