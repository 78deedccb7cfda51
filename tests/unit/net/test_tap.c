/* SPDX-License-Identifier: MIT */
/* test_tap.c - taps that cannot be opened; those that can are tests/nested's business */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tap.h"

static void refusals(void **state)
{
	static const struct {
		const char *name, *why;
	} t[] = {
		{ "no-such-tap", "there is no interface no-such-tap (ip tuntap add no-such-tap" },
		{ "", "there is no interface" },
		{ "lo", "lo: " }, /* no tap, or /dev/net/tun cannot be opened here */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		uint32_t mtu = 7;
		struct err e = { 0 };
		int fd = -7;

		if (tap_open(t[i].name, &fd, &mtu, &e) == 0 || !strstr(e.msg, t[i].why))
			fail_msg("%s: %s", t[i].name, e.msg);
		assert_true(fd == -7 && mtu == 7);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(refusals) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
