/* SPDX-License-Identifier: MIT */
/* cli.h - what every command is given, and how it ends */
#ifndef CLI_H
#define CLI_H

#include "engine.h"

#define EXIT_CAISSON 125 /* caisson itself failed; 126 and 127 are the app's not starting */

struct cli {
	struct engine_options open;
	struct engine *engine; /* opened by the first cli_engine() */
	const char *command;   /* as typed: "run", "image ls" */
};

struct args { /* positional arguments; borrowed from argv */
	char **v;
	int n;
};

must_check int cli_engine(struct cli *c, struct engine **ret, struct err *e);

/* Print "caisson: text" on stderr, control bytes escaped; returns `code`. */
int cli_fail(const struct err *e, int code);
/* 125, 126 or 127, from what engine_machine_start() and engine_machine_exec() leave in e->code. */
int cli_start_code(const struct err *e);

/* For each name: find the machine, call `fn`, print the name or the error. Exit code 0 or 1. */
typedef int machine_fn(struct engine *g, const char *id, const void *options, struct err *e);
int cli_for_machines(struct cli *c, const struct args *a, machine_fn *fn, const void *options);

#endif
