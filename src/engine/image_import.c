/* SPDX-License-Identifier: MIT */
/*
 * image_import.c - an OCI layout directory becomes an image of the store
 *
 * The directory is the user's own: files are opened beneath it without following a link.
 */
#include <fcntl.h>
#include <string.h>

#include "engine_internal.h"
#include "fdio.h"
#include "image_bring.h"
#include "image_layout.h"

#define SMALL_MAX 4096U /* the file oci-layout */

static int blob_open(void *arg, const char *digest, int *ret_fd, struct err *e)
{
	const int *blobs_fd = arg;

	*ret_fd = openat(*blobs_fd, digest_hex(digest),
			 O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	return *ret_fd < 0 ? err_set(e, errno, "blob %s", digest) : 0;
}

static int layout_choose(int dir_fd, const char *name, const struct platform *want,
			 struct doc_descriptor *ret, struct err *e)
{
	auto_buf version = { 0 };
	auto_buf index = { 0 };

	if (file_read_at(dir_fd, "oci-layout", SMALL_MAX, &version, e) < 0 ||
	    image_layout_check(version.data ? version.data : "", version.len, e) < 0 ||
	    file_read_at(dir_fd, "index.json", DOC_INDEX_MAX, &index, e) < 0)
		return -e->code;
	return image_layout_choose(index.data ? index.data : "", index.len, name, want, ret, e);
}

/* "dir", or "dir:name"; a name may have colons, and so may a directory. */
static int layout_open(const char *where, int *ret_fd, const char **ret_name, struct err *e)
{
	const char *colon = where;
	int first;

	*ret_name = NULL;
	*ret_fd = open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*ret_fd >= 0)
		return 0;
	first = errno;
	while ((colon = strchr(colon, ':'))) {
		auto_free char *dir = strndup(where, (size_t)(colon - where));

		if (!dir)
			return err_set(e, ENOMEM, "import");
		*ret_name = ++colon;
		*ret_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (*ret_fd >= 0)
			return 0;
	}
	return err_set(e, first, "OCI layout %s", where);
}

static int import_run(struct engine *g, int dir_fd, const char *name, const char *tag,
		      char **ret_id, struct err *e)
{
	auto_fd blobs = openat(dir_fd, "blobs/sha256", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct image_blobs from = { blob_open, &blobs };
	struct doc_descriptor top;
	struct platform want;

	if (blobs < 0)
		return err_set(e, errno, "blobs/sha256");
	platform_host(&want);
	if (layout_choose(dir_fd, name, &want, &top, e) < 0)
		return -e->code;
	return image_bring(g, &from, &top, tag, ret_id, e);
}

int engine_image_import_oci(struct engine *g, const char *dir, const char *ref, char **ret_id,
			    struct err *e)
{
	char tag[REF_NORMAL_SIZE];
	const char *name;
	auto_fd dir_fd = -1;

	if (image_bring_tag(ref, tag, e) < 0)
		return -e->code;
	if (layout_open(dir, &dir_fd, &name, e) < 0 ||
	    import_run(g, dir_fd, name, tag, ret_id, e) < 0)
		return err_wrap(e, "import %s", dir);
	return 0;
}
