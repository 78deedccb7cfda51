/* SPDX-License-Identifier: MIT */
/* completion_zsh.c - the script for zsh: a function that is loaded from $fpath */
#include "completion_internal.h"

static const char zsh_end[] = "\t(*) return 1 ;;\n"
			      "\tesac\n"
			      "\tfor ((i++; i < CURRENT; i++)); do\n"
			      "\t\tif ((${valued[(Ie)${words[i]}]})); then ((i++))\n"
			      "\t\telif [[ ${words[i]} != -* && -n $stops ]]; then\n"
			      "\t\t\t_files\n"
			      "\t\t\treturn\n"
			      "\t\tfi\n"
			      "\tdone\n"
			      "\tif [[ ${words[CURRENT - 1]} == --kernel ]]; then what=kernel\n"
			      "\telif ((${valued[(Ie)${words[CURRENT - 1]}]})); then what=file\n"
			      "\telif [[ $PREFIX == -* ]]; then\n"
			      "\t\t_describe -o option flags\n"
			      "\t\treturn\n"
			      "\tfi\n"
			      "\tif [[ $what == file ]]; then\n"
			      "\t\t_files\n"
			      "\t\treturn\n"
			      "\tfi\n"
			      "\tlist=(${(f)\"$(_caisson_list $what)\"})\n"
			      "\tcompadd -a list\n"
			      "}\n"
			      "_caisson \"$@\"\n";

/* One word of an array: 'name:what it is' */
static int described_add(struct buf *b, const char *dashes, const char *name, size_t len,
			 const char *help)
{
	if (buf_addf(b, " '%s%.*s:", dashes, (int)len, name) < 0 ||
	    completion_quote_add(b, help, "'\\''") < 0)
		return -ENOMEM;
	return buf_add_str(b, "'");
}

static int flags_add(struct buf *b, const struct flag *flags, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct flag *f = &flags[i];

		if (f->help && (described_add(b, "--", f->name, 80, f->help) < 0 ||
				(f->letter && described_add(b, "-", &f->letter, 1, f->help) < 0)))
			return -ENOMEM;
	}
	return 0;
}

static int names_add(struct buf *b, const char *group)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n_commands; i++) {
		const char *name;
		size_t len;

		if (!completion_is_in(&commands[i], group))
			continue;
		name = completion_name_in(&commands[i], group, &len);
		rc = described_add(b, "", name, len, commands[i].help);
	}
	for (size_t i = 0; rc == 0 && !group && i < n_command_groups; i++)
		rc = described_add(b, "", command_groups[i].name, 80, command_groups[i].help);
	return rc;
}

static int command_add(struct buf *b, const struct command *c)
{
	if (buf_add_str(b, "\t(") < 0 || completion_names_add(b, c, "|") < 0 ||
	    buf_add_str(b, ")\n\t\tflags=(") < 0 || flags_add(b, c->flags, c->n_flags) < 0 ||
	    buf_add_str(b, " '--help:Print usage')\n\t\tvalued=(") < 0 ||
	    completion_flags_add(b, c->flags, c->n_flags, true) < 0)
		return -ENOMEM;
	return buf_addf(b, " )\n\t\twhat=%s\n\t\tstops=%s\n\t\t;;\n",
			c->complete ? c->complete : "none", c->stops_at_arg ? "1" : "");
}

/* Finds the command; before it is whole, its names are offered. */
static int head_add(struct buf *b)
{
	if (buf_addf(b,
		     "#compdef caisson\n"
		     "# SPDX-License-Identifier: MIT\n"
		     "# zsh completion of caisson, made by: caisson --completion zsh\n%s"
		     "_caisson() {\n"
		     "\tlocal cmd= what stops i\n"
		     "\tlocal -a flags valued list\n"
		     "\tfor ((i = 2; i < CURRENT; i++)); do\n"
		     "\t\tcase ${words[i]} in\n",
		     completion_list_function) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < n_global_flags; i++)
		if (completion_has_value(&global_flags[i]) &&
		    buf_addf(b, "\t\t(--%s) ((i++)) ;;\n", global_flags[i].name) < 0)
			return -ENOMEM;
	if (buf_add_str(b, "\t\t(-*) ;;\n\t\t(*) break ;;\n\t\tesac\n\tdone\n"
			   "\t((i < CURRENT)) && cmd=${words[i]}\n"
			   "\tcase $cmd in\n\t('') flags=(") < 0 ||
	    flags_add(b, global_flags, n_global_flags) < 0 || buf_add_str(b, ")\n\t\tlist=(") < 0 ||
	    names_add(b, NULL) < 0 || buf_add_str(b, ") ;;\n") < 0)
		return -ENOMEM;
	for (size_t i = 0; i < n_command_groups; i++)
		if (buf_addf(b, "\t(%s)\n\t\tcmd=\"$cmd ${words[++i]}\"\n\t\tlist=(",
			     command_groups[i].name) < 0 ||
		    names_add(b, command_groups[i].name) < 0 || buf_add_str(b, ") ;;\n") < 0)
			return -ENOMEM;
	return buf_add_str(b, "\tesac\n\tif ((i >= CURRENT)); then\n"
			      "\t\tif [[ $PREFIX == -* ]]; then _describe -o option flags\n"
			      "\t\telse _describe command list\n\t\tfi\n\t\treturn\n\tfi\n"
			      "\tcase $cmd in\n");
}

int completion_zsh(struct buf *b)
{
	int rc = head_add(b);

	for (size_t i = 0; rc == 0 && i < n_commands; i++)
		rc = command_add(b, &commands[i]);
	return rc == 0 ? buf_add_str(b, zsh_end) : rc;
}
