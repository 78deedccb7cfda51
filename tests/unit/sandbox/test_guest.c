/* SPDX-License-Identifier: MIT */
/*
 * test_guest.c - what those that serve a guest, and their threads, can and cannot do
 *
 * Each attempt is made in a child, which exits with the attempt's errno (0: it worked) or dies of
 * SIGSYS; as root also in one that has become an ordinary user before.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/kvm.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <net/if.h>
#include <linux/if_tun.h>
#include <pthread.h>
#include <signal.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "guest_attempts.h"
#include "sandbox.h"

#define USER 65533U

/* Who tries. */
enum who { VMM, RW, RO, VCPU, DISK, WHO_COUNT_ };
#define ON(who) (1U << (who))
#define ALL     (ON(WHO_COUNT_) - 1)
#define THREADS (ON(VCPU) | ON(DISK))
#define SHARES  (ON(RW) | ON(RO))

static const struct subject {
	const char *name;
	enum sandbox_kind kind;
	bool is_thread;
	enum sandbox_thread thread;
} subjects[] = {
	[VMM] = { "vmm", SANDBOX_VMM, false, 0 },
	[RW] = { "share rw", SANDBOX_SHARE, false, 0 },
	[RO] = { "share ro", SANDBOX_SHARE, false, 0 },
	[VCPU] = { "vcpu", SANDBOX_VMM, true, SANDBOX_THREAD_VCPU },
	[DISK] = { "disk", SANDBOX_VMM, true, SANDBOX_THREAD_DISK },
};

#define PARENT (-1000) /* in a row: its number */
#define DIES   (-1)
static pid_t parent; /* asked before: no subject may */
static char dir_name[] = "/tmp/caisson-test-guest-XXXXXX";
static char outside_name[] = "/tmp/caisson-test-guest-XXXXXX";

/* ---- the table ---- */

static const uint64_t one = 1;
static struct epoll_event event = { .events = EPOLLIN };
static struct stat st;
static char byte[] = "x";
static int number;
static socklen_t number_len = sizeof(number);
static struct iovec iov = { byte, 1 };
static struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
static const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "/tmp/none" };
static const struct open_how how_read = { .flags = O_RDONLY };
static const struct open_how how_write = { .flags = O_WRONLY };
static const struct open_how how_make = { .flags = O_WRONLY | O_CREAT, .mode = 0600 };

#define P(p)            ((long)(p))
#define OPEN(how)       P(&(how)), sizeof(how)
#define FLAG_LANDLOCK   1U /* only where the kernel has it */
#define FLAG_NAMESPACES 2U /* only where this user may have all of them */
#define FLAG_ROOT       4U /* only as root */
#define FLAG_SCOPE      8U /* only where Landlock knows abstract sockets */

