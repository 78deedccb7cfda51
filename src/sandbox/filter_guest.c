/* SPDX-License-Identifier: MIT */
/*
 * filter_guest.c - which system calls are left to those that serve a guest, and to their threads
 *
 * The lists are short and known: anything else kills the process. A VMM opens nothing; of devices
 * it may ask KVM, and say to a tap which offloads its guest takes. A share's server opens what
 * Landlock lets it.
 *
 * A thread's filter comes on top of its process's, and of two verdicts the harder counts. The VMM
 * may therefore add filters, which can only take away.
 *
 * What io_uring does is not seen here: whoever makes a ring must restrict it to the operations that
 * it is for.
 */
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <sys/socket.h>

#include "filter_internal.h"

/* Waiting, and what is done with sockets and rings that are there. */
static const int calls_vmm[] = {
	SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(timerfd_settime),
	SCMP_SYS(sendmsg),   SCMP_SYS(recvmsg),    SCMP_SYS(recvfrom),    SCMP_SYS(io_uring_enter),
	SCMP_SYS(accept4),   SCMP_SYS(shutdown),
};

/*
 * share_open.c opens by openat2 beneath a directory, and by openat in /proc/self/fd. Without flags
 * glibc makes renameat of renameat2.
 */
static const int calls_share[] = {
	SCMP_SYS(openat2),         SCMP_SYS(openat),       SCMP_SYS(statx),     SCMP_SYS(fstatfs),
	SCMP_SYS(getdents64),      SCMP_SYS(readlinkat),   SCMP_SYS(symlinkat), SCMP_SYS(mknodat),
	SCMP_SYS(mkdirat),         SCMP_SYS(unlinkat),     SCMP_SYS(renameat2), SCMP_SYS(renameat),
	SCMP_SYS(linkat),          SCMP_SYS(fchmodat),     SCMP_SYS(fchownat),  SCMP_SYS(utimensat),
	SCMP_SYS(copy_file_range), SCMP_SYS(dup),          SCMP_SYS(fgetxattr), SCMP_SYS(fsetxattr),
	SCMP_SYS(flistxattr),      SCMP_SYS(fremovexattr),
};

/* Memory, locks, signals, time, ends; eventfds. */
static const int calls_thread[] = {
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(readv),
	SCMP_SYS(writev),
	SCMP_SYS(futex),
	SCMP_SYS(munmap),
	SCMP_SYS(madvise),
	SCMP_SYS(brk),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(sched_yield),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(rseq),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
};

/* Registers of devices: a timer, a watch, the end of a disk's requests, and of connections, when it
 * is reset. */
static const int calls_vcpu[] = {
	SCMP_SYS(poll),           SCMP_SYS(ppoll), SCMP_SYS(epoll_ctl), SCMP_SYS(timerfd_settime),
	SCMP_SYS(io_uring_enter), SCMP_SYS(close),
};

static const int calls_disk[] = {
	SCMP_SYS(preadv), SCMP_SYS(pwritev),   SCMP_SYS(pread64),   SCMP_SYS(pwrite64),
	SCMP_SYS(fsync),  SCMP_SYS(fdatasync), SCMP_SYS(fallocate), SCMP_SYS(ftruncate),
	SCMP_SYS(lseek),  SCMP_SYS(fstat),     SCMP_SYS(sysinfo), /* glibc's qsort() of much */
};

/* KVM's, of any number; what a guest's driver agreed to take, of a tap that is open. */
static int ioctls_add(scmp_filter_ctx c)
{
	const scmp_datum_t type = KVMIO << _IOC_TYPESHIFT;
	int r = seccomp_rule_add(
		c, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
		SCMP_A1(SCMP_CMP_MASKED_EQ, _IOC_TYPEMASK << _IOC_TYPESHIFT, type));

	return r ? r
		 : seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
				    SCMP_A1(SCMP_CMP_EQ, TUNSETOFFLOAD));
}

int filter_vmm_add(scmp_filter_ctx c)
{
	int r = filter_calls_add(c, SCMP_ACT_ALLOW, calls_vmm, ARRAY_SIZE(calls_vmm));

	if (r == 0)
		r = filter_memory_add(c);
	if (r == 0)
		r = filter_fstat_add(c);
	if (r == 0)
		r = filter_refused_add(c);
	if (r == 0)
		r = ioctls_add(c);
	if (r == 0) /* to the peer, to no address */
		r = seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(sendto), 1,
				     SCMP_A4(SCMP_CMP_EQ, 0));
	if (r == 0) /* of one that is attached while the guest runs */
		r = seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(getsockopt), 2,
				     SCMP_A1(SCMP_CMP_EQ, SOL_SOCKET),
				     SCMP_A2(SCMP_CMP_EQ, SO_TYPE));
	if (r == 0) /* sandbox_thread() */
		r = seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(seccomp), 2,
				     SCMP_A0(SCMP_CMP_EQ, SECCOMP_SET_MODE_FILTER),
				     SCMP_A1(SCMP_CMP_EQ, 0));
	return r;
}

int filter_share_add(scmp_filter_ctx c)
{
	static const int refused[] = { SCMP_SYS(open), SCMP_SYS(readlink), SCMP_SYS(prctl),
				       SCMP_SYS(ioctl) };
	int r = filter_calls_add(c, SCMP_ACT_ALLOW, calls_share, ARRAY_SIZE(calls_share));

	if (r == 0)
		r = filter_memory_add(c);
	if (r == 0)
		r = filter_fstat_add(c);
	return r ? r : filter_calls_add(c, SCMP_ACT_ERRNO(EPERM), refused, ARRAY_SIZE(refused));
}

/* ---- threads ---- */

static int vcpu_add(scmp_filter_ctx c)
{
	static const unsigned int requests[] = { KVM_RUN, KVM_KVMCLOCK_CTRL };
	int r = filter_calls_add(c, SCMP_ACT_ALLOW, calls_vcpu, ARRAY_SIZE(calls_vcpu));

	for (size_t i = 0; i < ARRAY_SIZE(requests) && r == 0; i++)
		r = seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
				     SCMP_A1(SCMP_CMP_EQ, requests[i]));
	return r;
}

static int disk_add(scmp_filter_ctx c)
{
	int r = filter_calls_add(c, SCMP_ACT_ALLOW, calls_disk, ARRAY_SIZE(calls_disk));

	return r ? r : filter_fstat_add(c);
}

int filter_thread_fill(scmp_filter_ctx c, enum sandbox_thread kind)
{
	static int (*const of_kind[])(scmp_filter_ctx c) = {
		[SANDBOX_THREAD_VCPU] = vcpu_add,
		[SANDBOX_THREAD_DISK] = disk_add,
	};
	int r = filter_calls_add(c, SCMP_ACT_ALLOW, calls_thread, ARRAY_SIZE(calls_thread));

	_Static_assert(ARRAY_SIZE(of_kind) == SANDBOX_THREAD_COUNT_, "a filter for each kind");
	if (r == 0)
		r = filter_memory_add(c);
	if (r == 0)
		r = filter_raise_add(c);
	return r ? r : of_kind[kind](c);
}
