/* SPDX-License-Identifier: MIT */
/* test_shape.c - what all machines share; the cached probe */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>

#include "engine_internal.h"
#include "fdio.h"
#include "shape.h"
#include "store.h"
#include "temp_dir.h"

static void spec_is_nearly_whole(void **state)
{
	struct template_want w = { .mem_bytes = SHAPE_MEM_DEFAULT,
				   .mem_max_bytes = 1ULL << 30,
				   .cpus = 2,
				   .net = TEMPLATE_NET_STREAM,
				   .has_vsock = true };
	struct vm_spec a, b, other;
	struct err e = { 0 };

	(void)state;
	shape_spec(&w, "0123456789ab", &a);
	shape_spec(&w, "0123456789ab", &b);
	shape_spec(&w, "ff3456789abc", &other);
	assert_int_equal(a.cpus, 2);
	assert_true(a.mem_bytes == SHAPE_MEM_DEFAULT && a.mem_max_bytes == 1ULL << 30);
	assert_true(a.has_net && !a.net_is_tap && a.net_fd == -1);
	assert_true(a.has_vsock && a.vsock_listen_fd == -1 && a.vsock_broker_fd == -1);
	assert_int_equal(a.n_disks, TEMPLATE_DISK_COUNT + TEMPLATE_DISK_SPARE);
	assert_true(a.disks[TEMPLATE_DISK_IMAGE].is_readonly);
	assert_false(a.disks[TEMPLATE_DISK_WRITABLE].is_readonly);
	assert_int_equal(a.uid, b.uid);
	if (geteuid() == 0) { /* each VMM is a user of its own, never root */
		assert_true(a.uid >= 0x60000000 && a.uid < 0x61000000);
		assert_int_not_equal(a.uid, other.uid);
	} else {
		assert_int_equal(a.uid, 0);
	}
	assert_true(vm_spec_check(&a, &e) < 0); /* no kernel, no agent yet */
	a.kernel_fd = a.agent_fd = 3;
	if (vm_spec_check(&a, &e) < 0)
		fail_msg("%s", e.msg);
	assert_false(a.disks[TEMPLATE_DISK_IMAGE].is_mapped);
	w.has_dax = true;
	shape_spec(&w, "0123456789ab", &a);
	for (uint32_t i = 0; i < a.n_disks; i++)
		assert_int_equal(a.disks[i].is_mapped, i == TEMPLATE_DISK_IMAGE);
	a.kernel_fd = a.agent_fd = 3;
	if (vm_spec_check(&a, &e) < 0)
		fail_msg("%s", e.msg);
}

/* A template and its clone have the same slots, and few sizes of them. */
static void directories_have_slots(void **state)
{
	static const uint32_t want[SHAPE_SHARES_MAX + 1] = { 0, 2, 2, 6, 6, 6, 6 };
	struct template_want w = { .mem_bytes = SHAPE_MEM_DEFAULT, .cpus = 1 };
	struct vm_spec s;

	(void)state;
	for (uint32_t n = 0; n <= SHAPE_SHARES_MAX; n++) {
		w.n_shares = shape_share_slots(n);
		assert_int_equal(w.n_shares, want[n]);
		shape_spec(&w, "0123456789ab", &s);
		assert_int_equal(s.n_shares, want[n]);
		for (uint32_t i = 0; i < s.n_shares; i++)
			assert_int_equal(s.shares[i].sock_fd, -1);
	}
	assert_string_equal(s.shares[5].tag, "share5");
}

static unsigned probes;

static int probe(struct vm_driver_info *ret, struct err *e)
{
	(void)e;
	probes++;
	*ret = (struct vm_driver_info){ .accel = "tcg",
					.accel_reason = "why",
					.version = "1",
					.fingerprint = "ab",
					.tsc_khz = 5 };
	return 0;
}

