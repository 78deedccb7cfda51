/* SPDX-License-Identifier: MIT */
/*
 * vhd_info.c - what an open image says of itself
 */
#include "vhd_internal.h"

void vhd_uuid_text(const struct vhd_uuid *u, char text[VHD_UUID_TEXT])
{
	const uint8_t *b = u->bytes;

	snprintf(text, VHD_UUID_TEXT,
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
		 b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
		 b[15]);
}

/* Four characters as text: what is no printable one ends it. */
static void code_text(const char raw[4], char text[5])
{
	size_t n = 0;

	while (n < 4 && raw[n] >= 0x20 && raw[n] < 0x7f) {
		text[n] = raw[n];
		n++;
	}
	while (n > 0 && text[n - 1] == ' ')
		n--;
	text[n] = '\0';
}

static void locators_info(struct vhd *v, struct vhd_info *info)
{
	for (size_t i = 0; i < VHD_PARENTS_MAX; i++) {
		const struct vhd_locator *l = &v->header.locators[i];
		struct vhd_locator_info *to = &info->locators[info->n_locators];
		uint8_t raw[VHD_LOCATOR_MAX];

		if (!l->code[0])
			continue;
		info->n_locators++;
		code_text(l->code, to->code);
		to->space = l->space;
		to->length = l->length;
		to->offset = l->offset;
		if (l->length > sizeof(raw) || vhd_pread(v->io, raw, l->length, l->offset) < 0 ||
		    vhd_locator_path(l, raw, l->length, to->path) < 0)
			to->path[0] = '\0'; /* it is shown that there is one */
	}
}

static void blocks_info(struct vhd *v, struct vhd_info *info)
{
	info->block_size = vhd_block_size(v);
	info->blocks = v->n_blocks;
	for (uint32_t i = 0; i < v->n_blocks; i++)
		info->blocks_present += v->bat[i] != VHD_BAT_NONE;
	info->has_batmap = v->has_batmap;
	if (v->type != VHD_TYPE_DIFFERENCING)
		return;
	info->parent_id = v->header.parent_id;
	if (v->header.parent_time_stamp)
		info->parent_time = (int64_t)v->header.parent_time_stamp + VHD_EPOCH;
	if (vhd_utf16_decode(v->header.parent_name, VHD_NAME_BYTES, VHD_BE, info->parent_name,
			     sizeof(info->parent_name)) < 0)
		info->parent_name[0] = '\0';
	locators_info(v, info);
}

int vhd_info_get(struct vhd *v, unsigned int depth, struct vhd_info *ret_info, struct vhd_err *e)
{
	const struct vhd_footer *f;
	uint64_t file_size;

	for (unsigned int i = 0; v && i < depth; i++)
		v = v->parent;
	if (!v)
		return vhd_err_set(e, ENOENT, "no image at depth %u", depth);
	VHD_NEED(v->io->ops->get_size(v->io, &file_size), e, "%s: length", v->io->name);
	f = &v->footer;
	memset(ret_info, 0, sizeof(*ret_info));
	ret_info->type = v->type;
	ret_info->size = v->size;
	ret_info->file_size = file_size;
	ret_info->depth = depth;
	ret_info->problems = v->problems;
	ret_info->name = v->io->name;
	if (v->type == VHD_TYPE_RAW)
		return 0;
	ret_info->original_size = f->original_size;
	ret_info->cylinders = f->geometry.cylinders;
	ret_info->heads = f->geometry.heads;
	ret_info->sectors_per_track = f->geometry.sectors;
	ret_info->id = f->id;
	ret_info->created = (int64_t)f->time_stamp + VHD_EPOCH;
	ret_info->creator_version = f->creator_version;
	ret_info->is_temporary = f->features & 1;
	ret_info->is_saved_state = f->is_saved_state;
	ret_info->is_hidden = f->is_hidden;
	code_text(f->creator, ret_info->creator);
	code_text(f->creator_os, ret_info->creator_os);
	if (vhd_has_blocks(v))
		blocks_info(v, ret_info);
	return 0;
}
