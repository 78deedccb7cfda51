/* SPDX-License-Identifier: MIT */
/*
 * store_db.c - the database: opening, schema, statements, transactions
 *
 * WAL with synchronous=NORMAL: a commit costs no fsync and survives a crash of any process; after a
 * power cut the last ones may be missing, never torn. What a pull promises is committed with
 * synchronous=FULL (STORE_TXN_DURABLE).
 * The last one to close does no checkpoint as a rule, since that would cost two fsyncs at the end
 * of every command. A commit moves a long log to the database, but only the next commit in the same
 * processes begins the log anew: commands that commit once would make it longer for ever, and
 * reading it costs all of them. So the last one to close does the checkpoint of a long log.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "store_internal.h"

#define SCHEMA_VERSION 2

/* Page writes that stay in the log before a commit moves them to the database. */
#define WAL_PAGES "256"
/* Of the log's file: longer, and the last one to close empties it. */
#define WAL_BYTES_MAX (2 * 256 * (4096 + 24))

static const char schema[] =
	"CREATE TABLE images(id TEXT PRIMARY KEY, os TEXT NOT NULL, architecture TEXT NOT NULL,"
	" variant TEXT NOT NULL, created_ns INTEGER NOT NULL, added_ns INTEGER NOT NULL,"
	" size INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
	/* a platform's manifest, as pulled; several may lead to one image */
	"CREATE TABLE manifests(digest TEXT PRIMARY KEY, image_id TEXT NOT NULL"
	" REFERENCES images(id) ON DELETE CASCADE, media_type TEXT NOT NULL,"
	" size INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE INDEX manifests_image ON manifests(image_id);"
	/* pos 0 is the config, 1 the lowest layer */
	"CREATE TABLE manifest_blobs(manifest TEXT NOT NULL REFERENCES manifests(digest)"
	" ON DELETE CASCADE, pos INTEGER NOT NULL, digest TEXT NOT NULL,"
	" media_type TEXT NOT NULL, size INTEGER NOT NULL, PRIMARY KEY(manifest, pos))"
	" STRICT, WITHOUT ROWID;"
	"CREATE INDEX manifest_blobs_digest ON manifest_blobs(digest);"
	/* REPO:TAG (is_digest 0) and REPO@DIGEST (1) */
	"CREATE TABLE names(ref TEXT PRIMARY KEY, is_digest INTEGER NOT NULL, image_id TEXT NOT NULL"
	" REFERENCES images(id), digest TEXT NOT NULL, manifest TEXT NOT NULL"
	" REFERENCES manifests(digest)) STRICT, WITHOUT ROWID;"
	"CREATE INDEX names_image ON names(image_id);"
	"CREATE INDEX names_manifest ON names(manifest);"
	"CREATE TABLE image_layers(image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,"
	" pos INTEGER NOT NULL, diff_id TEXT NOT NULL, PRIMARY KEY(image_id, pos))"
	" STRICT, WITHOUT ROWID;"
	"CREATE INDEX image_layers_diff ON image_layers(diff_id);"
	/* boot: '' when the files are on the disk for good; else the boot in which they were
	   written */
	"CREATE TABLE layers(diff_id TEXT PRIMARY KEY, data_len INTEGER NOT NULL,"
	" boot TEXT NOT NULL) STRICT, WITHOUT ROWID;"
	/* the reference makes creating a machine and collecting its image exclude each other */
	"CREATE TABLE machines(id TEXT PRIMARY KEY, name TEXT UNIQUE, image_id TEXT"
	" REFERENCES images(id), config TEXT, state TEXT) STRICT;"
	"CREATE INDEX machines_image ON machines(image_id);";

/* The reference makes creating a machine and removing a volume of it exclude each other. */
static const char schema_2[] =
	"CREATE TABLE volumes(name TEXT PRIMARY KEY, config TEXT NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE TABLE machine_volumes(machine TEXT NOT NULL REFERENCES machines(id)"
	" ON DELETE CASCADE, volume TEXT NOT NULL REFERENCES volumes(name),"
	" PRIMARY KEY(machine, volume)) STRICT, WITHOUT ROWID;"
	"CREATE INDEX machine_volumes_volume ON machine_volumes(volume);";

