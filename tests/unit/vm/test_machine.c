/* SPDX-License-Identifier: MIT */
/* test_machine.c - config and state to JSON and back */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "machine.h"

#define ADD(list, text) assert_int_equal(strv_add(&(list), text), 0)

static void config_fill(struct machine_config *c)
{
	*c = (struct machine_config){
		.id = "id",
		.name = "name",
		.created_ns = 1700000000123456789,
		.image_ref = strdup("nginx"),
		.image_id = "sha256:x",
		.user = strdup("me"),
		.vsock = strdup("/sockets"),
		.stop_timeout_s = 5,
		.has_tty = true,
		.publish_all = true,
		.has_network = true,
		.mem_bytes = 1ULL << 40,
		.cpus = 3,
		.cpu_model = "baseline-v2",
		.has_dax = true,
		.driver = "fake",
		.ports = calloc(2, sizeof(*c->ports)),
		.n_ports = 2,
		.mounts = calloc(3, sizeof(*c->mounts)),
		.n_mounts = 3,
	};
	c->ports[0] = (struct machine_port){ "127.0.0.1", 8080, 80, false };
	c->ports[1] = (struct machine_port){ "", 0, 65535, true };
	c->mounts[0] = (struct machine_mount){ MACHINE_MOUNT_BIND, strdup("/src"), strdup("/dst"),
					       NULL, true };
	c->mounts[1] = (struct machine_mount){ MACHINE_MOUNT_TMPFS, NULL, strdup("/tmp"),
					       strdup("size=1m"), false };
	c->mounts[2] = (struct machine_mount){ MACHINE_MOUNT_VOLUME, strdup("vol"), strdup("/v"),
					       strdup("nocopy"),     false,         true };
	ADD(c->entrypoint, "/bin/e");
	ADD(c->cmd, "");
	ADD(c->cmd, "a b");
	ADD(c->env, "A=\xc3\xa4");
	ADD(c->labels, "l=");
	ADD(c->exposed, "80/tcp");
}

static void config_round_trip(void **state)
{
	struct machine_config c, got;
	struct err e = { 0 };
	json_t *one, *two;

	(void)state;
	config_fill(&c);
	one = machine_config_to_json(&c);
	assert_non_null(one);
	if (machine_config_from_json(one, &got, &e) < 0)
		fail_msg("%s", e.msg);
	two = machine_config_to_json(&got);
	assert_true(json_equal(one, two));
	assert_string_equal(got.name, "name");
	assert_null(got.cwd);
	assert_string_equal(got.cmd.v[1], "a b");
	assert_null(got.cmd.v[2]);
	assert_int_equal(got.ports[1].guest_port, 65535);
	assert_true(got.ports[1].is_udp && got.mounts[0].is_readonly && got.has_tty);
	assert_true(got.mem_bytes == 1ULL << 40 && got.has_dax);
	assert_int_equal(got.mounts[2].kind, MACHINE_MOUNT_VOLUME);
	assert_true(got.mounts[2].is_anonymous && !got.mounts[1].is_anonymous);
	json_decref(one);
	json_decref(two);
	machine_config_done(&c);
	machine_config_done(&got);
	machine_config_done(&got);
}

/* Older records have fewer fields. */
static void missing_fields_are_defaults(void **state)
{
	json_t *j = json_pack("{s:s, s:n}", "unknown", "x", "user");
	struct machine_config c;
	struct machine_state s;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(machine_config_from_json(j, &c, &e), 0);
	assert_int_equal(c.stop_timeout_s, -1);
	assert_true(!c.user && !c.vsock && c.env.n == 0 && !c.has_network && !c.has_dax);
	machine_config_done(&c);
	assert_int_equal(machine_state_from_json(j, &s, &e), -EBADMSG); /* but for the status */
	json_decref(j);
}

