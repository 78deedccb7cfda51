/* SPDX-License-Identifier: MIT */
/*
 * volume.h - named disks that outlive machines: what they are, and their rows in the database
 *
 * Works on a database connection whose schema the store has made. A machine's row refers to the
 * rows of its volumes, so that removing one and creating a machine with it exclude each other.
 * Format: doc/format/record.md.
 */
#ifndef VOLUME_H
#define VOLUME_H

#include "machine.h"

#define VOLUME_NAME_MAX 255U /* of a file */

struct sqlite3;

struct volume {
	char name[VOLUME_NAME_MAX + 1];
	char driver[8]; /* as the user called it: "vhd", "local" */
	int64_t created_ns;
	uint64_t size; /* bytes of its disk */
	bool is_anonymous;
	struct strv labels;  /* "key=value" */
	struct strv options; /* the same, as the user gave them */
};
void volume_done(struct volume *v);

/* Docker's rule: [a-zA-Z0-9][a-zA-Z0-9_.-], at least two. */
must_check int volume_name_check(const char *name, struct err *e);

/* -EEXIST. */
must_check int volume_record_add(struct sqlite3 *db, const struct volume *v, struct err *e);
/* -ENOENT "get NAME: no such volume". */
must_check int volume_record_get(struct sqlite3 *db, const char *name, struct volume *ret,
				 struct err *e);
/* -EBUSY, with Docker's text: a machine has it. -ENOENT as above. */
must_check int volume_record_remove(struct sqlite3 *db, const char *name, struct err *e);
/* All names, sorted. The caller releases. */
must_check int volume_record_list(struct sqlite3 *db, struct strv *ret, struct err *e);
/* Ids of the machines that have it, in any state. */
must_check int volume_record_users(struct sqlite3 *db, const char *name, struct strv *ret,
				   struct err *e);

enum volume_txn {
	VOLUME_TXN_DURABLE, /* survives a power cut: what a volume holds is worth it */
	VOLUME_TXN_FAST,
};
/* A write transaction around calls of the above, where there is none yet. `end` commits after
 * `rc` 0, else takes everything back; returns `rc`, or its own failure. */
must_check int volume_record_begin(struct sqlite3 *db, enum volume_txn kind, struct err *e);
must_check int volume_record_end(struct sqlite3 *db, int rc, struct err *e);

#endif