/* SQLite tries a file that it cannot create for reading as well, and forgets why it could not. */
static bool is_full(const struct store *s)
{
	struct statvfs v;

	if (fstatvfs(s->root_fd, &v) < 0)
		return false;
	return v.f_bavail == 0 || (v.f_files > 0 && v.f_favail == 0);
}

static int db_err(struct store *s, struct err *e, const char *what)
{
	int code = sqlite3_extended_errcode(s->db), errno_code;

	switch (code & 0xff) {
	case SQLITE_FULL:
		errno_code = ENOSPC;
		break;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		errno_code = EBUSY;
		break;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return err_plain(e, EBADMSG,
				 "%s/caisson.db is damaged (%s): put back a copy of it, or move it "
				 "away and pull the images again",
				 s->root, sqlite3_errmsg(s->db));
	case SQLITE_CONSTRAINT:
		errno_code = EEXIST;
		break;
	case SQLITE_IOERR:
		errno_code = sqlite3_system_errno(s->db) == ENOSPC ? ENOSPC : EIO;
		break;
	case SQLITE_CANTOPEN:
		errno_code = is_full(s) ? ENOSPC : EIO;
		break;
	case SQLITE_NOMEM:
		errno_code = ENOMEM;
		break;
	default:
		errno_code = EIO;
	}
	return err_plain(e, errno_code, "database %s/caisson.db: %s: %s%s", s->root, what,
			 sqlite3_errmsg(s->db),
			 errno_code == ENOSPC ? " (no space left on device)" : "");
}

static int db_exec(struct store *s, const char *sql, const char *what, struct err *e)
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : db_err(s, e, what);
}

static int db_version(struct store *s, int *ret, struct err *e)
{
	auto_stmt st = NULL;
	int rc;

	if (store_db_query(s, &st, e, "PRAGMA user_version", "") < 0)
		return -e->code;
	rc = store_db_step(s, st, e);
	if (rc < 0)
		return rc;
	*ret = rc ? sqlite3_column_int(st, 0) : 0;
	return 0;
}

/* From whatever version it is, each step in the same transaction. */
static int db_migrate(struct store *s, struct err *e)
{
	auto_txn txn = { 0 };
	int version = 0;

	if (db_exec(s, "PRAGMA journal_mode=WAL", "choose the log", e) < 0)
		return -e->code;
	if (store_txn_begin(&txn, s, STORE_TXN_DURABLE, e) < 0 || db_version(s, &version, e) < 0)
		return -e->code;
	if (version >= SCHEMA_VERSION) /* another process was quicker */
		return 0;
	if ((version < 1 && db_exec(s, schema, "make the tables", e) < 0) ||
	    db_exec(s, schema_2, "make the tables of volumes", e) < 0 ||
	    db_exec(s, "PRAGMA user_version=2", "note the version", e) < 0)
		return -e->code;
	return store_txn_commit(&txn, e);
}

static int db_set_up(struct store *s, struct err *e)
{
	int version = 0;

	sqlite3_extended_result_codes(s->db, 1);
	sqlite3_busy_timeout(s->db, STORE_BUSY_MS);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	if (db_exec(s,
		    "PRAGMA synchronous=NORMAL;PRAGMA foreign_keys=ON;"
		    "PRAGMA wal_autocheckpoint=" WAL_PAGES,
		    "set up", e) < 0 ||
	    db_version(s, &version, e) < 0)
		return -e->code;
	if (version > SCHEMA_VERSION)
		return err_plain(e, EPROTO,
				 "%s was written by a newer caisson (version %d, mine %d)", s->root,
				 version, SCHEMA_VERSION);
	return version < SCHEMA_VERSION ? db_migrate(s, e) : 0;
}

