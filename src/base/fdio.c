/* SPDX-License-Identifier: MIT */
#include "fdio.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>

#define IO_CHUNK     (64U << 10)
#define REMOVE_TRIES 10

int fd_read_full(int fd, void *data, size_t len)
{
	char *p = data;

	while (len) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENODATA;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int fd_pread_full(int fd, void *data, size_t len, off_t off)
{
	char *p = data;

	while (len) {
		ssize_t n = pread(fd, p, len, off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENODATA;
		p += n;
		off += n;
		len -= (size_t)n;
	}
	return 0;
}

int fd_write_full(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int fd_pwrite_full(int fd, const void *data, size_t len, off_t off)
{
	const char *p = data;

	while (len) {
		ssize_t n = pwrite(fd, p, len, off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		off += n;
		len -= (size_t)n;
	}
	return 0;
}

int fd_read_all(int fd, struct buf *b)
{
	size_t max = b->max ? b->max : BUF_DEFAULT_MAX;

	for (;;) {
		size_t room = MIN_OF((size_t)IO_CHUNK, max - b->len);
		char probe;
		ssize_t n;
		int rc = buf_reserve(b, room);

		if (rc < 0)
			return rc;
		n = room ? read(fd, b->data + b->len, room) : read(fd, &probe, 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		if (!room)
			return -EFBIG;
		b->len += (size_t)n;
	}
	if (b->data)
		b->data[b->len] = '\0';
	return 0;
}

int file_read_at(int dir_fd, const char *name, size_t max, struct buf *b, struct err *e)
{
	auto_fd fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	int rc;

	if (fd < 0)
		return err_set(e, errno, "open %s", name);
	if (fstat(fd, &st) < 0)
		return err_set(e, errno, "stat %s", name);
	if (!S_ISREG(st.st_mode))
		return err_plain(e, EINVAL, "%s is not a regular file", name);
	b->max = b->len + max;
	rc = fd_read_all(fd, b);
	if (rc == -EFBIG)
		return err_plain(e, EFBIG, "%s is larger than %zu bytes", name, max);
	return rc < 0 ? err_set(e, -rc, "read %s", name) : 0;
}

/* The directory that holds `name`, for fsync after a rename. */
static int parent_open_at(int dir_fd, const char *name)
{
	const char *slash = strrchr(name, '/');
	auto_free char *dir = NULL;

	if (!slash)
		return openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = strndup(name, slash == name ? 1 : (size_t)(slash - name));
	if (!dir)
		return -1;
	return openat(dir_fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int file_write_atomic_at(int dir_fd, const char *name, mode_t mode, const void *data, size_t len,
			 struct err *e)
{
	auto_free char *tmp = NULL;
	auto_fd fd = -1;
	auto_fd dir = -1;
	int rc;

	if (asprintf(&tmp, "%s.tmp-%d", name, (int)getpid()) < 0) {
		tmp = NULL;
		return err_set(e, ENOMEM, "write %s", name);
	}
	(void)unlinkat(dir_fd, tmp, 0); /* left by a crashed process of the same pid */
	fd = openat(dir_fd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return err_set(e, errno, "create %s", tmp);
	rc = fd_write_full(fd, data, len);
	if (rc == 0 && fsync(fd) < 0)
		rc = -errno;
	if (rc == 0 && renameat(dir_fd, tmp, dir_fd, name) < 0)
		rc = -errno;
	if (rc < 0) {
		(void)unlinkat(dir_fd, tmp, 0); /* the write error is the one to tell */
		return err_set(e, -rc, "write %s", name);
	}
	dir = parent_open_at(dir_fd, name);
	if (dir < 0 || fsync(dir) < 0)
		return err_set(e, errno, "sync directory of %s", name);
	return 0;
}

int dir_make_at(int dir_fd, const char *path, mode_t mode, struct err *e)
{
	auto_free char *copy = strdup(path);
	char *p = copy;

	if (!copy)
		return err_set(e, ENOMEM, "mkdir %s", path);
	while (*p) {
		char *slash = strchr(*p == '/' ? p + 1 : p, '/');

		if (slash)
			*slash = '\0';
		if (mkdirat(dir_fd, copy, mode) < 0 && errno != EEXIST)
			return err_set(e, errno, "mkdir %s", copy);
		if (!slash)
			break;
		*slash = '/';
		p = slash;
		if (!p[1])
			break;
	}
	return 0;
}

DIR *dir_open_at(int dir_fd, const char *path, int flags)
{
	auto_fd fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (d)
		fd = -1; /* closed with the stream */
	return d;
}

static int tree_empty(int fd, struct err *e);

/* Remove one entry beneath dir_fd, with all that is in it. */
static int entry_remove(int dir_fd, const char *name, struct err *e)
{
	auto_fd sub = -1;
	unsigned tries = 0;

	if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return err_set(e, errno, "remove %s", name);
	sub = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (sub < 0)
		return errno == ENOENT ? 0 : err_set(e, errno, "open %s", name);
	do { /* again: somebody may have made a file in it */
		if (tree_empty(sub, e) < 0)
			return -e->code;
		if (unlinkat(dir_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
			return 0;
	} while (errno == ENOTEMPTY && ++tries < REMOVE_TRIES);
	return err_set(e, errno, "remove directory %s", name);
}

static int tree_empty(int fd, struct err *e)
{
	auto_dir d = dir_open_at(fd, ".", 0);
	struct dirent *de;

	if (!d)
		return err_set(e, errno, "list directory");
	rewinddir(d); /* the position is the descriptor's, which may have been read before */
	while ((de = readdir(d))) {
		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
			continue;
		if (entry_remove(fd, de->d_name, e) < 0)
			return -e->code;
	}
	return 0;
}

int tree_remove_at(int dir_fd, const char *name, struct err *e)
{
	return entry_remove(dir_fd, name, e);
}

ssize_t fd_send(int sock, const void *data, size_t len, const int *fds, size_t n_fds)
{
	union {
		char space[CMSG_SPACE(sizeof(int) * FD_PASS_MAX)];
		struct cmsghdr align;
	} ctl = { 0 };
	struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (n_fds > FD_PASS_MAX)
		return -EINVAL;
	if (n_fds) {
		struct cmsghdr *c;

		mh.msg_control = ctl.space;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	do {
		n = sendmsg(sock, &mh, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

ssize_t fd_recv(int sock, void *data, size_t len, int *ret_fds, size_t *io_n_fds)
{
	union {
		char space[CMSG_SPACE(sizeof(int) * FD_PASS_MAX)];
		struct cmsghdr align;
	} ctl;
	struct iovec iov = { .iov_base = data, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = ctl.space,
			     .msg_controllen = sizeof(ctl.space) };
	size_t room = io_n_fds ? *io_n_fds : 0, got = 0;
	ssize_t n;

	do {
		n = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (io_n_fds)
		*io_n_fds = 0;
	if (n < 0)
		return -errno;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&mh); c; c = CMSG_NXTHDR(&mh, c)) {
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (got < room)
				ret_fds[got++] = fd;
			else
				close(fd);
		}
	}
	if (io_n_fds)
		*io_n_fds = got;
	return n;
}

int fd_set_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}

int fd_set_cloexec(int fd, bool on)
{
	return fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) < 0 ? -errno : 0;
}

/* Long store paths do not fit sun_path, so a socket is always named through its directory's fd. */
static int unix_addr(int dir_fd, const char *name, int *ret_dir, struct sockaddr_un *a,
		     struct err *e)
{
	const char *slash = strrchr(name, '/');
	int dir = parent_open_at(dir_fd, name);
	int n;

	if (dir < 0)
		return err_set(e, errno, "open directory of %s", name);
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	n = snprintf(a->sun_path, sizeof(a->sun_path), "/proc/self/fd/%d/%s", dir,
		     slash ? slash + 1 : name);
	if (n < 0 || (size_t)n >= sizeof(a->sun_path)) {
		close(dir);
		return err_set(e, ENAMETOOLONG, "socket %s", name);
	}
	*ret_dir = dir;
	return 0;
}

int unix_listen_at(int dir_fd, const char *name, int *ret_fd, struct err *e)
{
	auto_fd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	auto_fd dir = -1;
	struct sockaddr_un a;

	if (fd < 0)
		return err_set(e, errno, "socket");
	if (unix_addr(dir_fd, name, &dir, &a, e) < 0)
		return -e->code;
	(void)unlinkat(dir_fd, name, 0); /* of a process that died; a live one holds its own lock */
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return err_set(e, errno, "bind %s", name);
	if (fchmodat(dir_fd, name, 0600, 0) < 0)
		return err_set(e, errno, "chmod %s", name);
	if (listen(fd, 64) < 0)
		return err_set(e, errno, "listen on %s", name);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int unix_connect_at(int dir_fd, const char *name, int *ret_fd, struct err *e)
{
	auto_fd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	auto_fd dir = -1;
	struct sockaddr_un a;

	if (fd < 0)
		return err_set(e, errno, "socket");
	if (unix_addr(dir_fd, name, &dir, &a, e) < 0)
		return -e->code;
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return err_set(e, errno, "connect to %s", name);
	*ret_fd = TAKE_FD(fd);
	return 0;
}
