/* SPDX-License-Identifier: MIT */
/* store_internal.h - shared by store*.c only */
#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H

#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>

#include "buf.h"
#include "store.h"

#define STORE_BUSY_MS     20000 /* how long a writer waits for another one */
#define STORE_ID_SIZE     80    /* "sha256:" + hex, with room for a longer algorithm */
#define STORE_HEX_LEN     64U
#define STORE_REF_SIZE    512
#define STORE_DOC_MAX     (8U << 20) /* a config document */
#define STORE_STALE_DAYS  7          /* partial files older than this are collected */
#define STORE_PARTIAL_DIR "partial"

struct store {
	char *root, *run;
	int root_fd, run_fd;
	sqlite3 *db;       /* NULL until store_db_need() */
	char boot_id[40];  /* "" until store_boot_id() */
	struct err db_err; /* why store_db() said NULL */
};

/* ---- store_db.c ---- */

must_check int store_db_need(struct store *s, struct err *e);
void store_db_close(struct store *s); /* not open is fine */

/*
 * One statement: `types` has a letter per argument: t const char *, i int64_t. A NULL string is
 * SQL's NULL. store_db_run() is for statements without rows.
 */
must_check int store_db_run(struct store *s, struct err *e, const char *sql, const char *types,
			    ...);
must_check int store_db_query(struct store *s, sqlite3_stmt **ret, struct err *e, const char *sql,
			      const char *types, ...);
/* 1 with a row, 0 at the end, -code. */
must_check int store_db_step(struct store *s, sqlite3_stmt *st, struct err *e);
/* Column `col` as text, never NULL, "" when it does not fit into anything we store. */
const char *store_db_text(sqlite3_stmt *st, int col);
static inline void store_stmt_drop(sqlite3_stmt **st)
{
	sqlite3_finalize(*st); /* NULL is fine */
}
#define auto_stmt __attribute__((cleanup(store_stmt_drop))) sqlite3_stmt *

enum store_txn_kind {
	STORE_TXN_NORMAL,
	STORE_TXN_DURABLE, /* once committed it is on the disk: power may go */
};
struct store_txn {       /* undone at the end of its scope unless store_txn_commit() was reached */
	struct store *s; /* NULL: nothing to release */
	enum store_txn_kind kind;
	bool is_open;
};
must_check int store_txn_begin(struct store_txn *t, struct store *s, enum store_txn_kind kind,
			       struct err *e);
must_check int store_txn_commit(struct store_txn *t, struct err *e);
void store_txn_drop(struct store_txn *t);
#define auto_txn __attribute__((cleanup(store_txn_drop))) struct store_txn

/* ---- store_lock.c ---- */

enum store_lock_kind { STORE_LOCK_SHARED, STORE_LOCK_EXCLUSIVE };
/* ROOT/`name`, waiting at most wait_ms: -EBUSY. The lock goes with the descriptor. */
must_check int store_lock(struct store *s, const char *name, enum store_lock_kind kind,
			  uint32_t wait_ms, int *ret_fd, struct err *e);

/* ---- store_index.c ---- */

/* Rewrite index.json from the database. */
must_check int store_index_write(struct store *s, struct err *e);

/* ---- names of files ---- */

/* True for "sha256:" and 64 lower-case hex digits: nothing else may become a file name. */
bool store_id_is_valid(const char *id);
static inline const char *store_id_hex(const char *id) /* of a valid id */
{
	return id + 7;
}
/* The id of this boot of the host. "" cannot be told: then nothing is taken for granted. */
const char *store_boot_id(struct store *s);

#endif
