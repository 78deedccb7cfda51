/* SPDX-License-Identifier: MIT */
/* help.c - what --help prints */
#include <string.h>

#include "help.h"

static int flags_show(struct buf *b, const struct flag *flags, size_t n)
{
	size_t width = 0;
	int rc = 0;

	for (size_t i = 0; i < n; i++)
		if (flags[i].help)
			width = MAX_OF(width,
				       strlen(flags[i].name) +
					       (flags[i].arg ? strlen(flags[i].arg) + 1 : 0));
	for (size_t i = 0; rc == 0 && i < n; i++) {
		const struct flag *f = &flags[i];
		char left[128];

		if (!f->help)
			continue;
		snprintf(left, sizeof(left), "%s%s%s", f->name, f->arg ? " " : "",
			 f->arg ? f->arg : "");
		if (f->letter)
			rc = buf_addf(b, "  -%c, --%-*s   %s\n", f->letter, (int)width, left,
				      f->help);
		else
			rc = buf_addf(b, "      --%-*s   %s\n", (int)width, left, f->help);
	}
	return rc;
}

int help_command(struct buf *b, const struct command *c)
{
	bool has_flags = c->n_flags > 0;
	int rc = buf_addf(b, "Usage:  caisson %s%s%s%s\n\n%s\n", c->name,
			  has_flags ? " [OPTIONS]" : "", *c->args ? " " : "", c->args, c->help);

	if (rc == 0 && c->aliases) {
		rc = buf_addf(b, "\nAliases:\n  ");
		for (const char *p = c->aliases; rc == 0 && *p;) {
			size_t len = strcspn(p, ",");

			rc = buf_addf(b, "caisson %.*s%s", (int)len, p, p[len] ? ", " : "\n");
			p += len + (p[len] == ',');
		}
	}
	if (rc == 0 && has_flags)
		rc = buf_addf(b, "\nOptions:\n");
	return rc == 0 ? flags_show(b, c->flags, c->n_flags) : rc;
}

/* "ls" of "container ls,...": what the command is called inside the group. */
static void name_in_group(const struct command *c, const char *group, char *ret, size_t len)
{
	const char *from = strchr(c->name, ' ') ? c->name : c->aliases;
	const char *name = from + strlen(group) + 1;

	snprintf(ret, len, "%.*s", (int)strcspn(name, ","), name);
}

int help_group(struct buf *b, const struct command_group *g)
{
	int rc = buf_addf(b, "Usage:  caisson %s COMMAND\n\n%s\n\nCommands:\n", g->name, g->help);

	for (size_t i = 0; rc == 0 && i < n_commands; i++) {
		char name[40];

		if (!command_is_in_group(&commands[i], g->name))
			continue;
		name_in_group(&commands[i], g->name, name, sizeof(name));
		rc = buf_addf(b, "  %-10s  %s\n", name, commands[i].help);
	}
	return rc == 0 ? buf_addf(b,
				  "\nRun 'caisson %s COMMAND --help' for more about a command.\n",
				  g->name)
		       : rc;
}

int help_overview(struct buf *b)
{
	int rc = buf_addf(
		b, "Usage:  caisson [OPTIONS] COMMAND\n\n"
		   "Run images of containers in virtual machines of their own\n\nCommands:\n");

	for (size_t i = 0; rc == 0 && i < n_commands; i++)
		if (!strchr(commands[i].name, ' '))
			rc = buf_addf(b, "  %-10s  %s\n", commands[i].name, commands[i].help);
	if (rc == 0)
		rc = buf_addf(b, "\nManagement Commands:\n");
	for (size_t i = 0; rc == 0 && i < n_command_groups; i++)
		rc = buf_addf(b, "  %-10s  %s\n", command_groups[i].name, command_groups[i].help);
	if (rc == 0)
		rc = buf_addf(b, "\nGlobal Options:\n");
	if (rc == 0)
		rc = flags_show(b, global_flags, n_global_flags);
	return rc == 0 ? buf_addf(b, "\nRun 'caisson COMMAND --help' for more about a command.\n")
		       : rc;
}
