/* SPDX-License-Identifier: MIT */
/* test_run_config.c - the flags of run, as a machine's config and as our terminal */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "fdio.h"
#include "run_config.h"
#include "temp_dir.h"

static struct flag_list list(const char **v, size_t n)
{
	return (struct flag_list){ v, n };
}

#define LIST(...)                                                                                  \
	list((const char *[]){ __VA_ARGS__ }, ARRAY_SIZE(((const char *[]){ __VA_ARGS__ })))

static int make(const struct run_options *o, struct machine_config *c, struct err *e)
{
	char *argv[] = { (char[]){ "image" }, (char[]){ "sh" }, (char[]){ "-c" } };

	return run_config_make(o, &(struct args){ argv, 3 }, "/cwd", c, e);
}

static void everything(void **state)
{
	char path[] = "/tmp/caisson-test-labels-XXXXXX";
	auto_fd fd = mkstemp(path);
	const char labels[] = "# no\nf=1\r\n\n  bare\na=file";
	struct run_options o = { .has_tty = true,
				 .is_auto_removed = true,
				 .has_dax = true,
				 .name = "n",
				 .user = "u",
				 .workdir = "/w",
				 .hostname = "h",
				 .entrypoint = "",
				 .memory = "512m",
				 .cpus = "2",
				 .cpu_model = "baseline-v3",
				 .network = "none",
				 .driver = "auto",
				 .vsock = "sockets",
				 .stop_signal = "SIGINT",
				 .stop_timeout_s = 7 };
	struct machine_config c = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(fd_write_full(fd, labels, strlen(labels)), 0);
	o.env = LIST("A=1", "A=2");
	o.labels = LIST("a=flag");
	o.label_files = LIST(path);
	o.volumes = LIST("./x:/x");
	o.mounts = LIST("type=tmpfs,target=/t");
	o.publish = LIST("8080:80");
	o.memory_max = "2g";
	o.storage_opts = LIST("size=1g");
	if (make(&o, &c, &e) < 0)
		fail_msg("%s", e.msg);
	assert_true(c.has_tty && c.is_auto_removed && c.has_dax && !c.has_network && !c.has_stdin);
	assert_string_equal(c.vsock, "/cwd/sockets");
	assert_string_equal(c.image_ref, "image");
	assert_int_equal(c.cmd.n, 2);
	assert_int_equal(c.entrypoint.n, 1);
	assert_string_equal(c.entrypoint.v[0], "");
	assert_int_equal(c.env.n, 1);
	assert_string_equal(c.env.v[0], "A=2");
	assert_int_equal(c.labels.n, 3);
	assert_string_equal(c.labels.v[0], "f=1");
	assert_string_equal(c.labels.v[1], "bare=");
	assert_string_equal(c.labels.v[2], "a=flag"); /* a flag is stronger than a file */
	assert_int_equal(c.n_mounts, 2);
	assert_string_equal(c.mounts[0].source, "/cwd/./x");
	assert_int_equal(c.mem_bytes, 512U << 20);
	assert_true(c.mem_max_bytes == 2ULL << 30);
	assert_int_equal(c.disk_bytes, 1U << 30);
	assert_int_equal(c.cpus, 2);
	assert_string_equal(c.cpu_model, "baseline-v3");
	assert_int_equal(c.stop_timeout_s, 7);
	machine_config_done(&c);
	assert_int_equal(unlink(path), 0);
}

static void networks(void **state)
{
	static const struct {
		const char *name;
		int rc; /* 0 or 1: has one */
	} t[] = {
		{ NULL, 1 },     { "default", 1 }, { "bridge", 1 },        { "none", 0 },
		{ "host", -95 }, { "", -95 },      { "container:x", -95 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		const struct run_options o = { .network = t[i].name };
		struct machine_config c = { 0 };
		struct err e = { 0 };

		assert_int_equal(make(&o, &c, &e), t[i].rc < 0 ? t[i].rc : 0);
		if (t[i].rc >= 0)
			assert_int_equal(c.has_network, t[i].rc);
		machine_config_done(&c);
	}
}

static void taps_and_limits(void **state)
{
	const struct run_options o = { .network = "tap:br-a.7",
				       .ip = "192.0.2.7/24",
				       .gateway = "192.0.2.1",
				       .mac = "02:00:00:00:00:01",
				       .disk_bps = "10m",
				       .net_bps = "1g",
				       .disk_iops = 500 };
	struct machine_config c = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(make(&o, &c, &e), 0);
	assert_true(c.has_network && c.disk_bps == 10U << 20 && c.net_bps == 1U << 30 &&
		    c.disk_iops == 500);
	assert_string_equal(c.tap, "br-a.7");
	assert_string_equal(c.ip, "192.0.2.7/24");
	assert_string_equal(c.gateway, "192.0.2.1");
	assert_string_equal(c.mac, "02:00:00:00:00:01");
	machine_config_done(&c);
}

static void refusals(void **state)
{
	char name[200];
	struct run_options t[] = {
		{ .memory = "much" },
		{ .network = "tap:" },
		{ .network = "tap:sixteen-letters-" },
		{ .ip = "255.255.255.255/255 " },
		{ .gateway = "255.255.255.255 " },
		{ .mac = "02:00:00:00:00:000" },
		{ .disk_bps = "fast" },
		{ .net_bps = "-1" },
		{ .disk_iops = -1 },
		{ .cpus = "0" },
		{ .cpu_model = "a-name-of-16-byte" },
		{ .stop_signal = "SIGNOPE" },
		{ .stop_timeout_s = INT64_MAX },
		{ .stop_timeout_s = INT64_MIN },
		{ .storage_opts = LIST("size=big") },
		{ .storage_opts = LIST("dm.size=1g") },
		{ .storage_opts = LIST("") },
		{ .env = LIST("=x") },
		{ .env_files = LIST("/no/such/file") },
		{ .labels = LIST("") },
		{ .label_files = LIST("/no/such/file") },
		{ .label_files = LIST("/") },
		{ .add_hosts = LIST("x") },
		{ .volumes = LIST("named:x") },
		{ .mounts = LIST("type=bind") },
		{ .tmpfs = LIST("relative") },
		{ .publish = LIST("x") },
		{ .driver = "a-name-of-a-driver-that-is-too-long" },
		{ .name = name },
		{ .kernel = name },
	};

	(void)state;
	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct machine_config c = { 0 };
		struct err e = { 0 };

		if (make(&t[i], &c, &e) >= 0 || !*e.msg)
			fail_msg("row %zu is taken", i);
		machine_config_done(&c);
	}
}

