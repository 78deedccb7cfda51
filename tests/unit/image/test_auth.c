/* SPDX-License-Identifier: MIT */
/* test_auth.c - Docker's config.json: reading, changing, helpers */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "auth.h"
#include "fdio.h"
#include "temp_dir.h"

/* Keeps what it was told in files beside it; the server's name "quiet" has none. */
static const char helper[] =
	"#!/bin/sh\n"
	"d=$(dirname \"$0\")\n"
	"case $1 in\n"
	"get) read -r s; [ -e \"$d/kept\" ] || { echo 'credentials not found in native keychain'; exit 1; }\n"
	"	echo \"$s\" >\"$d/asked\"; cat \"$d/kept\";;\n"
	"store) cat >\"$d/kept\";;\n"
	"erase) rm \"$d/kept\";;\n"
	"esac\n";

static void put(const char *name, const char *text, mode_t mode)
{
	struct err e = { 0 };

	assert_int_equal(file_write_atomic_at(temp_dir.fd, name, mode, text, strlen(text), &e), 0);
}

static char *get(const char *name)
{
	struct buf b = { 0 };
	struct err e = { 0 };

	assert_int_equal(file_read_at(temp_dir.fd, name, 1 << 20, &b, &e), 0);
	return buf_take_str(&b);
}

