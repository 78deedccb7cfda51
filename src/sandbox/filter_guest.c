/* SPDX-License-Identifier: MIT */
/*
 * filter_guest.c - which system calls are left to those that serve a guest, and to their threads
 *
 * The lists are short, and made of the "#syscalls" comments of the sources by syscalls.sh: anything
 * else kills the process. A VMM opens nothing; of devices it may ask KVM, and say to a tap which
 * offloads its guest takes. A share's server opens what Landlock lets it.
 *
 * A thread's filter comes on top of its process's, and of two verdicts the harder counts. The VMM
 * may therefore add filters, which can only take away.
 *
 * What io_uring does is not seen here: whoever makes a ring must restrict it to the operations that
 * it is for.
 */
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "filter_internal.h"
#include "sandbox_syscalls.h" /* made */

/* ---- calls that not all arguments may make ---- */

static int one_arg(scmp_filter_ctx c, int call, struct scmp_arg_cmp a)
{
	return seccomp_rule_add_array(c, SCMP_ACT_ALLOW, call, 1, &a);
}

/* KVM's, of any number; what a guest's driver agreed to take, of a tap that is open. */
static int vmm_ioctl_add(scmp_filter_ctx c)
{
	const scmp_datum_t type = KVMIO << _IOC_TYPESHIFT;
	int r = one_arg(c, SCMP_SYS(ioctl),
			SCMP_A1(SCMP_CMP_MASKED_EQ, _IOC_TYPEMASK << _IOC_TYPESHIFT, type));

	return r ? r : one_arg(c, SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, TUNSETOFFLOAD));
}

static int vcpu_ioctl_add(scmp_filter_ctx c)
{
	int r = one_arg(c, SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, KVM_RUN));

	return r ? r : one_arg(c, SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, KVM_KVMCLOCK_CTRL));
}

/* The type of a socket that is attached while the guest runs. */
static int getsockopt_add(scmp_filter_ctx c)
{
	return seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(getsockopt), 2,
				SCMP_A1(SCMP_CMP_EQ, SOL_SOCKET), SCMP_A2(SCMP_CMP_EQ, SO_TYPE));
}

/* sandbox_thread() */
static int seccomp_add(scmp_filter_ctx c)
{
	return seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(seccomp), 2,
				SCMP_A0(SCMP_CMP_EQ, SECCOMP_SET_MODE_FILTER),
				SCMP_A1(SCMP_CMP_EQ, 0));
}

static int fcntl_add(scmp_filter_ctx c)
{
	int r = one_arg(c, SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_EQ, F_GETFL));

	return r ? r : one_arg(c, SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_EQ, F_SETFL));
}

int filter_call_add(scmp_filter_ctx c, int call)
{
	switch (call) {
	case SCMP_SYS(mmap): /* never executable */
	case SCMP_SYS(mprotect):
		return one_arg(c, call, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	case SCMP_SYS(newfstatat): /* glibc's fstat() */
		return one_arg(c, call, SCMP_A3(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH));
	case SCMP_SYS(clone): /* threads, never processes */
		return one_arg(c, call, SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	case SCMP_SYS(tgkill): /* signals to a thread of this process */
		return one_arg(c, call, SCMP_A0(SCMP_CMP_EQ, SANDBOX_OWN_PID));
	case SCMP_SYS(prctl):
		return one_arg(c, call, SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
	case SCMP_SYS(sendto): /* to the peer, to no address */
		return one_arg(c, call, SCMP_A4(SCMP_CMP_EQ, 0));
	case SCMP_SYS(fcntl):
		return fcntl_add(c);
	case SCMP_SYS(getsockopt):
		return getsockopt_add(c);
	case SCMP_SYS(seccomp):
		return seccomp_add(c);
	default:
		return seccomp_rule_add(c, SCMP_ACT_ALLOW, call, 0);
	}
}

static int calls_add(scmp_filter_ctx c, const int *calls, size_t n,
		     int (*ioctl_add)(scmp_filter_ctx c))
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = calls[i] == SCMP_SYS(ioctl) ? ioctl_add(c) : filter_call_add(c, calls[i]);
	return r;
}

/* ---- whole ones ---- */

/* glibc makes threads by clone where there is no clone3, and looks at /sys for processors. */
int filter_vmm_add(scmp_filter_ctx c)
{
	int r = calls_add(c, syscalls_vmm, ARRAY_SIZE(syscalls_vmm), vmm_ioctl_add);

	if (r == 0)
		r = seccomp_rule_add(c, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	return r ? r : seccomp_rule_add(c, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(openat), 0);
}

int filter_share_add(scmp_filter_ctx c)
{
	static const int refused[] = { SCMP_SYS(open), SCMP_SYS(readlink), SCMP_SYS(prctl),
				       SCMP_SYS(ioctl) };
	int r = calls_add(c, syscalls_share, ARRAY_SIZE(syscalls_share), NULL);

	return r ? r : filter_calls_add(c, SCMP_ACT_ERRNO(EPERM), refused, ARRAY_SIZE(refused));
}

int filter_thread_fill(scmp_filter_ctx c, enum sandbox_thread kind)
{
	_Static_assert(SANDBOX_THREAD_COUNT_ == 2, "a filter for each kind");
	if (kind == SANDBOX_THREAD_VCPU)
		return calls_add(c, syscalls_vcpu, ARRAY_SIZE(syscalls_vcpu), vcpu_ioctl_add);
	return calls_add(c, syscalls_disk, ARRAY_SIZE(syscalls_disk), NULL);
}
