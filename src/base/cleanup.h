/* SPDX-License-Identifier: MIT */
/*
 * cleanup.h - release by scope, and a few words every file uses
 *
 * auto_fd and auto_free release a descriptor or heap block when the scope ends, on every path.
 * TAKE_FD and TAKE_PTR hand ownership on: the variable forgets what it held.
 */
#ifndef CLEANUP_H
#define CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define must_check        __attribute__((warn_unused_result))
#define printf_like(a, b) __attribute__((format(printf, a, b)))
#define ARRAY_SIZE(a)     (sizeof(a) / sizeof((a)[0]))
#define MIN_OF(a, b)      ((a) < (b) ? (a) : (b))
#define MAX_OF(a, b)      ((a) > (b) ? (a) : (b))

static inline void fd_drop(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd); /* not retried: Linux has freed it even on EINTR */
	*fd = -1;
	errno = saved;
}

static inline void free_drop(void *pp)
{
	void **p = pp;

	free(*p);
	*p = NULL;
}

static inline void file_drop(FILE **f)
{
	if (*f)
		fclose(*f);
}

static inline void dir_drop(DIR **d)
{
	if (*d)
		closedir(*d);
}

#define auto_fd   __attribute__((cleanup(fd_drop))) int
#define auto_free __attribute__((cleanup(free_drop)))
#define auto_file __attribute__((cleanup(file_drop))) FILE *
#define auto_dir  __attribute__((cleanup(dir_drop))) DIR *

#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int taken_fd_ = (fd);                                                              \
		(fd) = -1;                                                                         \
		taken_fd_;                                                                         \
	})
#define TAKE_PTR(p)                                                                                \
	({                                                                                         \
		__typeof__(p) taken_ptr_ = (p);                                                    \
		(p) = NULL;                                                                        \
		taken_ptr_;                                                                        \
	})

#endif
