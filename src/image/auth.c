/* SPDX-License-Identifier: MIT */
/*
 * auth.c - Docker's config.json
 *
 * Read whole, changed in memory, replaced whole with mode 0600; keys that are not ours are kept.
 * Where a helper is in charge of a host, the file holds an empty entry for it, as Docker leaves it,
 * and no secret.
 */
#include "auth.h"

#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <openssl/evp.h>
#include <string.h>

#include "auth_internal.h"
#include "fdio.h"
#include "json_text.h"
#include "ref.h"

#define DOCKER_KEY "https://index.docker.io/v1/" /* how Docker's file names docker.io */
#define DUMP_FLAGS (JSON_INDENT(8) | JSON_REAL_PRECISION(17))

static void secret_free(char *s)
{
	if (s)
		explicit_bzero(s, strlen(s));
	free(s);
}

void auth_cred_done(struct auth_cred *c)
{
	secret_free(c->user);
	secret_free(c->password);
	secret_free(c->identity_token);
	memset(c, 0, sizeof(*c));
}

/* ---- names of a registry ---- */

int auth_host(const char *registry, char ret[AUTH_HOST_SIZE], struct err *e)
{
	static const char *const docker[] = { "index.docker.io", "registry-1.docker.io",
					      "registry.docker.io", "docker.io" };
	const char *sep = strstr(registry, "://");
	const char *host = sep ? sep + 3 : registry;
	size_t n = strcspn(host, "/");

	if (n == 0 || n >= AUTH_HOST_SIZE || strcspn(host, "@ \t\r\n?#\\") < n)
		return err_plain(e, EINVAL, "\"%.200s\" is no registry", registry);
	snprintf(ret, AUTH_HOST_SIZE, "%.*s", (int)n, host);
	for (size_t i = 0; i < ARRAY_SIZE(docker); i++)
		if (strcmp(ret, docker[i]) == 0)
			snprintf(ret, AUTH_HOST_SIZE, REF_DEFAULT_HOST);
	return 0;
}

static const char *key_of(const char *host)
{
	return strcmp(host, REF_DEFAULT_HOST) == 0 ? DOCKER_KEY : host;
}

static bool key_means(const char *key, const char *host)
{
	char name[AUTH_HOST_SIZE];
	struct err ignored = { 0 };

	return auth_host(key, name, &ignored) == 0 && strcmp(name, host) == 0;
}

/* The value of the key itself, else of another key that means the same. */
static json_t *member_find(json_t *o, const char *host)
{
	json_t *v = json_object_get(o, key_of(host));
	const char *k;

	if (v)
		return v;
	json_object_foreach (o, k, v)
		if (key_means(k, host))
			return v;
	return NULL;
}

/* ---- the file ---- */

/* Links are followed: people keep the file elsewhere. ret: PATH_MAX bytes. */
static int config_path(char *ret, struct err *e)
{
	const char *dir = getenv("DOCKER_CONFIG"), *home = getenv("HOME");
	char real[PATH_MAX];
	int n;

	if (dir && *dir)
		n = snprintf(ret, PATH_MAX, "%s/config.json", dir);
	else if (home && *home)
		n = snprintf(ret, PATH_MAX, "%s/.docker/config.json", home);
	else
		return err_plain(e, ENOENT, "neither DOCKER_CONFIG nor HOME is set");
	if (n >= PATH_MAX)
		return err_set(e, ENAMETOOLONG, "config.json");
	if (realpath(ret, real))
		snprintf(ret, PATH_MAX, "%s", real);
	return 0;
}

static int config_check(const json_t *j, const char *path, struct err *e)
{
	static const char *const objects[] = { "auths", "credHelpers" };

	if (!json_is_object(j))
		return err_plain(e, EINVAL, "%s is not a JSON object", path);
	for (size_t i = 0; i < ARRAY_SIZE(objects); i++) {
		const json_t *o = json_object_get(j, objects[i]);

		if (o && !json_is_object(o))
			return err_plain(e, EINVAL, "%s: \"%s\" is no object", path, objects[i]);
	}
	return 0;
}

