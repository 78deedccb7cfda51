/* SPDX-License-Identifier: MIT */
/* help.h - help, man pages and completion from the table of commands */
#ifndef HELP_H
#define HELP_H

#include "buf.h"
#include "command.h"

must_check int help_overview(struct buf *b);
must_check int help_group(struct buf *b, const struct command_group *g);
must_check int help_command(struct buf *b, const struct command *c);

/* Write one man page per command and caisson.1 into a directory. */
must_check int man_dump(const char *dir, struct err *e);
/* "bash", "zsh", "fish" */
must_check int completion_make(const char *shell, struct buf *b, struct err *e);

#endif
