/* SPDX-License-Identifier: MIT */
/*
 * sandbox.c - the order in which the walls go up
 *
 * No new privileges; namespaces (sandbox_root.c); limits; Landlock; capabilities; system calls.
 * Each wall stands without the others: a kernel without namespaces for ordinary users or without
 * Landlock still has the system call filter, in which an unpack worker can open nothing.
 *
 * A program of others opens its files by itself, with root's right to read those of other users
 * where root started it: that one capability stays, behind Landlock only. So does a share's server,
 * for whose files a guest has owners and modes; without Landlock it may open what root may, and
 * must not be talked into it (share_open.c).
 */
#include "sandbox.h"

#include <linux/capability.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "log.h"
#include "sandbox_internal.h"

#define GIB        (1ULL << 30)
#define SOFT_LIMIT (RLIM_INFINITY - 1) /* what is there for now, for good */

static const struct limits {
	rlim_t files, file_size, memory;
} limits[] = {
	/* 16 million inodes of a merge take some GiB; data of the largest layer, with padding */
	[SANDBOX_UNPACK] = { 1024, 256 * GIB, 8 * GIB },
	[SANDBOX_FETCH] = { 1024, 256 * GIB, 4 * GIB },
	[SANDBOX_MOUNT] = { 1024, RLIM_INFINITY, 4 * GIB },
	[SANDBOX_DISK] = { 1024, RLIM_INFINITY, 4 * GIB },
	[SANDBOX_PROGRAM] = { 1024, RLIM_INFINITY, 4 * GIB },
	[SANDBOX_VMM] = { SOFT_LIMIT, RLIM_INFINITY, RLIM_INFINITY }, /* the guest's memory */
	[SANDBOX_SHARE] = { RLIM_INFINITY, RLIM_INFINITY, 4 * GIB },
};
_Static_assert(ARRAY_SIZE(limits) == SANDBOX_KIND_COUNT_, "limits for each kind");

/* Never above the limit that is there. */
static int limit_set(__rlimit_resource_t what, rlim_t value, struct err *e)
{
	struct rlimit r;

	if (getrlimit(what, &r) < 0)
		return err_set(e, errno, "getrlimit");
	r.rlim_max = value == SOFT_LIMIT ? r.rlim_cur : MIN_OF(r.rlim_max, value);
	r.rlim_cur = MIN_OF(r.rlim_cur, r.rlim_max);
	return setrlimit(what, &r) < 0 ? err_set(e, errno, "setrlimit") : 0;
}

static int limits_set(const struct limits *l, unsigned int cpu_s, struct err *e)
{
	if (limit_set(RLIMIT_CORE, 0, e) < 0 || limit_set(RLIMIT_NOFILE, l->files, e) < 0 ||
	    limit_set(RLIMIT_FSIZE, l->file_size, e) < 0 ||
	    (cpu_s && limit_set(RLIMIT_CPU, cpu_s, e) < 0))
		return -e->code;
#ifndef __SANITIZE_ADDRESS__ /* its shadow is terabytes of address space */
	if (limit_set(RLIMIT_AS, l->memory, e) < 0)
		return -e->code;
#endif
	return 0;
}

/* Bits: what a kind that was started by root keeps. */
static uint32_t capabilities_of(enum sandbox_kind kind, bool has_landlock)
{
	if (kind == SANDBOX_SHARE)
		return 1U << CAP_CHOWN | 1U << CAP_DAC_OVERRIDE | 1U << CAP_FOWNER;
	return kind == SANDBOX_PROGRAM && has_landlock ? 1U << CAP_DAC_READ_SEARCH : 0U;
}

/* All, but those of `kept` (bits) that it has. */
static int capabilities_drop(uint32_t kept, struct err *e)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct had[2] = { 0 }, has[2] = { 0 };

	if (syscall(SYS_capget, &head, had) < 0)
		return err_set(e, errno, "sandbox: capabilities");
	has[0].permitted = has[0].effective = kept & had[0].permitted;
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if ((cap > 31 || !(has[0].permitted & 1U << cap)) &&
		    prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			break; /* an ordinary user may not, and with no-new-privs need not */
	if (syscall(SYS_capset, &head, has) < 0)
		return err_set(e, errno, "sandbox: drop capabilities");
	return 0;
}

int sandbox_enter(const struct sandbox_policy *p, struct err *e)
{
	bool is_root = geteuid() == 0, has_landlock = false;

	if ((unsigned int)p->kind >= SANDBOX_KIND_COUNT_)
		return err_plain(e, EINVAL, "sandbox of an unknown kind");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_set(e, errno, "sandbox: prctl");
	sandbox_namespaces(p->kind, is_root);
	if (limits_set(&limits[p->kind], p->cpu_s, e) < 0 ||
	    sandbox_landlock(p, &has_landlock, e) < 0 ||
	    capabilities_drop(is_root ? capabilities_of(p->kind, has_landlock) : 0U, e) < 0)
		return -e->code;
	return sandbox_seccomp(p->kind, e);
}
