/* SPDX-License-Identifier: MIT */
/*
 * store_index.c - index.json, for other tools that read the store as an OCI layout
 *
 * The database is the truth. The file is made from it whole, under a lock that is taken before the
 * database is read: whoever writes last has read last.
 */
#include <jansson.h>
#include <string.h>

#include "fdio.h"
#include "json_text.h"
#include "store_internal.h"

#define INDEX_LOCK     ".index.lock"
#define LOCK_WAIT_MS   20000
#define INDEX_MAX      (64U << 20)
#define INDEX_TYPE     "application/vnd.oci.image.index.v1+json"
#define REF_ANNOTATION "org.opencontainers.image.ref.name"

static json_t *platform_json(sqlite3_stmt *st, int col)
{
	json_t *p = json_pack("{s:s, s:s}", "architecture", store_db_text(st, col + 1), "os",
			      store_db_text(st, col));

	if (*store_db_text(st, col + 2) &&
	    json_object_set_new(p, "variant", json_string(store_db_text(st, col + 2))) < 0) {
		json_decref(p);
		return NULL;
	}
	return p;
}

static json_t *entry_json(sqlite3_stmt *st)
{
	return json_pack("{s:s, s:s, s:I, s:o, s:{s:s}}", "mediaType", store_db_text(st, 2),
			 "digest", store_db_text(st, 1), "size",
			 (json_int_t)sqlite3_column_int64(st, 3), "platform", platform_json(st, 4),
			 "annotations", REF_ANNOTATION, store_db_text(st, 0));
}

/* A name by digest is left out where a tag of the same manifest is there. */
static int entries_read(struct store *s, json_t *list, struct err *e)
{
	auto_stmt st = NULL;
	int rc;

	if (store_db_query(
		    s, &st, e,
		    "SELECT n.ref, m.digest, m.media_type, m.size, i.os, i.architecture,"
		    " i.variant FROM names n JOIN manifests m ON m.digest = n.manifest"
		    " JOIN images i ON i.id = m.image_id WHERE n.is_digest = 0 OR NOT EXISTS"
		    " (SELECT 1 FROM names t WHERE t.manifest = n.manifest AND t.is_digest = 0)"
		    " ORDER BY n.ref",
		    "") < 0)
		return -e->code;
	while ((rc = store_db_step(s, st, e)) > 0)
		if (json_array_append_new(list, entry_json(st)) < 0)
			return err_set(e, ENOMEM, "index.json");
	return rc;
}

static char *text_make(struct store *s, struct err *e)
{
	json_t *list = json_array();
	json_t *j = json_pack("{s:i, s:s, s:o}", "schemaVersion", 2, "mediaType", INDEX_TYPE,
			      "manifests", list);
	char *text = NULL;

	if (!j)
		(void)err_set(e, ENOMEM, "index.json");
	else if (entries_read(s, list, e) < 0)
		(void)err_wrap(e, "index.json");
	else if (!(text = json_text(j, JSON_COMPACT)))
		(void)err_set(e, ENOMEM, "index.json");
	json_decref(j);
	return text;
}

int store_index_write(struct store *s, struct err *e)
{
	auto_free char *text = NULL;
	auto_fd lock = -1;

	if (store_lock(s, INDEX_LOCK, STORE_LOCK_EXCLUSIVE, LOCK_WAIT_MS, &lock, e) < 0)
		return err_wrap(e, "index.json");
	text = text_make(s, e);
	if (!text)
		return -e->code;
	return file_write_atomic_at(s->root_fd, "index.json", 0600, text, strlen(text), e);
}

int store_index_mend(struct store *s, struct err *e)
{
	auto_free char *text = NULL;
	auto_buf now = { 0 };
	auto_fd lock = -1;

	if (store_lock(s, INDEX_LOCK, STORE_LOCK_EXCLUSIVE, 0, &lock, e) < 0)
		return e->code == EBUSY ? 0 : -e->code; /* it is being written */
	text = text_make(s, e);
	if (!text)
		return -e->code;
	if (file_read_at(s->root_fd, "index.json", INDEX_MAX, &now, e) == 0 &&
	    now.len == strlen(text) && memcmp(now.data, text, now.len) == 0)
		return 0;
	return file_write_atomic_at(s->root_fd, "index.json", 0600, text, strlen(text), e);
}
