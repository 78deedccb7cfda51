/* SPDX-License-Identifier: MIT */
/* test_agent.c - frames and payloads, there and back, cut and wrong */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "agent.h"
#include "bytes.h"

static struct agent_frame only_frame(const struct buf *b)
{
	struct agent_frame f;
	struct err e = { 0 };
	size_t used;

	assert_int_equal(agent_frame_parse(b->data, b->len, &f, &used, &e), 1);
	assert_int_equal(used, b->len);
	return f;
}

static void frames(void **state)
{
	auto_buf b = { 0 };
	struct agent_frame f;
	struct err e = { 0 };
	size_t used = 0;

	(void)state;
	assert_int_equal(agent_put(&b, AGENT_PING, 7, "hello", 5), 0);
	assert_int_equal(agent_put(&b, AGENT_STDIN, 1, NULL, 0), 0);
	for (size_t n = 0; n < AGENT_HEAD_LEN + 5; n++) /* every cut waits for more */
		assert_int_equal(agent_frame_parse(b.data, n, &f, &used, &e), 0);
	assert_int_equal(agent_frame_parse(b.data, b.len, &f, &used, &e), 1);
	assert_int_equal(used, AGENT_HEAD_LEN + 5);
	assert_int_equal(f.type, AGENT_PING);
	assert_int_equal(f.stream, 7);
	assert_int_equal(f.payload.len, 5);
	assert_memory_equal(f.payload.data, "hello", 5);
	buf_consume(&b, used);
	assert_int_equal(only_frame(&b).payload.len, 0);
}

static void bad_heads(void **state)
{
	uint8_t head[AGENT_HEAD_LEN] = { 0 };
	struct agent_frame f;
	struct err e = { 0 };
	size_t used;

	(void)state;
	put_le32(head, AGENT_PAYLOAD_MAX);
	assert_int_equal(agent_frame_parse(head, sizeof(head), &f, &used, &e), 0);
	put_le32(head, AGENT_PAYLOAD_MAX + 1); /* refused before it has come */
	assert_int_equal(agent_frame_parse(head, sizeof(head), &f, &used, &e), -EPROTO);
	put_le32(head, UINT32_MAX);
	assert_int_equal(agent_frame_parse(head, sizeof(head), &f, &used, &e), -EPROTO);
	put_le32(head, 0);
	put_le16(head + 6, 1);
	assert_int_equal(agent_frame_parse(head, sizeof(head), &f, &used, &e), -EPROTO);
}

/* A frame that does not fit is taken back, so that the stream stays whole. */
static void too_large_is_taken_back(void **state)
{
	static char big[AGENT_PAYLOAD_MAX + 1];
	const char *args[1] = { big };
	struct agent_run r = { .argv = { args, 1 } };
	struct agent_run many = { .argv = { args, AGENT_ARGS_MAX + 1 } };
	struct agent_run mounts = { .n_mounts = AGENT_MOUNTS_MAX + 1 };
	struct buf small = BUF_LIMIT(20);
	auto_buf b = { 0 };

	(void)state;
	assert_int_equal(agent_put(&b, AGENT_PING, 0, "x", 1), 0);
	memset(big, 'a', sizeof(big) - 1);
	assert_int_equal(agent_put(&b, AGENT_STDIN, 1, big, sizeof(big)), -EFBIG);
	assert_int_equal(agent_put_run(&b, 1, &r), -EFBIG);
	assert_int_equal(agent_put_run(&b, 1, &many), -EFBIG);
	assert_int_equal(agent_put_run(&b, 1, &mounts), -EFBIG);
	assert_int_equal(only_frame(&b).type, AGENT_PING);
	assert_int_equal(agent_put(&small, AGENT_PING, 0, "123456789", 9), -EFBIG);
	assert_int_equal(small.len, 0);
	buf_done(&small);
}

static const struct agent_identity identity = {
	.entropy = { "0123456789012345678901234567890123456789012345678901234567890123", 64 },
	.realtime_ns = 1700000000000000001,
	.hostname = "host",
	.machine_id = "00112233445566778899aabbccddeeff",
	.boot_id = "b",
	.mac = { 2, 1, 2, 3, 4, 5 },
	.ip = 0x0a00020f,
	.gateway = 0x0a000202,
	.prefix_len = 24,
	.ip6 = { "0123456789abcdef", 16 },
	.prefix6_len = 64,
	.mtu = 65520,
};