static void probe_is_cached(void **state)
{
	static const char *const spoilt[] = { "", "{", "[]", "{\"stamp\":\"other\"}", NULL };
	struct vm_driver_ops d = { .name = "test", .probe = probe };
	char root[80], run[80], file[100];
	struct engine g = { .root = root, .run = run };
	struct vm_driver_info i;
	struct err e = { 0 };

	(void)state;
	snprintf(root, sizeof(root), "%s/root", temp_dir.path);
	snprintf(run, sizeof(run), "%s/run", temp_dir.path);
	snprintf(file, sizeof(file), "%s/run/driver-test.json", temp_dir.path);
	probes = 0;
	for (int k = 0; k < 3; k++) {
		g.known_driver = NULL; /* as another engine */
		assert_int_equal(shape_driver_info(&g, &d, &i, &e), 0);
		assert_string_equal(i.accel, "tcg");
		assert_int_equal(i.tsc_khz, 5);
	}
	assert_int_equal(probes, 1);
	for (unsigned k = 0; spoilt[k]; k++) {
		assert_int_equal(file_write_atomic_at(AT_FDCWD, file, 0600, spoilt[k],
						      strlen(spoilt[k]), &e),
				 0);
		assert_int_equal(shape_driver_info(&g, &d, &i, &e), 0);
		assert_int_equal(probes, 1 + k); /* this engine has no need to read it */
		g.known_driver = NULL;
		assert_int_equal(shape_driver_info(&g, &d, &i, &e), 0);
		assert_int_equal(probes, 2 + k);
	}
	d.program = "/no/such/program"; /* cannot be told apart from another: not cached */
	for (unsigned k = 0; k < 2; k++) {
		g.known_driver = NULL;
		assert_int_equal(shape_driver_info(&g, &d, &i, &e), 0);
	}
	assert_int_equal(probes, 7);
	store_close(g.store);
}

static void options_need_a_driver(void **state)
{
	char dir[] = "/dir";
	const struct {
		const char *what;
		struct machine_config c;
	} t[] = {
		{ "--vsock", { .vsock = dir } },
		{ "--cpu-model", { .cpu_model = "baseline-v2" } },
		{ "--memory-max", { .mem_max_bytes = 1ULL << 30 } },
		{ "--dax", { .has_dax = true } },
		{ "--net-bps", { .net_bps = 1 } },
		{ NULL, { .cpu_model = "host" } },
		{ NULL, { .mem_bytes = 1 } },
	};
	static const char *const drivers[] = { "qemu", "fake", "kvm" };

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(drivers); k++)
		for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
			struct err e = { 0 };
			const struct vm_driver_ops *d = vm_driver_find(drivers[k], &e);
			const bool can = !t[i].what || k == 2;

			assert_int_equal(shape_check(&t[i].c, d, &e), can ? 0 : -ENOTSUP);
			if (!can) {
				assert_non_null(strstr(e.msg, t[i].what));
				assert_non_null(strstr(e.msg, drivers[k]));
			}
		}
}

static void text_both_ways(void **state)
{
	static const char *const texts[] = {
		"512M,1cpu,nonet",
		"64M,32cpu,net",
		"64M,1cpu,tap",
		"2048M,4cpu,net,2shares,vsock,cpu=baseline-v3",
		"2M,1cpu,nonet,2048Mmax,vsock,dax",
	};
	static const char *const bad[] = { "",  "512M,1cpu,nonet,", "512", "512M,tap9",
					   "M", "512M cpu" };
	char text[SHAPE_TEXT_SIZE], copy[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct template_want w = { 0 };

		snprintf(copy, sizeof(copy), "%s", texts[i]);
		assert_int_equal(shape_parse(copy, &w), 0);
		shape_text(&w, text);
		assert_string_equal(text, texts[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct template_want w = { 0 };

		snprintf(copy, sizeof(copy), "%s", bad[i]);
		assert_int_equal(shape_parse(copy, &w), -EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spec_is_nearly_whole),
		cmocka_unit_test(directories_have_slots),
		cmocka_unit_test(options_need_a_driver),
		cmocka_unit_test(text_both_ways),
		cmocka_unit_test_setup_teardown(probe_is_cached, temp_dir_setup, temp_dir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
