/* SPDX-License-Identifier: MIT */
/* test_image_layout.c - index.json of a layout, and what inspect shows of a config */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "image_inspect.h"
#include "image_layout.h"

#define A              "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B              "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define REF            "org.opencontainers.image.ref.name"
#define HEAD           "{'schemaVersion':2,'manifests':["
#define TAIL           "]}"
#define ENTRY(d, more) "{'mediaType':'" DOC_OCI_MANIFEST "','digest':'" d "','size':3" more "}"
#define NAMED(d, name) ENTRY(d, ",'annotations':{'" REF "':'" name "'}")
#define ARCH(d, arch)  ENTRY(d, ",'platform':{'os':'linux','architecture':'" arch "'}")

static char *quoted(const char *text)
{
	char *copy = strdup(text);

	assert_non_null(copy);
	for (char *p = copy; (p = strchr(p, '\''));)
		*p = '"';
	return copy;
}

static void choose(void **state)
{
	static const struct {
		const char *index, *name;
		int rc;
		const char *digest;
	} t[] = {
		{ HEAD NAMED(A, "x") TAIL, "x", 0, A },
		{ HEAD NAMED(A, "x") TAIL, NULL, 0, A },
		{ HEAD ENTRY(A, "") TAIL, NULL, 0, A },
		{ HEAD ARCH(A, "s390x") TAIL, NULL, 0, A }, /* the only one: it is meant */
		{ HEAD NAMED(A, "x") "," NAMED(B, "y:1") TAIL, "y:1", 0, B },
		{ HEAD NAMED(A, "x") "," NAMED(A, "x") TAIL, "x", 0, A },
		{ HEAD ARCH(A, "s390x") "," ARCH(B, "amd64") TAIL, NULL, 0, B },
		{ HEAD ARCH(A, "s390x") "," ARCH(B, "arm64") TAIL, NULL, -ENOENT, NULL },
		{ HEAD NAMED(A, "x") "," NAMED(B, "y") TAIL, NULL, -ENOENT, NULL },
		{ HEAD NAMED(A, "x") TAIL, "y", -ENOENT, NULL },
		{ HEAD NAMED(A, "x") TAIL, "", -ENOENT, NULL },
		{ HEAD NAMED(A, "x") "," NAMED(B, "x") TAIL, "x", -EBADMSG, NULL },
		{ HEAD ENTRY(A, ",'annotations':{'" REF "':7}") TAIL, "7", -ENOENT, NULL },
		{ HEAD ENTRY(A, ",'annotations':'x'") TAIL, "x", -ENOENT, NULL },
		{ HEAD TAIL, NULL, -ENOENT, NULL },
		{ HEAD NAMED("md5:00", "x") TAIL, "x", -EBADMSG, NULL },
		{ HEAD NAMED("sha256:../../../../etc/passwd", "x") TAIL, "x", -EBADMSG, NULL },
		{ HEAD "7" TAIL, "x", -EBADMSG, NULL },
		{ "{'schemaVersion':2,'manifests':{}}", "x", -EBADMSG, NULL },
		{ "{'schemaVersion':2,'manifests':[],'manifests':[]}", "x", -EBADMSG, NULL },
		{ "{'schemaVersion':2}", "x", -EBADMSG, NULL },
		{ "[]", "x", -EBADMSG, NULL },
		{ "", "x", -EBADMSG, NULL },
	};
	const struct platform want = { "linux", "amd64", "" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_free char *text = quoted(t[i].index);
		struct doc_descriptor d = { 0 };
		struct err e = { 0 };

		if (image_layout_choose(text, strlen(text), t[i].name, &want, &d, &e) != t[i].rc)
			fail_msg("%s %s: %d %s", text, t[i].name, e.code, e.msg);
		if (t[i].digest)
			assert_string_equal(d.digest, t[i].digest);
	}
}

static void names_are_printable(void **state)
{
	auto_free char *text = quoted(HEAD NAMED(A, "x\\u001b[31m") TAIL);
	const struct platform want = { "linux", "amd64", "" };
	struct doc_descriptor d;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(image_layout_choose(text, strlen(text), "y", &want, &d, &e), -ENOENT);
	assert_non_null(strstr(e.msg, "there are: x?[31m"));
}

static void version(void **state)
{
	static const struct {
		const char *text;
		int rc;
	} t[] = {
		{ "{'imageLayoutVersion':'1.0.0'}", 0 },
		{ "{'imageLayoutVersion':'2.0.0'}", -EBADMSG },
		{ "{'imageLayoutVersion':1}", -EBADMSG },
		{ "{}", -EBADMSG },
		{ "", -EBADMSG },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_free char *text = quoted(t[i].text);
		struct err e = { 0 };

		assert_int_equal(image_layout_check(text, strlen(text), &e), t[i].rc);
	}
}

static void inspect(void **state)
{
	static const struct {
		const char *config, *key, *value; /* of "Config"; NULL: it is not there */
	} t[] = {
		{ "{'config':{'Env':['A=b'],'x':1}}", "Env", "['A=b']" },
		{ "{'config':{'Env':['A=b'],'x':1}}", "x", NULL },
		{ "{'config':{'Env':['A=b',7]}}", "Env", "null" },
		{ "{'config':{'Env':{}}}", "Env", "null" },
		{ "{'config':{'Cmd':'sh'}}", "Cmd", "null" },
		{ "{'config':{'User':7}}", "User", "''" },
		{ "{'config':{'Labels':{'a':'b'}}}", "Labels", "{'a':'b'}" },
		{ "{'config':{'Labels':{'a':7}}}", "Labels", "null" },
		{ "{'config':{'Tty':'yes'}}", "Tty", NULL },
		{ "{'config':{'StopTimeout':1.5}}", "StopTimeout", NULL },
		{ "{'config':null}", "User", "''" },
		{ "{'config':[]}", "User", "''" },
		{ "{}", "WorkingDir", "''" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_free char *text = quoted(t[i].config), *want = NULL, *is = NULL;
		json_t *o = NULL, *v;
		struct err e = { 0 };

		assert_int_equal(image_inspect_config(text, strlen(text), &o, &e), 0);
		v = json_object_get(json_object_get(o, "Config"), t[i].key);
		assert_int_equal(v != NULL, t[i].value != NULL);
		if (v) {
			want = quoted(t[i].value);
			is = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
			assert_string_equal(is, want);
		}
		json_decref(o);
	}
}

static void no_config(void **state)
{
	static const char *const t[] = { "", "[]", "7", "{", "{\"a\":1,\"a\":2}", "\xff" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct err e = { 0 };
		json_t *o = NULL;

		assert_int_equal(image_inspect_config(t[i], strlen(t[i]), &o, &e), -EBADMSG);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(choose),    cmocka_unit_test(names_are_printable),
		cmocka_unit_test(version),   cmocka_unit_test(inspect),
		cmocka_unit_test(no_config),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
