/* SPDX-License-Identifier: MIT */
/*
 * console.c - the user's stdin, stdout and stderr, joined to a process in a machine
 *
 * The process's bytes go to the terminal as they are: it is the user's program, on the user's
 * terminal.
 */
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "console.h"
#include "log.h"
#include "term.h"

int console_of_machine(struct engine *g, const char *id, struct console *ret, bool *ret_running,
		       struct err *e)
{
	const json_t *config, *state;
	json_t *j;

	if (engine_machine_inspect(g, id, &j, e) < 0)
		return -e->code;
	config = json_object_get(j, "Config");
	state = json_object_get(j, "State");
	*ret = (struct console){
		.has_tty = json_is_true(json_object_get(config, "Tty")),
		.has_stdin = json_is_true(json_object_get(config, "OpenStdin")),
		.has_stdout = true,
		.has_stderr = true,
		.proxies_signals = true,
	};
	*ret_running = json_is_true(json_object_get(state, "Running"));
	json_decref(j);
	return 0;
}

int console_check(const struct console *c, struct err *e)
{
	if (c->has_tty && c->has_stdin && !isatty(STDIN_FILENO))
		return err_plain(e, ENOTTY, "the input device is not a TTY");
	return 0;
}

int console_begin(const struct console *c, struct err *e)
{
	static const int passed[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM };
	sigset_t set;

	if (c->has_tty)
		return c->has_stdin && isatty(STDIN_FILENO) ? term_raw(e) : 0;
	if (!c->proxies_signals)
		return 0;
	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(passed); i++)
		sigaddset(&set, passed[i]);
	return sigprocmask(SIG_BLOCK, &set, NULL) < 0 ? err_set(e, errno, "signals") : 0;
}

void console_options(const struct console *c, const char *keys, struct start_options *ret)
{
	*ret = (struct start_options){
		.attach_stdin = c->has_stdin,
		.attach_output = c->has_stdout || c->has_stderr,
		.keys = keys,
	};
	if (c->has_tty)
		term_size(&ret->rows, &ret->cols);
}

int console_write(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		struct pollfd room = { .fd = fd, .events = POLLOUT };
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EAGAIN) {   /* somebody who shares our terminal made it so */
			(void)poll(&room, 1, -1); /* the next write() tells what is wrong */
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

struct output {
	const struct console *c;
	int rc; /* of the write that failed: the engine only hears that one did */
	char notice[512];
};

static int on_output(void *arg, int fd, const void *data, size_t len)
{
	struct output *out = arg;

	if (fd == STDERR_FILENO ? !out->c->has_stderr : !out->c->has_stdout)
		return 0;
	out->rc = console_write(fd, data, len);
	return out->rc;
}

/* Kept until the terminal is as it was. */
static void on_notice(void *arg, const char *text)
{
	struct output *out = arg;

	snprintf(out->notice, sizeof(out->notice), "%s", text);
}

int console_run(const struct console *c, struct machine_conn *conn, enum conn_end *ret_end,
		int *ret_code, struct err *e)
{
	struct output out = { .c = c };
	const struct machine_conn_ops ops = { .output = on_output,
					      .notice = on_notice,
					      .arg = &out };
	int rc = machine_conn_run(conn, c->has_stdin ? STDIN_FILENO : -1, c->proxies_signals, &ops,
				  ret_end, ret_code, e);

	term_restore();
	if (*out.notice)
		log_warn("%s", out.notice);
	if (out.rc < 0)
		return err_set(e, -out.rc, "write the machine's output");
	if (rc == 0 && *ret_end == CONN_DETACHED)
		*ret_code = 0;
	return rc;
}

int console_run_main(const struct console *c, struct engine *g, const char *id,
		     struct machine_conn *conn, int *ret_code, struct err *e)
{
	enum conn_end end;

	if (console_run(c, conn, &end, ret_code, e) < 0)
		return -e->code;
	return end == CONN_LOST ? engine_machine_outcome(g, id, ret_code, e) : 0;
}
