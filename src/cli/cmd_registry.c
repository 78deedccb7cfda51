/* SPDX-License-Identifier: MIT */
/* cmd_registry.c - pull, push, login, logout */
#include <string.h>

#include "fdio.h"
#include "options.h"
#include "progress.h"
#include "ref.h"
#include "term.h"
#include "text.h"

#define USER_MAX     512U
#define PASSWORD_MAX (64U << 10) /* tokens are long */
#define REGISTRY_MAX 256

/* The full name; says so when "latest" is what nobody wrote. */
static int name_expand(const char *name, bool is_quiet, char ret[REF_NORMAL_SIZE], struct err *e)
{
	const char *slash = strrchr(name, '/');
	struct ref r;

	if (ref_parse(name, &r, e) < 0)
		return -e->code;
	ref_format(&r, ret, REF_NORMAL_SIZE);
	if (is_quiet || strchr(name, '@') || strchr(slash ? slash : name, ':'))
		return 0;
	puts("Using default tag: latest");
	fflush(stdout);
	return 0;
}

int cmd_pull(struct cli *c, const void *options, const struct args *a)
{
	const struct pull_flags *o = options;
	const struct pull_options pull = { .platform = o->platform, .is_quiet = o->is_quiet };
	struct pulled done = { 0 };
	char full[REF_NORMAL_SIZE];
	struct progress *p = NULL;
	struct engine *g;
	struct err e = { 0 };
	int rc = name_expand(a->v[0], o->is_quiet, full, &e);

	if (rc == 0)
		rc = cli_engine(c, &g, &e);
	if (rc == 0)
		rc = progress_new(STDOUT_FILENO, o->is_quiet ? PROGRESS_QUIET : PROGRESS_PULL, &p,
				  &e);
	if (rc == 0)
		rc = engine_pull(g, a->v[0], &pull, progress_ops(p), &done, &e);
	progress_free(p);
	if (rc < 0)
		return cli_fail(&e, 1);
	puts(done.ref);
	return 0;
}

int cmd_push(struct cli *c, const void *options, const struct args *a)
{
	const struct push_flags *o = options;
	auto_free char *digest = NULL;
	char full[REF_NORMAL_SIZE];
	struct progress *p = NULL;
	struct engine *g;
	struct err e = { 0 };
	int rc = name_expand(a->v[0], o->is_quiet, full, &e);

	if (rc == 0)
		rc = cli_engine(c, &g, &e);
	if (rc == 0)
		rc = progress_new(STDOUT_FILENO, o->is_quiet ? PROGRESS_QUIET : PROGRESS_PUSH, &p,
				  &e);
	if (rc == 0)
		rc = engine_push(g, a->v[0], progress_ops(p), &digest, &e);
	progress_free(p);
	if (rc < 0)
		return cli_fail(&e, 1);
	if (o->is_quiet)
		puts(full);
	return 0;
}

/* ---- login, logout ---- */

static int flags_check(const struct login_flags *o, struct err *e)
{
	if (o->password && o->password_stdin)
		return err_plain(e, EINVAL,
				 "conflicting options: cannot specify both --password and "
				 "--password-stdin");
	if (o->password_stdin && (!o->user || !*o->user))
		return err_plain(e, EINVAL,
				 "the --password-stdin option requires --username to be set");
	if (o->password)
		fputs("WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n",
		      stderr);
	return 0;
}

static int terminal_need(struct err *e)
{
	return isatty(STDIN_FILENO)
		       ? 0
		       : err_plain(e, ENOTTY,
				   "cannot perform an interactive login from a non TTY device");
}

/* All of stdin but the newline at its end. */
static int password_read(char *ret, struct err *e)
{
	auto_buf b = BUF_LIMIT(PASSWORD_MAX - 1);
	int rc = fd_read_all(STDIN_FILENO, &b);

	if (rc < 0)
		return err_set(e, -rc, "read the password");
	if (b.len > 0 && b.data[b.len - 1] == '\n')
		b.data[--b.len] = 0;
	if (b.len > 0 && b.data[b.len - 1] == '\r')
		b.data[--b.len] = 0;
	if (b.len == 0)
		return err_plain(e, EINVAL, "password required");
	memcpy(ret, b.data, b.len + 1);
	explicit_bzero(b.data, b.len);
	return 0;
}

static int password_get(const struct login_flags *o, char *ret, struct err *e)
{
	if (o->password_stdin)
		return password_read(ret, e);
	if (!o->password) {
		if (terminal_need(e) < 0 || term_ask("Password: ", true, ret, PASSWORD_MAX, e) < 0)
			return -e->code;
		return *ret ? 0 : err_plain(e, EINVAL, "password required");
	}
	if (strlen(o->password) >= PASSWORD_MAX)
		return err_plain(e, EINVAL, "the password is too long");
	memcpy(ret, o->password, strlen(o->password) + 1);
	return 0;
}

static int user_get(const struct login_flags *o, char ret[USER_MAX], struct err *e)
{
	if (!o->user || !*o->user) {
		if (terminal_need(e) < 0 || term_ask("Username: ", false, ret, USER_MAX, e) < 0)
			return -e->code;
		return *ret ? 0 : err_plain(e, EINVAL, "username required");
	}
	if (strlen(o->user) >= USER_MAX)
		return err_plain(e, EINVAL, "the user name is too long");
	memcpy(ret, o->user, strlen(o->user) + 1);
	return 0;
}

int cmd_login(struct cli *c, const void *options, const struct args *a)
{
	const struct login_flags *o = options;
	auto_free char *password = calloc(1, PASSWORD_MAX);
	char user[USER_MAX];
	struct engine *g;
	struct err e = { 0 };
	int rc = password ? flags_check(o, &e) : err_set(&e, ENOMEM, "login");

	if (rc == 0)
		rc = user_get(o, user, &e);
	if (rc == 0)
		rc = password_get(o, password, &e);
	if (rc == 0)
		rc = cli_engine(c, &g, &e);
	if (rc == 0)
		rc = engine_login(g, a->n ? a->v[0] : NULL, user, password, &e);
	if (password)
		explicit_bzero(password, PASSWORD_MAX);
	if (rc < 0)
		return cli_fail(&e, 1);
	puts("Login Succeeded");
	return 0;
}

int cmd_logout(struct cli *c, const void *options, const struct args *a)
{
	const char *registry = a->n ? a->v[0] : REF_DEFAULT_HOST;
	auto_buf shown = { 0 };
	struct engine *g;
	struct err e = { 0 };
	int rc = cli_engine(c, &g, &e);

	(void)options;
	if (rc == 0)
		rc = engine_logout(g, a->n ? registry : NULL, &e);
	if (rc < 0 && e.code != ENOENT)
		return cli_fail(&e, 1);
	if (text_escape(&shown, registry, strnlen(registry, REGISTRY_MAX)) < 0)
		return 1;
	printf(rc < 0 ? "Not logged in to %s\n" : "Removing login credentials for %s\n",
	       shown.data ? shown.data : "");
	return 0;
}