static void config_refused(void **state)
{
	static const char *const t[] = {
		"[]",
		"null",
		"{\"id\":5}",
		"{\"vsock\":true}",
		"{\"name\":null,\"user\":[]}",
		"{\"id\":\"0123456789012345678901234567890123456789012345678901234567890123456789\"}",
		"{\"created_ns\":\"5\"}",
		"{\"created_ns\":1.5}",
		"{\"stop_timeout_s\":2147483648}",
		"{\"stop_timeout_s\":-2147483649}",
		"{\"cpus\":-1}",
		"{\"cpus\":4294967296}",
		"{\"mem_bytes\":-1}",
		"{\"has_tty\":1}",
		"{\"has_tty\":\"true\"}",
		"{\"env\":{}}",
		"{\"env\":\"A=1\"}",
		"{\"user\":\"owned\",\"env\":[\"A=1\",5]}",
		"{\"ports\":[{}]}",
		"{\"ports\":[5]}",
		"{\"ports\":[{\"host_ip\":\"\",\"host_port\":65536,\"guest_port\":1}]}",
		"{\"ports\":[{\"host_ip\":\"\",\"host_port\":-1,\"guest_port\":1}]}",
		"{\"ports\":[{\"host_ip\":\"\",\"host_port\":1,\"guest_port\":0}]}",
		"{\"ports\":[{\"host_port\":1,\"guest_port\":1}]}",
		"{\"ports\":[{\"host_ip\":\"0123456789012345678901234567890123456789012345\","
		"\"host_port\":1,\"guest_port\":1}]}",
		"{\"mounts\":[{}]}",
		"{\"mounts\":[{\"kind\":\"x\",\"source\":\"\",\"target\":\"\",\"options\":\"\"}]}",
		"{\"mounts\":[{\"kind\":\"bind\",\"source\":\"/a\",\"target\":\"/b\",\"options\":\"\"},"
		"{\"kind\":\"bind\",\"source\":\"/a\",\"options\":\"\"}]}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		json_t *j = json_loads(t[i], JSON_DECODE_ANY, NULL);
		struct machine_config c;
		struct err e = { 0 };

		assert_non_null(j);
		if (machine_config_from_json(j, &c, &e) != -EBADMSG)
			fail_msg("%s is taken", t[i]);
		assert_non_null(strstr(e.msg, "damaged"));
		json_decref(j);
	}
}

static void state_round_trip(void **state)
{
	struct machine_port port = { "", 49152, 80, false };
	struct machine_state s = { .status = MACHINE_EXITED,
				   .exit_code = 137,
				   .was_oom = true,
				   .error = "why",
				   .started_ns = 5,
				   .keeper_pid = 7,
				   .driver = "qemu",
				   .boot = "image",
				   .boot_reason = "why it booted",
				   .template_key = "0123abcd",
				   .ports = &port,
				   .n_ports = 1,
				   .ip = "10.0.2.15" };
	struct machine_state got;
	struct err e = { 0 };

	(void)state;
	for (s.status = 0; s.status < MACHINE_STATUS_COUNT_; s.status++) {
		json_t *one = machine_state_to_json(&s), *two;

		assert_int_equal(machine_state_from_json(one, &got, &e), 0);
		two = machine_state_to_json(&got);
		assert_true(json_equal(one, two));
		assert_int_equal(got.status, s.status);
		assert_int_equal(got.ports[0].host_port, 49152);
		machine_state_done(&got);
		json_decref(one);
		json_decref(two);
	}
	assert_string_equal(machine_status_name(MACHINE_STATUS_COUNT_), "unknown");
	assert_string_equal(machine_status_name((enum machine_status) - 1), "unknown");
}

static void state_refused(void **state)
{
	static const char *const t[] = {
		"[]",
		"{}",
		"{\"status\":\"\"}",
		"{\"status\":\"unknown\"}",
		"{\"status\":1}",
		"{\"status\":\"exited\",\"exit_code\":\"0\"}",
		"{\"status\":\"exited\",\"mac\":\"00:00:00:00:00:00:00\"}",
		"{\"status\":\"exited\",\"ports\":[{\"host_ip\":\"\",\"guest_port\":70000}]}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		json_t *j = json_loads(t[i], 0, NULL);
		struct machine_state s;
		struct err e = { 0 };

		if (machine_state_from_json(j, &s, &e) != -EBADMSG)
			fail_msg("%s is taken", t[i]);
		json_decref(j);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(config_round_trip), cmocka_unit_test(missing_fields_are_defaults),
		cmocka_unit_test(config_refused),    cmocka_unit_test(state_round_trip),
		cmocka_unit_test(state_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
