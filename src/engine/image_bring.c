/* SPDX-License-Identifier: MIT */
/*
 * image_bring.c - blobs that are files become an image of the store
 *
 * What is in the files may be anybody's: each blob is checked against its digest before anything
 * reads it again. A blob is brought to partial/ under the same lock as a download's
 * (doc/format/fetch.md); layers that are there are converted while the next one is copied.
 */
#include "image_bring.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "engine_internal.h"
#include "fdio.h"
#include "image_take.h"
#include "ref.h"

#define LOOKS_MAX  100
#define COPY_CHUNK (1U << 30)

struct bring {
	struct image_take *take;
	const struct image_blobs *from;
};

/* ---- one blob ---- */

static int source_open(const struct bring *b, const char *digest, int *ret_fd, uint64_t *ret_size,
		       struct err *e)
{
	auto_fd fd = -1;
	struct stat st;

	if (b->from->open(b->from->arg, digest, &fd, e) < 0)
		return -e->code;
	if (fstat(fd, &st) < 0)
		return err_set(e, errno, "blob %s", digest);
	if (!S_ISREG(st.st_mode))
		return err_plain(e, EBADMSG, "blob %s is not a regular file", digest);
	*ret_size = (uint64_t)st.st_size;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int sized_open(const struct bring *b, const struct doc_descriptor *d, int *ret_fd,
		      struct err *e)
{
	auto_fd fd = -1;
	uint64_t size;

	if (source_open(b, d->digest, &fd, &size, e) < 0)
		return -e->code;
	if (size != d->size)
		return err_plain(e, EBADMSG, "blob %s has %" PRIu64 " bytes, not %" PRIu64,
				 d->digest, size, d->size);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* One that is shorter than it should be is brought again, and takes the damaged one's place. */
static bool is_stored(struct store_ingest *in, const char *hex, uint64_t size)
{
	struct stat st;

	return fstatat(store_ingest_blobs_fd(in), hex, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode) && (uint64_t)st.st_size == size;
}

/*
 * partial/HEX, locked. Its former writer may have given it its final name while we waited: then we
 * have locked a file that is no longer partial, and look again. 1: it is in blobs/.
 */
static int partial_lock(struct store_ingest *in, const char *hex, uint64_t size, int *ret_fd,
			struct err *e)
{
	int dir = store_ingest_partial_fd(in);