static void consoles(void **state)
{
	const struct {
		struct run_options o;
		const char *out; /* of "ioe"; NULL: refused */
	} t[] = {
		{ { 0 }, "oe" },
		{ { .has_stdin = true }, "ioe" },
		{ { .is_detached = true, .has_stdin = true }, "" },
		{ { .attach = { (const char *[]){ "stdin" }, 1 }, .has_stdin = true }, "i" },
		{ { .attach = { (const char *[]){ "STDERR" }, 1 }, .has_stdin = true }, "e" },
		{ { .attach = { (const char *[]){ "stdout", "stderr" }, 2 } }, "oe" },
		{ { .attach = { (const char *[]){ "stdlog" }, 1 } }, NULL },
		{ { .attach = { (const char *[]){ "" }, 1 } }, NULL },
		{ { .attach = { (const char *[]){ "stdout" }, 1 }, .is_detached = true }, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct console c = { 0 };
		struct err e = { 0 };
		char text[8];
		int rc = run_console_make(&t[i].o, &c, &e);

		assert_int_equal(rc < 0, !t[i].out);
		snprintf(text, sizeof(text), "%s%s%s", c.has_stdin ? "i" : "",
			 c.has_stdout ? "o" : "", c.has_stderr ? "e" : "");
		if (t[i].out)
			assert_string_equal(text, t[i].out);
	}
}

static void sources_of_volumes_are_made(void **state)
{
	char volume[100], mount[100];
	struct run_options o = { 0 };
	struct machine_config c = { 0 };
	struct err e = { 0 };
	struct stat st;

	(void)state;
	snprintf(volume, sizeof(volume), "%s/a/b:/x", temp_dir.path);
	snprintf(mount, sizeof(mount), "type=bind,source=%s/m,target=/y", temp_dir.path);
	o.volumes = LIST(volume);
	o.mounts = LIST(mount);
	assert_int_equal(make(&o, &c, &e), 0);
	assert_int_equal(run_sources_make(&o, &c, &e), 0);
	assert_int_equal(run_sources_make(&o, &c, &e), 0); /* again: it is there */
	assert_int_equal(stat(c.mounts[0].source, &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(stat(c.mounts[1].source, &st), -1); /* not that of a --mount */
	machine_config_done(&c);

	/* a file in the way */
	assert_int_equal(file_write_atomic_at(temp_dir.fd, "f", 0600, "", 0, &e), 0);
	snprintf(volume, sizeof(volume), "%s/f/b:/x", temp_dir.path);
	o.volumes = LIST(volume);
	assert_int_equal(make(&o, &c, &e), 0);
	if (run_sources_make(&o, &c, &e) == 0)
		assert_int_equal(access(c.mounts[0].source, F_OK), -1); /* the start will tell */
	machine_config_done(&c);
}

static void directory_of_vsock_is_there(void **state)
{
	static const struct {
		const char *name;
		int rc;
	} t[] = { { ".", 0 }, { "none", -ENOENT }, { "f", -ENOTDIR }, { "f/x", -ENOTDIR } };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(file_write_atomic_at(temp_dir.fd, "f", 0600, "", 0, &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct machine_config c = { 0 };
		struct run_options o = { 0 };
		char path[100];

		snprintf(path, sizeof(path), "%s/%s", temp_dir.path, t[i].name);
		o.vsock = path;
		assert_int_equal(make(&o, &c, &e), 0);
		assert_int_equal(run_sources_make(&o, &c, &e), t[i].rc);
		machine_config_done(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything),
		cmocka_unit_test(networks),
		cmocka_unit_test(taps_and_limits),
		cmocka_unit_test(refusals),
		cmocka_unit_test(consoles),
		cmocka_unit_test_setup_teardown(directory_of_vsock_is_there, temp_dir_setup,
						temp_dir_teardown),
		cmocka_unit_test_setup_teardown(sources_of_volumes_are_made, temp_dir_setup,
						temp_dir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
