/* SPDX-License-Identifier: MIT */
/* Help, man page and completion are of one table: what is in it is in all of them. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "fdio.h"
#include "help.h"
#include "temp_dir.h"

static const char *const shells[] = { "bash", "zsh", "fish" };

struct fixture {
	struct temp_dir dir;
	struct buf scripts[3];
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err e = { 0 };

	if (temp_dir_make(&f->dir) < 0 || man_dump(f->dir.path, &e) < 0)
		return -1;
	for (size_t i = 0; i < 3; i++)
		if (completion_make(shells[i], &f->scripts[i], &e) < 0)
			return -1;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	int rc = temp_dir_remove(&f->dir);

	for (size_t i = 0; i < 3; i++)
		buf_done(&f->scripts[i]);
	free(f);
	return rc;
}

static void page_read(const struct fixture *f, const char *name, struct buf *b)
{
	char path[200];
	struct err e = { 0 };

	snprintf(path, sizeof(path), "%s/caisson%s%s.1", f->dir.path, *name ? "-" : "", name);
	for (char *p = path + strlen(f->dir.path); *p; p++)
		if (*p == ' ')
			*p = '-';
	assert_int_equal(file_read_at(AT_FDCWD, path, 1 << 20, b, &e), 0);
}

/* "\-" is "-" on paper. */
static void roff_name(const char *name, char *ret, size_t len)
{
	size_t n = 0;

	for (; *name && n + 3 < len; name++) {
		if (*name == '-')
			ret[n++] = '\\';
		ret[n++] = *name;
	}
	ret[n] = 0;
}

static void check_has(const char *text, const char *what, const char *where)
{
	if (!strstr(text, what))
		print_message("%s lacks %s\n", where, what);
	assert_non_null(strstr(text, what));
}

static void every_command_is_everywhere(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < n_commands; i++) {
		const struct command *c = &commands[i];
		auto_buf help = { 0 }, page = { 0 };
		char quoted[80];

		assert_int_equal(help_command(&help, c), 0);
		page_read(f, c->name, &page);
		check_has(help.data, c->name, "help");
		check_has(help.data, c->help, "help");
		check_has(page.data, ".SH SYNOPSIS\n", c->name);
		check_has(page.data, ".SH SEE ALSO\n\\fBcaisson\\fR(1)", c->name);
		assert_int_equal(strncmp(page.data, ".\\\" SPDX", 8), 0);
		snprintf(quoted, sizeof(quoted), "'%s'", c->name);
		check_has(f->scripts[0].data, quoted, "bash completion");
		check_has(f->scripts[1].data, quoted, "zsh completion");
		snprintf(quoted, sizeof(quoted), "\"%s\"", c->name);
		if (c->n_flags || c->complete)
			check_has(f->scripts[2].data, quoted, "fish completion");
	}
}

static void flag_check(const struct fixture *f, const struct flag *flag, const char *help,
		       const char *page, const char *command)
{
	char dashed[80], roff[160], fish[80];

	snprintf(dashed, sizeof(dashed), "--%s", flag->name);
	roff_name(dashed, roff, sizeof(roff));
	snprintf(fish, sizeof(fish), "-l %s ", flag->name);
	if (!flag->help)
		return; /* works, but is shown nowhere */
	check_has(help, dashed, command);
	check_has(help, flag->help, command);
	check_has(page, roff, command);
	check_has(f->scripts[0].data, dashed, "bash completion");
	check_has(f->scripts[1].data, dashed, "zsh completion");
	check_has(f->scripts[2].data, fish, "fish completion");
}

static void every_flag_is_everywhere(void **state)
{
	struct fixture *f = *state;
	auto_buf overview = { 0 }, page = { 0 };

	for (size_t i = 0; i < n_commands; i++) {
		auto_buf help = { 0 }, man = { 0 };

		assert_int_equal(help_command(&help, &commands[i]), 0);
		page_read(f, commands[i].name, &man);
		for (size_t k = 0; k < commands[i].n_flags; k++)
			flag_check(f, &commands[i].flags[k], help.data, man.data, commands[i].name);
	}
	assert_int_equal(help_overview(&overview), 0);
	page_read(f, "", &page);
	for (size_t k = 0; k < n_global_flags; k++)
		flag_check(f, &global_flags[k], overview.data, page.data, "caisson");
}

static void overview_names_all(void **state)
{
	struct fixture *f = *state;
	auto_buf overview = { 0 }, page = { 0 };

	assert_int_equal(help_overview(&overview), 0);
	page_read(f, "", &page);
	for (size_t i = 0; i < n_commands; i++) {
		char roff[80];

		roff_name(commands[i].name, roff, sizeof(roff));
		check_has(page.data, roff, "caisson.1");
		if (!strchr(commands[i].name, ' '))
			check_has(overview.data, commands[i].name, "overview");
	}
	for (size_t i = 0; i < n_command_groups; i++) {
		auto_buf help = { 0 };

		assert_int_equal(help_group(&help, &command_groups[i]), 0);
		check_has(help.data, command_groups[i].help, "group");
		check_has(overview.data, command_groups[i].name, "overview");
	}
}

static void exit_status_where_it_matters(void **state)
{
	auto_buf run = { 0 }, images = { 0 };

	page_read(*state, "run", &run);
	page_read(*state, "images", &images);
	check_has(run.data, ".SH EXIT STATUS\n", "caisson-run.1");
	assert_null(strstr(images.data, ".SH EXIT STATUS\n"));
}

static void no_other_shells(void **state)
{
	auto_buf b = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(completion_make("tcsh", &b, &e), -EINVAL);
	assert_int_equal(completion_make("", &b, &e), -EINVAL);
	assert_true(man_dump("/proc/no/such/dir", &e) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_command_is_everywhere),
		cmocka_unit_test(every_flag_is_everywhere),
		cmocka_unit_test(overview_names_all),
		cmocka_unit_test(exit_status_where_it_matters),
		cmocka_unit_test(no_other_shells),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
