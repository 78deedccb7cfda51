/* SPDX-License-Identifier: MIT */
/*
 * machine_conn.c - a client's end of a keeper's session: how it begins, and short questions
 *
 * A session is with the keeper that is started here, or by ctl.sock; machine_pump.c carries its
 * data.
 */
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "child.h"
#include "ctl.h"
#include "fdio.h"
#include "log.h"
#include "machine_conn_internal.h"

#define IN_MAX       (AGENT_HEAD_LEN + AGENT_PAYLOAD_MAX + READ_CHUNK)
#define EXEC_LIMIT_S 60
#define ASK_STEP_NS  10000000L
#define ASK_TRIES    1000U

void machine_conn_free(struct machine_conn *c)
{
	if (!c)
		return;
	fd_drop(&c->fd);
	buf_done(&c->in);
	buf_done(&c->out);
	free(c);
}

static int conn_new(struct engine *g, const char *id, const char *keys, struct machine_conn **ret,
		    struct err *e)
{
	struct machine_conn *c = calloc(1, sizeof(*c));

	if (!c)
		return err_set(e, ENOMEM, "connection");
	c->g = g;
	c->fd = -1;
	c->in.max = IN_MAX;
	snprintf(c->id, sizeof(c->id), "%s", id);
	if (machine_keys_parse(c, keys, e) < 0) {
		machine_conn_free(c);
		return -e->code;
	}
	*ret = c;
	return 0;
}

