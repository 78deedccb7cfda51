/* SPDX-License-Identifier: MIT */
/* volume.c - rows of the volumes table */
#include "volume.h"

#include <sqlite3.h>
#include <string.h>

#include "json_text.h"

#define LIST_MAX 65536U

static inline void stmt_drop(sqlite3_stmt **st)
{
	sqlite3_finalize(*st);
}
#define auto_stmt __attribute__((cleanup(stmt_drop))) sqlite3_stmt *

void volume_done(struct volume *v)
{
	strv_done(&v->labels);
	strv_done(&v->options);
}

int volume_name_check(const char *name, struct err *e)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	size_t len = strlen(name);

	if (len > VOLUME_NAME_MAX)
		return err_plain(e, EINVAL, "the name of a volume is longer than %u characters",
				 VOLUME_NAME_MAX);
	if (len == 0 || strchr("_.-", *name) || strspn(name, letters) != len)
		return err_plain(
			e, EINVAL,
			"create %.100s: \"%.100s\" includes invalid characters for a local volume "
			"name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to "
			"pass a host directory, use absolute path",
			name, name);
	if (len == 1)
		return err_plain(
			e, EINVAL,
			"create %s: volume name is too short, names should be at least two "
			"alphanumeric characters",
			name);
	return 0;
}

static int db_fail(sqlite3 *db, struct err *e)
{
	int code = sqlite3_errcode(db) & 0xff;

	return err_plain(e,
			 code == SQLITE_FULL   ? ENOSPC
			 : code == SQLITE_BUSY ? EBUSY
					       : EIO,
			 "the database of volumes: %s", sqlite3_errmsg(db));
}

static int prepare(sqlite3 *db, const char *sql, const char *arg, sqlite3_stmt **ret, struct err *e)
{
	if (sqlite3_prepare_v2(db, sql, -1, ret, NULL) != SQLITE_OK ||
	    (arg && sqlite3_bind_text(*ret, 1, arg, -1, SQLITE_STATIC) != SQLITE_OK))
		return db_fail(db, e);
	return 0;
}

static void sync_normal(sqlite3 *db)
{
	/* cannot fail in a way that anybody could do something about */
	(void)sqlite3_exec(db, "PRAGMA synchronous=NORMAL", NULL, NULL, NULL);
}

int volume_record_begin(sqlite3 *db, enum volume_txn kind, struct err *e)
{
	/* cannot change inside a transaction */
	if (kind == VOLUME_TXN_DURABLE &&
	    sqlite3_exec(db, "PRAGMA synchronous=FULL", NULL, NULL, NULL) != SQLITE_OK)
		return db_fail(db, e);
	if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK)
		return 0;
	(void)db_fail(db, e);
	sync_normal(db);
	return -e->code;
}

