/* SPDX-License-Identifier: MIT */
/* main.c - caisson: from argv to a command of the table */
#include <string.h>

#include "fdio.h"
#include "flags.h"
#include "help.h"
#include "log.h"

static int text_out(struct buf *b, int rc)
{
	if (rc < 0 || fd_write_full(STDOUT_FILENO, b->data, b->len) < 0)
		return 1;
	return 0;
}

static int usage_error(const struct command *c, const char *name, const struct err *e, int code)
{
	(void)c;
	cli_fail(e, code);
	fprintf(stderr, "See 'caisson%s%s --help'.\n", *name ? " " : "", name);
	return code;
}

static int arguments_check(const struct command *c, const char *name, int n, struct err *e)
{
	if (n >= c->min && (c->max < 0 || n <= c->max))
		return 0;
	if (c->max == 0)
		return err_plain(e, EINVAL, "\"caisson %s\" accepts no arguments.", name);
	if (c->min == c->max)
		return err_plain(e, EINVAL, "\"caisson %s\" requires exactly %d argument%s.", name,
				 c->min, c->min == 1 ? "" : "s");
	if (n < c->min)
		return err_plain(e, EINVAL, "\"caisson %s\" requires at least %d argument%s.", name,
				 c->min, c->min == 1 ? "" : "s");
	return err_plain(e, EINVAL, "\"caisson %s\" requires at most %d argument%s.", name, c->max,
			 c->max == 1 ? "" : "s");
}

static int command_run(struct cli *c, const struct command *cmd, const char *name, char **argv,
		       int argc)
{
	const struct flag_set set = { cmd->flags, cmd->n_flags, cmd->stops_at_arg };
	void *options = calloc(1, cmd->options_size);
	struct err e = { 0 };
	auto_buf help = { 0 };
	bool wants_help = false;
	int n = 0, code;

	if (!options)
		return EXIT_CAISSON;
	if (flags_init(&set, options, &e) < 0 ||
	    flags_parse(&set, argv, argc, options, &n, &wants_help, &e) < 0)
		code = usage_error(cmd, name, &e, EXIT_CAISSON);
	else if (wants_help)
		code = text_out(&help, help_command(&help, cmd));
	else if (arguments_check(cmd, name, n, &e) < 0)
		code = usage_error(cmd, name, &e, 1);
	else
		code = cmd->run(c, options, &(struct args){ argv, n });
	flags_done(&set, options);
	free(options);
	return code;
}

/* No command, or a group without one. */
static int not_found(char **argv, int argc)
{
	const struct command_group *g = argc > 0 ? command_group_find(argv[0]) : NULL;
	auto_buf help = { 0 };
	struct err e = { 0 };
	const char *name = argc > 0 ? argv[0] : "";

	if (argc == 0 || (argc == 1 && strcmp(name, "help") == 0))
		return text_out(&help, help_overview(&help));
	if (g && (argc == 1 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
		return text_out(&help, help_group(&help, g));
	if (g)
		err_plain(&e, EINVAL, "'%s %.100s' is not a caisson command.", g->name, argv[1]);
	else
		err_plain(&e, EINVAL, "'%.100s' is not a caisson command.", name);
	return usage_error(NULL, g ? g->name : "", &e, 1);
}

static int help_for(char **argv, int argc)
{
	const struct command_group *g;
	const struct command *cmd;
	auto_buf help = { 0 };
	int words;

	cmd = command_find(argv, argc, &words);
	if (cmd)
		return text_out(&help, help_command(&help, cmd));
	g = command_group_find(argv[0]);
	return g ? text_out(&help, help_group(&help, g)) : not_found(argv, argc);
}

static int table_out(const struct global_options *o)
{
	auto_buf b = { 0 };
	struct err e = { 0 };

	if (o->dump_man)
		return man_dump(o->dump_man, &e) < 0 ? cli_fail(&e, EXIT_CAISSON) : 0;
	if (completion_make(o->completion, &b, &e) < 0)
		return cli_fail(&e, EXIT_CAISSON);
	return text_out(&b, 0);
}

static int command_dispatch(struct cli *c, char **argv, int argc)
{
	const struct command *cmd;
	char name[64];
	int words;

	if (argc > 1 && strcmp(argv[0], "help") == 0)
		return help_for(argv + 1, argc - 1);
	cmd = command_find(argv, argc, &words);
	if (!cmd)
		return not_found(argv, argc);
	snprintf(name, sizeof(name), "%s%s%s", argv[0], words > 1 ? " " : "",
		 words > 1 ? argv[1] : "");
	c->command = name;
	return command_run(c, cmd, name, argv + words, argc - words);
}

int main(int argc, char **argv)
{
	const struct flag_set set = { global_flags, n_global_flags, true };
	struct global_options o = { 0 };
	struct cli c = { 0 };
	auto_buf help = { 0 };
	struct err e = { 0 };
	bool wants_help = false;
	int n = 0, code;

	if (flags_parse(&set, argv + 1, argc - 1, &o, &n, &wants_help, &e) < 0)
		return usage_error(NULL, "", &e, EXIT_CAISSON);
	log_init("caisson", o.has_debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN, STDERR_FILENO);
	if (o.has_trace)
		log_trace_on();
	log_trace("begin");
	if (wants_help)
		return text_out(&help, help_overview(&help));
	if (o.has_version) {
		puts("caisson version " CAISSON_VERSION);
		return 0;
	}
	if (o.dump_man || o.completion)
		return table_out(&o);
	c.open = (struct engine_options){ .root = o.root, .run = o.run };
	code = command_dispatch(&c, argv + 1, n);
	engine_close(c.engine);
	if ((fflush(stdout) != 0 || ferror(stdout)) && code == 0) {
		err_set(&e, errno, "write to stdout");
		code = cli_fail(&e, 1);
	}
	log_trace("end");
	return code;
}