static int out_send(struct machine_conn *c, struct err *e)
{
	size_t done = 0;

	while (done < c->out.len) {
		ssize_t n = send(c->fd, c->out.data + done, c->out.len - done, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return err_set(e, errno, "the machine's keeper");
		done += n > 0 ? (size_t)n : 0;
	}
	buf_clear(&c->out);
	return 0;
}

int machine_connect(struct engine *g, const char *id, int *ret_fd, struct err *e)
{
	struct store *s;
	char name[96];

	if (engine_store_need(g, &s, e) < 0)
		return -e->code;
	snprintf(name, sizeof(name), "machines/%s/ctl.sock", id);
	if (unix_connect_at(store_run_fd(s), name, ret_fd, e) < 0)
		return err_plain(e, ESRCH, "Container %s is not running", id);
	return 0;
}

/* 1 with a frame (ret_len to consume), 0 at the end of the stream. */
static int frame_wait(struct machine_conn *c, struct agent_frame *f, size_t *ret_len, struct err *e)
{
	for (;;) {
		int rc = agent_frame_parse(c->in.data, c->in.len, f, ret_len, e);
		ssize_t n;

		if (rc)
			return rc;
		if (buf_reserve(&c->in, READ_CHUNK) < 0)
			return err_set(e, ENOMEM, "connection");
		n = read(c->fd, c->in.data + c->in.len, READ_CHUNK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ECONNRESET)
			n = 0;
		if (n < 0)
			return err_set(e, errno, "the machine's keeper");
		if (n == 0)
			return 0;
		c->in.len += (size_t)n;
	}
}

void machine_notice_get(const struct agent_frame *f, char ret[CTL_NOTICE_MAX + 1])
{
	snprintf(ret, CTL_NOTICE_MAX + 1, "%.*s", (int)MIN_OF(f->payload.len, CTL_NOTICE_MAX),
		 (const char *)f->payload.data);
}

int machine_failure_get(const struct agent_frame *f, struct err *e)
{
	char text[300];
	uint32_t code = 0;
	uint16_t about;

	if (f->type == AGENT_ERROR) {
		if (agent_get_error(f->payload, &about, &code, text, sizeof(text), e) < 0)
			return -e->code;
		return err_plain(e, code && code < 4096 ? (int)code : EIO, "%s", text);
	}
	if (agent_get_failed(f->payload, &code, text, sizeof(text), e) < 0)
		return -e->code;
	return err_plain(e,
			 code == 126   ? ENGINE_EXIT_NOEXEC
			 : code == 127 ? ENGINE_EXIT_NOTFOUND
				       : ENGINE_EXIT_FAILED,
			 "%s", text);
}

/* Up to AGENT_STARTED. */
static int started_wait(struct machine_conn *c, struct err *e)
{
	char notice[CTL_NOTICE_MAX + 1];
	struct agent_frame f;
	size_t len;
	int rc;

	while ((rc = frame_wait(c, &f, &len, e)) > 0 && f.type == CTL_NOTICE) {
		machine_notice_get(&f, notice);
		log_warn("%s", notice);
		buf_consume(&c->in, len);
	}
	if (rc < 0)
		return rc;
	if (rc == 0)
		return err_plain(e, ENGINE_EXIT_FAILED, "the machine's keeper ended unexpectedly");
	if (f.type == AGENT_ERROR || f.type == AGENT_FAILED)
		return machine_failure_get(&f, e);
	if (f.type != AGENT_STARTED)
		return 0; /* output of a machine that runs: read again by the pump */
	c->has_started = true;
	buf_consume(&c->in, len);
	return 0;
}

/* ---- start ---- */

static int keeper_spawn(struct engine *g, const char *id, const struct start_options *o, int sock,
			struct err *e)
{
	struct store *s = engine_store(g);
	char path[4096], flags[8], rows[8], cols[8];
	const char *const argv[] = {
		"caisson-keeper", store_root_path(s), store_run_path(s), id, flags, rows, cols, NULL
	};
	/* Its words reach nobody once we are gone, but phases and warnings of a start do. */
	const char *trace = getenv("CAISSON_TRACE");
	const int fds[] = { -1, -1, trace && *trace ? STDERR_FILENO : -1, sock };
	struct child_spec spec = {
		.path = path, .argv = argv, .fds = fds, .n_fds = 4, .flags = CHILD_NEW_SESSION
	};
	pid_t pid;

	snprintf(path, sizeof(path), "%s/caisson-keeper", engine_libexec(g));
	snprintf(flags, sizeof(flags), "%d",
		 (o->attach_stdin ? CTL_ATTACH_STDIN : 0) |
			 (o->attach_output ? CTL_ATTACH_OUTPUT : 0));
	snprintf(rows, sizeof(rows), "%u", o->rows);
	snprintf(cols, sizeof(cols), "%u", o->cols);
	return child_spawn(&spec, &pid, NULL, e); /* it outlives us; if not, init reaps it */
}

int engine_machine_start(struct engine *g, const char *id, const struct start_options *o,
			 struct machine_conn **ret_conn, struct err *e)
{
	struct machine m = { 0 };
	struct machine_conn *c = NULL;
	int pair[2];
	int rc;

	if (machine_read(g, id, &m, e) < 0)
		return -e->code;
	if (m.state.status == MACHINE_RUNNING) {
		machine_done(&m);
		return ret_conn ? engine_machine_attach(g, id, o, ret_conn, e) : 0;
	}
	rc = conn_new(g, id, o->keys, &c, e);
	if (rc == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		rc = err_set(e, errno, "socket");
	if (rc < 0) {
		machine_conn_free(c);
		machine_done(&m);
		return rc;
	}
	c->fd = pair[0];
	c->has_tty = m.config.has_tty;
	c->wants_stdin = o->attach_stdin && m.config.has_stdin;
	machine_done(&m);
	log_trace("start keeper");
	rc = keeper_spawn(g, id, o, pair[1], e);
	close(pair[1]);
	if (rc == 0)
		rc = started_wait(c, e);
	log_trace("machine has started");
	if (rc == 0 && ret_conn)
		*ret_conn = TAKE_PTR(c);
	machine_conn_free(c);
	return rc;
}

int engine_machine_attach(struct engine *g, const char *id, const struct start_options *o,
			  struct machine_conn **ret, struct err *e)
{
	const struct ctl_attach a = { .flags =
					      (o->attach_stdin ? (uint32_t)CTL_ATTACH_STDIN : 0U) |
					      (o->attach_output ? (uint32_t)CTL_ATTACH_OUTPUT : 0U),
				      .rows = o->rows,
				      .cols = o->cols };
	struct machine m = { 0 };
	struct machine_conn *c = NULL;
	int rc;

	if (machine_read(g, id, &m, e) < 0)
		return -e->code;
	rc = conn_new(g, id, o->keys, &c, e);
	if (rc == 0) {
		c->has_tty = m.config.has_tty;
		c->wants_stdin = o->attach_stdin && m.config.has_stdin;
		rc = machine_connect(g, id, &c->fd, e);
	}
	machine_done(&m);
	if (rc == 0 && ctl_put_attach(&c->out, &a) < 0)
		rc = err_set(e, ENOMEM, "attach");
	if (rc == 0)
		rc = out_send(c, e);
	if (rc == 0)
		rc = started_wait(c, e);
	if (rc < 0) {
		machine_conn_free(c);
		return rc;
	}
	*ret = c;
	return 0;
}

/* ---- exec ---- */

static int env_merge(struct strv *env, const struct machine_config *c, const struct exec_options *o)
{
	char host[64];
	int rc = 0;

	snprintf(host, sizeof(host), "HOSTNAME=%.12s", c->id);
	if (c->hostname && *c->hostname)
		snprintf(host, sizeof(host), "HOSTNAME=%.50s", c->hostname);
	rc = strv_add(env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	if (rc == 0)
		rc = strv_add(env, host);
	if (rc == 0 && o->has_tty)
		rc = strv_add(env, "TERM=xterm");
	for (uint32_t i = 0; rc == 0 && i < c->env.n; i++)
		rc = strv_add(env, c->env.v[i]);
	for (uint32_t i = 0; rc == 0 && i < o->env.n; i++)
		rc = strv_add(env, o->env.v[i]);
	return rc;
}

/* Of several of one name the last counts. */
static void env_unique(struct strv *env)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < env->n; i++) {
		size_t len = strcspn(env->v[i], "=");
		bool is_last = true;

		for (uint32_t k = i + 1; k < env->n && is_last; k++)
			is_last = strcspn(env->v[k], "=") != len ||
				  strncmp(env->v[i], env->v[k], len) != 0;
		if (is_last)
			env->v[n++] = env->v[i];
		else
			free(env->v[i]);
	}
	env->n = n;
	if (env->v)
		env->v[n] = NULL;
}

static int exec_put(struct machine_conn *c, const struct machine_config *cfg,
		    const struct exec_options *o, struct err *e)
{
	struct strv env = { 0 };
	int rc = env_merge(&env, cfg, o);
	struct agent_run r;

	env_unique(&env);
	r = (struct agent_run){
		.flags = (o->has_tty ? AGENT_RUN_TTY : 0U) |
			 (o->attach_stdin ? AGENT_RUN_STDIN : 0U) |
			 (o->is_privileged ? AGENT_RUN_PRIVILEGED : 0U),
		.argv = { (const char **)o->argv.v, o->argv.n },
		.env = { (const char **)env.v, env.n },
		.cwd = o->cwd && *o->cwd ? o->cwd
		       : cfg->cwd        ? cfg->cwd
					 : "",
		.user = o->user && *o->user ? o->user
			: cfg->user         ? cfg->user
					    : "",
		.rows = o->rows,
		.cols = o->cols,
	};
	if (rc == 0)
		rc = agent_put_run(&c->out, 0, &r);
	strv_done(&env);
	return rc < 0 ? err_set(e, -rc, "exec: arguments and environment") : 0;
}

/* The process runs, or cannot; a guest that says neither is not waited for without end. */
static int exec_started_wait(struct machine_conn *c, struct err *e)
{
	const struct timeval limit = { .tv_sec = EXEC_LIMIT_S }, none = { 0 };
	int rc;

	(void)setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	rc = started_wait(c, e);
	(void)setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof(none));
	return rc == -EAGAIN ? err_plain(e, ETIMEDOUT, "the guest does not answer") : rc;
}

