/* SPDX-License-Identifier: MIT */
/*
 * command.h - the table of commands and their flags
 *
 * Parsing, --help, the man pages and shell completion all read these rows (command_table.c). A flag
 * writes into the command's options struct at `offset`; a struct of zeros plus the rows' `initial`
 * texts is what a command sees when no flag is given.
 */
#ifndef COMMAND_H
#define COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "cli.h"

enum flag_kind {
	FLAG_BOOL,        /* bool */
	FLAG_TEXT,        /* const char *, NULL when not given */
	FLAG_LIST,        /* struct flag_list */
	FLAG_NUMBER,      /* int64_t */
	FLAG_UNSUPPORTED, /* Docker has it, caisson not yet: an error that says so */
};

struct flag_list {
	const char **v; /* texts borrowed from argv */
	size_t n;
};

struct flag {
	const char *name;
	char letter; /* or 0 */
	enum flag_kind kind;
	size_t offset;
	const char *arg;     /* what its argument is called: "bytes"; NULL for FLAG_BOOL */
	const char *help;    /* NULL: works, but is shown nowhere */
	const char *initial; /* as on the command line; NULL: 0, false, none */
};

struct command {
	const char *name;    /* "run"; "image import" for one of a group */
	const char *aliases; /* other full names, separated by commas, or NULL */
	const char *args;    /* "IMAGE [COMMAND] [ARG...]" */
	const char *help;    /* one line */
	const char *more;    /* paragraphs for the man page, or NULL */
	int (*run)(struct cli *c, const void *options, const struct args *a);
	size_t options_size;
	const struct flag *flags;
	size_t n_flags;
	int min, max;         /* positional arguments; max -1: any number */
	bool stops_at_arg;    /* flags only before the first positional argument */
	const char *complete; /* what its arguments are: "image", "machine", ... for completion */
};

struct command_group {
	const char *name, *help;
};

extern const struct command commands[];
extern const size_t n_commands;
extern const struct command_group command_groups[];
extern const size_t n_command_groups;
extern const struct flag global_flags[];
extern const size_t n_global_flags;

struct global_options {
	const char *root, *run, *dump_man, *completion;
	bool has_trace, has_debug, has_version;
};

/* The command that argv starts with; ret_words of it are its name. NULL: none. */
const struct command *command_find(char **argv, int argc, int *ret_words);
const struct command_group *command_group_find(const char *name);
/* The first word of its name when that is a group's: "image". */
bool command_is_in_group(const struct command *c, const char *group);

#endif
