/* SPDX-License-Identifier: MIT */
/* cmd_disk_export.c - disk export: an image as a bootable disk */
#include <inttypes.h>

#include "cmd_disk.h"
#include "disk_export.h"

static int options_take(const struct disk_flags *o, const struct args *a, struct disk_export *ret,
			struct err *e)
{
	*ret = (struct disk_export){ .image = a->v[0],
				     .output = a->v[1],
				     .kernel = o->kernel,
				     .is_replacing = o->is_forced };
	if (!o->is_bootable)
		return err_plain(e, EINVAL, "export makes bootable disks: say --bootable");
	if (disk_profile(o->profile, &ret->profile, e) < 0)
		return -e->code;
	return o->size ? disk_size(o->size, NULL, &ret->size, e) : 0;
}

static int export(struct cli *c, const struct disk_flags *o, const struct disk_export *x,
		  struct err *e)
{
	struct disk_work w;
	struct engine *g;
	int rc;

	if (!x->is_replacing && access(x->output, F_OK) == 0) /* before the work, not after it */
		return err_set(e, EEXIST, "%.300s", x->output);
	if (cli_engine(c, &g, e) < 0 || disk_work_begin(&w, o, x->output, e) < 0)
		return -e->code;
	rc = engine_disk_export(g, x, &w.p, e);
	disk_work_end(&w, rc == 0);
	return rc;
}

int cmd_disk_export(struct cli *c, const void *options, const struct args *a)
{
	const struct disk_flags *o = options;
	struct disk_export x;
	struct err e = { 0 };

	if (options_take(o, a, &x, &e) < 0)
		return cli_fail(&e, EXIT_CAISSON);
	if (export(c, o, &x, &e) < 0)
		return cli_fail(&e, 1);
	puts(x.output);
	return 0;
}
