/* SPDX-License-Identifier: MIT */
/* cmd_disk_work.c - disk coalesce, flatten, compact: what moves data */
#include <string.h>

#include "cmd_disk.h"
#include "text.h"

int cmd_disk_coalesce(struct cli *c, const void *options, const struct args *a)
{
	const struct disk_flags *o = options;
	struct vhd_open_options open;
	struct vhd_err v = { 0 };
	struct err e = { 0 };
	char human[96], size[64];
	uint64_t moved = 0;
	struct disk_work w;
	json_t *object;
	int rc;

	(void)c;
	if (o->levels < 1 || o->levels >= VHD_DEPTH_MAX) {
		err_plain(&e, EINVAL, "--levels: from 1 to %u", VHD_DEPTH_MAX - 1);
		return cli_fail(&e, EXIT_CAISSON);
	}
	disk_open_options(o, 0, &open);
	if (disk_work_begin(&w, o, a->v[0], &e) < 0)
		return cli_fail(&e, 1);
	rc = vhd_coalesce(a->v[0], (unsigned int)o->levels, &open, &moved, &w.p, &v);
	disk_work_end(&w, rc == 0);
	if (rc < 0) {
		(void)disk_err(&e, &v);
		return cli_fail(&e, 1);
	}
	disk_size_text(moved, size);
	snprintf(human, sizeof(human), "Moved: %s\n", size);
	object = json_pack("{s:I}", "Moved", (json_int_t)moved);
	rc = disk_object_print(o->format, object, human, &e);
	json_decref(object);
	return rc < 0 ? cli_fail(&e, 1) : 0;
}

static int flatten(const struct disk_flags *o, const struct args *a, struct err *e)
{
	struct vhd_copy_options copy = { 0 };
	struct vhd_err v = { 0 }, ignored = { 0 };
	struct disk_work w;
	struct vhd *disk;
	int rc;

	if (disk_create_options(o, &copy.create, e) < 0)
		return -e->code;
	copy.type = copy.create.type;
	if (disk_open(a->v[0], o, 0, &disk, e) < 0)
		return -e->code;
	rc = disk_work_begin(&w, o, a->v[1], e);
	if (rc == 0) {
		rc = vhd_copy(disk, a->v[1], &copy, &w.p, &v);
		disk_work_end(&w, rc == 0);
		if (rc < 0)
			rc = disk_err(e, &v);
	}
	(void)!vhd_close(disk, &ignored); /* only read from */
	return rc;
}

int cmd_disk_flatten(struct cli *c, const void *options, const struct args *a)
{
	struct err e = { 0 };

	(void)c;
	if (flatten(options, a, &e) < 0)
		return cli_fail(&e, 1);
	puts(a->v[1]);
	return 0;
}

int cmd_disk_compact(struct cli *c, const void *options, const struct args *a)
{
	const struct disk_flags *o = options;
	struct vhd_compact_result r = { 0 };
	struct vhd_open_options open;
	struct vhd_err v = { 0 };
	struct err e = { 0 };
	char before[32], after[32], human[200];
	struct disk_work w;
	json_t *object;
	int rc;

	(void)c;
	disk_open_options(o, 0, &open);
	if (disk_work_begin(&w, o, a->v[0], &e) < 0)
		return cli_fail(&e, 1);
	rc = vhd_compact(a->v[0], &open, o->is_dry_run ? VHD_DRY_RUN : 0, &r, &w.p, &v);
	disk_work_end(&w, rc == 0);
	if (rc < 0) {
		(void)disk_err(&e, &v);
		return cli_fail(&e, 1);
	}
	size_text(r.before, 4, before, sizeof(before));
	size_text(r.after, 4, after, sizeof(after));
	snprintf(human, sizeof(human), "%s: %u blocks given back, %u moved; %s to %s\n",
		 o->is_dry_run ? "Would be done" : "Done", r.blocks_freed, r.blocks_moved, before,
		 after);
	object = json_pack("{s:I,s:I,s:I,s:I,s:b}", "Before", (json_int_t)r.before, "After",
			   (json_int_t)r.after, "BlocksFreed", (json_int_t)r.blocks_freed,
			   "BlocksMoved", (json_int_t)r.blocks_moved, "DryRun", o->is_dry_run);
	rc = disk_object_print(o->format, object, human, &e);
	json_decref(object);
	return rc < 0 ? cli_fail(&e, 1) : 0;
}
