/* SPDX-License-Identifier: MIT */
/* test_packet.c - which packets of a guest start its network */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "cleanup.h"
#include "keeper_packet.h"

#define ETHER(type)                                                                                \
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0xca, 0x15, 0, 0, 1, (type) >> 8, (type)&0xff
#define ARP(sender, target)                                                                        \
	0, 1, 8, 0, 6, 4, 0, 1, 2, 0xca, 0x15, 0, 0, 1, 10, 0, 2, sender, 0, 0, 0, 0, 0, 0, 10, 0, \
		2, target

static const struct {
	const char *what;
	uint8_t raw[80];
	size_t len, want;
} rows[] = {
	{ "own address", { 0, 0, 0, 42, ETHER(0x0806), ARP(15, 15) }, 46, 46 },
	{ "own address, then another",
	  { 0, 0, 0, 42, ETHER(0x0806), ARP(15, 15), 0, 0, 0, 60 },
	  50,
	  46 },
	{ "IPv6", { 0, 0, 0, 20, ETHER(0x86dd), 0x60 }, 24, 24 },
	{ "who has the gateway", { 0, 0, 0, 42, ETHER(0x0806), ARP(15, 2) }, 46, 0 },
	{ "IPv4", { 0, 0, 0, 34, ETHER(0x0800), 0x45 }, 38, 0 },
	{ "ARP cut short", { 0, 0, 0, 30, ETHER(0x0806), ARP(15, 15) }, 34, 0 },
	{ "not all there yet", { 0, 0, 0, 42, ETHER(0x0806), ARP(15, 15) }, 45, 0 },
	{ "longer than is looked at", { 0, 0, 4, 0, ETHER(0x86dd) }, 80, 0 },
	{ "length of nothing", { 0, 0, 0, 0, ETHER(0x86dd) }, 80, 0 },
	{ "length of everything", { 255, 255, 255, 255, ETHER(0x86dd) }, 80, 0 },
	{ "no header", { 0, 0, 0, 13, ETHER(0x86dd) }, 17, 0 },
	{ "no length", { 0, 0, 0 }, 3, 0 },
	{ "nothing", { 0 }, 0, 0 },
};

static void test_announcement(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (packet_announcement(rows[i].raw, rows[i].len) != rows[i].want)
			fail_msg("%s", rows[i].what);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_announcement) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
