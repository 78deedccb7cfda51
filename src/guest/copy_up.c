/* SPDX-License-Identifier: MIT */
/*
 * copy_up.c - the image's content of a directory, into a new volume
 *
 * Runs before the app exists, as root, over a tree that the image's maker made: names are taken
 * one by one from open directories, and no link is followed. Files of several names stay one file.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "fdio.h"
#include "mounts_internal.h"

#define DEPTH_MAX  256U /* three descriptors for each */
#define LINKS_MAX  65536U
#define XATTRS_MAX 65536U
#define PATH_LEN   4096U

struct link { /* the first name of a file that has more */
	ino_t ino;
	char *path; /* from the top of the copy */
};

struct copy {
	int top;
	dev_t dev;
	struct link *links;
	size_t n_links, space;
	char path[PATH_LEN]; /* of the entry in work */
	size_t path_len;
	unsigned depth;
};

static int dir_copy(struct copy *c, int from, int to, struct err *e);

static int failed(const struct copy *c, const char *what, struct err *e)
{
	return err_set(e, errno, "copy the image's content: %s %s", what, c->path);
}

/* ---- what belongs to an entry besides its content ---- */

static int xattrs_copy(const struct copy *c, int from, int to, struct err *e)
{
	auto_free char *names = malloc(XATTRS_MAX), *value = malloc(XATTRS_MAX);
	ssize_t len = names && value ? flistxattr(from, names, XATTRS_MAX) : -1;

	if (!names || !value)
		return err_set(e, ENOMEM, "copy");
	if (len < 0)
		return errno == ENOTSUP ? 0 : failed(c, "attributes of", e);
	for (const char *n = names; n < names + len; n += strlen(n) + 1) {
		ssize_t size = fgetxattr(from, n, value, XATTRS_MAX);

		if (size < 0 || (fsetxattr(to, n, value, (size_t)size, 0) < 0 && errno != ENOTSUP))
			return failed(c, "attributes of", e);
	}
	return 0;
}

/* In this order: a change of owner takes away bits of the mode and the capabilities. */
static int meta_copy(const struct copy *c, int from, int to, const struct stat *st, struct err *e)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };

	if (fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777) < 0)
		return failed(c, "owner of", e);
	if (xattrs_copy(c, from, to, e) < 0)
		return -e->code;
	return futimens(to, times) < 0 ? failed(c, "times of", e) : 0;
}

/* ---- files of several names ---- */

static const char *link_find(const struct copy *c, const struct stat *st)
{
	for (size_t i = 0; i < c->n_links; i++)
		if (c->links[i].ino == st->st_ino)
			return c->links[i].path;
	return NULL;
}

static int link_keep(struct copy *c, const struct stat *st, struct err *e)
{
	if (c->n_links == LINKS_MAX)
		return err_plain(e, E2BIG, "copy the image's content: too many links");
	if (c->n_links == c->space) {
		size_t space = c->space ? c->space * 2 : 16;
		struct link *l = realloc(c->links, space * sizeof(*l));

		if (!l)
			return err_set(e, ENOMEM, "copy");
		c->links = l;
		c->space = space;
	}
	c->links[c->n_links].ino = st->st_ino;
	c->links[c->n_links].path = strdup(c->path);
	if (!c->links[c->n_links].path)
		return err_set(e, ENOMEM, "copy");
	c->n_links++;
	return 0;
}

/* ---- entries ---- */

static int file_copy(struct copy *c, int from, int to, const char *name, const struct stat *st,
		     struct err *e)
{
	const char *first = st->st_nlink > 1 ? link_find(c, st) : NULL;
	auto_fd in = -1;
	auto_fd out = -1;
	ssize_t n;

	if (first)
		return linkat(c->top, first, to, name, 0) < 0 ? failed(c, "link", e) : 0;
	in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (in < 0 || out < 0)
		return failed(c, "open", e);
	do
		n = sendfile(out, in, NULL, 1U << 20);
	while (n > 0 || (n < 0 && errno == EINTR));
	if (n < 0)
		return failed(c, "write", e);
	if (st->st_nlink > 1 && link_keep(c, st, e) < 0)
		return -e->code;
	return meta_copy(c, in, out, st, e);
}