/* A system call, and one that Landlock is to refuse. */
#define CALL(what, who, want, nr, ...)                                                             \
	{                                                                                          \
		what, who, want, NULL, SYS_##nr,                                                   \
		{                                                                                  \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}
#define BARRED(what, who, nr, ...)                                                                 \
	{                                                                                          \
		what, who, EACCES, NULL, SYS_##nr, { __VA_ARGS__ }, FLAG_LANDLOCK                  \
	}

static const struct row {
	const char *what;
	unsigned int who;
	int want; /* errno, or DIES */
	int (*attempt)(void);
	long nr, arg[6]; /* when there is no attempt */
	unsigned int flags;
} rows[] = {
	/* nobody needs these */
	CALL("execve", ALL, DIES, execve, P("/bin/true")),
	CALL("execveat", ALL, DIES, execveat, AT_FDCWD, P("/bin/true")),
	CALL("fork", ALL, DIES, fork, 0),
	CALL("clone of a process", ALL, DIES, clone, SIGCHLD),
	CALL("socket", ALL, DIES, socket, AF_INET, SOCK_STREAM),
	CALL("socketpair", ALL, DIES, socketpair, AF_UNIX, SOCK_STREAM),
	CALL("connect", ALL, DIES, connect, SOCKET_FD, P(&address), sizeof(address)),
	CALL("bind", ALL, DIES, bind, SOCKET_FD, P(&address), sizeof(address)),
	CALL("listen", ALL, DIES, listen, SOCKET_FD, 1),
	CALL("ptrace", ALL, DIES, ptrace, 16 /* attach */, PARENT),
	CALL("process_vm_readv", ALL, DIES, process_vm_readv, PARENT),
	CALL("process_vm_writev", ALL, DIES, process_vm_writev, PARENT),
	CALL("pidfd_open", ALL, DIES, pidfd_open, PARENT),
	CALL("kill", ALL, DIES, kill, PARENT, 0),
	CALL("tkill", ALL, DIES, tkill, PARENT, 0),
	CALL("tgkill of another", ALL, DIES, tgkill, PARENT, PARENT, 0),
	CALL("signal by socket", ALL, DIES, fcntl, SOCKET_FD, F_SETOWN, PARENT),
	CALL("mount", ALL, DIES, mount, 0, P("/")),
	CALL("umount2", ALL, DIES, umount2, P("/")),
	CALL("fsopen", ALL, DIES, fsopen, P("tmpfs")),
	CALL("pivot_root", ALL, DIES, pivot_root, P("."), P(".")),
	CALL("chroot", ALL, DIES, chroot, P("/")),
	CALL("chdir", ALL, DIES, chdir, P("/")),
	CALL("unshare", ALL, DIES, unshare, CLONE_NEWUSER),
	CALL("setns", ALL, DIES, setns, DIR_FD),
	CALL("userfaultfd", ALL, DIES, userfaultfd, 0),
	CALL("bpf", ALL, DIES, bpf, 0),
	CALL("perf_event_open", ALL, DIES, perf_event_open, 0),
	CALL("keyctl", ALL, DIES, keyctl, 0),
	CALL("io_uring_setup", ALL, DIES, io_uring_setup, 1),
	CALL("io_uring_register", ALL, DIES, io_uring_register, -1),
	CALL("memfd_create", ALL, DIES, memfd_create, P("a")),
	CALL("setuid", ALL, DIES, setuid, 0),
	CALL("capset", ALL, DIES, capset, 0),
	CALL("setrlimit", ALL, DIES, setrlimit, RLIMIT_NOFILE),
	CALL("prlimit64", ALL, DIES, prlimit64, 0, RLIMIT_NOFILE, P(&one)),
	CALL("open_by_handle_at", ALL, DIES, open_by_handle_at, DIR_FD),
	CALL("stat by name", ALL, DIES, stat, P("/etc/passwd")),
	CALL("chmod by name", ALL, DIES, chmod, P("/etc/passwd"), 0644),
	CALL("make an executable page", ALL, DIES, mprotect, 0, 4096, PROT_EXEC),
	CALL("map an executable page", ALL, DIES, mmap, 0, 4096, PROT_READ | PROT_EXEC,
	     MAP_PRIVATE | MAP_ANONYMOUS, -1),
	CALL("a filter with a listener", ALL, DIES, seccomp, SECCOMP_SET_MODE_FILTER,
	     SECCOMP_FILTER_FLAG_NEW_LISTENER),
	CALL("strict mode", ALL, DIES, seccomp, SECCOMP_SET_MODE_STRICT),
#ifdef __x86_64__
	{ "x32's getpid", ALL, DIES, NULL, 0x40000000 | SYS_getpid },
#endif
	/* everybody needs these */
	CALL("write to an eventfd", ALL, 0, write, EVENT_FD, P(&one), 8),
	{ "memory", ON(VMM) | SHARES, 0, try_memory },
	{ "memory", ON(VCPU), DIES, try_memory },
	{ "sort much", ALL & ~ON(VCPU), 0, try_sort },
	{ "raise", ON(VMM) | SHARES, 0, try_raise },
	{ "raise", THREADS, DIES, try_raise },
	CALL("madvise", ALL, EINVAL, madvise, 0, 4096, -1),
	/* devices */
	CALL("KVM_RUN of nothing", ON(VMM) | ON(VCPU), EBADF, ioctl, -1, KVM_RUN),
	CALL("KVM_RUN of a file", ON(VMM) | ON(VCPU), ENOTTY, ioctl, FILE_FD, KVM_RUN),
	CALL("KVM_RUN", SHARES, EPERM, ioctl, -1, KVM_RUN),
	CALL("KVM_RUN", ON(DISK), DIES, ioctl, -1, KVM_RUN),
	CALL("KVM_KVMCLOCK_CTRL", ON(VCPU), EBADF, ioctl, -1, KVM_KVMCLOCK_CTRL),
	CALL("KVM_SET_CPUID2", ON(VMM), EBADF, ioctl, -1, KVM_SET_CPUID2),
	CALL("KVM_SET_CPUID2", THREADS, DIES, ioctl, -1, KVM_SET_CPUID2),
	CALL("KVM_CREATE_VM", THREADS, DIES, ioctl, -1, KVM_CREATE_VM),
	CALL("TIOCSTI", SHARES, EPERM, ioctl, -1, TIOCSTI),
	CALL("TIOCSTI", THREADS | ON(VMM), DIES, ioctl, -1, TIOCSTI),
	CALL("TUNSETIFF", SHARES, EPERM, ioctl, -1, TUNSETIFF),
	CALL("TUNSETIFF", ON(VMM), DIES, ioctl, -1, TUNSETIFF),
	CALL("TUNSETVNETHDRSZ", ON(VMM), DIES, ioctl, -1, TUNSETVNETHDRSZ),
	CALL("TUNSETOFFLOAD", ON(VMM), EBADF, ioctl, -1, TUNSETOFFLOAD),
	CALL("TUNSETOFFLOAD", THREADS, DIES, ioctl, -1, TUNSETOFFLOAD),
	CALL("type 0xaf", ON(VMM), DIES, ioctl, -1, 0xaf80),
	CALL("type 0xae and more", ON(VMM), DIES, ioctl, -1, 0xffae),
	CALL("type 0", ON(VMM), DIES, ioctl, -1, 0xae),
	/* waiting */
	CALL("epoll_ctl", ON(VMM) | ON(VCPU), 0, epoll_ctl, EPOLL_FD, EPOLL_CTL_ADD, EVENT_FD,
	     P(&event)),
	CALL("epoll_ctl", SHARES | ON(DISK), DIES, epoll_ctl, EPOLL_FD),
	CALL("epoll_wait", ON(VMM), 0, epoll_wait, EPOLL_FD, P(&event), 1, 0),
	CALL("epoll_pwait", ALL, DIES, epoll_pwait, EPOLL_FD, P(&event), 1, 0),
	CALL("epoll_wait", THREADS | SHARES, DIES, epoll_wait, EPOLL_FD),
	CALL("timer", ALL, DIES, timerfd_settime, -1),
	CALL("poll", ALL & ~ON(DISK), 0, poll, 0),
	CALL("io_uring_enter", ON(VMM) | ON(VCPU), EBADF, io_uring_enter, -1),
	CALL("io_uring_enter", SHARES | ON(DISK), DIES, io_uring_enter, -1),
	/* sockets that are there */
	CALL("sendto", ON(VMM), 0, sendto, SOCKET_FD, P(byte), 1),
	CALL("sendto", ALL & ~ON(VMM), DIES, sendto, SOCKET_FD, P(byte), 1),
	CALL("sendto to an address", ALL, DIES, sendto, SOCKET_FD, P(byte), 1, 0, P(&address),
	     sizeof(address)),
	CALL("sendmsg", ON(VMM), 0, sendmsg, SOCKET_FD, P(&message), 0),
	CALL("sendmsg", ALL & ~ON(VMM), DIES, sendmsg, SOCKET_FD, P(&message), 0),
	CALL("recvmsg", ON(VMM), EAGAIN, recvmsg, PEER_FD, P(&message), MSG_DONTWAIT),
	CALL("recvmsg", ALL & ~ON(VMM), DIES, recvmsg, PEER_FD, P(&message)),
	CALL("recvfrom", ON(VMM), EAGAIN, recvfrom, PEER_FD, P(byte), 1, MSG_DONTWAIT),
	CALL("recvfrom", ALL & ~ON(VMM), DIES, recvfrom, PEER_FD, P(byte), 1),
	CALL("type of a socket", ON(VMM), 0, getsockopt, SOCKET_FD, SOL_SOCKET, SO_TYPE, P(&number),
	     P(&number_len)),
	CALL("peer of a socket", ON(VMM), DIES, getsockopt, SOCKET_FD, SOL_SOCKET, SO_PEERCRED),
	CALL("type of a socket", ALL & ~ON(VMM), DIES, getsockopt, SOCKET_FD, SOL_SOCKET, SO_TYPE),
	{ "sendmsg to an abstract address", ON(VMM), EPERM, try_abstract, .flags = FLAG_SCOPE },
	CALL("accept4", ON(VMM), EINVAL, accept4, SOCKET_FD), /* it does not listen */
	CALL("accept4", ALL & ~ON(VMM), DIES, accept4, SOCKET_FD),
	CALL("shutdown", ON(VMM), ENOTSOCK, shutdown, FILE_FD, SHUT_WR),
	CALL("shutdown", ALL & ~ON(VMM), DIES, shutdown, SOCKET_FD, SHUT_WR),
	/* files */
	CALL("open", SHARES, EPERM, open, P("/etc/passwd")),
	CALL("open", THREADS | ON(VMM), DIES, open, P("/etc/passwd")),
	CALL("openat", ON(VMM), EPERM, openat, AT_FDCWD, P("/etc/passwd")),
	CALL("openat beneath", ON(VMM), EPERM, openat, DIR_FD, P("file")),
	CALL("openat", THREADS, DIES, openat, DIR_FD, P("file")),
	CALL("openat2", THREADS | ON(VMM), DIES, openat2, DIR_FD, P("file"), OPEN(how_read)),
	CALL("getdents64", THREADS | ON(VMM), DIES, getdents64, DIR_FD),
	CALL("unlinkat", THREADS | ON(VMM), DIES, unlinkat, DIR_FD, P("none")),
	CALL("fchownat", THREADS | ON(VMM), DIES, fchownat, DIR_FD, P("file")),
	CALL("dup", THREADS | ON(VMM), DIES, dup, FILE_FD),
	CALL("prctl", SHARES, EPERM, prctl, PR_SET_DUMPABLE, 1),
	CALL("prctl", THREADS | ON(VMM), DIES, prctl, PR_SET_DUMPABLE, 1),
	CALL("a thread's name", ON(VMM), 0, prctl, PR_SET_NAME, P("name")),
	{ "see the root directory",
	  ON(VMM),
	  ENOENT,
	  NULL,
	  SYS_newfstatat,
	  { AT_FDCWD, P("/etc/passwd"), P(&st), AT_EMPTY_PATH },
	  FLAG_NAMESPACES },
	CALL("stat by name", ON(VCPU), DIES, newfstatat, AT_FDCWD, P("/"), P(&st)),
	CALL("fstat", ALL & ~THREADS, 0, fstat, FILE_FD, P(&st)),
	CALL("fstat", THREADS, DIES, fstat, FILE_FD, P(&st)),
	CALL("preadv", ON(VMM) | ON(DISK), 0, preadv, FILE_FD, P(&iov), 1),
	CALL("pwritev", ON(VMM) | ON(DISK), 0, pwritev, FILE_FD, P(&iov), 1),
	CALL("preadv", ON(VCPU), DIES, preadv, FILE_FD, P(&iov), 1),
	CALL("preadv2", ALL, DIES, preadv2, FILE_FD, P(&iov), 1),
	CALL("fdatasync", ALL & ~ON(VCPU), 0, fdatasync, FILE_FD),
	CALL("fallocate", ALL & ~ON(VCPU), 0, fallocate, FILE_FD, 0, 0, 4096),
	CALL("a large file", ALL & ~THREADS, 0, ftruncate, FILE_FD, 1L << 40),
	CALL("ftruncate", THREADS, DIES, ftruncate, FILE_FD, 0),
	CALL("copy_file_range", ALL & ~SHARES, DIES, copy_file_range, FILE_FD),
	/* a process, and what a thread is not for */
	{ "thread", ON(VMM) | SHARES, 0, try_thread },
	CALL("clone of a thread", THREADS, DIES, clone, CLONE_THREAD),
	CALL("clone3", ON(VMM) | SHARES, ENOSYS, clone3, 0),
	CALL("clone3", THREADS, DIES, clone3, 0),
	CALL("rt_sigaction", THREADS, DIES, rt_sigaction, SIGUSR1, 0, 0, 8),
	CALL("close", ON(VCPU), EBADF, close, -1),
	CALL("close", ON(DISK), DIES, close, -1),
	CALL("one more filter", ON(VMM), EFAULT, seccomp, SECCOMP_SET_MODE_FILTER),
	CALL("one more filter", ALL & ~ON(VMM), DIES, seccomp, SECCOMP_SET_MODE_FILTER),
	/* a share's directory */
	{ "make a file", ON(RW), 0, try_file_made },
	{ "names", ON(RW), 0, try_names },
	{ "FIFO, socket", ON(RW), 0, try_special_files },
	{ "attributes", ON(RW), 0, try_attributes },
	{ "another's file", ON(RW), 0, try_anothers_file, .flags = FLAG_ROOT },
	{ "owners", SHARES, 0, try_owner_seen },
	{ "read a directory", SHARES, 0, try_directory_read },
	{ "open anew", SHARES, 0, try_reopen },
	BARRED("a device", ON(RW), mknodat, DIR_FD, P("d"), S_IFBLK | 0600, 0x800),
	BARRED("a console", ON(RW), mknodat, DIR_FD, P("d"), S_IFCHR | 0600, 0x501),
	BARRED("a file elsewhere", SHARES, openat2, AT_FDCWD, P("/etc/passwd"), OPEN(how_read)),
	BARRED("a file elsewhere", SHARES, openat, AT_FDCWD, P("/etc/passwd")),
	BARRED("a file above", SHARES, openat2, DIR_FD, P("../../etc/passwd"), OPEN(how_read)),
	BARRED("a file beside", SHARES, openat2, OUTSIDE_FD, P("file"), OPEN(how_read)),
	BARRED("make a file beside", SHARES, openat2, OUTSIDE_FD, P("made"), OPEN(how_make)),
	BARRED("make a directory beside", SHARES, mkdirat, OUTSIDE_FD, P("made"), 0700),
	BARRED("remove a file beside", SHARES, unlinkat, OUTSIDE_FD, P("file")),
	BARRED("move a file out", SHARES, renameat2, DIR_FD, P("file"), OUTSIDE_FD, P("moved")),
	BARRED("link a file out", SHARES, linkat, DIR_FD, P("file"), OUTSIDE_FD, P("moved")),
	BARRED("write to a file", ON(RO), openat2, DIR_FD, P("file"), OPEN(how_write)),
	BARRED("make a file", ON(RO), openat2, DIR_FD, P("made"), OPEN(how_make)),
	BARRED("make a link", ON(RO), symlinkat, P("x"), DIR_FD, P("made")),
	BARRED("remove a file", ON(RO), unlinkat, DIR_FD, P("file")),
};

/* ---- children ---- */

static int row_run(const struct row *r)
{
	long a[6], rc;

	if (r->attempt)
		return r->attempt();
	for (size_t i = 0; i < ARRAY_SIZE(a); i++)
		a[i] = r->arg[i] == PARENT ? parent : r->arg[i];
	rc = syscall(r->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	return rc < 0 ? errno : 0;
}

struct thread_job {
	const struct subject *subject;
	const struct row *row;
	int got;
};

static void *thread_run(void *arg)
{
	struct thread_job *j = arg;
	struct err e = { 0 };

	if (sandbox_thread(j->subject->thread, &e) == 0)
		j->got = row_run(j->row);
	return NULL;
}

static int subject_enter(enum who who, struct err *e)
{
	const int dir_fd = DIR_FD;
	struct sandbox_policy p = { .kind = subjects[who].kind };

	if (who == RW) {
		p.dir_fds = &dir_fd;
		p.n_dir_fds = 1;
	} else if (who == RO) {
		p.read_fds = &dir_fd;
		p.n_read_fds = 1;
	}
	return sandbox_enter(&p, e);
}

static void on_signal(int signo)
{
	(void)signo;
}

static void user_become(void)
{
	if (setgroups(0, NULL) < 0 || setresgid(USER, USER, USER) < 0 ||
	    setresuid(USER, USER, USER) < 0)
		_exit(255);
}

static void fd_keep(int fd, int as)
{
	if (fd < 0 || dup3(fd, as, O_CLOEXEC) < 0)
		_exit(255);
	close(fd);
}

static void child_open(void)
{
	struct rlimit few = { .rlim_cur = 512, .rlim_max = 1024 };
	int pair[2];

	if (setrlimit(RLIMIT_NOFILE, &few) < 0)
		_exit(255);
	(void)unlinkat(DIR_FD, "file", 0);
	fd_keep(openat(DIR_FD, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600), FILE_FD);
	fd_keep(open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC), PROC_FD);
	fd_keep(epoll_create1(EPOLL_CLOEXEC), EPOLL_FD);
	fd_keep(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), EVENT_FD);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ||
	    write(FILE_FD, "abc", 3) != 3)
		_exit(255);
	fd_keep(pair[0], SOCKET_FD);
	fd_keep(pair[1], PEER_FD);
	fd_keep(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), DATAGRAM_FD);
	signal(SIGUSR1, on_signal);
}

