/* SPDX-License-Identifier: MIT */
/* test_platform.c - platforms as people, uname and images say them, and which serves which */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "platform.h"

static void parsed(void **state)
{
	static const struct {
		const char *text, *is; /* is NULL: refused */
	} t[] = {
		{ "linux/amd64", "linux/amd64" },
		{ "linux/arm64", "linux/arm64" },
		{ "linux/arm64/v8", "linux/arm64" },
		{ "linux/arm64/8", "linux/arm64" },
		{ "linux/arm64/v9", "linux/arm64/v9" },
		{ "Linux/AMD64", "linux/amd64" },
		{ "x86_64", "linux/amd64" },
		{ "amd64", "linux/amd64" },
		{ "linux/amd64/v1", "linux/amd64" },
		{ "linux/amd64/v3", "linux/amd64/v3" },
		{ "aarch64", "linux/arm64" },
		{ "armhf", "linux/arm/v7" },
		{ "armel", "linux/arm/v6" },
		{ "linux/arm", "linux/arm/v7" },
		{ "linux/arm/6", "linux/arm/v6" },
		{ "i686", "linux/386" },
		{ "windows/amd64", "windows/amd64" },
		{ "macos/arm64", "darwin/arm64" },
		{ "s390x", "linux/s390x" },
		{ "", NULL },
		{ "/", NULL },
		{ "linux/", NULL },
		{ "/amd64", NULL },
		{ "linux//v7", NULL },
		{ "linux/arm/v7/", NULL },
		{ "linux/arm/v7/x", NULL },
		{ "linux amd64", NULL },
		{ "linux/a\nb", NULL },
		{ "linux/\xc3\xa4", NULL },
		{ "linux/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		  NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct platform p = { "untouched", "", "" };
		struct err e = { 0 };
		char text[200];
		int rc = platform_parse(t[i].text, &p, &e);

		platform_format(&p, text, sizeof(text));
		if (t[i].is && (rc != 0 || strcmp(text, t[i].is) != 0))
			fail_msg("%s: %d %s %s", t[i].text, rc, text, e.msg);
		if (!t[i].is && (rc != -EINVAL || !e.msg[0] || strcmp(p.os, "untouched") != 0))
			fail_msg("%s was taken as %s", t[i].text, text);
	}
}

static void host(void **state)
{
	struct platform p, q;
	struct err e = { 0 };

	(void)state;
	platform_host(&p);
	assert_string_equal(p.os, "linux");
	assert_true(p.architecture[0] && !strchr(p.architecture, '_'));
	assert_int_equal(platform_parse("linux", &q, &e), 0);
	assert_string_equal(p.architecture, q.architecture);
	assert_int_equal(platform_fits(&p, &q), platform_fits(&p, &p));
}

/* What is wanted, and images from the best to the last that serves; then what does not. */
static void fits(void **state)
{
	static const struct {
		struct platform want, good[4], bad[4];
	} t[] = {
		{ { "linux", "arm", "v7" },
		  { { "linux", "arm", "v7" }, { "linux", "arm", "v6" }, { "linux", "arm", "v5" } },
		  { { "linux", "arm", "v8" },
		    { "linux", "arm64", "" },
		    { "windows", "arm", "v7" } } },
		{ { "linux", "arm", "v6" },
		  { { "linux", "arm", "v6" }, { "linux", "arm", "v5" }, { "linux", "arm", "" } },
		  { { "linux", "arm", "v7" }, { "linux", "386", "" } } },
		{ { "linux", "amd64", "" },
		  { { "linux", "amd64", "" } },
		  { { "linux", "amd64", "v3" },
		    { "linux", "386", "" },
		    { "unknown", "unknown", "" } } },
		{ { "linux", "amd64", "v3" },
		  { { "linux", "amd64", "v3" },
		    { "linux", "amd64", "v2" },
		    { "linux", "amd64", "" } },
		  { { "linux", "amd64", "v4" } } },
		{ { "linux", "arm64", "" },
		  { { "linux", "arm64", "v8" } },
		  { { "linux", "arm64", "v9" }, { "linux", "arm", "v7" } } },
		{ { "linux", "riscv64", "" },
		  { { "linux", "riscv64", "" }, { "linux", "riscv64", "x" } },
		  { { "linux", "", "" }, { "", "", "" } } },
		{ { "linux", "riscv64", "y" },
		  { { "linux", "riscv64", "y" }, { "linux", "riscv64", "" } },
		  { { "linux", "riscv64", "x" } } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		unsigned last = 1000000;

		for (size_t k = 0; k < 4 && t[i].good[k].os[0]; k++) {
			unsigned score = platform_fits(&t[i].want, &t[i].good[k]);

			if (score == 0 || score >= last)
				fail_msg("row %zu good %zu: %u after %u", i, k, score, last);
			last = score;
		}
		for (size_t k = 0; k < 4; k++)
			if (platform_fits(&t[i].want, &t[i].bad[k]) != 0)
				fail_msg("row %zu bad %zu", i, k);
	}
}

static void formatted(void **state)
{
	static const struct platform none = { "", "", "" };
	char text[64], small[8];

	(void)state;
	platform_format(&none, text, sizeof(text));
	assert_string_equal(text, "unknown/unknown");
	platform_format(&none, small, sizeof(small));
	assert_string_equal(small, "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parsed),
		cmocka_unit_test(host),
		cmocka_unit_test(fits),
		cmocka_unit_test(formatted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