static void identity_both_ways(void **state)
{
	auto_buf b = { 0 };
	struct agent_identity got;
	struct err e = { 0 };
	struct agent_frame f;

	(void)state;
	assert_int_equal(agent_put_identity(&b, &identity), 0);
	f = only_frame(&b);
	assert_int_equal(f.type, AGENT_IDENTITY);
	assert_int_equal(agent_get_identity(f.payload, &got, &e), 0);
	assert_int_equal(got.entropy.len, 64);
	assert_true(got.realtime_ns == identity.realtime_ns);
	assert_string_equal(got.hostname, "host");
	assert_string_equal(got.machine_id, identity.machine_id);
	assert_string_equal(got.boot_id, "b");
	assert_memory_equal(got.mac, identity.mac, 6);
	assert_int_equal(got.gateway, identity.gateway);
	assert_int_equal(got.prefix_len, 24);
	assert_memory_equal(got.ip6.data, "0123456789abcdef", 16);
	assert_int_equal(got.gateway6.len, 0);
	assert_int_equal(got.mtu, 65520);
	for (uint32_t n = 0; n < f.payload.len; n++)
		assert_int_equal(
			agent_get_identity((struct agent_bytes){ f.payload.data, n }, &got, &e),
			-EPROTO);
}

static void identity_refused(void **state)
{
	static char entropy[513], name[255];
	struct agent_identity t[6];
	struct err e = { 0 };

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		t[i] = identity;
	t[0].prefix_len = 33;
	t[1].prefix6_len = 129;
	t[2].ip6.len = 15;
	t[3].gateway6 = (struct agent_bytes){ "1234", 4 };
	t[4].entropy = (struct agent_bytes){ entropy, sizeof(entropy) };
	t[5].hostname = name;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_buf b = { 0 };
		struct agent_identity got;

		assert_int_equal(agent_put_identity(&b, &t[i]), 0);
		assert_int_equal(agent_get_identity(only_frame(&b).payload, &got, &e), -EPROTO);
	}
}

static void run_put(struct buf *b, const struct agent_mount *m, uint32_t n_mounts)
{
	static const char *argv[] = { "/bin/sh", "-c", "" }, *env[] = { "A=1" };
	struct agent_run r = { .flags = AGENT_RUN_TTY | AGENT_RUN_MAIN,
			       .argv = { argv, 3 },
			       .env = { env, 1 },
			       .cwd = "/w",
			       .rows = 24,
			       .cols = 80,
			       .mounts = (struct agent_mount *)m,
			       .n_mounts = n_mounts };

	buf_clear(b);
	assert_int_equal(agent_put_run(b, 3, &r), 0);
}

static void run_both_ways(void **state)
{
	static const struct agent_mount m[] = {
		{ AGENT_MOUNT_TMPFS, "", "/tmp", "size=1m", { 0 } },
		{ AGENT_MOUNT_FILE, "", "/etc/hosts", "rw", { "a\0b", 3 } },
		{ AGENT_MOUNT_DISK, "disk2/data", "/d", "rw,copy", { 0 } },
	};
	auto_buf b = { 0 };
	struct agent_run r;
	struct agent_frame f;
	struct err e = { 0 };

	(void)state;
	run_put(&b, m, 3);
	f = only_frame(&b);
	assert_int_equal(f.stream, 3);
	assert_int_equal(agent_get_run(f.payload, &r, &e), 0);
	assert_int_equal(r.argv.n, 3);
	assert_string_equal(r.argv.v[0], "/bin/sh");
	assert_string_equal(r.argv.v[2], "");
	assert_null(r.argv.v[3]);
	assert_string_equal(r.env.v[0], "A=1");
	assert_string_equal(r.cwd, "/w");
	assert_string_equal(r.user, ""); /* NULL is nothing said */
	assert_int_equal(r.cols, 80);
	assert_int_equal(r.n_mounts, 3);
	assert_string_equal(r.mounts[2].source, "disk2/data");
	assert_string_equal(r.mounts[1].target, "/etc/hosts");
	assert_memory_equal(r.mounts[1].content.data, "a\0b", 3);
	agent_run_done(&r);
	agent_run_done(&r);
	for (uint32_t n = 0; n < f.payload.len; n++)
		assert_int_equal(agent_get_run((struct agent_bytes){ f.payload.data, n }, &r, &e),
				 -EPROTO);
}

