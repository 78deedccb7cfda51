/* SPDX-License-Identifier: MIT */
/*
 * filter_main.c - writes all system call filters as C, on stdout: runs when caisson is built
 *
 * To make a filter of lists takes libseccomp longer than a machine takes to be restored, and the
 * lists are the same each time.
 */
#include <linux/filter.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "filter_internal.h"
#include "sandbox_internal.h"

#define OF_KIND   "filter_of_kind"
#define OF_THREAD "filter_of_thread"

/* On what is on no list of a kind. */
static const uint32_t others[] = {
	[SANDBOX_UNPACK] = SCMP_ACT_KILL_PROCESS,  [SANDBOX_FETCH] = SCMP_ACT_ERRNO(EPERM),
	[SANDBOX_MOUNT] = SCMP_ACT_KILL_PROCESS,   [SANDBOX_DISK] = SCMP_ACT_ERRNO(EPERM),
	[SANDBOX_PROGRAM] = SCMP_ACT_ERRNO(EPERM), [SANDBOX_VMM] = SCMP_ACT_KILL_PROCESS,
	[SANDBOX_SHARE] = SCMP_ACT_KILL_PROCESS,
};
_Static_assert(ARRAY_SIZE(others) == SANDBOX_KIND_COUNT_, "a verdict for each kind");

static int filter_new(uint32_t verdict, scmp_filter_ctx *ret)
{
	int r;

	*ret = seccomp_init(verdict);
	if (!*ret)
		return -ENOMEM;
	r = seccomp_attr_set(*ret, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree: fewer steps per call */
	if (r == 0 && verdict == SCMP_ACT_KILL_PROCESS)          /* else the thread only */
		r = seccomp_attr_set(*ret, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	return r;
}

static int filter_write(scmp_filter_ctx c, const char *family, int kind)
{
	struct sock_filter line;
	auto_fd fd = memfd_create("filter", MFD_CLOEXEC);
	int r = fd < 0 ? -errno : seccomp_export_bpf(c, fd);

	if (r < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return r < 0 ? r : -errno;
	printf("static const struct sock_filter %s_%d[] = {\n", family, kind);
	while (read(fd, &line, sizeof(line)) == sizeof(line))
		printf("\t{ %#x, %u, %u, %#xU },\n", line.code, line.jt, line.jf, line.k);
	printf("};\n");
	return 0;
}

static int process_fill(scmp_filter_ctx c, int kind)
{
	return filter_process_fill(c, kind);
}

static int thread_fill(scmp_filter_ctx c, int kind)
{
	return filter_thread_fill(c, kind);
}

static int one_write(const char *family, int kind, uint32_t verdict,
		     int (*fill)(scmp_filter_ctx c, int kind))
{
	scmp_filter_ctx c;
	int r = filter_new(verdict, &c);

	if (r == 0)
		r = fill(c, kind);
	if (r == 0)
		r = filter_write(c, family, kind);
	seccomp_release(c);
	return r;
}

static void table_write(const char *table, const char *name, int n)
{
	printf("static const struct sock_fprog %s[] = {\n", table);
	for (int i = 0; i < n; i++)
		printf("\t{ sizeof(%s_%d) / sizeof(%s_%d[0]), (struct sock_filter *)%s_%d },\n",
		       name, i, name, i, name, i);
	printf("};\n");
}

int main(void)
{
	int r = seccomp_api_set(3); /* what the filters' kernel has, not this one: Linux 4.14 */

	printf("/* SPDX-License-Identifier: MIT */\n/* made by filter_main.c */\n");
	for (int i = 0; r == 0 && i < SANDBOX_KIND_COUNT_; i++)
		r = one_write(OF_KIND, i, others[i], process_fill);
	for (int i = 0; r == 0 && i < SANDBOX_THREAD_COUNT_; i++)
		r = one_write(OF_THREAD, i, SCMP_ACT_KILL_PROCESS, thread_fill);
	table_write("filters_of_kinds", OF_KIND, SANDBOX_KIND_COUNT_);
	table_write("filters_of_threads", OF_THREAD, SANDBOX_THREAD_COUNT_);
	if (r < 0)
		fprintf(stderr, "system call filters: %s\n", strerror(-r));
	return r < 0 || fflush(stdout) != 0;
}
