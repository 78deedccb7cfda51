/* SPDX-License-Identifier: MIT */
/* cmd_disk.c - what the commands of "caisson disk" share */
#include "cmd_disk.h"

#include <string.h>

#include "format.h"
#include "gotemplate.h"
#include "spec.h"
#include "text.h"

int disk_err(struct err *e, const struct vhd_err *v)
{
	return err_plain(e, v->code, "%s", v->msg);
}

void disk_open_options(const struct disk_flags *o, uint32_t flags, struct vhd_open_options *ret)
{
	*ret = (struct vhd_open_options){
		.flags = flags | (o->any_parent ? VHD_OPEN_ANY_PARENT : 0U),
		.parent = o->parent,
		.roots = o->roots.n ? o->roots.v : NULL,
		.n_roots = o->roots.n,
		.windows_root = o->windows_root,
	};
}

int disk_open(const char *path, const struct disk_flags *o, uint32_t flags, struct vhd **ret,
	      struct err *e)
{
	struct vhd_open_options open;
	struct vhd_err v = { 0 };

	disk_open_options(o, flags, &open);
	return vhd_open(path, &open, ret, &v) < 0 ? disk_err(e, &v) : 0;
}

/* ---- words of flags ---- */

int disk_type(const char *text, enum vhd_type *ret, struct err *e)
{
	static const enum vhd_type types[] = { VHD_TYPE_FIXED, VHD_TYPE_DYNAMIC };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (strcmp(text, vhd_type_name(types[i])) == 0) {
			*ret = types[i];
			return 0;
		}
	}
	return err_plain(e, EINVAL, "invalid type '%.100s': fixed or dynamic", text);
}

int disk_profile(const char *text, enum vhd_profile *ret, struct err *e)
{
	static const char *const names[] = {
		[VHD_FOR_ANY] = "any",
		[VHD_FOR_XENSERVER] = "xenserver",
		[VHD_FOR_AZURE] = "azure",
		[VHD_FOR_HYPERV] = "hyperv",
	};
	_Static_assert(ARRAY_SIZE(names) == VHD_PROFILE_COUNT_, "a name for each profile");

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!text || strcmp(text, names[i]) == 0) {
			*ret = (enum vhd_profile)i;
			return 0;
		}
	}
	return err_plain(e, EINVAL, "invalid value '%.100s' for --for: xenserver, azure or hyperv",
			 text);
}

int disk_size(const char *text, const uint64_t *now, uint64_t *ret, struct err *e)
{
	char sign = now && (*text == '+' || *text == '-') ? *text : 0;
	uint64_t n;

	if (spec_size(text + (sign != 0), &n, e) < 0)
		return -e->code;
	if (sign == '-' && n > *now)
		return err_plain(e, EINVAL, "invalid size: '%.100s': the disk is smaller", text);
	if (sign)
		n = sign == '+' ? *now + n : *now - n;
	if (n == 0 || n > VHD_SIZE_MAX)
		return err_plain(e, EINVAL, "invalid size: '%.100s': from 512 bytes to 2040g",
				 text);
	if (n % VHD_SECTOR)
		return err_plain(e, EINVAL,
				 "invalid size: '%.100s': not whole sectors of 512 bytes", text);
	*ret = n;
	return 0;
}

int disk_create_options(const struct disk_flags *o, struct vhd_create_options *ret, struct err *e)
{
	struct vhd_create_options c = { .is_replacing = o->is_forced };
	uint64_t block;

	if (disk_profile(o->profile, &c.profile, e) < 0)
		return -e->code;
	c.type = c.profile == VHD_FOR_AZURE ? VHD_TYPE_FIXED : VHD_TYPE_DYNAMIC;
	if (o->type && disk_type(o->type, &c.type, e) < 0)
		return -e->code;
	if (o->block_size) {
		if (spec_size(o->block_size, &block, e) < 0)
			return -e->code;
		if (block < VHD_BLOCK_MIN || block > VHD_BLOCK_MAX || block & (block - 1))
			return err_plain(
				e, EINVAL,
				"invalid block size '%.100s': a power of two, 512k to 256m",
				o->block_size);
		c.block_size = (uint32_t)block;
	}
	*ret = c;
	return 0;
}

