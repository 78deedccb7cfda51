/* SPDX-License-Identifier: MIT */
/*
 * test_sandbox.c - what each kind of worker can and cannot do, tried in a child
 *
 * A child exits 0 when the attempt failed softly, 1 when it got through, or dies of SIGSYS.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "sandbox.h"

#define STOPPED 0
#define THROUGH 1

static int dir_fd = -1; /* given to the download worker */
static int large_fd = -1;
static int program_fd = -1;
static int pair[2] = { -1, -1 };
static pid_t parent; /* asked before: no worker may */
static char dir_name[] = "/tmp/caisson-test-sandbox-XXXXXX";

static int try_open(void)
{
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0;
}

static int try_open_other(void)
{
	int fd = open("/proc/version", O_RDONLY | O_CLOEXEC);

	return fd >= 0;
}

static int try_open_write(void)
{
	return open("/etc/hosts", O_WRONLY | O_CLOEXEC) >= 0;
}

static int try_open_hosts(void)
{
	return open("/etc/hosts", O_RDONLY | O_CLOEXEC) >= 0;
}

static int try_make_in_dir(void)
{
	int fd = openat(dir_fd, "made", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	return fd >= 0 && write(fd, "x", 1) == 1 && unlinkat(dir_fd, "made", 0) == 0;
}

static int try_make_beside(void)
{
	return open("/tmp/caisson-test-sandbox-beside", O_RDWR | O_CREAT | O_CLOEXEC, 0600) >= 0;
}

static int try_socket(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0;
}

static int try_socket_raw(void)
{
	return socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0) >= 0;
}

static int try_listen(void)
{
	return listen(pair[0], 1) == 0 || errno != EPERM;
}

static int try_exec(void)
{
	execl("/bin/false", "false", (char *)NULL); /* which exits as THROUGH */
	return STOPPED;
}

/* A copy of /bin/false, which exits as THROUGH. */
static int try_exec_other(void)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/false", dir_name);
	execl(path, "false", (char *)NULL);
	return STOPPED;
}

static int try_reopen(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", large_fd);
	return open(path, O_RDONLY | O_CLOEXEC) >= 0;
}

static int try_time_limit(void)
{
	struct rlimit r;

	return getrlimit(RLIMIT_CPU, &r) == 0 && r.rlim_max == 60;
}

static int try_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid > 0;
}

static void *nothing(void *arg)
{
	return arg;
}

static int try_thread(void)
{
	pthread_t t;

	return pthread_create(&t, NULL, nothing, NULL) == 0 && pthread_join(t, NULL) == 0;
}

static int try_write_open(void)
{
	int fd = (int)syscall(SYS_dup, 0);

	return fd >= 0;
}

static int try_exec_memory(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
	       MAP_FAILED;
}

static int try_memory(void)
{
	char *p = malloc(8 << 20);

	if (!p)
		return STOPPED;
	memset(p, 1, 8 << 20);
	free(p);
	return THROUGH;
}

static int try_kill(void)
{
	return kill(parent, 0) == 0;
}

static int try_thread_kill(void)
{
	return syscall(SYS_tgkill, parent, parent, 0) == 0 || errno != EPERM;
}

/* The kernel would send it any signal when something comes in. */
static int try_signal_by_socket(void)
{
	return fcntl(pair[0], F_SETOWN, parent) == 0;
}

static int try_raise(void)
{
	signal(SIGUSR1, SIG_IGN);
	return raise(SIGUSR1) == 0;
}

static int try_ioctl(void)
{
	char c = 'x';

	return ioctl(dir_fd, TIOCSTI, &c) == 0 || errno != EPERM;
}

/* Of what is no device: that the kernel was asked is what counts. */
static int try_device_size(void)
{
	uint64_t size;

	return ioctl(dir_fd, BLKGETSIZE64, &size) == 0 || errno != EPERM;
}

/* The other end of a socket that the worker has. */
static int try_talk(void)
{
	char c = 'x';
	int on = 1;

	return send(pair[0], &c, 1, MSG_MORE) == 1 && recv(pair[1], &c, 1, MSG_DONTWAIT) == 1 &&
	       setsockopt(pair[0], SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) == 0 &&
	       shutdown(pair[0], SHUT_WR) == 0;
}