void store_db_close(struct store *s)
{
	struct stat st;

	if (!s->db)
		return;
	if (fstatat(s->root_fd, "caisson.db-wal", &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_size > WAL_BYTES_MAX)
		sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
	sqlite3_close(s->db);
	s->db = NULL;
}

int store_db_need(struct store *s, struct err *e)
{
	auto_free char *path = NULL;
	int rc = 0;

	if (s->db)
		return 0;
	if (asprintf(&path, "%s/caisson.db", s->root) < 0) {
		path = NULL;
		return err_set(e, ENOMEM, "database");
	}
	if (sqlite3_open_v2(path, &s->db,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
			    NULL) != SQLITE_OK)
		rc = s->db ? db_err(s, e, "open") : err_set(e, ENOMEM, "database");
	if (rc == 0)
		rc = db_set_up(s, e);
	if (rc < 0) {
		sqlite3_close(s->db);
		s->db = NULL;
	}
	return rc;
}

struct sqlite3 *store_db(const struct store *s)
{
	struct store *w = (struct store *)s; /* opening changes nothing that callers see */

	return store_db_need(w, &w->db_err) < 0 ? NULL : w->db;
}

const struct err *store_db_error(const struct store *s)
{
	return &s->db_err;
}

static int stmt_bind(struct store *s, sqlite3_stmt *st, const char *types, va_list ap,
		     struct err *e)
{
	for (int i = 0; types[i]; i++) {
		int rc;

		if (types[i] == 't')
			rc = sqlite3_bind_text(st, i + 1, va_arg(ap, const char *), -1,
					       SQLITE_TRANSIENT);
		else
			rc = sqlite3_bind_int64(st, i + 1, va_arg(ap, int64_t));
		if (rc != SQLITE_OK)
			return db_err(s, e, "bind");
	}
	return 0;
}

static int stmt_prepare(struct store *s, sqlite3_stmt **ret, struct err *e, const char *sql,
			const char *types, va_list ap)
{
	auto_stmt st = NULL;

	if (store_db_need(s, e) < 0)
		return -e->code;
	if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) != SQLITE_OK)
		return db_err(s, e, "prepare");
	if (stmt_bind(s, st, types, ap, e) < 0)
		return -e->code;
	*ret = TAKE_PTR(st);
	return 0;
}

int store_db_query(struct store *s, sqlite3_stmt **ret, struct err *e, const char *sql,
		   const char *types, ...)
{
	va_list ap;
	int rc;

	va_start(ap, types);
	rc = stmt_prepare(s, ret, e, sql, types, ap);
	va_end(ap);
	return rc;
}

int store_db_step(struct store *s, sqlite3_stmt *st, struct err *e)
{
	switch (sqlite3_step(st)) {
	case SQLITE_ROW:
		return 1;
	case SQLITE_DONE:
		return 0;
	default:
		return db_err(s, e, "step");
	}
}

int store_db_run(struct store *s, struct err *e, const char *sql, const char *types, ...)
{
	auto_stmt st = NULL;
	va_list ap;
	int rc;

	va_start(ap, types);
	rc = stmt_prepare(s, &st, e, sql, types, ap);
	va_end(ap);
	if (rc < 0)
		return rc;
	rc = store_db_step(s, st, e);
	return rc > 0 ? 0 : rc;
}

const char *store_db_text(sqlite3_stmt *st, int col)
{
	const char *text = (const char *)sqlite3_column_text(st, col);

	if (!text || strlen(text) != (size_t)sqlite3_column_bytes(st, col))
		return "";
	return text;
}

int store_txn_begin(struct store_txn *t, struct store *s, enum store_txn_kind kind, struct err *e)
{
	if (store_db_need(s, e) < 0)
		return -e->code;
	/* cannot change inside a transaction */
	if (kind == STORE_TXN_DURABLE &&
	    db_exec(s, "PRAGMA synchronous=FULL", "prepare to commit", e) < 0)
		return -e->code;
	t->s = s;
	t->kind = kind;
	t->is_open = false;
	if (db_exec(s, "BEGIN IMMEDIATE", "begin", e) < 0) {
		store_txn_drop(t);
		return -e->code;
	}
	t->is_open = true;
	return 0;
}

int store_txn_commit(struct store_txn *t, struct err *e)
{
	if (db_exec(t->s, "COMMIT", "commit", e) < 0)
		return -e->code;
	t->is_open = false;
	store_txn_drop(t);
	return 0;
}

void store_txn_drop(struct store_txn *t)
{
	if (!t->s)
		return;
	/* neither can fail in a way that anybody could do something about */
	if (t->is_open)
		(void)sqlite3_exec(t->s->db, "ROLLBACK", NULL, NULL, NULL);
	if (t->kind == STORE_TXN_DURABLE)
		(void)sqlite3_exec(t->s->db, "PRAGMA synchronous=NORMAL", NULL, NULL, NULL);
	t->s = NULL;
}