/* Where a disk is from is a slot and a plain name, nothing that leads elsewhere. */
static void disk_sources(void **state)
{
	static const struct {
		const char *source;
		int rc;
	} t[] = { { "disk0", 0 },           { "disk15", 0 },
		  { "disk2/a", 0 },         { "", -EPROTO },
		  { "disk", -EPROTO },      { "disk/data", -EPROTO },
		  { "disk2/", -EPROTO },    { "disk2/..", -EPROTO },
		  { "disk2/a/b", -EPROTO }, { "disk2/A", -EPROTO },
		  { "disk123", -EPROTO },   { "disk-1", -EPROTO },
		  { "Disk2", -EPROTO },     { "disk2 ", -EPROTO },
		  { "/dev/vda", -EPROTO },  { "disk2/.copy", -EPROTO } };
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		const struct agent_mount m = { AGENT_MOUNT_DISK, t[i].source, "/d", "rw", { 0 } };
		auto_buf b = { 0 };
		struct agent_run r = { 0 };

		run_put(&b, &m, 1);
		if (agent_get_run(only_frame(&b).payload, &r, &e) != t[i].rc)
			fail_msg("%s", t[i].source);
		agent_run_done(&r);
	}
}

static void run_refused(void **state)
{
	static const struct agent_mount relative = { AGENT_MOUNT_TMPFS, "", "tmp", "", { 0 } },
					unknown = { 9, "", "/tmp", "", { 0 } };
	static const struct {
		uint32_t off, value; /* a word of the payload: flags, count, length of "/bin/sh" */
	} t[] = { { 4, 0 }, { 4, 4 }, { 4, UINT32_MAX }, { 4, AGENT_ARGS_MAX + 1 }, { 8, 0 },
		  { 8, 6 }, { 8, 8 }, { 8, UINT32_MAX }, { 8, UINT32_MAX - 1 } };
	auto_buf b = { 0 };
	struct agent_run r;
	struct err e = { 0 };

	(void)state;
	run_put(&b, &relative, 1);
	assert_int_equal(agent_get_run(only_frame(&b).payload, &r, &e), -EPROTO);
	run_put(&b, &unknown, 1);
	assert_int_equal(agent_get_run(only_frame(&b).payload, &r, &e), -EPROTO);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		run_put(&b, NULL, 0);
		put_le32(b.data + AGENT_HEAD_LEN + t[i].off, t[i].value);
		if (agent_get_run(only_frame(&b).payload, &r, &e) != -EPROTO)
			fail_msg("row %zu", i);
	}
	run_put(&b, NULL, 0);
	b.data[AGENT_HEAD_LEN + 13] = '\0'; /* NUL inside a string */
	assert_int_equal(agent_get_run(only_frame(&b).payload, &r, &e), -EPROTO);
	assert_int_equal(agent_get_run((struct agent_bytes){ NULL, 0 }, &r, &e), -EPROTO);
}

static void small_payloads(void **state)
{
	const struct agent_root root = { 1, 2, AGENT_ROOT_SCRATCH, 4096, 8192 };
	auto_buf b = { 0 };
	struct agent_root got_root;
	struct err e = { 0 };
	uint32_t v;
	uint16_t a, c;
	bool oom;
	uint8_t ended[8] = { 137, 0, 0, 0, 1 };

	(void)state;
	assert_int_equal(agent_put_root(&b, &root), 0);
	assert_int_equal(agent_get_root(only_frame(&b).payload, &got_root, &e), 0);
	assert_true(got_root.image_slot == 1 && got_root.writable_slot == 2);
	assert_true(got_root.flags == AGENT_ROOT_SCRATCH);
	assert_true(got_root.image_len == 4096 && got_root.writable_len == 8192);
	buf_clear(&b);
	assert_int_equal(agent_put_u32(&b, AGENT_SIGNAL, 1, 15), 0);
	assert_int_equal(agent_get_u32(only_frame(&b).payload, &v, &e), 0);
	assert_int_equal(v, 15);
	assert_int_equal(agent_get_root(only_frame(&b).payload, &got_root, &e), -EPROTO);
	assert_int_equal(agent_get_resize(only_frame(&b).payload, &a, &c, &e), 0);
	assert_int_equal(agent_get_credit(only_frame(&b).payload, &v, &a, &e), -EPROTO);
	assert_int_equal(agent_get_exited(only_frame(&b).payload, &v, &oom, &e), -EPROTO);
	buf_clear(&b);
	assert_int_equal(agent_put_credit(&b, 1, 70000, AGENT_STDOUT), 0);
	assert_int_equal(agent_get_credit(only_frame(&b).payload, &v, &a, &e), 0);
	assert_int_equal(v, 70000);
	assert_int_equal(a, AGENT_STDOUT);
	assert_int_equal(agent_get_u32(only_frame(&b).payload, &v, &e), -EPROTO);
	assert_int_equal(agent_get_resize(only_frame(&b).payload, &a, &c, &e), -EPROTO);
	buf_clear(&b);
	assert_int_equal(agent_put_resize(&b, 1, 24, 80), 0);
	assert_int_equal(agent_get_resize(only_frame(&b).payload, &a, &c, &e), 0);
	assert_true(a == 24 && c == 80);
	assert_int_equal(agent_get_exited((struct agent_bytes){ ended, 8 }, &v, &oom, &e), 0);
	assert_true(v == 137 && oom);
}

