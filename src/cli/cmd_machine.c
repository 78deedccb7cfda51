/* SPDX-License-Identifier: MIT */
/* cmd_machine.c - start, stop, kill, update, rm, wait, attach */
#include <limits.h>

#include "console.h"
#include "options.h"
#include "spec.h"
#include "term.h"

/* The engine and the machine of the one name; -1 after the error was printed. */
static int machine_get(struct cli *c, const char *name, struct engine **ret_g, char ret_id[65])
{
	struct err e = { 0 };

	if (cli_engine(c, ret_g, &e) == 0 && engine_machine_find(*ret_g, name, ret_id, &e) == 0)
		return 0;
	cli_fail(&e, 1);
	return -1;
}

/* ---- start ---- */

static int start_one(struct engine *g, const char *id, const void *options, struct err *e)
{
	const struct start_options none = { 0 };

	(void)options;
	return engine_machine_start(g, id, &none, NULL, e);
}

static int start_attached(struct cli *c, const struct start_flags *o, const char *name)
{
	struct machine_conn *conn = NULL;
	struct start_options start;
	struct console con;
	struct engine *g;
	struct err e = { 0 };
	bool is_running;
	char id[65];
	int code, rc;

	if (machine_get(c, name, &g, id) < 0)
		return 1;
	rc = console_of_machine(g, id, &con, &is_running, &e);
	if (rc == 0) {
		con.has_stdin = con.has_stdin && o->has_stdin;
		rc = console_begin(&con, &e);
	}
	if (rc == 0) {
		console_options(&con, o->detach_keys, &start);
		rc = engine_machine_start(g, id, &start, &conn, &e);
	}
	if (rc == 0)
		rc = console_run_main(&con, g, id, conn, &code, &e);
	machine_conn_free(conn);
	term_restore();
	return rc < 0 ? cli_fail(&e, 1) : code;
}

int cmd_start(struct cli *c, const void *options, const struct args *a)
{
	const struct start_flags *o = options;
	struct err e = { 0 };

	if (!o->has_attach && !o->has_stdin)
		return cli_for_machines(c, a, start_one, NULL);
	if (a->n > 1) {
		err_plain(&e, EINVAL, "you cannot start and attach multiple containers at once");
		return cli_fail(&e, 1);
	}
	return start_attached(c, o, a->v[0]);
}

/* ---- stop, kill ---- */

static int stop_one(struct engine *g, const char *id, const void *options, struct err *e)
{
	const struct stop_flags *o = options;
	int64_t timeout = o->timeout_s < 0 ? -1 : MIN_OF(o->timeout_s, (int64_t)INT_MAX);

	return engine_machine_stop(g, id, (int)timeout, e);
}

int cmd_stop(struct cli *c, const void *options, const struct args *a)
{
	return cli_for_machines(c, a, stop_one, options);
}

static int kill_one(struct engine *g, const char *id, const void *options, struct err *e)
{
	const int *signo = options;

	return engine_machine_kill(g, id, *signo, e);
}

int cmd_kill(struct cli *c, const void *options, const struct args *a)
{
	const struct kill_flags *o = options;
	struct err e = { 0 };
	int signo;

	if (spec_signal(o->signal, &signo, &e) < 0)
		return cli_fail(&e, 1);
	return cli_for_machines(c, a, kill_one, &signo);
}

/* ---- update ---- */

static int update_one(struct engine *g, const char *id, const void *options, struct err *e)
{
	const uint64_t *bytes = options;
	struct machine_memory m;

	if (engine_machine_resize(g, id, *bytes, &m, e) < 0)
		return -e->code;
	if (m.now != m.wanted)
		fprintf(stderr,
			"caisson: warning: %.12s has %lluMB of memory, not yet %lluMB: its kernel has not %s\n",
			id, (unsigned long long)(m.now >> 20), (unsigned long long)(m.wanted >> 20),
			m.now < m.wanted ? "taken the rest" : "given it back");
	return 0;
}

int cmd_update(struct cli *c, const void *options, const struct args *a)
{
	const struct update_flags *o = options;
	struct err e = { 0 };
	uint64_t bytes;

	if (!o->memory) {
		err_plain(&e, EINVAL, "you must provide one or more flags when using this command");
		return cli_fail(&e, 1);
	}
	if (spec_size(o->memory, &bytes, &e) < 0)
		return cli_fail(&e, 1);
	return cli_for_machines(c, a, update_one, &bytes);
}

/* ---- rm ---- */

static int remove_named(struct engine *g, const char *name, uint32_t flags, struct err *e)
{
	char id[65];

	if (engine_machine_find(g, name, id, e) < 0)
		return -e->code;
	return engine_machine_remove(g, id, flags, e);
}

int cmd_rm(struct cli *c, const void *options, const struct args *a)
{
	const struct rm_flags *o = options;
	uint32_t flags = (o->is_forced ? ENGINE_REMOVE_FORCE : 0U) |
			 (o->with_volumes ? ENGINE_REMOVE_VOLUMES : 0U);
	struct engine *g;
	struct err e = { 0 };
	int code = 0;

	if (cli_engine(c, &g, &e) < 0)
		return cli_fail(&e, EXIT_CAISSON);
	for (int i = 0; i < a->n; i++) {
		e = (struct err){ 0 };
		if (remove_named(g, a->v[i], flags, &e) == 0) {
			printf("%s\n", a->v[i]);
			continue;
		}
		cli_fail(&e, 1);
		if (!o->is_forced || e.code != ENOENT) /* gone is what -f wants */
			code = 1;
	}
	return code;
}

/* ---- wait ---- */

int cmd_wait(struct cli *c, const void *options, const struct args *a)
{
	struct engine *g;
	struct err e = { 0 };
	int code = 0;

	(void)options;
	if (cli_engine(c, &g, &e) < 0)
		return cli_fail(&e, EXIT_CAISSON);
	for (int i = 0; i < a->n; i++) {
		char id[65];
		int exit_code;

		e = (struct err){ 0 };
		if (engine_machine_find(g, a->v[i], id, &e) < 0 ||
		    engine_machine_wait(g, id, &exit_code, &e) < 0) {
			code = cli_fail(&e, 1);
			continue;
		}
		printf("%d\n", exit_code);
		fflush(stdout);
	}
	return code;
}

/* ---- attach ---- */

static int attach_begin(struct engine *g, const char *id, const struct attach_flags *o,
			struct console *con, struct err *e)
{
	bool is_running;

	if (console_of_machine(g, id, con, &is_running, e) < 0)
		return -e->code;
	if (!is_running)
		return err_plain(e, ESRCH, "cannot attach to a stopped container, start it first");
	con->has_stdin = con->has_stdin && !o->no_stdin;
	con->proxies_signals = o->proxies_signals;
	return console_check(con, e);
}

int cmd_attach(struct cli *c, const void *options, const struct args *a)
{
	const struct attach_flags *o = options;
	struct machine_conn *conn = NULL;
	struct start_options start;
	struct console con;
	struct engine *g;
	struct err e = { 0 };
	char id[65];
	int code, rc;

	if (machine_get(c, a->v[0], &g, id) < 0)
		return 1;
	rc = attach_begin(g, id, o, &con, &e);
	if (rc == 0)
		rc = console_begin(&con, &e);
	if (rc == 0) {
		console_options(&con, o->detach_keys, &start);
		rc = engine_machine_attach(g, id, &start, &conn, &e);
	}
	if (rc == 0)
		rc = console_run_main(&con, g, id, conn, &code, &e);
	machine_conn_free(conn);
	term_restore();
	return rc < 0 ? cli_fail(&e, 1) : code;
}
