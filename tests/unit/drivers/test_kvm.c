/* SPDX-License-Identifier: MIT */
/*
 * test_kvm.c - the driver kvm and a caisson-vmm that is played here
 *
 * This program is both: started under the other's name it reads its configuration and says on the
 * control socket what the machine's id asks for. /dev/kvm is /dev/null.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "fdio.h"
#include "kvm.h"
#include "temp_dir.h"
#include "vmm_config.h"
#include "vmm_ctl.h"

#define VMM "caisson-vmm"

/* Comes before the library's: all else is opened as it says. */
int fake_open(const char *path, int flags, mode_t mode) __asm__("open64");
int fake_open(const char *path, int flags, mode_t mode)
{
	if (strcmp(path, "/dev/kvm") == 0)
		path = "/dev/null";
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

/* ---- the VMM ---- */

static const struct play {
	const char *id;
	bool is_ready;
	enum vmm_ctl_end how; /* 0: says nothing */
	const char *text;     /* NULL: bytes that are no frame */
	int exit_code;        /* -1: waits to be killed */
	enum vm_end want;
	const char *reason;
} plays[] = {
	{ "off", true, VMM_CTL_END_POWER_OFF, "", 0, VM_END_OFF, "the machine powered off" },
	{ "reset", true, VMM_CTL_END_RESET, "", 0, VM_END_RESET,
	  "the machine reset itself: its kernel rebooted or panicked" },
	{ "crash", true, VMM_CTL_END_CRASH, "gave up", 1, VM_END_CRASH,
	  "the machine crashed: gave up" },
	{ "error", true, VMM_CTL_END_ERROR, "KVM cannot go on", 1, VM_END_ERROR,
	  "the virtual machine monitor gave up: KVM cannot go on" },
	{ "early", false, VMM_CTL_END_ERROR, "no disk\x1b[2J", 1, VM_END_LOST,
	  "the virtual machine monitor gave up: no disk?[2J" },
	{ "state", false, VMM_CTL_END_STATE, "altered", 1, VM_END_TEMPLATE,
	  "the template cannot be used here: altered" },
	{ "mute", false, 0, "", 1, VM_END_LOST,
	  "the virtual machine monitor ended with exit code 1" },
	{ "stopped", true, 0, "", 0, VM_END_OFF, "the machine powered off" },
	{ "killed", true, 0, "", -1, VM_END_LOST,
	  "the virtual machine monitor was killed by signal 9" },
	{ "garbage", true, VMM_CTL_END_CRASH, NULL, 3, VM_END_LOST,
	  "the virtual machine monitor ended with exit code 3" },
};

static int play_act(const struct play *p, int ctl_fd)
{
	static const char nothing[] = "\xff\xff\xff\xff\xff\xff\xff\xff";
	auto_buf out = { 0 };

	if (p->is_ready && vmm_ctl_put_ready(&out) < 0)
		return 98;
	if (p->how && p->text && vmm_ctl_put_ended(&out, p->how, p->text) < 0)
		return 98;
	if (!p->text && buf_add(&out, nothing, sizeof(nothing) - 1) < 0)
		return 98;
	if (fd_write_full(ctl_fd, out.data, out.len) < 0)
		return 97;
	while (p->exit_code < 0)
		pause();
	return p->exit_code;
}

static int vmm_main(const char *id)
{
	static struct vmm_config c;
	auto_buf b = BUF_LIMIT(VMM_CONFIG_SIZE_MAX);
	struct err e = { 0 };
	uint32_t n = 0;

	while (fcntl(VMM_FD_FIRST + (int)n, F_GETFD) >= 0)
		n++;
	if (lseek(VMM_CONFIG_FD, 0, SEEK_SET) < 0 || fd_read_all(VMM_CONFIG_FD, &b) < 0 ||
	    vmm_config_parse(b.data, b.len, n, &c, &e) < 0)
		return 99;
	for (size_t i = 0; i < ARRAY_SIZE(plays); i++)
		if (strcmp(plays[i].id, id) == 0)
			return play_act(&plays[i], c.ctl_fd);
	return 96;
}

/* ---- the driver ---- */

static const struct vm_driver_info info = { .accel = "kvm" };

static struct vm_spec spec(const char *id)
{
	struct vm_spec s = {
		.cpus = 1,
		.mem_bytes = 64 << 20,
		.boot = VM_BOOT_COLD,
		.kernel_fd = 0,
		.initrd_fd = -1,
		.cmdline = "quiet",
		.state_fd = -1,
		.mem_fd = -1,
		.net_fd = -1,
		.agent_fd = 1,
		.console_fd = -1,
	};

	snprintf(s.id, sizeof(s.id), "%s", id);
	return s;
}

static void ends(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(plays); i++) {
		const struct vm_spec s = spec(plays[i].id);
		char why[400] = "";
		struct pollfd p = { .events = POLLIN };
		struct err e = { 0 };
		enum vm_end end;
		void *vm = NULL;

		if (kvm_driver.launch(&s, &info, &vm, &e) < 0)
			fail_msg("%s", e.msg);
		if (plays[i].exit_code < 0)
			assert_int_equal(kill(kvm_driver.pid(vm), SIGKILL), 0);
		p.fd = kvm_driver.pidfd(vm);
		assert_int_equal(poll(&p, 1, 60000), 1);
		end = kvm_driver.end_reason(vm, why, sizeof(why));
		if (end != plays[i].want || strcmp(why, plays[i].reason) != 0)
			fail_msg("%s: %d \"%s\"", plays[i].id, end, why);
		/* asked again, it says the same */
		assert_int_equal(kvm_driver.end_reason(vm, why, sizeof(why)), end);
		assert_string_equal(why, plays[i].reason);
		kvm_driver.free(vm);
	}
}

