/* SPDX-License-Identifier: MIT */
/* cmd_exec.c - another process in a running machine */
#include "console.h"
#include "options.h"
#include "spec.h"
#include "term.h"

static int env_make(const struct exec_flags *o, struct strv *env, struct err *e)
{
	for (size_t i = 0; i < o->env_files.n; i++)
		if (spec_env_file(o->env_files.v[i], env, e) < 0)
			return -e->code;
	for (size_t i = 0; i < o->env.n; i++)
		if (spec_env(o->env.v[i], env, e) < 0)
			return -e->code;
	return 0;
}

static int options_make(const struct exec_flags *o, const struct args *a, struct exec_options *x,
			struct err *e)
{
	x->user = o->user;
	x->cwd = o->workdir;
	x->has_tty = o->has_tty;
	x->attach_stdin = o->has_stdin && !o->is_detached;
	x->is_detached = o->is_detached;
	x->is_privileged = o->is_privileged;
	x->keys = o->detach_keys;
	if (o->has_tty)
		term_size(&x->rows, &x->cols);
	for (int i = 1; i < a->n; i++)
		if (strv_add(&x->argv, a->v[i]) < 0)
			return err_set(e, ENOMEM, "arguments");
	return env_make(o, &x->env, e);
}

static int exec_run(struct cli *c, const char *name, const struct exec_options *x)
{
	/* As with Docker, a signal ends us, not the process. */
	const struct console con = { .has_tty = x->has_tty,
				     .has_stdin = x->attach_stdin,
				     .has_stdout = true,
				     .has_stderr = true };
	struct machine_conn *conn = NULL;
	enum conn_end end = CONN_EXITED;
	struct engine *g;
	struct err e = { 0 };
	char id[65];
	int code = 0, rc;

	if (console_check(&con, &e) < 0)
		return cli_fail(&e, EXIT_NO_TTY);
	if (cli_engine(c, &g, &e) < 0 || engine_machine_find(g, name, id, &e) < 0)
		return cli_fail(&e, 1);
	if (!x->is_detached && console_begin(&con, &e) < 0)
		return cli_fail(&e, 1);
	if (engine_machine_exec(g, id, x, &conn, &e) < 0) {
		term_restore();
		return cli_fail(&e, e.code >= ENGINE_EXIT_FAILED ? cli_start_code(&e) : 1);
	}
	if (!conn)
		return 0;
	rc = console_run(&con, conn, &end, &code, &e);
	machine_conn_free(conn);
	if (rc == 0 && end == CONN_LOST)
		rc = err_plain(&e, ECONNRESET, "the connection to the machine was lost");
	if (rc < 0)
		return cli_fail(&e,
				e.code >= ENGINE_EXIT_FAILED ? cli_start_code(&e) : EXIT_CAISSON);
	return code;
}

int cmd_exec(struct cli *c, const void *options, const struct args *a)
{
	struct exec_options x = { 0 };
	struct err e = { 0 };
	int code;

	if (options_make(options, a, &x, &e) < 0)
		code = cli_fail(&e, EXIT_CAISSON);
	else
		code = exec_run(c, a->v[0], &x);
	strv_done(&x.argv);
	strv_done(&x.env);
	return code;
}
