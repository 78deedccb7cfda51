/* SPDX-License-Identifier: MIT */
/*
 * share_call.c - [U] arguments of a request, results for its reply
 *
 * Hostile: names; a text ends inside the request or is none.
 */
#include <assert.h>
#include <string.h>

#include "share_internal.h"

void share_arg(const struct share_call *c, void *ret, size_t size)
{
	assert(size <= c->arg_len);
	memcpy(ret, c->arg, size);
}

int share_arg_text(const struct share_call *c, size_t *io_off, const char **ret)
{
	const uint8_t *text = c->arg + *io_off;
	const uint8_t *end;

	if (*io_off >= c->arg_len)
		return -EINVAL;
	end = memchr(text, '\0', c->arg_len - *io_off);
	if (!end)
		return -EINVAL;
	*io_off += (size_t)(end - text) + 1;
	*ret = (const char *)text;
	return 0;
}

int share_arg_name(const struct share_call *c, size_t *io_off, const char **ret)
{
	const char *name;

	if (share_arg_text(c, io_off, &name) < 0)
		return -EINVAL;
	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strchr(name, '/'))
		return -EINVAL;
	if (strlen(name) > SHARE_NAME_MAX)
		return -ENAMETOOLONG;
	*ret = name;
	return 0;
}

void share_put(struct share_call *c, const void *data, size_t size)
{
	assert(size <= SHARE_REPLY_MAX - sizeof(struct fuse_out_header) - c->out_len);
	memcpy(c->out + c->out_len, data, size);
	c->out_len += size;
}
