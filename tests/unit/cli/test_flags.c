/* SPDX-License-Identifier: MIT */
/* test_flags.c - command lines by a table of flags */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "flags.h"

#define WORDS_MAX 8

struct options {
	bool tty, stdin_open, proxy;
	const char *name, *pull;
	int64_t time;
	struct flag_list env;
};

static const struct flag rows[] = {
	{ "tty", 't', FLAG_BOOL, offsetof(struct options, tty), NULL, "", NULL },
	{ "interactive", 'i', FLAG_BOOL, offsetof(struct options, stdin_open), NULL, "", NULL },
	{ "sig-proxy", 0, FLAG_BOOL, offsetof(struct options, proxy), NULL, "", "true" },
	{ "name", 'n', FLAG_TEXT, offsetof(struct options, name), "name", "", NULL },
	{ "pull", 0, FLAG_TEXT, offsetof(struct options, pull), "when", "", "missing" },
	{ "time", 's', FLAG_NUMBER, offsetof(struct options, time), "seconds", "", "-1" },
	{ "env", 'e', FLAG_LIST, offsetof(struct options, env), "name=value", "", NULL },
	{ "gpus", 'g', FLAG_UNSUPPORTED, 0, NULL, NULL, NULL },
};

struct parsed {
	struct options o;
	char *argv[WORDS_MAX + 1];
	int n_args;
	bool help;
	int rc;
	struct err e;
};

static void parse(const char *const *words, bool stops, struct parsed *p)
{
	const struct flag_set set = { rows, ARRAY_SIZE(rows), stops };
	int argc = 0;

	*p = (struct parsed){ .n_args = -1 };
	assert_int_equal(flags_init(&set, &p->o, &p->e), 0);
	for (; argc < WORDS_MAX && words[argc]; argc++)
		p->argv[argc] = (char *)(uintptr_t)words[argc];
	p->rc = flags_parse(&set, p->argv, argc, &p->o, &p->n_args, &p->help, &p->e);
}

static void parsed_done(struct parsed *p)
{
	flags_done(&(struct flag_set){ rows, ARRAY_SIZE(rows), false }, &p->o);
	assert_null(p->o.env.v);
}

static void initial_values(void **state)
{
	const char *const none[] = { NULL };
	struct parsed p;

	(void)state;
	parse(none, false, &p);
	assert_int_equal(p.rc, 0);
	assert_int_equal(p.n_args, 0);
	assert_false(p.o.tty);
	assert_true(p.o.proxy);
	assert_null(p.o.name);
	assert_string_equal(p.o.pull, "missing");
	assert_int_equal(p.o.time, -1);
	parsed_done(&p);
}