int engine_machine_exec(struct engine *g, const char *id, const struct exec_options *o,
			struct machine_conn **ret_conn, struct err *e)
{
	struct machine m = { 0 };
	struct machine_conn *c = NULL;
	int rc;

	if (machine_read(g, id, &m, e) < 0)
		return -e->code;
	rc = conn_new(g, id, o->keys, &c, e);
	if (rc == 0) {
		c->is_exec = true;
		c->has_tty = o->has_tty;
		c->wants_stdin = o->attach_stdin;
		rc = machine_connect(g, id, &c->fd, e);
	}
	if (rc == 0)
		rc = exec_put(c, &m.config, o, e);
	machine_done(&m);
	if (rc == 0)
		rc = out_send(c, e);
	if (rc == 0)
		rc = exec_started_wait(c, e);
	if (rc < 0 || o->is_detached) {
		machine_conn_free(c);
		*ret_conn = NULL;
		return rc;
	}
	*ret_conn = c;
	return 0;
}

/* ---- one question, one answer ---- */

int machine_ask(struct engine *g, const char *id, const struct buf *request, struct agent_frame *f,
		struct machine_conn **ret, struct err *e)
{
	struct machine_conn *c = NULL;
	size_t len;
	int rc = conn_new(g, id, "", &c, e);

	if (rc < 0)
		return rc;
	*ret = c;
	if (machine_connect(g, id, &c->fd, e) < 0)
		return -e->code;
	if (buf_add(&c->out, request->data, request->len) < 0)
		return err_set(e, ENOMEM, "request");
	rc = out_send(c, e);
	if (rc < 0 && rc != -EPIPE)
		return rc;
	rc = rc < 0 ? 0 : frame_wait(c, f, &len, e);
	if (rc == 0)
		return err_plain(e, ECONNRESET, "the machine's keeper ended");
	if (rc < 0)
		return rc;
	return f->type == AGENT_ERROR || f->type == AGENT_FAILED ? machine_failure_get(f, e) : 0;
}