static int subdir_copy(struct copy *c, int from, int to, const char *name, const struct stat *st,
		       struct err *e)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	auto_fd in = openat(from, name, flags);
	auto_fd out = -1;
	int rc;

	if (in < 0 || mkdirat(to, name, 0700) < 0)
		return failed(c, "make", e);
	out = openat(to, name, flags);
	if (out < 0)
		return failed(c, "open", e);
	if (++c->depth > DEPTH_MAX)
		return err_plain(e, E2BIG,
				 "copy the image's content: more than %u directories deep",
				 DEPTH_MAX);
	rc = st->st_dev == c->dev ? dir_copy(c, in, out, e) : 0;
	c->depth--;
	return rc < 0 ? rc : meta_copy(c, in, out, st, e);
}

static int link_copy(struct copy *c, int from, int to, const char *name, struct err *e)
{
	char target[PATH_LEN];
	ssize_t n = readlinkat(from, name, target, sizeof(target) - 1);

	if (n < 0)
		return failed(c, "read", e);
	target[n] = '\0';
	return symlinkat(target, to, name) < 0 ? failed(c, "make", e) : 0;
}

/* Links, devices, pipes and sockets are never opened. */
static int special_copy(struct copy *c, int from, int to, const char *name, const struct stat *st,
			struct err *e)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };

	if (S_ISLNK(st->st_mode)) {
		if (link_copy(c, from, to, name, e) < 0)
			return -e->code;
	} else if (mknodat(to, name, (st->st_mode & S_IFMT) | 0600, st->st_rdev) < 0) {
		return failed(c, "make", e);
	}
	if (fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    (!S_ISLNK(st->st_mode) && fchmodat(to, name, st->st_mode & 07777, 0) < 0) ||
	    utimensat(to, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(c, "owner of", e);
	return 0;
}

static int entry_copy(struct copy *c, int from, int to, const char *name, struct err *e)
{
	size_t was = c->path_len;
	struct stat st;
	int n, rc;

	n = snprintf(c->path + was, sizeof(c->path) - was, "%s%s", was ? "/" : "", name);
	if (n < 0 || (size_t)n >= sizeof(c->path) - was)
		return err_plain(e, ENAMETOOLONG, "copy the image's content: a path is too long");
	c->path_len += (size_t)n;
	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		rc = failed(c, "stat", e);
	else if (S_ISDIR(st.st_mode))
		rc = subdir_copy(c, from, to, name, &st, e);
	else if (S_ISREG(st.st_mode))
		rc = file_copy(c, from, to, name, &st, e);
	else
		rc = special_copy(c, from, to, name, &st, e);
	c->path_len = was;
	c->path[was] = '\0';
	return rc;
}

static int dir_copy(struct copy *c, int from, int to, struct err *e)
{
	auto_dir d = dir_open_at(from, ".", O_NOFOLLOW);
	const struct dirent *de;
	int rc = 0;

	if (!d)
		return failed(c, "list", e);
	while (rc == 0 && (de = readdir(d)))
		if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
			rc = entry_copy(c, from, to, de->d_name, e);
	return rc;
}

int copy_up(int from, int to, struct err *e)
{
	struct copy *c = calloc(1, sizeof(*c));
	struct stat st;
	int rc;

	if (!c)
		return err_set(e, ENOMEM, "copy");
	c->top = to;
	rc = fstat(from, &st) < 0 ? failed(c, "stat", e) : 0;
	c->dev = st.st_dev;
	if (rc == 0)
		rc = dir_copy(c, from, to, e);
	if (rc == 0)
		rc = meta_copy(c, from, to, &st, e);
	for (size_t i = 0; i < c->n_links; i++)
		free(c->links[i].path);
	free(c->links);
	free(c);
	return rc;
}
