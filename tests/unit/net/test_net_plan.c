/* SPDX-License-Identifier: MIT */
/* test_net_plan.c - addresses */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "net_plan.h"

static void macs(void **state)
{
	static const struct {
		const char *id;
		uint8_t mac[6];
	} t[] = {
		{ "0123456789abcdef", { 2, 0x01, 0x23, 0x45, 0x67, 0x89 } },
		{ "ffffffffff", { 2, 0xff, 0xff, 0xff, 0xff, 0xff } },
		{ "abc", { 2, 0xab, 0xc0, 0, 0, 0 } },
		{ "", { 2, 0, 0, 0, 0, 0 } },
		{ "zz", { 2, 0, 0, 0, 0, 0 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		uint8_t mac[6];

		net_mac(t[i].id, mac);
		assert_memory_equal(mac, t[i].mac, 6);
		assert_int_equal(mac[0] & 3, 2); /* locally administered, one receiver */
	}
}

static void ips(void **state)
{
	static const struct {
		uint32_t ip;
		const char *text;
	} t[] = { { NET_GUEST_IP, "10.0.2.15" },
		  { 0, "0.0.0.0" },
		  { UINT32_MAX, "255.255.255.255" } };
	char text[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		net_ip_text(t[i].ip, text);
		assert_string_equal(text, t[i].text);
	}
}

static void plans(void **state)
{
	struct machine_config c = { .id = "0123456789abcdef", .has_network = true };
	struct net_plan p;

	(void)state;
	net_plan_make(&c, 0, &p);
	assert_true(p.ip == NET_GUEST_IP && p.gateway == NET_GATEWAY_IP && p.prefix_len == 24);
	assert_true(p.mtu == NET_MTU && p.dns[0] == NET_DNS_IP && p.dns[1] == 0);
	assert_memory_equal(p.mac, "\2\1\x23\x45\x67\x89", 6);
	snprintf(c.mac, sizeof(c.mac), "02:0a:0B:00:00:01");
	snprintf(c.tap, sizeof(c.tap), "tap0");
	net_plan_make(&c, 1400, &p);
	assert_memory_equal(p.mac, "\2\x0a\x0b\0\0\1", 6);
	assert_true(!p.ip && !p.gateway && !p.prefix_len && p.mtu == 1400 && !p.dns[0]);
	snprintf(c.ip, sizeof(c.ip), "192.0.2.7/25");
	net_plan_make(&c, 1500, &p);
	assert_true(p.ip == 0xc0000207 && p.prefix_len == 25 && p.gateway == 0);
	snprintf(c.gateway, sizeof(c.gateway), "192.0.2.1");
	net_plan_make(&c, 1500, &p);
	assert_true(p.gateway == 0xc0000201);
	c.has_network = false;
	net_plan_make(&c, 1500, &p);
	assert_memory_equal(&p, &(struct net_plan){ 0 }, sizeof(p));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(macs), cmocka_unit_test(ips),
					    cmocka_unit_test(plans) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
