/* SPDX-License-Identifier: MIT */
/* test_failnth.c - frames made and read when memory is short */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "agent.h"
#include "ctl.h"
#include "failnth.h"

/* Nothing, or whole frames: a peer never sees half a one. */
static unsigned frames_count(const struct buf *b)
{
	size_t at = 0, used;
	struct agent_frame f;
	struct err e = { 0 };
	unsigned n = 0;

	for (; at < b->len; at += used, n++)
		assert_int_equal(agent_frame_parse(b->data + at, b->len - at, &f, &used, &e), 1);
	return n;
}

static int identity_put(struct buf *b)
{
	static const char entropy[64] = "entropy";
	const struct agent_identity id = { .entropy = { entropy, sizeof(entropy) },
					   .realtime_ns = 1,
					   .hostname = "host",
					   .machine_id = "0123456789abcdef0123456789abcdef",
					   .boot_id = "01234567-89ab-cdef-0123-456789abcdef" };

	return agent_put_identity(b, &id);
}

static int run_put(struct buf *b)
{
	const char *argv[] = { "sh", "-c", "echo a longer command than that" };
	const char *env[] = { "PATH=/bin", "A=1" };
	struct agent_mount mounts[] = {
		{ AGENT_MOUNT_TMPFS, "", "/t", "size=1m", { NULL, 0 } },
		{ AGENT_MOUNT_FILE, "", "/etc/hosts", "", { "127.0.0.1 localhost", 19 } },
	};
	const struct agent_run r = { .flags = AGENT_RUN_MAIN,
				     .argv = { argv, 3 },
				     .env = { env, 2 },
				     .cwd = "/",
				     .user = "0",
				     .mounts = mounts,
				     .n_mounts = 2 };

	return agent_put_run(b, 1, &r);
}

static int put_all(struct buf *b)
{
	const struct ctl_attach attach = { CTL_ATTACH_OUTPUT, 24, 80 };
	const struct agent_root root = { 0, 1, 0, 4096, 8192 };
	static const char data[3000];
	int rc = identity_put(b);

	if (rc == 0)
		rc = agent_put_root(b, &root);
	if (rc == 0)
		rc = run_put(b);
	if (rc == 0)
		rc = agent_put(b, AGENT_STDIN, 1, data, sizeof(data));
	if (rc == 0)
		rc = agent_put_credit(b, 1, 4096, AGENT_STDOUT);
	if (rc == 0)
		rc = agent_put_resize(b, 1, 24, 80);
	if (rc == 0)
		rc = agent_put_text(b, AGENT_ERROR, 0, AGENT_RUN, 2, "a text of some length");
	return rc == 0 ? ctl_put_attach(b, &attach) : rc;
}

static struct buf all_frames, run_frame;

static int encode(void *arg, struct err *e)
{
	auto_buf b = { 0 };
	int rc = put_all(&b);
	unsigned n = frames_count(&b);

	(void)arg;
	assert_true(b.len <= all_frames.len);
	if (b.len)
		assert_memory_equal(b.data, all_frames.data, b.len);
	if (rc == 0)
		assert_int_equal(n, 8);
	return rc < 0 ? err_set(e, -rc, "frame %u", n) : 0;
}

static int decode(void *arg, struct err *e)
{
	struct agent_frame f;
	struct agent_run r = { 0 };
	size_t used;

	(void)arg;
	assert_int_equal(agent_frame_parse(run_frame.data, run_frame.len, &f, &used, e), 1);
	if (agent_get_run(f.payload, &r, e) < 0)
		return -e->code;
	assert_int_equal(r.argv.n, 3);
	assert_string_equal(r.env.v[1], "A=1");
	assert_string_equal(r.mounts[1].target, "/etc/hosts");
	agent_run_done(&r);
	return 0;
}

static void each(void **state)
{
	(void)state;
	assert_int_equal(run_put(&run_frame), 0);
	assert_int_equal(put_all(&all_frames), 0);
	failnth_run(&(struct failnth){ "encode", encode, NULL, NULL, FAIL_ALLOC, NULL });
	failnth_run(&(struct failnth){ "decode", decode, NULL, NULL, FAIL_ALLOC, NULL });
	buf_done(&all_frames);
	buf_done(&run_frame);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(each) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
