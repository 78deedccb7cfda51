/* SPDX-License-Identifier: MIT */
/* cmd_ps.c - list machines */
#include <string.h>
#include <time.h>

#include "format.h"
#include "options.h"
#include "ps_filter.h"
#include "ps_row.h"

static const struct format_column columns[] = {
	{ "CONTAINER ID", "ID" },    { "IMAGE", "Image" },   { "COMMAND", "Command" },
	{ "CREATED", "RunningFor" }, { "STATUS", "Status" }, { "PORTS", "Ports" },
	{ "NAMES", "Names" },        { "SIZE", "Size" }, /* only with -s */
};

/* Machines that pass, newest first, as the engine has them; `limit` of 0 is none. */
static int machines_choose(struct engine *g, const struct ps_flags *o, bool all, size_t limit,
			   json_t *ret, struct err *e)
{
	json_t *list, *m;
	size_t i;
	int rc = 0;

	if (engine_machine_list(g, all, &list, e) < 0)
		return -e->code;
	json_array_foreach (list, i, m) {
		bool match;

		if (limit && json_array_size(ret) == limit)
			break;
		rc = ps_filters_match(g, &o->filters, m, &match, e);
		if (rc == 0 && match && json_array_append(ret, m) < 0)
			rc = err_set(e, ENOMEM, "list of machines");
		if (rc < 0)
			break;
	}
	json_decref(list);
	return rc;
}

static int rows_make(const json_t *machines, enum ps_length length, json_t *rows, struct err *e)
{
	struct timespec now;
	const json_t *m;
	size_t i;

	clock_gettime(CLOCK_REALTIME, &now);
	json_array_foreach (machines, i, m) {
		json_t *row =
			ps_row_make(m, length, (int64_t)now.tv_sec * 1000000000 + now.tv_nsec);

		if (!row || json_array_append_new(rows, row) < 0)
			return err_set(e, ENOMEM, "list of machines");
	}
	return 0;
}

static int rows_print(const struct ps_flags *o, const json_t *rows, struct err *e)
{
	bool is_table = !o->format || !*o->format || strcmp(o->format, "table") == 0;
	const json_t *row;
	size_t i;

	if (!o->is_quiet || !is_table)
		return format_list(o->format, rows, columns,
				   ARRAY_SIZE(columns) - (o->with_size ? 0 : 1), e);
	json_array_foreach (rows, i, row)
		printf("%s\n", json_string_value(json_object_get(row, "ID")));
	return 0;
}

int cmd_ps(struct cli *c, const void *options, const struct args *a)
{
	const struct ps_flags *o = options;
	int64_t last = o->latest && o->last < 0 ? 1 : MAX_OF(o->last, 0);
	json_t *machines = json_array(), *rows = json_array();
	struct engine *g;
	struct err e = { 0 };
	bool by_status;
	int rc;

	(void)a;
	rc = ps_filters_check(&o->filters, &by_status, &e);
	if (rc == 0)
		rc = cli_engine(c, &g, &e);
	if (rc == 0)
		rc = machines_choose(g, o, o->all || by_status || last > 0, (size_t)last, machines,
				     &e);
	if (rc == 0)
		rc = rows_make(machines, o->no_trunc ? PS_WHOLE : PS_CUT, rows, &e);
	if (rc == 0)
		rc = rows_print(o, rows, &e);
	json_decref(machines);
	json_decref(rows);
	return rc < 0 ? cli_fail(&e, 1) : 0;
}