static void good_lines(void **state)
{
	static const struct {
		const char *words[WORDS_MAX];
		bool tty, stdin_open, proxy;
		const char *name;
		int64_t time;
		const char *env; /* joined by ';' */
		int n_args;
	} t[] = {
		{ { "-it" }, true, true, true, NULL, -1, "", 0 },
		{ { "-t=false", "-i=1" }, false, true, true, NULL, -1, "", 0 },
		{ { "--tty", "--tty=F" }, false, false, true, NULL, -1, "", 0 },
		{ { "--sig-proxy=false", "x" }, false, false, false, NULL, -1, "", 1 },
		{ { "--name", "a" }, false, false, true, "a", -1, "", 0 },
		{ { "--name=a=b" }, false, false, true, "a=b", -1, "", 0 },
		{ { "--name=" }, false, false, true, "", -1, "", 0 },
		{ { "--name", "--tty" }, false, false, true, "--tty", -1, "", 0 },
		{ { "-na" }, false, false, true, "a", -1, "", 0 },
		{ { "-tn", "a" }, true, false, true, "a", -1, "", 0 },
		{ { "-tna" }, true, false, true, "a", -1, "", 0 },
		{ { "-n=a" }, false, false, true, "a", -1, "", 0 },
		{ { "-s", "-5" }, false, false, true, NULL, -5, "", 0 },
		{ { "--time=7", "--time", "8" }, false, false, true, NULL, 8, "", 0 },
		{ { "-e", "A=1", "--env", "B", "-eC=2", "-e=D=3" },
		  false,
		  false,
		  true,
		  NULL,
		  -1,
		  "A=1;B;C=2;D=3;",
		  0 },
		{ { "a", "-t", "b" }, true, false, true, NULL, -1, "", 2 },
		{ { "a", "--", "-t" }, false, false, true, NULL, -1, "", 2 },
		{ { "-" }, false, false, true, NULL, -1, "", 1 },
		{ { "--", "--help" }, false, false, true, NULL, -1, "", 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		char env[64] = "";
		struct parsed p;

		parse(t[i].words, false, &p);
		if (p.rc)
			fail_msg("row %zu: %s", i, p.e.msg);
		for (size_t k = 0; k < p.o.env.n; k++) {
			size_t len = strlen(env);

			snprintf(env + len, sizeof(env) - len, "%s;", p.o.env.v[k]);
		}
		assert_int_equal(p.o.tty, t[i].tty);
		assert_int_equal(p.o.stdin_open, t[i].stdin_open);
		assert_int_equal(p.o.proxy, t[i].proxy);
		assert_int_equal(p.o.time, t[i].time);
		assert_string_equal(env, t[i].env);
		assert_int_equal(p.n_args, t[i].n_args);
		assert_false(p.help);
		if (t[i].name)
			assert_string_equal(p.o.name, t[i].name);
		else
			assert_null(p.o.name);
		parsed_done(&p);
	}
}

static void bad_lines(void **state)
{
	static const struct {
		const char *words[WORDS_MAX];
		const char *text;
	} t[] = {
		{ { "--no-such" }, "unknown flag: --no-such" },
		{ { "--no-such=1" }, "unknown flag: --no-such" },
		{ { "--nam", "a" }, "unknown flag: --nam" }, /* no abbreviations */
		{ { "--ttyx" }, "unknown flag: --ttyx" },
		{ { "---tty" }, "unknown flag: ---tty" },
		{ { "--=x" }, "unknown flag: --" },
		{ { "-x" }, "unknown shorthand flag: 'x' in -x" },
		{ { "-itx" }, "unknown shorthand flag: 'x' in -itx" },
		{ { "-t-" }, "unknown shorthand flag: '-' in -t-" },
		{ { "--name" }, "flag needs an argument: --name" },
		{ { "-n" }, "flag needs an argument: 'n' in -n" },
		{ { "-tn" }, "flag needs an argument: 'n' in -tn" },
		{ { "--tty=maybe" }, "invalid argument \"maybe\" for \"-t, --tty\" flag" },
		{ { "--tty=" }, "invalid argument \"\" for \"-t, --tty\" flag" },
		{ { "-t=yes" }, "invalid argument \"yes\" for \"-t, --tty\" flag" },
		{ { "--sig-proxy=2" }, "invalid argument \"2\" for \"--sig-proxy\" flag" },
		{ { "--time", "soon" }, "invalid argument \"soon\" for \"-s, --time\" flag" },
		{ { "--time=" }, "invalid argument \"\" for \"-s, --time\" flag" },
		{ { "--time=1s" }, "invalid argument \"1s\"" },
		{ { "--time=99999999999999999999" }, "invalid argument" },
		{ { "--time=1.5" }, "invalid argument" },
		{ { "--gpus", "all" }, "--gpus is not supported by caisson yet" },
		{ { "--gpus=all" }, "--gpus is not supported by caisson yet" },
		{ { "-g" }, "--gpus is not supported by caisson yet" },
		{ { "-e", "A=1", "--no-such" }, "unknown flag: --no-such" }, /* frees the list */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct parsed p;

		parse(t[i].words, false, &p);
		if (p.rc >= 0 || !strstr(p.e.msg, t[i].text))
			fail_msg("row %zu: rc %d, \"%s\"", i, p.rc, p.e.msg);
		parsed_done(&p);
	}
}

static void help_is_found(void **state)
{
	static const struct {
		const char *words[WORDS_MAX];
		bool help;
	} t[] = {
		{ { "--help" }, true },
		{ { "-h" }, true },
		{ { "-th" }, true },
		{ { "--help", "--no-such" }, true }, /* nothing after it is looked at */
		{ { "--", "--help" }, false },
		{ { "--name", "--help" }, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct parsed p;

		parse(t[i].words, false, &p);
		assert_int_equal(p.rc, 0);
		assert_int_equal(p.help, t[i].help);
		parsed_done(&p);
	}
}

static void what_follows_the_image_is_not_ours(void **state)
{
	const char *const words[] = { "-t", "image", "-i", "--no-such", "--", "--help", NULL };
	struct parsed p;

	(void)state;
	parse(words, true, &p);
	assert_int_equal(p.rc, 0);
	assert_true(p.o.tty);
	assert_false(p.o.stdin_open);
	assert_false(p.help);
	assert_int_equal(p.n_args, 5);
	assert_string_equal(p.argv[0], "image");
	assert_string_equal(p.argv[1], "-i");
	assert_string_equal(p.argv[3], "--");
	assert_string_equal(p.argv[4], "--help");
	parsed_done(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(initial_values),
		cmocka_unit_test(good_lines),
		cmocka_unit_test(bad_lines),
		cmocka_unit_test(help_is_found),
		cmocka_unit_test(what_follows_the_image_is_not_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
