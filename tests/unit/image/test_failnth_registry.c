/* SPDX-License-Identifier: MIT */
/* test_failnth_registry.c - names, documents, credentials when memory or a call fails */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "auth.h"
#include "digest.h"
#include "doc.h"
#include "failnth.h"
#include "fdio.h"
#include "regconf.h"
#include "registry_answer.h"
#include "registry_challenge.h"
#include "registry_url.h"
#include "temp_dir.h"

#define A   "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B   "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define OCI "application/vnd.oci.image."
#define PEM "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"

static int doc_index(void *arg, struct err *e)
{
	static const char text[] =
		"{\"schemaVersion\":2,\"manifests\":["
		"{\"mediaType\":\"" OCI "manifest.v1+json\",\"digest\":\"" A "\",\"size\":5,"
		"\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}},"
		"{\"mediaType\":\"" OCI "manifest.v1+json\",\"digest\":\"" B "\",\"size\":5,"
		"\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\",\"variant\":\"v8\"}}]}";
	const struct platform want = { "linux", "arm64", "" };
	const struct doc_descriptor *chosen;
	struct doc d = { 0 };
	int rc;

	(void)arg;
	if (doc_parse(text, strlen(text), NULL, &d, e) < 0)
		return -e->code;
	rc = doc_index_choose(&d, &want, &chosen, e);
	if (rc == 0)
		assert_string_equal(chosen->digest, B);
	doc_done(&d);
	return rc;
}

static int doc_manifest(void *arg, struct err *e)
{
	static const char text[] =
		"{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" OCI "config.v1+json\","
		"\"digest\":\"" A "\",\"size\":7},\"layers\":[{\"mediaType\":\"" OCI
		"layer.v1.tar+gzip\",\"digest\":\"" B "\",\"size\":9}]}";
	static const char config[] = "{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":"
				     "{\"type\":\"layers\",\"diff_ids\":[\"" A "\",\"" B "\"]}}";
	struct doc_config c = { 0 };
	struct doc d = { 0 };

	(void)arg;
	if (doc_parse(text, strlen(text), NULL, &d, e) < 0)
		return -e->code;
	assert_string_equal(d.list[0].digest, B);
	doc_done(&d);
	if (doc_config_parse(config, strlen(config), &c, e) < 0)
		return -e->code;
	assert_string_equal(c.diff_ids[1], B);
	doc_config_done(&c);
	return 0;
}

static int digests(void *arg, struct err *e)
{
	struct temp_dir *d = arg;
	struct digest_stream *s = NULL;
	char one[DIGEST_SIZE], other[DIGEST_SIZE];
	auto_fd fd = openat(d->fd, "auth/config.json", O_RDONLY | O_CLOEXEC);
	uint64_t len;
	int rc;

	if (fd < 0)
		return err_set(e, errno, "open");
	if (digest_of("bytes", 5, one, e) < 0 ||
	    digest_of_file(fd, UINT64_MAX, other, &len, e) < 0 || digest_stream_new(&s, e) < 0)
		return -e->code;
	rc = digest_stream_add(s, "bytes", 5, e);
	if (rc == 0)
		rc = digest_stream_get(s, other, e);
	digest_stream_free(s);
	if (rc == 0)
		assert_string_equal(one, other);
	return rc;
}

static int conf_parse(void *arg, struct err *e)
{
	static const char text[] = "[registry a.b]\nlocation = c.d/e\nmirror = m.n\nmirror = o.p\n"
				   "[search]\nregistries = a.b c.d\n[alias]\nx = a.b/y\n";
	struct ref names[REGCONF_SEARCH_MAX];
	struct regconf_endpoint *list = NULL;
	struct regconf *c = NULL;
	uint32_t n = 0;
	int rc;

	(void)arg;
	rc = regconf_new(&c, e);
	if (rc == 0)
		rc = regconf_parse(c, "f", text, strlen(text), e);
	if (rc == 0)
		rc = regconf_parse(c, "g", text, strlen(text), e); /* over the former sections */
	if (rc == 0)
		rc = regconf_resolve(c, "x", names, &n, e);
	if (rc == 0)
		rc = regconf_endpoints(c, &names[0], REGCONF_PULL, &list, &n, e);
	if (rc == 0) {
		assert_int_equal(n, 3);
		assert_string_equal(list[2].url, "https://c.d");
		regconf_endpoints_free(list, n);
	}
	regconf_free(c);
	return rc;
}

static int conf_files(void *arg, struct err *e)
{
	struct regconf_endpoint *list = NULL;
	struct regconf *c = NULL;
	struct ref r;
	uint32_t n;
	int rc;

	(void)arg;
	if (ref_parse("q.io/x", &r, e) < 0 || regconf_load(&c, e) < 0)
		return -e->code;
	rc = regconf_endpoints(c, &r, REGCONF_PULL, &list, &n, e);
	if (rc == 0) {
		assert_int_equal(n, 2); /* the mirror of registries.conf was read */
		assert_string_equal(list[1].ca, PEM);
		assert_string_equal(list[1].cert, PEM);
		assert_string_equal(list[1].key_pem, PEM);
		regconf_endpoints_free(list, n);
	}
	regconf_free(c);
	return rc;
}