static int config_load(json_t **ret, struct err *e)
{
	auto_buf b = { 0 };
	char path[PATH_MAX];
	json_error_t why;
	json_t *j;
	int rc;

	rc = config_path(path, e);
	if (rc == 0)
		rc = file_read_at(AT_FDCWD, path, AUTH_FILE_MAX, &b, e);
	if (rc < 0 && e->code != ENOENT && e->code != ENOTDIR)
		return rc;
	if (rc < 0 || b.len == 0) {
		*ret = json_object();
		return *ret ? 0 : err_set(e, ENOMEM, "config.json");
	}
	j = json_parse(b.data, b.len, JSON_REJECT_DUPLICATES, &why);
	explicit_bzero(b.data, b.cap);
	if (!j)
		return err_plain(e, EINVAL, "%s:%d: %s", path, why.line, why.text);
	rc = config_check(j, path, e);
	if (rc < 0)
		json_decref(j);
	else
		*ret = j;
	return rc;
}

static int config_save(const json_t *j, struct err *e)
{
	char path[PATH_MAX], *slash, *text;
	int rc;

	if (config_path(path, e) < 0)
		return -e->code;
	slash = strrchr(path, '/');
	*slash = '\0';
	if (*path && dir_make_at(AT_FDCWD, path, 0700, e) < 0)
		return -e->code;
	*slash = '/';
	text = json_text(j, DUMP_FLAGS);
	if (!text)
		return err_set(e, ENOMEM, "%s", path);
	rc = file_write_atomic_at(AT_FDCWD, path, 0600, text, strlen(text), e);
	explicit_bzero(text, strlen(text));
	free(text);
	return rc;
}

/* ---- which place has the secret ---- */

static const char *helper_of(json_t *j, const char *host)
{
	const char *h = json_string_value(member_find(json_object_get(j, "credHelpers"), host));

	if (!h)
		h = json_string_value(json_object_get(j, "credsStore"));
	return h && *h ? h : NULL;
}

static int user_split(char *text, size_t len, struct auth_cred *c)
{
	char *colon;

	text[len] = '\0';
	colon = memchr(text, ':', strlen(text));
	if (!colon || colon == text)
		return -EINVAL;
	*colon = '\0';
	c->user = strdup(text);
	c->password = strdup(colon + 1);
	return c->user && c->password ? 0 : -ENOMEM;
}

/* "auth" is base64 of user:password. */
static int auth_decode(const char *text, struct auth_cred *c)
{
	size_t len = strlen(text), pad = 0;
	char *plain;
	int n, rc;

	if (len == 0 || len % 4 || len > AUTH_SECRET_MAX)
		return -EINVAL;
	while (pad < 2 && text[len - 1 - pad] == '=')
		pad++;
	plain = malloc(len + 1);
	if (!plain)
		return -ENOMEM;
	n = EVP_DecodeBlock((unsigned char *)plain, (const unsigned char *)text, (int)len);
	rc = n < (int)pad ? -EINVAL : user_split(plain, (size_t)n - pad, c);
	explicit_bzero(plain, len + 1);
	free(plain);
	return rc;
}

static int entry_read(const json_t *entry, const char *host, struct auth_cred *ret, struct err *e)
{
	const char *auth = json_string_value(json_object_get(entry, "auth"));
	const char *token = json_string_value(json_object_get(entry, "identitytoken"));
	const char *user = json_string_value(json_object_get(entry, "username"));
	const char *password = json_string_value(json_object_get(entry, "password"));
	struct auth_cred c = { 0 };
	int rc = 0;

	if (token && *token) {
		c.identity_token = strdup(token);
		rc = c.identity_token ? 1 : -ENOMEM;
	} else if (auth && *auth) {
		rc = auth_decode(auth, &c);
		rc = rc < 0 ? rc : 1;
	} else if (user && *user && password) {
		c.user = strdup(user);
		c.password = strdup(password);
		rc = c.user && c.password ? 1 : -ENOMEM;
	}
	if (rc <= 0) {
		auth_cred_done(&c);
		return rc == 0 ? 0
			       : err_plain(e, -rc, "config.json: the entry of %s is unreadable",
					   host);
	}
	*ret = c;
	return 1;
}

