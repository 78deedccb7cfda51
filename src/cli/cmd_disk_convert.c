/* SPDX-License-Identifier: MIT */
/*
 * cmd_disk_convert.c - disk convert: raw and VHD by the library, others by way of a raw file
 *
 * What is not made by the library itself is made under another name beside its place and renamed,
 * so that an output is there whole or not at all.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "cmd_disk.h"

struct conversion {
	const struct disk_flags *o;
	enum disk_format from, to;
	const char *libexec; /* where a foreign one is involved */
	struct vhd_create_options create;
	char raw[VHD_PATH_MAX];    /* between two formats; "": none */
	char output[VHD_PATH_MAX]; /* under its temporary name; "": none */
};

static bool is_foreign(enum disk_format f)
{
	return f == DISK_QCOW2 || f == DISK_VMDK || f == DISK_VHDX;
}

/* A file of its own beside `path`. */
static int temporary_make(const char *path, char ret[VHD_PATH_MAX], struct err *e)
{
	const char *slash = strrchr(path, '/');
	int n = snprintf(ret, VHD_PATH_MAX, "%.*s/.caisson-XXXXXX",
			 slash ? (int)MAX_OF(slash - path, (ptrdiff_t)0) : 1, slash ? path : ".");
	int fd;

	if (n < 0 || n >= (int)VHD_PATH_MAX) {
		*ret = 0;
		return err_set(e, ENAMETOOLONG, "%.300s", path);
	}
	fd = mkostemp(ret, O_CLOEXEC);
	if (fd < 0) {
		*ret = 0;
		return err_set(e, errno, "a file beside %.300s", path);
	}
	close(fd);
	return 0;
}

static int library_copy(const struct conversion *c, const char *from, enum disk_format from_format,
			const char *to, enum disk_format to_format, struct err *e)
{
	struct vhd_copy_options copy = { .type = VHD_TYPE_DYNAMIC, .create = c->create };
	struct vhd_err v = { 0 }, ignored = { 0 };
	struct disk_work w;
	struct vhd *disk;
	int rc;

	if (to_format == DISK_RAW)
		copy.type = VHD_TYPE_RAW;
	else if (to_format == DISK_VHD_FIXED)
		copy.type = VHD_TYPE_FIXED;
	copy.create.type = copy.type;
	copy.create.is_replacing |= to == c->raw;
	if (disk_open(from, c->o, from_format == DISK_RAW ? VHD_OPEN_RAW : 0, &disk, e) < 0)
		return -e->code;
	rc = disk_work_begin(&w, c->o, to == c->raw ? from : to, e);
	if (rc == 0) {
		rc = vhd_copy(disk, to, &copy, &w.p, &v);
		disk_work_end(&w, rc == 0);
		if (rc < 0)
			rc = disk_err(e, &v);
	}
	(void)!vhd_close(disk, &ignored); /* only read from */
	return rc;
}

/* Into its place: synced, then renamed. */
static int output_place(const struct conversion *c, const char *to, struct err *e)
{
	auto_fd fd = open(c->output, O_RDWR | O_CLOEXEC);
	mode_t mask = umask(0);

	umask(mask);
	if (fd < 0 || fchmod(fd, 0666 & ~mask) < 0 || fsync(fd) < 0)
		return err_set(e, errno, "%.300s", c->output);
	if (renameat2(AT_FDCWD, c->output, AT_FDCWD, to, c->o->is_forced ? 0 : RENAME_NOREPLACE) <
	    0)
		return err_set(e, errno, "%.300s", to);
	return 0;
}

/* By a raw file where neither end is raw. */
static int foreign_convert(struct conversion *c, const char *from, const char *to, struct err *e)
{
	const char *raw = from;
	int rc = 0;

	if (c->from != DISK_RAW && c->to != DISK_RAW) {
		rc = temporary_make(to, c->raw, e);
		raw = c->raw;
	}
	if (rc == 0 && (is_foreign(c->to) || c->to == DISK_RAW))
		rc = temporary_make(to, c->output, e);
	if (rc == 0 && c->to == DISK_RAW)
		raw = c->output;
	if (rc == 0 && is_foreign(c->from))
		rc = disk_foreign_to_raw(c->libexec, from, c->from, raw, e);
	else if (rc == 0 && c->from != DISK_RAW)
		rc = library_copy(c, from, c->from, c->raw, DISK_RAW, e);
	if (rc == 0 && is_foreign(c->to))
		rc = disk_foreign_from_raw(c->libexec, raw, c->output, c->to, e);
	else if (rc == 0 && c->to != DISK_RAW)
		rc = library_copy(c, raw, DISK_RAW, to, c->to, e);
	if (rc == 0 && *c->output)
		rc = output_place(c, to, e);
	if (*c->raw)
		unlink(c->raw);
	if (rc < 0 && *c->output)
		unlink(c->output);
	return rc;
}

static int convert(struct cli *cli, struct conversion *c, const struct args *a, struct err *e)
{
	struct engine *g;
	struct disk_work w; /* for its signals: what is made meanwhile is removed first */
	int rc;

	if (!c->o->is_forced && access(a->v[1], F_OK) == 0) /* before the work, not after it */
		return err_set(e, EEXIST, "%.300s", a->v[1]);
	if (is_foreign(c->from) || is_foreign(c->to)) {
		if (cli_engine(cli, &g, e) < 0)
			return -e->code;
		c->libexec = engine_libexec(g);
		if (disk_work_begin(&w, c->o, a->v[1], e) < 0)
			return -e->code;
		rc = foreign_convert(c, a->v[0], a->v[1], e);
		disk_work_end(&w, false);
		return rc;
	}
	return library_copy(c, a->v[0], c->from, a->v[1], c->to, e);
}

int cmd_disk_convert(struct cli *cli, const void *options, const struct args *a)
{
	struct conversion c = { .o = options };
	struct err e = { 0 };

	if (disk_format(c.o->from, a->v[0], &c.from, &e) < 0 ||
	    disk_format(c.o->to, a->v[1], &c.to, &e) < 0 ||
	    disk_create_options(c.o, &c.create, &e) < 0)
		return cli_fail(&e, EXIT_CAISSON);
	if (c.to == DISK_VHD) /* --for azure wants a fixed one */
		c.to = c.create.type == VHD_TYPE_FIXED ? DISK_VHD_FIXED : DISK_VHD_DYNAMIC;
	if (convert(cli, &c, a, &e) < 0)
		return cli_fail(&e, 1);
	puts(a->v[1]);
	return 0;
}
