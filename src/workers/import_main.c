/* SPDX-License-Identifier: MIT */
/*
 * import_main.c - caisson-import: the root file system of a disk becomes layers
 *
 *	caisson-import IMAGE raw|vhd [partition=N] [any-parent] [parent=IMAGE] [root=DIR]...
 *		[windows-root=DIR]
 *
 * 3 and 4 get the blobs of the lower and the upper layer, 5 the image's config where the disk has
 * one: regular files, empty at first. Lines of JSON go to descriptor 1:
 *
 *	{"done":BYTES, "of":BYTES}				now and then
 *	{"partition":N, "layers":[{"diff_id","blob","size","files","left_out"}..],
 *"has_config":BOOL}
 *	{"error":TEXT, "code":ERRNO}				and exit code 1
 *
 * The image's own structure (VHD, parents) is read before the sandbox is entered, as parents are
 * found by path; partitions and file systems, behind it.
 */
#include <jansson.h>
#include <string.h>

#include "disk_arguments.h"
#include "fdio.h"
#include "fsread.h"
#include "json_text.h"
#include "log.h"
#include "partition.h"
#include "sandbox.h"
#include "tree_tar.h"

#define LOWER_FD   3
#define UPPER_FD   4
#define CONFIG_FD  5
#define CONFIG_MAX (8U << 20)
#define LIST_MAX   400U

struct request {
	const char *image;
	struct disk_arguments parents;
	uint32_t partition; /* UINT32_MAX: the one with a root */
};

struct import {
	struct request r;
	struct disk_view disk;
	struct partitions table;
	struct partition chosen;
	struct fs *lower, *upper; /* upper: NULL but on disks of our own */
	uint64_t upper_root;
	uint64_t before, total; /* bytes: of the layer before, of all */
	bool has_config;
};

/* ---- what is said ---- */

static int say(json_t *o, struct err *e)
{
	auto_free char *text = json_text(o, JSON_COMPACT);
	int r = -ENOMEM;

	json_decref(o);
	if (text)
		r = fd_write_full(STDOUT_FILENO, text, strlen(text));
	if (r == 0)
		r = fd_write_full(STDOUT_FILENO, "\n", 1);
	return r < 0 ? err_set(e, -r, "reply") : 0;
}

/* A path of the disk may hold any bytes; JSON holds UTF-8. */
static void fail(struct err *e)
{
	struct err ignored = { 0 };

	for (char *p = e->msg; *p; p++)
		if (*p < 0x20 || *p == 0x7f) /* char is signed: all above ASCII as well */
			*p = '?';
	(void)say(json_pack("{s:s, s:i}", "error", e->msg, "code", e->code), &ignored);
}

static int step(void *arg, uint64_t bytes)
{
	const struct import *im = arg;
	struct err ignored = { 0 }; /* nobody listens: the end of the pipe is the end of us */

	return say(json_pack("{s:I, s:I}", "done", (json_int_t)(im->before + bytes), "of",
			     (json_int_t)im->total),
		   &ignored) < 0;
}

/* ---- the disk ---- */

static int disk_read(void *arg, void *data, size_t len, uint64_t off, struct err *e)
{
	struct vhd_err v = { 0 };

	return vhd_read(arg, data, len, off, &v) < 0 ? err_plain(e, v.code, "%s", v.msg) : 0;
}

static struct disk_view part_view(const struct import *im, const struct partition *p)
{
	struct disk_view v = im->disk;

	v.off = p->off;
	v.size = p->len;
	return v;
}

/* A root has /etc and programs. */
static bool has_root(struct fs *f)
{
	struct err ignored = { 0 }; /* unreadable: not there */
	uint64_t ino;

	return fs_lookup(f, "etc", &ino, &ignored) == 0 &&
	       (fs_lookup(f, "usr", &ino, &ignored) == 0 ||
		fs_lookup(f, "bin", &ino, &ignored) == 0);
}

/* "1 (FAT), 2 (ext2/3/4)" */
static void list_add(char list[LIST_MAX], const struct partition *p, enum fs_kind kind)
{
	const size_t n = strlen(list);

	snprintf(list + n, LIST_MAX - n, "%s%u (%s)", n ? ", " : "", p->number, fs_kind_name(kind));
}

/* A disk without a table is a partition 0 as long as itself. */
static int partitions_find(struct import *im, struct err *e)
{
	if (partitions_read(&im->disk, &im->table, e) < 0)
		return -e->code;
	if (im->table.table != PARTITION_TABLE_NONE)
		return 0;
	if (fs_kind_find(&im->disk) == FS_FORMAT)
		return err_plain(e, EINVAL,
				 "it is a disk of another format (qcow2, VMDK or VHDX): convert it "
				 "first, with caisson disk convert");
	im->table.v[im->table.n++] = (struct partition){ 0, 0, im->disk.size };
	return 0;
}