static int try_send_to_address(void)
{
	const struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "/tmp/none" };

	return sendto(pair[0], "x", 1, 0, (const struct sockaddr *)&a, sizeof(a)) == 1 ||
	       errno != EPERM;
}

static int try_pass_descriptor(void)
{
	char c = 'x', control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec v = { &c, 1 };
	struct msghdr m = { .msg_iov = &v,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &large_fd, sizeof(int));
	return sendmsg(pair[0], &m, 0) == 1;
}

static int try_take_descriptor(void)
{
	char c;
	struct iovec v = { &c, 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };

	return recvmsg(pair[1], &m, MSG_DONTWAIT) == 1 || errno != EPERM;
}

static int try_connect(void)
{
	const struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "/tmp/none" };

	return connect(pair[0], (const struct sockaddr *)&a, sizeof(a)) == 0 || errno != EPERM;
}

static int try_unlink(void)
{
	return unlinkat(dir_fd, "none", 0) == 0 || errno != EPERM;
}

static int try_space(void)
{
	return fallocate(large_fd, 0, 0, 8192) == 0 &&
	       fallocate(large_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0 &&
	       ftruncate(large_fd, 100) == 0 && fdatasync(large_fd) == 0;
}

static int try_large_file(void)
{
	return ftruncate(large_fd, 1LL << 40) == 0;
}

static int try_lookup(void)
{
	struct addrinfo *a = NULL;

	if (getaddrinfo("localhost", "80", NULL, &a) != 0)
		return STOPPED;
	freeaddrinfo(a);
	return THROUGH;
}

/* Files are the system call filter's business in one kind, Landlock's in the other. */
static bool landlock_is_there(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, 1) > 0;
}

