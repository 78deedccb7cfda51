/* SPDX-License-Identifier: MIT */
/* man.c - man pages from the table of commands, in man(7)'s macros */
#include <fcntl.h>
#include <string.h>

#include "fdio.h"
#include "help.h"

#define PAGE_NAME_MAX 64

/* Text of a paragraph: "-" is the one of command lines, and nothing begins a request. */
static int roff_add(struct buf *b, const char *text)
{
	int rc = *text == '.' || *text == '\'' ? buf_add_str(b, "\\&") : 0;

	for (; rc == 0 && *text; text++) {
		if (*text == '-')
			rc = buf_add_str(b, "\\-");
		else if (*text == '\\')
			rc = buf_add_str(b, "\\e");
		else
			rc = buf_add(b, text, 1);
	}
	return rc;
}

/* "caisson-image-import" */
static void page_name(const struct command *c, char ret[PAGE_NAME_MAX])
{
	snprintf(ret, PAGE_NAME_MAX, "caisson-%s", c->name);
	for (char *p = ret; *p; p++)
		if (*p == ' ')
			*p = '-';
}

static int head_add(struct buf *b, const char *name, const char *help)
{
	char title[PAGE_NAME_MAX];

	snprintf(title, sizeof(title), "%s", name);
	for (char *p = title; *p; p++)
		if (*p >= 'a' && *p <= 'z')
			*p = (char)(*p - 'a' + 'A');
	if (buf_addf(b,
		     ".\\\" SPDX-License-Identifier: MIT\n.TH %s 1 \"\" \"caisson " CAISSON_VERSION
		     "\" \"caisson manual\"\n.SH NAME\n",
		     title) < 0 ||
	    roff_add(b, name) < 0 || buf_add_str(b, " \\- ") < 0 || roff_add(b, help) < 0)
		return -ENOMEM;
	return buf_add_str(b, "\n");
}

static int synopsis_line(struct buf *b, const struct command *c, const char *name, size_t len)
{
	char text[128];

	snprintf(text, sizeof(text), "%.*s", (int)len, name);
	if (buf_add_str(b, "\\fBcaisson ") < 0 || roff_add(b, text) < 0 ||
	    buf_add_str(b, "\\fR") < 0 || (c->n_flags && buf_add_str(b, " [OPTIONS]") < 0) ||
	    (*c->args && buf_add_str(b, " ") < 0) || roff_add(b, c->args) < 0)
		return -ENOMEM;
	return buf_add_str(b, "\n");
}

static int synopsis_add(struct buf *b, const struct command *c)
{
	int rc = buf_add_str(b, ".SH SYNOPSIS\n");

	if (rc == 0)
		rc = synopsis_line(b, c, c->name, strlen(c->name));
	for (const char *p = c->aliases; rc == 0 && p && *p;) {
		size_t len = strcspn(p, ",");

		rc = buf_add_str(b, ".br\n");
		if (rc == 0)
			rc = synopsis_line(b, c, p, len);
		p += len + (p[len] == ',');
	}
	return rc;
}

static int description_add(struct buf *b, const struct command *c)
{
	if (buf_add_str(b, ".SH DESCRIPTION\n") < 0 || roff_add(b, c->help) < 0 ||
	    buf_add_str(b, ".\n") < 0)
		return -ENOMEM;
	if (!c->more)
		return 0;
	if (buf_add_str(b, ".PP\n") < 0 || roff_add(b, c->more) < 0)
		return -ENOMEM;
	return buf_add_str(b, "\n");
}

static int flag_add(struct buf *b, const struct flag *f)
{
	if (buf_add_str(b, ".TP\n") < 0 ||
	    (f->letter && buf_addf(b, "\\fB\\-%c\\fR, ", f->letter) < 0) ||
	    buf_add_str(b, "\\fB\\-\\-") < 0 || roff_add(b, f->name) < 0 ||
	    buf_add_str(b, "\\fR") < 0)
		return -ENOMEM;
	if (f->arg &&
	    (buf_add_str(b, " \\fI") < 0 || roff_add(b, f->arg) < 0 || buf_add_str(b, "\\fR") < 0))
		return -ENOMEM;
	if (buf_add_str(b, "\n") < 0 || roff_add(b, f->help) < 0)
		return -ENOMEM;
	if (f->initial && f->kind == FLAG_TEXT &&
	    (buf_add_str(b, " (default ") < 0 || roff_add(b, f->initial) < 0 ||
	     buf_add_str(b, ")") < 0))
		return -ENOMEM;
	return buf_add_str(b, ".\n");
}

static int flags_add(struct buf *b, const char *section, const struct flag *flags, size_t n)
{
	int rc = n ? buf_addf(b, ".SH %s\n", section) : 0;

	for (size_t i = 0; rc == 0 && i < n; i++)
		if (flags[i].help)
			rc = flag_add(b, &flags[i]);
	return rc;
}

static int exit_add(struct buf *b, const struct command *c)
{
	if (strcmp(c->name, "run") != 0 && strcmp(c->name, "exec") != 0)
		return 0;
	return buf_add_str(
		b,
		".SH EXIT STATUS\n"
		".TP\n\\fB125\\fR\ncaisson itself failed.\n"
		".TP\n\\fB126\\fR\nThe command cannot be executed.\n"
		".TP\n\\fB127\\fR\nThe command is not there.\n"
		".TP\n\\fB128\\fR + \\fIn\\fR\nThe command was ended by signal \\fIn\\fR.\n"
		".TP\n\\fB137\\fR\nAlso: the machine ended before the command did, which standard "
		"error and\n\\fBcaisson inspect\\fR (State.Error) say: its kernel powered off, reset "
		"itself or\ncrashed, or its hypervisor ended.\n"
		".PP\nOtherwise it is the exit status of the command.\n");
}

