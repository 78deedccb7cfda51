/* SPDX-License-Identifier: MIT */
/*
 * registry_part.c - files in partial/ and blobs/, as the download worker sees them
 *
 * Who writes a file in partial/ holds flock(LOCK_EX) on it. The file of a name may be replaced
 * while one waits: after the lock is taken the name must still lead to the same file.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "fdio.h"
#include "registry_internal.h"

#define BUSY_WAIT_MS 50U
#define BUSY_MAX_MS  60000U /* a document takes no longer; of layers see registry_blob.c */

int part_write_error(int code, struct err *e)
{
	if (code == ENOSPC || code == EDQUOT)
		return err_plain(e, ENOSPC,
				 "the disk of the store is full: no space left on device");
	return err_set(e, code, "write to the store");
}

bool part_is_stored(const struct registry *r, const struct doc_descriptor *d)
{
	struct stat st;

	return fstatat(r->io.blobs_fd, digest_hex(d->digest), &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode) && (uint64_t)st.st_size == d->size;
}

static int is_current(const struct registry *r, int fd, const char *hex, bool *ret_current,
		      bool *ret_empty, struct err *e)
{
	struct stat mine, named;

	if (fstat(fd, &mine) < 0)
		return err_set(e, errno, "partial/%.12s", hex);
	if (!S_ISREG(mine.st_mode))
		return err_plain(e, EBADMSG, "partial/%.12s is no file", hex);
	*ret_current = fstatat(r->io.partial_fd, hex, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
		       mine.st_ino == named.st_ino && mine.st_dev == named.st_dev;
	*ret_empty = mine.st_size == 0;
	return 0;
}

int part_claim(struct registry *r, const struct doc_descriptor *d, enum part_state *ret_state,
	       int *ret_fd, struct err *e)
{
	const char *hex = digest_hex(d->digest);
	bool current = false, empty = false;
	auto_fd fd = -1;

	*ret_state = PART_STORED;
	if (part_is_stored(r, d))
		return 0;
	fd = openat(r->io.partial_fd, hex, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
		    0600);
	if (fd < 0)
		return part_write_error(errno, e);
	*ret_state = PART_BUSY;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? 0 : err_set(e, errno, "lock partial/%.12s", hex);
	if (is_current(r, fd, hex, &current, &empty, e) < 0)
		return -e->code;
	if (part_is_stored(r,
			   d)) { /* moved there between the two looks: ours is a new, empty one */
		if (current && empty)
			(void)unlinkat(r->io.partial_fd, hex, 0); /* collection does it otherwise */
		*ret_state = PART_STORED;
		return 0;
	}
	if (!current)
		return 0;
	*ret_state = PART_MINE;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int checked_read(int dir_fd, const char *digest, size_t max, struct buf *ret, struct err *e)
{
	auto_fd fd =
		openat(dir_fd, digest_hex(digest), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char is[DIGEST_SIZE];
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size > max)
		return err_plain(e, ENOENT, "not there");
	buf_clear(ret);
	ret->max = max;
	if (fd_read_all(fd, ret) < 0 || digest_of(ret->data, ret->len, is, e) < 0 ||
	    strcmp(is, digest) != 0)
		return err_plain(e, ENOENT, "not there");
	return 0;
}

int part_read(struct registry *r, const char *digest, size_t max, struct buf *ret, struct err *e)
{
	if (checked_read(r->io.blobs_fd, digest, max, ret, e) == 0)
		return 0;
	return checked_read(r->io.partial_fd, digest, max, ret, e);
}

static int claim_wait(struct registry *r, const struct doc_descriptor *d,
		      enum part_state *ret_state, int *ret_fd, struct err *e)
{
	uint64_t end = registry_now_ms() + BUSY_MAX_MS;

	for (;;) {
		if (part_claim(r, d, ret_state, ret_fd, e) < 0)
			return -e->code;
		if (*ret_state != PART_BUSY)
			return 0;
		if (registry_now_ms() > end)
			return err_plain(e, EBUSY, "another process holds partial/%.12s",
					 digest_hex(d->digest));
		if (registry_turn(r, BUSY_WAIT_MS, e) < 0)
			return -e->code;
	}
}

int part_write(struct registry *r, const char *digest, const struct buf *b, struct err *e)
{
	struct doc_descriptor d = { .size = b->len };
	enum part_state state = PART_BUSY;
	auto_fd fd = -1;
	int rc;

	snprintf(d.digest, sizeof(d.digest), "%s", digest);
	if (claim_wait(r, &d, &state, &fd, e) < 0)
		return -e->code;
	if (state == PART_STORED)
		return 0;
	if (ftruncate(fd, 0) < 0)
		return part_write_error(errno, e);
	rc = fd_pwrite_full(fd, b->data, b->len, 0);
	return rc < 0 ? part_write_error(-rc, e) : 0;
}
