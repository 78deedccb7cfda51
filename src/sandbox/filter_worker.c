/* SPDX-License-Identifier: MIT */
/*
 * filter_worker.c - which system calls are left to a process
 *
 * The list of an unpack worker and of a disk's server is short and known: anything else kills the
 * process. A download worker runs libcurl, OpenSSL and whatever modules name lookup loads on this
 * machine: what is on no list fails with EPERM there, so that a strange resolver loses one attempt
 * and not the process; calls that only an intruder makes kill it. A disk's server lives in a
 * program of others, nbdkit of whatever version: all that is on no list fails with EPERM; it starts
 * with each machine, so its list is short. A program of others that is executed later makes the
 * calls of its libraries; all else fails with EPERM. Those that serve a guest are in
 * filter_guest.c.
 *
 * seccomp cannot look behind pointers: clone3 is said not to exist, so that glibc makes threads by
 * clone, whose flags are in a register.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "filter_internal.h"

/* Memory, threads, time, ends, and input and output on what is open. */
static const int calls_common[] = {
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(readv),
	SCMP_SYS(writev),
	SCMP_SYS(pread64),
	SCMP_SYS(pwrite64),
	SCMP_SYS(preadv),
	SCMP_SYS(pwritev),
	SCMP_SYS(lseek),
	SCMP_SYS(close),
	SCMP_SYS(fstat),
	SCMP_SYS(ftruncate),
	SCMP_SYS(fallocate),
	SCMP_SYS(fadvise64),
	SCMP_SYS(fsync),
	SCMP_SYS(fdatasync),
	SCMP_SYS(sync_file_range),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(brk),
	SCMP_SYS(futex),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq),
	SCMP_SYS(set_tid_address),
	SCMP_SYS(gettid),
	SCMP_SYS(getpid),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_getres),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(getrandom),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(getrusage),
	SCMP_SYS(uname),
	SCMP_SYS(sysinfo), /* glibc's qsort() of much */
};

/* Files, which Landlock chooses; waiting, threads that load libraries, and what libraries ask. */
static const int calls_libraries[] = {
	SCMP_SYS(open),
	SCMP_SYS(openat),
	SCMP_SYS(stat),
	SCMP_SYS(lstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(statx),
	SCMP_SYS(statfs),
	SCMP_SYS(fstatfs),
	SCMP_SYS(access),
	SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(getdents64),
	SCMP_SYS(getcwd),
	SCMP_SYS(flock),
	SCMP_SYS(dup),
	SCMP_SYS(dup2),
	SCMP_SYS(dup3),
	SCMP_SYS(copy_file_range),
	SCMP_SYS(sendfile),
	SCMP_SYS(mmap),
	SCMP_SYS(mprotect),
	SCMP_SYS(pipe),
	SCMP_SYS(pipe2),
	SCMP_SYS(eventfd2),
	SCMP_SYS(epoll_create),
	SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(select),
	SCMP_SYS(pselect6),
	SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime),
	SCMP_SYS(signalfd4),
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(getppid),
	SCMP_SYS(getrlimit),
	SCMP_SYS(time),
	SCMP_SYS(sched_getparam),
	SCMP_SYS(sched_getscheduler),
	SCMP_SYS(membarrier),
	SCMP_SYS(prctl),
};

/* socket() itself is below */
static const int calls_fetch[] = {
	SCMP_SYS(unlinkat),    SCMP_SYS(connect),     SCMP_SYS(bind),       SCMP_SYS(socketpair),
	SCMP_SYS(sendto),      SCMP_SYS(sendmsg),     SCMP_SYS(sendmmsg),   SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),     SCMP_SYS(recvmmsg),    SCMP_SYS(getsockopt), SCMP_SYS(setsockopt),
	SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(shutdown),
};

/* From exec to main(), where arch_prctl says where a thread's own data are. */
static const int calls_program[] = { SCMP_SYS(execve), SCMP_SYS(arch_prctl) };

/*
 * What nbdkit does with its client. Not sendmsg and recvmsg: they pass descriptors, and the client
 * may be a VMM that its guest owns. accept4 is of use with a socket that listens already.
 */
static const int calls_disk[] = {
	SCMP_SYS(recvfrom),    SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(getsockname),
	SCMP_SYS(getpeername), SCMP_SYS(shutdown),   SCMP_SYS(accept4),    SCMP_SYS(pipe2),
};

/* On no list of any kind, and with no innocent caller. */
static const int calls_deadly[] = {
	SCMP_SYS(execve),
	SCMP_SYS(execveat),
	SCMP_SYS(fork),
	SCMP_SYS(vfork),
	SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(kill),
	SCMP_SYS(tkill),
	SCMP_SYS(mount),
	SCMP_SYS(umount2),
	SCMP_SYS(pivot_root),
	SCMP_SYS(chroot),
	SCMP_SYS(unshare),
	SCMP_SYS(setns),
	SCMP_SYS(bpf),
	SCMP_SYS(keyctl),
	SCMP_SYS(add_key),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(kexec_load),
	SCMP_SYS(setuid),
	SCMP_SYS(setresuid),
	SCMP_SYS(pidfd_open),
	SCMP_SYS(pidfd_getfd),
	SCMP_SYS(listen),
	SCMP_SYS(accept),
	SCMP_SYS(accept4),
	SCMP_SYS(symlink),
	SCMP_SYS(symlinkat),
	SCMP_SYS(link),
	SCMP_SYS(linkat),
	SCMP_SYS(mknod),
	SCMP_SYS(mknodat),
	SCMP_SYS(chmod),
	SCMP_SYS(fchmodat),
	SCMP_SYS(chown),
	SCMP_SYS(fchownat),
};

