/* SPDX-License-Identifier: MIT */
/* test_image_request.c - requests to the download worker, and its errors as people read them */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "image_request.h"

static struct ref ref_of(const char *text)
{
	struct err e = { 0 };
	struct ref r;

	assert_int_equal(ref_parse(text, &r, &e), 0);
	return r;
}

static void json_is(json_t *j, const char *want)
{
	char *text = json_dumps(j, JSON_COMPACT);
	auto_free char *copy = strdup(want);

	assert_non_null(j);
	for (char *p = copy; (p = strchr(p, '\''));)
		*p = '"';
	assert_string_equal(text, copy);
	free(text);
	json_decref(j);
}

static void endpoints(void **state)
{
	struct regconf_endpoint ep = { .url = "https://q.io", .repository = "a/b" };
	const struct auth_cred user = { .user = (char *)"u", .password = (char *)"p" };
	const struct auth_cred token = { .identity_token = (char *)"T" };
	const struct auth_cred binary = { .user = (char *)"u", .password = (char *)"\xff" };

	(void)state;
	json_is(image_endpoint_json(&ep, NULL), "{'url':'https://q.io','repository':'a/b'}");
	json_is(image_endpoint_json(&ep, &user), "{'url':'https://q.io','repository':'a/b','auth':{"
						 "'user':'u','password':'p'}}");
	ep.is_mirror = ep.skip_verify = true;
	ep.ca = (char *)"CA";
	json_is(image_endpoint_json(&ep, &token),
		"{'url':'https://q.io','repository':'a/b','is_mirror':true,'skip_verify':true,"
		"'ca':'CA','auth':{'identity_token':'T'}}");
	assert_null(image_endpoint_json(&ep, &binary));
	ep.key_pem = (char *)"\xc3(";
	assert_null(image_endpoint_json(&ep, NULL));
}

static void requests(void **state)
{
	const struct platform want = { "linux", "arm64", "" };
	const struct store_blob m = { "sha256:m", "t", 7 }, b = { "sha256:b", "u", 1ULL << 40 };
	struct ref r = ref_of("q.io/a:1");
	char mounts[1][256] = { "c/d" };
	const struct image_push p = { &r, &m, &b, 1, mounts, 1 };

	(void)state;
	json_is(image_pull_request(json_array(), &r, &want),
		"{'op':'pull','endpoints':[],'repository':'a','reference':'1','platform':{"
		"'os':'linux','architecture':'arm64','variant':''}}");
	json_is(image_push_request(json_array(), &p),
		"{'op':'push','endpoints':[],'repository':'a','reference':'1','manifest':{"
		"'digest':'sha256:m','media_type':'t','size':7},'blobs':[{'digest':'sha256:b',"
		"'media_type':'u','size':1099511627776}],'mount_from':['c/d']}");
	json_is(image_login_request(json_pack("{s:s,s:s}", "url", "x", "repository", "y"), "u",
				    "p"),
		"{'op':'login','endpoints':[{'url':'x','auth':{'user':'u','password':'p'}}]}");
	assert_null(image_login_request(json_object(), "u", "\xff"));
	snprintf(r.digest, sizeof(r.digest), "sha256:d"); /* a digest counts more than a tag */
	json_is(image_pull_request(json_array(), &r, &want),
		"{'op':'pull','endpoints':[],'repository':'a','reference':'sha256:d','platform':{"
		"'os':'linux','architecture':'arm64','variant':''}}");
}

static void errors(void **state)
{
	static const struct {
		const char *name;
		enum image_op op;
		int code;
		bool had_document;
		const char *says;
	} t[] = {
		{ "x", IMAGE_PULL, EACCES, false,
		  "pull access denied for x, repository does not exist or may require 'caisson login': T" },
		{ "q.io/x:1", IMAGE_PULL, EPERM, false,
		  "pull access denied for q.io/x, repository does not exist or may require 'caisson "
		  "login': T" },
		{ "x:no", IMAGE_PULL, ENOENT, false,
		  "manifest for x:no not found: manifest unknown: T" },
		/* the name is there: what is missing is a platform, or a blob */
		{ "x", IMAGE_PULL, ENOENT, true, "pull x:latest: T" },
		{ "x", IMAGE_PULL, EPROTO, false, "pull x:latest: T" },
		{ "x", IMAGE_PULL, 0, false, "pull x:latest: T" },
		{ "x", IMAGE_PUSH, ENOENT, false, "push x:latest: T" },
		{ "x", IMAGE_PUSH, EACCES, false,
		  "push access denied for x, repository does not exist or may require 'caisson login': T" },
		{ "q.io/x", IMAGE_LOGIN, EACCES, false, "login to q.io: unauthorized: T" },
		{ "q.io/x", IMAGE_LOGIN, ETIMEDOUT, false, "login to q.io: T" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		const struct ref r = ref_of(t[i].name);
		const struct fetch_event ev = { .kind = FETCH_ERROR,
						.code = t[i].code,
						.text = "T" };
		struct err e = { 0 };
		int want = t[i].code ? t[i].code : EIO;

		assert_int_equal(image_error(t[i].op, &r, &ev, t[i].had_document, &e), -want);
		assert_int_equal(e.code, want);
		assert_string_equal(e.msg, t[i].says);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(endpoints),
		cmocka_unit_test(requests),
		cmocka_unit_test(errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