static void child_run(enum who who, const struct row *r, bool is_user)
{
	struct thread_job j = { &subjects[who], r, 255 };
	struct err e = { 0 };
	pthread_t t;

	if (is_user)
		user_become();
	mallopt(M_ARENA_MAX, 1); /* as caisson-vmm */
	child_open();
	if (subject_enter(who, &e) < 0) {
		fprintf(stderr, "%s\n", e.msg);
		_exit(255);
	}
	if (!subjects[who].is_thread)
		_exit(row_run(r));
	if (pthread_create(&t, NULL, thread_run, &j) == 0)
		pthread_join(t, NULL);
	_exit(j.got);
}

static int status_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGSYS ? DIES : 256 + WTERMSIG(status);
	return WEXITSTATUS(status);
}

static unsigned int landlock_flags(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1);

	return (abi >= 1 ? FLAG_LANDLOCK : 0U) | (abi >= 6 ? FLAG_SCOPE : 0U);
}

static bool namespaces_are_there(bool is_user)
{
	const int flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (is_user)
			user_become();
		_exit(unshare(flags) < 0 ||
		      mount("none", "/proc", "tmpfs", 0, NULL) < 0); /* AppArmor may refuse it */
	}
	return status_of(pid) == 0;
}

static void rows_run(bool is_user, int *io_bad)
{
	const bool is_root = !is_user && geteuid() == 0;
	const unsigned int has = landlock_flags() |
				 (namespaces_are_there(is_user) ? FLAG_NAMESPACES : 0U) |
				 (is_root ? FLAG_ROOT : 0U);

	for (size_t i = 0; i < ARRAY_SIZE(rows) * WHO_COUNT_; i++) {
		const struct row *r = &rows[i / WHO_COUNT_];
		enum who who = i % WHO_COUNT_;
		pid_t pid;
		int got;

		if (!(r->who & ON(who)) || (r->flags & ~has))
			continue;
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			child_run(who, r, is_user);
		got = status_of(pid);
		if (got == r->want)
			continue;
		print_error("%s%s: %s: %d, not %d\n", subjects[who].name, is_user ? " (user)" : "",
			    r->what, got, r->want);
		*io_bad += 1;
	}
}

