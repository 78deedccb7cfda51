/* SPDX-License-Identifier: MIT */
#include "cpio.h"

#include <string.h>

static int pad4(struct buf *out)
{
	static const char zeros[4];

	return buf_add(out, zeros, (4 - out->len % 4) % 4);
}

int cpio_add(struct buf *out, const char *path, uint32_t mode, const void *data, size_t len)
{
	int rc;

	/* magic, ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor,
	 * rdevminor, namesize, check */
	rc = buf_addf(out, "070701%08X%08X%08X%08X%08X%08X%08zX%08X%08X%08X%08X%08zX%08X", 0, mode,
		      0, 0, 1, 0, len, 0, 0, 0, 0, strlen(path) + 1, 0);
	if (rc < 0 || (rc = buf_add(out, path, strlen(path) + 1)) < 0 || (rc = pad4(out)) < 0)
		return rc;
	rc = buf_add(out, data, len);
	return rc < 0 ? rc : pad4(out);
}

int cpio_end(struct buf *out)
{
	return cpio_add(out, "TRAILER!!!", 0, NULL, 0);
}
