/* SPDX-License-Identifier: MIT */
/* vm_record.c - rows of the machines table */
#include "vm_record.h"

#include <sqlite3.h>
#include <string.h>

#include "json_text.h"
#include "volume.h"

#define RECORD_MAX (32U << 20) /* bytes of JSON text */

static inline void stmt_drop(sqlite3_stmt **st)
{
	sqlite3_finalize(*st);
}
#define auto_stmt __attribute__((cleanup(stmt_drop))) sqlite3_stmt *

static int db_fail(sqlite3 *db, struct err *e)
{
	int code = sqlite3_errcode(db) & 0xff;

	return err_plain(e,
			 code == SQLITE_FULL   ? ENOSPC
			 : code == SQLITE_BUSY ? EBUSY
					       : EIO,
			 "the database of machines: %s", sqlite3_errmsg(db));
}

static int prepare(sqlite3 *db, const char *sql, const char *a1, const char *a2, sqlite3_stmt **ret,
		   struct err *e)
{
	if (sqlite3_prepare_v2(db, sql, -1, ret, NULL) != SQLITE_OK)
		return db_fail(db, e);
	if ((a1 && sqlite3_bind_text(*ret, 1, a1, -1, SQLITE_STATIC) != SQLITE_OK) ||
	    (a2 && sqlite3_bind_text(*ret, 2, a2, -1, SQLITE_STATIC) != SQLITE_OK))
		return db_fail(db, e);
	return 0;
}

static int run(sqlite3 *db, sqlite3_stmt *st, struct err *e)
{
	return sqlite3_step(st) == SQLITE_DONE ? 0 : db_fail(db, e);
}

static int name_taken(sqlite3 *db, const struct machine_config *c, struct err *e)
{
	auto_stmt st = NULL;

	if (prepare(db, "SELECT id FROM machines WHERE name = ?", c->name, NULL, &st, e) < 0)
		return -e->code;
	if (sqlite3_step(st) != SQLITE_ROW)
		return err_plain(e, EEXIST, "a machine of the id %s exists", c->id);
	return err_plain(
		e, EEXIST,
		"Conflict. The container name \"/%s\" is already in use by container \"%s\". "
		"You have to remove (or rename) that container to be able to reuse that name.",
		c->name, (const char *)sqlite3_column_text(st, 0));
}

static char *text_of(json_t *j)
{
	char *text = json_text(j, JSON_COMPACT);

	json_decref(j);
	return text;
}

static int row_add(sqlite3 *db, const struct machine_config *c, const char *config,
		   const char *state, struct err *e)
{
	auto_stmt st = NULL;

	if (prepare(db,
		    "INSERT INTO machines(id, name, image_id, config, state) VALUES(?1, ?2, ?3, ?4, ?5)",
		    c->id, c->name, &st, e) < 0)
		return -e->code;
	if (sqlite3_bind_text(st, 3, c->image_id, -1, SQLITE_STATIC) != SQLITE_OK ||
	    sqlite3_bind_text(st, 4, config, -1, SQLITE_STATIC) != SQLITE_OK ||
	    sqlite3_bind_text(st, 5, state, -1, SQLITE_STATIC) != SQLITE_OK)
		return db_fail(db, e);
	switch (sqlite3_step(st) & 0xff) { /* the connection may speak extended codes */
	case SQLITE_DONE:
		return 0;
	case SQLITE_CONSTRAINT:
		if (sqlite3_extended_errcode(db) == SQLITE_CONSTRAINT_FOREIGNKEY)
			return err_plain(e, ENOENT, "No such image: %s", c->image_id);
		return name_taken(db, c, e);
	default:
		return db_fail(db, e);
	}
}

static int volume_refer(sqlite3 *db, const char *id, const char *volume, struct err *e)
{
	auto_stmt st = NULL;

	if (prepare(db, "INSERT OR IGNORE INTO machine_volumes(machine, volume) VALUES(?1, ?2)", id,
		    volume, &st, e) < 0)
		return -e->code;
	switch (sqlite3_step(st) & 0xff) {
	case SQLITE_DONE:
		return 0;
	case SQLITE_CONSTRAINT:
		return err_plain(e, ENOENT, "get %.200s: no such volume", volume);
	default:
		return db_fail(db, e);
	}
}

static bool has_volumes(const struct machine_config *c)
{
	for (uint32_t i = 0; i < c->n_mounts; i++)
		if (c->mounts[i].kind == MACHINE_MOUNT_VOLUME)
			return true;
	return false;
}

int vm_record_add(sqlite3 *db, const struct machine_config *c, const struct machine_state *s,
		  struct err *e)
{
	auto_free char *config = text_of(machine_config_to_json(c));
	auto_free char *state = text_of(machine_state_to_json(s));
	int rc;

	if (!config || !state)
		return err_plain(
			e, EINVAL,
			"the machine's record cannot be written: a string is not UTF-8, or memory is short");
	if (strlen(config) > RECORD_MAX)
		return err_plain(e, E2BIG, "the machine's record is too long");
	if (!has_volumes(c))
		return row_add(db, c, config, state, e);
	if (volume_record_begin(db, VOLUME_TXN_FAST, e) < 0)
		return -e->code;
	rc = row_add(db, c, config, state, e);
	for (uint32_t i = 0; rc == 0 && i < c->n_mounts; i++)
		if (c->mounts[i].kind == MACHINE_MOUNT_VOLUME)
			rc = volume_refer(db, c->id, c->mounts[i].source, e);
	return volume_record_end(db, rc, e);
}

