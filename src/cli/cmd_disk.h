/* SPDX-License-Identifier: MIT */
/*
 * cmd_disk.h - what the commands of "caisson disk" share
 *
 * They work on files that the user names, with the library alone: no store, no engine.
 */
#ifndef CMD_DISK_H
#define CMD_DISK_H

#include <jansson.h>
#include <signal.h>

#include "options.h"
#include "progress.h"
#include "vhd.h"

/* The library's error as one of ours; returns -e->code. */
int disk_err(struct err *e, const struct vhd_err *v);
/* What the flags say of parents; `ret` borrows from `o`. */
void disk_open_options(const struct disk_flags *o, uint32_t flags, struct vhd_open_options *ret);
must_check int disk_open(const char *path, const struct disk_flags *o, uint32_t flags,
			 struct vhd **ret, struct err *e);

/* ---- words of flags; NULL is the default ---- */

must_check int disk_type(const char *text, enum vhd_type *ret, struct err *e);
must_check int disk_profile(const char *text, enum vhd_profile *ret, struct err *e);
/* "10g"; whole sectors. With `now` also "+1g" and "-1g". */
must_check int disk_size(const char *text, const uint64_t *now, uint64_t *ret, struct err *e);
/* --type, --for, --block-size, --force for a new image that is no child. */
must_check int disk_create_options(const struct disk_flags *o, struct vhd_create_options *ret,
				   struct err *e);

enum disk_format {
	DISK_RAW,
	DISK_VHD, /* any on the way in, dynamic on the way out */
	DISK_VHD_FIXED,
	DISK_VHD_DYNAMIC,
	DISK_QCOW2,
	DISK_VMDK,
	DISK_VHDX,
	DISK_FORMAT_COUNT_
};
/* A format by its name; `text` NULL: by the end of `path`. Content is never looked at. */
must_check int disk_format(const char *text, const char *path, enum disk_format *ret,
			   struct err *e);
const char *disk_format_name(enum disk_format f);

/* ---- long work: a bar on a terminal; SIGINT and SIGTERM end it between two safe states ---- */

struct disk_work {
	struct vhd_progress p; /* for the library */
	struct progress *bar;  /* NULL: none */
	const char *name;
	sigset_t old;
};
must_check int disk_work_begin(struct disk_work *w, const struct disk_flags *o, const char *name,
			       struct err *e);
/* Where a signal came in, the process ends here, as it would have. */
void disk_work_end(struct disk_work *w, bool is_done);

/* ---- output ---- */

json_t *disk_text(const char *text); /* a JSON string, bytes that are no UTF-8 as "?" */
json_t *disk_number(uint64_t n);     /* as text, for rows of a table */
void disk_size_text(uint64_t bytes, char ret[64]); /* "67.1MB (67108864 bytes)" */
/* `o` by --format: NULL or "": `human`; "json"; a template. */
must_check int disk_object_print(const char *format, json_t *o, const char *human, struct err *e);

/*
 * Convert with qemu-img, in caisson-foreign's sandbox: `libexec` is where that lies. Formats are
 * given, nothing is followed, `to` is there. cmd_disk_foreign.c
 */
must_check int disk_foreign_to_raw(const char *libexec, const char *from, enum disk_format format,
				   const char *to, struct err *e);
must_check int disk_foreign_from_raw(const char *libexec, const char *from, const char *to,
				     enum disk_format format, struct err *e);

#endif
