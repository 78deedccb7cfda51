/* SPDX-License-Identifier: MIT */
/* completion_bash.c - the script for bash; needs nothing of the package bash-completion */
#include "completion_internal.h"

static const char bash_end[] =
	"\t*) return ;;\n"
	"\tesac\n"
	"\tfor ((i++; i < n; i++)); do\n"
	"\t\tw=${words[i]}\n"
	"\t\tif [[ $valued == *\" $w \"* ]]; then ((i++))\n"
	"\t\telif [[ $w != -* && $stops ]]; then\n"
	"\t\t\tcompopt -o default\n"
	"\t\t\treturn\n"
	"\t\tfi\n"
	"\tdone\n"
	"\tw=${words[n - 1]}\n"
	"\tif [[ $w == --kernel ]]; then what=kernel\n"
	"\telif [[ $valued == *\" $w \"* ]]; then what=file\n"
	"\telif [[ $cur == -* ]]; then\n"
	"\t\tCOMPREPLY=($(compgen -W \"$flags --help\" -- \"$cur\"))\n"
	"\t\treturn\n"
	"\tfi\n"
	"\tif [[ $what == file ]]; then\n"
	"\t\tcompopt -o default\n"
	"\t\treturn\n"
	"\tfi\n"
	"\t# bash breaks words at a colon: what stands before it is not to be said again\n"
	"\tcolon=\n"
	"\t[[ $cur == *:* && $COMP_WORDBREAKS == *:* ]] && colon=${cur%:*}:\n"
	"\twhile IFS= read -r w; do\n"
	"\t\t[[ $w == \"$cur\"* ]] && COMPREPLY+=(\"${w#\"$colon\"}\")\n"
	"\tdone < <(_caisson_list \"$what\")\n"
	"}\n"
	"complete -F _caisson caisson\n";

static int bash_command(struct buf *b, const struct command *c)
{
	if (buf_add_str(b, "\t") < 0 || completion_names_add(b, c, "|") < 0 ||
	    buf_add_str(b, ")\n\t\tflags='") < 0 ||
	    completion_flags_add(b, c->flags, c->n_flags, false) < 0 ||
	    buf_add_str(b, "'\n\t\tvalued='") < 0 ||
	    completion_flags_add(b, c->flags, c->n_flags, true) < 0)
		return -ENOMEM;
	return buf_addf(b, " '\n\t\twhat=%s\n\t\tstops=%s\n\t\t;;\n",
			c->complete ? c->complete : "none", c->stops_at_arg ? "1" : "");
}

static int bash_head(struct buf *b)
{
	if (buf_addf(
		    b,
		    "# SPDX-License-Identifier: MIT\n"
		    "# bash completion of caisson, made by: caisson --completion bash\n%s"
		    "_caisson() {\n"
		    "\tlocal line=${COMP_LINE:0:COMP_POINT} cur= cmd= w colon flags valued what stops i n\n"
		    "\tlocal -a words\n"
		    "\tCOMPREPLY=()\n"
		    "\tread -ra words <<<\"$line\"\n"
		    "\t[[ $line == *[[:space:]] ]] && words+=('')\n"
		    "\tn=$((${#words[@]} - 1))\n"
		    "\tcur=${words[n]}\n"
		    "\tfor ((i = 1; i < n; i++)); do\n"
		    "\t\tcase ${words[i]} in\n",
		    completion_list_function) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < n_global_flags; i++)
		if (completion_has_value(&global_flags[i]) &&
		    buf_addf(b, "\t\t--%s) ((i++)) ;;\n", global_flags[i].name) < 0)
			return -ENOMEM;
	if (buf_add_str(b, "\t\t-*) ;;\n\t\t*) break ;;\n\t\tesac\n\tdone\n"
			   "\t((i < n)) && cmd=${words[i]}\n"
			   "\tcase $cmd in\n\t'') w='") < 0 ||
	    completion_subs_add(b, NULL) < 0 ||
	    completion_flags_add(b, global_flags, n_global_flags, false) < 0 ||
	    buf_add_str(b, " help --help' ;;\n") < 0)
		return -ENOMEM;
	for (size_t i = 0; i < n_command_groups; i++)
		if (buf_addf(b, "\t%s)\n\t\tcmd=\"$cmd ${words[++i]}\"\n\t\t((i < n)) || w='",
			     command_groups[i].name) < 0 ||
		    completion_subs_add(b, command_groups[i].name) < 0 ||
		    buf_add_str(b, " --help'\n\t\t;;\n") < 0)
			return -ENOMEM;
	return buf_add_str(b, "\tesac\n\tif ((i >= n)); then\n"
			      "\t\tCOMPREPLY=($(compgen -W \"$w\" -- \"$cur\"))\n\t\treturn\n\tfi\n"
			      "\tcase $cmd in\n");
}

int completion_bash(struct buf *b)
{
	int rc = bash_head(b);

	for (size_t i = 0; rc == 0 && i < n_commands; i++)
		rc = bash_command(b, &commands[i]);
	return rc == 0 ? buf_add_str(b, bash_end) : rc;
}
