/* SPDX-License-Identifier: MIT */
/* test_challenge.c - what registries say: challenges, times, ranges, addresses, tokens, errors */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "registry_answer.h"
#include "registry_challenge.h"
#include "registry_url.h"

#define LONG50   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LONG500  LONG50 LONG50 LONG50 LONG50 LONG50 LONG50 LONG50 LONG50 LONG50 LONG50
#define LONG3000 LONG500 LONG500 LONG500 LONG500 LONG500 LONG500

static void challenges(void **state)
{
	static const struct {
		const char *text;
		enum challenge_kind kind; /* CHALLENGE_OTHER: refused */
		const char *realm, *service, *scope;
	} t[] = {
		{ "Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:x:pull,push\"\n",
		  CHALLENGE_BEARER, "https://a/t", "s", "repository:x:pull,push" },
		{ "bearer  Realm = \"https://a/t\" , SERVICE=s\n", CHALLENGE_BEARER, "https://a/t",
		  "s", "" },
		{ "Bearer realm=https://a/t?x=y,service=s", CHALLENGE_BEARER, "https://a/t?x=y",
		  "s", "" },
		{ "Bearer realm=\"a\\\"b\\\\c, d\"", CHALLENGE_BEARER, "a\"b\\c, d", "", "" },
		{ "Basic realm=\"x\"", CHALLENGE_BASIC, "x", "", "" },
		{ "Basic", CHALLENGE_BASIC, "", "", "" },
		{ "Basic realm=\"x\", Bearer realm=\"y\"", CHALLENGE_BEARER, "y", "", "" },
		{ "Basic realm=\"x\"\nBearer realm=\"y\"\n", CHALLENGE_BEARER, "y", "", "" },
		{ "Negotiate abc==, Basic realm=\"x\"", CHALLENGE_BASIC, "x", "", "" },
		{ "Negotiate\nBasic realm=\"x\"", CHALLENGE_BASIC, "x", "", "" },
		{ ", ,Basic realm=\"x\",,", CHALLENGE_BASIC, "x", "", "" },
		{ "Bearer realm=\"first\",realm=\"second\"", CHALLENGE_BEARER, "first", "", "" },
		{ "Bearer error=\"e, f\",realm=\"y\",other=z", CHALLENGE_BEARER, "y", "", "" },
		{ "Bearer service=\"s\", Basic realm=\"x\"", CHALLENGE_BASIC, "x", "", "" },
		{ "", CHALLENGE_OTHER, NULL, NULL, NULL },
		{ "\n\n", CHALLENGE_OTHER, NULL, NULL, NULL },
		{ "Bearer", CHALLENGE_OTHER, NULL, NULL, NULL },
		{ "Bearer service=\"s\"", CHALLENGE_OTHER, NULL, NULL, NULL },
		{ "Bearer realm=\"", CHALLENGE_OTHER, NULL, NULL, NULL },
		{ "Bearer realm=\"a", CHALLENGE_OTHER, NULL, NULL, NULL },
		{ "Bearer realm=\"a\\", CHALLENGE_OTHER, NULL, NULL, NULL },
		{ "Bearer realm=\"a\nb\"", CHALLENGE_OTHER, NULL, NULL, NULL },
		{ "Bearer realm=\"a\x01\"", CHALLENGE_OTHER, NULL, NULL, NULL },
		{ "Bearer realm=\"" LONG3000 "\"", CHALLENGE_OTHER, NULL, NULL, NULL },
		{ "Negotiate", CHALLENGE_OTHER, NULL, NULL, NULL },
		{ "NTLM, Digest realm=\"x\"", CHALLENGE_OTHER, NULL, NULL, NULL },
		{ "\"Bearer\"", CHALLENGE_OTHER, NULL, NULL, NULL },
		{ "=,=", CHALLENGE_OTHER, NULL, NULL, NULL },
		{ LONG50 " realm=x", CHALLENGE_OTHER, NULL, NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		static struct challenge c;
		struct err e = { 0 };
		int rc = challenge_choose(t[i].text, &c, &e);

		if (t[i].kind == CHALLENGE_OTHER) {
			if (rc != -EBADMSG || !strstr(e.msg, "authentication"))
				fail_msg("row %zu: %d %s", i, rc, e.msg);
			continue;
		}
		if (rc != 0 || c.kind != t[i].kind)
			fail_msg("row %zu: %d %s", i, rc, e.msg);
		assert_string_equal(c.realm, t[i].realm);
		assert_string_equal(c.service, t[i].service);
		assert_string_equal(c.scope, t[i].scope);
	}
}

static void many_challenges(void **state)
{
	static struct challenge list[CHALLENGE_LIST_MAX];
	char text[1000] = "";

	(void)state;
	for (size_t at = 0; at + 8 < sizeof(text); at += 7)
		memcpy(text + at, "Basic,\n", 8);
	assert_int_equal(challenge_parse(text, list), CHALLENGE_LIST_MAX);
}

static void retry_after(void **state)
{
	static const struct {
		const char *text;
		uint32_t ms;
	} t[] = {
		{ "0", 0 },
		{ "1", 1000 },
		{ " 7 ", 7000 },
		{ "59", 59000 },
		{ "60", 60000 },
		{ "61", 60000 },
		{ "4294967296", 60000 },
		{ "99999999999999999999999999", 60000 },
		{ "Thu, 01 Jan 1970 00:17:00 GMT", 20000 },
		{ "Thu, 01 Jan 2099 00:00:00 GMT", 60000 },
		{ "Thu, 01 Jan 1970 00:00:10 GMT", 0 },
		{ "", 0 },
		{ "-1", 0 },
		{ "1.5e9", 0 },
		{ "soon", 0 },
		{ NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		if (retry_after_parse(t[i].text, 1000, 60000) != t[i].ms)
			fail_msg("%s: %u", t[i].text, retry_after_parse(t[i].text, 1000, 60000));
}

static void ranges(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		uint64_t first, last, total;
	} t[] = {
		{ "bytes 0-99/100", true, 0, 99, 100 },
		{ "Bytes 5-5/6", true, 5, 5, 6 },
		{ "bytes=1-2/3", true, 1, 2, 3 },
		{ "bytes 1-2/*", true, 1, 2, UINT64_MAX },
		{ NULL, false, 0, 0, 0 },
		{ "", false, 0, 0, 0 },
		{ "bytes", false, 0, 0, 0 },
		{ "bytes */100", false, 0, 0, 0 },
		{ "bytes 5-4/100", false, 0, 0, 0 },
		{ "bytes 0-100/100", false, 0, 0, 0 },
		{ "bytes 0-1", false, 0, 0, 0 },
		{ "bytes 0-1/", false, 0, 0, 0 },
		{ "bytes -1/5", false, 0, 0, 0 },
		{ "bytes 0--1/5", false, 0, 0, 0 },
		{ "bytes 0-1/5x", false, 0, 0, 0 },
		{ "items 0-1/5", false, 0, 0, 0 },
		{ "bytes 0-1/18446744073709551616", false, 0, 0, 0 },
		{ "bytes 0-18446744073709551617/*", false, 0, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		uint64_t first = 0, last = 0, total = 0;

		if (content_range_parse(t[i].text, &first, &last, &total) != t[i].ok)
			fail_msg("%s", t[i].text);
		assert_int_equal(first, t[i].first);
		assert_int_equal(last, t[i].last);
		assert_int_equal(total, t[i].total);
	}
}

static void resolved(void **state)
{
	static const struct {
		const char *base, *location, *is; /* is NULL: refused */
	} t[] = {
		{ "https://a/v2/x", "/y?z=1", "https://a/y?z=1" },
		{ "https://a/v2/x", "y", "https://a/v2/y" },
		{ "https://a/v2/x", "//b/y", "https://b/y" },
		{ "https://a/v2/x", "https://b:8/y?q=%2F&r=a+b", "https://b:8/y?q=%2F&r=a+b" },
		{ "http://a/v2/x", "https://b/y", "https://b/y" },
		{ "http://a/v2/x", "http://b/y#f", "http://b/y" },
		{ "https://a/v2/x", "https://u:p@b/y", "https://b/y" },
		{ "https://a/v2/x", "http://a/y", NULL },
		{ "https://a/v2/x", "HTTP://a/y", NULL },
		{ "http://a/", "file:///etc/passwd", NULL },
		{ "http://a/", "gopher://b/x", NULL },
		{ "http://a/", "ftp://b/x", NULL },
		{ "http://a/", "unix:/run/x", NULL },
		{ "http://a/", "http://", NULL },
		{ "http://a/", "http://b:99999/", NULL },
		{ "http://a/", "http://b/\x01", NULL },
		{ "http://a/", "http://" LONG3000 LONG3000 LONG3000, NULL },
		{ "file:///x", "y", NULL },
		{ "", "y", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_free char *url = NULL;
		struct err e = { 0 };
		int rc = url_resolve(t[i].base, t[i].location, &url, &e);

		if (t[i].is ? rc != 0 || strcmp(url, t[i].is) != 0 : rc >= 0 || !e.msg[0])
			fail_msg("row %zu: %d %s %s", i, rc, url ? url : "", e.msg);
	}
}

static void origins(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} t[] = {
		{ "https://a/x", "https://A:443/y?z", true },
		{ "http://a", "http://a:80", true },
		{ "https://[::1]:5000", "https://[::1]:5000/x", true },
		{ "https://a", "http://a", false },
		{ "https://a", "https://a:5000", false },
		{ "https://a", "https://a.", false },
		{ "https://a", "https://a.b", false },
		{ "https://a", "https://b@c", false },
		{ "https://a", "https://a@c", false },
		{ "https://a", "https://c/a", false },
	};
	struct url_origin o;
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct url_origin a, b;

		assert_int_equal(url_origin(t[i].a, &a, &e), 0);
		assert_int_equal(url_origin(t[i].b, &b, &e), 0);
		if (url_same_origin(&a, &b) != t[i].same)
			fail_msg("%s %s", t[i].a, t[i].b);
	}
	assert_int_equal(url_origin("ftp://a", &o, &e), -EINVAL);
	assert_int_equal(url_origin("a", &o, &e), -EINVAL);
	assert_int_equal(url_origin("https://", &o, &e), -EINVAL);
}

static void shown(void **state)
{
	static const struct {
		const char *url, *is;
	} t[] = {
		{ "https://a/b?secret=1", "https://a/b" },
		{ "https://u:p@a/b#f", "https://a/b" },
		{ "http://a/b@c", "http://a/b@c" },
		{ "https://a/\x1b[2J\x7f\xc2\x9b", "https://a/?[2J???" },
		{ "", "" },
		{ "x?://a@b", "x" },
	};
	auto_free char *url = NULL;
	char text[URL_SHOWN];
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		url_shown(t[i].url, text);
		assert_string_equal(text, t[i].is);
	}
	url_shown("https://" LONG3000, text);
	assert_int_equal(strlen(text), URL_SHOWN - 1);
	assert_int_equal(url_add_query("http://a/u?_state=x%3D", "digest", "sha256:ab", &url, &e),
			 0);
	assert_string_equal(url, "http://a/u?_state=x%3D&digest=sha256%3aab");
}

static void tokens(void **state)
{
	static const struct {
		const char *text, *token; /* NULL: refused */
	} t[] = {
		{ "{\"token\":\"abc.d-e_f\"}", "abc.d-e_f" },
		{ "{\"access_token\":\"x\",\"expires_in\":60}", "x" },
		{ "{\"token\":\"a\",\"access_token\":\"b\"}", "a" },
		{ "{\"token\":\"\",\"access_token\":\"b\"}", "b" },
		{ "{\"token\":\"\"}", NULL },
		{ "{\"token\":\"a b\"}", NULL },
		{ "{\"token\":\"a\\r\\nX-Evil: 1\"}", NULL },
		{ "{\"token\":\"a\\u00e4\"}", NULL },
		{ "{\"token\":\"a\\u0000\"}", NULL },
		{ "{\"token\":\"a\",\"token\":\"b\"}", NULL },
		{ "{\"token\":1}", NULL },
		{ "{}", NULL },
		{ "[]", NULL },
		{ "\"abc\"", NULL },
		{ "<html>", NULL },
		{ "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_free char *token = NULL;
		struct err e = { 0 };
		int rc = token_answer_parse(t[i].text, strlen(t[i].text), &token, &e);

		if (t[i].token ? rc != 0 || strcmp(token, t[i].token) != 0
			       : rc != -EBADMSG || token)
			fail_msg("%s: %d %s", t[i].text, rc, e.msg);
	}
}

static void error_texts(void **state)
{
	static const struct {
		const char *text, *is;
	} t[] = {
		{ "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"no\"}]}", "DENIED: no" },
		{ "{\"errors\":[{\"code\":\"X\"}]}", "X" },
		{ "{\"errors\":[{},5,{\"message\":\"m\"}]}", "m" },
		{ "{\"error\":\"invalid_grant\",\"error_description\":\"d\"}", "invalid_grant: d" },
		{ "{\"code\":\"c\",\"message\":\"m\"}", "c: m" },
		{ "{\"details\":\"incorrect password\"}", "incorrect password" },
		{ "{\"errors\":[{\"message\":\"\\u001b[31m\\n\\u009b\"}]}", "?[31m??" },
		{ "{\"errors\":[{\"message\":\"aaaaaaaaaaaaaaaaaaaaaaaaaa\\u00e4\\u00e4\\u00e4\"}]}",
		  "aaaaaaaaaaaaaaaaaaaaaaaaaa\u00e4" },
		{ "{\"errors\":{}}", "" },
		{ "{\"errors\":[[]]}", "" },
		{ "{\"errors\":[{\"code\":1,\"message\":[]}]}", "" },
		{ "[]", "" },
		{ "<html>no</html>", "" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		char text[30];

		error_answer_text(t[i].text, strlen(t[i].text), text, sizeof(text));
		assert_string_equal(text, t[i].is);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(challenges),  cmocka_unit_test(many_challenges),
		cmocka_unit_test(retry_after), cmocka_unit_test(ranges),
		cmocka_unit_test(resolved),    cmocka_unit_test(origins),
		cmocka_unit_test(shown),       cmocka_unit_test(tokens),
		cmocka_unit_test(error_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
