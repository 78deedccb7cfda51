/* SPDX-License-Identifier: MIT */
/* test_failnth.c - QEMU's command line and its answers when memory is short */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>

#include "failnth.h"
#include "fdio.h"
#include "qemu_argv.h"
#include "qmp.h"

static const struct vm_disk_part parts[] = { { 20, 0, 0, 4096 }, { 21, 2097152, 0, 8192 } };

static char *want;

static int argv_text(struct buf *text, struct err *e)
{
	static const struct vm_driver_info info = { .accel = "tcg", .tsc_khz = 2500000 };
	static const struct qemu_extra extra = { .qmp_fd = 101,
						 .idle_net_fd = 102,
						 .zero_fd = 103,
						 .concat_fd = 104 };
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
	const struct CMUnitTest tests[] = { cmocka_unit_test(each) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
