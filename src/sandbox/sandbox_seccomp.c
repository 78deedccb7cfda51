/* SPDX-License-Identifier: MIT */
/*
 * sandbox_seccomp.c - the last wall: a filter of system calls, ready-made by filter_main.c
 *
 * One number is not known before: the process's own id, which tgkill() may name. No thread's filter
 * has it.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox_internal.h"
#include "sandbox_filters.h" /* made */

static int filter_load(const struct sock_fprog *f, unsigned int flags, const char *what,
		       struct err *e)
{
	long rc = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, f);

	if (rc > 0) /* the thread that has a filter of its own */
		return err_plain(e, ESRCH, "%s: thread %ld is in the way", what, rc);
	return rc < 0 ? err_set(e, errno, "%s", what) : 0;
}

int sandbox_seccomp(enum sandbox_kind kind, struct err *e)
{
	const struct sock_fprog *made = &filters_of_kinds[kind];
	const size_t size = made->len * sizeof(*made->filter);
	auto_free struct sock_filter *lines = malloc(size);
	const struct sock_fprog p = { made->len, lines };

	if (!lines)
		return err_set(e, ENOMEM, "sandbox: system call filter");
	memcpy(lines, made->filter, size);
	for (unsigned int i = 0; i < made->len; i++)
		if (BPF_CLASS(lines[i].code) == BPF_JMP && lines[i].k == SANDBOX_OWN_PID)
			lines[i].k = (uint32_t)getpid();
	/* of all threads, or of none */
	return filter_load(&p, SECCOMP_FILTER_FLAG_TSYNC, "sandbox: system call filter", e);
}

int sandbox_thread(enum sandbox_thread kind, struct err *e)
{
	static const char *const names[] = {
		[SANDBOX_THREAD_VCPU] = "vcpu", [SANDBOX_THREAD_DISK] = "disk"
	};

	_Static_assert(ARRAY_SIZE(names) == SANDBOX_THREAD_COUNT_, "a name for each kind");
	if ((unsigned int)kind >= SANDBOX_THREAD_COUNT_)
		return err_plain(e, EINVAL, "sandbox of an unknown kind of thread");
	if (prctl(PR_SET_NAME, names[kind]) < 0) /* as top and the like show it */
		return err_set(e, errno, "name of a thread");
	return filter_load(&filters_of_threads[kind], 0, "sandbox: system call filter of a thread",
			   e);
}
