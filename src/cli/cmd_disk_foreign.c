/* SPDX-License-Identifier: MIT */
/*
 * cmd_disk_foreign.c - qcow2, VMDK and VHDX, through qemu-img
 *
 * Such an image may name other files: a backing file, a data file, extents. A hostile one names
 * the user's secrets, which would be in the result. qemu-img is therefore told each format and
 * never guesses, the backing file is set to none, and what `qemu-img info` finds to be in more
 * than the one file is refused before anything is read.
 */
#include <string.h>

#include "child.h"
#include "cmd_disk.h"
#include "json_text.h"

#define INFO_MAX (1U << 20)

/* An image of a format in a plain file, as qemu's options in JSON: no part of the name is special.
 */
static char *source_make(const char *path, const char *format)
{
	json_t *file = json_pack("{s:s,s:s}", "driver", "file", "filename", path);
	json_t *o = file ? json_pack("{s:s,s:o}", "driver", format, "file", file) : NULL;
	char *json = NULL, *text = NULL;

	if (o && (strcmp(format, "qcow2") == 0 || strcmp(format, "vmdk") == 0))
		(void)json_object_set_new(o, "backing", json_null());
	if (o)
		json = json_text(o, JSON_COMPACT);
	if (json && asprintf(&text, "json:%s", json) < 0)
		text = NULL;
	free(json);
	json_decref(o);
	return text;
}

static int refuse(struct err *e, const char *path, const char *what)
{
	return err_plain(e, EINVAL, "%.300s: %s", path, what);
}

static int extents_check(const json_t *extents, const char *path, struct err *e)
{
	const json_t *x;
	size_t i;

	json_array_foreach (extents, i, x) {
		const char *name = json_string_value(json_object_get(x, "filename"));

		if (!name || strcmp(name, path) != 0)
			return refuse(e, path, "its data is in other files; that is not followed");
	}
	return 0;
}

static int info_check(const json_t *info, const char *path, struct err *e)
{
	const json_t *specific = json_object_get(info, "format-specific");
	const json_t *data = json_object_get(specific, "data");

	if (!json_is_object(info))
		return refuse(e, path, "qemu-img info said nothing that can be understood");
	if (json_object_get(info, "backing-filename") ||
	    json_object_get(info, "full-backing-filename"))
		return refuse(e, path, "it has a backing file; that is not followed");
	if (json_object_get(data, "data-file"))
		return refuse(e, path, "it has a data file; that is not followed");
	return extents_check(json_object_get(data, "extents"), path, e);
}

int disk_foreign_check(const char *json, size_t len, const char *path, struct err *e)
{
	json_t *info = json_parse(json, len, 0, NULL);
	int rc = info_check(info, path, e);

	json_decref(info);
	return rc;
}

static int qemu_img(const char *const *argv, struct buf *out, struct err *e)
{
	int status;

	if (child_run(argv, out, &status, e) < 0)
		return e->code == ENOENT
			       ? err_plain(e, ENOENT,
					   "qemu-img is not installed (qemu-utils); without it "
					   "only raw and VHD are converted")
			       : -e->code;
	return status ? err_plain(e, EIO, "qemu-img %s failed", argv[1]) : 0;
}

int disk_foreign_to_raw(const char *from, enum disk_format format, const char *to, struct err *e)
{
	auto_free char *source = source_make(from, disk_format_name(format));
	const char *const info[] = { "qemu-img", "info", "--output=json", source, NULL };
	const char *const convert[] = { "qemu-img", "convert", "-O", "raw", source, to, NULL };
	auto_buf out = BUF_LIMIT(INFO_MAX);

	if (!source)
		return refuse(e, from, "a name that is not UTF-8 cannot be given to qemu-img");
	if (qemu_img(info, &out, e) < 0 ||
	    disk_foreign_check(out.data ? out.data : "", out.len, from, e) < 0)
		return -e->code;
	return qemu_img(convert, NULL, e);
}

int disk_foreign_from_raw(const char *from, const char *to, enum disk_format format, struct err *e)
{
	auto_free char *source = source_make(from, "raw");
	const char *const convert[] = { "qemu-img", "convert", "-O", disk_format_name(format),
					source,     to,        NULL };

	if (!source)
		return refuse(e, from, "a name that is not UTF-8 cannot be given to qemu-img");
	return qemu_img(convert, NULL, e);
}
