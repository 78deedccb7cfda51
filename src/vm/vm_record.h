/* SPDX-License-Identifier: MIT */
/*
 * vm_record.h - the machines table of the store's database
 *
 * Works on a database connection whose schema the store has made. Config and state are JSON text
 * (machine.h). Format: doc/format/record.md.
 */
#ifndef VM_RECORD_H
#define VM_RECORD_H

#include "machine.h"

struct sqlite3;

/* -EEXIST: the name is in use, by the machine that the message names. -ENOENT: its image or a
 * volume is gone. */
must_check int vm_record_add(struct sqlite3 *db, const struct machine_config *c,
			     const struct machine_state *s, struct err *e);
/* Exact id. -ENOENT. Both filled; release with machine_config_done() and machine_state_done(). */
must_check int vm_record_get(struct sqlite3 *db, const char *id, struct machine_config *c,
			     struct machine_state *s, struct err *e);
must_check int vm_record_set_state(struct sqlite3 *db, const char *id,
				   const struct machine_state *s, struct err *e);
/* All of the config but what has a column of its own: id, name, image. */
must_check int vm_record_set_config(struct sqlite3 *db, const struct machine_config *c,
				    struct err *e);
/* Its status is MACHINE_DEAD from now on. Gone already is fine. */
must_check int vm_record_set_dead(struct sqlite3 *db, const char *id, struct err *e);
/* Exact name, exact id, or a prefix of one id only. -ENOENT "No such container: x". */
must_check int vm_record_find(struct sqlite3 *db, const char *name, char ret_id[MACHINE_ID_LEN + 1],
			      struct err *e);
/* Gone already is fine. */
must_check int vm_record_remove(struct sqlite3 *db, const char *id, struct err *e);
/* All ids, newest first. The caller releases. */
must_check int vm_record_list(struct sqlite3 *db, struct strv *ret_ids, struct err *e);

#endif
