/* SPDX-License-Identifier: MIT */
/*
 * store_names.c - naming images, and forgetting them
 *
 * An image is held by its names and by the machines made of it. Forgetting checks and deletes in
 * one transaction; the files go later (store_gc.c).
 */
#include <string.h>

#include "log.h"
#include "store_internal.h"
#include "store_write.h"

/* What was recorded stands; a later change writes the index again. */
static void index_renew(struct store *s)
{
	struct err e = { 0 };

	if (store_index_write(s, &e) < 0)
		log_warn("%s", e.msg);
}

int store_name_set(struct store *s, const char *ref, const struct store_image *src, struct err *e)
{
	auto_txn txn = { 0 };

	if (store_txn_begin(&txn, s, STORE_TXN_DURABLE, e) < 0 ||
	    store_db_run(s, e,
			 "INSERT OR REPLACE INTO names(ref, is_digest, image_id, digest, manifest)"
			 " VALUES(?, ?, ?, ?, ?)",
			 "tittt", ref, (int64_t)(strchr(ref, '@') != NULL), src->id, src->digest,
			 src->manifest) < 0 ||
	    store_txn_commit(&txn, e) < 0)
		return err_wrap(e, "name %s", ref);
	index_renew(s);
	return 0;
}

int store_name_remove(struct store *s, const char *ref, struct err *e)
{
	auto_txn txn = { 0 };

	if (store_txn_begin(&txn, s, STORE_TXN_DURABLE, e) < 0 ||
	    store_db_run(s, e, "DELETE FROM names WHERE ref = ?", "t", ref) < 0)
		return -e->code;
	if (sqlite3_changes(s->db) == 0)
		return err_plain(e, ENOENT, "No such image: %s", ref);
	if (store_txn_commit(&txn, e) < 0)
		return -e->code;
	index_renew(s);
	return 0;
}

int store_image_forget(struct store *s, const char *image_id, bool *ret_gone, struct err *e)
{
	auto_txn txn = { 0 };

	if (store_txn_begin(&txn, s, STORE_TXN_DURABLE, e) < 0 ||
	    store_db_run(s, e,
			 "DELETE FROM images WHERE id = ?1 AND NOT EXISTS"
			 " (SELECT 1 FROM names WHERE image_id = ?1) AND NOT EXISTS"
			 " (SELECT 1 FROM machines WHERE image_id = ?1)",
			 "t", image_id) < 0)
		return -e->code;
	*ret_gone = sqlite3_changes(s->db) > 0;
	if (store_txn_commit(&txn, e) < 0)
		return -e->code;
	index_renew(s);
	return 0;
}