static const struct {
	const char *name, *end;
} formats[] = {
	[DISK_RAW] = { "raw", ".raw" },           [DISK_VHD] = { "vhd", ".vhd" },
	[DISK_VHD_FIXED] = { "vhd-fixed", NULL }, [DISK_VHD_DYNAMIC] = { "vhd-dynamic", NULL },
	[DISK_QCOW2] = { "qcow2", ".qcow2" },     [DISK_VMDK] = { "vmdk", ".vmdk" },
	[DISK_VHDX] = { "vhdx", ".vhdx" },
};
_Static_assert(ARRAY_SIZE(formats) == DISK_FORMAT_COUNT_, "a row for each format");

const char *disk_format_name(enum disk_format f)
{
	return formats[f].name;
}

int disk_format(const char *text, const char *path, enum disk_format *ret, struct err *e)
{
	const char *end = strrchr(path, '.');

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		if (text ? strcmp(text, formats[i].name) == 0
			 : end && formats[i].end && strcasecmp(end, formats[i].end) == 0) {
			*ret = (enum disk_format)i;
			return 0;
		}
	}
	if (text)
		return err_plain(
			e, EINVAL,
			"invalid format '%.100s': raw, vhd, vhd-fixed, vhd-dynamic, qcow2, "
			"vmdk or vhdx",
			text);
	return err_plain(e, EINVAL,
			 "%.300s: its name does not tell the format; say it with -f or -O", path);
}

/* ---- long work ---- */

static bool is_signalled(void)
{
	sigset_t pending;

	return sigpending(&pending) == 0 &&
	       (sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1 ||
		sigismember(&pending, SIGHUP) == 1);
}

static int work_step(void *ctx, uint64_t done, uint64_t total)
{
	const struct disk_work *w = ctx;
	const struct progress_item item = { w->name, PROGRESS_WORKING, done, total };
	const struct progress_ops *ops;

	if (w->bar) {
		ops = progress_ops(w->bar);
		ops->item(ops->arg, &item);
	}
	return is_signalled();
}

int disk_work_begin(struct disk_work *w, const struct disk_flags *o, const char *name,
		    struct err *e)
{
	const char *slash = strrchr(name, '/');
	sigset_t ends;

	*w = (struct disk_work){ .p = { work_step, w }, .name = slash ? slash + 1 : name };
	if (isatty(STDERR_FILENO) && !o->is_quiet &&
	    progress_new(STDERR_FILENO, PROGRESS_WORK, &w->bar, e) < 0)
		return -e->code;
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGHUP);
	sigprocmask(SIG_BLOCK, &ends, &w->old);
	return 0;
}

void disk_work_end(struct disk_work *w, bool is_done)
{
	const struct progress_item item = { w->name, PROGRESS_DONE, 0, 0 };
	const struct progress_ops *ops;

	if (w->bar && is_done) {
		ops = progress_ops(w->bar);
		ops->item(ops->arg, &item);
	}
	progress_free(TAKE_PTR(w->bar));
	sigprocmask(SIG_SETMASK, &w->old, NULL);
}

/* ---- output ---- */

json_t *disk_text(const char *text)
{
	json_t *v = json_string(text);
	char ascii[VHD_PATH_MAX];
	size_t n = 0;

	if (v)
		return v;
	for (; text[n] && n < sizeof(ascii) - 1; n++)
		ascii[n] = (unsigned char)text[n] < 0x80 ? text[n] : '?';
	ascii[n] = 0;
	return json_string(ascii);
}

json_t *disk_number(uint64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	return json_string(text);
}

void disk_size_text(uint64_t bytes, char ret[64])
{
	char size[32];

	size_text(bytes, 4, size, sizeof(size));
	snprintf(ret, 64, "%s (%llu bytes)", size, (unsigned long long)bytes);
}

int disk_object_print(const char *format, json_t *o, const char *human, struct err *e)
{
	auto_buf b = { 0 };
	int rc;

	if (!format || !*format)
		rc = buf_add_str(&b, human) < 0 ? err_set(e, ENOMEM, "output") : 0;
	else
		rc = gotemplate_render(strcmp(format, "json") == 0 ? "{{json .}}" : format, o, &b,
				       e);
	if (rc == 0 && format && *format && buf_add_str(&b, "\n") < 0)
		rc = err_set(e, ENOMEM, "output");
	return rc < 0 ? rc : format_print(b.data ? b.data : "", b.len, e);
}
