/* SPDX-License-Identifier: MIT */
/* flags.h - parse a command line by a table of flags, with Docker's rules and words */
#ifndef FLAGS_H
#define FLAGS_H

#include "command.h"

struct flag_set {
	const struct flag *flags;
	size_t n;
	bool stops_at_arg;
};

/* Zeroes and `initial` texts. */
must_check int flags_init(const struct flag_set *s, void *options, struct err *e);
/*
 * Parse argv[0..argc): values go into `options`, positional arguments are moved to the front of
 * argv and counted. ret_help: --help was there (nothing after it was looked at). -EINVAL with
 * Docker's text.
 */
must_check int flags_parse(const struct flag_set *s, char **argv, int argc, void *options,
			   int *ret_n_args, bool *ret_help, struct err *e);
void flags_done(const struct flag_set *s, void *options);

#endif
