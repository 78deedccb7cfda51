/* SPDX-License-Identifier: MIT */
/* test_regconf.c - registries.conf and certs.d: what is read, what is refused, where a name leads
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "fdio.h"
#include "regconf.h"
#include "temp_dir.h"

#define PEM "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"

static struct regconf *conf_of(const char *text)
{
	struct regconf *c = NULL;
	struct err e = { 0 };

	assert_int_equal(regconf_new(&c, &e), 0);
	if (regconf_parse(c, "f", text, strlen(text), &e) < 0)
		fail_msg("%s", e.msg);
	return c;
}

static void refused(void **state)
{
	static const struct {
		const char *text, *says;
	} t[] = {
		{ "key = value\n", "f:1: key outside of a section" },
		{ "\n# x\nnonsense\n", "f:3: neither" },
		{ "[search\n", "f:1: \"]\" is missing" },
		{ "[]\n", "f:1: unknown section" },
		{ "[serch]\n", "f:1: unknown section" },
		{ "[registry]\n", "f:1: unknown section" },
		{ "[registry ]\n", "f:1: not a HOST" },
		{ "[registry debian]\n", "f:1: not a HOST" },
		{ "[registry a.b:99999999]\n", "f:1: not a HOST" },
		{ "[registry a.b/x:tag]\n", "f:1: not a HOST" },
		{ "[registry a.b/../x]\n", "f:1: not a HOST" },
		{ "[registry a.b/x@sha256:0]\n", "f:1: not a HOST" },
		{ "[registry https://a.b]\n", "f:1: not a HOST" },
		{ "[registry *.b]\n", "f:1: not a HOST" },
		{ "[registry a.b]\n[registry a.b]\n", "f:2: a second section" },
		{ "[registry a.b]\ntls\n", "f:2: neither" },
		{ "[registry a.b]\ntls =\n", "f:2: key or value" },
		{ "[registry a.b]\n= on\n", "f:2: key or value" },
		{ "[registry a.b]\ntls = yes\n", "f:2: tls is" },
		{ "[registry a.b]\ntls = On\n", "f:2: tls is" },
		{ "[registry a.b]\ntls = on\ntls = on\n", "f:3: said twice" },
		{ "[registry a.b]\ninsecure = yes\n", "f:2: unknown key" },
		{ "[registry a.b]\nblocked = true\n", "f:2: blocked is" },
		{ "[registry a.b]\nlocation = c\n", "f:2: not a HOST" },
		{ "[registry a.b]\nlocation = c.d\nlocation = c.d\n", "f:3: said twice" },
		{ "[registry a.b]\nmirror = ftp://c.d\n", "f:2: neither http" },
		{ "[registry a.b]\nmirror = file:///etc\n", "f:2: neither http" },
		{ "[registry a.b]\nmirror = http://u:p@c.d\n", "f:2: not a HOST" },
		{ "[registry a.b]\nmirror = c.d e.f\n", "f:2: not a HOST" },
		{ "[registry a.b]\nmirror = c.d/x?y\n", "f:2: not a HOST" },
		{ "[search]\nregistry = a.b\n", "f:2: unknown key" },
		{ "[search]\nregistries = a.b debian\n", "f:2: not a HOST" },
		{ "[search]\nregistries = a.b/x\n", "f:2: not a HOST" },
		{ "[search]\nregistries = a.b\nregistries = c.d\n", "f:3: said twice" },
		{ "[search]\nregistries = a.a a.b a.c a.d a.e a.f a.g a.h a.i\n", "f:2: too many" },
		{ "[alias]\na.b/c = d.e/f\n", "f:2: not a name without host" },
		{ "[alias]\nc:1 = d.e/f\n", "f:2: not a name without host" },
		{ "[alias]\nC = d.e/f\n", "f:2: not a name without host" },
		{ "[alias]\nc = d.e/f:1\n", "f:2: not a name without a tag" },
		{ "[alias]\nc = d.e/\n", "f:2: not a name without a tag" },
		{ "[alias]\nc = d.e/f\nc = d.e/g\n", "f:3: said twice" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct regconf *c = NULL;
		struct err e = { 0 };

		assert_int_equal(regconf_new(&c, &e), 0);
		assert_int_equal(regconf_parse(c, "f", t[i].text, strlen(t[i].text), &e), -EINVAL);
		if (strncmp(e.msg, t[i].says, strlen(t[i].says)) != 0)
			fail_msg("%s: %s", t[i].text, e.msg);
		regconf_free(c);
	}
}

static void odd_bytes(void **state)
{
	static const char zero[] = "[search]\0\n";
	auto_free char *line = malloc(5000);
	struct regconf *c = NULL;
	struct err e = { 0 };

	(void)state;
	assert_non_null(line);
	memset(line, 'a', 5000);
	assert_int_equal(regconf_new(&c, &e), 0);
	assert_int_equal(regconf_parse(c, "f", zero, sizeof(zero) - 1, &e), -EINVAL);
	assert_int_equal(regconf_parse(c, "f", line, 5000, &e), -EINVAL);
	assert_int_equal(regconf_parse(c, "f", line, REGCONF_FILE_MAX + 1, &e), -EINVAL);
	assert_int_equal(regconf_parse(c, "f", "", 0, &e), 0);
	assert_int_equal(regconf_parse(c, "f", "\r\n \t\n#", 6, &e), 0);
	regconf_free(c);
}

static void too_many(void **state)
{
	auto_buf b = { 0 };
	struct regconf *c = NULL;
	struct err e = { 0 };

	(void)state;
	for (unsigned i = 0; i <= REGCONF_SECTIONS_MAX; i++)
		assert_int_equal(buf_addf(&b, "[registry h%u.x]\n", i), 0);
	assert_int_equal(regconf_new(&c, &e), 0);
	assert_int_equal(regconf_parse(c, "f", b.data, b.len, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "too many sections"));
	buf_clear(&b);
	assert_int_equal(buf_add_str(&b, "[registry h0.x]\n"), 0); /* known: room for it */
	for (unsigned i = 0; i <= REGCONF_MIRRORS_MAX; i++)
		assert_int_equal(buf_addf(&b, "mirror = h%u.x\n", i), 0);
	assert_int_equal(regconf_parse(c, "f", b.data, b.len, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "too many mirrors"));
	regconf_free(c);
}