int volume_record_end(sqlite3 *db, int rc, struct err *e)
{
	if (rc == 0 && sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
		rc = db_fail(db, e);
	if (rc < 0) /* nor can this */
		(void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	sync_normal(db);
	return rc;
}

/* ---- JSON ---- */

static json_t *list_put(const struct strv *s)
{
	json_t *a = json_array();

	for (uint32_t i = 0; i < s->n; i++)
		if (json_array_append_new(a, json_string(s->v[i])) < 0) {
			json_decref(a);
			return NULL;
		}
	return a;
}

static int list_get(const json_t *a, struct strv *ret)
{
	if (!json_is_array(a) || json_array_size(a) > LIST_MAX)
		return -EBADMSG;
	for (size_t i = 0; i < json_array_size(a); i++) {
		const char *t = json_string_value(json_array_get(a, i));

		if (!t || strv_add(ret, t) < 0)
			return t ? -ENOMEM : -EBADMSG;
	}
	return 0;
}

static char *config_text(const struct volume *v)
{
	json_t *o = json_pack("{s:s,s:I,s:I,s:b,s:o,s:o}", "driver", v->driver, "created_ns",
			      (json_int_t)v->created_ns, "size", (json_int_t)v->size,
			      "is_anonymous", v->is_anonymous, "labels", list_put(&v->labels),
			      "options", list_put(&v->options));
	char *text = o ? json_text(o, JSON_COMPACT) : NULL;

	json_decref(o);
	return text;
}

static int config_fill(const json_t *o, struct volume *v)
{
	json_int_t size = json_integer_value(json_object_get(o, "size"));
	const char *driver = json_string_value(json_object_get(o, "driver"));
	int rc = list_get(json_object_get(o, "labels"), &v->labels);

	if (rc == 0)
		rc = list_get(json_object_get(o, "options"), &v->options);
	v->created_ns = json_integer_value(json_object_get(o, "created_ns"));
	v->is_anonymous = json_is_true(json_object_get(o, "is_anonymous"));
	v->size = (uint64_t)size;
	snprintf(v->driver, sizeof(v->driver), "%s", driver ? driver : "");
	return rc == 0 && size <= 0 ? -EBADMSG : rc;
}

/* ---- rows ---- */

int volume_record_add(sqlite3 *db, const struct volume *v, struct err *e)
{
	auto_free char *config = config_text(v);
	auto_stmt st = NULL;

	if (!config)
		return err_plain(e, EINVAL,
				 "the volume's record cannot be written: a string is not UTF-8, or "
				 "memory is short");
	if (prepare(db, "INSERT INTO volumes(name, config) VALUES(?1, ?2)", v->name, &st, e) < 0)
		return -e->code;
	if (sqlite3_bind_text(st, 2, config, -1, SQLITE_STATIC) != SQLITE_OK)
		return db_fail(db, e);
	switch (sqlite3_step(st) & 0xff) {
	case SQLITE_DONE:
		return 0;
	case SQLITE_CONSTRAINT:
		return err_plain(e, EEXIST, "a volume of the name %s exists", v->name);
	default:
		return db_fail(db, e);
	}
}

static int missing(const char *name, struct err *e)
{
	return err_plain(e, ENOENT, "get %.200s: no such volume", name);
}

int volume_record_get(sqlite3 *db, const char *name, struct volume *ret, struct err *e)
{
	struct volume v = { 0 };
	auto_stmt st = NULL;
	const char *text;
	json_t *o;
	int rc;

	if (prepare(db, "SELECT config FROM volumes WHERE name = ?", name, &st, e) < 0)
		return -e->code;
	rc = sqlite3_step(st);
	if (rc == SQLITE_DONE)
		return missing(name, e);
	if (rc != SQLITE_ROW)
		return db_fail(db, e);
	text = (const char *)sqlite3_column_text(st, 0);
	o = text ? json_parse(text, strlen(text), JSON_REJECT_DUPLICATES, NULL) : NULL;
	rc = config_fill(o, &v);
	json_decref(o);
	snprintf(v.name, sizeof(v.name), "%s", name);
	if (rc < 0) {
		volume_done(&v);
		return err_plain(e, -rc, "the record of the volume %s cannot be read", v.name);
	}
	*ret = v;
	return 0;
}

static int in_use(sqlite3 *db, const char *name, struct err *e)
{
	struct strv ids = { 0 };

	if (volume_record_users(db, name, &ids, e) < 0) {
		strv_done(&ids);
		return -e->code;
	}
	err_plain(e, EBUSY, "remove %.100s: volume is in use - [%s%s]", name, ids.n ? ids.v[0] : "",
		  ids.n > 1 ? ", ..." : "");
	strv_done(&ids);
	return -EBUSY;
}

int volume_record_remove(sqlite3 *db, const char *name, struct err *e)
{
	auto_stmt st = NULL;

	if (prepare(db, "DELETE FROM volumes WHERE name = ?", name, &st, e) < 0)
		return -e->code;
	switch (sqlite3_step(st) & 0xff) {
	case SQLITE_DONE:
		return sqlite3_changes(db) ? 0 : missing(name, e);
	case SQLITE_CONSTRAINT:
		return in_use(db, name, e);
	default:
		return db_fail(db, e);
	}
}

static int texts_get(sqlite3 *db, const char *sql, const char *arg, struct strv *ret, struct err *e)
{
	auto_stmt st = NULL;
	int rc;

	if (prepare(db, sql, arg, &st, e) < 0)
		return -e->code;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		if (strv_add(ret, (const char *)sqlite3_column_text(st, 0)) < 0)
			return err_set(e, ENOMEM, "list");
	return rc == SQLITE_DONE ? 0 : db_fail(db, e);
}

int volume_record_list(sqlite3 *db, struct strv *ret, struct err *e)
{
	return texts_get(db, "SELECT name FROM volumes ORDER BY name", NULL, ret, e);
}

int volume_record_users(sqlite3 *db, const char *name, struct strv *ret, struct err *e)
{
	return texts_get(db, "SELECT machine FROM machine_volumes WHERE volume = ?", name, ret, e);
}
