/* SPDX-License-Identifier: MIT */
/* run_config.h - the flags of run and create, as what they ask of a machine and of our terminal */
#ifndef RUN_CONFIG_H
#define RUN_CONFIG_H

#include "console.h"
#include "options.h"

/*
 * Fill `ret` (zeros; done by the caller, after an error too) from flags and arguments: the image,
 * then the command. Reads files of variables and labels; `cwd` is for relative -v sources.
 */
must_check int run_config_make(const struct run_options *o, const struct args *a, const char *cwd,
			       struct machine_config *ret, struct err *e);
/* -a, -d, -i, -t, --sig-proxy */
must_check int run_console_make(const struct run_options *o, struct console *ret, struct err *e);
/* Docker makes the directories of -v that are not there. */
must_check int run_sources_make(const struct run_options *o, const struct machine_config *c,
				struct err *e);

#endif