/* Who waits for an answer hears of the end, and why. */
static void pause_of_one_that_ends(void **state)
{
	const struct vm_spec s = spec("error");
	struct err e = { 0 };
	char why[400];
	void *vm = NULL;
	int rc;

	(void)state;
	if (kvm_driver.launch(&s, &info, &vm, &e) < 0)
		fail_msg("%s", e.msg);
	rc = kvm_driver.pause(vm, 60000, &e);
	assert_true(rc == -EPIPE || rc == -ECONNRESET); /* before the answer, or the question */
	assert_int_equal(kvm_driver.end_reason(vm, why, sizeof(why)), VM_END_ERROR);
	kvm_driver.free(vm);
}

static void refused(void **state)
{
	const struct vm_driver_info none = { .accel = "none", .accel_reason = "no /dev/kvm" };
	struct vm_spec s = spec("off");
	struct err e = { 0 };
	void *vm = NULL;

	(void)state;
	assert_int_equal(kvm_driver.launch(&s, &none, &vm, &e), -ENOTSUP);
	assert_non_null(strstr(e.msg, "no /dev/kvm"));
	s.n_shares = VM_SHARES_MAX;
	assert_int_equal(kvm_driver.launch(&s, &info, &vm, &e), -E2BIG);
	assert_null(vm);
}

static int setup(void **state)
{
	char path[200], exe[4096];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (n < 0 || temp_dir_setup(state) < 0)
		return -1;
	exe[n] = '\0';
	snprintf(path, sizeof(path), "%s/" VMM, temp_dir.path);
	return symlink(exe, path) < 0 || setenv("CAISSON_LIBEXEC", temp_dir.path, 1) < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(ends),
					    cmocka_unit_test(pause_of_one_that_ends),
					    cmocka_unit_test(refused) };

	if (argc == 2 && strcmp(argv[0], VMM) == 0)
		return vmm_main(argv[1]);
	return cmocka_run_group_tests(tests, setup, temp_dir_teardown);
}