static json_t *column_json(sqlite3_stmt *st, int col)
{
	const char *t = (const char *)sqlite3_column_text(st, col);

	return t ? json_parse(t, strlen(t), JSON_REJECT_DUPLICATES, NULL) : NULL;
}

int vm_record_get(sqlite3 *db, const char *id, struct machine_config *c, struct machine_state *s,
		  struct err *e)
{
	auto_stmt st = NULL;
	json_t *config, *state;
	int rc;

	if (prepare(db, "SELECT config, state FROM machines WHERE id = ?", id, NULL, &st, e) < 0)
		return -e->code;
	rc = sqlite3_step(st);
	if (rc == SQLITE_DONE)
		return err_plain(e, ENOENT, "No such container: %s", id);
	if (rc != SQLITE_ROW)
		return db_fail(db, e);
	config = column_json(st, 0);
	state = column_json(st, 1);
	rc = machine_config_from_json(config, c, e);
	if (rc == 0) {
		rc = machine_state_from_json(state, s, e);
		if (rc < 0)
			machine_config_done(c);
	}
	json_decref(config);
	json_decref(state);
	return rc;
}

int vm_record_set_state(sqlite3 *db, const char *id, const struct machine_state *s, struct err *e)
{
	auto_free char *state = text_of(machine_state_to_json(s));
	auto_stmt st = NULL;

	if (!state)
		return err_set(e, ENOMEM, "record");
	if (prepare(db, "UPDATE machines SET state = ?2 WHERE id = ?1", id, state, &st, e) < 0)
		return -e->code;
	return run(db, st, e);
}

int vm_record_set_config(sqlite3 *db, const struct machine_config *c, struct err *e)
{
	auto_free char *config = text_of(machine_config_to_json(c));
	auto_stmt st = NULL;

	if (!config)
		return err_set(e, ENOMEM, "record");
	if (prepare(db, "UPDATE machines SET config = ?2 WHERE id = ?1", c->id, config, &st, e) < 0)
		return -e->code;
	return run(db, st, e);
}

int vm_record_set_dead(sqlite3 *db, const char *id, struct err *e)
{
	auto_stmt st = NULL;

	if (prepare(db, "UPDATE machines SET state = json_set(state, '$.status', ?2) WHERE id = ?1",
		    id, machine_status_name(MACHINE_DEAD), &st, e) < 0)
		return -e->code;
	return run(db, st, e);
}

/* 1 with the first column, 0 for none; more than one row: -EINVAL. */
static int only_row(sqlite3 *db, const char *sql, const char *arg, char ret_id[MACHINE_ID_LEN + 1],
		    struct err *e)
{
	auto_stmt st = NULL;
	int rc;

	if (prepare(db, sql, arg, NULL, &st, e) < 0)
		return -e->code;
	rc = sqlite3_step(st);
	if (rc == SQLITE_DONE)
		return 0;
	if (rc != SQLITE_ROW)
		return db_fail(db, e);
	snprintf(ret_id, MACHINE_ID_LEN + 1, "%s", (const char *)sqlite3_column_text(st, 0));
	if (sqlite3_step(st) == SQLITE_ROW)
		return err_plain(e, EINVAL, "Multiple IDs found with provided prefix: %s", arg);
	return 1;
}

int vm_record_find(sqlite3 *db, const char *name, char ret_id[MACHINE_ID_LEN + 1], struct err *e)
{
	const char *plain = name[0] == '/' ? name + 1 : name; /* Docker shows names with a slash */
	int rc = only_row(db, "SELECT id FROM machines WHERE name = ?", plain, ret_id, e);

	if (rc == 0)
		rc = only_row(db, "SELECT id FROM machines WHERE id = ?", name, ret_id, e);
	if (rc == 0 && *name && strspn(name, "0123456789abcdef") == strlen(name))
		rc = only_row(
			db, "SELECT id FROM machines WHERE substr(id, 1, length(?1)) = ?1 LIMIT 2",
			name, ret_id, e);
	if (rc < 0)
		return rc;
	return rc ? 0 : err_plain(e, ENOENT, "No such container: %s", name);
}

int vm_record_remove(sqlite3 *db, const char *id, struct err *e)
{
	auto_stmt st = NULL;

	if (prepare(db, "DELETE FROM machines WHERE id = ?", id, NULL, &st, e) < 0)
		return -e->code;
	return run(db, st, e);
}

int vm_record_list(sqlite3 *db, struct strv *ret_ids, struct err *e)
{
	auto_stmt st = NULL;
	int rc;

	if (prepare(db,
		    "SELECT id FROM machines ORDER BY json_extract(config, '$.created_ns') DESC, id",
		    NULL, NULL, &st, e) < 0)
		return -e->code;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		if (strv_add(ret_ids, (const char *)sqlite3_column_text(st, 0)) < 0)
			return err_set(e, ENOMEM, "list of machines");
	return rc == SQLITE_DONE ? 0 : db_fail(db, e);
}
