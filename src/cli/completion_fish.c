/* SPDX-License-Identifier: MIT */
/* completion_fish.c - the script for fish: a line for each thing that can be completed */
#include <string.h>

#include "completion_internal.h"

static const char *list_command(const char *what)
{
	if (strcmp(what, "machine") == 0)
		return "(caisson ps -a --format \"{{.Names}}\" 2>/dev/null)";
	if (strcmp(what, "running") == 0)
		return "(caisson ps --format \"{{.Names}}\" 2>/dev/null)";
	if (strcmp(what, "image") == 0)
		return "(caisson images --format \"{{.Repository}}:{{.Tag}}\" 2>/dev/null | string match -v "
		       "\"*<none>*\")";
	return "(caisson kernel ls -q 2>/dev/null)";
}

/* __caisson_command prints the name of the command in the line, one word or two. */
static int head_add(struct buf *b)
{
	if (buf_add_str(b, "# SPDX-License-Identifier: MIT\n"
			   "# fish completion of caisson, made by: caisson --completion fish\n"
			   "function __caisson_command\n"
			   "\tset -l name\n"
			   "\tset -l skip\n"
			   "\tfor w in (commandline -opc)[2..-1]\n"
			   "\t\tif test -n \"$skip\"\n"
			   "\t\t\tset skip\n"
			   "\t\t\tcontinue\n"
			   "\t\tend\n"
			   "\t\tswitch $w\n"
			   "\t\t\tcase") < 0 ||
	    completion_flags_add(b, global_flags, n_global_flags, true) < 0 ||
	    buf_add_str(b, "\n\t\t\t\tset skip 1\n"
			   "\t\t\tcase '-*'\n"
			   "\t\t\tcase '*'\n"
			   "\t\t\t\tset -a name $w\n"
			   "\t\t\t\tcontains -- \"$name\"") < 0)
		return -ENOMEM;
	for (size_t i = 0; i < n_command_groups; i++)
		if (buf_addf(b, " %s", command_groups[i].name) < 0)
			return -ENOMEM;
	return buf_add_str(b, "; or break\n"
			      "\t\tend\n"
			      "\tend\n"
			      "\techo \"$name\"\n"
			      "end\n"
			      "function __caisson_is\n"
			      "\tset -l name (__caisson_command)\n"
			      "\tcontains -- \"$name\" $argv\n"
			      "end\n"
			      "complete -c caisson -f\n");
}

static int flags_add(struct buf *b, const char *when, const struct flag *flags, size_t n)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		const struct flag *f = &flags[i];

		if (!f->help)
			continue;
		rc = buf_addf(b, "complete -c caisson -n '__caisson_is %s' -l %s", when, f->name);
		if (rc == 0 && f->letter)
			rc = buf_addf(b, " -s %c", f->letter);
		if (rc == 0 && strcmp(f->name, "kernel") == 0)
			rc = buf_addf(b, " -x -a '%s'", list_command("kernel"));
		else if (rc == 0 && completion_has_value(f))
			rc = buf_add_str(b, " -r -F");
		if (rc == 0)
			rc = buf_add_str(b, " -d '");
		if (rc == 0)
			rc = completion_quote_add(b, f->help, "\\'");
		if (rc == 0)
			rc = buf_add_str(b, "'\n");
	}
	return rc;
}

static int name_add(struct buf *b, const char *when, const char *name, size_t len, const char *help)
{
	if (buf_addf(b, "complete -c caisson -n '__caisson_is %s' -a %.*s -d '", when, (int)len,
		     name) < 0 ||
	    completion_quote_add(b, help, "\\'") < 0)
		return -ENOMEM;
	return buf_add_str(b, "'\n");
}

static int names_add(struct buf *b, const char *group)
{
	const char *when = group ? group : "\"\"";
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n_commands; i++) {
		const char *name;
		size_t len;

		if (!completion_is_in(&commands[i], group))
			continue;
		name = completion_name_in(&commands[i], group, &len);
		rc = name_add(b, when, name, len, commands[i].help);
	}
	for (size_t i = 0; rc == 0 && !group && i < n_command_groups; i++)
		rc = name_add(b, when, command_groups[i].name, strlen(command_groups[i].name),
			      command_groups[i].help);
	return rc;
}

static int command_add(struct buf *b, const struct command *c)
{
	auto_buf names = { 0 };
	int rc = completion_names_add(&names, c, " ");

	for (size_t i = 0; rc == 0 && i < names.len; i++) /* they stand inside '...' */
		if (names.data[i] == '\'')
			names.data[i] = '"';
	if (rc == 0)
		rc = flags_add(b, names.data, c->flags, c->n_flags);
	if (rc < 0 || !c->complete)
		return rc;
	if (strcmp(c->complete, "file") == 0)
		return buf_addf(b, "complete -c caisson -n '__caisson_is %s' -F\n", names.data);
	return buf_addf(b, "complete -c caisson -n '__caisson_is %s' -a '%s'\n", names.data,
			list_command(c->complete));
}

int completion_fish(struct buf *b)
{
	int rc = head_add(b);

	if (rc == 0)
		rc = flags_add(b, "\"\"", global_flags, n_global_flags);
	if (rc == 0)
		rc = names_add(b, NULL);
	for (size_t i = 0; rc == 0 && i < n_command_groups; i++)
		rc = names_add(b, command_groups[i].name);
	for (size_t i = 0; rc == 0 && i < n_commands; i++)
		rc = command_add(b, &commands[i]);
	return rc;
}