static void leases(void **state)
{
	static const struct {
		size_t at, len;
		uint8_t value;
	} bad[] = { { 8, 24, 33 }, { 8, 24, 0 }, { 11, 24, 1 }, { 0, 23, 1 },
		    { 0, 0, 1 },   { 0, 25, 1 }, { 3, 24, 0 } }; /* the last: no address */
	const struct agent_lease l = { 0x0a000000, 0x0a000001, 24, { 1, 2, UINT32_MAX } };
	struct agent_lease got;
	struct err e = { 0 };
	auto_buf b = { 0 };

	(void)state;
	assert_int_equal(agent_put_lease(&b, &l), 0);
	assert_int_equal(agent_get_lease(only_frame(&b).payload, &got, &e), 0);
	assert_true(got.ip == l.ip && got.gateway == l.gateway && got.prefix_len == 24);
	assert_memory_equal(got.dns, l.dns, sizeof(got.dns));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		uint8_t raw[25] = { 0 };

		memcpy(raw, only_frame(&b).payload.data, 24);
		raw[bad[i].at] = bad[i].value;
		if (agent_get_lease((struct agent_bytes){ raw, (uint32_t)bad[i].len }, &got, &e) !=
		    -EPROTO)
			fail_msg("row %zu", i);
	}
}

static void texts_are_escaped_and_cut(void **state)
{
	static const char raw[] = "no\x1b[2J \x7f\n\xc3\xa4";
	auto_buf b = { 0 };
	uint16_t request;
	uint32_t code;
	char text[64], tiny[8], one[1] = { 'x' };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(agent_put_text(&b, AGENT_ERROR, 0, AGENT_ROOT, ENOENT, raw), 0);
	assert_int_equal(
		agent_get_error(only_frame(&b).payload, &request, &code, text, sizeof(text), &e),
		0);
	assert_int_equal(request, AGENT_ROOT);
	assert_int_equal(code, ENOENT);
	assert_string_equal(text, "no\\x1b[2J \\x7f\\x0a\xc3\xa4");
	assert_int_equal(
		agent_get_error(only_frame(&b).payload, &request, &code, tiny, sizeof(tiny), &e),
		0);
	assert_true(strlen(tiny) < sizeof(tiny));
	buf_clear(&b);
	assert_int_equal(agent_put_text(&b, AGENT_FAILED, 1, 0, 127, ""), 0);
	assert_int_equal(agent_get_failed(only_frame(&b).payload, &code, one, 1, &e), 0);
	assert_int_equal(code, 127);
	assert_int_equal(one[0], '\0');
	assert_int_equal(agent_get_failed((struct agent_bytes){ "abc", 3 }, &code, text, 9, &e),
			 -EPROTO);
	assert_int_equal(
		agent_get_error((struct agent_bytes){ "abcde", 5 }, &request, &code, text, 9, &e),
		-EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames),
		cmocka_unit_test(bad_heads),
		cmocka_unit_test(too_large_is_taken_back),
		cmocka_unit_test(identity_both_ways),
		cmocka_unit_test(identity_refused),
		cmocka_unit_test(run_both_ways),
		cmocka_unit_test(disk_sources),
		cmocka_unit_test(run_refused),
		cmocka_unit_test(small_payloads),
		cmocka_unit_test(leases),
		cmocka_unit_test(texts_are_escaped_and_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
