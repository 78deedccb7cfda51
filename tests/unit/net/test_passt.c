/* SPDX-License-Identifier: MIT */
/* test_passt.c - host ports: chosen, taken, refused */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#include "passt.h"

/* A port of the loopback that is taken until the socket is closed. */
static uint16_t port_take(int type, int *ret_fd)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(a);

	*ret_fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(*ret_fd, (struct sockaddr *)&a, sizeof(a)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(*ret_fd, 1), 0);
	assert_int_equal(getsockname(*ret_fd, (struct sockaddr *)&a, &len), 0);
	return ntohs(a.sin_port);
}

static void chosen(void **state)
{
	struct machine_port p[8] = { 0 }, again[8];
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = (struct machine_port){ "127.0.0.1", 0, 80, i % 2 };
	if (passt_ports_choose(p, ARRAY_SIZE(p), &e) < 0)
		fail_msg("%s", e.msg);
	for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
		assert_int_not_equal(p[i].host_port, 0);
		for (size_t k = 0; k < i; k++)
			assert_true(p[i].is_udp != p[k].is_udp || p[i].host_port != p[k].host_port);
	}
	/* none is held afterwards */
	memcpy(again, p, sizeof(p));
	assert_int_equal(passt_ports_choose(again, ARRAY_SIZE(again), &e), 0);
	assert_memory_equal(again, p, sizeof(p));
	assert_int_equal(passt_ports_choose(NULL, 0, &e), 0);
}

static void taken(void **state)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		int fd;
		struct machine_port p[2] = {
			{ "127.0.0.1", 0, 80, false },
			{ "127.0.0.1", port_take(types[i], &fd), 80, types[i] == SOCK_DGRAM },
		};
		struct err e = { 0 };

		assert_int_equal(passt_ports_choose(p, 2, &e), -EADDRINUSE);
		assert_non_null(strstr(e.msg, "port is already allocated"));
		close(fd);
	}
}

static void same_port_twice(void **state)
{
	struct machine_port p[2] = { { "127.0.0.1", 0, 80, false }, { "127.0.0.1", 0, 81, false } };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(passt_ports_choose(p, 1, &e), 0);
	p[1].host_port = p[0].host_port;
	assert_int_equal(passt_ports_choose(p, 2, &e), -EADDRINUSE);
}

static void bad_addresses(void **state)
{
	static const char *const t[] = { "x", "127.0.0.1.1", ":::", "::g", "1:2" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct machine_port p = { .guest_port = 80 };
		struct err e = { 0 };
		int rc;

		snprintf(p.host_ip, sizeof(p.host_ip), "%s", t[i]);
		rc = passt_ports_choose(&p, 1, &e);
		assert_true(rc == -EINVAL || rc == -EAFNOSUPPORT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chosen),
		cmocka_unit_test(taken),
		cmocka_unit_test(same_port_twice),
		cmocka_unit_test(bad_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
