/* SPDX-License-Identifier: MIT */
/*
 * completion.c - what shells complete, from the table of commands
 *
 * Each script finds the command in the line, then offers its flags or its arguments. Names of
 * machines, images and kernels are asked of caisson itself when they are needed. Fixed text is
 * quoted; what caisson answers is compared as it is, never expanded by the shell.
 */
#include <string.h>

#include "completion_internal.h"

const char completion_list_function[] =
	"_caisson_list() {\n"
	"\tcase $1 in\n"
	"\tmachine) caisson ps -a --format '{{.Names}}' ;;\n"
	"\trunning) caisson ps --format '{{.Names}}' ;;\n"
	"\timage) caisson images --format '{{.Repository}}:{{.Tag}}' | grep -v '<none>' ;;\n"
	"\tkernel) caisson kernel ls -q ;;\n"
	"\tvolume) caisson volume ls -q ;;\n"
	"\tesac 2>/dev/null\n"
	"}\n";

bool completion_has_value(const struct flag *f)
{
	return f->kind != FLAG_BOOL && f->kind != FLAG_UNSUPPORTED;
}

bool completion_is_in(const struct command *c, const char *group)
{
	return group ? command_is_in_group(c, group) : !strchr(c->name, ' ');
}

const char *completion_name_in(const struct command *c, const char *group, size_t *ret_len)
{
	const char *full = !group || strchr(c->name, ' ') ? c->name : c->aliases;
	const char *name = group ? full + strlen(group) + 1 : full;

	*ret_len = strcspn(name, ",");
	return name;
}

int completion_names_add(struct buf *b, const struct command *c, const char *between)
{
	int rc = buf_addf(b, "'%s'", c->name);

	for (const char *p = c->aliases; rc == 0 && p && *p;) {
		size_t len = strcspn(p, ",");

		rc = buf_addf(b, "%s'%.*s'", between, (int)len, p);
		p += len + (p[len] == ',');
	}
	return rc;
}

int completion_flags_add(struct buf *b, const struct flag *flags, size_t n, bool only_valued)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		if (!flags[i].help || (only_valued && !completion_has_value(&flags[i])))
			continue;
		rc = buf_addf(b, " --%s", flags[i].name);
		if (rc == 0 && flags[i].letter)
			rc = buf_addf(b, " -%c", flags[i].letter);
	}
	return rc;
}

int completion_subs_add(struct buf *b, const char *group)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n_commands; i++) {
		const char *name;
		size_t len;

		if (!completion_is_in(&commands[i], group))
			continue;
		name = completion_name_in(&commands[i], group, &len);
		rc = buf_addf(b, " %.*s", (int)len, name);
	}
	for (size_t i = 0; rc == 0 && !group && i < n_command_groups; i++)
		rc = buf_addf(b, " %s", command_groups[i].name);
	return rc;
}

int completion_quote_add(struct buf *b, const char *text, const char *quote)
{
	int rc = 0;

	for (; rc == 0 && *text; text++)
		rc = *text == '\'' ? buf_add_str(b, quote) : buf_add(b, text, 1);
	return rc;
}

int completion_make(const char *shell, struct buf *b, struct err *e)
{
	static const struct {
		const char *name;
		int (*make)(struct buf *b);
	} shells[] = {
		{ "bash", completion_bash },
		{ "zsh", completion_zsh },
		{ "fish", completion_fish },
	};

	for (size_t i = 0; i < ARRAY_SIZE(shells); i++)
		if (strcmp(shell, shells[i].name) == 0)
			return shells[i].make(b) < 0 ? err_set(e, ENOMEM, "completion") : 0;
	return err_plain(e, EINVAL, "there is no completion for \"%.100s\": bash, zsh or fish",
			 shell);
}
