/* SPDX-License-Identifier: MIT */
/*
 * cmd_run.c - run and create
 *
 * Exit codes are Docker's: the process's own; 125 when caisson failed, 126 and 127 when the process
 * could not be started. The keeper removes a machine of --rm when it ends or does not start; here
 * it is done again, for a keeper that was killed.
 */
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "fdio.h"
#include "json_text.h"
#include "log.h"
#include "platform.h"
#include "progress.h"
#include "ref.h"
#include "run_config.h"
#include "term.h"

#define EXIT_CREATE 1 /* create fails so, but for its flags */

/* ---- --cidfile ---- */

struct cidfile {
	const char *path;
	int fd; /* -1: none, or written */
};

static int cidfile_open(const char *path, struct cidfile *ret, struct err *e)
{
	*ret = (struct cidfile){ .path = path, .fd = -1 };
	if (!path)
		return 0;
	ret->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (ret->fd >= 0)
		return 0;
	if (errno == EEXIST)
		return err_plain(
			e, EEXIST,
			"container ID file found, make sure the other container isn't running or delete %s",
			path);
	return err_set(e, errno, "failed to create the container ID file %s", path);
}

static int cidfile_write(struct cidfile *f, const char *id, struct err *e)
{
	int rc;

	if (f->fd < 0)
		return 0;
	rc = fd_write_full(f->fd, id, strlen(id));
	if (rc < 0)
		return err_set(e, -rc, "write the container ID file %s", f->path);
	fd_drop(&f->fd);
	return 0;
}

/* An empty one is of no use, and would be in the way next time. */
static void cidfile_done(struct cidfile *f)
{
	if (f->fd < 0)
		return;
	fd_drop(&f->fd);
	(void)unlink(f->path); /* the error that brought us here is the one to tell */
}

/* ---- the image ---- */

enum pull_policy { PULL_MISSING, PULL_ALWAYS, PULL_NEVER, PULL_COUNT_ };

static int policy_parse(const char *text, enum pull_policy *ret, struct err *e)
{
	static const char *const names[] = { "missing", "always", "never" };

	_Static_assert(ARRAY_SIZE(names) == PULL_COUNT_, "a name for each policy");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(text, names[i]) == 0) {
			*ret = (enum pull_policy)i;
			return 0;
		}
	return err_plain(
		e, EINVAL,
		"invalid pull option: '%s': must be one of \"always\", \"missing\" or \"never\"",
		text);
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *t = json_string_value(json_object_get(o, key));

	return t ? t : "";
}

/* Whether the image is what --platform asks for. */
static int platform_check(struct store *s, const char *image_id, const char *wanted, struct err *e)
{
	struct platform want, have = { 0 };
	auto_free char *doc = NULL;
	char text[200];
	size_t len;
	json_t *j;

	if (platform_parse(wanted, &want, e) < 0 ||
	    store_image_config(s, image_id, &doc, &len, e) < 0)
		return -e->code;
	j = json_parse(doc, len, 0, NULL);
	snprintf(have.os, sizeof(have.os), "%s", text_of(j, "os"));
	snprintf(have.architecture, sizeof(have.architecture), "%s", text_of(j, "architecture"));
	snprintf(have.variant, sizeof(have.variant), "%s", text_of(j, "variant"));
	json_decref(j);
	platform_normalise(&have);
	if (platform_fits(&want, &have))
		return 0;
	platform_format(&have, text, sizeof(text));
	return err_plain(
		e, ENOENT,
		"image was found but its platform (%s) does not match the specified platform (%s)",
		text, wanted);
}

/* The image in the store, into c->image_id. -ENOENT. */
static int image_find(struct engine *g, struct machine_config *c, struct err *e)
{
	struct store *s = engine_store(g);
	struct store_image img;

	if (!s) /* what is wrong with it, the next call says */
		return 0;
	if (store_image_find(s, c->image_ref, &img, e) < 0)
		return -e->code;
	if (c->platform && platform_check(s, img.id, c->platform, e) < 0)
		return -e->code;
	snprintf(c->image_id, sizeof(c->image_id), "%s", img.id);
	return 0;
}

static int image_pull(struct engine *g, const struct run_options *o, struct machine_config *c,
		      struct err *e)
{
	const struct pull_options pull = { .platform = o->platform, .is_quiet = o->is_quiet };
	struct pulled done = { 0 };
	struct progress *p;
	int rc;

	if (progress_new(STDERR_FILENO, o->is_quiet ? PROGRESS_QUIET : PROGRESS_PULL, &p, e) < 0)
		return -e->code;
	rc = engine_pull(g, c->image_ref, &pull, progress_ops(p), &done, e);
	progress_free(p);
	if (rc == 0) /* not by name: short names may be found in another registry */
		snprintf(c->image_id, sizeof(c->image_id), "%s", done.id);
	return rc;
}

static bool is_id(const char *text)
{
	const char *hex = strncmp(text, "sha256:", 7) == 0 ? text + 7 : text;

	return strlen(hex) == 64 && strspn(hex, "0123456789abcdef") == 64;
}

static int image_get(struct engine *g, const struct run_options *o, struct machine_config *c,
		     struct err *e)
{
	char full[REF_NORMAL_SIZE], name[REF_NORMAL_SIZE];
	enum pull_policy policy;
	struct ref ref;