int filter_calls_add(scmp_filter_ctx c, uint32_t action, const int *calls, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = seccomp_rule_add(c, action, calls[i], 0);
	return r;
}

static int threads_add(scmp_filter_ctx c)
{
	int r = filter_call_add(c, SCMP_SYS(clone));

	if (r == 0)
		r = seccomp_rule_add(c, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	/* reads of one's own limits; glibc asks for the size of a stack */
	if (r == 0)
		r = seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1,
				     SCMP_A2(SCMP_CMP_EQ, 0));
	return r;
}

static int memory_add(scmp_filter_ctx c)
{
	int r = filter_call_add(c, SCMP_SYS(mmap));

	if (r == 0)
		r = filter_call_add(c, SCMP_SYS(mprotect));
	return r ? r : filter_call_add(c, SCMP_SYS(newfstatat));
}

/* Opening fails softly, as glibc looks at /sys when it makes threads. */
static int refused_add(scmp_filter_ctx c)
{
	static const int refused[] = { SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(readlink),
				       SCMP_SYS(readlinkat), SCMP_SYS(prctl) };

	return filter_calls_add(c, SCMP_ACT_ERRNO(EPERM), refused, ARRAY_SIZE(refused));
}

static int unpack_add(scmp_filter_ctx c)
{
	int r = memory_add(c);

	if (r == 0)
		r = refused_add(c);
	return r ? r : seccomp_rule_add(c, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 0);
}

/* A disk may be on a block device, which is asked for its size. */
static int device_add(scmp_filter_ctx c)
{
	return seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
				SCMP_A1(SCMP_CMP_EQ, BLKGETSIZE64));
}

static int mount_add(scmp_filter_ctx c)
{
	int r = memory_add(c);

	if (r == 0)
		r = refused_add(c);
	if (r == 0)
		r = device_add(c);
	return r ? r
		 : seccomp_rule_add(c, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
				    SCMP_A1(SCMP_CMP_NE, BLKGETSIZE64));
}

/*
 * Signals to oneself, not to the user's other processes: by tgkill (abort), and by fcntl, whose
 * F_SETOWN and F_SETSIG make the kernel send any.
 */
static int signals_add(scmp_filter_ctx c)
{
	static const unsigned int allowed[] = {
		F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD,  F_SETFD,     F_GETFL,     F_SETFL,
		F_GETLK, F_SETLK,         F_SETLKW, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW,
	};
	int r = filter_call_add(c, SCMP_SYS(tgkill));

	for (size_t i = 0; i < ARRAY_SIZE(allowed) && r == 0; i++)
		r = seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
				     SCMP_A1(SCMP_CMP_EQ, allowed[i]));
	return r;
}

static int libraries_add(scmp_filter_ctx c)
{
	static const unsigned int requests[] = { FIONREAD, FIONBIO, FIOCLEX, FIONCLEX };
	int r = filter_calls_add(c, SCMP_ACT_ALLOW, calls_libraries, ARRAY_SIZE(calls_libraries));

	for (size_t i = 0; i < ARRAY_SIZE(requests) && r == 0; i++)
		r = seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
				     SCMP_A1(SCMP_CMP_EQ, requests[i]));
	return r;
}

static int fetch_add(scmp_filter_ctx c)
{
	static const unsigned int families[] = { AF_INET, AF_INET6, AF_UNIX, AF_NETLINK };
	int r = filter_calls_add(c, SCMP_ACT_ALLOW, calls_fetch, ARRAY_SIZE(calls_fetch));

	if (r == 0)
		r = libraries_add(c);
	for (size_t i = 0; i < ARRAY_SIZE(families) && r == 0; i++)
		r = seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
				     SCMP_A0(SCMP_CMP_EQ, families[i]));
	if (r == 0)
		r = filter_calls_add(c, SCMP_ACT_KILL_PROCESS, calls_deadly,
				     ARRAY_SIZE(calls_deadly));
	return r;
}

static int program_add(scmp_filter_ctx c)
{
	int r = libraries_add(c);

	return r ? r
		 : filter_calls_add(c, SCMP_ACT_ALLOW, calls_program, ARRAY_SIZE(calls_program));
}

static int disk_add(scmp_filter_ctx c)
{
	int r = memory_add(c);

	if (r == 0)
		r = device_add(c);
	if (r == 0)
		r = filter_calls_add(c, SCMP_ACT_ALLOW, calls_disk, ARRAY_SIZE(calls_disk));
	return r ? r : filter_call_add(c, SCMP_SYS(sendto));
}

int filter_process_fill(scmp_filter_ctx c, enum sandbox_kind kind)
{
	static int (*const of_kind[])(scmp_filter_ctx c) = {
		[SANDBOX_UNPACK] = unpack_add,   [SANDBOX_FETCH] = fetch_add,
		[SANDBOX_MOUNT] = mount_add,     [SANDBOX_DISK] = disk_add,
		[SANDBOX_PROGRAM] = program_add, [SANDBOX_SHARE] = filter_share_add,
	};
	int r;

	if (kind == SANDBOX_VMM) /* its list is whole */
		return filter_vmm_add(c);
	r = filter_calls_add(c, SCMP_ACT_ALLOW, calls_common, ARRAY_SIZE(calls_common));

	if (r == 0)
		r = threads_add(c);
	if (r == 0)
		r = signals_add(c);
	return r ? r : of_kind[kind](c);
}
