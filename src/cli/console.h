/* SPDX-License-Identifier: MIT */
/* console.h - the user's stdin, stdout and stderr, joined to a process in a machine */
#ifndef CONSOLE_H
#define CONSOLE_H

#include "engine.h"

#define EXIT_NO_TTY 1 /* what a refused console ends with, as Docker's does */

struct console {
	bool has_tty; /* the process has a terminal */
	bool has_stdin, has_stdout, has_stderr;
	bool proxies_signals;
};

/* What a machine's record says: its terminal and stdin; output is attached. */
must_check int console_of_machine(struct engine *g, const char *id, struct console *ret,
				  bool *ret_running, struct err *e);
/* -ENOTTY: a process with a terminal needs one on our stdin. */
must_check int console_check(const struct console *c, struct err *e);
/*
 * Raw mode where it belongs. Signals that will be passed on wait from here on, so that one which
 * comes while the machine starts is the process's. Undone by term_restore() and by our end.
 */
must_check int console_begin(const struct console *c, struct err *e);
void console_options(const struct console *c, const char *keys, struct start_options *ret);
/* Until the process ends (its exit code), the user detaches (0) or the connection is lost. */
must_check int console_run(const struct console *c, struct machine_conn *conn,
			   enum conn_end *ret_end, int *ret_code, struct err *e);
/* console_run() for a machine's main process: for a lost connection the record has the exit code.
 */
must_check int console_run_main(const struct console *c, struct engine *g, const char *id,
				struct machine_conn *conn, int *ret_code, struct err *e);

/* Write to our stdout (fd 1) or stderr; waits where they are non-blocking. -errno. */
must_check int console_write(int fd, const void *data, size_t len);

#endif
