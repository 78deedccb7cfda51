/* SPDX-License-Identifier: MIT */
/* test_etc_files.c - hosts and resolv.conf */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "etc_files.h"

static char db[] = "db:1.2.3.4", v6[] = "v6:::1", *extra[] = { db, v6, NULL };

static void hosts(void **state)
{
	static const struct {
		const char *hostname, *want, *not ;
		bool has_network;
	} t[] = {
		{ "web", "10.0.2.15\tweb\n", "web.", true },
		{ "web.example.org", "10.0.2.15\tweb.example.org web\n", "\tweb\n", true },
		{ "web", "127.0.0.1\tlocalhost\n", "10.0.2.15", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct machine_config c = { .has_network = t[i].has_network,
					    .extra_hosts = { extra, 2 } };
		struct net_plan p;
		auto_buf b = { 0 };

		net_plan_make(&c, 0, &p);
		assert_int_equal(etc_hosts(&c, &p, t[i].hostname, &b), 0);
		assert_non_null(strstr(b.data, t[i].want));
		assert_null(strstr(b.data, t[i].not ));
		assert_non_null(strstr(b.data, "1.2.3.4\tdb\n"));
		assert_non_null(strstr(b.data, "::1\tv6\n"));
		assert_non_null(strstr(b.data, "ip6-localhost"));
	}
}

static void resolv_conf(void **state)
{
	static char one[] = "1.1.1.1", two[] = "::5", *dns[] = { one, two, NULL };
	static const struct {
		const char *host, *want;
		bool own;
	} t[] = {
		{ "", "nameserver 10.0.2.3\n", false },
		{ "nameserver 9.9.9.9\n", "nameserver 10.0.2.3\n", false },
		{ "search a b\noptions x\nnameserver 9.9.9.9",
		  "search a b\noptions x\nnameserver 10.0.2.3\n", false },
		{ "domain d", "domain d\nnameserver 10.0.2.3\n", false },
		{ "# search a\n;options\nsearchx\n search y\noptions\n\n", "nameserver 10.0.2.3\n",
		  false },
		{ "search a\n", "search a\nnameserver 1.1.1.1\nnameserver ::5\n", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct machine_config c = { .has_network = true };
		struct net_plan p;
		auto_buf b = { 0 };

		if (t[i].own)
			c.dns = (struct strv){ dns, 2 };
		net_plan_make(&c, 0, &p);
		assert_int_equal(etc_resolv_conf(&c, &p, t[i].host, &b), 0);
		assert_string_equal(b.data, t[i].want);
	}
}

/* On a tap the guest has the network's own servers, or the host's. */
static void on_a_tap(void **state)
{
	static const char host[] = "nameserver 127.0.0.53\nsearch a\nnameserver 192.0.2.9\n"
				   "nameserver ::1\nnameserver 2001:db8::1\n";
	struct machine_config c = { .has_network = true, .tap = "tap0" };
	struct net_plan p = { .dns = { 0xc0000201, 0xc0000202 } };
	auto_buf resolv = { 0 };
	auto_buf other = { 0 };
	auto_buf hosts = { 0 };

	(void)state;
	assert_int_equal(etc_resolv_conf(&c, &p, host, &resolv), 0);
	assert_string_equal(resolv.data, "search a\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n");
	p.dns[0] = 0;
	assert_int_equal(etc_resolv_conf(&c, &p, host, &other), 0);
	assert_string_equal(other.data, "search a\nnameserver 192.0.2.9\nnameserver 2001:db8::1\n");
	assert_int_equal(etc_hosts(&c, &p, "web", &hosts), 0);
	assert_null(strstr(hosts.data, "web")); /* it has no address that is known */
	hosts.len = 0;
	p.ip = 0xc0000207;
	assert_int_equal(etc_hosts(&c, &p, "web", &hosts), 0);
	assert_non_null(strstr(hosts.data, "192.0.2.7\tweb\n"));
}

static void without_network(void **state)
{
	const struct net_plan none = { 0 };
	struct machine_config c = { 0 };
	auto_buf b = { 0 };
	struct buf small = BUF_LIMIT(10);

	(void)state;
	assert_int_equal(etc_resolv_conf(&c, &none, "search a\nnameserver 1.1.1.1\n", &b), 0);
	assert_null(strstr(b.data, "nameserver"));
	assert_int_equal(etc_resolv_conf(&c, &none, "", &small), -EFBIG);
	assert_int_equal(etc_hosts(&c, &none, "h", &small), -EFBIG);
	buf_done(&small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts),
		cmocka_unit_test(resolv_conf),
		cmocka_unit_test(on_a_tap),
		cmocka_unit_test(without_network),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
