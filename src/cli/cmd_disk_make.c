/* SPDX-License-Identifier: MIT */
/* cmd_disk_make.c - disk create, snapshot, resize, reparent */
#include "cmd_disk.h"

int cmd_disk_create(struct cli *c, const void *options, const struct args *a)
{
	const struct disk_flags *o = options;
	struct vhd_create_options create;
	struct vhd_err v = { 0 };
	struct err e = { 0 };

	(void)c;
	if (disk_create_options(o, &create, &e) < 0 ||
	    disk_size(a->v[1], NULL, &create.size, &e) < 0)
		return cli_fail(&e, EXIT_CAISSON);
	if (vhd_create(a->v[0], &create, &v) < 0) {
		(void)disk_err(&e, &v);
		return cli_fail(&e, 1);
	}
	puts(a->v[0]);
	return 0;
}

int cmd_disk_snapshot(struct cli *c, const void *options, const struct args *a)
{
	const struct disk_flags *o = options;
	struct vhd_open_options open;
	struct vhd_create_options create = { .type = VHD_TYPE_DIFFERENCING,
					     .parent = a->v[0],
					     .parent_name = o->parent_name,
					     .is_replacing = o->is_forced,
					     .parent_options = &open };
	struct vhd_err v = { 0 };
	struct err e = { 0 };

	(void)c;
	disk_open_options(o, 0, &open);
	if (disk_profile(o->profile, &create.profile, &e) < 0 ||
	    (o->size && disk_size(o->size, NULL, &create.size, &e) < 0))
		return cli_fail(&e, EXIT_CAISSON);
	if (vhd_create(a->v[1], &create, &v) < 0) {
		(void)disk_err(&e, &v);
		return cli_fail(&e, 1);
	}
	puts(a->v[1]);
	return 0;
}

/* "+1g" is asked of the image as it is; what changes until it is locked is found by the library. */
static int size_of(const char *path, const struct disk_flags *o, uint64_t *ret, struct err *e)
{
	struct vhd_err v = { 0 };
	struct vhd *disk;

	if (disk_open(path, o, VHD_OPEN_NO_PARENT, &disk, e) < 0)
		return -e->code;
	*ret = vhd_size(disk);
	return vhd_close(disk, &v) < 0 ? disk_err(e, &v) : 0;
}

int cmd_disk_resize(struct cli *c, const void *options, const struct args *a)
{
	const struct disk_flags *o = options;
	struct vhd_open_options open;
	struct vhd_err v = { 0 };
	struct err e = { 0 };
	uint64_t now = 0, size;

	(void)c;
	if (size_of(a->v[0], o, &now, &e) < 0)
		return cli_fail(&e, 1);
	if (disk_size(a->v[1], &now, &size, &e) < 0)
		return cli_fail(&e, EXIT_CAISSON);
	disk_open_options(o, 0, &open);
	if (vhd_resize(a->v[0], size, &open, &v) < 0) {
		(void)disk_err(&e, &v);
		return cli_fail(&e, 1);
	}
	puts(a->v[0]);
	return 0;
}

int cmd_disk_reparent(struct cli *c, const void *options, const struct args *a)
{
	const struct disk_flags *o = options;
	struct vhd_open_options open;
	struct vhd_err v = { 0 };
	struct err e = { 0 };

	(void)c;
	disk_open_options(o, 0, &open);
	if (vhd_reparent(a->v[0], a->v[1], o->parent_name, &open, &v) < 0) {
		(void)disk_err(&e, &v);
		return cli_fail(&e, 1);
	}
	puts(a->v[0]);
	return 0;
}