	if (policy_parse(o->pull, &policy, e) < 0)
		return -e->code;
	if (policy == PULL_ALWAYS)
		return image_pull(g, o, c, e);
	if (image_find(g, c, e) == 0)
		return 0;
	if (e->code != ENOENT || policy == PULL_NEVER || is_id(c->image_ref))
		return -e->code;
	if (ref_parse(c->image_ref, &ref, e) < 0) /* what it is called is the better answer */
		return -e->code;
	*e = (struct err){ 0 };
	ref_format(&ref, full, sizeof(full));
	ref_familiar(full, name, sizeof(name));
	if (!o->is_quiet)
		fprintf(stderr, "Unable to find image '%s' locally\n", name);
	return image_pull(g, o, c, e);
}

/* ---- create ---- */

/* After another error, which is the one to tell. */
static void machine_drop(struct engine *g, const char *id)
{
	struct err e = { 0 };

	if (engine_machine_remove(g, id, ENGINE_REMOVE_FORCE, &e) < 0)
		log_debug("remove %s: %s", id, e.msg);
}

/* The machine's record; c->id is then set. */
static int machine_make(struct cli *cli, const struct run_options *o, struct machine_config *c,
			struct err *e)
{
	struct cidfile cid;
	struct engine *g;
	int rc;

	if (cidfile_open(o->cidfile, &cid, e) < 0)
		return -e->code;
	rc = cli_engine(cli, &g, e);
	if (rc == 0)
		rc = image_get(g, o, c, e);
	if (rc == 0)
		rc = run_sources_make(o, c, e);
	if (rc == 0)
		rc = engine_machine_create(g, c, e);
	if (rc == 0 && cidfile_write(&cid, c->id, e) < 0) {
		rc = -e->code;
		machine_drop(g, c->id);
	}
	cidfile_done(&cid);
	return rc;
}

static int config_make(const struct run_options *o, const struct args *a, struct machine_config *c,
		       struct err *e)
{
	char cwd[PATH_MAX];

	if (!getcwd(cwd, sizeof(cwd)))
		return err_set(e, errno, "working directory");
	return run_config_make(o, a, cwd, c, e);
}

int cmd_create(struct cli *cli, const void *options, const struct args *a)
{
	const struct run_options *o = options;
	struct machine_config c = { 0 };
	struct err e = { 0 };
	int code = 0;

	if (config_make(o, a, &c, &e) < 0)
		code = cli_fail(&e, EXIT_CAISSON);
	else if (machine_make(cli, o, &c, &e) < 0)
		code = cli_fail(&e, EXIT_CREATE);
	else
		printf("%s\n", c.id);
	machine_config_done(&c);
	return code;
}

/* ---- run ---- */

/* The machine has not started. With --rm it is gone, unless its keeper had no chance. */
static int start_failed(struct engine *g, const struct machine_config *c, const struct err *why)
{
	term_restore();
	if (c->is_auto_removed)
		machine_drop(g, c->id);
	return cli_fail(why, cli_start_code(why));
}

static int run_detached(struct engine *g, const struct machine_config *c, const char *keys)
{
	const struct console none = { .has_tty = c->has_tty };
	struct start_options start;
	struct err e = { 0 };

	console_options(&none, keys, &start);
	if (engine_machine_start(g, c->id, &start, NULL, &e) == 0) {
		printf("%s\n", c->id);
		return 0;
	}
	if (!c->is_auto_removed) /* it is still there, and this is its only handle */
		printf("%s\n", c->id);
	return start_failed(g, c, &e);
}

static int run_attached(struct engine *g, const struct machine_config *c, const struct console *con,
			const char *keys)
{
	struct machine_conn *conn = NULL;
	struct start_options start;
	struct err e = { 0 };
	int code, rc;

	console_options(con, keys, &start);
	if (console_begin(con, &e) < 0)
		return start_failed(g, c, &e);
	if (engine_machine_start(g, c->id, &start, &conn, &e) < 0)
		return start_failed(g, c, &e);
	if (!start.attach_output) {
		printf("%s\n", c->id);
		fflush(stdout);
	}
	rc = console_run_main(con, g, c->id, conn, &code, &e);
	machine_conn_free(conn);
	return rc < 0 ? cli_fail(&e, EXIT_CAISSON) : code;
}

int cmd_run(struct cli *cli, const void *options, const struct args *a)
{
	const struct run_options *o = options;
	struct machine_config c = { 0 };
	struct console con;
	struct err e = { 0 };
	int code;

	if (run_console_make(o, &con, &e) < 0 || config_make(o, a, &c, &e) < 0)
		code = cli_fail(&e, EXIT_CAISSON);
	else if (console_check(&con, &e) < 0)
		code = cli_fail(&e, EXIT_NO_TTY);
	else if (machine_make(cli, o, &c, &e) < 0)
		code = cli_fail(&e, EXIT_CAISSON);
	else if (o->is_detached)
		code = run_detached(cli->engine, &c, o->detach_keys);
	else
		code = run_attached(cli->engine, &c, &con, o->detach_keys);
	machine_config_done(&c);
	return code;
}
