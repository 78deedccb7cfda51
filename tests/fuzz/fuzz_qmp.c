/* SPDX-License-Identifier: MIT */
/*
 * fuzz_qmp.c - what QEMU says
 *
 * First byte even: one line. Odd: all of it comes from the other end of a socket, which then
 * closes, so that no call waits.
 */
#include "fuzz_input.h"

#include <sys/socket.h>

#include "qmp.h"

#define TALK_MAX (64U << 10) /* what a socket holds without a reader */

static void line_try(const char *line, size_t len)
{
	struct err e = { 0 };
	json_t *j = NULL;
	int rc = qmp_line_parse(line, len, &j, &e);

	MUST(rc > 0 ? j != NULL : !j);
	MUST(rc >= 0 || (rc == -e.code && e.msg[0]));
	json_decref(j);
}

static void talk_try(const char *text, size_t len)
{
	int fds[2];
	json_t *value = NULL;
	struct err e = { 0 };
	struct qmp q;
	bool had_args = len & 1;

	if (len > TALK_MAX || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return;
	MUST(write(fds[1], text, len) == (ssize_t)len && shutdown(fds[1], SHUT_WR) == 0);
	qmp_init(&q, fds[0]);
	for (int i = 0; i < 4; i++) {
		int rc = qmp_call(&q, "query-status", had_args ? json_pack("{s:i}", "a", 1) : NULL,
				  -1, 5000, &value, &e);

		MUST(rc < 0 ? rc == -e.code && e.code != ETIMEDOUT : value != NULL);
		json_decref(value);
		value = NULL;
	}
	qmp_done(&q);
	close(fds[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	auto_free char *text = NULL;

	if (len == 0)
		return 0;
	text = copy_of(data + 1, len - 1);
	if (data[0] & 1)
		talk_try(text, len - 1);
	else
		line_try(text, len - 1);
	return 0;
}