static void hosts(void **state)
{
	static const struct {
		const char *text, *host;
	} t[] = {
		{ "docker.io", "docker.io" },
		{ "https://index.docker.io/v1/", "docker.io" },
		{ "index.docker.io", "docker.io" },
		{ "registry-1.docker.io", "docker.io" },
		{ "localhost:5000", "localhost:5000" },
		{ "http://localhost:5000/v2/", "localhost:5000" },
		{ "https://q.io", "q.io" },
		{ "q.io/a/b", "q.io" },
		{ "docker.io.evil.io", "docker.io.evil.io" },
		{ "", NULL },
		{ "https://", NULL },
		{ "/v1/", NULL },
		{ "https://user@q.io", NULL },
		{ "q.io docker.io", NULL },
		{ "q.io\n", NULL },
		{ "q.io?x", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		char host[AUTH_HOST_SIZE];
		struct err e = { 0 };

		assert_int_equal(auth_host(t[i].text, host, &e), t[i].host ? 0 : -EINVAL);
		if (t[i].host)
			assert_string_equal(host, t[i].host);
	}
}

static void entries(void **state)
{
	static const struct {
		const char *file, *host;
		int rc;
		const char *user, *password, *token;
	} t[] = {
		/* bWU6c2VjOnJldA== is me:sec:ret */
		{ "{'auths':{'q.io':{'auth':'bWU6c2VjOnJldA=='}}}", "q.io", 1, "me", "sec:ret",
		  NULL },
		{ "{'auths':{'https://q.io/v2/':{'auth':'bWU6c2VjOnJldA=='}}}", "q.io", 1, "me",
		  "sec:ret", NULL },
		{ "{'auths':{'https://index.docker.io/v1/':{'auth':'bWU6c2VjOnJldA=='}}}",
		  "docker.io", 1, "me", "sec:ret", NULL },
		{ "{'auths':{'docker.io':{'auth':'bWU6c2VjOnJldA=='}}}", "docker.io", 1, "me",
		  "sec:ret", NULL },
		{ "{'auths':{'q.io':{'username':'u','password':''}}}", "q.io", 1, "u", "", NULL },
		{ "{'auths':{'q.io':{'auth':'bWU6','identitytoken':'T'}}}", "q.io", 1, NULL, NULL,
		  "T" },
		/* nobody else's */
		{ "{'auths':{'q.io':{'auth':'bWU6c2VjOnJldA=='}}}", "q.io:5000", 0, NULL, NULL,
		  NULL },
		{ "{'auths':{'q.io':{'auth':'bWU6c2VjOnJldA=='}}}", "x.q.io", 0, NULL, NULL, NULL },
		{ "{'auths':{'q.io':{'auth':'bWU6c2VjOnJldA=='}}}", "docker.io", 0, NULL, NULL,
		  NULL },
		{ "{'auths':{'q.io':{}}}", "q.io", 0, NULL, NULL, NULL },
		{ "{'auths':{'q.io':null}}", "q.io", 0, NULL, NULL, NULL },
		{ "{}", "q.io", 0, NULL, NULL, NULL },
		{ "", "q.io", 0, NULL, NULL, NULL },
		/* broken */
		{ "{", "q.io", -EINVAL, NULL, NULL, NULL },
		{ "[]", "q.io", -EINVAL, NULL, NULL, NULL },
		{ "{'auths':[]}", "q.io", -EINVAL, NULL, NULL, NULL },
		{ "{'auths':{},'auths':{}}", "q.io", -EINVAL, NULL, NULL, NULL },
		{ "{'credHelpers':'x'}", "q.io", -EINVAL, NULL, NULL, NULL },
		{ "{'auths':{'q.io':{'auth':'bWU6c2VjOnJldA'}}}", "q.io", -EINVAL, NULL, NULL,
		  NULL },
		{ "{'auths':{'q.io':{'auth':'!!!!'}}}", "q.io", -EINVAL, NULL, NULL, NULL },
		{ "{'auths':{'q.io':{'auth':'bWU='}}}", "q.io", -EINVAL, NULL, NULL,
		  NULL }, /* me */
		{ "{'auths':{'q.io':{'auth':'OnB3'}}}", "q.io", -EINVAL, NULL, NULL,
		  NULL }, /* :pw */
		{ "{'auths':{'q.io':{'auth':'===='}}}", "q.io", -EINVAL, NULL, NULL, NULL },
		/* helpers that cannot be */
		{ "{'credsStore':'../../bin/sh'}", "q.io", -EINVAL, NULL, NULL, NULL },
		{ "{'credsStore':'a b'}", "q.io", -EINVAL, NULL, NULL, NULL },
		{ "{'credsStore':'caisson-not-there'}", "q.io", -ENOENT, NULL, NULL, NULL },
		{ "{'credHelpers':{'r.io':'caisson-not-there'}}", "q.io", 0, NULL, NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_free char *text = strdup(t[i].file);
		struct auth_cred c = { 0 };
		struct err e = { 0 };

		for (char *p = text; (p = strchr(p, '\''));)
			*p = '"';
		put("config.json", text, 0600);
		if (auth_get(t[i].host, &c, &e) != t[i].rc)
			fail_msg("%s: %d %s", text, e.code, e.msg);
		assert_int_equal(t[i].user != NULL, c.user != NULL);
		assert_int_equal(t[i].token != NULL, c.identity_token != NULL);
		if (t[i].user) {
			assert_string_equal(c.user, t[i].user);
			assert_string_equal(c.password, t[i].password);
		}
		if (t[i].token)
			assert_string_equal(c.identity_token, t[i].token);
		auth_cred_done(&c);
	}
}

static void change(void **state)
{
	struct auth_cred c = { 0 };
	auto_free char *text = NULL;
	struct err e = { 0 };
	char path[300];
	struct stat st;
	bool was;

	(void)state;
	put("config.json",
	    "{\"HttpHeaders\":{\"a\":\"b\"},\"auths\":{\"docker.io\":{},"
	    "\"q.io\":{\"auth\":\"YTpi\"}},\"plugins\":{\"z\":1}}",
	    0644);
	assert_int_equal(auth_store("docker.io", "me", "p:\303\244", &e), 0);
	assert_int_equal(auth_get("index.docker.io", &c, &e), 1);
	assert_string_equal(c.user, "me");
	assert_string_equal(c.password, "p:\303\244");
	auth_cred_done(&c);
	text = get("config.json");
	assert_non_null(strstr(text, "HttpHeaders"));
	assert_non_null(strstr(text, "plugins"));
	assert_non_null(strstr(text, "https://index.docker.io/v1/"));
	assert_null(strstr(text, "\"docker.io\"")); /* one name of it is enough */
	snprintf(path, sizeof(path), "%s/config.json", temp_dir.path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);

	assert_int_equal(auth_store("q.io", "", "x", &e), -EINVAL);
	assert_int_equal(auth_store("q.io", "a:b", "x", &e), -EINVAL);
	assert_int_equal(auth_erase("docker.io", &was, &e), 0);
	assert_true(was);
	assert_int_equal(auth_erase("docker.io", &was, &e), 0);
	assert_false(was);
	assert_int_equal(auth_get("docker.io", &c, &e), 0);
	assert_int_equal(auth_get("q.io", &c, &e), 1);
	auth_cred_done(&c);
}

/* A link stays a link; a broken file is not overwritten. */
static void link_and_broken(void **state)
{
	auto_free char *text = NULL, *broken = NULL;
	char path[300];
	struct err e = { 0 };
	struct stat st;

	(void)state;
	snprintf(path, sizeof(path), "%s/config.json", temp_dir.path);
	unlink(path);
	put("real.json", "{}", 0600);
	assert_int_equal(symlink("real.json", path), 0);
	assert_int_equal(auth_store("q.io", "u", "p", &e), 0);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	text = get("real.json");
	assert_non_null(strstr(text, "q.io"));
	unlink(path);
	put("config.json", "{ broken", 0600);
	assert_int_equal(auth_store("q.io", "u", "p", &e), -EINVAL);
	broken = get("config.json");
	assert_string_equal(broken, "{ broken");
}

static void helpers(void **state)
{
	struct auth_cred c = { 0 };
	auto_free char *asked = NULL, *file = NULL;
	struct err e = { 0 };
	bool was;

	(void)state;
	put("docker-credential-t", helper, 0700);
	put("docker-credential-loud", "#!/bin/sh\nyes\n", 0700);
	put("docker-credential-odd", "#!/bin/sh\necho '{\"Username\":1}'\n", 0700);
	put("docker-credential-bad", "#!/bin/sh\necho no keyring; exit 2\n", 0700);
	put("config.json",
	    "{\"credsStore\":\"t\",\"credHelpers\":{\"odd.io\":\"odd\",\"loud.io\":\"loud\","
	    "\"bad.io\":\"bad\"}}",
	    0600);
	assert_int_equal(auth_get("q.io", &c, &e), 0);
	assert_int_equal(auth_store("docker.io", "me", "\"'secret", &e), 0);
	file = get("config.json");
	assert_non_null(strstr(file, "https://index.docker.io/v1/"));
	assert_null(strstr(file, "\"auth\""));
	assert_int_equal(auth_get("docker.io", &c, &e), 1);
	assert_string_equal(c.password, "\"'secret");
	auth_cred_done(&c);
	asked = get("asked");
	assert_string_equal(asked, "https://index.docker.io/v1/\n");
	put("kept", "{\"Username\":\"<token>\",\"Secret\":\"T\"}", 0600);
	assert_int_equal(auth_get("q.io", &c, &e), 1);
	assert_null(c.user);
	assert_string_equal(c.identity_token, "T");
	auth_cred_done(&c);
	assert_int_equal(auth_erase("docker.io", &was, &e), 0);
	assert_true(was);
	assert_int_equal(auth_erase("docker.io", &was, &e), 0);
	assert_false(was);

	assert_int_equal(auth_get("odd.io", &c, &e), -EBADMSG);
	assert_int_equal(auth_get("loud.io", &c, &e), -EFBIG);
	assert_int_equal(auth_get("bad.io", &c, &e), -EIO);
	assert_non_null(strstr(e.msg, "no keyring"));
}

static int dir_make(void **state)
{
	auto_free char *path = NULL;

	if (temp_dir_setup(state) < 0 ||
	    asprintf(&path, "%s:%s", temp_dir.path, getenv("PATH")) < 0)
		return -1;
	return setenv("DOCKER_CONFIG", temp_dir.path, 1) < 0 || setenv("PATH", path, 1) < 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts),   cmocka_unit_test(entries),
		cmocka_unit_test(change),  cmocka_unit_test(link_and_broken),
		cmocka_unit_test(helpers),
	};

	return cmocka_run_group_tests(tests, dir_make, temp_dir_teardown);
}