int engine_machine_kill(struct engine *g, const char *id, int signo, struct err *e)
{
	struct machine_conn *c = NULL;
	struct agent_frame f;
	auto_buf request = { 0 };
	int rc;

	if (agent_put_u32(&request, AGENT_SIGNAL, 0, (uint32_t)signo) < 0)
		return err_set(e, ENOMEM, "request");
	rc = machine_ask(g, id, &request, &f, &c, e);
	machine_conn_free(c);
	return rc;
}

static int ask_exit_once(struct engine *g, const char *id, struct buf *request, int *ret_code,
			 struct err *e)
{
	struct machine_conn *c = NULL;
	struct agent_frame f;
	uint32_t status = 0;
	bool was_oom;
	int rc = machine_ask(g, id, request, &f, &c, e);

	if (rc == 0 && f.type == AGENT_EXITED)
		rc = agent_get_exited(f.payload, &status, &was_oom, e);
	else if (rc == 0)
		rc = err_plain(e, EPROTO, "the machine's keeper gave no exit code");
	machine_conn_free(c);
	if (rc == 0)
		*ret_code = (int)status;
	return rc;
}

/* 1 with the exit code of the record, 0 while that says that the machine runs. */
static int ended_read(struct engine *g, const char *id, int *ret_code, struct err *e)
{
	struct machine m = { 0 };
	bool runs;

	if (machine_read(g, id, &m, e) < 0)
		return -e->code;
	runs = m.state.status == MACHINE_RUNNING;
	*ret_code = m.state.exit_code;
	machine_done(&m);
	return !runs;
}

/*
 * A machine that has ended says so in its record. A keeper that is being killed has closed its
 * sockets a moment before its lock is free, and only then is the record put right: until then it
 * still has the exit code of an earlier run, which is never to be taken for an answer.
 */
static int ask_exit(struct engine *g, const char *id, struct buf *request, int *ret_code,
		    struct err *e)
{
	for (unsigned i = 0;; i++) {
		int rc = ask_exit_once(g, id, request, ret_code, e);

		if (rc != -ESRCH && rc != -ECONNRESET)
			return rc;
		rc = ended_read(g, id, ret_code, e);
		if (rc != 0)
			return rc < 0 ? rc : 0;
		if (i == ASK_TRIES)
			return err_plain(e, ETIMEDOUT, "the machine's keeper does not answer");
		nanosleep(&(struct timespec){ .tv_nsec = ASK_STEP_NS }, NULL);
	}
}

int engine_machine_stop(struct engine *g, const char *id, int timeout_s, struct err *e)
{
	auto_buf request = { 0 };
	struct machine m = { 0 };
	bool runs;
	int code;

	if (machine_read(g, id, &m, e) < 0)
		return -e->code;
	runs = m.state.status == MACHINE_RUNNING;
	machine_done(&m);
	if (!runs)
		return 0;
	if (agent_put_u32(&request, CTL_STOP, 0,
			  timeout_s < 0 ? CTL_STOP_DEFAULT : (uint32_t)timeout_s) < 0)
		return err_set(e, ENOMEM, "request");
	if (ask_exit(g, id, &request, &code, e) < 0)
		return e->code == ENOENT ? 0 : -e->code; /* --rm: gone */
	return 0;
}

int engine_machine_wait(struct engine *g, const char *id, int *ret_code, struct err *e)
{
	auto_buf request = { 0 };
	struct machine m = { 0 };
	bool runs;

	if (machine_read(g, id, &m, e) < 0)
		return -e->code;
	runs = m.state.status == MACHINE_RUNNING;
	*ret_code = m.state.exit_code;
	machine_done(&m);
	if (!runs)
		return 0;
	if (agent_put(&request, CTL_WAIT, 0, NULL, 0) < 0)
		return err_set(e, ENOMEM, "request");
	return ask_exit(g, id, &request, ret_code, e);
}

int engine_machine_outcome(struct engine *g, const char *id, int *ret_code, struct err *e)
{
	struct machine m = { 0 };
	int rc = engine_machine_wait(g, id, ret_code, e);

	if (rc == 0)
		rc = machine_read(g, id, &m, e);
	if (rc == 0 && *m.state.error)
		rc = err_plain(e, ECONNRESET, "%s", m.state.error);
	else if (rc == -ENOENT)
		rc = err_plain(e, ECONNRESET,
			       "the connection to the machine was lost, and it is gone");
	machine_done(&m);
	return rc;
}