/* In the file itself. */
static int credentials(void *arg, struct err *e)
{
	struct auth_cred c = { 0 };
	bool was_there;
	int rc;

	(void)arg;
	if (auth_store("q.io", "me", "secret", e) < 0)
		return -e->code;
	rc = auth_get("q.io", &c, e);
	if (rc < 0)
		return rc;
	assert_int_equal(rc, 1);
	assert_string_equal(c.user, "me");
	assert_string_equal(c.password, "secret");
	auth_cred_done(&c);
	rc = auth_erase("q.io", &was_there, e);
	if (rc == 0)
		assert_true(was_there);
	return rc;
}

/* Whatever failed: the file is whole, and what is not ours stands in it. */
static void credentials_are_whole(void *arg, int rc)
{
	struct temp_dir *d = arg;
	auto_buf b = { 0 };
	struct err e = { 0 };
	struct auth_cred c = { 0 };

	(void)rc;
	assert_int_equal(file_read_at(d->fd, "auth/config.json", 4096, &b, &e), 0);
	assert_non_null(strstr(b.data, "\"theirs\""));
	assert_true(auth_get("q.io", &c, &e) >= 0);
	auth_cred_done(&c);
}

static int helper(void *arg, struct err *e)
{
	struct auth_cred c = { 0 };
	int rc;

	(void)arg;
	if (auth_store("r.io", "me", "secret", e) < 0)
		return -e->code;
	rc = auth_get("r.io", &c, e);
	if (rc < 0)
		return rc;
	assert_int_equal(rc, 1);
	assert_string_equal(c.user, "you");
	auth_cred_done(&c);
	return 0;
}

static int answers(void *arg, struct err *e)
{
	static const char token[] = "{\"token\":\"abc\"}";
	auto_free char *got = NULL, *url = NULL, *query = NULL;

	(void)arg;
	if (token_answer_parse(token, strlen(token), &got, e) < 0 ||
	    url_resolve("https://a.b/c", "../d?x=y", &url, e) < 0 ||
	    url_add_query(url, "n", "v:w", &query, e) < 0)
		return -e->code;
	assert_string_equal(got, "abc");
	assert_string_equal(query, "https://a.b/d?x=y&n=v%3aw");
	return 0;
}

/* Texts only: nothing to return, so what does not fail is right or empty. */
static int error_text(void *arg, struct err *e)
{
	static const char text[] = "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"no\"}]}";
	struct challenge c;
	char said[80];

	(void)arg;
	error_answer_text(text, strlen(text), said, sizeof(said));
	if (*said)
		assert_string_equal(said, "DENIED: no");
	if (challenge_choose("Bearer realm=\"https://a/t\",service=\"s\"", &c, e) < 0)
		return -e->code;
	assert_string_equal(c.realm, "https://a/t");
	return 0;
}

static void put(struct temp_dir *d, const char *name, mode_t mode, const char *text)
{
	auto_free char *folder = strndup(name, (size_t)(strrchr(name, '/') - name));
	struct err e = { 0 };

	assert_int_equal(dir_make_at(d->fd, folder, 0700, &e), 0);
	assert_int_equal(file_write_atomic_at(d->fd, name, mode, text, strlen(text), &e), 0);
}

static int setup(void **state)
{
	auto_free char *path = NULL, *auth = NULL;
	struct temp_dir *d;

	if (temp_dir_setup(state) < 0)
		return -1;
	d = *state;
	put(d, "caisson/registries.conf", 0600, "[registry q.io]\nmirror = m.n\n");
	put(d, "caisson/certs.d/q.io/a.crt", 0600, PEM);
	put(d, "caisson/certs.d/q.io/client.cert", 0600, PEM);
	put(d, "caisson/certs.d/q.io/client.key", 0600, PEM);
	put(d, "auth/config.json", 0600,
	    "{\"theirs\":1,\"auths\":{\"s.io\":{}},\"credHelpers\":{\"r.io\":\"test\"}}");
	put(d, "bin/docker-credential-test", 0700,
	    "#!/bin/sh\ncat >/dev/null\n[ \"$1\" != get ] || echo '{\"ServerURL\":\"r.io\","
	    "\"Username\":\"you\",\"Secret\":\"x\"}'\n");
	unsetenv("CAISSON_REGISTRIES_CONF");
	if (asprintf(&path, "%s/bin:%s", d->path, getenv("PATH")) < 0 ||
	    asprintf(&auth, "%s/auth", d->path) < 0)
		return -1;
	return setenv("XDG_CONFIG_HOME", d->path, 1) < 0 || setenv("DOCKER_CONFIG", auth, 1) < 0 ||
	       setenv("PATH", path, 1) < 0;
}

static void each(void **state)
{
	struct temp_dir *d = *state;
	const struct failnth t[] = {
		{ "index", doc_index, NULL, NULL, FAIL_ALLOC, NULL },
		{ "manifest", doc_manifest, NULL, NULL, FAIL_ALLOC, NULL },
		{ "digests", digests, NULL, d, FAIL_ALLOC | FAIL_CALL, NULL },
		{ "registries.conf", conf_parse, NULL, NULL, FAIL_ALLOC | FAIL_CALL, NULL },
		{ "certs.d", conf_files, NULL, NULL, FAIL_ALLOC | FAIL_CALL, NULL },
		{ "credentials", credentials, credentials_are_whole, d, FAIL_ALLOC | FAIL_CALL,
		  NULL },
		{ "credential helper", helper, NULL, NULL, FAIL_ALLOC | FAIL_CALL, NULL },
		{ "answers", answers, NULL, NULL, FAIL_ALLOC, NULL },
		{ "error text", error_text, NULL, NULL, FAIL_ALLOC, NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		failnth_run(&t[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each, setup, temp_dir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
