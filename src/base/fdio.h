/* SPDX-License-Identifier: MIT */
/*
 * fdio.h - whole reads and writes, small files, and descriptors over sockets
 *
 * EINTR is retried everywhere. Descriptors that these functions open or receive are close-on-exec
 * and owned by the caller.
 */
#ifndef FDIO_H
#define FDIO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "buf.h"
#include "err.h"

/* Read exactly `len` bytes. 0; -ENODATA when the stream ends early; -errno. */
must_check int fd_read_full(int fd, void *data, size_t len);
must_check int fd_pread_full(int fd, void *data, size_t len, off_t off);
must_check int fd_write_full(int fd, const void *data, size_t len);
must_check int fd_pwrite_full(int fd, const void *data, size_t len, off_t off);

/* Append all of `fd`, from where it stands, to `b`; -EFBIG past the buffer's limit. */
must_check int fd_read_all(int fd, struct buf *b);

/* Read a regular file beneath dir_fd (AT_FDCWD allowed) of at most `max` bytes; follows no final
 * link. */
must_check int file_read_at(int dir_fd, const char *name, size_t max, struct buf *b, struct err *e);

/*
 * Replace `name` beneath dir_fd whole or not at all: written to a temporary file beside it, synced,
 * renamed, directory synced. After a crash the old or the new content stands, never a mixture.
 */
must_check int file_write_atomic_at(int dir_fd, const char *name, mode_t mode, const void *data,
				    size_t len, struct err *e);

/* List the directory `path` beneath dir_fd. NULL with errno set. `flags`: 0 or O_NOFOLLOW. */
DIR *dir_open_at(int dir_fd, const char *path, int flags);

/* mkdir -p beneath dir_fd. An existing directory is fine. */
must_check int dir_make_at(int dir_fd, const char *path, mode_t mode, struct err *e);

/* Remove a file or directory tree beneath dir_fd; what is not there is fine. Crosses no mount and
 * follows no link. */
must_check int tree_remove_at(int dir_fd, const char *name, struct err *e);

/*
 * Send or receive up to FD_PASS_MAX descriptors with `len` >= 1 bytes on a unix socket.
 * fd_recv() returns the number of bytes (0 at end of stream) or -errno; it closes what does not
 * fit.
 */
#define FD_PASS_MAX 16
must_check ssize_t fd_send(int sock, const void *data, size_t len, const int *fds, size_t n_fds);
must_check ssize_t fd_recv(int sock, void *data, size_t len, int *ret_fds, size_t *io_n_fds);

must_check int fd_set_nonblock(int fd, bool on);
must_check int fd_set_cloexec(int fd, bool on);

/* Unix stream sockets by path; paths too long for sun_path are reached through dir_fd and
 * /proc/self/fd. */
must_check int unix_listen_at(int dir_fd, const char *name, int *ret_fd, struct err *e);
must_check int unix_connect_at(int dir_fd, const char *name, int *ret_fd, struct err *e);

#endif
