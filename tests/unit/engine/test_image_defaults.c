/* SPDX-License-Identifier: MIT */
/* test_image_defaults.c - an image's config under what the user said */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "buf.h"
#include "image_defaults.h"

static const char image[] =
	"{\"config\":{\"Entrypoint\":[\"/e\",\"x\"],\"Cmd\":[\"a\",\"b\"],"
	"\"Env\":[\"PATH=/bin\",\"A=1\",\"bad\",\"=bad\"],\"Labels\":{\"l\":\"v\",\"k=\":\"v\",\"n\":5},"
	"\"ExposedPorts\":{\"80/tcp\":{},\"53/udp\":{}},\"User\":\"u\",\"WorkingDir\":\"/w\","
	"\"StopSignal\":\"SIGQUIT\"}}";

static void join(const struct strv *s, char ret[200])
{
	size_t n = 0;

	ret[0] = '\0';
	for (uint32_t i = 0; i < s->n; i++)
		n += (size_t)snprintf(ret + n, 200 - n, "%s|", s->v[i]);
}

static void apply(struct machine_config *c, const char *text)
{
	struct err e = { 0 };

	if (image_defaults_apply(c, text, strlen(text), &e) < 0)
		fail_msg("%s: %s", text, e.msg);
}

static void expect(const struct strv *s, const char *want)
{
	char got[200];

	join(s, got);
	assert_string_equal(got, want);
}

static void add(struct strv *s, const char *text)
{
	assert_int_equal(strv_add(s, text), 0);
}

static void nothing_said(void **state)
{
	struct machine_config c = { 0 };

	(void)state;
	apply(&c, image);
	expect(&c.entrypoint, "/e|x|");
	expect(&c.cmd, "a|b|");
	expect(&c.env, "PATH=/bin|A=1|");
	expect(&c.labels, "l=v|");
	expect(&c.exposed, "80/tcp|53/udp|");
	assert_string_equal(c.user, "u");
	assert_string_equal(c.cwd, "/w");
	assert_string_equal(c.stop_signal, "SIGQUIT");
	machine_config_done(&c);
}

static void commands(void **state)
{
	static const struct {
		const char *entrypoint, *cmd, *want_entrypoint, *want_cmd;
	} t[] = {
		{ NULL, NULL, "/e|x|", "a|b|" },  { NULL, "own", "/e|x|", "own|" },
		{ "own", NULL, "own|", "" }, /* drops the image's command */
		{ "own", "arg", "own|", "arg|" }, { "", NULL, "", "" },
		{ "", "arg", "", "arg|" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct machine_config c = { 0 };

		if (t[i].entrypoint)
			add(&c.entrypoint, t[i].entrypoint);
		if (t[i].cmd)
			add(&c.cmd, t[i].cmd);
		apply(&c, image);
		expect(&c.entrypoint, t[i].want_entrypoint);
		expect(&c.cmd, t[i].want_cmd);
		machine_config_done(&c);
	}
}

static void users_pairs_win(void **state)
{
	struct machine_config c = { 0 };

	(void)state;
	add(&c.env, "A=one");
	add(&c.env, "B=2");
	add(&c.env, "A=two"); /* the last of a name */
	add(&c.env, "PAT=x"); /* no prefix of PATH */
	add(&c.labels, "l=own");
	c.user = strdup("");
	c.cwd = strdup("/mine");
	apply(&c, image);
	expect(&c.env, "PATH=/bin|B=2|A=two|PAT=x|");
	expect(&c.labels, "l=own|");
	assert_string_equal(c.user, "");
	assert_string_equal(c.cwd, "/mine");
	machine_config_done(&c);
}

static void little_said_by_the_image(void **state)
{
	static const char *const t[] = {
		"{}",
		"{\"config\":null}",
		"{\"config\":{}}",
		"{\"config\":{\"Cmd\":null,\"Env\":null,\"User\":null,\"Labels\":null}}",
		"{\"config\":{\"Labels\":[],\"ExposedPorts\":\"80\"}}",
	};
	struct machine_config c = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		apply(&c, t[i]);
		assert_true(c.cmd.n == 0 && c.env.n == 0 && !c.user && c.exposed.n == 0);
		machine_config_done(&c);
	}
	apply(&c, "{\"config\":{\"Cmd\":\"echo hi\"}}"); /* of old images: for a shell */
	expect(&c.cmd, "/bin/sh|-c|echo hi|");
	machine_config_done(&c);
}

