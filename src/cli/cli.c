/* SPDX-License-Identifier: MIT */
/* cli.c - what commands share: the engine, errors, a name per machine */
#include <string.h>

#include "cli.h"
#include "text.h"

int cli_engine(struct cli *c, struct engine **ret, struct err *e)
{
	if (!c->engine && engine_open(&c->open, &c->engine, e) < 0)
		return -e->code;
	*ret = c->engine;
	return 0;
}

int cli_fail(const struct err *e, int code)
{
	auto_buf text = { 0 };

	fflush(stdout);
	for (const char *p = e->msg; *p;) { /* lines stay lines */
		size_t len = strcspn(p, "\n");

		if (text_escape(&text, p, len) < 0 || (p[len] && buf_add_str(&text, "\n") < 0))
			break;
		p += len + (p[len] == '\n');
	}
	fprintf(stderr, "caisson: %s\n", text.data ? text.data : "");
	return code;
}

int cli_start_code(const struct err *e)
{
	if (e->code == ENGINE_EXIT_NOEXEC)
		return 126;
	if (e->code == ENGINE_EXIT_NOTFOUND)
		return 127;
	return EXIT_CAISSON;
}

int cli_for_machines(struct cli *c, const struct args *a, machine_fn *fn, const void *options)
{
	struct engine *g;
	struct err e = { 0 };
	int code = 0;

	if (cli_engine(c, &g, &e) < 0)
		return cli_fail(&e, EXIT_CAISSON);
	for (int i = 0; i < a->n; i++) {
		char id[65];

		e = (struct err){ 0 };
		if (engine_machine_find(g, a->v[i], id, &e) < 0 || fn(g, id, options, &e) < 0) {
			code = cli_fail(&e, 1);
			continue;
		}
		printf("%s\n", a->v[i]);
		fflush(stdout);
	}
	return code;
}
