/* SPDX-License-Identifier: MIT */
/*
 * test_walls.c - what the walls of those that serve a guest look like from outside, in which order
 * they go up, and that KVM still runs behind them
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "sandbox.h"

/* A child that enters its sandbox, says that it is ready, and lives until it is told to end. */
struct sleeper {
	pid_t pid;
	int fd;
};

static struct sleeper sleeper_start(enum sandbox_kind kind)
{
	struct sandbox_policy p = { .kind = kind };
	struct sleeper s;
	struct err e = { 0 };
	int pair[2];
	char c = 'x';

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	s.pid = fork();
	assert_true(s.pid >= 0);
	if (s.pid == 0) {
		close(pair[0]);
		if (sandbox_enter(&p, &e) < 0 || write(pair[1], &c, 1) != 1)
			_exit(1);
		_exit(read(pair[1], &c, 1) != 0);
	}
	close(pair[1]);
	s.fd = pair[0];
	assert_int_equal(read(s.fd, &c, 1), 1);
	return s;
}

static void sleeper_end(struct sleeper *s)
{
	int status;

	close(s->fd);
	assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
	assert_int_equal(status, 0);
}

static uint64_t status_field(pid_t pid, const char *name, int base)
{
	char path[64], line[256];
	uint64_t value = UINT64_MAX;
	auto_file f = NULL;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, name, strlen(name)) == 0)
			value = strtoull(line + strlen(name), NULL, base);
	return value;
}

static bool shares_namespace(pid_t pid, const char *name)
{
	char path[64], his[64] = "", ours[64] = "";

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, name);
	assert_true(readlink(path, his, sizeof(his) - 1) > 0);
	snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
	assert_true(readlink(path, ours, sizeof(ours) - 1) > 0);
	return strcmp(his, ours) == 0;
}

/* "." and ".." are always there. */
static unsigned int root_entries(pid_t pid)
{
	char path[64];
	unsigned int n = 0;
	auto_dir d = NULL;

	snprintf(path, sizeof(path), "/proc/%d/root", (int)pid);
	d = opendir(path);
	assert_non_null(d);
	while (readdir(d))
		n++;
	return n;
}

/* In a child, since they are for good. */
static bool namespaces_are_there(int flags)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(unshare(flags) < 0 ||
		      ((flags & CLONE_NEWNS) && mount("none", "/proc", "tmpfs", 0, NULL) < 0));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status == 0;
}

static void common_walls(pid_t pid, uint64_t capabilities)
{
	assert_int_equal(status_field(pid, "NoNewPrivs:", 10), 1);
	assert_int_equal(status_field(pid, "Seccomp:", 10), 2);
	assert_int_equal(status_field(pid, "CapEff:", 16), capabilities);
	assert_int_equal(status_field(pid, "CapPrm:", 16), capabilities);
	assert_int_equal(status_field(pid, "CapInh:", 16), 0);
	assert_int_equal(status_field(pid, "CapAmb:", 16), 0);
	if (geteuid() == 0) /* another may not, and with no-new-privs need not */
		assert_int_equal(status_field(pid, "CapBnd:", 16), capabilities);
}

static void vmm_has_nothing(void **state)
{
	static const char *const names[] = { "user", "net", "ipc", "mnt", "uts" };
	const int flags = CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWNS | CLONE_NEWUTS;
	struct rlimit files, memory;
	struct sleeper s = sleeper_start(SANDBOX_VMM);

	(void)state;
	assert_int_equal(prlimit(s.pid, RLIMIT_NOFILE, NULL, &files), 0);
	assert_int_equal(files.rlim_max, files.rlim_cur); /* no more descriptors than it has */
	assert_int_equal(prlimit(s.pid, RLIMIT_AS, NULL, &memory), 0);
	assert_true(memory.rlim_cur == RLIM_INFINITY);
	common_walls(s.pid, 0);
	if (geteuid() == 0 && namespaces_are_there(flags)) { /* another may not look */
		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			assert_false(shares_namespace(s.pid, names[i]));
		assert_int_equal(root_entries(s.pid), 2);
	}
	sleeper_end(&s);
}

static void share_keeps_rights_over_files_only(void **state)
{
	const uint64_t kept = geteuid() == 0 ? 1U << 0 | 1U << 1 | 1U << 3 : 0;
	struct sleeper s = sleeper_start(SANDBOX_SHARE);

	(void)state;
	common_walls(s.pid, kept & status_field(getpid(), "CapPrm:", 16));
	if (geteuid() == 0) {
		assert_true(shares_namespace(s.pid, "user"));
		assert_true(shares_namespace(s.pid, "mnt"));
		if (namespaces_are_there(CLONE_NEWNET | CLONE_NEWIPC)) {
			assert_false(shares_namespace(s.pid, "net"));
			assert_false(shares_namespace(s.pid, "ipc"));
		}
	}
	sleeper_end(&s);
}

/* ---- order ---- */

