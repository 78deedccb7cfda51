/* SPDX-License-Identifier: MIT */
/* test_failnth.c - starting a VMM, and hearing from it, when memory or descriptors are short */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>

#include "failnth.h"
#include "fdio.h"
#include "kvm.h"
#include "kvm_config.h"
#include "qemu_argv.h"
#include "qmp.h"
#include "temp_dir.h"

static const struct vm_disk_part parts[] = { { 20, 0, 0, 4096 }, { 21, 2097152, 0, 8192 } };

static char *want;

static int argv_text(struct buf *text, struct err *e)
{
	static const struct vm_driver_info info = { .accel = "tcg", .tsc_khz = 2500000 };
	static const struct qemu_extra extra = {
		.qmp_fd = 101, .idle_net_fd = 102, .zero_fd = 103, .concat_fd = 104
	};
	const struct vm_spec s = {
		.id = "0123456789abcdef",
		.cpus = 2,
		.mem_bytes = 512 << 20,
		.boot = VM_BOOT_COLD,
		.kernel_fd = 10,
		.initrd_fd = 11,
		.cmdline = "quiet",
		.state_fd = -1,
		.mem = VM_MEM_SHARED,
		.mem_fd = 13,
		.disks = { { .kind = VM_DISK_CONCAT,
			     .is_readonly = true,
			     .fd = -1,
			     .size = 2097152 + 8192,
			     .parts = parts,
			     .n_parts = 2 },
			   { .kind = VM_DISK_RAW, .fd = 14, .size = 8192 } },
		.n_disks = 2,
		.shares = { { .tag = "share0", .sock_fd = 15 } },
		.n_shares = 1,
		.has_net = true,
		.net_fd = 16,
		.agent_fd = 12,
		.console_fd = 17,
	};
	static struct qemu_argv a;
	int rc = 0;

	if (qemu_argv_build(&s, &info, &extra, &a, e) < 0)
		return -e->code;
	for (unsigned k = 0; rc == 0 && k < a.n; k++)
		rc = buf_addf(text, "[%s]", a.v[k]);
	if (rc == 0)
		rc = buf_add_str(text, a.concat.data);
	qemu_argv_done(&a);
	return rc < 0 ? err_set(e, -rc, "text") : 0;
}

static int argv_build(void *arg, struct err *e)
{
	auto_buf text = { 0 };

	(void)arg;
	if (argv_text(&text, e) < 0)
		return -e->code;
	assert_string_equal(text.data, want);
	return 0;
}

static int answer(void *arg, struct err *e)
{
	static const char line[] = "{\"return\":{\"status\":\"running and some more\"},\"id\":1}";
	json_t *j = NULL;
	int rc = qmp_line_parse(line, strlen(line), &j, e);

	(void)arg;
	if (rc < 0)
		return rc;
	assert_int_equal(rc, 1);
	assert_string_equal(json_string_value(json_object_get(j, "status")),
			    "running and some more");
	json_decref(j);
	return 0;
}

/* The other end has said it all beforehand. */
static int call(void *arg, struct err *e)
{
	static const char said[] = "{\"QMP\":{}}\r\n{\"return\":{}}\r\n{\"return\":{\"a\":1}}\r\n";
	json_t *j = NULL;
	struct qmp q;
	int pair[2], rc;

	(void)arg;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(e, errno, "pair");
	qmp_init(&q, pair[0]);
	rc = fd_write_full(pair[1], said, sizeof(said) - 1);
	rc = rc < 0 ? err_set(e, -rc, "say")
		    : qmp_call(&q, "query-status", json_pack("{s:s}", "a", "b"), -1, 1000, &j, e);
	if (rc == 0)
		assert_int_equal(json_integer_value(json_object_get(j, "a")), 1);
	json_decref(j);
	qmp_done(&q);
	close(pair[1]);
	return rc;
}

/* ---- caisson-vmm ---- */

static const struct vm_spec kvm_spec = {
	.id = "0123456789abcdef",
	.cpus = 1,
	.mem_bytes = 64 << 20,
	.boot = VM_BOOT_COLD,
	.kernel_fd = 0,
	.initrd_fd = -1,
	.cmdline = "quiet",
	.state_fd = -1,
	.mem_fd = -1,
	.disks = { { .kind = VM_DISK_EMPTY, .fd = -1 } },
	.n_disks = 1,
	.shares = { { .tag = "share0", .sock_fd = -1 } },
	.n_shares = 1,
	.has_net = true,
	.net_fd = -1,
	.agent_fd = 1,
	.console_fd = -1,
};

static int config(void *arg, struct err *e)
{
	static struct kvm_config k;
	static struct vmm_config c;
	auto_buf b = { 0 };

	(void)arg;
	if (kvm_config_make(&kvm_spec, 2, &k, e) < 0)
		return -e->code;
	if (vmm_config_put(&k.c, &b) < 0)
		return err_set(e, ENOMEM, "configuration");
	assert_int_equal(vmm_config_parse(b.data, b.len, (uint32_t)k.n_fds - VMM_FD_FIRST, &c, e),
			 0);
	assert_memory_equal(&c, &k.c, sizeof(c));
	return 0;
}

/* A program that ends at once, whatever it is told; the linker takes open() here first. */
int __real_open64(const char *path, int flags, mode_t mode);
int __wrap_open64(const char *path, int flags, mode_t mode);
int __wrap_open64(const char *path, int flags, mode_t mode)
{
	return __real_open64(strcmp(path, "/dev/kvm") == 0 ? "/dev/null" : path, flags, mode);
}

static int kvm_launch(void *arg, struct err *e)
{
	static const struct vm_driver_info info = { .accel = "kvm" };
	char why[400] = "";
	void *vm = NULL;
	int rc = kvm_driver.launch(&kvm_spec, &info, &vm, e);

	(void)arg;
	assert_true((rc == 0) == (vm != NULL));
	/* what fails between fork and exec shows as its end */
	if (rc == 0 && kvm_driver.end_reason(vm, why, sizeof(why)) != VM_END_OFF)
		rc = err_plain(e, EIO, "%s", why);
	kvm_driver.free(vm);
	return rc;
}

static void kvm_each(void **state)
{
	(void)state;
	assert_int_equal(setenv("CAISSON_LIBEXEC", temp_dir.path, 1), 0);
	assert_int_equal(symlinkat("/bin/true", temp_dir.fd, "caisson-vmm"), 0);
	failnth_run(&(struct failnth){ "kvm config", config, NULL, NULL, FAIL_ALLOC, NULL });
	failnth_run(&(struct failnth){ "kvm launch", kvm_launch, NULL, NULL, FAIL_ALLOC | FAIL_CALL,
				       NULL });
}

static void each(void **state)
{
	auto_buf text = { 0 };
	struct err e = { 0 };

	(void)state;
	if (argv_text(&text, &e) < 0)
		fail_msg("%s", e.msg);
	want = text.data;
	failnth_run(&(struct failnth){ "argv", argv_build, NULL, NULL, FAIL_ALLOC, NULL });
	failnth_run(&(struct failnth){ "answer", answer, NULL, NULL, FAIL_ALLOC, NULL });
	failnth_run(&(struct failnth){ "call", call, NULL, NULL, FAIL_ALLOC | FAIL_CALL, NULL });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each),
		cmocka_unit_test_setup_teardown(kvm_each, temp_dir_setup, temp_dir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
