/* SPDX-License-Identifier: MIT */
/* completion_internal.h - shared by completion*.c only */
#ifndef COMPLETION_INTERNAL_H
#define COMPLETION_INTERNAL_H

#include "help.h"

must_check int completion_bash(struct buf *b);
must_check int completion_zsh(struct buf *b);
must_check int completion_fish(struct buf *b);

/* A shell function _caisson_list KIND for bash and zsh: names, one a line. */
extern const char completion_list_function[];

bool completion_has_value(const struct flag *f);
/* Whether the command is one of the group; NULL: of none. */
bool completion_is_in(const struct command *c, const char *group);
/* What it is called there. Not terminated. */
const char *completion_name_in(const struct command *c, const char *group, size_t *ret_len);

/* 'run'|'container run': all full names, quoted. */
must_check int completion_names_add(struct buf *b, const struct command *c, const char *between);
/* " --env -e ...": the flags that are shown, or only those with an argument. */
must_check int completion_flags_add(struct buf *b, const struct flag *flags, size_t n,
				    bool only_valued);
/* " ls inspect ...": names in a group; NULL: commands without one, and the groups. */
must_check int completion_subs_add(struct buf *b, const char *group);

/* The inside of '...': for bash and zsh "'\\''", for fish "\\'". */
must_check int completion_quote_add(struct buf *b, const char *text, const char *quote);

#endif
