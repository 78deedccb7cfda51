/* SPDX-License-Identifier: MIT */
/* cmd_disk_import.c - disk import: an image of a disk's root file system */
#include <inttypes.h>

#include "cmd_disk.h"
#include "disk_import.h"

static int partition_take(const char *text, uint32_t *ret, struct err *e)
{
	char *end;
	unsigned long n;

	*ret = DISK_IMPORT_ANY;
	if (!text)
		return 0;
	n = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || n >= DISK_IMPORT_ANY)
		return err_plain(e, EINVAL, "invalid partition '%.50s': a number", text);
	*ret = (uint32_t)n;
	return 0;
}

static int options_take(const struct disk_flags *o, const struct args *a,
			struct vhd_open_options *parents, struct disk_import *ret, struct err *e)
{
	enum disk_format format;

	disk_open_options(o, 0, parents);
	*ret = (struct disk_import){ .disk = a->v[0],
				     .ref = a->v[1],
				     .parents = parents,
				     .changes = o->changes.v,
				     .n_changes = o->changes.n,
				     .message = o->message };
	if (partition_take(o->partition, &ret->partition, e) < 0 ||
	    disk_format(o->from, a->v[0], &format, e) < 0)
		return -e->code;
	ret->is_raw = format == DISK_RAW;
	if (format > DISK_VHD_DYNAMIC)
		return err_plain(e, EINVAL,
				 "%.300s: %s is not read here: caisson disk convert "
				 "makes a VHD of it",
				 a->v[0], disk_format_name(format));
	return 0;
}

static int import(struct cli *c, const struct disk_flags *o, const struct disk_import *x,
		  struct disk_imported *ret, struct err *e)
{
	struct disk_work w;
	struct engine *g;
	int rc;

	if (cli_engine(c, &g, e) < 0 || disk_work_begin(&w, o, x->disk, e) < 0)
		return -e->code;
	rc = engine_disk_import(g, x, &w.p, ret, e);
	disk_work_end(&w, rc == 0);
	return rc;
}

int cmd_disk_import(struct cli *c, const void *options, const struct args *a)
{
	const struct disk_flags *o = options;
	struct vhd_open_options parents;
	struct disk_imported r = { 0 };
	struct disk_import x;
	struct err e = { 0 };

	if (options_take(o, a, &parents, &x, &e) < 0)
		return cli_fail(&e, EXIT_CAISSON);
	if (import(c, o, &x, &r, &e) < 0)
		return cli_fail(&e, 1);
	if (r.left_out && !o->is_quiet)
		fprintf(stderr, "caisson: left out: %" PRIu64 " files that an image cannot hold\n",
			r.left_out);
	puts(r.id);
	free(r.id);
	return 0;
}
