/* SPDX-License-Identifier: MIT */
/* test_ref.c - names of images */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "ref.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SHA "sha256:" HEX

static void taken(void **state)
{
	static const struct {
		const char *text, *normal, *familiar;
	} t[] = {
		{ "nginx", "docker.io/library/nginx:latest", "nginx:latest" },
		{ "nginx:1.2", "docker.io/library/nginx:1.2", "nginx:1.2" },
		{ "a/b", "docker.io/a/b:latest", "a/b:latest" },
		{ "library/nginx", "docker.io/library/nginx:latest", "nginx:latest" },
		{ "docker.io/nginx", "docker.io/library/nginx:latest", "nginx:latest" },
		{ "index.docker.io/a/b:t", "docker.io/a/b:t", "a/b:t" },
		{ "localhost/x", "localhost/x:latest", "localhost/x:latest" },
		{ "localhost:5000/x:1", "localhost:5000/x:1", "localhost:5000/x:1" },
		{ "reg:5000/a/b:1.2", "reg:5000/a/b:1.2", "reg:5000/a/b:1.2" },
		{ "r.example/x", "r.example/x:latest", "r.example/x:latest" },
		{ "UP/x", "UP/x:latest", "UP/x:latest" },
		{ "[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest" },
		{ "a__b.c-d--e", "docker.io/library/a__b.c-d--e:latest", "a__b.c-d--e:latest" },
		{ "x:_Tag.1-a", "docker.io/library/x:_Tag.1-a", "x:_Tag.1-a" },
		{ "x@" SHA, "docker.io/library/x@" SHA, "x@" SHA },
		{ "x:1@" SHA, "docker.io/library/x@" SHA, "x@" SHA },
		/* short forms that would be read as another name stay long */
		{ "docker.io/library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest" },
		{ "docker.io/a.b/c", "docker.io/a.b/c:latest", "docker.io/a.b/c:latest" },
		{ "docker.io/localhost/c", "docker.io/localhost/c:latest",
		  "docker.io/localhost/c:latest" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		char normal[REF_NORMAL_SIZE], familiar[REF_NORMAL_SIZE], again[REF_NORMAL_SIZE];

		if (!ref_normalise(t[i].text, normal, sizeof(normal)))
			fail_msg("%s", t[i].text);
		assert_string_equal(normal, t[i].normal);
		ref_familiar(normal, familiar, sizeof(familiar));
		assert_string_equal(familiar, t[i].familiar);
		assert_true(ref_normalise(familiar, again, sizeof(again)));
		assert_string_equal(again, normal);
	}
}

static void refused(void **state)
{
	static const char *const t[] = {
		"",
		":tag",
		"@" SHA,
		"a:",
		"a:-t",
		"a:.t",
		"a:t@",
		"a@sha256:00",
		"a@" SHA "0",
		"a@sha512:" HEX,
		"a@sha256:" HEX "@" SHA,
		"/a",
		"a/",
		"a//b",
		"-a",
		"a-",
		"a.",
		".a",
		"a..b",
		"a___b",
		"a.-b",
		"A",
		"a/B",
		"a b",
		"a\nb",
		"a/b:c/d",
		"r.x:99999999/a",
		"r.x:/a",
		"r.x:80a/a",
		"[::1/x",
		"[gg::1]/x",
		"..x/a",
		"-r.x/a",
		"r.x-/a",
		"r_.x/a",
		"r..x/a",
		"r.x/",
		"\xc3\xa4",
		HEX,
		"a:t:u",
		"http://a/b",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct ref r = { .tag = "untouched" };
		struct err e = { 0 };

		if (ref_parse(t[i], &r, &e) != -EINVAL)
			fail_msg("\"%s\" is taken", t[i]);
		assert_true(e.msg[0]);
		assert_string_equal(r.tag, "untouched");
	}
}

static void limits(void **state)
{
	char text[1000], out[REF_NORMAL_SIZE];
	struct ref r;
	struct err e = { 0 };

	(void)state;
	/* docker.io: "library/" counts, as the path has it */
	memset(text, 'a', sizeof(text));
	text[REF_PATH_MAX - 8] = '\0';
	assert_int_equal(ref_parse(text, &r, &e), 0);
	memset(text, 'a', sizeof(text));
	text[REF_PATH_MAX - 7] = '\0';
	assert_int_equal(ref_parse(text, &r, &e), -EINVAL);
	memset(text, 'a', sizeof(text));
	snprintf(text, 10, "%s", "r.x/b/c:");
	memset(text + 8, 't', REF_TAG_MAX);
	text[8 + REF_TAG_MAX] = '\0';
	assert_int_equal(ref_parse(text, &r, &e), 0);
	memcpy(text + 8 + REF_TAG_MAX, "t", 2);
	assert_int_equal(ref_parse(text, &r, &e), -EINVAL);
	/* with the tag that is filled in, it would not fit */
	memset(text, 'a', sizeof(text));
	text[251] = '.';
	text[254] = '/';
	text[REF_NORMAL_SIZE - 3] = '\0';
	assert_false(ref_normalise(text, out, sizeof(out)));
	text[REF_NORMAL_SIZE - 8] = '\0';
	assert_true(ref_normalise(text, out, sizeof(out)));
	assert_int_equal(strlen(out), REF_NORMAL_SIZE - 1);
}

static void familiar_takes_any_text(void **state)
{
	static const struct {
		const char *in, *want;
	} t[] = {
		{ "", "" },
		{ "docker.io/", "" },
		{ "docker.io", "docker.io" },
		{ "docker.io/library/", "" },
		{ "docker.io/library/x", "x" },
		{ "\xff", "\xff" },
	};
	char out[20];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		ref_familiar(t[i].in, out, sizeof(out));
		assert_string_equal(out, t[i].want);
	}
	ref_familiar("docker.io/library/0123456789012345678901234567890", out, 5);
	assert_string_equal(out, "0123");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(taken),
		cmocka_unit_test(refused),
		cmocka_unit_test(limits),
		cmocka_unit_test(familiar_takes_any_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