static int child_status(int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void *wait_and_open(void *arg)
{
	const int *pair = arg;
	char c;

	if (read(pair[1], &c, 1) != 1)
		return NULL;
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 && errno == EPERM ? arg : NULL;
}

static int older_thread(void)
{
	struct sandbox_policy p = { .kind = SANDBOX_VMM };
	struct err e = { 0 };
	void *ret = NULL;
	pthread_t t;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ||
	    pthread_create(&t, NULL, wait_and_open, pair) != 0 || sandbox_enter(&p, &e) < 0 ||
	    write(pair[0], "x", 1) != 1 || pthread_join(t, &ret) != 0)
		return 2;
	return ret ? 0 : 1;
}

static void older_threads_get_the_vmms_filter(void **state)
{
	(void)state;
	assert_int_equal(child_status(older_thread), 0);
}

static void *filter_and_wait(void *arg)
{
	const int *pair = arg;
	struct err e = { 0 };
	char c = 'x';

	if (sandbox_thread(SANDBOX_THREAD_VCPU, &e) < 0 || write(pair[1], &c, 1) != 1 ||
	    read(pair[1], &c, 1) != 1)
		return NULL;
	return arg;
}

/* A thread that went ahead cannot get the process's filter: nobody gets in, rather than some. */
static int thread_ahead(void)
{
	struct sandbox_policy p = { .kind = SANDBOX_VMM };
	struct err e = { 0 };
	pthread_t t;
	int pair[2];
	char c;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ||
	    pthread_create(&t, NULL, filter_and_wait, pair) != 0 || read(pair[0], &c, 1) != 1)
		return 2;
	return sandbox_enter(&p, &e) < 0 ? 0 : 1;
}

static void enter_fails_after_a_threads_filter(void **state)
{
	(void)state;
	assert_int_equal(child_status(thread_ahead), 0);
}

/* Threads end, and new ones come, behind all filters. */
static void *filter_and_end(void *arg)
{
	const enum sandbox_thread *kind = arg;
	struct err e = { 0 };

	return sandbox_thread(*kind, &e) < 0 ? NULL : arg;
}

static int threads_in_turn(void)
{
	struct sandbox_policy p = { .kind = SANDBOX_VMM };
	struct err e = { 0 };

	if (sandbox_enter(&p, &e) < 0)
		return 2;
	for (unsigned int i = 0; i < 8; i++) {
		enum sandbox_thread kind = i % SANDBOX_THREAD_COUNT_;
		void *ret = NULL;
		pthread_t t;

		if (pthread_create(&t, NULL, filter_and_end, &kind) != 0 ||
		    pthread_join(t, &ret) != 0 || !ret)
			return 1;
	}
	return 0;
}

static void threads_with_filters_end(void **state)
{
	(void)state;
	assert_int_equal(child_status(threads_in_turn), 0);
}

/* ---- KVM ---- */

struct machine {
	int kvm, vm, vcpu;
	struct kvm_run *run;
	uint8_t *memory;
};

static bool machine_make(struct machine *m)
{
	struct kvm_userspace_memory_region slot = { .memory_size = 4096 };
	int size;

	m->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	m->vm = ioctl(m->kvm, KVM_CREATE_VM, 0);
	m->vcpu = ioctl(m->vm, KVM_CREATE_VCPU, 0);
	size = ioctl(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (m->vcpu < 0 || size <= 0)
		return false;
	m->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu, 0);
	m->memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	slot.userspace_addr = (uintptr_t)m->memory;
	return m->run != MAP_FAILED && m->memory != MAP_FAILED &&
	       ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &slot) == 0;
}

/* It is asked to leave at once: that KVM was entered is what counts, not what it can run here. */
static void *machine_run(void *arg)
{
	struct machine *m = arg;
	struct err e = { 0 };

	if (sandbox_thread(SANDBOX_THREAD_VCPU, &e) < 0)
		return NULL;
	m->run->immediate_exit = 1;
	return ioctl(m->vcpu, KVM_RUN, 0) < 0 && errno == EINTR ? arg : NULL;
}

static int machine_in_sandbox(void)
{
	struct sandbox_policy p = { .kind = SANDBOX_VMM };
	struct err e = { 0 };
	struct machine m;
	struct kvm_mp_state state;
	void *ret = NULL;
	pthread_t t;

	if (!machine_make(&m))
		return 77;
	if (sandbox_enter(&p, &e) < 0 || ioctl(m.vcpu, KVM_GET_MP_STATE, &state) < 0 ||
	    pthread_create(&t, NULL, machine_run, &m) != 0 || pthread_join(t, &ret) != 0)
		return 2;
	return ret ? 0 : 1;
}

static void kvm_runs_behind_the_walls(void **state)
{
	int status = child_status(machine_in_sandbox);

	(void)state;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vmm_has_nothing),
		cmocka_unit_test(share_keeps_rights_over_files_only),
		cmocka_unit_test(older_threads_get_the_vmms_filter),
		cmocka_unit_test(enter_fails_after_a_threads_filter),
		cmocka_unit_test(threads_with_filters_end),
		cmocka_unit_test(kvm_runs_behind_the_walls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
