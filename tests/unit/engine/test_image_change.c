/* SPDX-License-Identifier: MIT */
/* test_image_change.c - instructions of a Dockerfile */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "image_change.h"

static int apply(const char *const *instructions, size_t n, char **ret, struct err *e)
{
	struct image_change c = { .config = json_pack("{s:[s], s:[s, s]}", "Cmd", "old", "Env",
						      "PATH=/bin", "A=0") };
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n && instructions[i]; i++)
		rc = image_change_apply(&c, instructions[i], e);
	*ret = json_dumps(c.config, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(c.config);
	return rc;
}

#define ENV "\"Env\":[\"PATH=/bin\",\"A=0\"]"
#define OLD "\"Cmd\":[\"old\"]," ENV

static void right(void **state)
{
	static const struct {
		const char *in[3], *want;
	} t[] = {
		{ { "CMD [\"a\", \"b c\"]" }, "{\"Cmd\":[\"a\",\"b c\"]," ENV "}" },
		{ { "cmd a  b" }, "{\"Cmd\":[\"/bin/sh\",\"-c\",\"a  b\"]," ENV "}" },
		{ { "CMD [not json" }, "{\"Cmd\":[\"/bin/sh\",\"-c\",\"[not json\"]," ENV "}" },
		{ { "CMD []" }, "{\"Cmd\":[]," ENV "}" },
		{ { "ENTRYPOINT [\"e\"]" }, "{\"Entrypoint\":[\"e\"]," ENV "}" },
		{ { "CMD [\"c\"]", "ENTRYPOINT [\"e\"]" },
		  "{\"Cmd\":[\"c\"],\"Entrypoint\":[\"e\"]," ENV "}" },
		{ { "ENV A=1 B=\"2 3\" C='\"' D=\\ x" },
		  "{\"Cmd\":[\"old\"],\"Env\":[\"PATH=/bin\",\"A=1\",\"B=2 3\",\"C=\\\"\",\"D= x\"]}" },
		{ { "ENV B all the rest" },
		  "{\"Cmd\":[\"old\"],\"Env\":[\"PATH=/bin\",\"A=0\",\"B=all the rest\"]}" },
		{ { "EXPOSE 80 53/udp" },
		  "{" OLD ",\"ExposedPorts\":{\"53/udp\":{},\"80/tcp\":{}}}" },
		{ { "LABEL a=b \"c d\"=e" }, "{" OLD ",\"Labels\":{\"a\":\"b\",\"c d\":\"e\"}}" },
		{ { "STOPSIGNAL SIGQUIT" }, "{" OLD ",\"StopSignal\":\"SIGQUIT\"}" },
		{ { "USER 1:2" }, "{" OLD ",\"User\":\"1:2\"}" },
		{ { "VOLUME /a /b" }, "{" OLD ",\"Volumes\":{\"/a\":{},\"/b\":{}}}" },
		{ { "VOLUME [\"/a\"]" }, "{" OLD ",\"Volumes\":{\"/a\":{}}}" },
		{ { " WORKDIR\t/w" }, "{" OLD ",\"WorkingDir\":\"/w\"}" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct err e = { 0 };
		char *got;

		if (apply(t[i].in, 3, &got, &e) < 0)
			fail_msg("%s: %s", t[i].in[0], e.msg);
		assert_string_equal(got, t[i].want);
		free(got);
	}
}

static void wrong(void **state)
{
	static const struct {
		const char *in, *text;
	} t[] = {
		{ "", "none of CMD" },
		{ "RUN x", "none of CMD" },
		{ "CMDX y", "none of CMD" },
		{ "CMD", "nothing behind it" },
		{ "ENV  ", "nothing behind it" },
		{ "ENV A", "not NAME=VALUE" },
		{ "ENV =1", "not NAME=VALUE" },
		{ "ENV A=\"1", "quote is not closed" },
		{ "LABEL a b", "not NAME=VALUE" },
		{ "EXPOSE 0", "not a port" },
		{ "EXPOSE 65536", "not a port" },
		{ "EXPOSE 80/icmp", "not a port" },
		{ "EXPOSE -1", "not a port" },
		{ "USER a b", "one word" },
		{ "VOLUME relative", "not an absolute path" },
		{ "WORKDIR relative", "not an absolute path" },
		{ "USER \xff", "UTF-8" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct err e = { 0 };
		char *got;

		if (apply(&t[i].in, 1, &got, &e) == 0)
			fail_msg("\"%s\" is taken", t[i].in);
		if (!strstr(e.msg, t[i].text) || e.code != EINVAL)
			fail_msg("\"%s\": %s", t[i].in, e.msg);
		free(got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(right), cmocka_unit_test(wrong) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