static int places_add(struct buf *b)
{
	return buf_add_str(
		b,
		".SH FILES\n"
		".TP\n\\fI/var/lib/caisson\\fR, \\fI~/.local/share/caisson\\fR\n"
		"Images, machines, kernels and templates, of root and of other users.\n"
		".TP\n\\fI/run/caisson\\fR, \\fI$XDG_RUNTIME_DIR/caisson\\fR\n"
		"Sockets and locks of what runs.\n"
		".TP\n\\fI~/.docker/config.json\\fR\nNames and passwords for registries.\n"
		".TP\n\\fI/etc/containers/registries.conf\\fR\nMirrors, short names, blocked registries.\n"
		".SH ENVIRONMENT\n"
		".TP\n\\fBCAISSON_ROOT\\fR\nWhere images and machines are kept, as \\fB\\-\\-root\\fR.\n"
		".TP\n\\fBCAISSON_RUN\\fR\nWhere sockets and locks are, as \\fB\\-\\-run\\fR.\n"
		".TP\n\\fBCAISSON_TRACE\\fR\nSet to 1: print the phases of a start, as \\fB\\-\\-trace\\fR.\n"
		".TP\n\\fBDOCKER_CONFIG\\fR\nThe directory of \\fIconfig.json\\fR.\n");
}

/* Those of the same group; for a command without one, those without one. */
static bool is_related(const struct command *a, const struct command *b)
{
	const char *sa = strchr(a->name, ' '), *sb = strchr(b->name, ' ');

	if (a == b || !sa != !sb)
		return false;
	return !sa || (sa - a->name == sb - b->name &&
		       strncmp(a->name, b->name, (size_t)(sa - a->name)) == 0);
}

/* of NULL: all. */
static int see_also_add(struct buf *b, const struct command *of)
{
	int rc = buf_add_str(b, of ? ".SH SEE ALSO\n\\fBcaisson\\fR(1)" : ".SH SEE ALSO\n");
	bool is_first = !of;

	for (size_t i = 0; rc == 0 && i < n_commands; i++) {
		char name[PAGE_NAME_MAX];

		if (of && !is_related(of, &commands[i]))
			continue;
		page_name(&commands[i], name);
		rc = buf_add_str(b, is_first ? "\\fB" : ",\n\\fB");
		is_first = false;
		if (rc == 0)
			rc = roff_add(b, name);
		if (rc == 0)
			rc = buf_add_str(b, "\\fR(1)");
	}
	return rc == 0 ? buf_add_str(b, "\n") : rc;
}

static int command_page(struct buf *b, const struct command *c)
{
	char name[PAGE_NAME_MAX];

	page_name(c, name);
	if (head_add(b, name, c->help) < 0 || synopsis_add(b, c) < 0 || description_add(b, c) < 0 ||
	    flags_add(b, "OPTIONS", c->flags, c->n_flags) < 0 || exit_add(b, c) < 0)
		return -ENOMEM;
	return places_add(b) < 0 ? -ENOMEM : see_also_add(b, c);
}

static int commands_add(struct buf *b)
{
	int rc = buf_add_str(b, ".SH COMMANDS\n");

	for (size_t i = 0; rc == 0 && i < n_commands; i++) {
		rc = buf_add_str(b, ".TP\n\\fBcaisson ");
		if (rc == 0)
			rc = roff_add(b, commands[i].name);
		if (rc == 0)
			rc = buf_add_str(b, "\\fR\n");
		if (rc == 0)
			rc = roff_add(b, commands[i].help);
		if (rc == 0)
			rc = buf_add_str(b, ".\n");
	}
	return rc;
}

static int overview_page(struct buf *b)
{
	static const char text[] =
		".SH SYNOPSIS\n\\fBcaisson\\fR [OPTIONS] COMMAND\n"
		".SH DESCRIPTION\n"
		"Pulls images of containers from registries and runs each of them in a virtual machine of "
		"its own, with its own kernel.\n"
		"The commands and their flags are those of \\fBdocker\\fR(1), as far as they go.\n"
		"There is no daemon.\n"
		".PP\n\\fBcaisson doctor\\fR tells what the host lacks.\n";

	if (head_add(b, "caisson", "run images of containers in virtual machines of their own") <
		    0 ||
	    buf_add_str(b, text) < 0 || flags_add(b, "OPTIONS", global_flags, n_global_flags) < 0 ||
	    commands_add(b) < 0 || places_add(b) < 0)
		return -ENOMEM;
	return see_also_add(b, NULL);
}

static int page_write(int dir_fd, const char *name, const struct buf *b, int rc, struct err *e)
{
	char file[PAGE_NAME_MAX + 4];

	if (rc < 0)
		return err_set(e, -rc, "man page");
	snprintf(file, sizeof(file), "%s.1", name);
	return file_write_atomic_at(dir_fd, file, 0644, b->data, b->len, e);
}

int man_dump(const char *dir, struct err *e)
{
	auto_buf overview = { 0 };
	auto_fd fd = -1;
	int rc;

	if (dir_make_at(AT_FDCWD, dir, 0755, e) < 0)
		return -e->code;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set(e, errno, "open %s", dir);
	rc = page_write(fd, "caisson", &overview, overview_page(&overview), e);
	for (size_t i = 0; rc == 0 && i < n_commands; i++) {
		auto_buf b = { 0 };
		char name[PAGE_NAME_MAX];

		page_name(&commands[i], name);
		rc = page_write(fd, name, &b, command_page(&b, &commands[i]), e);
	}
	return rc;
}