static int partition_open(struct import *im, struct err *e)
{
	for (uint32_t i = 0; i < im->table.n; i++) {
		struct disk_view v = part_view(im, &im->table.v[i]);

		if (im->table.v[i].number != im->r.partition)
			continue;
		im->chosen = im->table.v[i];
		return fs_open(&v, &im->lower, e) < 0 ? err_wrap(e, "partition %u", im->r.partition)
						      : 0;
	}
	return err_plain(e, ENOENT, "the disk has no partition %u", im->r.partition);
}

/* The one partition with a root, or why there is none. */
static int root_find(struct import *im, struct err *e)
{
	char roots[LIST_MAX] = "", all[LIST_MAX] = "";
	struct err why = { 0 };
	unsigned int n = 0;

	for (uint32_t i = 0; i < im->table.n; i++) {
		struct disk_view v = part_view(im, &im->table.v[i]);
		enum fs_kind kind = fs_kind_find(&v);
		struct fs *f = NULL;
		struct err mine = { 0 };

		list_add(all, &im->table.v[i], kind);
		if (kind != FS_EXT && kind != FS_EROFS)
			continue;
		if (fs_open(&v, &f, &mine) < 0) {
			if (!why.code)
				why = mine;
		} else if (has_root(f)) {
			list_add(roots, &im->table.v[i], kind);
			im->chosen = im->table.v[i];
			n++;
		}
		fs_close(f);
	}
	if (n == 1) {
		im->r.partition = im->chosen.number;
		return 0;
	}
	if (n > 1)
		return err_plain(e, EINVAL,
				 "more than one partition may be the root: %s; choose "
				 "with --partition",
				 roots);
	if (why.code)
		return err_plain(e, why.code, "no root file system could be read: %s", why.msg);
	if (im->table.table == PARTITION_TABLE_NONE)
		return err_plain(e, EINVAL, "no partitions, and no file system with a root (%s)",
				 fs_kind_name(fs_kind_find(&im->disk)));
	return err_plain(e, EINVAL, "no partition has a root file system: %s", all);
}

/* ---- disks that caisson made (doc/design/007) ---- */

static bool upper_find(struct import *im, struct fs *data)
{
	struct err ignored = { 0 }; /* not there: nothing was written yet */
	struct fs_node node;

	return fs_lookup(data, "upper", &im->upper_root, &ignored) == 0 &&
	       data->ops->node(data, im->upper_root, &node, &ignored) == 0 &&
	       node.kind == FS_NODE_DIR;
}

/* Config of the first partition, root on the second, what was written on the third. */
static int own_open(struct import *im, struct fs *boot, struct err *e)
{
	struct disk_view v = part_view(im, &im->table.v[2]);
	auto_buf config = BUF_LIMIT(CONFIG_MAX + 1);
	int rc;

	if (fs_read_file(boot, "config.json", CONFIG_MAX, &config, e) < 0)
		return err_wrap(e, "partition 1");
	rc = fd_write_full(CONFIG_FD, config.data, config.len);
	if (rc < 0)
		return err_set(e, -rc, "write the image's config");
	im->has_config = true;
	if (fs_kind_find(&v) != FS_EXT)
		return 0; /* never started: the guest has nothing to do with it yet */
	if (fs_open(&v, &im->upper, e) < 0)
		return err_wrap(e, "partition 3");
	if (!upper_find(im, im->upper)) {
		fs_close(im->upper);
		im->upper = NULL;
	}
	return 0;
}

static bool is_own(struct import *im)
{
	const struct partitions *t = &im->table;
	struct disk_view v;

	if (t->table != PARTITION_TABLE_MBR || t->n != 3 || t->v[2].number != 3)
		return false;
	v = part_view(im, &t->v[1]);
	if (fs_kind_find(&v) != FS_EROFS)
		return false;
	v = part_view(im, &t->v[0]);
	return fs_kind_find(&v) == FS_EXT;
}

/* Sets r.partition where the disk is one of ours. */
static int own_try(struct import *im, struct err *e)
{
	struct disk_view v = part_view(im, &im->table.v[0]);
	struct err ignored = { 0 };
	uint64_t ino;
	struct fs *boot;
	int rc = 0;

	if (!is_own(im) || fs_open(&v, &boot, &ignored) < 0)
		return 0;
	if (fs_lookup(boot, "config.json", &ino, &ignored) == 0) {
		im->r.partition = 2;
		rc = own_open(im, boot, e);
	}
	fs_close(boot);
	return rc;
}