static int get_from(json_t *j, const char *host, struct auth_cred *ret, struct err *e)
{
	const char *helper = helper_of(j, host);
	const json_t *entry;
	int rc = helper ? auth_helper_get(helper, key_of(host), ret, e) : 0;

	if (rc)
		return rc;
	entry = member_find(json_object_get(j, "auths"), host);
	return entry ? entry_read(entry, host, ret, e) : 0;
}

int auth_get(const char *host, struct auth_cred *ret, struct err *e)
{
	char name[AUTH_HOST_SIZE];
	json_t *j = NULL;
	int rc;

	if (auth_host(host, name, e) < 0 || config_load(&j, e) < 0)
		return -e->code;
	rc = get_from(j, name, ret, e);
	json_decref(j);
	return rc < 0 ? err_wrap(e, "credentials") : rc;
}

/* ---- changing it ---- */

static json_t *entry_make(const char *user, const char *password)
{
	size_t plain_len = strlen(user) + 1 + strlen(password);
	char *plain = calloc(1, plain_len + 1), *text = malloc(plain_len / 3 * 4 + 8);
	json_t *entry = NULL;

	if (plain && text) {
		snprintf(plain, plain_len + 1, "%s:%s", user, password);
		EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)plain,
				(int)plain_len);
		entry = json_pack("{s:s}", "auth", text);
		explicit_bzero(text, strlen(text));
	}
	secret_free(plain);
	free(text);
	return entry;
}

/* All keys that mean the host. */
static bool members_remove(json_t *o, const char *host)
{
	bool found = false;
	const char *k;
	json_t *v;
	void *next;

	json_object_foreach_safe(o, next, k, v)
	{
		if (!key_means(k, host))
			continue;
		(void)json_object_del(o, k);
		found = true;
	}
	return found;
}

static int entry_set(json_t *j, const char *host, json_t *entry, struct err *e)
{
	json_t *auths = json_object_get(j, "auths");

	if (!auths) {
		auths = json_object();
		if (json_object_set_new(j, "auths", auths) < 0)
			auths = NULL;
	}
	if (auths)
		(void)members_remove(auths, host);
	if (!auths || !entry || json_object_set(auths, key_of(host), entry) < 0) {
		json_decref(entry);
		return err_set(e, ENOMEM, "config.json");
	}
	json_decref(entry);
	return 0;
}

static int store_into(json_t *j, const char *host, const char *user, const char *password,
		      struct err *e)
{
	const char *helper = helper_of(j, host);

	if (helper && auth_helper_store(helper, key_of(host), user, password, e) < 0)
		return -e->code;
	if (entry_set(j, host, helper ? json_object() : entry_make(user, password), e) < 0)
		return -e->code;
	return config_save(j, e);
}

int auth_store(const char *host, const char *user, const char *password, struct err *e)
{
	char name[AUTH_HOST_SIZE];
	json_t *j = NULL;
	int rc;

	if (!*user || strchr(user, ':') || strlen(user) + strlen(password) > AUTH_SECRET_MAX / 2)
		return err_plain(e, EINVAL,
				 "the user's name is empty or has a colon, or is too long");
	if (auth_host(host, name, e) < 0 || config_load(&j, e) < 0)
		return -e->code;
	rc = store_into(j, name, user, password, e);
	json_decref(j);
	return rc < 0 ? err_wrap(e, "store credentials") : 0;
}

static int erase_from(json_t *j, const char *host, bool *ret_was_there, struct err *e)
{
	const char *helper = helper_of(j, host);
	struct auth_cred c = { 0 };
	int rc = helper ? auth_helper_get(helper, key_of(host), &c, e) : 0;

	auth_cred_done(&c);
	if (rc < 0 || (rc > 0 && auth_helper_erase(helper, key_of(host), e) < 0))
		return -e->code;
	*ret_was_there = rc > 0;
	if (!members_remove(json_object_get(j, "auths"), host))
		return 0;
	*ret_was_there = true;
	return config_save(j, e);
}

int auth_erase(const char *host, bool *ret_was_there, struct err *e)
{
	char name[AUTH_HOST_SIZE];
	json_t *j = NULL;
	int rc;

	if (auth_host(host, name, e) < 0 || config_load(&j, e) < 0)
		return -e->code;
	rc = erase_from(j, name, ret_was_there, e);
	json_decref(j);
	return rc < 0 ? err_wrap(e, "erase credentials") : 0;
}
