/* SPDX-License-Identifier: MIT */
/* layer_path.c - [U] names in a layer. Hostile: all input. */
#include "layer_path.h"

#include <stdbool.h>
#include <string.h>

#include "ltree.h"

#define MARK        ".wh."
#define MARK_LEN    4U
#define MARK_OPAQUE ".wh..wh..opq"
#define MARK_AUFS   ".wh..wh."

static void last_drop(struct buf *path)
{
	const char *slash = memrchr(path->data, '/', path->len);

	path->len = slash ? (size_t)(slash - path->data) : 0;
	path->data[path->len] = '\0';
}

static int component_add(struct buf *path, const char *name, size_t len, struct err *e)
{
	if (len > LTREE_NAME_MAX)
		return err_plain(e, EBADMSG, "name of more than %u bytes", LTREE_NAME_MAX);
	if (path->len + len + 1 > LTREE_PATH_MAX)
		return err_plain(e, EBADMSG, "path of more than %u bytes", LTREE_PATH_MAX);
	if ((path->len > 0 && buf_add(path, "/", 1) < 0) || buf_add(path, name, len) < 0)
		return err_set(e, ENOMEM, "path");
	return 0;
}

int layer_path_normalise(const char *raw, struct buf *ret, struct err *e)
{
	uint32_t depth = 0;
	size_t len;

	buf_clear(ret);
	if (buf_add(ret, "", 0) < 0) /* the root is a string too */
		return err_set(e, ENOMEM, "path");
	for (; *raw; raw += len) {
		raw += strspn(raw, "/");
		len = strcspn(raw, "/");
		if (len == 0 || (len == 1 && raw[0] == '.'))
			continue;
		if (len == 2 && raw[0] == '.' && raw[1] == '.') {
			if (depth == 0)
				return err_plain(e, EBADMSG,
						 "path that leaves the image by \"..\"");
			last_drop(ret);
			depth--;
			continue;
		}
		if (++depth > LTREE_DEPTH_MAX)
			return err_plain(e, EBADMSG, "more than %u directories deep",
					 LTREE_DEPTH_MAX);
		if (component_add(ret, raw, len, e) < 0)
			return -e->code;
	}
	return 0;
}

/* Directories on the way to it: aufs' own go with what is in them, other marks are no names. */
static int parents_classify(const struct buf *path, bool *ret_drop, struct err *e)
{
	const char *p = path->data, *slash;

	*ret_drop = false;
	for (; (slash = strchr(p, '/')); p = slash + 1) {
		if (strncmp(p, MARK_AUFS, sizeof(MARK_AUFS) - 1) == 0)
			*ret_drop = true;
		else if (strncmp(p, MARK, MARK_LEN) == 0)
			return err_plain(e, EBADMSG, "directory with the name of a whiteout");
	}
	return 0;
}

int layer_path_classify(struct buf *path, enum layer_path_kind *ret, struct err *e)
{
	const char *slash, *name;
	size_t at;
	bool drop;

	if (parents_classify(path, &drop, e) < 0)
		return -e->code;
	slash = memrchr(path->data, '/', path->len);
	name = slash ? slash + 1 : path->data;
	at = (size_t)(name - path->data);
	*ret = drop ? LAYER_PATH_DROP : LAYER_PATH_PLAIN;
	if (drop || strncmp(name, MARK, MARK_LEN) != 0)
		return 0;
	if (strcmp(name, MARK_OPAQUE) == 0) {
		last_drop(path);
		*ret = LAYER_PATH_OPAQUE;
		return 0;
	}
	*ret = LAYER_PATH_DROP;
	if (strncmp(name, MARK_AUFS, sizeof(MARK_AUFS) - 1) == 0)
		return 0;
	name += MARK_LEN;
	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return err_plain(e, EBADMSG, "whiteout of \"%s\"", name);
	memmove(path->data + at, name, strlen(name) + 1);
	path->len -= MARK_LEN;
	*ret = LAYER_PATH_WHITEOUT;
	return 0;
}