/* "target|target|" of the anonymous volumes among the mounts */
static void expect_volumes(const struct machine_config *c, const char *want)
{
	char got[200] = "";
	size_t n = 0;

	for (uint32_t i = 0; i < c->n_mounts; i++)
		if (c->mounts[i].kind == MACHINE_MOUNT_VOLUME && !*c->mounts[i].source)
			n += (size_t)snprintf(got + n, sizeof(got) - n, "%s|", c->mounts[i].target);
	assert_string_equal(got, want);
}

static void volumes(void **state)
{
	static const struct {
		const char *image, *user, *want; /* user: the target of a bind mount */
	} t[] = {
		{ "{\"/a\":{}}", NULL, "/a|" },
		{ "{\"/a\":{}}", "/a", "" },
		{ "{\"/a/\":{}}", "/a", "" },
		{ "{\"/a\":{}}", "/a/b", "/a|" },
		{ "{\"/a//\":{},\"/a\":{}}", NULL, "/a|" },
		{ "{\"/a\":null,\"/b\":5}", NULL, "/a|/b|" },
		{ "{\"/a\":{},\"/b\":{},\"/c\":{}}", NULL, "/a|/b|" }, /* slots of a template */
		{ "{\"\":{},\"/\":{},\"//\":{},\"a\":{},\"../a\":{}}", NULL, "" },
		{ "{}", NULL, "" },
		{ "null", NULL, "" },
		{ "[\"/a\"]", NULL, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct machine_config c = { 0 };
		char text[200];

		if (t[i].user) {
			c.mounts = calloc(1, sizeof(*c.mounts));
			c.n_mounts = 1;
			c.mounts[0].target = strdup(t[i].user);
		}
		snprintf(text, sizeof(text), "{\"config\":{\"Volumes\":%s}}", t[i].image);
		apply(&c, text);
		expect_volumes(&c, t[i].want);
		machine_config_done(&c);
	}
}

static void malformed(void **state)
{
	static const char *const t[] = {
		"",
		"{",
		"[]",
		"null",
		"5",
		"{\"config\":[]}",
		"{\"config\":\"x\"}",
		"{\"config\":{},\"config\":{}}",
		"{\"config\":{\"Cmd\":5}}",
		"{\"config\":{\"Cmd\":{}}}",
		"{\"config\":{\"Cmd\":[\"a\",null]}}",
		"{\"config\":{\"Entrypoint\":[[]]}}",
		"{\"config\":{\"Env\":[5]}}",
		"{\"config\":{\"Env\":{\"A\":\"1\"}}}",
		"{\"config\":{\"User\":0}}",
		"{\"config\":{\"WorkingDir\":[]}}",
		"{\"config\":{\"StopSignal\":9}}",
		"{\"config\":{\"User\":\"a\\u0000b\"}}",
		"{\"config\":{\"User\":\"\xff\"}}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct machine_config c = { 0 };
		struct err e = { 0 };

		if (image_defaults_apply(&c, t[i], strlen(t[i]), &e) != -EBADMSG)
			fail_msg("%s is taken", t[i]);
		assert_non_null(strstr(e.msg, "malformed"));
		machine_config_done(&c);
	}
}

static void too_many(void **state)
{
	static const char *const lists[] = { "\"Env\":[\"A=1\"", "\"ExposedPorts\":{\"0\":{}" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		struct machine_config c = { 0 };
		auto_buf b = { 0 };
		struct err e = { 0 };

		assert_int_equal(buf_addf(&b, "{\"config\":{%s", lists[i]), 0);
		for (int k = 1; k <= 16384; k++)
			assert_int_equal(
				i ? buf_addf(&b, ",\"%d\":{}", k) : buf_addf(&b, ",\"A=1\""), 0);
		assert_int_equal(buf_addf(&b, "%c}}", i ? '}' : ']'), 0);
		assert_int_equal(image_defaults_apply(&c, b.data, b.len, &e), -EBADMSG);
		machine_config_done(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_said),    cmocka_unit_test(commands),
		cmocka_unit_test(users_pairs_win), cmocka_unit_test(little_said_by_the_image),
		cmocka_unit_test(volumes),         cmocka_unit_test(malformed),
		cmocka_unit_test(too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
