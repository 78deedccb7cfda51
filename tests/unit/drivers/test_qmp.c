/* SPDX-License-Identifier: MIT */
/* test_qmp.c - QEMU's answers: right, wrong, late */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>

#include "fdio.h"
#include "qmp.h"

#define HELLO "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n"
#define OK    "{\"return\": {}}\r\n"
#define EVENT "{\"event\": \"STOP\", \"timestamp\": {}}\r\n"

static void lines(void **state)
{
	static const struct {
		const char *line;
		int rc;
		const char *why;
	} t[] = {
		{ "{\"return\": {}}", 1, NULL },
		{ "{\"return\": null}", 1, NULL },
		{ "{\"return\": 5, \"id\": 1}", 1, NULL },
		{ EVENT, 0, NULL },
		{ HELLO, 0, NULL },
		{ "{\"error\": {\"class\": \"G\", \"desc\": \"no such\"}}", -EIO, "QEMU: no such" },
		{ "{\"error\": {\"desc\": 5}}", -EIO, "without description" },
		{ "{\"error\": null}", -EIO, "without description" },
		{ "{\"return\": {}, \"error\": {\"desc\": \"d\"}}", -EIO, "QEMU: d" },
		{ "{\"return\": {}, \"return\": {}}", -EPROTO, "no JSON object" },
		{ "{}", -EPROTO, "neither" },
		{ "[]", -EPROTO, "no JSON object" },
		{ "", -EPROTO, "no JSON object" },
		{ "{\"return\": {}", -EPROTO, "no JSON object" },
		{ "{\"return\": {}} x", -EPROTO, "no JSON object" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		json_t *j = NULL;
		struct err e = { 0 };

		if (qmp_line_parse(t[i].line, strlen(t[i].line), &j, &e) != t[i].rc)
			fail_msg("%s: %s", t[i].line, e.msg);
		assert_true((j != NULL) == (t[i].rc > 0));
		assert_true(!t[i].why || strstr(e.msg, t[i].why));
		json_decref(j);
	}
}

/* All that QEMU will ever say is in the socket already. */
static int talk(const char *text, size_t len, struct qmp *q)
{
	int fds[2], size = 4 << 20;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	(void)setsockopt(fds[1], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	assert_int_equal(fd_write_full(fds[1], text, len), 0);
	assert_int_equal(shutdown(fds[1], SHUT_WR), 0);
	qmp_init(q, fds[0]);
	return fds[1];
}

static void calls(void **state)
{
	static const char text[] =
		HELLO OK EVENT EVENT "{\"return\": {\"status\": \"running\"}}\r\n" EVENT OK
				     "{\"error\": {\"desc\": \"bad\"}}\r\n" OK;
	char said[1000] = { 0 };
	json_t *j = NULL;
	struct qmp q;
	struct err e = { 0 };
	auto_fd other = talk(text, sizeof(text) - 1, &q);

	(void)state;
	if (qmp_call(&q, "query-status", NULL, -1, 60000, &j, &e) < 0)
		fail_msg("%s", e.msg);
	assert_string_equal(json_string_value(json_object_get(j, "status")), "running");
	json_decref(j);
	assert_int_equal(qmp_call(&q, "stop", json_pack("{s:i}", "n", 5), -1, 60000, NULL, &e), 0);
	assert_int_equal(qmp_call(&q, "x", NULL, -1, 60000, NULL, &e), -EIO);
	assert_string_equal(e.msg, "x: QEMU: bad"); /* and the talk goes on */
	assert_int_equal(qmp_call(&q, "cont", NULL, -1, 60000, NULL, &e), 0);
	assert_int_equal(qmp_call(&q, "y", NULL, -1, 60000, NULL, &e), -ECONNRESET);
	qmp_done(&q);
	assert_true(read(other, said, sizeof(said) - 1) > 0);
	assert_non_null(strstr(said,
			       "{\"execute\":\"qmp_capabilities\"}{\"execute\":\"query-status\"}"
			       "{\"execute\":\"stop\",\"arguments\":{\"n\":5}}"));
}

static void bad_talk(void **state)
{
	static const struct {
		const char *text;
		int rc;
	} t[] = {
		{ "", -ECONNRESET },
		{ HELLO, -ECONNRESET },
		{ HELLO OK, -ECONNRESET },
		{ HELLO OK "{\"return\": {}", -ECONNRESET }, /* no end of the line */
		{ "x\n", -EPROTO },
		{ HELLO "{\"error\": {\"desc\": \"d\"}}\n", -EIO },
		{ HELLO OK "[]\n", -EPROTO },
		{ OK OK OK, -EPROTO }, /* a result is no greeting, and must not be lost */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct qmp q;
		struct err e = { 0 };
		auto_fd other = talk(t[i].text, strlen(t[i].text), &q);

		(void)other;
		if (qmp_call(&q, "x", json_object(), -1, 60000, NULL, &e) != t[i].rc)
			fail_msg("row %zu: %s", i, e.msg);
		qmp_done(&q);
	}
}

static void silence_ends(void **state)
{
	int fds[2];
	struct qmp q;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	qmp_init(&q, fds[0]);
	assert_int_equal(qmp_call(&q, "x", NULL, -1, 0, NULL, &e), -ETIMEDOUT);
	assert_int_equal(qmp_call(&q, "x", json_object(), -1, 1, NULL, &e), -ETIMEDOUT);
	qmp_done(&q);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines),
		cmocka_unit_test(calls),
		cmocka_unit_test(bad_talk),
		cmocka_unit_test(silence_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