enum want { FAILS, DIES, WORKS, FAILS_BY_LANDLOCK };
static const struct row {
	const char *what;
	enum sandbox_kind kind;
	int (*attempt)(void);
	enum want want;
} rows[] = {
	{ "unpack: open", SANDBOX_UNPACK, try_open, FAILS },
	{ "unpack: write elsewhere", SANDBOX_UNPACK, try_open_write, FAILS },
	{ "unpack: socket", SANDBOX_UNPACK, try_socket, DIES },
	{ "unpack: listen", SANDBOX_UNPACK, try_listen, DIES },
	{ "unpack: execve", SANDBOX_UNPACK, try_exec, DIES },
	{ "unpack: fork", SANDBOX_UNPACK, try_fork, DIES },
	{ "unpack: executable memory", SANDBOX_UNPACK, try_exec_memory, DIES },
	{ "unpack: kill", SANDBOX_UNPACK, try_kill, DIES },
	{ "unpack: kill by thread", SANDBOX_UNPACK, try_thread_kill, DIES },
	{ "unpack: signal by socket", SANDBOX_UNPACK, try_signal_by_socket, DIES },
	{ "unpack: raise", SANDBOX_UNPACK, try_raise, WORKS },
	{ "unpack: dup", SANDBOX_UNPACK, try_write_open, DIES },
	{ "unpack: thread", SANDBOX_UNPACK, try_thread, WORKS },
	{ "unpack: memory", SANDBOX_UNPACK, try_memory, WORKS },
	{ "mount: open", SANDBOX_MOUNT, try_open, FAILS },
	{ "mount: write elsewhere", SANDBOX_MOUNT, try_open_write, FAILS },
	{ "mount: socket", SANDBOX_MOUNT, try_socket, DIES },
	{ "mount: execve", SANDBOX_MOUNT, try_exec, DIES },
	{ "mount: fork", SANDBOX_MOUNT, try_fork, DIES },
	{ "mount: executable memory", SANDBOX_MOUNT, try_exec_memory, DIES },
	{ "mount: kill", SANDBOX_MOUNT, try_kill, DIES },
	{ "mount: kill by thread", SANDBOX_MOUNT, try_thread_kill, DIES },
	{ "mount: signal by socket", SANDBOX_MOUNT, try_signal_by_socket, DIES },
	{ "mount: raise", SANDBOX_MOUNT, try_raise, WORKS },
	{ "mount: terminal", SANDBOX_MOUNT, try_ioctl, FAILS },
	{ "mount: size of a device", SANDBOX_MOUNT, try_device_size, WORKS },
	{ "mount: large file", SANDBOX_MOUNT, try_large_file, WORKS },
	{ "mount: thread", SANDBOX_MOUNT, try_thread, WORKS },
	{ "disk: open", SANDBOX_DISK, try_open, FAILS },
	{ "disk: write elsewhere", SANDBOX_DISK, try_open_write, FAILS },
	{ "disk: make a file", SANDBOX_DISK, try_make_in_dir, FAILS },
	{ "disk: remove a file", SANDBOX_DISK, try_unlink, FAILS },
	{ "disk: socket", SANDBOX_DISK, try_socket, FAILS },
	{ "disk: connect", SANDBOX_DISK, try_connect, FAILS },
	{ "disk: listen", SANDBOX_DISK, try_listen, FAILS },
	{ "disk: send to an address", SANDBOX_DISK, try_send_to_address, FAILS },
	{ "disk: pass a descriptor", SANDBOX_DISK, try_pass_descriptor, FAILS },
	{ "disk: take a descriptor", SANDBOX_DISK, try_take_descriptor, FAILS },
	{ "disk: execve", SANDBOX_DISK, try_exec, FAILS },
	{ "disk: fork", SANDBOX_DISK, try_fork, FAILS },
	{ "disk: executable memory", SANDBOX_DISK, try_exec_memory, FAILS },
	{ "disk: kill", SANDBOX_DISK, try_kill, FAILS },
	{ "disk: kill by thread", SANDBOX_DISK, try_thread_kill, FAILS },
	{ "disk: signal by socket", SANDBOX_DISK, try_signal_by_socket, FAILS },
	{ "disk: raise", SANDBOX_DISK, try_raise, WORKS },
	{ "disk: terminal", SANDBOX_DISK, try_ioctl, FAILS },
	{ "disk: size of a device", SANDBOX_DISK, try_device_size, WORKS },
	{ "disk: large file", SANDBOX_DISK, try_large_file, WORKS },
	{ "disk: space taken and given back", SANDBOX_DISK, try_space, WORKS },
	{ "disk: talk to the peer", SANDBOX_DISK, try_talk, WORKS },
	{ "disk: thread", SANDBOX_DISK, try_thread, WORKS },
	{ "disk: memory", SANDBOX_DISK, try_memory, WORKS },
	{ "unpack: size of a device", SANDBOX_UNPACK, try_device_size, FAILS },
	{ "program: read its file anew", SANDBOX_PROGRAM, try_reopen, WORKS },
	{ "program: another file", SANDBOX_PROGRAM, try_open, FAILS_BY_LANDLOCK },
	{ "program: write elsewhere", SANDBOX_PROGRAM, try_open_write, FAILS_BY_LANDLOCK },
	{ "program: make a file", SANDBOX_PROGRAM, try_make_beside, FAILS_BY_LANDLOCK },
	{ "program: execute it", SANDBOX_PROGRAM, try_exec, WORKS },
	{ "program: execute a file of a user", SANDBOX_PROGRAM, try_exec_other, FAILS_BY_LANDLOCK },
	{ "program: fork", SANDBOX_PROGRAM, try_fork, FAILS },
	{ "program: socket", SANDBOX_PROGRAM, try_socket, FAILS },
	{ "program: kill", SANDBOX_PROGRAM, try_kill, FAILS },
	{ "program: kill by thread", SANDBOX_PROGRAM, try_thread_kill, FAILS },
	{ "program: signal by socket", SANDBOX_PROGRAM, try_signal_by_socket, FAILS },
	{ "program: terminal", SANDBOX_PROGRAM, try_ioctl, FAILS },
	{ "program: take a descriptor", SANDBOX_PROGRAM, try_take_descriptor, FAILS },
	{ "program: raise", SANDBOX_PROGRAM, try_raise, WORKS },
	{ "program: thread", SANDBOX_PROGRAM, try_thread, WORKS },
	{ "program: a limit of time", SANDBOX_PROGRAM, try_time_limit, WORKS },
	{ "fetch: socket", SANDBOX_FETCH, try_socket, WORKS },
	{ "fetch: thread", SANDBOX_FETCH, try_thread, WORKS },
	{ "fetch: read hosts", SANDBOX_FETCH, try_open_hosts, WORKS },
	{ "fetch: name lookup", SANDBOX_FETCH, try_lookup, WORKS },
	{ "fetch: own directory", SANDBOX_FETCH, try_make_in_dir, WORKS },
	{ "fetch: make a file beside it", SANDBOX_FETCH, try_make_beside, FAILS_BY_LANDLOCK },
	{ "fetch: another file", SANDBOX_FETCH, try_open_other, FAILS_BY_LANDLOCK },
	{ "fetch: write hosts", SANDBOX_FETCH, try_open_write, FAILS_BY_LANDLOCK },
	{ "fetch: packet socket", SANDBOX_FETCH, try_socket_raw, FAILS },
	{ "fetch: listen", SANDBOX_FETCH, try_listen, DIES },
	{ "fetch: execve", SANDBOX_FETCH, try_exec, DIES },
	{ "fetch: fork", SANDBOX_FETCH, try_fork, FAILS },
	{ "fetch: kill", SANDBOX_FETCH, try_kill, DIES },
	{ "fetch: kill by thread", SANDBOX_FETCH, try_thread_kill, FAILS },
	{ "fetch: signal by socket", SANDBOX_FETCH, try_signal_by_socket, FAILS },
	{ "fetch: raise", SANDBOX_FETCH, try_raise, WORKS },
};

