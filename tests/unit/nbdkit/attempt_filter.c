/* SPDX-License-Identifier: MIT */
/*
 * attempt_filter.c - an nbdkit filter that tries what an intruder would, from inside the server
 *
 * Who reads the disk reads a letter for each attempt: 'n' when it was not permitted, else 'y'.
 * tests/interop/nbdkit.sh looks at them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <signal.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-filter.h>

#define DISK_BYTES 4096

static pid_t parent;

static void attempt_load(void)
{
	parent = getppid();
}

static int close_it(int fd)
{
	if (fd >= 0)
		close(fd);
	return fd;
}

static int try_read(void)
{
	return close_it(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static int try_make(void)
{
	return close_it(open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
}

static int try_socket(void)
{
	return close_it(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int try_socket_pair(void)
{
	int pair[2], rc = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);

	if (rc == 0) {
		close(pair[0]);
		close(pair[1]);
	}
	return rc;
}

/* Of nothing, so that the server is there to answer where it is allowed. */
static int try_exec(void)
{
	char *const none[] = { NULL };

	return execve("/nonexistent", none, none);
}

static int try_process(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid < 0 ? -1 : waitpid(pid, NULL, 0);
}

static int try_signal(void)
{
	return kill(parent, 0);
}

static int try_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);

	if (p == MAP_FAILED)
		return -1;
	munmap(p, 4096);
	return 0;
}

static int (*const attempts[])(void) = {
	try_read, try_make,    try_socket, try_socket_pair,
	try_exec, try_process, try_signal, try_code,
};

static int64_t attempt_get_size(nbdkit_next *next, void *handle)
{
	(void)handle;
	return next->get_size(next) < DISK_BYTES ? -1 : DISK_BYTES;
}

static int attempt_pread(nbdkit_next *next, void *handle, void *buf, uint32_t count, uint64_t off,
			 uint32_t flags, int *err)
{
	char text[DISK_BYTES] = { 0 };

	(void)next;
	(void)handle;
	(void)flags;
	(void)err;
	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++)
		text[i] = attempts[i]() < 0 && errno == EPERM ? 'n' : 'y';
	memcpy(buf, text + off, count); /* nbdkit has looked at both */
	return 0;
}

static struct nbdkit_filter filter = {
	.name = "attempt",
	.longname = "attempts of an intruder",
	.load = attempt_load,
	.get_size = attempt_get_size,
	.pread = attempt_pread,
};

struct nbdkit_filter *filter_init(void); /* the macro's function has no prototype */
NBDKIT_REGISTER_FILTER(filter)
