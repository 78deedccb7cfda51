/* SPDX-License-Identifier: MIT */
/* guest_attempts.c - what takes more than one system call to try */
#include "guest_attempts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define NOBODY 65534U

static int open_at(int dir, const char *name, uint64_t flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .mode = flags & O_CREAT ? 0600 : 0 };

	return (int)syscall(SYS_openat2, dir, name, &how, sizeof(how));
}

int try_file_made(void)
{
	struct statx st;
	int fd = open_at(DIR_FD, "made", O_RDWR | O_CREAT | O_EXCL);

	if (fd < 0 || pwrite(fd, "abc", 3, 0) != 3 || fallocate(fd, 0, 0, 8192) < 0 ||
	    ftruncate(fd, 5) < 0 || fsync(fd) < 0 || fdatasync(fd) < 0)
		return errno;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st) < 0 || st.stx_size != 5)
		return errno ? errno : ERANGE;
	if (copy_file_range(FILE_FD, &(off_t){ 0 }, fd, &(off_t){ 0 }, 1, 0) < 0 ||
	    close(dup(fd)) < 0 || close(fd) < 0)
		return errno;
	return unlinkat(DIR_FD, "made", 0) < 0 ? errno : 0;
}

int try_names(void)
{
	char text[16];

	if (mkdirat(DIR_FD, "sub", 0700) < 0 || symlinkat("x", DIR_FD, "sym") < 0 ||
	    readlinkat(DIR_FD, "sym", text, sizeof(text)) != 1 ||
	    linkat(PROC_FD, FILE_NAME, DIR_FD, "link", AT_SYMLINK_FOLLOW) < 0 ||
	    renameat2(DIR_FD, "sym", DIR_FD, "sub/s", RENAME_NOREPLACE) < 0 ||
	    renameat2(DIR_FD, "sub/s", DIR_FD, "sub/sym", 0) < 0)
		return errno;
	if (unlinkat(DIR_FD, "link", 0) < 0 || unlinkat(DIR_FD, "sub/sym", 0) < 0 ||
	    unlinkat(DIR_FD, "sub", AT_REMOVEDIR) < 0)
		return errno;
	return 0;
}

int try_special_files(void)
{
	if (mknodat(DIR_FD, "fifo", S_IFIFO | 0600, 0) < 0 ||
	    mknodat(DIR_FD, "sock", S_IFSOCK | 0600, 0) < 0 || unlinkat(DIR_FD, "fifo", 0) < 0 ||
	    unlinkat(DIR_FD, "sock", 0) < 0)
		return errno;
	return 0;
}

int try_attributes(void)
{
	const struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 2 } };
	struct statfs fs;
	char list[256];

	if (fchmodat(PROC_FD, FILE_NAME, 0600, 0) < 0 || fstatfs(DIR_FD, &fs) < 0 ||
	    utimensat(FILE_FD, "", times, AT_EMPTY_PATH) < 0 ||
	    fchownat(FILE_FD, "", (uid_t)-1, (gid_t)-1, AT_EMPTY_PATH) < 0)
		return errno;
	if (fsetxattr(FILE_FD, "user.a", "b", 1, 0) < 0)
		return errno == EOPNOTSUPP ? 0 : errno; /* tmpfs of an older kernel */
	if (flistxattr(FILE_FD, list, sizeof(list)) < 0 ||
	    fgetxattr(FILE_FD, "user.a", list, sizeof(list)) != 1 ||
	    fremovexattr(FILE_FD, "user.a") < 0)
		return errno;
	return 0;
}

/* Root gives it away and may use it nevertheless. */
int try_anothers_file(void)
{
	int fd = open_at(DIR_FD, "given", O_RDWR | O_CREAT);

	if (fd < 0 || fchownat(fd, "", 12345, 12345, AT_EMPTY_PATH) < 0 ||
	    fchmodat(DIR_FD, "given", 0400, 0) < 0)
		return errno;
	fd = open_at(DIR_FD, "given", O_RDWR);
	return fd < 0 || unlinkat(DIR_FD, "given", 0) < 0 ? errno : 0;
}

/* Its owner is seen as he is: in a user namespace he would be nobody. */
int try_owner_seen(void)
{
	struct statx st;

	if (statx(OUTSIDE_FD, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st) < 0)
		return errno;
	return st.stx_uid == NOBODY ? ERANGE : 0;
}

int try_directory_read(void)
{
	char list[1024];
	int fd = open_at(DIR_FD, ".", O_RDONLY | O_DIRECTORY);

	return fd < 0 || syscall(SYS_getdents64, fd, list, sizeof(list)) <= 0 ? errno : 0;
}

int try_reopen(void)
{
	char c;
	int fd = openat(PROC_FD, FILE_NAME, O_RDONLY | O_CLOEXEC);

	return fd < 0 || pread(fd, &c, 1, 0) != 1 ? errno : 0;
}

static void *nothing(void *arg)
{
	return arg;
}

int try_thread(void)
{
	pthread_t t;
	int rc = pthread_create(&t, NULL, nothing, NULL);

	return rc ? rc : pthread_join(t, NULL);
}

int try_memory(void)
{
	for (size_t size = 100; size <= (8 << 20); size *= 3) {
		char *p = malloc(size);

		if (!p)
			return errno;
		memset(p, 1, size);
		free(p);
	}
	return 0;
}

static int compare_bytes(const void *a, const void *b)
{
	return *(const char *)a - *(const char *)b;
}

/* What libcaisson-vhd does to flush many blocks: glibc asks how much memory there is. */
int try_sort(void)
{
	static char much[1 << 16];

	memset(much, 1, sizeof(much) / 2);
	qsort(much, sizeof(much), 1, compare_bytes);
	return much[0] == 0 && much[sizeof(much) - 1] == 1 ? 0 : ERANGE;
}

int try_raise(void)
{
	return raise(SIGUSR1) == 0 ? 0 : errno;
}

/* To who wrote the letter. A socket stays in the network namespace that it was made in: that is no
 * help. */
int try_abstract(void)
{
	struct sockaddr_un to;
	socklen_t len = sizeof(to);
	char byte = 'x';
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_name = &to, .msg_iov = &iov, .msg_iovlen = 1 };

	if (recvfrom(LETTER_FD, &byte, 1, MSG_PEEK, (struct sockaddr *)&to, &len) != 1)
		return ERANGE;
	m.msg_namelen = len;
	return sendmsg(DATAGRAM_FD, &m, 0) < 0 ? errno : 0;
}