static int attempt_in_child(const struct row *r)
{
	struct sandbox_policy p = { .kind = r->kind, .dir_fds = &dir_fd, .n_dir_fds = 1 };
	struct sandbox_policy program = { .kind = r->kind,
					  .read_fds = &large_fd,
					  .n_read_fds = 1,
					  .program_fd = program_fd,
					  .cpu_s = 60 };
	struct err e = { 0 };
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (sandbox_enter(r->kind == SANDBOX_PROGRAM ? &program : &p, &e) < 0) {
			fprintf(stderr, "%s\n", e.msg);
			_exit(2);
		}
		_exit(r->attempt());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void program_copy(void)
{
	int fd = openat(dir_fd, "false", O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	off_t len = lseek(program_fd, 0, SEEK_END);

	assert_true(fd >= 0);
	assert_int_equal(lseek(program_fd, 0, SEEK_SET), 0);
	assert_int_equal(sendfile(fd, program_fd, NULL, (size_t)len), len);
	close(fd);
}

static void sandbox_holds(void **state)
{
	int bad = 0;

	(void)state;
	dir_fd = open(mkdtemp(dir_name), O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir_fd >= 0);
	large_fd = openat(dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	assert_true(large_fd >= 0);
	program_fd = open("/bin/false", O_RDONLY | O_CLOEXEC);
	assert_true(program_fd >= 0);
	program_copy();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	parent = getpid();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *r = &rows[i];
		int status;
		bool ok;

		if (r->want == FAILS_BY_LANDLOCK && !landlock_is_there())
			continue;
		status = attempt_in_child(r);
		if (r->want == DIES)
			ok = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
		else
			ok = WIFEXITED(status) &&
			     WEXITSTATUS(status) == (r->want == WORKS ? THROUGH : STOPPED);
		if (!ok) {
			print_error("%s: status %#x\n", r->what, (unsigned int)status);
			bad++;
		}
	}
	close(large_fd);
	close(program_fd);
	unlinkat(dir_fd, "false", 0);
	close(pair[0]);
	close(pair[1]);
	close(dir_fd);
	rmdir(dir_name);
	assert_int_equal(bad, 0);
}

/* A thread that was there before is in the same filter. */
static void *open_when_told(void *arg)
{
	char c;

	if (read(pair[1], &c, 1) != 1)
		return NULL;
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 && errno == EPERM ? arg : NULL;
}

static void threads_that_are_there_get_the_filter(void **state)
{
	struct sandbox_policy p = { .kind = SANDBOX_DISK };
	struct err e = { 0 };
	int status;
	pid_t pid;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		void *ret = NULL;
		pthread_t t;

		if (pthread_create(&t, NULL, open_when_told, &p) != 0 ||
		    sandbox_enter(&p, &e) < 0 || send(pair[0], "x", 1, 0) != 1 ||
		    pthread_join(t, &ret) != 0)
			_exit(2);
		_exit(ret ? STOPPED : THROUGH);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(pair[0]);
	close(pair[1]);
}

static void unknown_kind_is_refused(void **state)
{
	struct sandbox_policy p = { .kind = SANDBOX_KIND_COUNT_ };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(sandbox_enter(&p, &e), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sandbox_holds),
		cmocka_unit_test(threads_that_are_there_get_the_filter),
		cmocka_unit_test(unknown_kind_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
