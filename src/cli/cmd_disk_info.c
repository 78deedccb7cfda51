/* SPDX-License-Identifier: MIT */
/* cmd_disk_info.c - disk info, ls-chain: what images say of themselves */
#include <string.h>
#include <time.h>

#include "cmd_disk.h"
#include "format.h"
#include "text.h"

static int out_of_memory(struct err *e)
{
	return err_set(e, ENOMEM, "output");
}

static void time_text(int64_t t, char ret[32])
{
	time_t s = (time_t)t;
	struct tm tm;

	snprintf(ret, 32, "-");
	if (gmtime_r(&s, &tm) && strftime(ret, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		snprintf(ret, 32, "-");
}

static json_t *problems_make(uint32_t problems)
{
	static const char *const texts[] = {
		"the footer at the end is lost; its copy serves",
		"the footer's copy at the front is lost",
		"the two footers differ",
		"entries of the block table point outside",
		"blocks overlap",
		"the batmap is wrong and not used",
		"the file is longer than the disk and its footer",
	};
	json_t *list = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (problems & 1U << i)
			(void)json_array_append_new(list, json_string(texts[i]));
	return list;
}

static json_t *locators_make(const struct vhd_info *info)
{
	json_t *list = json_array();

	for (size_t i = 0; i < info->n_locators; i++) {
		const struct vhd_locator_info *l = &info->locators[i];

		(void)json_array_append_new(
			list,
			json_pack("{s:o,s:o,s:I,s:I,s:I}", "Code", disk_text(l->code), "Path",
				  disk_text(l->path), "Offset", (json_int_t)l->offset, "Length",
				  (json_int_t)l->length, "Space", (json_int_t)l->space));
	}
	return list;
}

/* NULL: out of memory. */
static json_t *info_make(const struct vhd_info *i)
{
	char id[VHD_UUID_TEXT], parent_id[VHD_UUID_TEXT], created[32], version[16];
	json_t *o, *rest;

	vhd_uuid_text(&i->id, id);
	vhd_uuid_text(&i->parent_id, parent_id);
	time_text(i->created, created);
	snprintf(version, sizeof(version), "%u.%u", i->creator_version >> 16,
		 i->creator_version & 0xffff);
	o = json_pack("{s:o,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:s,s:s}", "File", disk_text(i->name),
		      "Type", vhd_type_name(i->type), "Size", (json_int_t)i->size, "OriginalSize",
		      (json_int_t)i->original_size, "FileSize", (json_int_t)i->file_size,
		      "BlockSize", (json_int_t)i->block_size, "Blocks", (json_int_t)i->blocks,
		      "BlocksPresent", (json_int_t)i->blocks_present, "ID", id, "Created", created);
	rest = json_pack("{s:o,s:o,s:s,s:{s:i,s:i,s:i},s:b,s:b,s:b,s:b,s:o}", "Creator",
			 disk_text(i->creator), "CreatorOS", disk_text(i->creator_os),
			 "CreatorVersion", version, "Geometry", "Cylinders", (int)i->cylinders,
			 "Heads", (int)i->heads, "Sectors", (int)i->sectors_per_track, "Temporary",
			 i->is_temporary, "SavedState", i->is_saved_state, "Hidden", i->is_hidden,
			 "Batmap", i->has_batmap, "Problems", problems_make(i->problems));
	if (rest && i->type == VHD_TYPE_DIFFERENCING)
		(void)json_object_update_new(
			rest, json_pack("{s:o,s:s,s:o}", "ParentName", disk_text(i->parent_name),
					"ParentID", parent_id, "Locators", locators_make(i)));
	if (o && rest)
		(void)json_object_update(o, rest);
	json_decref(rest);
	return o;
}

static int line_add(struct buf *b, const char *key, const char *value)
{
	if (buf_addf(b, "%s:\t", key) < 0 || text_escape(b, value, strlen(value)) < 0)
		return -ENOMEM;
	return buf_add_str(b, "\n");
}

static int lines_make(struct buf *b, const struct vhd_info *i)
{
	char size[64], file_size[64], blocks[96], id[VHD_UUID_TEXT], created[32], chs[48];

	disk_size_text(i->size, size);
	disk_size_text(i->file_size, file_size);
	snprintf(blocks, sizeof(blocks), "%u of %u present, %u KiB each", i->blocks_present,
		 i->blocks, i->block_size / 1024);
	snprintf(chs, sizeof(chs), "%u cylinders, %u heads, %u sectors", i->cylinders, i->heads,
		 i->sectors_per_track);
	vhd_uuid_text(&i->id, id);
	time_text(i->created, created);
	if (line_add(b, "File", i->name) < 0 || line_add(b, "Type", vhd_type_name(i->type)) < 0 ||
	    line_add(b, "Size", size) < 0 || line_add(b, "File size", file_size) < 0 ||
	    (i->block_size && line_add(b, "Blocks", blocks) < 0) || line_add(b, "ID", id) < 0 ||
	    line_add(b, "Created", created) < 0 || line_add(b, "Creator", i->creator) < 0 ||
	    line_add(b, "Geometry", chs) < 0 ||
	    (i->is_saved_state && line_add(b, "State", "saved state of a machine") < 0))
		return -ENOMEM;
	return 0;
}

static int parent_lines_make(struct buf *b, const struct vhd_info *i)
{
	char id[VHD_UUID_TEXT];

	if (i->type != VHD_TYPE_DIFFERENCING)
		return 0;
	vhd_uuid_text(&i->parent_id, id);
	if (line_add(b, "Parent", i->parent_name) < 0 || line_add(b, "Parent ID", id) < 0)
		return -ENOMEM;
	for (size_t k = 0; k < i->n_locators; k++)
		if (buf_addf(b, "Locator\t") < 0 ||
		    line_add(b, i->locators[k].code, i->locators[k].path) < 0)
			return -ENOMEM;
	return 0;
}

static int digest_get(struct vhd *disk, const struct disk_flags *o, char ret[80], struct err *e)
{
	struct disk_work w;
	struct vhd_err v = { 0 };
	uint8_t sum[32];
	int rc;

	if (disk_work_begin(&w, o, "digest", e) < 0)
		return -e->code;
	rc = vhd_digest(disk, sum, &w.p, &v);
	disk_work_end(&w, rc == 0);
	if (rc < 0)
		return disk_err(e, &v);
	snprintf(ret, 80, "sha256:");
	for (size_t i = 0; i < sizeof(sum); i++)
		snprintf(ret + 7 + 2 * i, 3, "%02x", sum[i]);
	return 0;
}

/* Locator lines have a column more than the others: "Locator W2ru:". */
static int info_lines(struct buf *out, const struct vhd_info *i, const json_t *o,
		      const char *digest, struct err *e)
{
	auto_buf b = { 0 };
	const json_t *p;
	size_t k;

	if (lines_make(&b, i) < 0 || parent_lines_make(&b, i) < 0 ||
	    (*digest && line_add(&b, "Digest", digest) < 0))
		return out_of_memory(e);
	json_array_foreach (json_object_get(o, "Problems"), k, p)
		if (line_add(&b, "Problem", json_string_value(p)) < 0)
			return out_of_memory(e);
	for (char *at = b.data; (at = strstr(at, "Locator\t")); at++)
		at[7] = ' ';
	return columns_align(out, b.data, b.len) < 0 ? out_of_memory(e) : 0;
}

static int info_print(struct vhd *disk, const struct disk_flags *o, struct err *e)
{
	auto_free struct vhd_info *i = calloc(1, sizeof(*i)); /* paths make it large */
	auto_buf human = { 0 };
	struct vhd_err v = { 0 };
	char digest[80] = "";
	json_t *object;
	int rc;

	if (!i)
		return out_of_memory(e);
	if (vhd_info_get(disk, 0, i, &v) < 0)
		return disk_err(e, &v);
	if (o->with_digest && digest_get(disk, o, digest, e) < 0)
		return -e->code;
	object = info_make(i);
	if (!object)
		return out_of_memory(e);
	if (*digest)
		(void)json_object_set_new(object, "Digest", json_string(digest));
	rc = info_lines(&human, i, object, digest, e);
	if (rc == 0)
		rc = disk_object_print(o->format, object, human.data, e);
	json_decref(object);
	return rc;
}

/* One file, whatever state it is in and whoever uses it; a digest is of all the chain. */
int cmd_disk_info(struct cli *c, const void *options, const struct args *a)
{
	const struct disk_flags *o = options;
	uint32_t flags =
		o->with_digest ? 0 : VHD_OPEN_NO_PARENT | VHD_OPEN_NO_LOCK | VHD_OPEN_DAMAGED;
	struct vhd_err v = { 0 };
	struct err e = { 0 };
	struct vhd *disk;
	int rc;

	(void)c;
	if (disk_open(a->v[0], o, flags, &disk, &e) < 0)
		return cli_fail(&e, 1);
	rc = info_print(disk, o, &e);
	if (vhd_close(disk, &v) < 0 && rc == 0)
		rc = disk_err(&e, &v);
	return rc < 0 ? cli_fail(&e, 1) : 0;
}

/* ---- ls-chain ---- */

static json_t *chain_row(const struct vhd_info *i)
{
	char size[32], file_size[32], id[VHD_UUID_TEXT], blocks[32];

	size_text(i->size, 4, size, sizeof(size));
	size_text(i->file_size, 4, file_size, sizeof(file_size));
	snprintf(blocks, sizeof(blocks), "%u/%u", i->blocks_present, i->blocks);
	vhd_uuid_text(&i->id, id);
	return json_pack("{s:o,s:o,s:s,s:s,s:o,s:s,s:o,s:s,s:s}", "Depth", disk_number(i->depth),
			 "File", disk_text(i->name), "Type", vhd_type_name(i->type), "Size", size,
			 "SizeBytes", disk_number(i->size), "FileSize", file_size, "FileSizeBytes",
			 disk_number(i->file_size), "Blocks", i->blocks ? blocks : "-", "ID", id);
}

static int chain_rows(struct vhd *disk, json_t *rows, struct err *e)
{
	auto_free struct vhd_info *i = calloc(1, sizeof(*i));
	struct vhd_err v = { 0 };

	if (!i)
		return out_of_memory(e);
	for (unsigned int depth = 0; depth < vhd_depth(disk); depth++) {
		if (vhd_info_get(disk, depth, i, &v) < 0)
			return disk_err(e, &v);
		if (json_array_append_new(rows, chain_row(i)) < 0)
			return out_of_memory(e);
	}
	return 0;
}

int cmd_disk_chain(struct cli *c, const void *options, const struct args *a)
{
	static const struct format_column columns[] = {
		{ "DEPTH", "Depth" }, { "FILE", "File" },          { "TYPE", "Type" },
		{ "SIZE", "Size" },   { "FILE SIZE", "FileSize" }, { "BLOCKS", "Blocks" },
		{ "ID", "ID" },
	};
	const struct disk_flags *o = options;
	json_t *rows = json_array();
	struct vhd_err v = { 0 };
	struct err e = { 0 };
	struct vhd *disk = NULL;
	int rc = disk_open(a->v[0], o, VHD_OPEN_NO_LOCK, &disk, &e);

	(void)c;
	if (rc == 0)
		rc = chain_rows(disk, rows, &e);
	if (vhd_close(disk, &v) < 0 && rc == 0)
		rc = disk_err(&e, &v);
	if (rc == 0)
		rc = format_list(o->is_quiet && !o->format ? "{{.File}}" : o->format, rows, columns,
				 ARRAY_SIZE(columns), &e);
	json_decref(rows);
	return rc < 0 ? cli_fail(&e, 1) : 0;
}
