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

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(macs), cmocka_unit_test(ips) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