/* ---- layers ---- */

static int layer_make(struct import *im, const struct tree_source *s, int fd, json_t *layers,
		      struct err *e)
{
	struct layer_writer *w;
	struct layer_written written;
	struct tree_counts n = { 0 };
	int rc;

	if (layer_writer_new(fd, &w, e) < 0)
		return -e->code;
	rc = tree_tar_write(s, w, &n, e);
	if (rc == 0)
		rc = layer_writer_finish(w, &written, e);
	layer_writer_free(w);
	if (rc == 0 &&
	    json_array_append_new(layers,
				  json_pack("{s:s, s:s, s:I, s:I, s:I}", "diff_id", written.diff_id,
					    "blob", written.blob, "size", (json_int_t)written.size,
					    "files", (json_int_t)n.files, "left_out",
					    (json_int_t)n.left_out)) < 0)
		rc = err_set(e, ENOMEM, "reply");
	im->before += s->fs->used;
	return rc;
}

static int layers_make(struct import *im, struct err *e)
{
	const struct tree_source lower = { im->lower, im->lower->root, TREE_WHOLE, step, im };
	const struct tree_source upper = { im->upper, im->upper_root, TREE_UPPER, step, im };
	json_t *layers = json_array();
	int rc;

	im->total = im->lower->used + (im->upper ? im->upper->used : 0);
	rc = layer_make(im, &lower, LOWER_FD, layers, e);
	if (rc == 0 && im->upper)
		rc = layer_make(im, &upper, UPPER_FD, layers, e);
	if (rc < 0) {
		json_decref(layers);
		return rc;
	}
	return say(json_pack("{s:I, s:o, s:b}", "partition", (json_int_t)im->r.partition, "layers",
			     layers, "has_config", im->has_config),
		   e);
}

static int import_run(struct import *im, struct err *e)
{
	const bool is_told = im->r.partition != UINT32_MAX;

	if (partitions_find(im, e) < 0 || (!is_told && own_try(im, e) < 0))
		return -e->code;
	if (im->r.partition == UINT32_MAX && root_find(im, e) < 0)
		return -e->code;
	return partition_open(im, e) < 0 ? -e->code : layers_make(im, e);
}

/* ---- start ---- */

static int number_take(const char *text, uint32_t *ret, struct err *e)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || n > UINT32_MAX - 1)
		return err_plain(e, EINVAL, "bad partition: %.50s", text);
	*ret = (uint32_t)n;
	return 0;
}

static int request_parse(int argc, char **argv, struct request *r, struct err *e)
{
	if (argc < 3)
		return err_plain(e, EINVAL, "usage: caisson-import IMAGE raw|vhd [OPTION...]");
	r->image = argv[1];
	r->partition = UINT32_MAX;
	if (strcmp(argv[2], "raw") == 0)
		r->parents.open.flags |= VHD_OPEN_RAW;
	else if (strcmp(argv[2], "vhd") != 0)
		return err_plain(e, EINVAL, "bad format: %.50s", argv[2]);
	for (int i = 3; i < argc; i++) {
		const char *number = disk_argument_value(argv[i], "partition");

		if (number ? number_take(number, &r->partition, e) < 0
			   : disk_argument_take(&r->parents, argv[i], e) < 0)
			return -e->code;
	}
	return 0;
}

int main(int argc, char **argv)
{
	const struct sandbox_policy policy = { .kind = SANDBOX_MOUNT };
	struct import im = { 0 };
	struct vhd_err v = { 0 };
	struct err e = { 0 };
	struct vhd *disk;
	int rc;

	log_init("caisson-import", LOG_LEVEL_WARN, STDERR_FILENO);
	if (request_parse(argc, argv, &im.r, &e) < 0) {
		fail(&e);
		return 1;
	}
	if (vhd_open(im.r.image, &im.r.parents.open, &disk, &v) < 0) {
		(void)err_plain(&e, v.code, "%s", v.msg);
		fail(&e);
		return 1;
	}
	im.disk = (struct disk_view){ disk_read, disk, 0, vhd_size(disk) };
	rc = sandbox_enter(&policy, &e);
	if (rc == 0)
		rc = import_run(&im, &e);
	if (rc < 0)
		fail(&e);
	fs_close(im.lower);
	fs_close(im.upper);
	(void)!vhd_close(disk, &v); /* only read from */
	return rc < 0;
}