	for (unsigned i = 0; i < LOOKS_MAX; i++) {
		auto_fd fd = -1;
		struct stat mine, named;

		if (is_stored(in, hex, size))
			return 1;
		fd = openat(dir, hex, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
		if (fd < 0)
			return err_set(e, errno, "create blob %.12s", hex);
		while (flock(fd, LOCK_EX) < 0)
			if (errno != EINTR)
				return err_set(e, errno, "lock blob %.12s", hex);
		if (fstat(fd, &mine) == 0 && fstatat(dir, hex, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
		    mine.st_ino == named.st_ino && mine.st_dev == named.st_dev) {
			*ret_fd = TAKE_FD(fd);
			return 0;
		}
	}
	return err_plain(e, EBUSY, "blob %.12s changes all the time", hex);
}

static bool file_is(int fd, const struct doc_descriptor *d)
{
	char digest[DIGEST_SIZE];
	struct err ignored = { 0 }; /* unreadable is "no" */
	uint64_t len = 0;

	return digest_of_file(fd, UINT64_MAX, digest, &len, &ignored) == 0 && len == d->size &&
	       strcmp(digest, d->digest) == 0;
}

/* Shared extents where the file system can, else a copy by the kernel, else ours. */
static int bytes_copy(int from, int to, uint64_t size, struct err *e)
{
	off_t in = 0, out = 0;
	char chunk[64U << 10];

	if (ftruncate(to, 0) < 0)
		return err_set(e, errno, "truncate");
	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	while ((uint64_t)in < size) {
		size_t want = (size_t)MIN_OF(size - (uint64_t)in, (uint64_t)COPY_CHUNK);
		ssize_t n = copy_file_range(from, &in, to, &out, want, 0);

		if (n > 0)
			continue;
		want = MIN_OF(want, sizeof(chunk));
		n = pread(from, chunk, want, in);
		if (n < 0)
			return err_set(e, errno, "read");
		if (n == 0)
			return err_plain(e, EBADMSG, "it became shorter while it was copied");
		if (fd_pwrite_full(to, chunk, (size_t)n, out) < 0)
			return err_set(e, errno, "write");
		in += n;
		out += n;
	}
	return 0;
}

static int blob_bring(struct bring *b, const struct doc_descriptor *d, enum take_how *ret_how,
		      struct err *e)
{
	struct store_ingest *in = image_take_ingest(b->take);
	auto_fd from = -1;
	auto_fd to = -1;
	int rc;

	*ret_how = TAKE_FOUND;
	if (digest_check(d->digest, e) < 0)
		return -e->code;
	rc = partial_lock(in, digest_hex(d->digest), d->size, &to, e);
	if (rc)
		return rc < 0 ? rc : 0;
	if (lseek(to, 0, SEEK_END) == (off_t)d->size && file_is(to, d))
		return 0;
	*ret_how = TAKE_ARRIVED;
	rc = sized_open(b, d, &from, e);
	if (rc == 0 && bytes_copy(from, to, d->size, e) < 0)
		rc = err_wrap(e, "blob %s", d->digest);
	if (rc == 0 && !file_is(to, d))
		rc = err_plain(e, EBADMSG, "blob %s is damaged: its bytes have another digest",
			       d->digest);
	if (rc < 0) /* ours only: the fault is the source's */
		(void)unlinkat(store_ingest_partial_fd(in), digest_hex(d->digest), 0);
	return rc;
}

/* ---- the image ---- */

static int document_bring(void *arg, const char *digest, size_t max, struct buf *ret, struct err *e)
{
	struct bring *b = arg;
	struct doc_descriptor d = { 0 };
	enum take_how how;
	auto_fd fd = -1;

	if (source_open(b, digest, &fd, &d.size, e) < 0)
		return -e->code;
	if (d.size > max)
		return err_plain(e, EFBIG, "more than %zu bytes", max);
	snprintf(d.digest, sizeof(d.digest), "%s", digest);
	if (blob_bring(b, &d, &how, e) < 0)
		return -e->code;
	return image_take_document(b->take, digest, max, ret, e);
}

/* Bring the documents first: the walk itself is the list of what they are. */
static int documents_bring(struct bring *b, const struct doc_descriptor *top,
			   const struct platform *want, struct err *e)
{
	struct image_docs docs = { 0 };

	if (image_docs_walk(top, want, document_bring, b, &docs, e) < 0)
		return -e->code;
	image_docs_done(&docs);
	return image_take_docs(b->take, top, want, e);
}

static int layers_bring(struct bring *b, struct err *e)
{
	const struct doc *m = &image_take_image(b->take)->doc;

	for (uint32_t i = 0; i < m->n; i++) {
		enum take_how how;

		if (blob_bring(b, &m->list[i], &how, e) < 0)
			return -e->code;
		image_take_here(b->take, m->list[i].digest, how);
	}
	image_take_ended(b->take);
	return image_take_run(b->take, e);
}

static int bring_run(struct bring *b, const struct doc_descriptor *top, const char *tag,
		     char **ret_id, struct err *e)
{
	struct platform want;

	platform_host(&want);
	if (documents_bring(b, top, &want, e) < 0 || layers_bring(b, e) < 0 ||
	    image_take_commit(b->take, tag, NULL, e) < 0)
		return -e->code;
	*ret_id = strdup(image_take_image(b->take)->doc.config.digest);
	return *ret_id ? 0 : err_set(e, ENOMEM, "image");
}

/* 1: something in the store was damaged, and is no longer there. */
static int bring_once(struct engine *g, struct bring *b, const struct doc_descriptor *top,
		      const char *tag, char **ret_id, struct err *e)
{
	int rc = image_take_new(g, NULL, &b->take, e);

	if (rc < 0)
		return rc;
	rc = bring_run(b, top, tag, ret_id, e);
	if (rc < 0 && store_ingest_has_spoiled(image_take_ingest(b->take)))
		rc = 1;
	image_take_free(b->take);
	return rc;
}

int image_bring(struct engine *g, const struct image_blobs *from, const struct doc_descriptor *top,
		const char *tag, char **ret_id, struct err *e)
{
	struct bring b = { .from = from };
	int rc = bring_once(g, &b, top, tag, ret_id, e);

	if (rc > 0) /* so that this time it is copied */
		rc = bring_once(g, &b, top, tag, ret_id, e);
	return rc > 0 ? -e->code : rc;
}

int image_bring_tag(const char *ref, char ret[REF_NORMAL_SIZE], struct err *e)
{
	struct ref r;

	if (ref_parse(ref, &r, e) < 0)
		return -e->code;
	if (*r.digest)
		return err_plain(e, EINVAL, "refusing to create a tag with a digest reference");
	ref_format(&r, ret, REF_NORMAL_SIZE);
	return 0;
}