/* "URL repository KEY[ mirror][ skip]; ..." */
static void endpoints_text(const struct regconf *c, const char *name, enum regconf_use use,
			   struct buf *b)
{
	struct regconf_endpoint *list = NULL;
	struct err e = { 0 };
	uint32_t n = 0;
	struct ref r;

	assert_int_equal(ref_parse(name, &r, &e), 0);
	if (regconf_endpoints(c, &r, use, &list, &n, &e) < 0) {
		assert_int_equal(buf_addf(b, "error %d", e.code), 0);
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(buf_addf(b, "%s%s %s %s%s%s", i ? "; " : "", list[i].url,
					  list[i].repository, list[i].key,
					  list[i].is_mirror ? " mirror" : "",
					  list[i].skip_verify ? " skip" : ""),
				 0);
	regconf_endpoints_free(list, n);
}

static void places(void **state)
{
	static const struct {
		const char *conf, *name, *endpoints;
		enum regconf_use use;
	} t[] = {
		{ "", "nginx", "https://registry-1.docker.io library/nginx docker.io", 0 },
		{ "", "q.io/a/b:1", "https://q.io a/b q.io", 0 },
		/* loopback is plain, what only looks like it is not */
		{ "", "localhost/x", "http://localhost x localhost", 0 },
		{ "", "localhost:5000/x", "http://localhost:5000 x localhost:5000", 0 },
		{ "", "127.0.0.1:5000/x", "http://127.0.0.1:5000 x 127.0.0.1:5000", 0 },
		{ "", "127.9.8.7/x", "http://127.9.8.7 x 127.9.8.7", 0 },
		{ "", "[::1]:5000/x", "http://[::1]:5000 x [::1]:5000", 0 },
		{ "", "127.0.0.1.evil.io/x", "https://127.0.0.1.evil.io x 127.0.0.1.evil.io", 0 },
		{ "", "127.evil.io/x", "https://127.evil.io x 127.evil.io", 0 },
		{ "", "localhost.evil.io/x", "https://localhost.evil.io x localhost.evil.io", 0 },
		{ "", "128.0.0.1/x", "https://128.0.0.1 x 128.0.0.1", 0 },
		{ "", "[::2]/x", "https://[::2] x [::2]", 0 },
		{ "[registry localhost]\ntls = on\n", "localhost/x",
		  "https://localhost x localhost", 0 },
		/* another port is another registry */
		{ "[registry q.io]\ntls = off\n", "q.io:5000/x", "https://q.io:5000 x q.io:5000",
		  0 },
		{ "[registry q.io]\ntls = off\n", "q.io/x", "http://q.io x q.io", 0 },
		{ "[registry q.io]\ntls = skip-verify\n", "q.io/x", "https://q.io x q.io skip", 0 },
		{ "[registry q.io]\nblocked = yes\n", "q.io/x", "error 1", 0 },
		{ "[registry q.io/a]\nblocked = yes\n", "q.io/a", "error 1", 0 },
		{ "[registry q.io/a]\nblocked = yes\n", "q.io/ab", "https://q.io ab q.io", 0 },
		/* mirrors: in order, for pulling only */
		{ "[registry docker.io]\nmirror = m.io\nmirror=http://n.io:80/hub\n", "nginx",
		  "https://m.io library/nginx m.io mirror; http://n.io:80 hub/library/nginx n.io:80 "
		  "mirror; https://registry-1.docker.io library/nginx docker.io",
		  REGCONF_PULL },
		{ "[registry docker.io]\nmirror = m.io\n", "nginx",
		  "https://registry-1.docker.io library/nginx docker.io", REGCONF_PUSH },
		{ "[registry docker.io]\nmirror = m.io\n[registry m.io]\ntls = off\n", "nginx",
		  "http://m.io library/nginx m.io mirror; https://registry-1.docker.io library/nginx "
		  "docker.io",
		  0 },
		/* what is said of the registry does not hold for its mirrors */
		{ "[registry q.io]\ntls = off\nmirror = m.io\n", "q.io/x",
		  "https://m.io x m.io mirror; http://q.io x q.io", 0 },
		/* location: replaces the prefix; the longest one counts */
		{ "[registry q.io]\nlocation = r.io/p\n[registry q.io/a]\nlocation = s.io\n",
		  "q.io/a/b", "https://s.io b s.io", 0 },
		{ "[registry q.io]\nlocation = r.io/p\n[registry q.io/a]\nlocation = s.io\n",
		  "q.io/b", "https://r.io p/b r.io", 0 },
		{ "[registry q.io/a/b]\nlocation = s.io/c/d\n", "q.io/a/b", "https://s.io c/d s.io",
		  0 },
		{ "[registry q.io]\nlocation = http://r.io\ntls = on\n", "q.io/b",
		  "http://r.io b r.io", 0 },
		{ "[registry index.docker.io]\nblocked = yes\n", "nginx", "error 1", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct regconf *c = conf_of(t[i].conf);
		auto_buf b = { 0 };

		endpoints_text(c, t[i].name, t[i].use, &b);
		if (strcmp(b.data, t[i].endpoints) != 0)
			fail_msg("%s%s: %s", t[i].conf, t[i].name, b.data);
		regconf_free(c);
	}
}

static void short_names(void **state)
{
	static const struct {
		const char *conf, *text, *names;
	} t[] = {
		{ "", "x", "docker.io/library/x:latest " },
		{ "[search]\nregistries = q.io  docker.io\n", "x:1",
		  "q.io/x:1 docker.io/library/x:1 " },
		{ "[search]\nregistries = q.io\n", "a/x", "q.io/a/x:latest " },
		{ "[search]\nregistries = q.io\n", "r.io/x", "r.io/x:latest " },
		{ "[search]\nregistries = q.io\n", "localhost/x", "localhost/x:latest " },
		{ "[alias]\nx = q.io/y/z\n", "x:1", "q.io/y/z:1 " },
		{ "[alias]\nx = q.io/y/z\n", "a/x", "docker.io/a/x:latest " },
		{ "[alias]\nx = q.io/y/z\n", "xx", "docker.io/library/xx:latest " },
		{ "[alias]\nx = q.io/y/z\n", "docker.io/x", "docker.io/library/x:latest " },
		{ "[alias]\nx = q.io/y\n[search]\nregistries = r.io\n", "x", "q.io/y:latest " },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct regconf *c = conf_of(t[i].conf);
		struct ref names[REGCONF_SEARCH_MAX];
		struct err e = { 0 };
		auto_buf b = { 0 };
		uint32_t n;

		assert_int_equal(regconf_resolve(c, t[i].text, names, &n, &e), 0);
		for (uint32_t k = 0; k < n; k++) {
			char text[REF_NORMAL_SIZE];

			ref_format(&names[k], text, sizeof(text));
			assert_int_equal(buf_addf(&b, "%s ", text), 0);
		}
		assert_string_equal(b.data, t[i].names);
		assert_int_equal(regconf_resolve(c, "a//b", names, &n, &e), -EINVAL);
		regconf_free(c);
	}
}

/* A later file replaces sections, and leaves the others. */
static void two_files(void **state)
{
	static const char second[] = "[registry a.b]\ntls = on\n";
	struct regconf *c = conf_of("[registry a.b]\ntls = off\n[registry c.d]\ntls = off\n");
	struct err e = { 0 };
	auto_buf b = { 0 };

	(void)state;
	assert_int_equal(regconf_parse(c, "g", second, strlen(second), &e), 0);
	endpoints_text(c, "a.b/x", REGCONF_PULL, &b);
	endpoints_text(c, "c.d/x", REGCONF_PULL, &b);
	assert_string_equal(b.data, "https://a.b x a.bhttp://c.d x c.d");
	regconf_free(c);
}

static void file_put(const char *name, const char *text)
{
	char path[400];
	struct err e = { 0 };

	snprintf(path, sizeof(path), "%s/caisson/%s", temp_dir.path, name);
	*strrchr(path, '/') = '\0';
	assert_int_equal(dir_make_at(AT_FDCWD, path, 0700, &e), 0);
	snprintf(path, sizeof(path), "%s/caisson/%s", temp_dir.path, name);
	assert_int_equal(file_write_atomic_at(AT_FDCWD, path, 0600, text, strlen(text), &e), 0);
}

static int endpoint_get(const char *name, struct regconf_endpoint **ret, uint32_t *ret_n,
			struct err *e)
{
	struct regconf *c = NULL;
	struct ref r;
	int rc;

	assert_int_equal(ref_parse(name, &r, e), 0);
	rc = regconf_load(&c, e);
	if (rc == 0)
		rc = regconf_endpoints(c, &r, REGCONF_PULL, ret, ret_n, e);
	regconf_free(c);
	return rc;
}

static void certs(void **state)
{
	struct regconf_endpoint *list;
	struct err e = { 0 };
	uint32_t n;

	(void)state;
	file_put("certs.d/localhost:5000/a.crt", PEM);
	file_put("certs.d/localhost:5000/b.crt", PEM);
	file_put("certs.d/localhost:5000/notes.txt", "not a certificate");
	file_put("certs.d/q.io/client.cert", PEM);
	assert_int_equal(endpoint_get("localhost:5000/x", &list, &n, &e), 0);
	assert_string_equal(list[0].url, "https://localhost:5000"); /* known, so TLS is meant */
	assert_string_equal(list[0].ca, PEM PEM);
	assert_null(list[0].cert);
	regconf_endpoints_free(list, n);

	assert_int_equal(endpoint_get("q.io/x", &list, &n, &e), -ENOENT); /* no client.key */
	assert_non_null(strstr(e.msg, "client.key"));
	file_put("certs.d/q.io/client.key", PEM);
	assert_int_equal(endpoint_get("q.io/x", &list, &n, &e), 0);
	assert_string_equal(list[0].key_pem, PEM);
	regconf_endpoints_free(list, n);
	file_put("certs.d/q.io/second.cert", PEM);
	assert_int_equal(endpoint_get("q.io/x", &list, &n, &e), -EINVAL);

	file_put("certs.d/r.io/a.crt", "binary");
	assert_int_equal(endpoint_get("r.io/x", &list, &n, &e), -EINVAL);
	file_put("registries.conf", "[registry r.io]\ntls = off\n");
	assert_int_equal(endpoint_get("r.io/x", &list, &n, &e), 0); /* no TLS, no certificates */
	regconf_endpoints_free(list, n);
	file_put("registries.conf", "[registry");
	assert_int_equal(endpoint_get("r.io/x", &list, &n, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "registries.conf:1: "));
	setenv("CAISSON_REGISTRIES_CONF", "/nonexistent/x", 1);
	assert_int_equal(endpoint_get("r.io/x", &list, &n, &e), -ENOENT);
	unsetenv("CAISSON_REGISTRIES_CONF");
}

static int home_make(void **state)
{
	unsetenv("CAISSON_REGISTRIES_CONF");
	return temp_dir_setup(state) < 0 || setenv("XDG_CONFIG_HOME", temp_dir.path, 1) < 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused),     cmocka_unit_test(odd_bytes),
		cmocka_unit_test(too_many),    cmocka_unit_test(places),
		cmocka_unit_test(short_names), cmocka_unit_test(two_files),
		cmocka_unit_test(certs),
	};

	return cmocka_run_group_tests(tests, home_make, temp_dir_teardown);
}
