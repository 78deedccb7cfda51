/* SPDX-License-Identifier: MIT */
/* cmd_disk_check.c - disk check, repair, diff: lists of what is found */
#include <string.h>

#include "cmd_disk.h"
#include "format.h"

#define EXIT_FOUND 2 /* check: errors; diff --exit-code: differences */

struct findings {
	json_t *rows;
	bool has_failed; /* out of memory */
};

static void finding_add(void *ctx, const char *file, const struct vhd_finding *f)
{
	static const char *const severities[] = { "note", "warning", "error" };
	struct findings *l = ctx;
	json_t *row = json_pack("{s:s,s:o,s:o,s:o,s:o,s:s}", "Severity", severities[f->severity],
				"File", disk_text(file), "Offset", disk_number(f->offset), "Field",
				disk_text(f->field ? f->field : ""), "Text", disk_text(f->text),
				"Repairable", f->is_repairable ? "yes" : "no");

	if (!row || json_array_append_new(l->rows, row) < 0)
		l->has_failed = true;
}

static int findings_print(const struct findings *l, const char *format, struct err *e)
{
	static const struct format_column columns[] = {
		{ "SEVERITY", "Severity" },     { "FILE", "File" },   { "OFFSET", "Offset" },
		{ "REPAIRABLE", "Repairable" }, { "FIELD", "Field" }, { "FINDING", "Text" },
	};

	if (l->has_failed)
		return err_set(e, ENOMEM, "output");
	if ((!format || !*format) && json_array_size(l->rows) == 0)
		return 0; /* no table of nothing: a sentence follows */
	return format_list(format, l->rows, columns, ARRAY_SIZE(columns), e);
}

int cmd_disk_check(struct cli *c, const void *options, const struct args *a)
{
	const struct disk_flags *o = options;
	struct findings list = { .rows = json_array() };
	struct vhd_open_options open;
	struct vhd_err v = { 0 };
	struct err e = { 0 };
	struct disk_work w;
	int n = 0, rc;

	(void)c;
	disk_open_options(o, 0, &open);
	rc = disk_work_begin(&w, o, a->v[0], &e);
	if (rc == 0) {
		n = vhd_check(a->v[0], &open, finding_add, &list, &w.p, &v);
		disk_work_end(&w, n >= 0);
		rc = findings_print(&list, o->format, &e);
	}
	if (rc == 0 && n < 0)
		rc = disk_err(&e, &v);
	json_decref(list.rows);
	if (rc < 0)
		return cli_fail(&e, 1);
	if (!o->format && !o->is_quiet && n == 0)
		printf("No errors were found.\n");
	return n > 0 ? EXIT_FOUND : 0;
}

int cmd_disk_repair(struct cli *c, const void *options, const struct args *a)
{
	const struct disk_flags *o = options;
	struct findings list = { .rows = json_array() };
	struct vhd_err v = { 0 };
	struct err e = { 0 };
	int n = vhd_repair(a->v[0], o->does_write ? 0 : VHD_DRY_RUN, finding_add, &list, &v);
	int rc = findings_print(&list, o->format, &e);

	(void)c;
	if (rc == 0 && n < 0)
		rc = disk_err(&e, &v);
	json_decref(list.rows);
	if (rc < 0)
		return cli_fail(&e, 1);
	if (o->format)
		return 0;
	if (n == 0)
		printf("There is nothing that can be mended.\n");
	else if (o->does_write)
		printf("Mended: %d\n", n);
	else
		printf("To be mended: %d. Nothing was changed; --write does it.\n", n);
	return 0;
}

/* ---- diff ---- */

static int range_add(void *ctx, uint64_t off, uint64_t len)
{
	struct findings *l = ctx;
	json_t *row =
		json_pack("{s:o,s:o}", "Offset", disk_number(off), "Length", disk_number(len));

	if (!row || json_array_append_new(l->rows, row) < 0)
		l->has_failed = true;
	return l->has_failed;
}

static int diff_make(const struct disk_flags *o, const struct args *a, struct vhd *disks[2],
		     struct findings *l, struct err *e)
{
	struct vhd_err v = { 0 };
	struct disk_work w;
	int rc;

	for (int i = 0; i < 2; i++)
		if (disk_open(a->v[i], o, 0, &disks[i], e) < 0)
			return -e->code;
	if (disk_work_begin(&w, o, a->v[1], e) < 0)
		return -e->code;
	rc = vhd_diff(disks[0], disks[1], range_add, l, &w.p, &v);
	disk_work_end(&w, rc == 0);
	return rc < 0 ? disk_err(e, &v) : 0;
}

int cmd_disk_diff(struct cli *c, const void *options, const struct args *a)
{
	static const struct format_column columns[] = { { "OFFSET", "Offset" },
							{ "LENGTH", "Length" } };
	const struct disk_flags *o = options;
	struct findings list = { .rows = json_array() };
	struct vhd *disks[2] = { NULL, NULL };
	struct vhd_err v = { 0 };
	struct err e = { 0 };
	int rc = diff_make(o, a, disks, &list, &e);
	size_t n = json_array_size(list.rows);

	(void)c;
	for (int i = 0; i < 2; i++)
		if (vhd_close(disks[i], &v) < 0 && rc == 0)
			rc = disk_err(&e, &v);
	if (rc == 0 && list.has_failed)
		rc = err_set(&e, ENOMEM, "output");
	if (rc == 0 && !o->is_quiet)
		rc = format_list(o->format, list.rows, columns, ARRAY_SIZE(columns), &e);
	json_decref(list.rows);
	if (rc < 0)
		return cli_fail(&e, 1);
	return o->with_exit_code && n > 0 ? EXIT_FOUND : 0;
}
