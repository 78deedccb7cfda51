/* SPDX-License-Identifier: MIT */
/* test_netlink.c - addresses and routes of eth0, in a network of the test's own */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <sched.h>
#include <string.h>

#include "child.h"
#include "guest_internal.h"

#define IP(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))

static const struct agent_identity none;

static struct agent_identity identity(uint32_t ip, uint8_t prefix_len, uint32_t gateway)
{
	return (struct agent_identity){
		.ip = ip, .prefix_len = prefix_len, .gateway = gateway, .mac = { 2, 0, 0, 0, 0, 1 }
	};
}

/* "10.0.0.2 10.0.0.3 ": the IPv4 addresses of eth0. */
static void addresses(char ret[200])
{
	struct ifaddrs *all, *a;
	size_t len = 0;

	ret[0] = '\0';
	assert_int_equal(getifaddrs(&all), 0);
	for (a = all; a; a = a->ifa_next) {
		char text[INET_ADDRSTRLEN];

		if (!a->ifa_addr || a->ifa_addr->sa_family != AF_INET ||
		    strcmp(a->ifa_name, "eth0") != 0)
			continue;
		inet_ntop(AF_INET, &((struct sockaddr_in *)a->ifa_addr)->sin_addr, text,
			  sizeof(text));
		len += (size_t)snprintf(ret + len, 200 - len, "%s ", text);
	}
	freeifaddrs(all);
}

/* Is this the gateway, and the only one? */
static bool is_gateway(uint32_t want)
{
	FILE *f = fopen("/proc/thread-self/net/route", "re");
	unsigned int n = 0, found = 0;
	char line[300];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		unsigned int to, by;

		if (sscanf(line, "eth0 %8x %8x", &to, &by) != 2 || to != 0)
			continue;
		n++;
		found += by == htonl(want);
	}
	fclose(f);
	return n == 1 && found == 1;
}

/* One lease after the other, as a machine may get them. */
static void a_new_lease_replaces_the_old_one(void **state)
{
	static const struct {
		const char *what;
		uint32_t ip, gateway;
		uint8_t prefix_len;
		const char *want;
	} rows[] = {
		{ "the first", IP(10, 0, 0, 5), IP(10, 0, 0, 1), 24, "10.0.0.5 " },
		{ "the same again", IP(10, 0, 0, 5), IP(10, 0, 0, 1), 24, "10.0.0.5 " },
		{ "another of the network", IP(10, 0, 0, 6), IP(10, 0, 0, 1), 24, "10.0.0.6 " },
		{ "another network", IP(10, 9, 0, 7), IP(10, 9, 0, 1), 16, "10.9.0.7 " },
		{ "another mask", IP(10, 9, 0, 7), IP(10, 9, 0, 1), 24, "10.9.0.7 " },
		{ "another gateway", IP(10, 9, 0, 7), IP(10, 9, 0, 2), 24, "10.9.0.7 " },
	};
	struct agent_identity old = none;
	struct err e = { 0 };
	char got[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct agent_identity id =
			identity(rows[i].ip, rows[i].prefix_len, rows[i].gateway);

		if (netlink_readdress(&old, &id, &e) < 0)
			fail_msg("%s: %s", rows[i].what, e.msg);
		addresses(got);
		if (strcmp(got, rows[i].want) != 0)
			fail_msg("%s: %s", rows[i].what, got);
		if (!is_gateway(rows[i].gateway))
			fail_msg("%s: the gateway", rows[i].what);
		old = id;
	}
}

static void an_address_that_is_gone_is_no_error(void **state)
{
	struct agent_identity gone = identity(IP(172, 16, 0, 1), 12, 0);
	struct agent_identity id = identity(IP(10, 9, 0, 8), 24, IP(10, 9, 0, 1));
	struct agent_identity old = identity(IP(10, 9, 0, 7), 24, 0);
	struct err e = { 0 };
	char got[200];

	(void)state;
	assert_int_equal(netlink_readdress(&old, &id, &e), 0);
	assert_int_equal(netlink_readdress(&gone, &id, &e), 0);
	addresses(got);
	assert_string_equal(got, "10.9.0.8 ");
}

int main(void)
{
	static const char *const make[] = { "ip",   "link", "add",  "eth0", "type",
					    "veth", "peer", "name", "peer", NULL };
	static const char *const up[] = { "ip", "link", "set", "peer", "up", NULL };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_lease_replaces_the_old_one),
		cmocka_unit_test(an_address_that_is_gone_is_no_error),
	};
	struct err e = { 0 };
	int status = 0;

	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) {
		puts("no network namespace can be had");
		return 77;
	}
	if (child_run(make, NULL, &status, &e) < 0 || status ||
	    child_run(up, NULL, &status, &e) < 0 || status) {
		puts("no network device can be made");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
