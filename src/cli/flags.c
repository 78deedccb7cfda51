/* SPDX-License-Identifier: MIT */
/* flags.c - parse a command line by a table of flags */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "flags.h"

static void *target(const struct flag *f, void *options)
{
	return (char *)options + f->offset;
}

static int bool_parse(const char *t, bool *ret)
{
	static const char *const yes[] = { "true", "1", "t", "T", "TRUE", "True" };
	static const char *const no[] = { "false", "0", "f", "F", "FALSE", "False" };

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		if (strcmp(t, yes[i]) == 0 || strcmp(t, no[i]) == 0) {
			*ret = strcmp(t, yes[i]) == 0;
			return 0;
		}
	}
	return -EINVAL;
}

static int number_parse(const char *t, int64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoll(t, &end, 10);
	return errno || end == t || *end ? -EINVAL : 0;
}

static void flag_name(const struct flag *f, char *buf, size_t len)
{
	if (f->letter)
		snprintf(buf, len, "-%c, --%s", f->letter, f->name);
	else
		snprintf(buf, len, "--%s", f->name);
}

static int flag_set(const struct flag *f, const char *text, void *options, struct err *e)
{
	void *to = target(f, options);
	struct flag_list *list = to;
	char name[80];
	const char **v;
	int rc = 0;

	switch (f->kind) {
	case FLAG_BOOL:
		rc = bool_parse(text, to);
		break;
	case FLAG_NUMBER:
		rc = number_parse(text, to);
		break;
	case FLAG_TEXT:
		*(const char **)to = text;
		break;
	case FLAG_LIST:
		v = realloc(list->v, (list->n + 1) * sizeof(*v));
		if (!v)
			return err_set(e, ENOMEM, "flags");
		list->v = v;
		v[list->n++] = text;
		break;
	case FLAG_UNSUPPORTED:
		return err_plain(e, ENOTSUP, "--%s is not supported by caisson yet", f->name);
	}
	if (rc == 0)
		return 0;
	flag_name(f, name, sizeof(name));
	return err_plain(e, EINVAL, "invalid argument \"%s\" for \"%s\" flag: not a %s", text, name,
			 f->kind == FLAG_BOOL ? "boolean" : "number");
}

int flags_init(const struct flag_set *s, void *options, struct err *e)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->flags[i].initial &&
		    flag_set(&s->flags[i], s->flags[i].initial, options, e) < 0)
			return -e->code;
	return 0;
}

void flags_done(const struct flag_set *s, void *options)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->flags[i].kind == FLAG_LIST) {
			struct flag_list *list = target(&s->flags[i], options);

			free(list->v);
			*list = (struct flag_list){ 0 };
		}
}

struct scan {
	const struct flag_set *set;
	char **argv;
	int argc, at; /* argv[at] is the word in hand */
	void *options;
	bool help;
};

static const struct flag *by_name(const struct flag_set *s, const char *name, size_t len)
{
	for (size_t i = 0; i < s->n; i++)
		if (strlen(s->flags[i].name) == len && strncmp(s->flags[i].name, name, len) == 0)
			return &s->flags[i];
	return NULL;
}

static const struct flag *by_letter(const struct flag_set *s, char letter)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->flags[i].letter == letter)
			return &s->flags[i];
	return NULL;
}

static int long_parse(struct scan *s, struct err *e)
{
	const char *word = s->argv[s->at] + 2;
	size_t len = strcspn(word, "=");
	const struct flag *f = by_name(s->set, word, len);

	if (!f && len == 4 && strncmp(word, "help", 4) == 0) {
		s->help = true;
		return 0;
	}
	if (!f)
		return err_plain(e, EINVAL, "unknown flag: --%.*s", (int)MIN_OF(len, 200U), word);
	if (word[len] == '=')
		return flag_set(f, word + len + 1, s->options, e);
	if (f->kind == FLAG_BOOL || f->kind == FLAG_UNSUPPORTED)
		return flag_set(f, "true", s->options, e);
	if (s->at + 1 >= s->argc)
		return err_plain(e, EINVAL, "flag needs an argument: --%s", f->name);
	return flag_set(f, s->argv[++s->at], s->options, e);
}

/* "-it", "-dp 80:80", "-p80:80", "-e=A=1", "-t=false" */
static int letters_parse(struct scan *s, struct err *e)
{
	const char *word = s->argv[s->at];

	for (const char *p = word + 1; *p; p++) {
		const struct flag *f = by_letter(s->set, *p);

		if (!f && *p == 'h') {
			s->help = true;
			return 0;
		}
		if (!f)
			return err_plain(e, EINVAL, "unknown shorthand flag: '%c' in %.200s", *p,
					 word);
		if (p[1] == '=')
			return flag_set(f, p + 2, s->options, e);
		if (f->kind == FLAG_BOOL || f->kind == FLAG_UNSUPPORTED) {
			if (flag_set(f, "true", s->options, e) < 0)
				return -e->code;
			continue;
		}
		if (p[1])
			return flag_set(f, p + 1, s->options, e);
		if (s->at + 1 >= s->argc)
			return err_plain(e, EINVAL, "flag needs an argument: '%c' in %.200s", *p,
					 word);
		return flag_set(f, s->argv[++s->at], s->options, e);
	}
	return 0;
}

int flags_parse(const struct flag_set *set, char **argv, int argc, void *options, int *ret_n_args,
		bool *ret_help, struct err *e)
{
	struct scan s = { .set = set, .argv = argv, .argc = argc, .options = options };
	bool only_args = false;
	int n = 0;

	for (; s.at < argc && !s.help; s.at++) {
		char *word = argv[s.at];
		int rc;

		if (only_args || word[0] != '-' || !word[1]) {
			argv[n++] = word;
			only_args |= set->stops_at_arg;
			continue;
		}
		if (strcmp(word, "--") == 0) {
			only_args = true;
			continue;
		}
		rc = word[1] == '-' ? long_parse(&s, e) : letters_parse(&s, e);
		if (rc < 0)
			return rc;
	}
	*ret_n_args = n;
	*ret_help = s.help;
	return 0;
}