static void each_holds(void **state)
{
	int bad = 0;

	(void)state;
	rows_run(false, &bad);
	if (geteuid() == 0)
		rows_run(true, &bad);
	assert_int_equal(bad, 0);
}

static void unknown_kinds_are_refused(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_int_equal(sandbox_thread(SANDBOX_THREAD_COUNT_, &e), -EINVAL);
	assert_int_equal(sandbox_thread((enum sandbox_thread) - 1, &e), -EINVAL);
}

static void dir_make(char *name, int as)
{
	assert_non_null(mkdtemp(name));
	assert_int_equal(chmod(name, 0777), 0); /* of several users, in turn */
	fd_keep(open(name, O_PATH | O_DIRECTORY | O_CLOEXEC), as);
}

/* The kernel gives both an abstract address. */
static int letter_send(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(a);
	int from = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int to = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (from < 0 || to < 0 ||
	    bind(from, (const struct sockaddr *)&a, sizeof(sa_family_t)) < 0 ||
	    bind(to, (const struct sockaddr *)&a, sizeof(sa_family_t)) < 0 ||
	    getsockname(to, (struct sockaddr *)&a, &len) < 0 ||
	    sendto(from, "x", 1, 0, (const struct sockaddr *)&a, len) != 1)
		return -1;
	fd_keep(to, LETTER_FD);
	return 0;
}

static int setup(void **state)
{
	int fd;

	(void)state;
	parent = getpid();
	dir_make(dir_name, DIR_FD);
	dir_make(outside_name, OUTSIDE_FD);
	fd = openat(OUTSIDE_FD, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	return fd < 0 || close(fd) < 0 ? -1 : letter_send();
}

static int teardown(void **state)
{
	(void)state;
	unlinkat(DIR_FD, "file", 0);
	unlinkat(OUTSIDE_FD, "file", 0);
	return rmdir(dir_name) < 0 || rmdir(outside_name) < 0 ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_holds),
		cmocka_unit_test(unknown_kinds_are_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
