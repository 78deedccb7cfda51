/* SPDX-License-Identifier: MIT */
/*
 * auth_helper.c - docker-credential-NAME: get, store and erase
 *
 * Docker's protocol: the request on standard input, the answer on standard output, which has the
 * message as well when the status is not 0. The helper may ask the user, so it has a long time, but
 * not for ever.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "auth_internal.h"
#include "child.h"
#include "fdio.h"
#include "json_text.h"
#include "loop.h"

#define PREFIX     "docker-credential-"
#define LIMIT_MS   120000
#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
#define NOT_FOUND  "credentials not found in native keychain"

/* Until the end of the stream, or the limit of time or size. */
static int answer_read(int fd, struct buf *out)
{
	int64_t until = loop_now_ms() + LIMIT_MS;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = until - loop_now_ms();
		char chunk[4096];
		ssize_t n;
		int rc;

		if (left <= 0)
			return -ETIMEDOUT;
		if (poll(&p, 1, (int)left) <= 0)
			continue;
		n = read(fd, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		rc = buf_add(out, chunk, (size_t)n);
		explicit_bzero(chunk, sizeof(chunk));
		if (rc < 0)
			return rc;
	}
}

/* In memory, so that no write can block or raise SIGPIPE. */
static int request_fd(const char *text, int *ret, struct err *e)
{
	auto_fd fd = memfd_create("request", MFD_CLOEXEC);

	if (fd < 0 || fd_write_full(fd, text, strlen(text)) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return err_set(e, errno, "request");
	*ret = TAKE_FD(fd);
	return 0;
}

static int helper_wait(pid_t pid, int read_rc, int *ret_status, struct err *e)
{
	if (read_rc < 0)
		kill(pid, SIGKILL);
	if (child_wait(pid, ret_status, e) < 0)
		return -e->code;
	return read_rc < 0 ? err_set(e, -read_rc, "its answer") : 0;
}

static int helper_run(const char *program, const char *action, const char *text, struct buf *out,
		      int *ret_status, struct err *e)
{
	const char *const argv[] = { program, action, NULL };
	struct child_spec s = { .path = program,
				.argv = argv,
				.n_fds = 3,
				.flags = CHILD_DIE_WITH_PARENT | CHILD_SAME_GROUP };
	auto_fd in = -1;
	int p[2], rc;
	pid_t pid;

	if (request_fd(text, &in, e) < 0)
		return -e->code;
	if (pipe2(p, O_CLOEXEC) < 0)
		return err_set(e, errno, "pipe");
	s.fds = (int[]){ in, p[1], STDERR_FILENO };
	rc = child_spawn(&s, &pid, NULL, e);
	fd_drop(&p[1]);
	if (rc == 0)
		rc = helper_wait(pid, answer_read(p[0], out), ret_status, e);
	fd_drop(&p[0]);
	return rc;
}

/* 1: it said that it has none. */
static int helper_call(const char *name, const char *action, const char *text, struct buf *out,
		       struct err *e)
{
	char program[128];
	int status = 255;

	if (!*name || strlen(name) > 64 || name[strspn(name, NAME_CHARS)])
		return err_plain(e, EINVAL, "\"%.100s\" is no name of a credential helper", name);
	snprintf(program, sizeof(program), PREFIX "%s", name);
	out->max = AUTH_SECRET_MAX;
	if (helper_run(program, action, text, out, &status, e) < 0)
		return err_wrap(e, "%s %s", program, action);
	if (status == 0)
		return 0;
	if (out->data && strstr(out->data, NOT_FOUND))
		return 1;
	return err_plain(e, EIO, "%s %s: %.200s (status %d)", program, action,
			 out->data ? out->data : "no answer", status);
}

static void wipe(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->cap);
	buf_done(b);
}

static int answer_take(const struct buf *out, struct auth_cred *ret, struct err *e)
{
	json_t *j = json_parse(out->data ? out->data : "", out->len, 0, NULL);
	const char *user = json_string_value(json_object_get(j, "Username"));
	const char *secret = json_string_value(json_object_get(j, "Secret"));
	struct auth_cred c = { 0 };
	bool is_token = user && strcmp(user, "<token>") == 0;
	bool ok = user && secret;

	if (ok && is_token) {
		c.identity_token = strdup(secret);
	} else if (ok) {
		c.user = strdup(user);
		c.password = strdup(secret);
	}
	json_decref(j);
	if (!ok)
		return err_plain(e, EBADMSG, "it answered without Username and Secret");
	if (is_token ? !c.identity_token : !c.user || !c.password) {
		auth_cred_done(&c);
		return err_set(e, ENOMEM, "credentials");
	}
	*ret = c;
	return 1;
}

int auth_helper_get(const char *name, const char *server, struct auth_cred *ret, struct err *e)
{
	struct buf out = { 0 };
	int rc = helper_call(name, "get", server, &out, e);

	if (rc == 0) {
		rc = answer_take(&out, ret, e);
		if (rc < 0)
			rc = err_wrap(e, PREFIX "%s", name);
	} else if (rc > 0) {
		rc = 0;
	}
	wipe(&out);
	return rc;
}

int auth_helper_store(const char *name, const char *server, const char *user, const char *password,
		      struct err *e)
{
	json_t *j = json_pack("{s:s,s:s,s:s}", "ServerURL", server, "Username", user, "Secret",
			      password);
	char *text = json_text(j, JSON_COMPACT);
	struct buf out = { 0 };
	int rc;

	json_decref(j);
	if (!text)
		return err_plain(e, EINVAL, "user or password is not UTF-8");
	rc = helper_call(name, "store", text, &out, e);
	explicit_bzero(text, strlen(text));
	free(text);
	wipe(&out);
	return rc > 0 ? err_plain(e, EIO, PREFIX "%s could not store the credentials", name) : rc;
}

int auth_helper_erase(const char *name, const char *server, struct err *e)
{
	struct buf out = { 0 };
	int rc = helper_call(name, "erase", server, &out, e);

	wipe(&out);
	return rc < 0 ? rc : 0;
}
